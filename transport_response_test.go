package redoubt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
)

func TestTransport_034_ConnectionReuse(t *testing.T) {
	var n atomic.Int32
	conns := &redoubttest.Conns{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1)%4 != 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, strings.Repeat("x", 2<<10))
		}
	}))
	server.Config.ConnState = conns.ConnState
	server.Start()
	defer server.Close()
	for _, limit := range []int{0, 1} {
		base := &http.Transport{MaxConnsPerHost: limit}
		rt := &redoubt.Transport{Base: base, Layer: atOnce(4)}
		before := conns.Opened()
		for range 20 {
			req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
			if resp := send(t, rt, req); resp.StatusCode != http.StatusOK {
				t.Fatalf("status %d", resp.StatusCode)
			}
		}
		if opened := conns.Opened() - before; opened != 1 {
			t.Errorf("MaxConnsPerHost %d: 80 requests took %d connections, want 1", limit, opened)
		}
		rt.CloseIdleConnections()
	}
	if err := conns.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// endless writes to w for ever, or until the client has gone.
func endless(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		if _, err := w.Write(make([]byte, 4<<10)); err != nil {
			return
		}
	}
}

func TestTransport_035_036_DiscardIsBounded(t *testing.T) {
	for name, tail := range map[string]http.HandlerFunc{
		"endless": endless,
		"stalled": func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, "begin")
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			bubble(t, func(w http.ResponseWriter, r *http.Request) {
				if l.note(r) == 1 {
					w.WriteHeader(http.StatusServiceUnavailable)
					tail(w, r)
				}
			}, func(t *testing.T, s *memhttp.Server) {
				rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 2)}
				start := time.Now()
				resp := send(t, rt, newRequest(t.Context(), t, "GET", nil))
				if took := time.Since(start); resp.StatusCode != http.StatusOK || took > 1050*time.Millisecond {
					t.Errorf("status %d after %v, want 200 after 1.05s at most", resp.StatusCode, took)
				}
			})
		})
	}
}

// A response that says how long it is, and is longer than may be drained, is not
// even begun.
func TestTransport_035_LongResponseIsNotRead(t *testing.T) {
	for length, want := range map[int64]bool{redoubt.DefaultMaxDrain: true, redoubt.DefaultMaxDrain + 1: false, -1: true} {
		synctest.Test(t, func(t *testing.T) {
			content, trips := &body{Reader: zeros{}}, 0
			rt := &redoubt.Transport{Layer: every(time.Second, 2), Base: trip(func(r *http.Request) (*http.Response, error) {
				if trips++; trips > 1 {
					return answer(r, 200, ""), nil
				}
				resp := answer(r, 503, "")
				resp.Body, resp.ContentLength = content, length
				return resp, nil
			})}
			send(t, rt, newRequest(t.Context(), t, "GET", nil))
			if read := content.reads.Load() > 0; read != want || content.closes.Load() == 0 {
				t.Errorf("length %d: read %v, want %v; closed %d times", length, read, want, content.closes.Load())
			}
		})
	}
}

// The drain gives up on a body with a Read under way. Nobody closes it meanwhile:
// the end of the context brings the Read to its end.
func TestTransport_058_NoCloseDuringARead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var silent *silentBody
		rt := &redoubt.Transport{Layer: every(time.Second, 2), Base: trip(func(r *http.Request) (*http.Response, error) {
			if silent != nil {
				return answer(r, 200, ""), nil
			}
			silent = &silentBody{ctx: r.Context()}
			resp := answer(r, 503, "")
			resp.Body, resp.ContentLength = silent, -1
			return resp, nil
		})}
		send(t, rt, newRequest(t.Context(), t, "GET", nil))
		time.Sleep(time.Minute)
		if silent.during.Load() || !silent.closed.Load() {
			t.Errorf("closed during a Read: %v; closed: %v", silent.during.Load(), silent.closed.Load())
		}
	})
}

// A silentBody gives nothing until its context ends.
type silentBody struct {
	ctx                     context.Context //nolint:containedctx // Its Reads wait for it.
	reading, during, closed atomic.Bool
}

func (b *silentBody) Read([]byte) (int, error) {
	b.reading.Store(true)
	defer b.reading.Store(false)
	<-b.ctx.Done()
	time.Sleep(time.Second)
	return 0, b.ctx.Err()
}

