package engine

import (
	"maps"
	"slices"
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

// result sums up the run.
func (r *recorder) result(c Client, counts faults.Counts) *Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.locked(c, counts)
}

func (r *recorder) locked(c Client, counts faults.Counts) *Result {
	fault, after := r.spans()
	result := &Result{
		Client:            c.Name,
		About:             c.About,
		Explanation:       c.Explanation,
		Parameters:        c.Parameters,
		Run:               r.run.sum(r.scenario.Duration),
		Fault:             r.fault.sum(fault),
		Generator:         Generator{LagP99MS: r.lag.at(99), LagMaxMS: ms(r.lagged), Dropped: r.run.summary.Dropped},
		InFlightPeak:      r.inFlightPeak,
		GoroutinesPeak:    r.goroutines,
		ConnectionsOpened: r.connections,
		RequestsWritten:   r.written,
		Effects:           counts.Effects,
		Duplicates:        counts.Duplicates,
		EarlyRetries:      r.early,
		SlowMadeFailures:  r.cutOff,
		CPUMS:             ms(r.cpu),
		Breaker:           r.breaker(),
		Cells:             r.columns(),
		Latencies:         r.quantiles(),
		Histograms:        map[string]string{"lag": r.lag.encode()},
	}
	r.run.encode("run", result.Histograms)
	r.fault.encode("fault", result.Histograms)
	if after > 0 {
		result.After = r.after.sum(after)
		r.after.encode("after", result.Histograms)
	}
	result.recover(r.scenario)
	result.ArrivalsPeakSecond = peak(result.Cells.Arrivals, result.Cells.CellMS)
	return result
}

// peak returns the most in any second.
func peak(cells []int64, cellMS float64) int64 {
	var most, sum int64
	second := max(int(1000/cellMS), 1)
	for i, n := range cells {
		sum += n
		if i >= second {
			sum -= cells[i-second]
		}
		most = max(most, sum)
	}
	return most
}

// encode adds the histograms of a scope to those of a result.
func (s *scope) encode(name string, to map[string]string) {
	for kind, h := range map[string]histogram{
		"latency": s.all, "useful_time": s.useful, "failure_time": s.failures,
		"from_send": s.send, "short_circuit": s.shortCircuits,
	} {
		to[name+"."+kind] = h.encode()
	}
}

// spans returns how much of the run is within fault windows, and within 5 s
// after them.
func (r *recorder) spans() (fault, after time.Duration) {
	const step = time.Millisecond
	if len(r.scenario.Windows) == 0 {
		return r.scenario.Duration, 0
	}
	for t := time.Duration(0); t < r.scenario.Duration; t += step {
		switch {
		case r.scenario.InWindow(t):
			fault += step
		case r.scenario.InAftermath(t):
			after += step
		}
	}
	return fault, after
}

func (s *scope) sum(span time.Duration) *Summary {
	sum := s.summary // and then none of what goes on being written to
	sum.Outcomes, sum.Retries, sum.RetriesDenied = maps.Clone(sum.Outcomes), maps.Clone(sum.Retries), maps.Clone(sum.RetriesDenied)
	sum.AttemptsPerRequest = slices.Clone(sum.AttemptsPerRequest)
	sum.Seconds = span.Seconds()
	sum.divide()
	sum.Latency = s.all.quantiles()
	sum.UsefulTime = s.useful.quantiles()
	sum.FailureTime = s.failures.quantiles()
	sum.FromSend = s.send.quantiles()
	sum.ShortCircuit = s.shortCircuits.quantiles()
	return &sum
}

// divide works out the figures that are quotients of others.
func (sum *Summary) divide() {
	sum.UsefulPercent = 100 * ratio(sum.Useful, sum.Offered)
	sum.SuccessPercent = 100 * ratio(sum.Success, sum.Offered)
	if sum.Seconds > 0 {
		sum.Goodput = float64(sum.Useful) / sum.Seconds
	}
	sum.Amplification = ratio(sum.Arrivals, sum.Offered)
	sum.PolicyAmplification = ratio(sum.Attempts, sum.Offered)
}

