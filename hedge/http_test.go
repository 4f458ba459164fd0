package hedge_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
)

// The tests of Transport are named after the lines of the specification of the
// HTTP edge: TestTransport_108_… tests line 108.

// A server answers its nth request with the nth of these, the last for ever.
type server struct {
	answers []http.HandlerFunc

	mu       sync.Mutex
	requests []*http.Request
	bodies   []string
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	s.requests = append(s.requests, r)
	s.bodies = append(s.bodies, string(body))
	answer := s.answers[min(len(s.requests), len(s.answers))-1]
	s.mu.Unlock()
	answer(w, r)
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

// after answers with status and body once this much time has passed.
func after(d time.Duration, status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-time.After(d):
		case <-r.Context().Done():
			return
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// bubble runs f with a server in memory, both in a bubble where time is exact,
// and sees to it that nothing is left of it.
func bubble(t *testing.T, f func(t *testing.T, base *memhttp.Server), answers ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{answers: answers}
	synctest.Test(t, func(t *testing.T) {
		base := memhttp.NewServer(t, s)
		f(t, base)
		base.Transport.CloseIdleConnections()
		synctest.Wait()
		if n := base.Open(); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
	return s
}

func newRequest(ctx context.Context, t testing.TB, method string, body io.Reader, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://example.com/invoices", body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// send returns the status and the body of the response.
func send(t testing.TB, rt http.RoundTripper, req *http.Request) (int, string) {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s: %v", req.Method, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s: body: %v", req.Method, err)
	}
	if resp.Request != req {
		t.Errorf("the response's request is not the caller's")
	}
	return resp.StatusCode, string(body)
}

func TestTransport_105_LoserIsNoVerdict(t *testing.T) {
	bubble(t, func(t *testing.T, base *memhttp.Server) {
		var verdicts []error
		circuit := breaker.New(breaker.Config{Name: "test", Consecutive: 1, Classify: func(err error) breaker.Outcome {
			verdicts = append(verdicts, err)
			if err != nil {
				return breaker.Failure
			}
			return breaker.Success
		}})
		rt := &redoubt.Transport{Layer: circuit, Base: &hedge.Transport{Base: base.Transport, Hedger: eager(time.Second)}}
		start := time.Now()
		status, body := send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil))
		if took := time.Since(start); status != 200 || body != "hedge" || took != 2*time.Second {
			t.Errorf("got %d %q after %v, want 200 \"hedge\" after 2s", status, body, took)
		}
		if len(verdicts) != 1 || verdicts[0] != nil || circuit.State() != breaker.Closed {
			t.Errorf("verdicts %v, state %v, want one success and closed", verdicts, circuit.State())
		}
	}, after(time.Hour, 200, "first"), after(time.Second, 200, "hedge"))
}

// TestTransport_105_LoserInsideIsNoVerdict has the breakers below the hedge: what
// a loser of ours did is the doing of its caller.
func TestTransport_105_LoserInsideIsNoVerdict(t *testing.T) {
	bubble(t, func(t *testing.T, base *memhttp.Server) {
		circuit := breaker.New(breaker.Config{Name: "test", Consecutive: 1})
		rt := &hedge.Transport{Base: &redoubt.Transport{Layer: circuit, Base: base.Transport}, Hedger: eager(time.Second)}
		if status, body := send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil)); status != 200 || body != "hedge" {
			t.Errorf("got %d %q, want 200 \"hedge\"", status, body)
		}
		synctest.Wait()
		if counts := circuit.Counts(); circuit.State() != breaker.Closed || counts.Failures != 0 || counts.Successes != 1 {
			t.Errorf("state %v, counts %+v, want closed and one success", circuit.State(), counts)
		}
	}, after(time.Hour, 200, "first"), after(time.Second, 200, "hedge"))
}

