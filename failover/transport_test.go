package failover_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A site is what answers under all host names, and a network before it on which
// hosts can be unreachable.
type site struct {
	server *memhttp.Server

	mu       sync.Mutex
	handlers map[string]http.HandlerFunc // by host
	refused  map[string]error
	got      []string
}

func newSite(t *testing.T) *site {
	s := &site{handlers: map[string]http.HandlerFunc{}, refused: map[string]error{}}
	s.server = memhttp.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		line := r.Method + " " + r.Host + r.RequestURI
		if len(body) > 0 {
			line += " " + string(body)
		}
		s.got = append(s.got, line)
		handler := s.handlers[r.Host]
		s.mu.Unlock()
		if handler != nil {
			handler(w, r)
			return
		}
		fmt.Fprint(w, "from ", r.Host)
	}))
	dial := s.server.Transport.DialContext
	s.server.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(address)
		s.mu.Lock()
		err := s.refused[host]
		s.mu.Unlock()
		if err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		return dial(ctx, network, address)
	}
	return s
}

// requests returns what the site got since it was last asked.
func (s *site) requests() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	got := strings.Join(s.got, ", ")
	s.got = nil
	return got
}

func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(code)
		fmt.Fprint(w, code, " of ", r.Host)
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func reset(_ http.ResponseWriter, r *http.Request) { memhttp.Reset(r) }

func ab(c failover.Config) *failover.Failover {
	c.Name, c.Endpoints = "ab", []string{"http://a.test", "http://b.test/base"}
	return failover.New(c)
}

func request(t *testing.T, method, url, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// trip returns the status and body, or the error.
func trip(rt http.RoundTripper, req *http.Request) string {
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	if resp.Request != req {
		return "the response's Request is another"
	}
	return fmt.Sprintf("%d %s", resp.StatusCode, body)
}

func TestTransport_RoundTrip(t *testing.T) {
	certificate := errors.New("tls: certificate has expired")
	tests := []struct {
		name     string
		a, b     http.HandlerFunc
		refused  map[string]error
		config   failover.Config
		change   func(*http.Request) *http.Request
		method   string
		body     string
		url      string
		want     string
		wantSent string
	}{
		{name: "well", want: "200 from a.test", wantSent: "GET a.test/x?q=1"},
		{name: "503", a: status(503), want: "200 from b.test", wantSent: "GET a.test/x?q=1, GET b.test/base/x?q=1"},
		{name: "429", a: status(429), want: "200 from b.test", wantSent: "GET a.test/x?q=1, GET b.test/base/x?q=1"},
		{name: "404", a: status(404), want: "404 404 of a.test", wantSent: "GET a.test/x?q=1"},
		{name: "both", a: status(503), b: status(502), want: "502 502 of b.test", wantSent: "GET a.test/x?q=1, GET b.test/base/x?q=1"},
		{name: "refused connection", refused: map[string]error{"a.test": syscall.ECONNREFUSED}, want: "200 from b.test", wantSent: "GET b.test/base/x?q=1"},
		{name: "reset", a: reset, want: "200 from b.test", wantSent: "GET a.test/x?q=1, GET b.test/base/x?q=1"},
		{
			name: "a response and then none", a: status(503), refused: map[string]error{"b.test": syscall.ECONNREFUSED},
			want:     "failover: ab: every endpoint failed: http://a.test: failover: status 503 Service Unavailable; http://b.test/base: dial tcp: connection refused",
			wantSent: "GET a.test/x?q=1",
		},
		{
			name: "a response, and the other refused by its guard", a: status(503), config: failover.Config{Guard: shut("http://b.test/base")},
			want: "503 503 of a.test", wantSent: "GET a.test/x?q=1",
		},
		{
			name: "a response, and no budget", a: status(503), config: failover.Config{Budget: new(countingBudget)},
			want: "503 503 of a.test", wantSent: "GET a.test/x?q=1",
		},
		{
			name: "POST", method: "POST", body: "order", a: status(503),
			want: "503 503 of a.test", wantSent: "POST a.test/x?q=1 order",
		},
		{
			name: "POST, reset", method: "POST", body: "order", a: reset,
			want: "read pipe: read: connection reset by peer", wantSent: "POST a.test/x?q=1 order",
		},
		{
			name: "POST, refused connection", method: "POST", body: "order", refused: map[string]error{"a.test": syscall.ECONNREFUSED},
			want: "200 from b.test", wantSent: "POST b.test/base/x?q=1 order",
		},
		{
			name: "POST, bad certificate", method: "POST", body: "order", refused: map[string]error{"a.test": permanent(certificate)},
			want: "200 from b.test", wantSent: "POST b.test/base/x?q=1 order",
		},
		{
			name: "POST that cannot be read again, refused connection", method: "POST", body: "order", refused: map[string]error{"a.test": syscall.ECONNREFUSED},
			change: func(r *http.Request) *http.Request { r.GetBody = nil; return r },
			want:   "dial tcp: connection refused",
		},
		{
			name: "POST that cannot be read again, and the first is open", method: "POST", body: "order", config: failover.Config{Guard: shut("http://a.test")},
			change: func(r *http.Request) *http.Request { r.GetBody = nil; return r },
			want:   "200 from b.test", wantSent: "POST b.test/base/x?q=1 order",
		},
		{
			name: "POST with a key", method: "POST", body: "order", a: status(503),
			change: func(r *http.Request) *http.Request { r.Header.Set("Idempotency-Key", "1"); return r },
			want:   "200 from b.test", wantSent: "POST a.test/x?q=1 order, POST b.test/base/x?q=1 order",
		},
		{
			name: "POST declared idempotent", method: "POST", body: "order", a: status(503),
			change: func(r *http.Request) *http.Request { return r.WithContext(redoubt.WithIdempotent(r.Context())) },
			want:   "200 from b.test", wantSent: "POST a.test/x?q=1 order, POST b.test/base/x?q=1 order",
		},
		{
			name: "PUT", method: "PUT", body: "order", a: status(503),
			want: "200 from b.test", wantSent: "PUT a.test/x?q=1 order, PUT b.test/base/x?q=1 order",
		},
		{
			name: "PUT that cannot be read again", method: "PUT", body: "order", a: status(503),
			change: func(r *http.Request) *http.Request { r.GetBody = nil; return r },
			want:   "503 503 of a.test", wantSent: "PUT a.test/x?q=1 order",
		},
		{
			name: "GET to be sent once", a: status(503),
			change: func(r *http.Request) *http.Request { return r.WithContext(redoubt.WithoutRetry(r.Context())) },
			want:   "503 503 of a.test", wantSent: "GET a.test/x?q=1",
		},
		{
			name: "another host", url: "http://c.test/x",
			want: "200 from c.test", wantSent: "GET c.test/x",
		},
		{
			name: "Host of its own", a: status(503),
			change:   func(r *http.Request) *http.Request { r.Host = "virtual.test"; return r },
			want:     "200 from virtual.test",
			wantSent: "GET virtual.test/x?q=1",
		},
		{
			name: "both open", config: failover.Config{Guard: shut("http://a.test http://b.test/base")},
			want: "failover: ab: no endpoint takes calls: http://a.test: skipped: breaker: http://a.test is open (forced);" +
				" http://b.test/base: skipped: breaker: http://b.test/base is open (forced)",
		},
		{
			name: "invalid request", change: func(r *http.Request) *http.Request { r.Method = "GE T"; return r }, config: failover.Config{Guard: breakers},
			want: "net/http: invalid method \"GE T\"",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				s.handlers["a.test"], s.handlers["b.test"], s.refused = tt.a, tt.b, tt.refused
				rt := &failover.Transport{Base: s.server.Transport, Failover: ab(tt.config)}
				url := tt.url
				if url == "" {
					url = "http://a.test/x?q=1"
				}
				req := request(t, tt.method, url, tt.body)
				if tt.change != nil {
					req = tt.change(req)
				}
				if got := trip(rt, req); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
				if got := s.requests(); got != tt.wantSent {
					t.Errorf("sent %q, want %q", got, tt.wantSent)
				}
			})
		})
	}
}

