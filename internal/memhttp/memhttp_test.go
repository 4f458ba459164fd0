package memhttp

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func get(t *testing.T, client *http.Client) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://any.host/path", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func hang(_ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
}

func hello(w http.ResponseWriter, _ *http.Request) {
	_, _ = io.WriteString(w, "hello")
}

func TestServer_ClientTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		gone := make(chan time.Duration, 1)
		s := NewServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
			gone <- time.Since(start)
		}))
		client := s.Client()
		client.Timeout = time.Second

		_, err := get(t, client)

		if took := time.Since(start); took != time.Second {
			t.Errorf("client gave up after %v, want 1s", took)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want DeadlineExceeded", err)
		}
		if got := <-gone; got != time.Second {
			t.Errorf("server saw the cancel after %v, want 1s", got)
		}
	})
}

func TestServer_ClientCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, http.HandlerFunc(hang))
		reason := errors.New("changed my mind")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Minute, func() { cancel(reason) })
		req, _ := http.NewRequestWithContext(ctx, http.MethodGet, "http://any.host", nil)

		start := time.Now()
		_, err := s.Client().Do(req)

		if took := time.Since(start); took != time.Minute {
			t.Errorf("took %v, want 1m", took)
		}
		if !errors.Is(err, reason) {
			t.Errorf("err = %v, want %v", err, reason)
		}
		synctest.Wait()
		if got := s.Open(); got != 0 {
			t.Errorf("%d connections open, want 0: a cancelled HTTP/1 request loses its connection", got)
		}
	})
}

func TestServer_SlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Hour)
			hello(w, r)
		}))
		start := time.Now()
		got, err := get(t, s.Client())
		if got != "hello" || err != nil {
			t.Errorf("got %q, %v, want hello", got, err)
		}
		if took := time.Since(start); took != time.Hour {
			t.Errorf("took %v, want 1h", took)
		}
	})
}

func TestServer_Reuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, http.HandlerFunc(hello))
		for range 5 {
			if got, err := get(t, s.Client()); got != "hello" || err != nil {
				t.Fatalf("got %q, %v, want hello", got, err)
			}
		}
		if opened, open := s.Opened(), s.Open(); opened != 1 || open != 1 {
			t.Errorf("%d connections opened and %d open, want 1 and 1", opened, open)
		}
		s.Transport.CloseIdleConnections()
		synctest.Wait()
		if got := s.Open(); got != 0 {
			t.Errorf("%d connections open, want 0", got)
		}
	})
}

func TestServer_Concurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			hello(w, r)
		}))
		errs := make(chan error, 3)
		for range cap(errs) {
			go func() {
				_, err := get(t, s.Client())
				errs <- err
			}()
		}
		for range cap(errs) {
			if err := <-errs; err != nil {
				t.Error(err)
			}
		}
		if got := s.Opened(); got != 3 {
			t.Errorf("%d connections opened, want 3", got)
		}
	})
}

func TestServer_Broken(t *testing.T) {
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    error
	}{
		{"aborted", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, io.EOF},
		{"reset", func(_ http.ResponseWriter, r *http.Request) { Reset(r) }, syscall.ECONNRESET},
		{"aborted in the body", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}, io.ErrUnexpectedEOF},
		{"reset in the body", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			time.Sleep(time.Second)
			Reset(r)
		}, syscall.ECONNRESET},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := NewServer(t, tt.handler)
				if _, err := get(t, s.Client()); !errors.Is(err, tt.want) {
					t.Errorf("err = %v, want %v", err, tt.want)
				}
				synctest.Wait()
				if got := s.Open(); got != 0 {
					t.Errorf("%d connections open, want 0", got)
				}
			})
		})
	}
}

func TestServer_ResetAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, http.HandlerFunc(hang))
		time.AfterFunc(time.Second, s.Reset)
		if _, err := get(t, s.Client()); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("err = %v, want ECONNRESET", err)
		}
	})
}

func TestServer_RequestBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		}))
		sent := strings.Repeat("0123456789", 100_000)
		resp, err := s.Client().Post("http://any.host", "text/plain", strings.NewReader(sent))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, err := io.ReadAll(resp.Body)
		if string(got) != sent || err != nil {
			t.Errorf("got %d bytes, %v, want the %d sent", len(got), err, len(sent))
		}
	})
}

func TestServer_Deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(t, http.HandlerFunc(hang))
		conn, err := s.Transport.DialContext(t.Context(), "tcp", "any.host:80")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		if err := conn.SetDeadline(start.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		_, err = conn.Read(make([]byte, 1))
		if !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != time.Minute {
			t.Errorf("Read: %v after %v, want ErrDeadlineExceeded after 1m", err, time.Since(start))
		}
	})
}

// The end of a test releases handlers that hang, also those that have not read
// the request body and therefore do not see the connection close, and
// connections that a handler took over.
func TestServer_Cleanup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handlers := http.NewServeMux()
		handlers.HandleFunc("GET /hang", hang)
		handlers.HandleFunc("POST /hang", hang)
		handlers.HandleFunc("GET /hijack", func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = conn.Read(make([]byte, 1))
		})
		s := NewServer(t, handlers)
		go s.Client().Get("http://any.host/hang")
		go s.Client().Get("http://any.host/hijack")
		go s.Client().Post("http://any.host/hang", "text/plain", strings.NewReader(strings.Repeat("x", 1<<20)))
		synctest.Wait()
		if got := s.Open(); got != 3 {
			t.Errorf("%d connections open, want 3", got)
		}
	})
}

func TestServer_Closed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *Server
		inner := &cleanups{TB: t}
		s = NewServer(inner, http.HandlerFunc(hello))
		if _, err := get(t, s.Client()); err != nil {
			t.Fatal(err)
		}
		inner.run()
		if _, err := get(t, s.Client()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("err = %v, want ECONNREFUSED", err)
		}
	})
}

// A cleanups is a test whose cleanup is run by hand.
type cleanups struct {
	testing.TB
	funcs []func()
}

func (c *cleanups) Cleanup(f func()) { c.funcs = append(c.funcs, f) }

func (c *cleanups) run() {
	for _, f := range c.funcs {
		f()
	}
}

// Outside a bubble the server is an ordinary one.
func TestServer_RealTime(t *testing.T) {
	s := NewServer(t, http.HandlerFunc(hello))
	if got, err := get(t, s.Client()); got != "hello" || err != nil {
		t.Errorf("got %q, %v, want hello", got, err)
	}
}