func (b *silentBody) Close() error {
	b.closed.Store(true)
	if b.reading.Load() {
		b.during.Store(true)
	}
	return nil
}

func TestTransport_037_ConnectionIsFreeDuringTheWait(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
		s.Transport.MaxConnsPerHost = 1
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Hour, 2)}
		done := make(chan struct{})
		go func() {
			defer close(done)
			send(t, rt, newRequest(t.Context(), t, "GET", nil))
		}()
		time.Sleep(time.Minute)
		start := time.Now()
		send(t, &redoubt.Transport{Base: s.Transport}, newRequest(t.Context(), t, "GET", nil))
		if took := time.Since(start); took != 0 {
			t.Errorf("another request had to wait %v for the connection", took)
		}
		<-done
	})
}

func TestTransport_038_LastResponseIsReturned(t *testing.T) {
	for name, tail := range map[string]struct {
		size int
		want string
	}{"short": {2 << 10, ""}, "longer than is drained": {200 << 10, ""}, "empty": {0, ""}} {
		for _, declared := range []bool{true, false} {
			t.Run(fmt.Sprint(name, declared), func(t *testing.T) {
				var l log
				want := strings.Repeat("x", tail.size)
				bubble(t, func(w http.ResponseWriter, r *http.Request) {
					n := l.note(r)
					if declared {
						w.Header().Set("Content-Length", fmt.Sprint(tail.size))
					}
					w.Header().Set("X-Count", fmt.Sprint(n))
					w.WriteHeader(http.StatusServiceUnavailable)
					_ = http.NewResponseController(w).Flush()
					_, _ = io.WriteString(w, want)
				}, func(t *testing.T, s *memhttp.Server) {
					rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
					resp := send(t, rt, newRequest(t.Context(), t, "GET", nil))
					got, _ := io.ReadAll(resp.Body)
					if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("X-Count") != "3" || string(got) != want {
						t.Errorf("status %d of request %s with %d bytes, want 503 of 3 with %d",
							resp.StatusCode, resp.Header.Get("X-Count"), len(got), len(want))
					}
				})
			})
		}
	}
}

// A slow last response is whole, although the drain had given up on it.
func TestTransport_038_SlowLastResponse(t *testing.T) {
	bubble(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		for range 10 {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(30 * time.Millisecond)
		}
	}, func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 2)}
		resp := send(t, rt, newRequest(t.Context(), t, "GET", nil))
		if got, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusServiceUnavailable || string(got) != "xxxxxxxxxx" {
			t.Errorf("status %d, body %q", resp.StatusCode, got)
		}
	})
}

// What the drain gave up on is the caller's as it comes, not once there is enough
// of it.
func TestTransport_038_SlowLastResponseComesAsItIs(t *testing.T) {
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(30 * time.Millisecond)
		}
	}, func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 2)}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		start := time.Now()
		n, err := resp.Body.Read(make([]byte, 64))
		if took := time.Since(start); n != 3 || err != nil || took != 10*time.Millisecond {
			t.Errorf("the first Read gave %d bytes, %v after %v, want 3 after 10ms", n, err, took)
		}
	})
}

// Of a response of unknown length not a byte more is read ahead than may be.
func TestTransport_035_DrainIsExact(t *testing.T) {
	for _, limit := range []int64{1, 5000} {
		var read int
		rt := &redoubt.Transport{MaxDrain: limit, Layer: every(time.Second, 1), Base: trip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 503, "")
			resp.ContentLength, resp.Body = -1, io.NopCloser(readerFunc(func(p []byte) (int, error) {
				read += len(p)
				return len(p), nil
			}))
			return resp, nil
		})}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if read != int(limit) {
			t.Errorf("%d bytes were read, want %d", read, limit)
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Whether a body was closed well is the caller's to know.
func TestTransport_042_CloseFails(t *testing.T) {
	broken := errors.New("broken")
	for _, status := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		rt := &redoubt.Transport{Base: trip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, status, "")
			resp.ContentLength, resp.Body = -1, unclosable{zeros{}, broken}
			return resp, nil
		})}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != broken {
			t.Errorf("%d: Close() = %v, want what Base's body says", status, err)
		}
	}
}

