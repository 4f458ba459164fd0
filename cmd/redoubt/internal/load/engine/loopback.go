package engine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// Loopback returns the dependency of a scenario as a real server on the loopback
// interface, with a proxy before it if the line has latency.
//
// Connections are refused, and cut, where they are made: the client's dial
// function counts what a closed listener could not.
func Loopback(s *scenario.Scenario, seed uint64) (Dependency, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Nothing here can take long.
	if err != nil {
		return nil, fmt.Errorf("engine: dependency: %w", err)
	}
	l := &loopback{scenario: s, seed: seed, listener: listener, addr: listener.Addr().String()}
	if s.LineLatency > 0 {
		if l.proxy, err = faults.NewProxy(l.addr); err != nil {
			_ = listener.Close()
			return nil, err
		}
		if err := l.proxy.Set(faults.Link{Latency: s.LineLatency}); err != nil {
			_ = l.Close()
			return nil, err
		}
		l.addr = l.proxy.Addr()
	}
	return l, nil
}

type loopback struct {
	scenario *scenario.Scenario
	seed     uint64
	listener net.Listener
	addr     string
	proxy    *faults.Proxy // nil if there is none

	injector  *faults.Injector
	server    *http.Server
	transport *http.Transport
}

func (l *loopback) Start(t time.Time, observe func(faults.Event)) error {
	var err error
	if l.injector, err = start(l.scenario, l.seed, t, observe); err != nil {
		return err
	}
	l.server = &http.Server{
		Handler:     l.injector.Handler(nil),
		ConnContext: l.injector.ConnContext,
		IdleTimeout: l.scenario.IdleTimeout,
		Protocols:   protocols(l.scenario),
		ErrorLog:    log.New(io.Discard, "", 0),
	}
	go func() { _ = l.server.Serve(l.listener) }()
	l.transport = transport(l.scenario, l.injector)
	return nil
}

// start makes the injector of a scenario.
func start(s *scenario.Scenario, seed uint64, t time.Time, observe func(faults.Event)) (*faults.Injector, error) {
	plan := s.Plan
	plan.Seed, plan.Observe = seed, observe
	injector, err := faults.New(plan)
	if err != nil {
		return nil, err
	}
	injector.StartAt(t)
	return injector, nil
}

func protocols(s *scenario.Scenario) *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(s.Wire != scenario.HTTP2)
	p.SetUnencryptedHTTP2(s.Wire == scenario.HTTP2)
	return p
}

// Patient returns dial for as long as a caller of the scenario waits. Package
// net/http goes on dialing for callers that have left.
func Patient(s *scenario.Scenario, dial faults.DialFunc) faults.DialFunc {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, s.Patience)
		defer cancel()
		return dial(ctx, network, addr)
	}
}

// transport returns a transport without proxies, for many calls to one host. No
// dial takes longer than a caller's patience.
func transport(s *scenario.Scenario, injector *faults.Injector) *http.Transport {
	dial := new(net.Dialer).DialContext
	if injector != nil {
		dial = injector.DialContext(dial)
	}
	return &http.Transport{
		DialContext:         Patient(s, dial),
		DisableKeepAlives:   s.NewConnections,
		Protocols:           protocols(s),
		MaxIdleConnsPerHost: 1024,
		IdleConnTimeout:     90 * time.Second,
	}
}

func (l *loopback) Transport(idle time.Duration) http.RoundTripper {
	if idle > 0 {
		l.transport.IdleConnTimeout = idle
	}
	return l.transport
}

func (l *loopback) URL() string { return "http://" + l.addr + "/" }

func (l *loopback) Counts() faults.Counts { return l.injector.Counts() }

func (l *loopback) Close() error {
	var errs []error
	if l.transport != nil {
		l.transport.CloseIdleConnections()
	}
	if l.server != nil {
		errs = append(errs, l.server.Close())
	} else {
		errs = append(errs, l.listener.Close())
	}
	if l.proxy != nil {
		errs = append(errs, l.proxy.Close())
	}
	return errors.Join(errs...)
}

