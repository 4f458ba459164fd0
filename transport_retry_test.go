package redoubt_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
)

func TestTransport_001_UnsafeMethodsAreSentOnce(t *testing.T) {
	for _, method := range []string{"POST", "PATCH", "LOCK"} {
		var l log
		bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			resp := send(t, rt, newRequest(t.Context(), t, method, strings.NewReader("order")))
			if resp.StatusCode != http.StatusServiceUnavailable || l.count() != 1 {
				t.Errorf("%s: status %d after %d requests, want 503 after 1", method, resp.StatusCode, l.count())
			}
		})
	}
}

func TestTransport_002_IdempotencyKey(t *testing.T) {
	for _, name := range []string{"Idempotency-Key", "X-Idempotency-Key"} {
		var l log
		bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			resp := send(t, rt, newRequest(t.Context(), t, "POST", strings.NewReader("order"), name, "k1"))
			if resp.StatusCode != http.StatusOK || l.count() != 2 {
				t.Fatalf("status %d after %d requests, want 200 after 2", resp.StatusCode, l.count())
			}
			for _, r := range l.all() {
				if r.Header.Get(name) != "k1" || r.body != "order" {
					t.Errorf("server got key %q and body %q", r.Header.Get(name), r.body)
				}
			}
		})
	}
}

func TestTransport_003_ResetsOfIdempotentMethods(t *testing.T) {
	for _, method := range []string{"PUT", "DELETE", "GET", "HEAD", "OPTIONS", "TRACE", ""} {
		var l log
		handler := func(w http.ResponseWriter, r *http.Request) {
			if l.note(r) == 1 {
				memhttp.Reset(r)
			}
		}
		bubble(t, handler, func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			req := newRequest(t.Context(), t, "GET", nil)
			req.Method = method
			if resp := send(t, rt, req); resp.StatusCode != http.StatusOK || l.count() != 2 {
				t.Errorf("%q: status %d after %d requests, want 200 after 2", method, resp.StatusCode, l.count())
			}
		})
	}
}

func TestTransport_004_PostOnABrokenConnection(t *testing.T) {
	var l log
	handler := func(_ http.ResponseWriter, r *http.Request) {
		l.note(r)
		memhttp.Reset(r)
	}
	bubble(t, handler, func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order")))
		var sendErr *redoubt.SendError
		if !errors.As(err, &sendErr) || !sendErr.Sent || sendErr.Retryable() || l.count() != 1 {
			t.Errorf("err = %v after %d requests, want a SendError that says Sent after 1", err, l.count())
		}
	})
}

func TestTransport_005_NothingWasSent(t *testing.T) {
	t.Run("dial refused", func(t *testing.T) {
		var l log
		bubble(t, statuses(&l, 200), func(t *testing.T, s *memhttp.Server) {
			dials := 0
			dial := s.Transport.DialContext
			s.Transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if dials++; dials < 3 {
					return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
				}
				return dial(ctx, network, addr)
			}
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			// Without GetBody: nothing of the body was read, so it is still whole.
			resp := send(t, rt, newRequest(t.Context(), t, "POST", &body{Reader: strings.NewReader("order")}))
			if resp.StatusCode != http.StatusOK || l.count() != 1 || l.all()[0].body != "order" {
				t.Errorf("status %d after %d requests", resp.StatusCode, l.count())
			}
		})
	})
	t.Run("breaker open", func(t *testing.T) {
		var l log
		bubble(t, statuses(&l, 200), func(t *testing.T, s *memhttp.Server) {
			b := breaker.New(breaker.Config{Name: "b", Consecutive: 1, Cooldown: 2 * time.Second, Jitter: breaker.NoJitter})
			_ = b.Do(t.Context(), func(context.Context) error { return io.EOF })
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			rt := &redoubt.Transport{Base: s.Transport, Layer: redoubt.Stack{awaiting(every(time.Second, 4)), b}}
			resp := send(t, rt, newRequest(ctx, t, "POST", strings.NewReader("order")))
			if resp.StatusCode != http.StatusOK || l.count() != 1 {
				t.Errorf("status %d after %d requests", resp.StatusCode, l.count())
			}
		})
	})
}

