package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

// A call is one request.
type call struct {
	recorder     *recorder
	due, started time.Duration
	left         func() bool // reports whether the caller has left

	status  int   // of the answer; 0 without one
	bytesIn int64 // of its body

	mu        sync.Mutex
	attempts  int64
	retries   []Outcome // what the attempt before each had come to
	last      Outcome   // of the newest attempt that has ended
	notBefore time.Time // as the server asked
}

type callKey struct{}

const body = "a body that can be sent again"

func (g *generator) call(parent context.Context, j job) {
	s, due := g.config.Scenario, j.due
	c := &call{recorder: g.recorder, due: due, started: g.recorder.now()}
	g.recorder.start(due, c.started-due)
	ctx, cancel := context.WithTimeoutCause(context.WithValue(parent, callKey{}, c), s.Patience, errPatience)
	defer cancel()
	c.left = func() bool { return ctx.Err() != nil }
	outcome := g.send(ctx, c, j.n)
	ended := g.recorder.now()
	switch {
	case outcome != Useful && parent.Err() != nil:
		outcome = Cancelled
	case outcome == Useful && ended-due > s.UsefulWithin:
		outcome = Late
	}
	g.recorder.end(c, outcome, ended)
	if g.config.Sample != nil {
		g.config.Sample(g.sample(c, j.seq, outcome, ended))
	}
}

// sample says what became of a call.
func (g *generator) sample(c *call, seq uint64, outcome Outcome, ended time.Duration) Sample {
	s := Sample{
		Client:  g.config.Client.Name,
		Seq:     seq,
		Due:     g.recorder.begun.Add(c.due),
		Latency: ended - c.due,
		Outcome: outcome,
		Status:  c.status,
		BytesIn: c.bytesIn,
		Method:  g.config.Scenario.Method,
		URL:     g.url.Redacted(),
	}
	if hasBody(s.Method) {
		s.BytesOut = int64(len(body))
	}
	return s
}

// errPatience ends a caller's context.
var errPatience = errors.New("engine: caller has left")

// send makes the request and reads the answer to its end.
func (g *generator) send(ctx context.Context, c *call, n int) Outcome {
	s := g.config.Scenario
	req := (&http.Request{Method: s.Method, URL: g.url, Header: make(http.Header, 2)}).WithContext(ctx)
	if hasBody(s.Method) {
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		req.Body, _ = req.GetBody()
		req.ContentLength = int64(len(body))
	}
	id := strconv.FormatUint(g.config.Seed, 36) + "-" + strconv.Itoa(n)
	req.Header.Set(faults.RequestIDHeader, id)
	if s.IdempotencyKey {
		req.Header.Set("Idempotency-Key", id)
	}
	resp, err := g.client.Do(req)
	if err != nil {
		return OutcomeOf(ctx, err)
	}
	c.status = resp.StatusCode
	c.bytesIn, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if err != nil {
		return OutcomeOf(ctx, err)
	}
	return outcomeOfStatus(resp.StatusCode)
}

func hasBody(method string) bool {
	return method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch
}

func outcomeOfStatus(status int) Outcome {
	switch {
	case status == http.StatusTooManyRequests:
		return Throttled
	case status >= 500:
		return ServerError
	case status >= 400:
		return ClientError
	default:
		return Useful
	}
}

// OutcomeOf says what an error of a request means. ctx is the caller's.
func OutcomeOf(ctx context.Context, err error) Outcome {
	var says interface{ Timeout() bool }
	switch {
	case errors.Is(err, breaker.ErrOpen):
		return ShortCircuited
	case ctx.Err() != nil && errors.Is(context.Cause(ctx), errPatience):
		return CallerTimeout
	case ctx.Err() != nil:
		return Cancelled
	case as[*net.DNSError](err):
		return NoHost
	case errors.Is(err, syscall.ECONNREFUSED):
		return RefusedConn
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed):
		return ResetConn
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Truncated
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return AttemptTimeout
	case errors.As(err, &says) && says.Timeout():
		return AttemptTimeout
	default:
		return Other
	}
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

// attempts is where the client's attempts are counted, on their way to the
// dependency.
type attempts struct{ base http.RoundTripper }

// CloseIdleConnections passes on to the base.
func (a *attempts) CloseIdleConnections() {
	if base, ok := a.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// RoundTrip sends an attempt and takes down what came of it.
func (a *attempts) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ok := req.Context().Value(callKey{}).(*call)
	if !ok {
		return a.base.RoundTrip(req)
	}
	c.recorder.attempt(c.begin())
	resp, err := a.base.RoundTrip(req)
	if err != nil {
		outcome := OutcomeOf(context.Background(), err)
		if req.Context().Err() != nil && !c.left() {
			outcome = AttemptTimeout
			c.recorder.timedOut()
		}
		c.end(outcome, time.Time{})
		return nil, err
	}
	var notBefore time.Time
	if after, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		notBefore = time.Now().Add(time.Duration(after) * time.Second)
	}
	c.end(outcomeOfStatus(resp.StatusCode), notBefore)
	if resp.StatusCode != http.StatusSwitchingProtocols { // whose body is also written to
		resp.Body = &watchedBody{resp.Body, c}
	}
	return resp, nil
}

// begin takes down that an attempt begins, and reports whether it is sooner
// than the server asked for.
func (c *call) begin() (early bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.attempts++
	if c.attempts > 1 {
		c.retries = append(c.retries, c.last)
	}
	c.last = AttemptTimeout // unless it is known to have ended
	return time.Now().Before(c.notBefore)
}

func (c *call) end(outcome Outcome, notBefore time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = outcome
	c.notBefore = notBefore
}

// A watchedBody tells an attempt that breaks off in the body from others.
type watchedBody struct {
	io.ReadCloser
	call *call
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.call.end(OutcomeOf(context.Background(), err), time.Time{})
	}
	return n, err
}

// A cancelBody ends a context when it is closed.
type cancelBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}