type unclosable struct {
	io.Reader
	err error
}

func (b unclosable) Close() error { return b.err }

func TestTransport_038_BreakerOpensBetweenAttempts(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503), func(t *testing.T, s *memhttp.Server) {
		b := breaker.New(breaker.Config{Name: "b", Consecutive: 1})
		rt := &redoubt.Transport{Base: s.Transport, Layer: redoubt.Stack{every(time.Second, 3), b}}
		if resp := send(t, rt, newRequest(t.Context(), t, "GET", nil)); resp.StatusCode != http.StatusServiceUnavailable || l.count() != 1 {
			t.Errorf("status %d after %d requests", resp.StatusCode, l.count())
		}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if resp != nil || !errors.Is(err, breaker.ErrOpen) {
			t.Errorf("%v, %v, want ErrOpen", resp, err)
		}
	})
}

func TestTransport_039_NeverBoth(t *testing.T) {
	for name, layer := range map[string]redoubt.Layer{
		"swallows": redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error { _ = call(ctx); return nil }),
		"spoils":   redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error { _ = call(ctx); return io.EOF }),
		"passes":   redoubt.Stack{},
	} {
		for _, status := range []int{200, 503, 0} {
			content := &body{Reader: strings.NewReader("x")}
			rt := &redoubt.Transport{Layer: layer, Base: trip(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, status, "")
				resp.Body = content
				if status == 0 {
					return resp, io.EOF // against the contract
				}
				return resp, nil
			})}
			resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
			if (resp == nil) == (err == nil) {
				t.Errorf("%s %d: response %v, error %v", name, status, resp, err)
			}
			if resp != nil {
				_ = resp.Body.Close()
			}
			if content.closes.Load() == 0 {
				t.Errorf("%s %d: response body was not closed", name, status)
			}
		}
	}
}

func TestTransport_040_ResponseIsTheCallers(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 2)}
		req := newRequest(t.Context(), t, "GET", nil)
		if resp := send(t, rt, req); resp.Request != req || resp.Request.Context().Err() != nil {
			t.Error("response is of another request")
		}
	})
}

func TestTransport_041_ErrorsToExhaustion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var last error
		rt := &redoubt.Transport{Layer: every(time.Second, 100), Base: trip(func(r *http.Request) (*http.Response, error) {
			last = &url.Error{Op: "Get", URL: r.URL.String(), Err: fmt.Errorf("read: %w", syscall.ECONNRESET)}
			return nil, last
		})}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		var outer *url.Error
		var gaveUp *retry.Error
		if !errors.Is(err, syscall.ECONNRESET) || errors.As(err, &outer) || !errors.As(err, &gaveUp) || gaveUp.Attempts != 100 {
			t.Errorf("err = %v", err)
		}
		if text := err.Error(); len(text) > 200 || strings.Contains(text, "hunter2") || !strings.Contains(text, "connection_reset ×8)") {
			t.Errorf("err = %v", text)
		}
	})
}

func TestTransport_042_CloseAgain(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 2)}
		resp := send(t, rt, newRequest(t.Context(), t, "GET", nil))
		for range 2 {
			if err := resp.Body.Close(); err != nil {
				t.Error(err)
			}
		}
	})
}

// A Read after Close is the caller's mistake and says so, as it does without us,
// rather than give an empty body. It is http.Client that closes the response that
// comes with the error of a CheckRedirect.
func TestTransport_042_ReadAfterClose(t *testing.T) {
	for _, protocol := range []string{"HTTP/1", "HTTP/2"} {
		for _, read := range []int64{0, 2, 100} {
			t.Run(fmt.Sprint(protocol, " after ", read), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var base http.RoundTripper = memhttp.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
						_, _ = io.WriteString(w, "done")
					})).Transport
					if protocol == "HTTP/2" {
						base = (&h2{serve: func(c *h2conn, stream uint32) { c.ok(stream, "done") }}).transport(t)
					}
					after := func(rt http.RoundTripper, gone bool) string {
						ctx, cancel := context.WithCancel(t.Context())
						defer cancel()
						resp, err := rt.RoundTrip(newRequest(ctx, t, "GET", nil))
						if err != nil {
							t.Fatal(err)
						}
						_, _ = io.CopyN(io.Discard, resp.Body, read)
						_ = resp.Body.Close()
						if gone { // as with http.Client.Timeout, which ends the context with the body
							cancel()
						}
						n, err := resp.Body.Read(make([]byte, 1))
						return fmt.Sprint(n, " ", err)
					}
					for _, gone := range []bool{false, true} {
						want := after(base, gone)
						if got := after(&redoubt.Transport{Base: base, Layer: every(time.Second, 3)}, gone); got != want {
							t.Errorf("caller gone %t: got %s, want %s", gone, got, want)
						}
					}
				})
			})
		}
	}
}

