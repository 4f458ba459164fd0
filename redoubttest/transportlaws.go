package redoubttest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redoubt-go/redoubt/internal/memhttp"
)

// promptly is how late something may be that happens at once.
const promptly = 100 * time.Millisecond

func transportLaws() []transportLaw {
	return []transportLaw{
		{"Response", checkResponse},
		{"Statuses", checkStatuses},
		{"EmptyBodies", checkEmptyBodies},
		{"Redirects", checkRedirects},
		{"Cookies", checkCookies},
		{"Credentials", checkCredentials},
		{"CloseIdleConnections", checkCloseIdleConnections},
		{"ErrorShowsThrough", checkErrorOfBase},
		{"RequestBodies", checkRequestBodies},
		{"UnsafeRequests", checkUnsafeRequests},
		{"RepeatedRequests", checkRepeatedRequests},
		{"EarlyAnswer", checkEarlyAnswer},
		{"StreamedRequest", checkStreamedRequest},
		{"StreamedResponse", checkStreamedResponse},
		{"StreamedEvents", checkStreamedEvents},
		{"LargeResponse", checkLargeResponse},
		{"BrokenResponse", checkBrokenResponse},
		{"Trailers", checkTrailers},
		{"InterimResponses", checkInterimResponses},
		{"Upgrade", checkUpgrade},
		{"Context", checkContext},
		{"CancelledBefore", checkCancelledBefore},
		{"CancelledWhileSending", checkCancelledWhileSending},
		{"CancelledWhileWaiting", checkCancelledWhileWaiting},
		{"CancelledWhileReading", checkCancelledWhileReading},
		{"CancelField", checkCancelField},
		{"Deadline", checkDeadline},
		{"Panic", checkBasePanics},
		{"Goexit", checkBaseExits},
		{"Concurrent", checkConcurrentTrips},
		{"ManyFailures", checkManyFailures},
	}
}

// checkResponse compares the response with what base returned.
func checkResponse(s *stage) {
	s.handler = func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Many"] = []string{"b", "a"}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "hello")
	}
	req := s.request(s.ctx, http.MethodGet)
	resp, err := s.trip(req)
	if err != nil {
		s.r.Errorf("RoundTrip of a fresh transport: %v", err)
		return
	}
	for _, field := range []struct {
		name      string
		got, want any
	}{
		{"Status", resp.Status, s.last.Status},
		{"StatusCode", resp.StatusCode, s.last.StatusCode},
		{"Proto", resp.Proto, s.last.Proto},
		{"Header", resp.Header, s.last.Header},
		{"ContentLength", resp.ContentLength, s.last.ContentLength},
		{"TransferEncoding", resp.TransferEncoding, s.last.TransferEncoding},
		{"Uncompressed", resp.Uncompressed, s.last.Uncompressed},
		{"Close", resp.Close, s.last.Close},
	} {
		if !reflect.DeepEqual(field.got, field.want) {
			s.r.Errorf("the response's %s is %v, want base's %v", field.name, field.got, field.want)
		}
	}
	if r := resp.Request; r == nil || r.Method != req.Method || r.URL.String() != req.URL.String() {
		s.r.Errorf("the response's Request is %v, want the one that was sent", r)
	} else if err := r.Context().Err(); err != nil {
		s.r.Errorf("the context of the response's Request has ended: %v", err)
	}
	if body := s.read(resp); body != "hello" {
		s.r.Errorf("the response body is %q, want %q", body, "hello")
	}
}

// checkStatuses has every status answered with, until there are no more
// attempts: what the server said last is the result, and no error.
func checkStatuses(s *stage) {
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		for _, status := range []int{200, 206, 400, 404, 408, 409, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504, 599} {
			s.fresh()
			s.handler = func(got *receipt, w http.ResponseWriter, r *http.Request) {
				s.take(got, r)
				w.WriteHeader(status)
				_, _ = fmt.Fprint(w, "answer ", got.n)
			}
			resp, err := s.trip(s.upload(s.ctx, method, "order", true))
			if err != nil {
				s.r.Errorf("RoundTrip made an error of status %d: %v", status, err)
				continue
			}
			body := s.read(resp)
			if want := fmt.Sprint("answer ", len(s.receipts())); resp.StatusCode != status || body != want {
				s.r.Errorf("%s: RoundTrip returned %d with body %q, want the server's last: %d, %q", method, resp.StatusCode, body, status, want)
			}
		}
	}
}

