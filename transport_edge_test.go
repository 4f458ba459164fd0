package redoubt_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/timeout"
)

// A lateConn has written what it is given, but returns late if it is told to.
type lateConn struct {
	net.Conn

	late *atomic.Bool
}

func (c lateConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.late.Load() {
		time.Sleep(200 * time.Millisecond)
	}
	return n, err
}

// The header is out, but HTTP/2 has not told of it yet.
func TestTransport_005_HTTP2HeaderMayBeOut(t *testing.T) {
	var posts atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			posts.Add(1)
			<-r.Context().Done()
		}
	}))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	defer server.Close()
	var late atomic.Bool
	base := &http.Transport{Protocols: server.Config.Protocols}
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		return lateConn{conn, &late}, err
	}
	defer base.CloseIdleConnections()
	rt := &redoubt.Transport{Base: base, Layer: redoubt.Stack{atOnce(3), timeout.Limit(50 * time.Millisecond)}}
	get, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	send(t, &redoubt.Transport{Base: base}, get)
	late.Store(true)
	post, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, nil)
	_, err := rt.RoundTrip(post)
	failed, ok := errors.AsType[*redoubt.SendError](err)
	if !ok || !failed.Sent || failed.Retryable() {
		t.Errorf("err = %v, want a SendError that says Sent and not Retryable", err)
	}
	time.Sleep(300 * time.Millisecond) // until a second one would have arrived
	if posts.Load() != 1 {
		t.Errorf("POST arrived %d times, want once", posts.Load())
	}
}

// A Base tries a second address, which refuses. The first may have acted.
func TestTransport_005_RefusalOfAnotherAddress(t *testing.T) {
	var l log
	handler := func(_ http.ResponseWriter, r *http.Request) {
		l.note(r)
		panic(http.ErrAbortHandler)
	}
	bubble(t, handler, func(t *testing.T, s *memhttp.Server) {
		mirror := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: errors.New("refused")}
		}}
		rt := &redoubt.Transport{Layer: every(time.Second, 3), Base: trip(func(r *http.Request) (*http.Response, error) {
			resp, err := s.Transport.RoundTrip(r)
			if err == nil {
				return resp, nil
			}
			again := r.Clone(r.Context())
			again.Body, _ = r.GetBody()
			_, second := mirror.RoundTrip(again)
			return nil, errors.Join(err, second)
		})}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order")))
		if err == nil || l.count() != 1 {
			t.Errorf("err = %v after %d requests, want one after 1", err, l.count())
		}
		if strings.Contains(err.Error(), "\n") {
			t.Errorf("error in several lines: %v", err)
		}
	})
}

// An idle producer keeps nobody beyond the attempt's end. Over HTTP/2 it doesn't
// even beyond the connection's.
func TestTransport_073_ProducerIsIdle(t *testing.T) {
	for _, tt := range []struct {
		name   string
		http2  bool
		buffer int64
		atOnce bool
	}{
		{"HTTP/1", false, 0, false},
		{"HTTP/1 kept", false, 1 << 20, false},
		{"HTTP/2", true, 0, true},
		{"HTTP/2 kept", true, 1 << 20, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
				_, _ = io.ReadFull(r.Body, make([]byte, 5))
				panic(http.ErrAbortHandler)
			}))
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetHTTP1(!tt.http2)
			server.Config.Protocols.SetUnencryptedHTTP2(tt.http2)
			server.Start()
			defer server.Close()
			base := &http.Transport{Protocols: server.Config.Protocols}
			defer base.CloseIdleConnections()
			limit := 200 * time.Millisecond
			if tt.atOnce {
				limit = time.Minute
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			pr, pw := io.Pipe()
			go func() { _, _ = io.WriteString(pw, "hello") }()
			req, _ := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, pr)
			start := time.Now()
			_, err := (&redoubt.Transport{Base: base, MaxRequestBuffer: tt.buffer}).RoundTrip(req)
			if err == nil || time.Since(start) > 5*time.Second {
				t.Errorf("err = %v after %v, want one soon", err, time.Since(start))
			}
			if failed, ok := errors.AsType[*redoubt.SendError](err); tt.atOnce && (!ok || !failed.DependencyFailure()) {
				t.Errorf("err = %v, want the server's fault", err)
			}
		})
	}
}

