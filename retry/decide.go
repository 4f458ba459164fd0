package retry

import (
	"errors"
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt/internal/says"
)

// The decisions stand apart from the waiting: nothing in this file reads a
// clock, draws a random number or blocks.

// noDeadline is how long a call without a deadline has left.
const noDeadline = time.Duration(math.MaxInt64)

// retryAfterJitter is added to a wait that a server demands, as a share of it,
// so that those who were sent away together do not come back together. It only
// ever lengthens the wait, and not beyond the deadline.
const retryAfterJitter = 0.1

// throttleFactor lengthens the default waits after an error that says Throttled:
// they begin with a second rather than with a tenth of it.
const throttleFactor = 10

// Sources of a wait, for telemetry.
const (
	fromBackoff    = "backoff"
	fromRetryAfter = "retry_after"
)

// verdict says whether an attempt that failed with err rules out another:
// "" if not.
func (p *Policy) verdict(ctxErr, err error, attempt int) Stop {
	switch {
	case ctxErr != nil:
		return StopCancelled
	case says.Rejected(err) && !p.AwaitRefusals, !p.retryable(err):
		return StopPermanent
	case attempt >= p.maxAttempts():
		return StopAttempts
	default:
		return ""
	}
}

// A step is what to do after a failed attempt: stop, or wait and try again.
type step struct {
	stop   Stop
	wait   time.Duration
	source string
	paid   bool // whether the budget is to be asked
}

// schedule says when the next attempt begins, if own is the policy's own wait
// and left what remains of the deadline. random is from [0, 1).
func (p *Policy) schedule(err error, own, left time.Duration, random float64) step {
	if own < 0 {
		return step{stop: StopAttempts}
	}
	if p.Backoff == nil && says.Throttled(err) {
		own = throttleFactor * min(own, DefaultCap/throttleFactor)
	}
	refused := says.Rejected(err)
	if refused && left == noDeadline {
		return step{stop: StopPermanent}
	}
	s := step{wait: own, source: fromBackoff, paid: !refused}
	if after, _ := says.RetryAfter(err); after > 0 {
		if after > p.maxRetryAfter() {
			return step{stop: StopRetryAfter}
		}
		if demanded := after + jitterOf(after, left, random); demanded > own {
			s.wait, s.source = demanded, fromRetryAfter
		}
	}
	if s.wait >= left {
		return step{stop: StopDeadline}
	}
	return s
}

// jitterOf returns what to add to a wait that a server demands: at most
// retryAfterJitter of it, and at most half of what the deadline leaves beyond
// it, so that jitter alone neither rules an attempt out nor takes all its time.
func jitterOf(after, left time.Duration, random float64) time.Duration {
	most := min(lengthen(after, retryAfterJitter)-after, max(left-after, 0)/2)
	return min(time.Duration(random*float64(most)), most)
}

// lengthen returns d and that share of it, but no more than a Duration holds.
func lengthen(d time.Duration, share float64) time.Duration {
	more := time.Duration(share * float64(d))
	return d + min(more, math.MaxInt64-d)
}

// retryable reports whether err, and p's own opinion of it, allow a repetition.
func (p *Policy) retryable(err error) bool {
	// The marks count wherever they are, even beside an error that may be
	// retried.
	if _, ok := errors.AsType[*permanent](err); ok {
		return false
	}
	if _, ok := errors.AsType[*backoff.PermanentError](err); ok {
		return false
	}
	if yes, ok := says.Retryable(err); ok && !yes {
		return false
	}
	return p.Retryable == nil || p.Retryable(err)
}