func TestTransport_107_WhatIsHedged(t *testing.T) {
	type mark = func(context.Context) context.Context
	onceAndMarked := func(ctx context.Context) context.Context { return redoubt.WithoutRetry(hedge.WithIdempotent(ctx)) }
	for _, test := range []struct {
		name   string
		mark   mark
		method string
		body   string
		header []string
		choose func(*http.Request) bool
		want   int
	}{
		{name: "GET", method: "GET", want: 2},
		{name: "no method", method: "", want: 2},
		{name: "HEAD", method: "HEAD", want: 2},
		{name: "OPTIONS", method: "OPTIONS", want: 2},
		{name: "TRACE", method: "TRACE", want: 2},
		{name: "GET with a body", method: "GET", body: "query", want: 1},
		{name: "POST", method: "POST", body: "order", want: 1},
		{name: "PUT", method: "PUT", body: "order", want: 1},
		{name: "DELETE", method: "DELETE", want: 1},
		{name: "PATCH", method: "PATCH", body: "order", want: 1},
		{name: "POST with a key", method: "POST", body: "order", header: []string{"Idempotency-Key", "1"}, want: 1},
		{name: "POST marked", mark: hedge.WithIdempotent, method: "POST", body: "order", want: 2},
		{name: "POST marked by redoubt", mark: redoubt.WithIdempotent, method: "POST", body: "order", want: 2},
		{name: "GET with a body, marked", mark: hedge.WithIdempotent, method: "GET", body: "query", want: 2},
		{name: "GET once", mark: redoubt.WithoutRetry, method: "GET", want: 1},
		{name: "GET once and marked", mark: onceAndMarked, method: "GET", want: 1},
		{name: "POST chosen", method: "POST", body: "order", choose: func(*http.Request) bool { return true }, want: 2},
		{name: "GET not chosen", method: "GET", choose: func(*http.Request) bool { return false }, want: 1},
		{name: "GET not chosen but marked", mark: hedge.WithIdempotent, method: "GET", choose: func(*http.Request) bool { return false }, want: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := bubble(t, func(t *testing.T, base *memhttp.Server) {
				ctx, body := t.Context(), io.Reader(nil)
				if test.mark != nil {
					ctx = test.mark(ctx)
				}
				if test.body != "" {
					body = strings.NewReader(test.body)
				}
				rt := &redoubt.Transport{Base: &hedge.Transport{
					Base:      base.Transport,
					Hedger:    eager(time.Second),
					Hedgeable: test.choose,
				}}
				req := newRequest(ctx, t, test.method, body, test.header...)
				req.Method = test.method
				if status, _ := send(t, rt, req); status != 200 {
					t.Errorf("status %d, want 200", status)
				}
			}, after(time.Minute, 200, ""))
			if got := s.count(); got != test.want {
				t.Errorf("sent %d times, want %d", got, test.want)
			}
			for i, got := range s.bodies {
				if got != test.body {
					t.Errorf("body %d is %q, want %q", i+1, got, test.body)
				}
			}
		})
	}
}

func TestTransport_108_FirstSuccessWins(t *testing.T) {
	type result struct {
		status int
		body   string
		took   time.Duration
	}
	for _, test := range []struct {
		name    string
		answers []http.HandlerFunc
		want    result
	}{
		{
			"hedge fails at once",
			[]http.HandlerFunc{after(3*time.Second, 200, "first"), after(0, 503, "hedge")},
			result{200, "first", 3 * time.Second},
		},
		{
			"hedge is reset at once",
			[]http.HandlerFunc{after(3*time.Second, 200, "first"), func(_ http.ResponseWriter, r *http.Request) { memhttp.Reset(r) }},
			result{200, "first", 3 * time.Second},
		},
		{
			"first fails while the hedge is pending",
			[]http.HandlerFunc{after(2*time.Second, 503, "first"), after(2*time.Second, 200, "hedge")},
			result{200, "hedge", 3 * time.Second},
		},
		{
			"hedge is quicker",
			[]http.HandlerFunc{after(9*time.Second, 200, "first"), after(time.Second, 200, "hedge")},
			result{200, "hedge", 2 * time.Second},
		},
		{
			"first is quicker",
			[]http.HandlerFunc{after(2*time.Second, 200, "first"), after(9*time.Second, 200, "hedge")},
			result{200, "first", 2 * time.Second},
		},
		{
			"404 is an answer",
			[]http.HandlerFunc{after(9*time.Second, 200, "first"), after(time.Second, 404, "hedge")},
			result{404, "hedge", 2 * time.Second},
		},
		{
			"all fail",
			[]http.HandlerFunc{after(2*time.Second, 503, "first"), after(2*time.Second, 500, "hedge")},
			result{503, "first", 3 * time.Second},
		},
		{
			"first fails before a hedge is due",
			[]http.HandlerFunc{after(time.Millisecond, 503, "first"), after(0, 200, "hedge")},
			result{503, "first", time.Millisecond},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, outer := range []string{"alone", "in a redoubt.Transport"} {
				bubble(t, func(t *testing.T, base *memhttp.Server) {
					rt := http.RoundTripper(&hedge.Transport{Base: base.Transport, Hedger: eager(time.Second)})
					if outer != "alone" {
						rt = &redoubt.Transport{Base: rt}
					}
					start := time.Now()
					status, body := send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil))
					if got := (result{status, body, time.Since(start)}); got != test.want {
						t.Errorf("%s: got %+v, want %+v", outer, got, test.want)
					}
				}, test.answers...)
			}
		})
	}
}

