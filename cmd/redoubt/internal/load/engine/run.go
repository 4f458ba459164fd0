package engine

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"runtime"
	"sync"
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
