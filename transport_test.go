package redoubt_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
)

// The tests of Transport are named after the lines of the specification of the
// HTTP edge: TestTransport_034_… tests line 34. This file has what they share.

// every returns a retry layer that waits exactly this long.
func every(wait time.Duration, attempts int) retry.Policy {
	return retry.Policy{MaxAttempts: attempts, Backoff: retry.Constant(wait)}
}

// awaiting returns p such that it waits for an open breaker.
func awaiting(p retry.Policy) retry.Policy {
	p.AwaitRefusals = true
	return p
}

// atOnce returns a retry layer that doesn't wait, for tests on real sockets.
func atOnce(attempts int) retry.Policy {
	return retry.Policy{MaxAttempts: attempts, Backoff: func() backoff.BackOff { return &backoff.ZeroBackOff{} }}
}

// A trip is a function that is a RoundTripper. It closes the request body.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	return f(req)
}

// answer returns a response to req.
func answer(req *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode:    status,
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        http.Header{},
		Body:          io.NopCloser(strings.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       req,
	}
}

// A log is what a server received.
type log struct {
	mu       sync.Mutex
	requests []received
}

type received struct {
	*http.Request

	body string
	at   time.Time
}

func (l *log) note(r *http.Request) int {
	body, _ := io.ReadAll(r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests = append(l.requests, received{r, string(body), time.Now()})
	return len(l.requests)
}

func (l *log) all() []received {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.requests
}

func (l *log) count() int { return len(l.all()) }

// waits returns the times between requests.
func (l *log) waits() []time.Duration {
	var waits []time.Duration
	all := l.all()
	for i := 1; i < len(all); i++ {
		waits = append(waits, all[i].at.Sub(all[i-1].at))
	}
	return waits
}

// statuses returns a handler that answers with these, the last for ever.
func statuses(l *log, codes ...int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n := l.note(r)
		w.WriteHeader(codes[min(n, len(codes))-1])
	}
}

// hints returns a handler that answers 503, or another status, with a header
// the first time, and then 200.
func hints(l *log, status int, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if l.note(r) > 1 {
			return
		}
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Add(header[i], header[i+1])
		}
		w.WriteHeader(status)
	}
}

// bubble runs f with a server in memory, both in a bubble where time is exact.
func bubble(t *testing.T, handler http.HandlerFunc, f func(t *testing.T, base *memhttp.Server)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, memhttp.NewServer(t, handler)) })
}

// newRequest makes a request to a server of no importance.
func newRequest(ctx context.Context, t testing.TB, method string, body io.Reader, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://example.com/path?secret=hunter2", body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	return req
}

// send sends a request and returns the response with its body read.
func send(t testing.TB, rt http.RoundTripper, req *http.Request) *http.Response {
	t.Helper()
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s: %v", req.Method, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: body: %v", req.Method, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Errorf("%s: close: %v", req.Method, err)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp
}

// A body counts what is done to it. It has no GetBody unless it is given one.
type body struct {
	io.Reader

	reads, closes atomic.Int32
}

func (b *body) Read(p []byte) (int, error) {
	b.reads.Add(1)
	return b.Reader.Read(p)
}

func (b *body) Close() error {
	b.closes.Add(1)
	return nil
}