func checkEmptyBodies(s *stage) {
	for method, status := range map[string]int{http.MethodHead: http.StatusOK, http.MethodGet: http.StatusNoContent} {
		s.answers(status)
		if resp, body := s.ok(s.request(s.ctx, method)); resp != nil && (resp.StatusCode != status || body != "") {
			s.r.Errorf("%s: %d with body %q, want %d and none", method, resp.StatusCode, body, status)
		}
	}
}

func checkRedirects(s *stage) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		s.fresh()
		s.handler = func(got *receipt, w http.ResponseWriter, _ *http.Request) {
			if got.n == 1 {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			}
		}
		resp, _ := s.ok(s.request(s.ctx, http.MethodGet))
		if resp == nil {
			return
		}
		if n := len(s.receipts()); resp.StatusCode != status || n != 1 {
			s.r.Errorf("the transport followed a redirect: status %d after %d requests, want %d after 1", resp.StatusCode, n, status)
		}
	}
}

func checkCookies(s *stage) {
	s.handler = func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
	}
	for range 2 {
		resp, _ := s.ok(s.request(s.ctx, http.MethodGet))
		if resp != nil && len(resp.Cookies()) != 1 {
			s.r.Errorf("the response has cookies %v, want the server's", resp.Cookies())
		}
	}
	for _, received := range s.receipts() {
		if got := received.header["Cookie"]; got != nil {
			s.r.Errorf("the transport sent a cookie by itself: %v", got)
		}
	}
}

func checkCredentials(s *stage) {
	for status, challenge := range map[int]string{
		http.StatusUnauthorized:      "Www-Authenticate",
		http.StatusProxyAuthRequired: "Proxy-Authenticate",
	} {
		s.fresh()
		s.handler = func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(challenge, `Basic realm="x"`)
			w.WriteHeader(status)
		}
		req := s.request(s.ctx, http.MethodGet)
		resp, _ := s.ok(req)
		if resp == nil {
			return
		}
		if n := len(s.receipts()); resp.StatusCode != status || resp.Header.Get(challenge) == "" || n != 1 {
			s.r.Errorf("the transport handled a challenge: status %d after %d requests, want %d after 1", resp.StatusCode, n, status)
		}
		if got := s.receipts()[0].header["Authorization"]; got != nil {
			s.r.Errorf("the transport sent credentials by itself")
		}
	}
}

func checkCloseIdleConnections(s *stage) {
	s.ok(s.request(s.ctx, http.MethodGet))
	(&http.Client{Transport: s.rt}).CloseIdleConnections()
	time.Sleep(time.Second)
	if open := s.server.Open(); open > 0 {
		s.r.Errorf("http.Client.CloseIdleConnections did not reach base: %d connections are open", open)
	}
}

func checkErrorOfBase(s *stage) {
	cause := errors.New("redoubttest: cause")
	for _, content := range []string{"", "order"} {
		s.fresh()
		s.instead = func(_ int, r *http.Request) (*http.Response, error, bool) {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, &callError{cause}, true
		}
		req := s.request(s.ctx, http.MethodPost)
		if content != "" {
			req = s.upload(s.ctx, http.MethodPost, content, true)
		}
		resp, err := s.trip(req)
		s.drop(resp, err)
		var typed *callError
		if !errors.Is(err, cause) || !errors.As(err, &typed) {
			s.r.Errorf("the error is %v, want one that wraps base's", err)
		}
		if s.trips > 1 {
			s.r.Errorf("a POST was sent %d times after an error that nobody knows, want once", s.trips)
		}
	}
}

// checkRequestBodies ends requests in many ways. That their bodies are closed is
// for settle to see.
func checkRequestBodies(s *stage) {
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	refused := func(_ int, r *http.Request) (*http.Response, error, bool) {
		_ = r.Body.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, true
	}
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		for _, again := range []bool{true, false} {
			s.fresh()
			s.answers(http.StatusOK)
			s.drop(s.trip(s.upload(ended, method, "order", again)))
			s.answers(http.StatusServiceUnavailable)
			s.drop(s.trip(s.upload(s.ctx, method, "order", again)))
			s.handler = func(_ *receipt, _ http.ResponseWriter, r *http.Request) { memhttp.Reset(r) }
			s.drop(s.trip(s.upload(s.ctx, method, "order", again)))
			s.instead = refused
			s.drop(s.trip(s.upload(s.ctx, method, "order", again)))
			s.instead = nil
		}
	}
}