// TestTransport_108_ErrorOfTheFirst: if all fail, the caller is told what became
// of the first, and a layer that nothing is known of what the hedge did.
func TestTransport_108_ErrorOfTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sends atomic.Int32
		base := trip(func(*http.Request) (*http.Response, error) {
			if sends.Add(1) == 1 {
				time.Sleep(3 * time.Second)
				return nil, syscall.ECONNREFUSED
			}
			return nil, io.ErrUnexpectedEOF
		})
		hedged := &hedge.Transport{Base: base, Hedger: eager(time.Second)}
		if _, err := hedged.RoundTrip(newRequest(t.Context(), t, http.MethodGet, nil)); err != syscall.ECONNREFUSED {
			t.Errorf("got %v, want the first's error", err)
		}

		sends.Store(0)
		var sent *redoubt.SendError
		rt := &redoubt.Transport{Base: hedged}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, http.MethodGet, nil))
		if !errors.As(err, &sent) || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("got %v, want a SendError of the first", err)
		}
		if !sent.Sent {
			t.Error("SendError.Sent is false, though the hedge may have reached the server")
		}
	})
}

// A trip is a function that is a RoundTripper. It closes the request body.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	return f(req)
}

// tracked is a body that knows whether it was closed.
type tracked struct {
	io.Reader

	open *atomic.Int32
}

func (b tracked) Close() error {
	b.open.Add(-1)
	return nil
}

// TestTransport_109_LosersThatAnswer has a Base that is deaf to cancellation, so
// that losers answer long after the race.
func TestTransport_109_LosersThatAnswer(t *testing.T) {
	for _, waits := range [][]time.Duration{
		{5 * time.Second, time.Second, 10 * time.Second},        // the hedge wins
		{2500 * time.Millisecond, 9 * time.Second, time.Second}, // the first wins
		{2 * time.Second, time.Second, 0},                       // all at once
		{3 * time.Second, 2 * time.Second, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			redoubttest.CheckGoroutines(t)
			var open, sends atomic.Int32
			base := trip(func(req *http.Request) (*http.Response, error) {
				time.Sleep(waits[sends.Add(1)-1])
				open.Add(1)
				return &http.Response{StatusCode: 200, ProtoMajor: 1, Body: tracked{strings.NewReader("body"), &open}, Request: req}, nil
			})
			rt := &hedge.Transport{Base: base, Hedger: hedge.New(hedge.Config{Delay: time.Second, Hedges: 2, MaxExtra: 1})}
			if status, body := send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil)); status != 200 || body != "body" {
				t.Errorf("got %d %q, want 200 \"body\"", status, body)
			}
			time.Sleep(time.Minute)
			if n := open.Load(); n != 0 {
				t.Errorf("%v: %d bodies left open", waits, n)
			}
		})
	}
}

// TestTransport_110_ContextOfTheWinner lasts as long as the body, and no longer.
func TestTransport_110_ContextOfTheWinner(t *testing.T) {
	open := io.NopCloser(strings.NewReader("body"))
	closes := func(resp *http.Response) { resp.Body.Close() }
	reads := func(resp *http.Response) { io.Copy(io.Discard, resp.Body) }
	for _, tt := range []struct {
		name  string
		body  io.ReadCloser
		err   error
		lasts bool
		end   func(*http.Response)
	}{
		{"closed", open, nil, true, closes},
		{"read", open, nil, true, reads},
		{"no body", http.NoBody, nil, false, nil},
		{"an error", nil, io.ErrUnexpectedEOF, false, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var sent context.Context
			base := trip(func(req *http.Request) (*http.Response, error) {
				sent = req.Context() //nolint:fatcontext // It is looked at, not used.
				if tt.err != nil {
					return nil, tt.err
				}
				return &http.Response{StatusCode: 200, Body: tt.body, Request: req}, nil
			})
			rt := &hedge.Transport{Base: base, Hedger: hedge.New(hedge.Config{Delay: time.Hour})}
			resp, err := rt.RoundTrip(newRequest(t.Context(), t, http.MethodGet, nil))
			if !errors.Is(err, tt.err) || (sent.Err() == nil) != tt.lasts {
				t.Errorf("err = %v, the context's %v; want %v, and a context that lasts: %t", err, sent.Err(), tt.err, tt.lasts)
			}
			if tt.end != nil {
				tt.end(resp)
			}
			if sent.Err() == nil {
				t.Error("the context has not ended with the body")
			}
		})
	}
}

