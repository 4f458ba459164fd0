package engine

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest/faults"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// A Live measures a client that somebody else drives, without a schedule and for
// as long as that takes. A request is due when it begins: whether it began in
// time, only those who sent it know.
//
// Arrivals are requests as package net/http writes them, what it repeats on its
// own account included, and connections that were refused. Memory is bounded:
// cells of time grow longer rather than more.
//
// It is safe for concurrent use.
type Live struct {
	scenario   *scenario.Scenario
	client     Client
	caller     Caller
	histograms bool
	recorder   atomic.Pointer[recorder]
}

// firstRoom is the time that a Live makes room for at first.
const firstRoom = time.Minute

// NewLive returns a Live for a client that sends its attempts to base. Of the
// scenario, the name, the title and what is useful count. The record begins at
// begun. With histograms, its results have those of all intervals.
func NewLive(s *scenario.Scenario, c Client, base http.RoundTripper, begun time.Time, histograms bool) *Live {
	l := &Live{scenario: s.WithDuration(firstRoom), client: c, histograms: histograms}
	l.caller = c.New(Setting{
		Base:     &attempts{&arrivals{base}},
		Scenario: s,
		Observer: l,
	})
	l.Reset(begun)
	return l
}

// Client returns what the requests go through, for those who look at its layers.
// What it sends by itself is not recorded.
func (l *Live) Client() *http.Client { return &http.Client{Transport: l.caller.Transport} }

// Reset begins the record anew. What is under way counts for the record that it
// began in. The client keeps its state.
func (l *Live) Reset(begun time.Time) {
	r := newRecorder(l.scenario, begun)
	r.open, r.keep, r.budget = true, l.histograms, l.caller.Budget
	l.recorder.Store(r)
}

// Begin takes down that a request begins, and returns the context to send it
// with through RoundTrip.
func (l *Live) Begin(ctx context.Context) (context.Context, *Passage) {
	r := l.recorder.Load()
	now := r.now()
	left := func() bool { return ctx.Err() != nil }
	p := &Passage{call: &call{recorder: r, due: now, started: now, left: left}, outcome: Cancelled}
	r.offer(now)
	r.start(now, 0)
	inner := context.WithValue(context.WithValue(ctx, callKey{}, p.call), passageKey{}, p)
	return httptrace.WithClientTrace(inner, r.liveTrace()), p
}

// liveTrace is trace, and counts what is written as arrivals.
func (r *recorder) liveTrace() *httptrace.ClientTrace {
	t := r.trace()
	wrote := t.WroteRequest
	t.WroteRequest = func(info httptrace.WroteRequestInfo) {
		wrote(info)
		r.observe(faults.Event{Kind: faults.Arrived})
	}
	return t
}

// RoundTrip sends a request of Begin's context through the client.
func (l *Live) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.caller.Transport.RoundTrip(req)
	p, ok := req.Context().Value(passageKey{}).(*Passage)
	switch {
	case !ok:
	case err != nil:
		p.outcome = OutcomeOf(req.Context(), err)
	case resp.StatusCode == http.StatusSwitchingProtocols:
		p.outcome = Useful
	default:
		p.outcome = outcomeOfStatus(resp.StatusCode)
		resp.Body = &passing{resp.Body, p}
	}
	return resp, err
}

// Result sums up the record. The report is of the time until now.
func (l *Live) Result(now time.Time) *Result {
	r := l.recorder.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	until := max(now.Sub(r.begun), minCell)
	r.grow(until)
	s, cells, latencies := r.scenario, r.cells, r.latencies
	defer func() { r.scenario, r.cells, r.latencies = s, cells, latencies }()
	r.scenario = s.WithDuration(until)
	r.cells = cells[:count(until, r.cell)]
	r.latencies = latencies[:count(until, r.coarse)]
	return r.locked(l.client, faults.Counts{})
}

// Begun returns when the record began.
func (l *Live) Begun() time.Time { return l.recorder.Load().begun }

// Transition is for the client.
func (l *Live) Transition(t breaker.Transition) { l.recorder.Load().Transition(t) }

// Probe is for the client.
func (l *Live) Probe(failed bool) { l.recorder.Load().Probe(failed) }

// Denied is for the client.
func (l *Live) Denied(reason string) { l.recorder.Load().Denied(reason) }

// A Passage is one request on its way through a [Live].
type Passage struct {
	call    *call
	outcome Outcome
}

type passageKey struct{}

// End takes down what became of the request, once all of its answer was passed
// on, or is not to be any more.
func (p *Passage) End(passedOn bool) {
	r := p.call.recorder
	ended := r.now()
	switch {
	case (p.outcome != Useful || !passedOn) && p.call.left():
		p.outcome = Cancelled
	case p.outcome == Useful && !passedOn:
		p.outcome = Truncated
	case p.outcome == Useful && ended-p.call.due > r.usefulWithin():
		p.outcome = Late
	}
	r.end(p.call, p.outcome, ended)
}

// Outcome returns what became of the request so far.
func (p *Passage) Outcome() Outcome { return p.outcome }

func (r *recorder) usefulWithin() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.scenario.UsefulWithin
}

// A passing body tells an answer that breaks off from others.
type passing struct {
	io.ReadCloser

	passage *Passage
}

func (b *passing) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		b.passage.outcome = OutcomeOf(context.Background(), err)
	}
	return n, err
}

// arrivals counts connections that were refused, which nobody else can.
type arrivals struct{ base http.RoundTripper }

// CloseIdleConnections passes on to the base.
func (a *arrivals) CloseIdleConnections() {
	if base, ok := a.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// RoundTrip sends an attempt.
func (a *arrivals) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := a.base.RoundTrip(req)
	if c, ok := req.Context().Value(callKey{}).(*call); ok && err != nil {
		switch OutcomeOf(context.Background(), err) {
		case RefusedConn, NoHost:
			c.recorder.observe(faults.Event{Kind: faults.Refused})
		}
	}
	return resp, err
}