// endings are how a server may end a request that it has acted on.
var endings = map[string]http.HandlerFunc{
	"500":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	"502":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
	"504":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) },
	"reset":     func(_ http.ResponseWriter, r *http.Request) { memhttp.Reset(r) },
	"closed":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"hang":      func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"truncated": truncate,
}

// truncate breaks off in the middle of the response.
func truncate(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, "begin")
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func checkUnsafeRequests(s *stage) {
	for name, ending := range endings {
		for _, method := range []string{http.MethodPost, http.MethodPatch} {
			s.fresh()
			s.handler = func(got *receipt, w http.ResponseWriter, r *http.Request) {
				s.take(got, r)
				if r.Method == method {
					ending(w, r)
				}
			}
			s.ok(s.request(s.ctx, http.MethodGet)) // so that a connection is reused
			ctx, cancel := context.WithTimeout(s.ctx, time.Hour)
			resp, err := s.trip(s.upload(ctx, method, "order", true))
			if resp != nil {
				_ = s.readError(resp)
			}
			s.drop(resp, err)
			cancel()
			if n := len(s.receipts()) - 1; n != 1 {
				s.r.Errorf("%s: a %s was sent %d times, want once: the server may have acted on it", name, method, n)
			}
		}
	}
}

// checkRepeatedRequests has requests fail that may be sent again. If they are,
// they are the same.
func checkRepeatedRequests(s *stage) {
	for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodGet} {
		for _, again := range []bool{true, false} {
			s.fresh()
			s.handler = func(got *receipt, w http.ResponseWriter, r *http.Request) {
				s.take(got, r)
				switch got.n {
				case 1:
					w.WriteHeader(http.StatusServiceUnavailable)
					_, _ = io.WriteString(w, "later")
				case 2:
					memhttp.Reset(r)
				}
			}
			req := s.upload(s.ctx, method, "order 66", again)
			req.Header.Set("Idempotency-Key", "k1")
			s.drop(s.trip(req))
			for i, got := range s.receipts() {
				if got.body != "order 66" || got.length != int64(len("order 66")) {
					s.r.Errorf("%s with GetBody %v: request %d brought %q with length %d, want the caller's bytes",
						method, again, i+1, got.body, got.length)
				}
				if got.header.Get("Idempotency-Key") != "k1" || !slices.Equal(got.header["X-Many"], []string{"b", "a"}) {
					s.r.Errorf("%s: request %d has header %v, want the caller's", method, i+1, got.header)
				}
			}
		}
	}
}

// checkEarlyAnswer has a base that answers before it has read the body, and goes
// on reading it, as package net/http may do.
func checkEarlyAnswer(s *stage) {
	var numbers strings.Builder
	for n := range 64 << 10 {
		_, _ = fmt.Fprintln(&numbers, n)
	}
	content := numbers.String()
	for _, again := range []bool{true, false} {
		s.fresh()
		s.instead = func(n int, r *http.Request) (*http.Response, error, bool) {
			if n > 1 {
				return nil, nil, false
			}
			go func() {
				defer func() { _ = r.Body.Close() }()
				for chunk := make([]byte, 1<<10); ; time.Sleep(10 * time.Millisecond) {
					if _, err := io.ReadFull(r.Body, chunk); err != nil {
						return
					}
				}
			}()
			time.Sleep(time.Millisecond)
			return &http.Response{
				Status: "500 Internal Server Error", StatusCode: http.StatusInternalServerError,
				Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{}, Body: http.NoBody, Request: r,
			}, nil, true
		}
		s.handler = func(got *receipt, _ http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			s.take(got, r)
		}
		s.drop(s.trip(s.upload(s.ctx, http.MethodPut, content, again)))
		s.instead = nil
		for _, got := range s.receipts() {
			if !strings.HasPrefix(content, got.body) {
				s.r.Errorf("with GetBody %v: a repeated request brought other bytes than the caller's: it shares a body with the one before", again)
			}
		}
	}
}