// TestTransport_109_ResponseAndError: a Base that returned both had both handed
// on, and http.Client closes no body beside an error.
func TestTransport_109_ResponseAndError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var open atomic.Int32
		base := trip(func(*http.Request) (*http.Response, error) {
			open.Add(1)
			return &http.Response{StatusCode: 200, Body: tracked{strings.NewReader("body"), &open}}, io.ErrUnexpectedEOF
		})
		rt := &hedge.Transport{Base: base, Hedger: eager(time.Second)}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, http.MethodGet, nil))
		if resp != nil || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v, %v, want the error alone", resp, err)
		}
		if n := open.Load(); n != 0 {
			t.Errorf("%d bodies left open", n)
		}
	})
}

// TestTransport_109_PanicOfFailure: when Failure panicked, the responses that came
// later, and those that nobody had looked at yet, were never closed.
func TestTransport_109_PanicOfFailure(t *testing.T) {
	for _, waits := range [][]time.Duration{
		{3 * time.Second, time.Second, time.Second}, // one after the other
		{2 * time.Second, time.Second, 0},           // all at once
	} {
		synctest.Test(t, func(t *testing.T) {
			var open, sends atomic.Int32
			base := trip(func(req *http.Request) (*http.Response, error) {
				time.Sleep(waits[sends.Add(1)-1])
				open.Add(1)
				return &http.Response{StatusCode: 200, ProtoMajor: 1, Body: tracked{strings.NewReader("body"), &open}, Request: req}, nil
			})
			rt := &hedge.Transport{
				Base:    base,
				Hedger:  hedge.New(hedge.Config{Delay: time.Second, Hedges: 2, MaxExtra: 1}),
				Failure: func(*http.Response) bool { panic("no") },
			}
			func() {
				defer func() { _ = recover() }()
				resp, err := rt.RoundTrip(newRequest(t.Context(), t, http.MethodGet, nil))
				t.Errorf("got %v, %v, want the panic of Failure", resp, err)
			}()
			time.Sleep(time.Minute)
			if n := open.Load(); n != 0 {
				t.Errorf("%v: %d bodies left open", waits, n)
			}
		})
	}
}

// TestTransport_109_NothingIsLeft has each first request hang until it is given
// up, on streams of one connection.
func TestTransport_109_NothingIsLeft(t *testing.T) {
	redoubttest.CheckGoroutines(t)
	var conns redoubttest.Conns
	gone := make(chan struct{}, 20)
	ts, rt := hanging(t, &conns, func() { gone <- struct{}{} })
	for range cap(gone) {
		get(t, rt, ts)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for n := range cap(gone) { // Server.Close does not wait for handlers of HTTP/2
		select {
		case <-gone:
		case <-ctx.Done():
			t.Fatalf("%d of %d losers gone", n, cap(gone))
		}
	}
	rt.CloseIdleConnections()
	ts.Close()
	if err := conns.Wait(ctx); err != nil {
		t.Errorf("%d connections left (%v)", conns.Open(), err)
	}
}

// hanging returns a server of HTTP/2 where each other request hangs until it is
// given up, and a transport that hedges requests to it and has a connection.
func hanging(t *testing.T, conns *redoubttest.Conns, gone func()) (*httptest.Server, *hedge.Transport) {
	t.Helper()
	var turn atomic.Int32
	ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if turn.Add(1)%2 == 0 {
			<-r.Context().Done()
			gone()
			return
		}
		_, _ = io.WriteString(w, "answer")
	}))
	ts.Config.ConnState = conns.ConnState
	ts.EnableHTTP2 = true
	ts.StartTLS()
	base := ts.Client().Transport
	get(t, base, ts)
	return ts, &hedge.Transport{Base: base, Hedger: eager(10 * time.Millisecond)}
}

