package breaker

import "time"

// The decisions stand apart from the calls: nothing in this file reads a clock,
// draws a random number or takes a lock.

// A Reason is why a breaker changed its state.
type Reason string

// The reasons.
const (
	ReasonFailureRatio Reason = "failure_ratio"    // too many failures in the window
	ReasonSlowRatio    Reason = "slow_ratio"       // too many slow calls in the window
	ReasonConsecutive  Reason = "consecutive"      // too many failures in a row
	ReasonCooldown     Reason = "cooldown"         // the cooldown is over
	ReasonProbes       Reason = "probes_succeeded" // all probes succeeded
	ReasonProbeFailed  Reason = "probe_failed"     // a probe failed or was slow
	ReasonProbeTimeout Reason = "probe_timeout"    // a probe hung
	ReasonForced       Reason = "forced"           // ForceOpen or ForceClosed
	ReasonReset        Reason = "reset"            // Reset
)

// verdict says which rule the counts break, "" if none.
func (c Config) verdict(counts Counts) Reason {
	if c.Consecutive > 0 && counts.Consecutive >= int64(c.Consecutive) {
		return ReasonConsecutive
	}
	if counts.Calls() < int64(c.MinCalls) {
		return ""
	}
	if c.FailureRatio > 0 && counts.FailureRatio() >= c.FailureRatio {
		return ReasonFailureRatio
	}
	if c.SlowRatio > 0 && counts.SlowRatio() >= c.SlowRatio {
		return ReasonSlowRatio
	}
	return ""
}

// cooldown says how long to stay open after the breaker opened for the nth time
// since it was last closed, n from 0. random is from [0, 1), and retryAfter is
// what the server asked for.
func (c Config) cooldown(n int, retryAfter time.Duration, random float64) time.Duration {
	d := c.Cooldown
	for ; n > 0 && d < c.MaxCooldown; n-- {
		d = min(2*d, c.MaxCooldown)
		if d <= 0 { // 2*d overflowed
			d = c.MaxCooldown
		}
	}
	if c.Jitter > 0 {
		shortest := float64(d) * (1 - c.Jitter)
		longest := min(float64(d)*(1+c.Jitter), float64(c.MaxCooldown))
		d = c.MaxCooldown
		if f := shortest + (longest-shortest)*random; f < float64(d) {
			d = time.Duration(f)
		}
	}
	if c.HonorRetryAfter {
		d = max(d, min(retryAfter, c.MaxCooldown))
	}
	return max(d, minCooldown)
}

// minCooldown is longer than gobreaker's own open state, see newCircuit.
const minCooldown = time.Millisecond