// TestTransport_InvalidRequest: a request that is at fault says nothing about the
// endpoints.
// That one endpoint could not be reached says nothing about what the next one
// answers: TryNext is asked about that.
func TestTransport_TryNextAfterUnreachable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.refused["a.test"] = syscall.ECONNREFUSED
		s.handlers["b.test"] = status(503)
		f := failover.New(failover.Config{
			Name:      "abc",
			Endpoints: []string{"http://a.test", "http://b.test", "http://c.test"},
			TryNext:   func(error) bool { return false },
		})
		rt := &failover.Transport{Base: s.server.Transport, Failover: f}
		if got, want := trip(rt, request(t, "GET", "http://a.test/", "")), "503 503 of b.test"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := s.requests(), "GET b.test/"; got != want {
			t.Errorf("sent %q, want %q", got, want)
		}
	})
}

// What a response leaves behind ends with it: the context of the send, if there is
// no body to read, and all of it, if a guard takes the response for a failure.
func TestTransport_LeavesNothing(t *testing.T) {
	reject := errors.New("not good enough")
	for name, refuses := range map[string]bool{"no body": false, "refused": true} {
		synctest.Test(t, func(t *testing.T) {
			var sent context.Context
			body := &closing{Reader: strings.NewReader("x")}
			base := roundTripper(func(req *http.Request) (*http.Response, error) {
				sent = req.Context() //nolint:fatcontext // It is looked at, not used.
				resp := &http.Response{StatusCode: 200, Body: http.NoBody, Request: req}
				if refuses {
					resp.Body = body
				}
				return resp, nil
			})
			guard := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
				if err := call(ctx); err != nil || !refuses {
					return err
				}
				return retry.Permanent(reject)
			})
			rt := &failover.Transport{Base: base, Failover: ab(failover.Config{Guard: func(string) failover.Layer { return guard }})}
			resp, err := rt.RoundTrip(request(t, "GET", "http://a.test/", ""))
			if (err != nil) != refuses || (resp != nil) == refuses {
				t.Errorf("%s: got %v, %v", name, resp, err)
			}
			if sent.Err() == nil {
				t.Errorf("%s: the context of the send has not ended", name)
			}
			if refuses && !body.closed {
				t.Errorf("%s: the response body was not closed", name)
			}
		})
	}
}