// Who closes the body while another goroutine reads it ends that Read, and is not
// told of a cancellation that never was: not by a Transport within another either.
func TestTransport_042_CloseDuringARead(t *testing.T) {
	for _, status := range []int{http.StatusOK, http.StatusServiceUnavailable} {
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(status)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: &redoubt.Transport{Base: s.Transport}}
			resp, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", nil))
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(time.Second, func() { _ = resp.Body.Close() })
			start := time.Now()
			_, err = resp.Body.Read(make([]byte, 1))
			if err == nil || errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
				t.Errorf("%d: %v after %v, want an error after 1s that is no cancellation", status, err, time.Since(start))
			}
		})
	}
}

// What is compared with http.NoBody stays that, also of a switch that is none.
func TestTransport_043_NoBodyIsKept(t *testing.T) {
	for _, status := range []int{http.StatusSwitchingProtocols, http.StatusOK, http.StatusNoContent} {
		rt := &redoubt.Transport{Base: trip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, status, "")
			resp.Body = http.NoBody
			return resp, nil
		})}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err != nil || resp.Body != http.NoBody {
			t.Errorf("%d: %v, %v, want http.NoBody", status, resp, err)
		}
	}
}

func TestTransport_043_ResponseIsOtherwiseThatOfBase(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", "42")
	}))
	defer server.Close()
	rt := &redoubt.Transport{Base: server.Client().Transport}
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	resp := send(t, rt, req)
	if resp.TLS == nil || resp.ContentLength != -1 || resp.Trailer.Get("X-Sum") != "42" || resp.Proto != "HTTP/1.1" {
		t.Errorf("response = %+v", resp)
	}
}

func TestTransport_044_CloseIdleConnections(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 200), func(t *testing.T, s *memhttp.Server) {
		client := &http.Client{Transport: &redoubt.Transport{Base: s.Transport}}
		send(t, client.Transport, newRequest(t.Context(), t, "GET", nil))
		client.CloseIdleConnections()
		synctest.Wait()
		if s.Open() != 0 {
			t.Errorf("%d connections are open", s.Open())
		}
	})
	(&redoubt.Transport{Base: trip(nil)}).CloseIdleConnections() // has none
}

func TestTransport_046_EarlyResponse(t *testing.T) {
	for _, buffer := range []int64{0, 1 << 10} {
		addr := rawServer(t, func(conn net.Conn, _ *http.Request) {
			_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			_, _ = io.Copy(io.Discard, conn)
		})
		rt := &redoubt.Transport{Base: &http.Transport{}, Layer: atOnce(2), MaxRequestBuffer: buffer, HeaderTimeout: time.Minute}
		pr, pw := io.Pipe()
		hangs := errors.New("the body is read on and on")
		defer time.AfterFunc(time.Minute, func() { _ = pr.CloseWithError(hangs) }).Stop()
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+addr, pr)
		if resp := send(t, rt, req); resp.StatusCode != http.StatusForbidden {
			t.Errorf("status %d", resp.StatusCode)
		}
		if _, err := io.Copy(pw, zeros{}); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("err = %v: the body was not closed, its producer would wait for ever", err)
		}
	}
}

// rawServer serves connections on a loopback socket, each with the first request
// that comes over it, if one does before the test ends.
func rawServer(t *testing.T, serve func(net.Conn, *http.Request)) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var busy sync.WaitGroup
	busy.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(t.Context(), func() { _ = conn.Close() })
			busy.Go(func() {
				defer conn.Close()
				defer stop()
				if req, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
					serve(conn, req)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		busy.Wait()
	})
	return listener.Addr().String()
}

