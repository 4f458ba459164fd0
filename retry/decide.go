package retry

import (
	"errors"
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// The decisions stand apart from the waiting: nothing in this file reads a
// clock, draws a random number or blocks.

// noDeadline is how long a call without a deadline has left.
const noDeadline = time.Duration(math.MaxInt64)

// retryAfterJitter is added to a wait that a server demands, as a share of it,
// so that those who were sent away together do not come back together. It only
// ever lengthens the wait.
const retryAfterJitter = 0.1

// Sources of a wait, for telemetry.
const (
	fromBackoff    = "backoff"
	fromRetryAfter = "retry_after"
)

// verdict says whether an attempt that failed with err rules out another:
// "" if not.
func (p Policy) verdict(ctxErr, err error, attempt int) Stop {
	switch {
	case ctxErr != nil:
		return StopCancelled
	case !p.retryable(err):
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

// schedule says when the next attempt begins. own is the policy's own wait,
// left what remains of the deadline, and random is from [0, 1).
func (p Policy) schedule(err error, own, left time.Duration, random float64) step {
	if own < 0 {
		return step{stop: StopAttempts}
	}
	refused := rejected(err)
	if refused && left == noDeadline {
		return step{stop: StopPermanent}
	}
	s := step{wait: own, source: fromBackoff, paid: !refused}
	if after, ok := retryAfter(err); ok && after > 0 {
		if after > p.maxRetryAfter() {
			return step{stop: StopRetryAfter}
		}
		s.source = fromRetryAfter
		s.wait = max(own, after+time.Duration(random*retryAfterJitter*float64(after)))
	}
	if s.wait >= left {
		return step{stop: StopDeadline}
	}
	return s
}

func (p Policy) retryable(err error) bool {
	if _, ok := errors.AsType[*backoff.PermanentError](err); ok {
		return false
	}
	var says interface{ Retryable() bool }
	if errors.As(err, &says) && !says.Retryable() {
		return false
	}
	return p.Retryable == nil || p.Retryable(err)
}

func rejected(err error) bool {
	var says interface{ Rejected() bool }
	return errors.As(err, &says) && says.Rejected()
}

func retryAfter(err error) (time.Duration, bool) {
	var says interface {
		RetryAfter() (time.Duration, bool)
	}
	if !errors.As(err, &says) {
		return 0, false
	}
	return says.RetryAfter()
}