// A connection that is refused costs the server nothing, so that a budget that is
// empty does not forbid another; a process that is restarted in the meantime is
// there for it. Other failures to connect may have been work for somebody.
func TestTransport_005_UnreachedIsFree(t *testing.T) {
	for _, tt := range []struct {
		err     error
		nested  bool // a Transport is the Base of another
		dials   int
		elapsed time.Duration
	}{
		{os.NewSyscallError("connect", syscall.ECONNREFUSED), false, 3, 2 * (time.Second + 200*time.Millisecond)},
		{os.NewSyscallError("connect", syscall.ECONNREFUSED), true, 3, 2 * (time.Second + 200*time.Millisecond)},
		{os.NewSyscallError("connect", syscall.ETIMEDOUT), false, 1, 0},
	} {
		var l log
		bubble(t, statuses(&l, 200), func(t *testing.T, s *memhttp.Server) {
			dials, start := 0, time.Now()
			s.Transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
				dials++
				return nil, &net.OpError{Op: "dial", Err: tt.err}
			}
			budget := retry.NewBudget(retry.BudgetConfig{Name: "empty", Burst: 1, Ratio: 0.01, MinPerSecond: retry.NoFloor})
			_ = retry.Policy{Budget: budget, MaxAttempts: 2, Backoff: retry.Constant(0)}.Do(t.Context(), func(context.Context) error { return io.EOF })
			rt := &redoubt.Transport{Base: s.Transport, Layer: retry.Policy{
				Budget: budget, Backoff: retry.Constant(time.Second), RestartWait: 200 * time.Millisecond,
			}}
			if tt.nested {
				rt.Base = &redoubt.Transport{Base: s.Transport}
			}
			_, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order")))
			failed, ok := errors.AsType[*redoubt.SendError](err)
			if !ok || failed.Sent || failed.Unreached() != (tt.dials > 1) {
				t.Errorf("%v: err = %#v", tt.err, err)
			}
			if took := time.Since(start); dials != tt.dials || took != tt.elapsed {
				t.Errorf("%v: %d dials in %v, want %d in %v", tt.err, dials, took, tt.dials, tt.elapsed)
			}
		})
	}
}

func TestTransport_006_ContextOverridesTheMethod(t *testing.T) {
	t.Run("idempotent", func(t *testing.T) {
		var l log
		bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			req := newRequest(redoubt.WithIdempotent(t.Context()), t, "POST", strings.NewReader("order"))
			if resp := send(t, rt, req); resp.StatusCode != http.StatusOK || l.count() != 2 {
				t.Errorf("status %d after %d requests, want 200 after 2", resp.StatusCode, l.count())
			}
			if _, sent := l.all()[0].Header["X-Idempotency-Key"]; sent {
				t.Error("the mark for net/http went over the wire")
			}
		})
	})
	t.Run("never", func(t *testing.T) {
		var l log
		bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			ctx := redoubt.WithoutRetry(redoubt.WithIdempotent(t.Context()))
			if resp := send(t, rt, newRequest(ctx, t, "GET", nil)); resp.StatusCode != http.StatusServiceUnavailable || l.count() != 1 {
				t.Errorf("status %d after %d requests, want 503 after 1", resp.StatusCode, l.count())
			}
		})
	})
	// The server drops the connection that is reused after it got the request:
	// net/http by itself sends a GET again, and a POST with a key.
	for _, tt := range []struct {
		name, method string
		ctx          func(context.Context) context.Context
		want         int
	}{
		{"replay of GET", "GET", func(ctx context.Context) context.Context { return ctx }, 3},
		{"no replay of GET", "GET", redoubt.WithoutRetry, 2},
		{"no replay of PUT with body", "PUT", redoubt.WithoutRetry, 2},
		{"replay of POST", "POST", redoubt.WithIdempotent, 3},
		{"no replay of POST", "POST", func(ctx context.Context) context.Context { return ctx }, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l log
			handler := func(_ http.ResponseWriter, r *http.Request) {
				if l.note(r) == 2 {
					panic(http.ErrAbortHandler)
				}
			}
			bubble(t, handler, func(t *testing.T, s *memhttp.Server) {
				rt := &redoubt.Transport{Base: s.Transport}
				send(t, rt, newRequest(t.Context(), t, "GET", nil))
				var content io.Reader
				if tt.method != "GET" {
					content = strings.NewReader("order")
				}
				resp, err := rt.RoundTrip(newRequest(tt.ctx(t.Context()), t, tt.method, content))
				if err == nil {
					resp.Body.Close()
				}
				if l.count() != tt.want {
					t.Errorf("%d requests on the wire, want %d (%v)", l.count(), tt.want, err)
				}
			})
		})
	}
}