func checkStreamedRequest(s *stage) {
	first := make(chan string, 1)
	s.handler = func(_ *receipt, _ http.ResponseWriter, r *http.Request) {
		chunk := make([]byte, 5)
		_, _ = io.ReadFull(r.Body, chunk)
		first <- string(chunk)
		_, _ = io.Copy(io.Discard, r.Body)
	}
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
	s.handler = func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(head)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-returned:
		case <-time.After(time.Second):
			s.r.Errorf("RoundTrip holds back more than 4 MiB of a response")
		}
		_, _ = w.Write(tail)
	}
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
	s.handler = func(_ *receipt, w http.ResponseWriter, r *http.Request) {
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
	}
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
	s.handler = func(_ *receipt, w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(content) }
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
	s.handler = func(_ *receipt, w http.ResponseWriter, r *http.Request) { truncate(w, r) }
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
	s.handler = func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	}
	if resp, _ := s.ok(s.request(s.ctx, http.MethodGet)); resp != nil && resp.Trailer.Get("X-Sum") != "42" {
		s.r.Errorf("after the body the trailer is %v, want the server's", resp.Trailer)
	}
}

func checkInterimResponses(s *stage) {
	s.handler = func(_ *receipt, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusEarlyHints) }
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
	s.handler = func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		conn, stream, err := http.NewResponseController(w).Hijack()
		if err != nil {
			s.r.Errorf("redoubttest: %v", err)
			return
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, stream)
	}
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

func checkContext(s *stage) {
	type key struct{}
	s.instead = func(_ int, r *http.Request) (*http.Response, error, bool) {
		if got := r.Context().Value(key{}); got != "value" {
			s.r.Errorf("base's request has a context with value %v, want that of the caller's", got)
		}
		return nil, nil, false
	}
	s.ok(s.request(context.WithValue(s.ctx, key{}, "value"), http.MethodGet))
}

func checkCancelledBefore(s *stage) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	resp, err := s.trip(s.upload(ctx, http.MethodPut, "order", true))
	s.drop(resp, err)
	if !errors.Is(err, context.Canceled) {
		s.r.Errorf("the context had ended before, and the error is %v, want context.Canceled", err)
	}
	if n := len(s.receipts()); n > 0 {
		s.r.Errorf("the context had ended before, but the server got %d requests", n)
	}
}