// A hook that panics about a response leaves nobody to close it.
func TestTransport_PanicClosesTheResponse(t *testing.T) {
	body := &closing{Reader: strings.NewReader("x")}
	rt := &failover.Transport{
		Failover: ab(failover.Config{}),
		Failure:  func(*http.Response) bool { panic("broken") },
		Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: body, Request: req}, nil
		}),
	}
	func() {
		defer func() {
			if r := recover(); r != "broken" {
				t.Errorf("recovered %v", r)
			}
		}()
		_ = trip(rt, request(t, "GET", "http://a.test/", ""))
	}()
	if !body.closed {
		t.Error("the response body was not closed")
	}
}

// A response that nobody will get is closed if the guard panics once it is there.
func TestTransport_PanicInTheGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body := &closing{Reader: strings.NewReader("x")}
		rt := &failover.Transport{
			Failover: ab(failover.Config{Guard: func(string) failover.Layer {
				return redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
					_ = call(ctx)
					panic("broken")
				})
			}}),
			Base: roundTripper(func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: 200, Body: body}, nil }),
		}
		func() {
			defer func() {
				if r := recover(); r != "broken" {
					t.Errorf("recovered %v", r)
				}
			}()
			_ = trip(rt, request(t, "GET", "http://a.test/", ""))
		}()
		if !body.closed {
			t.Error("the response was not closed")
		}
	})
}

// What a guard learns of a failure: when to come back, and whether the request may
// be sent again.
func TestTransport_StatusError(t *testing.T) {
	for name, tt := range map[string]struct {
		method, body string
		getBody      bool
		want         bool
	}{
		"GET":                 {"GET", "", false, true},
		"POST":                {"POST", "order", true, false},
		"PUT":                 {"PUT", "order", true, true},
		"PUT without GetBody": {"PUT", "order", false, false},
	} {
		var saw *failover.StatusError
		rt := &failover.Transport{
			Failover: ab(failover.Config{Guard: func(string) failover.Layer {
				return redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
					err := call(ctx)
					saw, _ = errors.AsType[*failover.StatusError](err)
					return err
				})
			}}),
			Base: roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 503, Header: http.Header{"Retry-After": {"7"}}, Body: http.NoBody}, nil
			}),
		}
		req := request(t, tt.method, "http://a.test/", tt.body)
		if !tt.getBody {
			req.GetBody = nil
		}
		_ = trip(rt, req)
		after, ok := saw.RetryAfter()
		if saw.StatusCode != 503 || saw.Retryable() != tt.want || after != 7*time.Second || !ok {
			t.Errorf("%s: %v, retryable %v after %v; want 503, %v and 7s", name, saw, saw.Retryable(), after, tt.want)
		}
	}
}

