package redoubttest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"time"
)

func checkStreamedRequest(s *stage) {
	first := make(chan string, 1)
	s.serve(func(_ *receipt, _ http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 5)
		_, _ = io.ReadFull(r.Body, chunk)
		first <- string(chunk)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	pr, pw := io.Pipe()
	req := s.request(s.ctx, http.MethodPut)
	req.Body = pr
	go func() {
		_, _ = io.WriteString(pw, "first")
		select {
		case <-first:
		case <-time.After(time.Second):
			s.r.Errorf("the server has not got the first bytes of a request body that is being produced")
		}
		_, _ = io.WriteString(pw, "second")
		_ = pw.Close()
	}()
	s.drop(s.trip(req))
	_ = pr.Close()
}

func checkStreamedResponse(s *stage) {
	head, tail := bytes.Repeat([]byte("head"), 1<<20), []byte("tail")
	returned := make(chan struct{})
	s.serve(func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(head)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-returned:
		case <-time.After(time.Second):
			s.r.Errorf("RoundTrip holds back more than 4 MiB of a response")
		}
		_, _ = w.Write(tail)
	})
	resp, err := s.trip(s.request(s.ctx, http.MethodGet))
	if err != nil {
		s.r.Errorf("RoundTrip of a fresh transport: %v", err)
		return
	}
	got := make([]byte, len(head))
	_, _ = io.ReadFull(resp.Body, got)
	close(returned)
	if rest := s.read(resp); !bytes.Equal(got, head) || rest != string(tail) {
		s.r.Errorf("the response body is not the server's")
	}
}

// checkStreamedEvents reads a stream for a minute. A client that waits for an
// event before it lets the server go on sees at once what is held back.
func checkStreamedEvents(s *stage) {
	const events = 10
	seen := make(chan struct{})
	s.serve(func(_ *receipt, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n := range events {
			_, _ = fmt.Fprintf(w, "data: %d\n", n)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-seen:
				time.Sleep(7 * time.Second)
			case <-time.After(time.Minute):
				s.r.Errorf("an event was held back")
				return
			case <-r.Context().Done():
				return
			}
		}
	})
	resp, err := s.trip(s.request(s.ctx, http.MethodGet))
	if err != nil {
		s.r.Errorf("RoundTrip of a fresh transport: %v", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	stream := bufio.NewReader(resp.Body)
	for n := range events {
		line, err := stream.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", n); err != nil || line != want {
			s.r.Errorf("a stream of events broke off: %q, %v, want %q", line, err, want)
			return
		}
		seen <- struct{}{}
	}
	if _, err := stream.ReadByte(); err != io.EOF {
		s.r.Errorf("a stream of events ends with %v, want io.EOF", err)
	}
}

// checkLargeResponse reads 8 MiB some time after RoundTrip has returned, and with
// a pause.
func checkLargeResponse(s *stage) {
	content := bytes.Repeat([]byte("12345678"), 1<<20)
	s.serve(func(_ *receipt, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) })
	resp, err := s.trip(s.request(s.ctx, http.MethodGet))
	if err != nil {
		s.r.Errorf("RoundTrip of a fresh transport: %v", err)
		return
	}
	time.Sleep(time.Minute)
	got := make([]byte, len(content))
	_, _ = io.ReadFull(resp.Body, got[:len(got)/2])
	time.Sleep(10 * time.Minute)
	if _, err := io.ReadFull(resp.Body, got[len(got)/2:]); err != nil || !bytes.Equal(got, content) {
		s.r.Errorf("a response body of 8 MiB, read after RoundTrip returned: %v, want all of it", err)
	}
	s.read(resp)
}

func checkBrokenResponse(s *stage) {
	s.serve(func(_ *receipt, w http.ResponseWriter, r *http.Request) { truncate(w, r) })
	resp, err := s.trip(s.request(s.ctx, http.MethodGet))
	if err == nil {
		err = s.readError(resp)
	}
	s.drop(resp, err)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		s.r.Errorf("a response that breaks off ends with %v, want io.ErrUnexpectedEOF", err)
	}
}

func checkTrailers(s *stage) {
	s.serve(func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	})
	if resp, _ := s.ok(s.request(s.ctx, http.MethodGet)); resp != nil && resp.Trailer.Get("X-Sum") != "42" {
		s.r.Errorf("after the body the trailer is %v, want the server's", resp.Trailer)
	}
}

func checkInterimResponses(s *stage) {
	s.serve(func(_ *receipt, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusEarlyHints) })
	interim := 0
	ctx := httptrace.WithClientTrace(s.ctx, &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error {
			interim = code
			return nil
		},
	})
	s.ok(s.request(ctx, http.MethodGet))
	if interim != http.StatusEarlyHints {
		s.r.Errorf("the caller's httptrace was told of status %d, want 103", interim)
	}
}

// checkUpgrade uses a connection after 101 for hours.
func checkUpgrade(s *stage) {
	s.serve(func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		conn, stream, err := http.NewResponseController(w).Hijack()
		if err != nil {
			s.r.Errorf("redoubttest: %v", err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, stream)
	})
	req := s.request(s.ctx, http.MethodGet)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := s.trip(req)
	if err != nil {
		s.r.Errorf("RoundTrip of a fresh transport: %v", err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		s.r.Errorf("after 101 RoundTrip returned %d and a body that is no io.ReadWriteCloser", resp.StatusCode)
		return
	}
	if _, ok := conn.(interface{ CloseWrite() error }); !ok {
		s.r.Errorf("after 101 the body has no method CloseWrite, but base's has")
	}
	for range 2 {
		time.Sleep(anHour)
		echo := make([]byte, 4)
		_, err := io.WriteString(conn, "ping")
		if err == nil {
			_, err = io.ReadFull(conn, echo)
		}
		if err != nil || string(echo) != "ping" {
			s.r.Errorf("after 101 and an hour of silence the echo is %q, %v", echo, err)
			return
		}
	}
}