func checkCancelledWhileSending(s *stage) {
	gone := make(chan struct{})
	s.handler = func(_ *receipt, _ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(gone)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	time.AfterFunc(500*time.Millisecond, cancel)
	start := time.Now()
	resp, err := s.trip(s.request(ctx, http.MethodPost))
	s.drop(resp, err)
	if took := time.Since(start); !errors.Is(err, context.Canceled) || took > 500*time.Millisecond+promptly {
		s.r.Errorf("cancelled after 500ms, RoundTrip returned %v after %v, want context.Canceled at once", err, took)
	}
	select {
	case <-gone:
	case <-time.After(time.Second):
		s.r.Errorf("the caller's cancellation did not reach the server")
	}
}

// checkCancelledWhileWaiting cancels a request that is failing all the time.
func checkCancelledWhileWaiting(s *stage) {
	s.handler = func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	ctx, cancel := context.WithCancel(s.ctx)
	const at = 9 * time.Second
	time.AfterFunc(at, cancel)
	start := time.Now()
	resp, err := s.trip(s.request(ctx, http.MethodGet))
	s.drop(resp, err)
	took := time.Since(start)
	if took > at+promptly {
		s.r.Errorf("cancelled after %v, RoundTrip returned after %v, want at once", at, took)
	}
	if took >= at && err != nil && !errors.Is(err, context.Canceled) {
		s.r.Errorf("cancelled while it waited, RoundTrip returned %v, want context.Canceled", err)
	}
}

func checkCancelledWhileReading(s *stage) {
	s.handler = func(_ *receipt, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	resp, err := s.trip(s.request(ctx, http.MethodGet))
	if err != nil {
		s.r.Errorf("RoundTrip of a fresh transport: %v", err)
		return
	}
	time.AfterFunc(time.Second, cancel)
	start := time.Now()
	err = s.readError(resp)
	s.drop(resp, err)
	if took := time.Since(start); !errors.Is(err, context.Canceled) || took > time.Second+promptly {
		s.r.Errorf("cancelled after 1s, the body ended with %v after %v, want context.Canceled at once", err, took)
	}
}

// checkCancelField uses the old way of cancelling, as http.Client.Timeout still
// does.
func checkCancelField(s *stage) {
	s.handler = func(_ *receipt, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	cancel := make(chan struct{})
	req := s.request(s.ctx, http.MethodPost)
	req.Cancel = cancel //nolint:staticcheck // Deprecated, and in use by http.Client.
	time.AfterFunc(500*time.Millisecond, func() { close(cancel) })
	start := time.Now()
	s.drop(s.trip(req))
	if took := time.Since(start); took > 500*time.Millisecond+promptly {
		s.r.Errorf("Request.Cancel was closed after 500ms, RoundTrip returned after %v, want at once", took)
	}
}

func checkDeadline(s *stage) {
	s.handler = func(_ *receipt, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	ctx, cancel := context.WithTimeout(s.ctx, 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	resp, err := s.trip(s.request(ctx, http.MethodGet))
	s.drop(resp, err)
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 500*time.Millisecond+promptly {
		s.r.Errorf("with 500ms to a deadline RoundTrip returned %v after %v, want context.DeadlineExceeded by then", err, took)
	}
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		s.r.Errorf("after a deadline the error %v says of itself that it is no timeout", err)
	}
}

func checkBasePanics(s *stage) {
	value := new(int) // a pointer is only equal to itself
	s.instead = func(_ int, r *http.Request) (*http.Response, error, bool) {
		_ = r.Body.Close()
		panic(value)
	}
	_, end := s.observe(s.upload(s.ctx, http.MethodPut, "order", true))
	if end.panicked != any(value) || end.returned {
		s.r.Errorf("base's panic did not pass: RoundTrip %v", end)
	}
	s.recovers()
}

func checkBaseExits(s *stage) {
	s.instead = func(_ int, r *http.Request) (*http.Response, error, bool) {
		_ = r.Body.Close()
		runtime.Goexit()
		return nil, nil, false
	}
	_, end := s.observe(s.upload(s.ctx, http.MethodPut, "order", true))
	if end.panicked != nil || end.returned {
		s.r.Errorf("base's Goexit did not pass: RoundTrip %v", end)
	}
	s.recovers()
}

// checkConcurrentTrips uses the transport from many goroutines, whose requests
// share a header.
func checkConcurrentTrips(s *stage) {
	s.handler = func(got *receipt, w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if got.n%7 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(body)
	}
	header := http.Header{"X-Shared": {"1"}}
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for n := range 5 {
				content := fmt.Sprintf("%d of %d", n, caller)
				req := s.upload(s.ctx, http.MethodPut, content, n%2 == 0)
				req.Header = header
				resp, err := s.trip(req)
				if err != nil {
					continue // a breaker, perhaps
				}
				if got := s.read(resp); got != content {
					s.r.Errorf("a caller got the answer of another: %q, want %q", got, content)
				}
			}
		})
	}
	wg.Wait()
	s.recovers()
}

// checkManyFailures fails in all ways at once, so that what one failure leaves
// behind is seen.
func checkManyFailures(s *stage) {
	s.handler = func(got *receipt, w http.ResponseWriter, r *http.Request) {
		s.take(got, r) // a server that has not does not notice that its client is gone
		switch got.n % 5 {
		case 0:
			memhttp.Reset(r)
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "later")
		case 2:
			truncate(w, r)
		case 3:
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	s.instead = func(n int, r *http.Request) (*http.Response, error, bool) {
		switch n % 7 {
		case 0:
			_ = r.Body.Close()
			panic(ErrPanic)
		case 1:
			_ = r.Body.Close()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, true
		}
		return nil, nil, false
	}
	for n := range 70 {
		ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
		before := s.trips
		resp, end := s.observe(s.upload(ctx, http.MethodPut, "order", n%2 == 0))
		if resp != nil && n%3 > 0 { // read to the end, or closed early
			_ = s.readError(resp)
		}
		s.drop(resp, end.err)
		cancel()
		if s.trips == before {
			time.Sleep(anHour) // refused
		}
	}
	s.recovers()
}