// The mark by which net/http replays a request takes no key of the caller's away,
// and is not there if nothing is to be sent again.
func TestTransport_006_Mark(t *testing.T) {
	never := func(ctx context.Context) context.Context { return redoubt.WithoutRetry(redoubt.WithIdempotent(ctx)) }
	for name, tt := range map[string]struct {
		wish   func(context.Context) context.Context
		header []string
		marked bool
		key    string
	}{
		"idempotent":      {redoubt.WithIdempotent, nil, true, ""},
		"never again":     {never, nil, false, ""},
		"the caller's":    {redoubt.WithIdempotent, []string{"X-Idempotency-Key", "k1"}, true, "k1"},
		"the better name": {redoubt.WithIdempotent, []string{"Idempotency-Key", "k1"}, false, ""},
	} {
		rt := &redoubt.Transport{Base: trip(func(r *http.Request) (*http.Response, error) {
			if _, marked := r.Header["X-Idempotency-Key"]; marked != tt.marked || r.Header.Get("X-Idempotency-Key") != tt.key {
				t.Errorf("%s: header %v, want marked %v and key %q", name, r.Header, tt.marked, tt.key)
			}
			return answer(r, 200, ""), nil
		})}
		send(t, rt, newRequest(tt.wish(t.Context()), t, "POST", http.NoBody, tt.header...))
	}
}

// What keeps net/http from sending a request again does not take its body away.
func TestTransport_006_BodyOfGET(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 200), func(t *testing.T, s *memhttp.Server) {
		send(t, &redoubt.Transport{Base: s.Transport}, newRequest(redoubt.WithoutRetry(t.Context()), t, "GET", strings.NewReader("query")))
	})
	if got := l.all()[0].body; got != "query" {
		t.Errorf("sent %q, want query", got)
	}
}

func TestTransport_008_009_Statuses(t *testing.T) {
	repeated := map[int]bool{408: true, 425: true, 429: true, 500: true, 502: true, 503: true, 504: true}
	for _, status := range []int{400, 401, 403, 404, 405, 408, 409, 410, 412, 413, 415, 422, 425, 429, 500, 501, 502, 503, 504, 505, 507, 511} {
		var l log
		bubble(t, statuses(&l, status, 200), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			resp := send(t, rt, newRequest(t.Context(), t, "GET", nil))
			if repeated[status] != (l.count() == 2) || repeated[status] != (resp.StatusCode == http.StatusOK) {
				t.Errorf("%d: got %d after %d requests", status, resp.StatusCode, l.count())
			}
		})
	}
}

func TestTransport_010_MisdirectedRequest(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			addrs := make(chan string, 8)
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				addrs <- r.Proto + " " + r.RemoteAddr
				w.WriteHeader(http.StatusMisdirectedRequest)
			}))
			server.EnableHTTP2 = proto == "HTTP/2.0"
			server.StartTLS()
			defer server.Close()
			rt := &redoubt.Transport{Base: server.Client().Transport, Layer: every(20*time.Millisecond, 5)}
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader("order"))
			resp := send(t, rt, req)
			close(addrs)
			first, second := <-addrs, <-addrs
			if resp.StatusCode != http.StatusMisdirectedRequest || !strings.HasPrefix(first, proto) || second == "" || first == second {
				t.Errorf("status %d, by %q and %q, want two connections", resp.StatusCode, first, second)
			}
			if third, ok := <-addrs; ok {
				t.Errorf("a third request, by %q", third)
			}
		})
	}
}