func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// recover says when enough became useful again.
func (r *Result) recover(s *scenario.Scenario) {
	r.RecoveryMS, r.Recovered = nil, true
	_, end, ok := s.LastFault()
	if !ok {
		return // there was nothing to recover from
	}
	cell := time.Duration(r.Cells.CellMS * float64(time.Millisecond))
	over := max(int(recoveredOver/cell), 1)
	for i := int((end + cell - 1) / cell); i+over <= len(r.Cells.Offered); i++ {
		offered, useful := sum(r.Cells.Offered[i:i+over]), sum(r.Cells.Useful[i:i+over])
		if offered > 0 && float64(useful) >= recovered*float64(offered) {
			r.RecoveryMS = new(ms(max(time.Duration(i)*cell-end, 0)))
			return
		}
	}
	r.Recovered = false
}

func sum(values []int64) int64 {
	var sum int64
	for _, v := range values {
		sum += v
	}
	return sum
}

// breaker sums up what the client's breaker did.
func (r *recorder) breaker() Breaker {
	b := Breaker{Probes: r.probes, ProbesFailed: r.probesFailed, GoodRefused: r.goodRefused}
	var first time.Duration
	if len(r.scenario.Windows) > 0 {
		first = r.scenario.Windows[0].From
	}
	_, lastEnd, ended := r.scenario.LastFault()
	left := time.Duration(-1) // when it was last closed
	for _, t := range r.transitions {
		at := t.At.Sub(r.begun)
		change := Transition{AtMS: ms(at), From: t.From.String(), To: t.To.String(), Reason: string(t.Reason)}
		if t.Err != nil {
			change.Error = t.Err.Error()
		}
		b.Transitions = append(b.Transitions, change)
		if t.From == breaker.Closed && t.To == breaker.Open {
			b.Opened++
			left = at
			if b.TimeToOpenMS == nil {
				took := ms(at - first)
				b.TimeToOpenMS = &took
			}
		}
		if t.To == breaker.Closed && left >= 0 {
			b.OpenMS += ms(at - left)
			left = -1
			if ended && at >= lastEnd && b.TimeToCloseMS == nil {
				took := ms(at - lastEnd)
				b.TimeToCloseMS = &took
			}
		}
	}
	if left >= 0 {
		b.OpenMS += ms(r.scenario.Duration - left)
	}
	return b
}

func (r *recorder) columns() Cells {
	c := Cells{CellMS: ms(r.cell), Outcomes: map[Outcome][]int64{}}
	for _, o := range Outcomes {
		if r.run.summary.Outcomes[o] > 0 {
			c.Outcomes[o] = make([]int64, len(r.cells))
		}
	}
	var tokens float64
	if r.budget != nil {
		tokens = -1 // until the first is known
	}
	for i, v := range r.cells {
		c.Offered = append(c.Offered, v.offered)
		c.Useful = append(c.Useful, v.useful)
		c.Attempts = append(c.Attempts, v.attempts)
		c.Arrivals = append(c.Arrivals, v.arrivals)
		c.Abandoned = append(c.Abandoned, v.abandoned)
		c.InFlight = append(c.InFlight, v.inFlight)
		c.ShortCircuits = append(c.ShortCircuits, v.shortCircuits)
		c.Probes = append(c.Probes, v.probes)
		for o, n := range v.outcomes {
			c.Outcomes[o][i] = n
		}
		if v.budgeted {
			tokens = v.budget
		}
		if r.budget != nil {
			c.Budget = append(c.Budget, tokens)
		}
	}
	return c
}

func (r *recorder) quantiles() Latencies {
	l := Latencies{CellMS: ms(r.coarse)}
	for _, c := range r.latencies {
		if r.keep {
			l.All = append(l.All, c.all.encode())
			l.Failures = append(l.Failures, c.failures.encode())
		}
		l.P50 = append(l.P50, c.all.maybe(50))
		l.P99 = append(l.P99, c.all.maybe(99))
		l.FailureP50 = append(l.FailureP50, c.failures.maybe(50))
		l.FailureP99 = append(l.FailureP99, c.failures.maybe(99))
	}
	return l
}
