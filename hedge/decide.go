package hedge

// facts are what is asked when a hedge is due, but for the budgets, which
// change by being asked.
type facts struct {
	cancelled bool // the caller's context has ended
	failed    bool // an attempt has failed: to repeat it is a retry's business
	throttled bool // the dependency asked for less, not long ago
	open      bool // the breaker is not closed
	withheld  bool // the program's own rule says no
}

// Reasons why a hedge that was due was not sent. They are values of
// redoubt.reason in telemetry.
const (
	reasonCancelled   = "cancelled"
	reasonFailed      = "failed"
	reasonThrottled   = "throttled"
	reasonBreaker     = "breaker"
	reasonRule        = "rule"
	reasonBody        = "body"
	reasonPrepare     = "prepare"
	reasonShare       = "max_extra"
	reasonRetryBudget = "retry_budget"
)

// withhold returns why no hedge may be sent, or "".
func withhold(f facts) string {
	switch {
	case f.cancelled:
		return reasonCancelled
	case f.failed:
		return reasonFailed
	case f.throttled:
		return reasonThrottled
	case f.open:
		return reasonBreaker
	case f.withheld:
		return reasonRule
	}
	return ""
}

// A state is how far an attempt is.
type state int

const (
	pending state = iota
	succeeded
	failed
)

// verdict returns the attempt whose result is that of the call, and whether it
// is known yet: the one that succeeded, or else the first once all have failed.
func verdict(attempts []state) (n int, known bool) {
	waiting := false
	for n, s := range attempts {
		if s == succeeded {
			return n, true
		}
		waiting = waiting || s == pending
	}
	return 0, !waiting
}
