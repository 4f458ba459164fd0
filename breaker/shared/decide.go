package shared

import (
	"slices"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
)

// The decisions stand apart from the store: nothing in this file reads a clock,
// draws a random number or does input or output. All of it maps a record to the
// next one, so that it can be repeated when somebody else was faster.

// skew is how far the clocks of two hosts may be apart before a date counts as
// one from the future.
const skew = time.Minute

// A verdict is what admit says about a call.
type verdict int

const (
	pass   verdict = iota // let it through
	probe                 // let it through, alone
	refuse                // don't
)

// settled returns r as it is at the time now: without what is too old to count
// or dated in the future, and with times that a clock which jumped left too far
// in the future brought back. It reports whether they were, in which case the
// record must be stored, or they would be brought back for ever.
func (c Config) settled(r record, now time.Time) (record, bool) {
	r.Outcomes = slices.DeleteFunc(slices.Clone(r.Outcomes), func(o outcome) bool {
		return now.Sub(o.At) > c.Window || o.At.Sub(now) > skew
	})
	if r.Open == nil {
		return r, false
	}
	open, moved := *r.Open, false
	if latest := now.Add(c.MaxCooldown); open.Until.After(latest) {
		open.Until, moved = latest, true
	}
	if open.Since.Sub(now) > skew {
		open.Since, moved = now, true
	}
	if open.Lease != nil {
		l := *open.Lease
		if latest := now.Add(c.Lease); l.Until.After(latest) {
			l.Until, moved = latest, true
		}
		open.Lease = &l
	}
	r.Open = &open
	return r, moved
}

// admit says what is to become of a call, and returns the record that must be
// stored first if the call is to probe. mine is the lease that it would get.
func (c Config) admit(r record, now time.Time, mine lease) (verdict, record) {
	switch r.state(now) {
	case breaker.Closed:
		return pass, r
	case breaker.Open:
		return refuse, r
	}
	if held := r.Open.Lease; held != nil && now.Before(held.Until) {
		return refuse, r
	}
	open := *r.Open
	open.Lease = &mine
	r.Open = &open
	return probe, r
}

// A result is what is to be counted.
type result struct {
	outcome    breaker.Outcome
	what       outcome       // the failure, or when the success was
	retryAfter time.Duration // what the server asked for
	random     float64       // from [0, 1)
	trace      string
	timedOut   bool // the probe hung

	generation uint64 // of the record that admitted the call
	lease      string // ID of the lease if the call was a probe
}

// count returns the record after a call and reports whether it differs. An
// outcome from before the last state change, or of a probe whose lease another
// took over, is late and changes nothing.
func (c Config) count(r record, now time.Time, res result) (record, bool) {
	switch {
	case res.generation != r.Generation:
		return r, false
	case res.lease != "":
		return c.countProbe(r, now, res)
	case r.Open != nil || res.outcome == breaker.Ignored:
		return r, false
	case res.outcome == breaker.Success && c.FailureRatio == 0:
		// Nothing to count, but something to forget.
		forgets := len(r.Outcomes) > 0
		r.Outcomes = nil
		return r, forgets
	}
	res.what.OK = res.outcome == breaker.Success
	r.Outcomes = append(slices.Clone(r.Outcomes), res.what)
	r.Outcomes = r.Outcomes[max(0, len(r.Outcomes)-maxOutcomes):]
	counts := countsOf(r.Outcomes)
	if reason := c.rule(counts); reason != "" && !res.what.OK {
		return c.open(r, now, reason, counts, 0, res), true
	}
	return r, true
}

func (c Config) countProbe(r record, now time.Time, res result) (record, bool) {
	if r.Open == nil || r.Open.Lease == nil || r.Open.Lease.ID != res.lease {
		return r, false
	}
	switch res.outcome {
	case breaker.Success:
		r.Open, r.Outcomes = nil, nil
		r.Generation++
	case breaker.Ignored: // it proved nothing: the next call probes
		open := *r.Open
		open.Lease = nil
		r.Open = &open
	default:
		reason := breaker.ReasonProbeFailed
		if res.timedOut {
			reason = breaker.ReasonProbeTimeout
		}
		counts := breaker.Counts{Failures: r.Open.Failures, Successes: r.Open.Successes, Consecutive: r.Open.Consecutive}
		r = c.open(r, now, reason, counts, r.Open.Times+1, res)
	}
	return r, true
}

func (c Config) open(r record, now time.Time, reason breaker.Reason, counts breaker.Counts, times int, res result) record {
	r.Generation++
	r.Outcomes = nil
	r.Open = &opening{
		Since:       now,
		Until:       now.Add(c.cooldown(times, res.retryAfter, res.random)),
		Reason:      reason,
		Times:       times,
		RetryAfter:  res.retryAfter.Seconds(),
		Failures:    counts.Failures,
		Successes:   counts.Successes,
		Consecutive: counts.Consecutive,
		Last:        res.what,
		Trace:       res.trace,
	}
	return r
}

// renew returns the record with the lease prolonged, and reports whether it is
// still held.
func (c Config) renew(r record, now time.Time, id string) (record, bool) {
	if r.Open == nil || r.Open.Lease == nil || r.Open.Lease.ID != id {
		return r, false
	}
	open, l := *r.Open, *r.Open.Lease
	l.Until = now.Add(c.Lease)
	open.Lease = &l
	r.Open = &open
	return r, true
}

// countsOf sums outcomes up.
func countsOf(outcomes []outcome) breaker.Counts {
	var counts breaker.Counts
	for _, o := range outcomes {
		if o.OK {
			counts.Successes++
			counts.Consecutive = 0
			continue
		}
		counts.Failures++
		counts.Consecutive++
	}
	return counts
}

// rule returns the rule that the counts break, "" if none.
func (c Config) rule(counts breaker.Counts) breaker.Reason {
	switch {
	case c.Consecutive > 0 && counts.Consecutive >= int64(c.Consecutive):
		return breaker.ReasonConsecutive
	case c.FailureRatio > 0 && counts.Calls() >= int64(c.MinCalls) && counts.FailureRatio() >= c.FailureRatio:
		return breaker.ReasonFailureRatio
	default:
		return ""
	}
}

// cooldown says how long to stay open after n probes have failed in a row.
// random is from [0, 1), and retryAfter is what the server asked for.
func (c Config) cooldown(n int, retryAfter time.Duration, random float64) time.Duration {
	d := c.Cooldown
	for ; n > 0 && d < c.MaxCooldown; n-- {
		d *= 2
		if d <= 0 || d > c.MaxCooldown {
			d = c.MaxCooldown
		}
	}
	if c.Jitter > 0 {
		// The cap comes first, since what is beyond it may not fit.
		d = time.Duration(min(float64(d)*(1+c.Jitter*(2*random-1)), float64(c.MaxCooldown)))
	}
	if c.HonorRetryAfter {
		d = max(d, retryAfter)
	}
	return min(max(d, 0), c.MaxCooldown)
}
