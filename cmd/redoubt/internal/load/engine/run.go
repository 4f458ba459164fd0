package engine

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest/faults"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// DefaultMaxInFlight bounds the calls under way; what is due beyond it is
// dropped, and counted.
const DefaultMaxInFlight = 50_000

// A Dependency is what a scenario is run against. Its faults begin when Start
// is called.
type Dependency interface {
	// Start begins the scenario's time at t. observe is told of everything
	// that the dependency sees.
	Start(t time.Time, observe func(faults.Event)) error

	// Transport returns where attempts are sent. It keeps idle connections
	// for the given time, if it has any; zero is its own choice.
	Transport(idle time.Duration) http.RoundTripper

	// URL returns the address to send requests to.
	URL() string

	// Counts returns what the dependency saw.
	Counts() faults.Counts

	// Close stops it.
	Close() error
}

// A Config says what to run.
type Config struct {
	Scenario   *scenario.Scenario
	Seed       uint64
	Client     Client
	Dependency Dependency

	// Begin is when the first request is due. Zero means now.
	Begin time.Time

	// Shard and Shards, if Shards is above 1, make this run take every
	// Shards-th request of the schedule, beginning with number Shard, from 0.
	Shard, Shards int

	// MaxInFlight bounds the calls under way. Zero means DefaultMaxInFlight.
	MaxInFlight int

	// Histograms keeps the histograms of all intervals, for WriteHDR and Merge.
	// A shard has them anyway.
	Histograms bool

	// Progress, if not nil, is told from time to time how far the run is.
	Progress func(Progress)

	// Sample, if not nil, is told of every request that has ended, by
	// several goroutines at the same time.
	Sample func(Sample)
}

// Progress is how far a run is.
type Progress struct {
	Client        string
	At            time.Duration
	Offered       int64
	Useful        int64
	Amplification float64
	InFlight      int64
	Breaker       string // its state, "" without one
}

// Run runs the scenario to its end, or until ctx ends, and returns what was
// measured up to then. It returns once no call is under way.
func Run(ctx context.Context, config Config) (*Result, error) {
	begin := config.Begin
	if begin.IsZero() {
		begin = time.Now()
	}
	r := newRecorder(config.Scenario, begin)
	r.keep = config.Histograms || config.Shards > 1
	if err := config.Dependency.Start(begin, r.observe); err != nil {
		return nil, err
	}
	caller := config.Client.New(Setting{
		Base:     &attempts{config.Dependency.Transport(config.Client.IdleConnTimeout)},
		Scenario: config.Scenario,
		Seed:     config.Seed,
		Observer: r,
	})
	r.budget = caller.Budget
	g := &generator{
		config:   config,
		recorder: r,
		client:   &http.Client{Transport: caller.Transport},
		jobs:     make(chan job),
	}
	var err error
	if g.url, err = url.Parse(config.Dependency.URL()); err != nil {
		return nil, err
	}
	cpu := cpuTime()
	g.run(httptrace.WithClientTrace(ctx, r.trace()))
	r.cpu = cpuTime() - cpu
	return r.result(config.Client, config.Dependency.Counts()), nil
}

// trace counts connections, and requests as they are written: those too that
// package net/http repeats.
func (r *recorder) trace() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			if !info.Reused {
				r.connected()
			}
		},
		WroteRequest: func(httptrace.WroteRequestInfo) { r.wrote() },
	}
}

// A generator starts requests when they are due.
type generator struct {
	config   Config
	url      *url.URL
	recorder *recorder
	client   *http.Client
	timer    *time.Timer
	jobs     chan job // to idle workers
	workers  sync.WaitGroup
	working  int // how many there are
	started  uint64
}

// A job is a request to be made.
type job struct {
	n   int // its number in the schedule
	seq uint64
	due time.Duration
}

func (g *generator) run(ctx context.Context) {
	defer g.workers.Wait()
	defer close(g.jobs)
	shards := max(g.config.Shards, 1)
	var told time.Duration
	for n, due := range g.config.Scenario.Schedule(g.config.Seed) {
		if n%shards != g.config.Shard {
			continue
		}
		if !g.await(ctx, due) {
			return
		}
		g.recorder.offer(due)
		if g.start(ctx, job{n, g.started, due}) {
			g.started++
		} else {
			g.recorder.drop(due)
		}
		if due-told >= minCell {
			told = due
			g.tell(due)
		}
	}
	_ = g.await(ctx, g.config.Scenario.Duration)
}

// start hands a job to a worker, and reports whether there is one. Workers are
// kept for their stacks, which a new goroutine would have to grow again.
func (g *generator) start(ctx context.Context, first job) bool {
	select {
	case g.jobs <- first:
		return true
	default:
	}
	if g.working == cmp.Or(g.config.MaxInFlight, DefaultMaxInFlight) {
		return false
	}
	g.working++
	g.workers.Go(func() {
		g.call(ctx, first)
		for j := range g.jobs {
			g.call(ctx, j)
		}
	})
	return true
}

// await waits until a request is due, and reports whether it still is to be
// made.
func (g *generator) await(ctx context.Context, due time.Duration) bool {
	wait := due - g.recorder.now()
	if wait <= 0 {
		return ctx.Err() == nil
	}
	if g.timer == nil {
		g.timer = time.NewTimer(wait)
	} else {
		g.timer.Reset(wait)
	}
	select {
	case <-g.timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func (g *generator) tell(at time.Duration) {
	g.recorder.goroutinesSeen(runtime.NumGoroutine())
	if g.config.Progress != nil {
		p := g.recorder.progress(at)
		p.Client = g.config.Client.Name
		g.config.Progress(p)
	}
}

func (r *recorder) progress(at time.Duration) Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	sum := &r.run.summary
	p := Progress{
		At:            at,
		Offered:       sum.Offered,
		Useful:        sum.Useful,
		Amplification: ratio(sum.Arrivals, sum.Offered),
		InFlight:      r.inFlight,
	}
	if r.budget != nil {
		p.Breaker = breaker.Closed.String()
	}
	if n := len(r.transitions); n > 0 {
		p.Breaker = r.transitions[n-1].To.String()
	}
	return p
}

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