// Whoever shares Base keeps his connections, unless there is no other way.
func TestTransport_010_MisdirectedRequestClosesOneConnection(t *testing.T) {
	var l log
	innocent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.note(r)
	}))
	defer innocent.Close()
	var addrs []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		addrs = append(addrs, r.RemoteAddr)
		if len(addrs) == 1 {
			w.WriteHeader(http.StatusMisdirectedRequest)
			_, _ = io.WriteString(w, "not me")
		}
	}))
	defer server.Close()

	base := &http.Transport{}
	defer base.CloseIdleConnections()
	rt := &redoubt.Transport{Base: base, Layer: atOnce(2)}
	for _, url := range []string{innocent.URL, server.URL, innocent.URL} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
		if resp := send(t, rt, req); resp.StatusCode != http.StatusOK {
			t.Errorf("status %d", resp.StatusCode)
		}
	}
	if len(addrs) != 2 || addrs[0] == addrs[1] {
		t.Errorf("sent over %v, want two connections", addrs)
	}
	if all := l.all(); len(all) != 2 || all[0].RemoteAddr != all[1].RemoteAddr {
		t.Error("a connection to somebody else was closed")
	}
}

// The connection of HTTP/2 has other streams under way, so that it can't be
// closed, and it suits them. The request alone needs another.
func TestTransport_010_MisdirectedStreamOfABusyConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h h2
		h.serve = func(c *h2conn, stream uint32) {
			switch {
			case c.n == 1 && stream == 1: // under way until the end
				c.frame(frameHeaders, flagEndHeaders, stream, []byte{0x88})
			case c.n == 1:
				c.status(stream, "421")
			default:
				c.ok(stream, "done")
			}
		}
		base := h.transport(t)
		rt := &redoubt.Transport{Base: base, Layer: every(time.Second, 3)}
		other, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		for n := 2; n <= 3; n++ {
			resp := send(t, rt, newRequest(t.Context(), t, "POST", strings.NewReader("order")))
			if resp.StatusCode != http.StatusOK || h.opened() != n {
				t.Errorf("status %d over %d connections, want 200 over %d", resp.StatusCode, h.opened(), n)
			}
		}
		h.mu.Lock()
		h.conns[0].frame(frameData, flagEnd, 1, []byte("late"))
		h.mu.Unlock()
		if got, err := io.ReadAll(other.Body); string(got) != "late" || err != nil {
			t.Errorf("the other stream brought %q, %v", got, err)
		}
		other.Body.Close()
		synctest.Wait()
		for i, c := range h.conns[1:] {
			select {
			case <-c.done:
			default:
				t.Errorf("connection %d is left open", i+2)
			}
		}
	})
}

// A server that misdirects every request costs nobody else a connection, however
// its response looks.
func TestTransport_010_MisdirectedRequestSparesOthers(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			var l log
			innocent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { l.note(r) }))
			defer innocent.Close()
			conns := &redoubttest.Conns{}
			server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusMisdirectedRequest) // without a body, so that the connection is idle at once
			}))
			server.EnableHTTP2 = proto == "HTTP/2.0"
			server.Config.ConnState = conns.ConnState
			server.StartTLS()
			defer server.Close()
			base := server.Client().Transport.(*http.Transport)
			rt := &redoubt.Transport{Base: base, Layer: atOnce(2)}
			for range 3 {
				for url, status := range map[string]int{innocent.URL: http.StatusOK, server.URL: http.StatusMisdirectedRequest} {
					req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
					if resp := send(t, rt, req); resp.StatusCode != status {
						t.Errorf("status %d, want %d", resp.StatusCode, status)
					}
				}
			}
			for _, r := range l.all() {
				if r.RemoteAddr != l.all()[0].RemoteAddr {
					t.Error("a connection to somebody else was closed")
				}
			}
			if opened := conns.Opened(); opened != 4 {
				t.Errorf("%d connections, want 4: one for all and one for each retry", opened)
			}
			rt.CloseIdleConnections()
			if err := conns.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// A zero http.Transport speaks HTTP/2, but its copy does not by itself.