// The body of a response that is given up panics where that can be recovered: it
// used to end the process.
func TestTransport_PanicInTheResponseBody(t *testing.T) {
	for name, wait := range map[string]time.Duration{"at once": 0, "after the drain gave up": time.Second} {
		synctest.Test(t, func(t *testing.T) {
			body := &closing{Reader: readerFunc(func([]byte) (int, error) {
				time.Sleep(wait)
				panic("broken")
			})}
			rt := &failover.Transport{Failover: ab(failover.Config{}), Base: roundTripper(func(req *http.Request) (*http.Response, error) {
				if req.URL.Host == "b.test" {
					return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
				}
				return &http.Response{StatusCode: http.StatusServiceUnavailable, ContentLength: -1, Body: body, Request: req}, nil
			})}
			func() {
				defer func() {
					if r := recover(); (r == "broken") != (wait == 0) {
						t.Errorf("%s: recovered %v", name, r)
					}
				}()
				if got, want := trip(rt, request(t, "GET", "http://a.test/", "")), "200 "; got != want {
					t.Errorf("%s: got %q, want %q", name, got, want)
				}
			}()
			time.Sleep(time.Minute)
			synctest.Wait()
			if !body.closed {
				t.Errorf("%s: the response body was not closed", name)
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// What is told of the bodies' ends is what they say: an error of Close to the
// caller, and none of a request body that fails once it is closed.
func TestTransport_BodiesAreHandedThrough(t *testing.T) {
	broken := errors.New("broken")
	rt := &failover.Transport{Failover: ab(failover.Config{}), Base: roundTripper(func(req *http.Request) (*http.Response, error) {
		if err := req.Body.Close(); err != broken {
			t.Errorf("Close() of the request body = %v", err)
		}
		_, _ = req.Body.Read(make([]byte, 1)) // as net/http does at times
		if req.URL.Host == "a.test" {
			return nil, syscall.ECONNREFUSED
		}
		return &http.Response{StatusCode: http.StatusOK, Body: unclosable{strings.NewReader("x"), broken}, Request: req}, nil
	})}
	req := request(t, "PUT", "http://a.test/", "")
	again := func() (io.ReadCloser, error) {
		return unclosable{readerFunc(func([]byte) (int, error) { return 0, io.ErrClosedPipe }), broken}, nil
	}
	req.Body, _ = again()
	req.GetBody, req.ContentLength = again, 1
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != broken {
		t.Errorf("Close() of the response body = %v", err)
	}
}

type unclosable struct {
	io.Reader
	err error
}

func (b unclosable) Close() error { return b.err }

// The context of a send lasts as long as what came of a switch of protocols, and
// no longer.
func TestTransport_NothingIsLeftOfTheSwitch(t *testing.T) {
	for _, writable := range []bool{true, false} {
		var sent context.Context
		rt := &failover.Transport{Failover: ab(failover.Config{}), Base: roundTripper(func(req *http.Request) (*http.Response, error) {
			sent = req.Context() //nolint:fatcontext // It is looked at, not used.
			resp := &http.Response{StatusCode: http.StatusSwitchingProtocols, Body: io.NopCloser(strings.NewReader("x")), Request: req}
			if writable {
				resp.Body = struct {
					io.ReadCloser
					io.Writer
				}{resp.Body, io.Discard}
			}
			return resp, nil
		})}
		resp, err := rt.RoundTrip(request(t, "GET", "http://a.test/", ""))
		if err != nil {
			t.Fatal(err)
		}
		if sent.Err() != nil {
			t.Errorf("writable %v: the context of the send has ended before its connection", writable)
		}
		if err := resp.Body.Close(); err != nil || sent.Err() == nil {
			t.Errorf("writable %v: %v; the context of the send is alive after its connection", writable, err)
		}
	}
}

// A request within a call of the same Failover, to where none of its endpoints is:
// it went to the call's endpoint, with the credentials meant for another server.
func TestTransport_ElsewhereWithinCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		f := ab(failover.Config{})
		rt := &failover.Transport{Base: s.server.Transport, Failover: f}
		_, err := failover.Do(t.Context(), f, func(ctx context.Context, _ string) (string, error) {
			return trip(rt, request(t, "GET", "http://c.test/x", "").WithContext(ctx)), nil
		})
		if got, want := s.requests(), "GET c.test/x"; got != want || err != nil {
			t.Errorf("sent %s, %v, want %s", got, err, want)
		}
	})
}

func TestTransport_InvalidRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		var all []*breaker.Breaker
		rt := &failover.Transport{Base: s.server.Transport, Failover: ab(failover.Config{Guard: func(endpoint string) failover.Layer {
			all = append(all, newBreaker(endpoint))
			return all[len(all)-1]
		}})}
		bad := request(t, "GET", "http://a.test/", "")
		bad.Header["Bad Name"] = []string{"x"}
		_ = trip(rt, bad)
		broken := request(t, "PUT", "http://a.test/", "x")
		broken.Body = io.NopCloser(io.MultiReader(strings.NewReader("x"), failing{}))
		broken.ContentLength = -1
		_ = trip(rt, broken)
		for _, b := range all {
			if b.State() != breaker.Closed {
				t.Error("a bad request opened a circuit")
			}
		}
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// closing is a body that knows whether it was closed.
type closing struct {
	io.Reader

	closed bool
}

func (b *closing) Close() error {
	b.closed = true
	return nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("file vanished") }

// TestTransport_GuardLimit: the limit of a guard is about the headers. What
// exceeds it is a failure of the endpoint; a body that takes longer is not.
func TestTransport_GuardLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.handlers["a.test"] = hang
		s.handlers["b.test"] = func(w http.ResponseWriter, _ *http.Request) {
			for n := range 3 {
				fmt.Fprint(w, n)
				_ = http.NewResponseController(w).Flush()
				time.Sleep(time.Minute)
			}
		}
		rt := &failover.Transport{Base: s.server.Transport, Failover: ab(failover.Config{Guard: func(endpoint string) failover.Layer {
			return redoubt.Stack{newBreaker(endpoint), timeout.Limit(2 * time.Second)}
		}})}
		start := time.Now()
		if got, want := trip(rt, request(t, "GET", "http://a.test/", "")), "200 012"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if took := time.Since(start); took != 2*time.Second+3*time.Minute {
			t.Errorf("took %v, want 2s and 3m", took)
		}
		s.handlers["b.test"] = nil
		for _, want := range []time.Duration{2 * time.Second, 0} { // a probe, and then none
			start = time.Now()
			if got := trip(rt, request(t, "GET", "http://a.test/", "")); got != "200 from b.test" || time.Since(start) != want {
				t.Errorf("then: %q after %v, want b after %v", got, time.Since(start), want)
			}
		}
	})
}

// TestTransport_GuardLimit_Deaf: a response that comes after its guard's time is up
// is none: it is closed, and another endpoint is asked.
func TestTransport_GuardLimit_Deaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		late := &closing{Reader: strings.NewReader("late")}
		rt := &failover.Transport{
			Failover: ab(failover.Config{Guard: func(string) failover.Layer { return timeout.Limit(time.Second) }}),
			Base: roundTripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Host == "a.test" {
					time.Sleep(2 * time.Second)
					return &http.Response{StatusCode: 200, Body: late}, nil
				}
				return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("from b"))}, nil
			}),
		}
		if got := trip(rt, request(t, "GET", "http://a.test/", "")); got != "200 from b" || !late.closed {
			t.Errorf("got %q, the late body is closed: %v", got, late.closed)
		}
	})
}