func get(t *testing.T, rt http.RoundTripper, ts *httptest.Server) {
	t.Helper()
	req := newRequest(t.Context(), t, http.MethodGet, nil)
	req.URL.Scheme, req.URL.Host = "https", ts.Listener.Addr().String()
	if status, body := send(t, rt, req); status != 200 || body != "answer" {
		t.Errorf("got %d %q, want 200 \"answer\"", status, body)
	}
}

// TestTransport_110_WinnerIsIntact reads 8 MiB after RoundTrip has returned and
// the loser was cancelled.
func TestTransport_110_WinnerIsIntact(t *testing.T) {
	big := make([]byte, 8<<20)
	_, _ = rand.Read(big)
	large := func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(big) }
	late := func(d time.Duration) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(d):
				large(w, r)
			case <-r.Context().Done():
			}
		}
	}
	for name, answers := range map[string][]http.HandlerFunc{
		"hedge": {late(time.Hour), large},
		"first": {late(2 * time.Second), late(time.Hour)},
		"alone": {large},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, base *memhttp.Server) {
				rt := &redoubt.Transport{Base: &hedge.Transport{Base: base.Transport, Hedger: eager(time.Second)}}
				resp, err := rt.RoundTrip(newRequest(t.Context(), t, http.MethodGet, nil))
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute) // the loser is long gone
				body, err := io.ReadAll(resp.Body)
				if err != nil || !bytes.Equal(body, big) {
					t.Errorf("%d bytes, equal %v, %v; want %d", len(body), bytes.Equal(body, big), err, len(big))
				}
				if err := resp.Body.Close(); err != nil {
					t.Errorf("close: %v", err)
				}
			}, answers...)
		})
	}
}

func TestTransport_110_WinnerIsIntactOnSockets(t *testing.T) {
	redoubttest.CheckGoroutines(t)
	big := make([]byte, 8<<20)
	_, _ = rand.Read(big)
	for _, http2 := range []bool{false, true} {
		var turn atomic.Int32
		ts := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if turn.Add(1) == 1 {
				<-r.Context().Done()
				return
			}
			_, _ = w.Write(big)
		}))
		ts.EnableHTTP2 = http2
		ts.StartTLS()
		rt := &hedge.Transport{Base: ts.Client().Transport, Hedger: eager(10 * time.Millisecond)}
		req := newRequest(t.Context(), t, http.MethodGet, nil)
		req.URL.Scheme, req.URL.Host = "https", ts.Listener.Addr().String()
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.ProtoMajor == 2; got != http2 {
			t.Errorf("HTTP/2 is %v, want %v", got, http2)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || !bytes.Equal(body, big) {
			t.Errorf("http2 %v: %d bytes, equal %v, %v; want %d", http2, len(body), bytes.Equal(body, big), err, len(big))
		}
		_ = resp.Body.Close()
		rt.CloseIdleConnections()
		ts.Close()
	}
}

func TestTransport_111_BodyOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var readers []io.Reader
		var bodies []string
		var sends atomic.Int32
		base := trip(func(req *http.Request) (*http.Response, error) {
			n := sends.Add(1)
			body, _ := io.ReadAll(req.Body)
			mu.Lock()
			readers, bodies = append(readers, req.Body), append(bodies, string(body))
			mu.Unlock()
			if n%2 == 1 {
				<-req.Context().Done()
				return nil, req.Context().Err()
			}
			return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
		})
		rt := &hedge.Transport{Base: base, Hedger: eager(time.Second)}
		ctx := hedge.WithIdempotent(t.Context())

		var opened, closed atomic.Int32
		req := newRequest(ctx, t, http.MethodPut, nil)
		newBody := func() (io.ReadCloser, error) {
			opened.Add(1)
			return &counted{strings.NewReader("order"), &closed}, nil
		}
		req.Body, _ = newBody()
		req.GetBody, req.ContentLength = newBody, 5
		send(t, rt, req)
		synctest.Wait()
		if sends.Load() != 2 || bodies[0] != "order" || bodies[1] != "order" || readers[0] == readers[1] || readers[0] == req.Body {
			t.Errorf("bodies %q of %d sends, want two of their own", bodies, sends.Load())
		}
		if opened.Load() != closed.Load() {
			t.Errorf("%d bodies, %d closed", opened.Load(), closed.Load())
		}
	})
}

type counted struct {
	io.Reader

	closed *atomic.Int32
}

func (c *counted) Close() error {
	c.closed.Add(1)
	return nil
}