func TestTransport_047_Panics(t *testing.T) {
	broken := func() { panic("broken") }
	for name, rt := range map[string]*redoubt.Transport{
		"base":       {Base: trip(func(*http.Request) (*http.Response, error) { broken(); return nil, nil })},
		"classifier": {Failure: func(*http.Response) bool { broken(); return false }},
		"prepare":    {Prepare: func(*http.Request) error { broken(); return nil }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := breaker.New(breaker.Config{Name: "b", Consecutive: 1, Cooldown: time.Second})
				_ = b.Do(t.Context(), func(context.Context) error { return io.EOF })
				time.Sleep(time.Minute) // half-open: one slot
				if rt.Base == nil {
					rt.Base = trip(func(r *http.Request) (*http.Response, error) { return answer(r, 200, ""), nil })
				}
				rt.Layer = redoubt.Stack{every(time.Second, 2), b}
				var sent context.Context
				base := rt.Base
				rt.Base = trip(func(r *http.Request) (*http.Response, error) {
					sent = r.Context() //nolint:fatcontext // It is looked at, not used.
					return base.RoundTrip(r)
				})
				content := &body{Reader: strings.NewReader("order")}
				func() {
					defer func() {
						if r := recover(); r != "broken" {
							t.Errorf("recovered %v", r)
						}
					}()
					_, _ = rt.RoundTrip(newRequest(t.Context(), t, "PUT", content))
				}()
				if b.State() != breaker.Open || content.closes.Load() == 0 {
					t.Errorf("breaker is %v, body closed %d times", b.State(), content.closes.Load())
				}
				if sent != nil && sent.Err() == nil {
					t.Error("context of the attempt is alive after the panic")
				}
			})
		})
	}
}

// A propagator that panics comes before there is anybody to close the body.
func TestTransport_047_PanicInThePropagator(t *testing.T) {
	for _, again := range []bool{true, false} {
		content := &body{Reader: strings.NewReader("order")}
		req := newRequest(t.Context(), t, "PUT", content)
		if again {
			req.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
		}
		rt := &redoubt.Transport{Propagator: brokenPropagator{}, Base: trip(nil)}
		func() {
			defer func() {
				if r := recover(); r != "broken" {
					t.Errorf("recovered %v", r)
				}
			}()
			_, _ = rt.RoundTrip(req)
		}()
		if content.closes.Load() != 1 {
			t.Errorf("with GetBody %v the body was closed %d times, want once", again, content.closes.Load())
		}
	}
}

type brokenPropagator struct{ propagation.TraceContext }

func (brokenPropagator) Inject(context.Context, propagation.TextMapCarrier) { panic("broken") }

// A hook that panics about a response leaves nobody to close it.
func TestTransport_047_PanicClosesTheResponse(t *testing.T) {
	content := &body{Reader: strings.NewReader("x")}
	rt := &redoubt.Transport{
		Base: trip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 503, "")
			resp.Body = content
			return resp, nil
		}),
		Failure: func(*http.Response) bool { panic("broken") },
	}
	func() {
		defer func() {
			if r := recover(); r != "broken" {
				t.Errorf("recovered %v", r)
			}
		}()
		_, _ = rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	}()
	if content.closes.Load() != 1 {
		t.Errorf("response body was closed %d times, want once", content.closes.Load())
	}
}

// A response body that panics while it is read ahead does so in the goroutine of
// whoever called RoundTrip, where it can be recovered.
func TestTransport_047_PanicInTheResponseBody(t *testing.T) {
	for name, slow := range map[string]bool{"at once": false, "after the drain gave up": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				content := &body{Reader: panicking{slow}}
				rt := &redoubt.Transport{Layer: every(time.Second, 1), Base: trip(func(r *http.Request) (*http.Response, error) {
					resp := answer(r, 503, "")
					resp.Body, resp.ContentLength = content, -1
					return resp, nil
				})}
				defer func() {
					if r := recover(); r != "broken" {
						t.Errorf("recovered %v", r)
					}
					if content.closes.Load() == 0 {
						t.Error("response body was not closed")
					}
				}()
				resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				_, err = io.ReadAll(resp.Body)
				t.Errorf("body was read: %v", err)
			})
		})
	}
}

type panicking struct{ slow bool }

func (p panicking) Read([]byte) (int, error) {
	if p.slow {
		time.Sleep(time.Second)
	}
	panic("broken")
}