// TestTransport_Unsent: what must not be sent twice goes to another endpoint only if
// it is certain that it was not sent: Base had no connection, or refused.
func TestTransport_Unsent(t *testing.T) {
	for name, tt := range map[string]struct {
		base func(trace *httptrace.ClientTrace) error
		want string
	}{
		"no connection": {func(trace *httptrace.ClientTrace) error {
			trace.GetConn("a.test:80")
			return errors.New("bad certificate")
		}, "ab"},
		"a connection": {func(trace *httptrace.ClientTrace) error {
			trace.GetConn("a.test:80")
			trace.GotConn(httptrace.GotConnInfo{})
			return errors.New("reset")
		}, "a"},
		"refused":     {func(*httptrace.ClientTrace) error { return &breaker.OpenError{Name: "inside"} }, "ab"},
		"not reached": {func(*httptrace.ClientTrace) error { return &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED} }, "ab"},
		"who knows":   {func(*httptrace.ClientTrace) error { return errors.New("reset") }, "a"},
	} {
		asked := ""
		rt := &failover.Transport{
			Failover: ab(failover.Config{}),
			Base: roundTripper(func(r *http.Request) (*http.Response, error) {
				asked += r.URL.Host[:1]
				if r.URL.Host == "a.test" {
					return nil, tt.base(httptrace.ContextClientTrace(r.Context()))
				}
				return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
			}),
		}
		if _ = trip(rt, request(t, "POST", "http://a.test/", "order")); asked != tt.want {
			t.Errorf("%s: asked %q, want %q", name, asked, tt.want)
		}
	}
}

// TestTransport_BadRequest: a body that can't be read is no reason to ask another
// endpoint, whatever TryNext says.
func TestTransport_BadRequest(t *testing.T) {
	asked := 0
	rt := &failover.Transport{
		Failover: ab(failover.Config{TryNext: func(error) bool { return true }}),
		Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			asked++
			_, err := io.ReadAll(r.Body)
			return nil, err
		}),
	}
	req := request(t, "PUT", "http://a.test/", "order")
	req.Body, req.GetBody = io.NopCloser(failing{}), func() (io.ReadCloser, error) { return io.NopCloser(failing{}), nil }
	if got := trip(rt, req); got != "file vanished" || asked != 1 {
		t.Errorf("%q after %d requests, want one", got, asked)
	}
}

// TestTransport_WithoutURL: an error of Base that has the URL in it does not tell
// it on, with what may be secret.
func TestTransport_WithoutURL(t *testing.T) {
	rt := &failover.Transport{
		Failover: ab(failover.Config{}),
		Base: roundTripper(func(r *http.Request) (*http.Response, error) {
			return nil, &url.Error{Op: "Get", URL: r.URL.String(), Err: errors.New("down")}
		}),
	}
	got := trip(rt, request(t, "GET", "http://a.test/?token=secret", ""))
	if want := "failover: ab: every endpoint failed: http://a.test: down; http://b.test/base: down"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTransport_ComesHome does so for HTTP, breakers and all.
func TestTransport_ComesHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.handlers["a.test"] = status(500)
		rt := &failover.Transport{Base: s.server.Transport, Failover: ab(failover.Config{Guard: breakers})}
		for _, step := range []struct {
			after    time.Duration
			well     bool
			wantSent string
		}{
			{0, false, "GET a.test/, GET b.test/base/"},
			{0, false, "GET b.test/base/"},
			{cooldown - 1, true, "GET b.test/base/"},
			{1, true, "GET a.test/"},
			{0, true, "GET a.test/"},
		} {
			time.Sleep(step.after)
			if step.well {
				s.handlers["a.test"] = nil
			}
			_ = trip(rt, request(t, "GET", "http://a.test/", ""))
			if got := s.requests(); got != step.wantSent {
				t.Errorf("after %v: %q, want %q", step.after, got, step.wantSent)
			}
		}
	})
}

// TestTransport_RetryInGuard: a guard may repeat what may be repeated, and what it
// must not repeat it does not, although it tries to.
func TestTransport_RetryInGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.handlers["a.test"] = status(500)
		insistent := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
			_ = call(ctx)
			return call(ctx)
		})
		rt := &failover.Transport{Base: s.server.Transport, Failover: ab(failover.Config{Guard: func(string) failover.Layer { return insistent }})}
		for method, want := range map[string]string{
			"PUT":  "PUT a.test/ x, PUT a.test/ x, PUT b.test/base/ x, PUT b.test/base/ x",
			"POST": "POST a.test/ x",
		} {
			_ = trip(rt, request(t, method, "http://a.test/", "x"))
			if got := s.requests(); got != want {
				t.Errorf("%s: %q, want %q", method, got, want)
			}
		}
	})
}

// TestTransport_Drain: the connection of a response that nobody wants is used
// again if that is cheap, and otherwise closed within 50 ms.
func TestTransport_Drain(t *testing.T) {
	flood := func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = http.NewResponseController(w).Flush()
		if r.URL.Path == "/endless" {
			for {
				if _, err := w.Write(make([]byte, 4<<10)); err != nil {
					return
				}
			}
		}
		if r.URL.Path == "/silent" {
			<-r.Context().Done()
		}
	}
	for path, want := range map[string]time.Duration{"/short": 0, "/endless": 0, "/silent": 50 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t)
			s.handlers["a.test"] = flood
			rt := &failover.Transport{Base: s.server.Transport, Failover: ab(failover.Config{})}
			start := time.Now()
			if got := trip(rt, request(t, "GET", "http://a.test"+path, "")); got != "200 from b.test" || time.Since(start) != want {
				t.Errorf("%s: %q after %v, want b after %v", path, got, time.Since(start), want)
			}
			before := s.server.Opened()
			s.handlers["a.test"] = nil
			_ = trip(rt, request(t, "GET", "http://a.test/", ""))
			if reused := s.server.Opened() == before; reused != (path == "/short") {
				t.Errorf("%s: the connection was used again: %v", path, reused)
			}
		})
	}
}

