package engine

import (
	"sync"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest/faults"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

const (
	minCell      = 100 * time.Millisecond
	maxCells     = 1200
	minLatency   = time.Second
	maxLatencies = 300

	// recovered is the share of useful answers, over this long, that is
	// recovery.
	recovered     = 0.95
	recoveredOver = 500 * time.Millisecond
)

// A recorder takes down what one client does. It is safe for concurrent use.
type recorder struct {
	scenario *scenario.Scenario
	begun    time.Time
	budget   func() float64

	mu        sync.Mutex
	cells     []cell
	cell      time.Duration
	latencies []latency
	coarse    time.Duration
	run       *scope
	fault     *scope
	after     *scope
	lag       histogram
	lagged    time.Duration

	inFlight, inFlightPeak int64
	transitions            []breaker.Transition
	probes, probesFailed   int64
	goodRefused            int64
	early                  int64
	cutOff                 int64
	connections, written   int64
	goroutines             int64
	cpu                    time.Duration
	open                   bool // it has no end known beforehand
	keep                   bool // the histograms of intervals are part of the result
}

// A cell is a stretch of time.
type cell struct {
	offered, useful, attempts, arrivals, abandoned, inFlight, shortCircuits, probes int64
	outcomes                                                                        map[Outcome]int64
	budget                                                                          float64
	budgeted                                                                        bool
}

type latency struct{ all, failures histogram }

// A scope sums up one part of the run.
type scope struct {
	summary                                    Summary
	all, useful, failures, send, shortCircuits histogram
}

func newScope() *scope {
	return &scope{
		summary: Summary{
			Outcomes:      map[Outcome]int64{},
			Retries:       map[Outcome]int64{},
			RetriesDenied: map[string]int64{},
		},
		all: newHistogram(3), useful: newHistogram(3), failures: newHistogram(3), send: newHistogram(3),
		shortCircuits: newHistogram(3),
	}
}

func newRecorder(s *scenario.Scenario, begun time.Time) *recorder {
	r := &recorder{
		scenario: s,
		begun:    begun,
		cell:     fit(s.Duration, minCell, maxCells),
		coarse:   fit(s.Duration, minLatency, maxLatencies),
		run:      newScope(),
		fault:    newScope(),
		after:    newScope(),
		lag:      newHistogram(3),
	}
	if len(s.Windows) == 0 { // all of the run is the fault
		r.fault = r.run
	}
	r.allocate()
	return r
}

// allocate makes empty cells.
func (r *recorder) allocate() {
	r.cells = make([]cell, count(r.scenario.Duration, r.cell))
	for i := range r.cells {
		r.cells[i].outcomes = map[Outcome]int64{}
	}
	r.latencies = make([]latency, count(r.scenario.Duration, r.coarse))
	for i := range r.latencies {
		r.latencies[i] = latency{newHistogram(2), newHistogram(2)}
	}
}

// fit returns the shortest multiple of least that makes no more than most cells.
func fit(d, least time.Duration, most int) time.Duration {
	whole := int64(least) * int64(most)
	return time.Duration(int64(least) * max((int64(d)+whole-1)/whole, 1))
}

func count(d, cell time.Duration) int { return int((d + cell - 1) / cell) }

// now is the time of the scenario.
func (r *recorder) now() time.Duration { return time.Since(r.begun) }

// at returns the cell of t; what is late counts for the last.
func (r *recorder) at(t time.Duration) *cell {
	r.grow(t)
	return &r.cells[min(max(int(t/r.cell), 0), len(r.cells)-1)]
}

// scopes calls f for the scopes that t is in.
func (r *recorder) scopes(t time.Duration, f func(*scope)) {
	r.grow(t)
	if t < r.scenario.Duration {
		f(r.run)
	}
	switch {
	case t >= r.scenario.Duration, r.fault == r.run:
	case r.scenario.InWindow(t):
		f(r.fault)
	case r.scenario.InAftermath(t):
		f(r.after)
	}
}

// grow makes room for t, if the record is open: for twice the time, in cells that
// are longer rather than more once there are enough of them.
func (r *recorder) grow(t time.Duration) {
	for r.open && t >= r.scenario.Duration {
		s := r.scenario.WithDuration(2 * r.scenario.Duration)
		cellWas, coarseWas := r.cell, r.coarse
		cells, latencies := r.cells, r.latencies
		r.scenario, r.cell, r.coarse = s, fit(s.Duration, minCell, maxCells), fit(s.Duration, minLatency, maxLatencies)
		r.allocate()
		for i := range cells {
			r.cells[int(time.Duration(i)*cellWas/r.cell)].add(&cells[i])
		}
		for i, l := range latencies {
			into := r.latencies[int(time.Duration(i)*coarseWas/r.coarse)]
			into.all.Merge(l.all.Histogram)
			into.failures.Merge(l.failures.Histogram)
		}
	}
}

// add adds the cell that comes next.
func (c *cell) add(o *cell) {
	c.offered += o.offered
	c.useful += o.useful
	c.attempts += o.attempts
	c.arrivals += o.arrivals
	c.abandoned += o.abandoned
	c.inFlight = max(c.inFlight, o.inFlight)
	c.shortCircuits += o.shortCircuits
	c.probes += o.probes
	addMap(c.outcomes, o.outcomes)
	if o.budgeted {
		c.budget, c.budgeted = o.budget, true
	}
}

// offer takes down that a request was due at t.
func (r *recorder) offer(t time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at(t).offered++
	r.scopes(t, func(s *scope) { s.summary.Offered++ })
}

// drop takes down that it could not be started.
func (r *recorder) drop(t time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scopes(t, func(s *scope) { s.summary.Dropped++ })
}

// start takes down that it was started, late by lag, and returns how many are
// under way.
func (r *recorder) start(t, lag time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lag.record(lag)
	r.lagged = max(r.lagged, lag)
	r.inFlight++
	r.inFlightPeak = max(r.inFlightPeak, r.inFlight)
	c := r.at(r.now())
	c.inFlight = max(c.inFlight, r.inFlight)
	r.scopes(t, func(s *scope) { s.summary.Started++ })
}

// end takes down what became of a request.
func (r *recorder) end(c *call, outcome Outcome, ended time.Duration) {
	tokens, budgeted := 0.0, r.budget != nil
	if budgeted {
		tokens = r.budget()
	}
	total, fromSend := ended-c.due, ended-c.started
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	now := r.at(ended)
	now.inFlight = max(now.inFlight, r.inFlight)
	now.budget, now.budgeted = tokens, budgeted
	due := r.at(c.due)
	due.outcomes[outcome]++
	if outcome == Useful {
		due.useful++
	}
	if outcome == ShortCircuited {
		due.shortCircuits++
		if len(r.scenario.Windows) > 0 && !r.scenario.InWindow(c.due) {
			r.goodRefused++
		}
	}
	coarse := &r.latencies[min(int(c.due/r.coarse), len(r.latencies)-1)]
	coarse.all.record(total)
	right := outcome == Useful || outcome == Late
	if !right {
		coarse.failures.record(total)
	}
	attempts := int(c.attempts)
	r.scopes(c.due, func(s *scope) {
		sum := &s.summary
		sum.Outcomes[outcome]++
		for len(sum.AttemptsPerRequest) <= attempts {
			sum.AttemptsPerRequest = append(sum.AttemptsPerRequest, 0)
		}
		sum.AttemptsPerRequest[attempts]++
		for _, cause := range c.retries {
			sum.Retries[cause]++
		}
		if retries := int64(len(c.retries)); retries > 0 && right {
			sum.RetriesHelped++
			sum.RetriesWasted += retries - 1
		} else {
			sum.RetriesWasted += retries
		}
		s.all.record(total)
		s.send.record(fromSend)
		switch outcome {
		case Useful:
			sum.Useful++
			sum.Success++
			s.useful.record(total)
		case Late:
			sum.Success++
		default:
			s.failures.record(total)
		}
		if outcome == ShortCircuited {
			sum.ShortCircuits++
			s.shortCircuits.record(fromSend)
		}
	})
}

// attempt takes down that the client sends a request.
func (r *recorder) attempt(early bool) {
	t := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if early {
		r.early++
	}
	r.at(t).attempts++
	r.scopes(t, func(s *scope) { s.summary.Attempts++ })
}

// Observe takes down what the dependency sees.
func (r *recorder) observe(e faults.Event) {
	t := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case faults.Arrived, faults.Refused:
		r.at(t).arrivals++
		r.scopes(t, func(s *scope) { s.summary.Arrivals++ })
	case faults.Abandoned:
		r.at(t).abandoned++
		r.scopes(t, func(s *scope) { s.summary.Abandoned++ })
	}
}

// Transition takes down a state change of the client's breaker.
func (r *recorder) Transition(t breaker.Transition) {
	at := t.At.Sub(r.begun)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.transitions = append(r.transitions, t)
	r.scopes(at, func(s *scope) { s.summary.Transitions++ })
}

// Probe takes down a call that a half-open breaker let through.
func (r *recorder) Probe(failed bool) {
	t := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probes++
	if failed {
		r.probesFailed++
	}
	r.at(t).probes++
}

// Denied takes down that a retry was not made.
func (r *recorder) Denied(reason string) {
	t := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.scopes(t, func(s *scope) { s.summary.RetriesDenied[reason]++ })
}

// timedOut takes down that a client cut an attempt off.
func (r *recorder) timedOut() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.cutOff++
}

func (r *recorder) connected() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connections++
}

func (r *recorder) wrote() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.written++
}

func (r *recorder) goroutinesSeen(n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.goroutines = max(r.goroutines, int64(n))
}