// Remote returns the dependency at a URL. If inject is true, the scenario's
// faults and its service's limits happen on the way there, at the client's end;
// otherwise the dependency has to bring its own. Arrivals are those that pass
// there, so that what package net/http repeats on its own account is not among
// them; Result.RequestsWritten has it.
func Remote(target string, s *scenario.Scenario, seed uint64, inject bool) (Dependency, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("engine: dependency: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("engine: dependency: URL is %q, must begin with http:// or https:// and a host", target)
	}
	faulty := *s
	if !inject {
		faulty.Plan = faults.Plan{}
	}
	return &remote{target: target, scenario: &faulty, seed: seed}, nil
}

type remote struct {
	target    string
	scenario  *scenario.Scenario
	seed      uint64
	injector  *faults.Injector
	transport *http.Transport
}

func (r *remote) Start(t time.Time, observe func(faults.Event)) error {
	var err error
	if r.injector, err = start(r.scenario, r.seed, t, observe); err != nil {
		return err
	}
	r.transport = transport(r.scenario, nil)
	if r.scenario.Wire != scenario.HTTP2 {
		r.transport.Protocols = nil // as the server likes
		r.transport.ForceAttemptHTTP2 = true
	}
	return nil
}

func (r *remote) Transport(idle time.Duration) http.RoundTripper {
	if idle > 0 {
		r.transport.IdleConnTimeout = idle
	}
	return r.injector.RoundTripper(r.transport)
}

func (r *remote) URL() string { return r.target }

func (r *remote) Counts() faults.Counts { return r.injector.Counts() }

func (r *remote) Close() error {
	if r.transport != nil {
		r.transport.CloseIdleConnections()
	}
	return nil
}

// A Comparison is a scenario to be run with several clients, each against a
// dependency of its own.
type Comparison struct {
	Scenario   *scenario.Scenario
	Seed       uint64
	Clients    []Client
	Dependency func() (Dependency, error) // makes one for a client

	// OneByOne runs one client after the other, rather than all at the same
	// time: for rates that the machine can generate only once, and for a
	// dependency that they share.
	OneByOne bool

	// Begin, Shard, Shards, MaxInFlight, Histograms, Progress and Sample are
	// as in Config. Progress is told by several goroutines unless OneByOne.
	Begin         time.Time
	Shard, Shards int
	MaxInFlight   int
	Histograms    bool
	Progress      func(Progress)
	Sample        func(Sample)
}

// lead is how long before the first request a run is set up.
const lead = 50 * time.Millisecond

// Compare runs the comparison in real time, until its end or until ctx ends, and
// reports what was measured up to then.
func Compare(ctx context.Context, c Comparison) (*Report, error) {
	begin := c.Begin
	if begin.IsZero() {
		begin = time.Now().Add(lead)
	}
	results := make([]*Result, len(c.Clients))
	failures := make([]error, len(c.Clients))
	run := func(i int, begin time.Time) {
		dependency, err := c.Dependency()
		if err != nil {
			failures[i] = err
			return
		}
		defer func() { failures[i] = errors.Join(failures[i], dependency.Close()) }()
		results[i], failures[i] = Run(ctx, Config{
			Scenario:    c.Scenario,
			Seed:        c.Seed,
			Client:      c.Clients[i],
			Dependency:  dependency,
			Begin:       begin,
			Shard:       c.Shard,
			Shards:      c.Shards,
			MaxInFlight: c.MaxInFlight,
			Histograms:  c.Histograms,
			Progress:    c.Progress,
			Sample:      c.Sample,
		})
	}
	if c.OneByOne {
		for i := range c.Clients {
			if i > 0 {
				begin = time.Now().Add(lead)
			}
			run(i, begin)
		}
	} else {
		done := make(chan struct{})
		for i := range c.Clients {
			go func() {
				defer func() { done <- struct{}{} }()
				run(i, begin)
			}()
		}
		for range c.Clients {
			<-done
		}
	}
	if err := errors.Join(failures...); err != nil {
		return nil, err
	}
	return NewReport(c.Scenario, c.Seed, false, begin, results...), nil
}