// What is kept is sent again at once, though the first attempt still waits for
// the producer.
func TestTransport_028_KeptBytesDoNotWait(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		var n atomic.Int32
		second := make(chan string, 1)
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			chunk := make([]byte, 5)
			_, _ = io.ReadFull(r.Body, chunk)
			if n.Add(1) == 1 {
				if !http2 {
					w.Header().Set("Connection", "close") // or else the server awaits the body
				}
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			second <- string(chunk)
			rest, err := io.ReadAll(r.Body)
			if string(rest) != " world" || err != nil {
				t.Errorf("HTTP/2 %v: rest is %q, %v", http2, rest, err)
			}
		}))
		server.Config.Protocols = new(http.Protocols)
		server.Config.Protocols.SetHTTP1(!http2)
		server.Config.Protocols.SetUnencryptedHTTP2(http2)
		server.Start()
		base := &http.Transport{Protocols: server.Config.Protocols}
		rt := &redoubt.Transport{Base: base, Layer: atOnce(3), MaxRequestBuffer: 1 << 20}
		pr, pw := io.Pipe()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL, pr)
		go func() {
			_, _ = io.WriteString(pw, "hello")
			select {
			case got := <-second:
				if got != "hello" {
					t.Errorf("HTTP/2 %v: the second attempt brought %q", http2, got)
				}
			case <-time.After(5 * time.Second):
				t.Errorf("HTTP/2 %v: the second attempt waits for the producer", http2)
			}
			_, _ = io.WriteString(pw, " world")
			_ = pw.Close()
		}()
		if resp := send(t, rt, req); resp.StatusCode != http.StatusOK {
			t.Errorf("HTTP/2 %v: status %d", http2, resp.StatusCode)
		}
		base.CloseIdleConnections()
		server.Close()
	}
}

// No option changes what goes over the wire.
func TestTransport_026_WireIsThatOfNetHTTP(t *testing.T) {
	var wire atomic.Value
	addr := listen(t, func(conn net.Conn) {
		defer conn.Close()
		var text strings.Builder
		r := bufio.NewReader(io.TeeReader(conn, &text))
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = httputil.DumpRequest(req, true) // to the body's end
		wire.Store(text.String())
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	})
	for _, method := range []string{"", "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "FOO"} {
		fetch := func(rt http.RoundTripper, ctx context.Context) string {
			req, _ := http.NewRequestWithContext(ctx, method, "http://"+addr, nil)
			req.Method = method
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatalf("%q: %v", method, err)
			}
			_ = resp.Body.Close()
			return wire.Load().(string)
		}
		want := fetch(new(http.Transport), t.Context())
		for name, ctx := range map[string]context.Context{
			"plain":          t.Context(),
			"WithoutRetry":   redoubt.WithoutRetry(t.Context()),
			"WithIdempotent": redoubt.WithIdempotent(t.Context()),
		} {
			if got := fetch(&redoubt.Transport{Base: new(http.Transport)}, ctx); got != want {
				t.Errorf("%s %q sends\n%q, net/http\n%q", name, method, got, want)
			}
		}
	}
}

// A response that Failure calls a failure counts, whatever its status.
func TestTransport_100_FailureCounts(t *testing.T) {
	b := breaker.New(breaker.Config{Name: "b", Consecutive: 3})
	rt := &redoubt.Transport{
		Layer:   b,
		Failure: func(r *http.Response) bool { return r.Header.Get("X-Backend") == "down" },
		Base: trip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, "")
			resp.Header.Set("X-Backend", "down")
			return resp, nil
		}),
	}
	for range 3 {
		send(t, rt, newRequest(t.Context(), t, "GET", nil))
	}
	if b.State() != breaker.Open {
		t.Errorf("breaker is %v after 3 failures, want open", b.State())
	}
}

// A layer asks once more after a success. The response is not lost.
func TestTransport_038_AskedAgainAfterSuccess(t *testing.T) {
	twice := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
		_ = call(ctx)
		return call(ctx)
	})
	for method, want := range map[string]int{"GET": 2, "POST": 1} {
		trips := 0
		rt := &redoubt.Transport{Layer: twice, Base: trip(func(r *http.Request) (*http.Response, error) {
			trips++
			return answer(r, 200, "done"), nil
		})}
		resp := send(t, rt, newRequest(t.Context(), t, method, nil))
		if body, _ := io.ReadAll(resp.Body); string(body) != "done" || trips != want {
			t.Errorf("%s: %q after %d trips, want done after %d", method, body, trips, want)
		}
	}
}

func TestTransport_Nil(t *testing.T) {
	var rt *redoubt.Transport
	if rt.Check() == nil {
		t.Error("Check finds nothing wrong with a nil Transport")
	}
	content := &body{Reader: strings.NewReader("order")}
	resp, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", content))
	if resp != nil || err == nil || content.closes.Load() == 0 {
		t.Errorf("%v, %v, body closed %d times", resp, err, content.closes.Load())
	}
	rt.CloseIdleConnections()
}

func TestTransport_098_ErrorsInOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := errors.New("first"), errors.New("second")
		rt := &redoubt.Transport{Base: trip(func(*http.Request) (*http.Response, error) {
			return nil, errors.Join(first, second)
		})}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err == nil || err.Error() != "first; second" || !errors.Is(err, first) || !errors.Is(err, second) {
			t.Errorf("err = %q, want both in one line", err)
		}
	})
}