func TestTransport_010_MisdirectedRequestOfAZeroBase(t *testing.T) {
	var n atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("request by %s", r.Proto)
		}
		if n.Add(1) == 1 {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	base := &http.Transport{}
	base.CloseIdleConnections() // makes it ready
	base.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	rt := &redoubt.Transport{Base: base, Layer: atOnce(2)}
	defer rt.CloseIdleConnections()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, http.NoBody)
	if resp := send(t, rt, req); resp.StatusCode != http.StatusOK {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestTransport_011_ExpectationFailed(t *testing.T) {
	var l log
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Expect") != "" {
			l.mu.Lock()
			l.requests = append(l.requests, received{r, "", time.Now()})
			l.mu.Unlock()
			w.WriteHeader(http.StatusExpectationFailed)
			return
		}
		l.note(r)
	}
	bubble(t, handler, func(t *testing.T, s *memhttp.Server) {
		s.Transport.ExpectContinueTimeout = time.Minute
		rt := &redoubt.Transport{Base: s.Transport}
		req := newRequest(t.Context(), t, "POST", strings.NewReader("order"), "Expect", "100-continue")
		if resp := send(t, rt, req); resp.StatusCode != http.StatusOK || l.count() != 2 || l.all()[1].body != "order" {
			t.Errorf("status %d after %d requests", resp.StatusCode, l.count())
		}
		if req.Header.Get("Expect") == "" {
			t.Error("the caller's header was changed")
		}
		if waits := l.waits(); waits[0] != 0 {
			t.Errorf("sent again after %v, want at once", waits[0])
		}
	})
}

// What must be sent once is not sent again without Expect either.
func TestTransport_011_ExpectationFailedOnce(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 417, 200), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
		req := newRequest(redoubt.WithoutRetry(t.Context()), t, "PUT", strings.NewReader("order"), "Expect", "100-continue")
		if resp := send(t, rt, req); resp.StatusCode != http.StatusExpectationFailed || l.count() != 1 {
			t.Errorf("status %d after %d requests, want 417 after 1", resp.StatusCode, l.count())
		}
	})
}

// A server that read the body before it says 417 leaves nothing to be sent again.
func TestTransport_011_ExpectationFailedTooLate(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 417, 200), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
		req := newRequest(t.Context(), t, "PUT", &body{Reader: strings.NewReader("order")}, "Expect", "100-continue")
		if resp := send(t, rt, req); resp.StatusCode != http.StatusExpectationFailed || l.count() != 1 {
			t.Errorf("status %d after %d requests, want 417 after 1", resp.StatusCode, l.count())
		}
	})
}

func TestTransport_012_Conflict(t *testing.T) {
	for _, tt := range []struct {
		name     string
		optIn    bool
		key      string
		status   int
		requests int
	}{
		{"opted in", true, "k1", 409, 2},
		{"not opted in", false, "k1", 409, 1},
		{"without key", true, "", 409, 1},
		{"unprocessable", true, "k1", 422, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l log
			bubble(t, statuses(&l, tt.status, 200), func(t *testing.T, s *memhttp.Server) {
				rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), RetryConflict: tt.optIn}
				req := newRequest(t.Context(), t, "POST", strings.NewReader("order"))
				if tt.key != "" {
					req.Header.Set("Idempotency-Key", tt.key)
				}
				send(t, rt, req)
				if l.count() != tt.requests {
					t.Errorf("%d requests, want %d", l.count(), tt.requests)
				}
			})
		})
	}
}

func TestTransport_013_TooLargeWithRetryAfter(t *testing.T) {
	for _, header := range [][]string{nil, {"Retry-After", "7"}} {
		var l log
		bubble(t, hints(&l, 413, header...), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			send(t, rt, newRequest(t.Context(), t, "PUT", strings.NewReader("order")))
			if want := 1 + len(header)/2; l.count() != want {
				t.Errorf("%v: %d requests, want %d", header, l.count(), want)
			}
		})
	}
}