// TestTransport_111_WithoutGetBody: such a request is sent once, whoever marks it.
func TestTransport_111_WithoutGetBody(t *testing.T) {
	s := bubble(t, func(t *testing.T, base *memhttp.Server) {
		rt := &hedge.Transport{Base: base.Transport, Hedger: eager(time.Second), Hedgeable: func(*http.Request) bool { return true }}
		req := newRequest(hedge.WithIdempotent(t.Context()), t, http.MethodPut, io.MultiReader(strings.NewReader("order")))
		if status, _ := send(t, rt, req); status != 200 {
			t.Errorf("status %d, want 200", status)
		}
	}, after(time.Minute, 200, ""))
	if s.count() != 1 || s.bodies[0] != "order" {
		t.Errorf("sent %q, want the order once", s.bodies)
	}
}

// TestTransport_111_GetBodyFails: what can't be hedged for want of a body is sent
// as it would be without a hedge.
func TestTransport_111_GetBodyFails(t *testing.T) {
	s := bubble(t, func(t *testing.T, base *memhttp.Server) {
		budget := retry.NewBudget(retry.BudgetConfig{})
		rt := &hedge.Transport{Base: base.Transport, Hedger: hedge.New(hedge.Config{Delay: time.Second, MaxExtra: 1, Budget: budget})}
		req := newRequest(hedge.WithIdempotent(t.Context()), t, http.MethodPut, strings.NewReader("order"))
		req.GetBody = func() (io.ReadCloser, error) { return nil, errors.New("gone") }
		if status, _ := send(t, rt, req); status != 200 {
			t.Errorf("status %d, want 200", status)
		}
		if got := budget.Balance(); got != retry.DefaultBurst {
			t.Errorf("the budget holds %v retries, want %v: it paid for a hedge that was not sent", got, retry.DefaultBurst)
		}
	}, after(time.Minute, 200, ""))
	if s.count() != 1 || s.bodies[0] != "order" {
		t.Errorf("sent %q, want the order once", s.bodies)
	}
}

// A hedge that can't have a body of its own does not get the caller's, which is
// nobody's but for the first attempt.
func TestTransport_111_GetBodyFailsForTheHedge(t *testing.T) {
	s := bubble(t, func(t *testing.T, base *memhttp.Server) {
		rt := &hedge.Transport{Base: base.Transport, Hedger: eager(time.Second)}
		req := newRequest(hedge.WithIdempotent(t.Context()), t, http.MethodPut, strings.NewReader("order"))
		again, calls := req.GetBody, 0
		req.GetBody = func() (io.ReadCloser, error) {
			if calls++; calls > 1 {
				return nil, errors.New("gone")
			}
			return again()
		}
		if status, _ := send(t, rt, req); status != 200 || calls != 2 {
			t.Errorf("status %d, %d bodies asked for, want 200 and 2", status, calls)
		}
	}, after(time.Minute, 200, ""))
	if s.count() != 1 || s.bodies[0] != "order" {
		t.Errorf("sent %q, want the order once", s.bodies)
	}
}

// A Transport that makes no sense closes the request body all the same.
func TestTransport_Misuse(t *testing.T) {
	content := &closeCounter{ReadCloser: io.NopCloser(strings.NewReader("order"))}
	rt := &hedge.Transport{Hedger: hedge.New(hedge.Config{Delay: -1})}
	resp, err := rt.RoundTrip(newRequest(t.Context(), t, http.MethodPut, content))
	if resp != nil || err == nil || err != rt.Check() || content.n != 1 {
		t.Errorf("%v, %v, body closed %d times; want what Check says, and once", resp, err, content.n)
	}
}

