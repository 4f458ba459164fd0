package engine

import (
	"maps"
	"slices"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest/faults"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

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