// TestTransport_Credentials: an endpoint's user is sent, unless the request has
// its own, and shows in no error.
func TestTransport_Credentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		auth := func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			fmt.Fprint(w, user, ":", password)
		}
		s.handlers["a.test"], s.handlers["b.test"] = auth, auth
		f := failover.New(failover.Config{Name: "x", Endpoints: []string{"http://alice:hunter2@a.test", "http://b.test"}})
		rt := &failover.Transport{Base: s.server.Transport, Failover: f}
		plain := request(t, "GET", "http://a.test/", "")
		own := request(t, "GET", "http://a.test/", "")
		own.SetBasicAuth("bob", "x")
		for req, want := range map[*http.Request]string{plain: "200 alice:hunter2", own: "200 bob:x"} {
			if got := trip(rt, req); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if plain.Header.Get("Authorization") != "" {
			t.Error("the caller's header was changed")
		}
		rt.CloseIdleConnections()
		s.refused = map[string]error{"a.test": errors.New("no route to alice:hunter2@a.test"), "b.test": syscall.ECONNREFUSED}
		_, err := rt.RoundTrip(request(t, "GET", "http://a.test/", ""))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	})
}

// TestTransport_Client: as a client's transport it leaves redirects to that, which
// follows those of its own server through the list, and others where they lead.
func TestTransport_Client(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.handlers["a.test"] = status(503)
		s.handlers["b.test"] = func(w http.ResponseWriter, r *http.Request) {
			if to := r.URL.Query().Get("to"); to != "" {
				http.Redirect(w, r, to, http.StatusFound)
			}
		}
		client := &http.Client{Transport: &failover.Transport{Base: s.server.Transport, Failover: ab(failover.Config{Guard: breakers})}}
		for to, want := range map[string]string{
			"/y":              "GET b.test/base/?to=/y, GET b.test/base/y",
			"http://c.test/y": "GET b.test/base/?to=http://c.test/y, GET c.test/y",
		} {
			_ = trip(client.Transport, request(t, "GET", "http://a.test/", "")) // opens a
			s.requests()
			resp, err := client.Do(request(t, "GET", "http://a.test/?to="+to, ""))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if got := s.requests(); got != want {
				t.Errorf("%s: %q, want %q", to, got, want)
			}
		}
	})
}

// TestTransport_UnderRetry: a redoubt.Transport around it repeats what no endpoint
// could do, and takes a refusal by all of them for one.
func TestTransport_UnderRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		rt := &redoubt.Transport{
			Base:        &failover.Transport{Base: s.server.Transport, Failover: ab(failover.Config{Guard: breakers})},
			Layer:       retry.Policy{Backoff: retry.Constant(time.Second)},
			SpansByBase: true,
		}
		if err := rt.Check(); err != nil {
			t.Error(err)
		}
		s.refused = map[string]error{"a.test": syscall.ECONNREFUSED, "b.test": syscall.ECONNREFUSED}
		start := time.Now()
		_, err := rt.RoundTrip(request(t, "POST", "http://a.test/", "x"))
		if took := time.Since(start); err == nil || took != time.Second {
			t.Errorf("%v after %v, want an error after one wait", err, took)
		}
		failed, ok := errors.AsType[*failover.Error](err)
		if !ok || !failed.Rejected() || !errors.Is(err, breaker.ErrOpen) {
			t.Errorf("%v, want the refusal by both", err)
		}
	})
}

// TestTransport_ManyConnections: nor does that take a new connection to each
// endpoint for one that is redialled in vain.
func TestTransport_ManyConnections(t *testing.T) {
	for name, fails := range map[string]http.HandlerFunc{
		"503":   status(http.StatusServiceUnavailable),
		"reset": func(_ http.ResponseWriter, r *http.Request) { memhttp.Reset(r) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t)
				var endpoints []string
				for _, host := range []string{"a.test", "b.test", "c.test", "d.test", "e.test", "f.test"} {
					endpoints = append(endpoints, "http://"+host)
					s.handlers[host] = fails
				}
				s.handlers["f.test"] = nil
				rt := &redoubt.Transport{
					Base: &failover.Transport{
						Base:     s.server.Transport,
						Failover: failover.New(failover.Config{Name: "many", Endpoints: endpoints}),
					},
					SpansByBase: true,
				}
				resp, err := rt.RoundTrip(request(t, "GET", "http://a.test/", ""))
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				if got, _ := io.ReadAll(resp.Body); string(got) != "from f.test" {
					t.Errorf("got %q, want the last endpoint's answer", got)
				}
			})
		})
	}
}