// TestTransport_112_Withheld: a breaker that is not closed, a recent 429 and an
// empty budget each keep a slow request from being sent again.
func TestTransport_112_Withheld(t *testing.T) {
	open := breaker.New(breaker.Config{Name: "test", Consecutive: 1})
	open.ForceOpen()
	empty := retry.NewBudget(retry.BudgetConfig{Burst: 1, MinPerSecond: retry.NoFloor})
	empty.Withdraw()
	full := retry.NewBudget(retry.BudgetConfig{Burst: 5, MinPerSecond: retry.NoFloor})
	group := breaker.NewGroup(breaker.GroupConfig{Breaker: breaker.Config{Name: "test", Consecutive: 1}, Key: redoubt.Host})

	for _, test := range []struct {
		name   string
		config hedge.Config
		want   int
	}{
		{"nothing", hedge.Config{MaxExtra: 1}, 2},
		{"breaker", hedge.Config{MaxExtra: 1, Breaker: open}, 1},
		{"breaker of another host", hedge.Config{MaxExtra: 1, Breaker: group}, 2},
		{"retry budget", hedge.Config{MaxExtra: 1, Budget: empty}, 1},
		{"retry budget is full", hedge.Config{MaxExtra: 1, Budget: full}, 2},
		{"retry budget of the call", hedge.Config{MaxExtra: 1, Budgets: func(context.Context) hedge.Budget { return empty }}, 1},
		{"no retry budget for the call", hedge.Config{MaxExtra: 1, Budgets: func(context.Context) hedge.Budget { return nil }}, 2},
		{"own budget", hedge.Config{MaxExtra: 0.05}, 1},
		{"rule", hedge.Config{MaxExtra: 1, Withhold: func(context.Context) bool { return true }}, 1},
		{"rule that allows it", hedge.Config{MaxExtra: 1, Withhold: func(context.Context) bool { return false }}, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := bubble(t, func(t *testing.T, base *memhttp.Server) {
				test.config.Delay = time.Second
				rt := &redoubt.Transport{Base: &hedge.Transport{Base: base.Transport, Hedger: hedge.New(test.config)}}
				send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil))
			}, after(time.Minute, 200, ""))
			if got := s.count(); got != test.want {
				t.Errorf("sent %d times, want %d", got, test.want)
			}
		})
	}
	if got := full.Balance(); got != 4 {
		t.Errorf("the retry budget holds %v, want 4", got)
	}
}

func TestTransport_112_HalfOpen(t *testing.T) {
	s := bubble(t, func(t *testing.T, base *memhttp.Server) {
		circuit := breaker.New(breaker.Config{Name: "test", Consecutive: 1, Cooldown: time.Second, Jitter: breaker.NoJitter, ProbeTimeout: time.Hour})
		rt := &redoubt.Transport{Layer: circuit, Base: &hedge.Transport{
			Base:   base.Transport,
			Hedger: hedge.New(hedge.Config{Delay: time.Second, MaxExtra: 1, Breaker: circuit}),
		}}
		send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil)) // 503
		time.Sleep(time.Second)
		send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil)) // the probe
	}, after(0, 503, ""), after(time.Minute, 200, ""))
	if got := s.count(); got != 2 {
		t.Errorf("sent %d times, want 2: a probe is not hedged", got)
	}
}

func TestTransport_112_AfterTooManyRequests(t *testing.T) {
	for _, test := range []struct {
		retryAfter string
		calm       time.Duration
	}{
		{"", 10 * time.Second},
		{"1", 10 * time.Second},
		{"30", 30 * time.Second},
		{"86400", time.Minute},
		{"99999999999999999999", 10 * time.Second},
		{"-5", 10 * time.Second},
		{"soon", 10 * time.Second},
		{"Sat, 01 Jan 2000 00:00:40 GMT", 40 * time.Second}, // a bubble begins at midnight
	} {
		t.Run(test.retryAfter, func(t *testing.T) {
			throttle := func(w http.ResponseWriter, _ *http.Request) {
				if test.retryAfter != "" {
					w.Header().Set("Retry-After", test.retryAfter)
				}
				w.WriteHeader(http.StatusTooManyRequests)
			}
			bubble(t, func(t *testing.T, base *memhttp.Server) {
				var sends atomic.Int32
				counted := trip(func(r *http.Request) (*http.Response, error) {
					sends.Add(1)
					return base.Transport.RoundTrip(r)
				})
				rt := &hedge.Transport{Base: counted, Hedger: eager(time.Millisecond)}
				get := func(want int32) {
					t.Helper()
					sends.Store(0)
					if send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil)); sends.Load() != want {
						t.Errorf("sent %d times, want %d", sends.Load(), want)
					}
				}
				get(1)
				time.Sleep(test.calm - 2*time.Millisecond)
				get(1) // due one millisecond before the end
				get(2) // due after it
			}, throttle, after(3*time.Millisecond, 200, ""))
		})
	}
}