func TestTransport_Check(t *testing.T) {
	with := func(endpoints ...string) *failover.Failover {
		return failover.New(failover.Config{Name: "x", Endpoints: endpoints})
	}
	var none *failover.Transport
	for _, tt := range []struct {
		name string
		t    *failover.Transport
		want string
	}{
		{"nil", none, "failover: Transport is nil"},
		{"zero", new(failover.Transport), "failover: Failover is nil or zero, must be made with New"},
		{"no URL", &failover.Transport{Failover: with("http://a", "http://u:secret@a b")}, "failover: x: Endpoints[1] is http://a b, must be a URL"},
		{"no scheme", &failover.Transport{Failover: with("a.test")}, "failover: x: Endpoints[0] is a.test, must be a URL with scheme http or https"},
		{"other scheme", &failover.Transport{Failover: with("ftp://a.test")}, "failover: x: Endpoints[0] is ftp://a.test, must be a URL with scheme http or https"},
		{"no host", &failover.Transport{Failover: with("http:///x")}, "failover: x: Endpoints[0] is http:///x, must be a URL with a host"},
		{"query", &failover.Transport{Failover: with("http://a/?token=secret")}, "failover: x: Endpoints[0] is http://a/, must have neither query nor fragment"},
		{"empty query", &failover.Transport{Failover: with("http://a/?")}, "failover: x: Endpoints[0] is http://a/?, must have neither query nor fragment"},
		{"fragment", &failover.Transport{Failover: with("http://a/#f")}, "failover: x: Endpoints[0] is http://a/, must have neither query nor fragment"},
		{"opaque", &failover.Transport{Failover: with("http:a")}, "failover: x: Endpoints[0] is http:a, must be a URL with a host"},
		{"bad From", &failover.Transport{Failover: with("http://a"), From: "a/b"}, "failover: x: From is a/b, must be a URL with scheme http or https"},
		{"well", &failover.Transport{Failover: with("http://a", "https://u:p@b:1/base/"), From: "http://any"}, "<nil>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(tt.t.Check()); got != tt.want {
				t.Errorf("Check() = %s, want %s", got, tt.want)
			}
			if tt.want == "<nil>" {
				return
			}
			req, body := request(t, "PUT", "http://a", ""), &closing{Reader: strings.NewReader("x")}
			req.Body = body
			if _, err := tt.t.RoundTrip(req); fmt.Sprint(err) != tt.want || !body.closed {
				t.Errorf("RoundTrip = %v, want %s; the body is closed: %v", err, tt.want, body.closed)
			}
		})
	}
}

// TestTransport_Base: a Base that breaks its promises, and one whose responses a
// hook judges.
func TestTransport_Base(t *testing.T) {
	body := &closing{Reader: strings.NewReader("")}
	boom := errors.New("boom")
	for _, tt := range []struct {
		name string
		a    func() (*http.Response, error) // what the first endpoint gives
		want string
	}{
		{"neither response nor error", func() (*http.Response, error) { return nil, nil }, "200 of b.test"},
		{"response and error", func() (*http.Response, error) { return &http.Response{StatusCode: 200, Body: body}, boom }, "200 of b.test"},
		{"no body", func() (*http.Response, error) { return &http.Response{StatusCode: 201}, nil }, "201 "},
		{"a failure by the hook", func() (*http.Response, error) { return &http.Response{StatusCode: 299, Body: http.NoBody}, nil }, "200 of b.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rt := &failover.Transport{
				Failover: ab(failover.Config{}),
				From:     "http://service.test",
				Failure:  func(resp *http.Response) bool { return resp.StatusCode == 299 },
				Base: roundTripper(func(r *http.Request) (*http.Response, error) {
					if r.URL.Host == "a.test" {
						return tt.a()
					}
					return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader("of " + r.URL.Host))}, nil
				}),
			}
			if got := trip(rt, request(t, "GET", "http://service.test/", "")); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	if !body.closed {
		t.Error("the body of a response beside an error is not closed")
	}
}

// TestTransport_GuardOfItsOwnMind: a guard that never calls is told apart from a
// response, and one that calls again after what must not be repeated gets the
// last result.
func TestTransport_GuardOfItsOwnMind(t *testing.T) {
	trips := 0
	base := roundTripper(func(*http.Request) (*http.Response, error) {
		trips++
		return &http.Response{StatusCode: 503, Body: http.NoBody}, nil
	})
	through := func(guard func(context.Context, func(context.Context) error) error) string {
		trips = 0
		return trip(&failover.Transport{
			Failover: ab(failover.Config{Guard: func(string) failover.Layer { return redoubt.LayerFunc(guard) }}),
			From:     "http://service.test",
			Base:     base,
		}, request(t, "POST", "http://service.test/", "order"))
	}
	got := through(func(context.Context, func(context.Context) error) error { return nil })
	if want := "failover: guard reports success without a response"; got != want || trips != 0 {
		t.Errorf("%s after %d trips, want %s", got, trips, want)
	}
	got = through(func(ctx context.Context, call func(context.Context) error) error {
		first := call(ctx)
		if again := call(ctx); again != first {
			t.Errorf("asked again: %v, want %v", again, first)
		}
		return first
	})
	if got != "503 " || trips != 1 {
		t.Errorf("%s after %d trips, want 503 after 1", got, trips)
	}
}

// TestTransport_GetBodyFails: without its body a request is not sent.
func TestTransport_GetBodyFails(t *testing.T) {
	gone := errors.New("file is gone")
	trips := 0
	rt := &failover.Transport{
		Failover: ab(failover.Config{}),
		From:     "http://service.test",
		Base: roundTripper(func(*http.Request) (*http.Response, error) {
			trips++
			return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
		}),
	}
	req := request(t, "PUT", "http://service.test/", "order")
	req.GetBody = func() (io.ReadCloser, error) { return nil, gone }
	resp, err := rt.RoundTrip(req)
	if resp != nil || !errors.Is(err, gone) || trips != 1 {
		t.Errorf("response %v, error %v after %d trips; want %v after 1", resp, err, trips, gone)
	}
}

// TestTransport_RewoundBody: an upload that went on after its endpoint had failed
// ate what belonged to the next one's, if GetBody only rewinds. So did what net/http
// had from GetBody for a replay of its own.
func TestTransport_RewoundBody(t *testing.T) {
	const want = "all of it"
	for name, upload := range map[string]func(*http.Request) (io.ReadCloser, error){
		"upload": func(r *http.Request) (io.ReadCloser, error) { return r.Body, nil },
		"replay": func(r *http.Request) (io.ReadCloser, error) { return r.GetBody() },
	} {
		var first io.Reader
		var got []byte
		rt := &failover.Transport{
			Failover: ab(failover.Config{}),
			From:     "http://service.test",
			Base: roundTripper(func(r *http.Request) (resp *http.Response, err error) {
				if first == nil {
					if first, err = upload(r); err != nil {
						t.Error(err)
					}
					return nil, io.ErrUnexpectedEOF
				}
				if n, err := first.Read(make([]byte, 3)); n != 0 || err == nil {
					t.Errorf("the %s before read %d bytes, %v", name, n, err)
				}
				got, err = io.ReadAll(r.Body)
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, err
			}),
		}
		resp, err := rt.RoundTrip(rewinding(t, strings.NewReader(want), want))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if string(got) != want {
			t.Errorf("after the %s the next endpoint got %q, want %q", name, got, want)
		}
	}
}

// rewinding returns a request with content, whose GetBody rewinds its one body.
func rewinding(t *testing.T, body io.ReadSeeker, content string) *http.Request {
	t.Helper()
	req := request(t, "PUT", "http://service.test/", content)
	req.Body = io.NopCloser(body)
	req.GetBody = func() (io.ReadCloser, error) {
		_, err := body.Seek(0, io.SeekStart)
		return io.NopCloser(body), err
	}
	return req
}

// TestTransport_RewoundBodyIsBeingRead: neither must the Read that is under way when
// the endpoint fails.
func TestTransport_RewoundBodyIsBeingRead(t *testing.T) {
	const want = "all of it"
	synctest.Test(t, func(t *testing.T) {
		shared := &slowReader{strings.NewReader(want)}
		upload := make(chan struct{})
		sends := 0
		var got []byte
		rt := &failover.Transport{
			Failover: ab(failover.Config{}),
			From:     "http://service.test",
			Base: roundTripper(func(r *http.Request) (resp *http.Response, err error) {
				if sends++; sends == 1 {
					go func() {
						defer close(upload)
						_, _ = r.Body.Read(make([]byte, 3))
					}()
					synctest.Wait()
					return nil, io.ErrUnexpectedEOF
				}
				<-upload
				got, err = io.ReadAll(r.Body)
				return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, err
			}),
		}
		resp, err := rt.RoundTrip(rewinding(t, shared, want))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if string(got) != want {
			t.Errorf("the next endpoint got %q, want %q", got, want)
		}
	})
}

// TestTransport_BodyFailsToClose: that is the request's fault, and no endpoint's.
func TestTransport_BodyFailsToClose(t *testing.T) {
	broken := errors.New("cut short")
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		rt := &failover.Transport{Base: s.server.Transport, Failover: ab(failover.Config{Guard: breakers})}
		req := request(t, "PUT", "http://a.test/", "x")
		req.Body, req.ContentLength = unclosable{strings.NewReader("x"), broken}, -1
		req.GetBody = func() (io.ReadCloser, error) { return req.Body, nil }
		_, err := rt.RoundTrip(req)
		if _, asked := errors.AsType[*failover.Error](err); !errors.Is(err, broken) || asked {
			t.Errorf("err = %v, want the body's error and no second endpoint", err)
		}
	})
}

// A slowReader thinks for a while before each Read.
type slowReader struct{ *strings.Reader }

func (r *slowReader) Read(p []byte) (int, error) {
	time.Sleep(10 * time.Millisecond)
	return r.Reader.Read(p)
}

func TestTransport_Nil(t *testing.T) {
	var f *failover.Failover
	var rt *failover.Transport
	want := explain.Facts{Kind: explain.Failover}
	if got := f.Explain(); got != want {
		t.Errorf("Explain() of a nil Failover = %+v, want %+v", got, want)
	}
	if got := rt.Explain(); got != want || rt.Guards() != nil || rt.Unwrap() != http.DefaultTransport || rt.Check() == nil {
		t.Errorf("Explain() of a nil Transport = %+v, want %+v", got, want)
	}
}