func TestTransport_113_UpgradeAndConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sends atomic.Int32
		base := trip(func(req *http.Request) (*http.Response, error) {
			sends.Add(1)
			time.Sleep(time.Minute)
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: req}, nil
		})
		rt := &hedge.Transport{Base: base, Hedger: eager(time.Second), Hedgeable: func(*http.Request) bool { return true }}
		for _, header := range [][]string{
			{"Connection", "Upgrade", "Upgrade", "websocket"},
			{"Upgrade", "h2c"},
			{"Connection", "keep-alive, uPgrade"},
		} {
			sends.Store(0)
			if send(t, rt, newRequest(hedge.WithIdempotent(t.Context()), t, http.MethodGet, nil, header...)); sends.Load() != 1 {
				t.Errorf("%v: sent %d times, want 1", header, sends.Load())
			}
		}
		sends.Store(0)
		if send(t, rt, newRequest(hedge.WithIdempotent(t.Context()), t, http.MethodConnect, nil)); sends.Load() != 1 {
			t.Errorf("CONNECT: sent %d times, want 1", sends.Load())
		}
	})
}

// TestTransport_114_CostOfALoser: on HTTP/2 a loser is a stream that is reset, on
// HTTP/1 a connection that is closed.
func TestTransport_114_CostOfALoser(t *testing.T) {
	const calls = 5
	t.Run("HTTP/2", func(t *testing.T) {
		redoubttest.CheckGoroutines(t)
		var conns redoubttest.Conns
		gone := make(chan struct{}, calls)
		ts, rt := hanging(t, &conns, func() { gone <- struct{}{} })
		for range calls {
			get(t, rt, ts)
			<-gone
		}
		if got := conns.Opened(); got != 1 {
			t.Errorf("%d connections, want 1", got)
		}
		rt.CloseIdleConnections()
		ts.Close()
	})
	t.Run("HTTP/1", func(t *testing.T) {
		hangs := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		var answers []http.HandlerFunc
		for range calls { // a quick call pays for the connection that the slow one costs
			answers = append(answers, after(0, 200, "quick"), hangs, after(0, 200, "hedge"))
		}
		bubble(t, func(t *testing.T, base *memhttp.Server) {
			rt := &hedge.Transport{Base: base.Transport, Hedger: eager(time.Second)}
			for range calls {
				for _, want := range []string{"quick", "hedge"} {
					if _, body := send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil)); body != want {
						t.Errorf("got %q, want %q", body, want)
					}
					synctest.Wait()
				}
			}
			if got := base.Opened(); got != 1+calls {
				t.Errorf("%d connections, want %d", got, 1+calls)
			}
		}, answers...)
	})
}

// TestTransport_114_CountedInTheBudget: on HTTP/1 a hedge is charged twice, so
// that half as many are sent.
func TestTransport_114_CountedInTheBudget(t *testing.T) {
	for _, test := range []struct{ proto, want int }{{2, 50}, {1, 25}} {
		synctest.Test(t, func(t *testing.T) {
			var sends atomic.Int32
			base := trip(func(req *http.Request) (*http.Response, error) {
				sends.Add(1)
				select {
				case <-time.After(3 * time.Second):
				case <-req.Context().Done():
					return nil, req.Context().Err()
				}
				return &http.Response{StatusCode: 200, ProtoMajor: test.proto, Body: http.NoBody}, nil
			})
			rt := &hedge.Transport{Base: base, Hedger: hedge.New(hedge.Config{Delay: time.Second, MaxExtra: 0.5})}
			const calls = 100
			for range calls {
				send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil))
			}
			if got := int(sends.Load()) - calls; got != test.want {
				t.Errorf("HTTP/%d: %d hedges for %d calls, want %d", test.proto, got, calls, test.want)
			}
		})
	}
}

// TestTransport_HooksOfTheCaller: an httptrace of the caller sees every send, as
// with net/http's own replays; that of redoubt.Transport sees the first alone.
func TestTransport_HooksOfTheCaller(t *testing.T) {
	s := bubble(t, func(t *testing.T, base *memhttp.Server) {
		var conns atomic.Int32
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(httptrace.GotConnInfo) { conns.Add(1) },
		})
		rt := &redoubt.Transport{
			Base:          &hedge.Transport{Base: base.Transport, Hedger: eager(time.Second)},
			AttemptHeader: "Retry-Attempt",
		}
		send(t, rt, newRequest(ctx, t, http.MethodGet, nil))
		if got := conns.Load(); got != 2 {
			t.Errorf("the caller's hooks saw %d connections, want 2", got)
		}
	}, after(time.Hour, 200, "first"), after(time.Second, 200, "hedge"))
	for i, want := range []string{"", "1"} {
		if got := s.requests[i].Header.Get("Retry-Attempt"); got != want {
			t.Errorf("Retry-Attempt of request %d is %q, want %q", i+1, got, want)
		}
	}
}
