package breaker

import (
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// ErrOpen is what every refusal of a [Breaker] matches under [errors.Is].
var ErrOpen = errors.New("breaker: circuit is open")

// An OpenError says that a breaker refused a call, so that the dependency never
// saw it. It matches [ErrOpen], and gobreaker.ErrOpenState or
// gobreaker.ErrTooManyRequests as gobreaker itself would have it.
//
// All calls refused in one period get the same OpenError. It must not be
// changed and is safe for concurrent use.
type OpenError struct {
	Name   string    // the breaker's
	Key    string    // in a Group, else ""
	State  State     // Open or HalfOpen
	Reason Reason    // why the circuit opened
	Opened time.Time // when it opened
	Until  time.Time // when it will be half-open; zero if it is or if it was forced open
	Counts Counts    // what tripped it
	Cause  error     // the failure that tripped it; may be nil

	tripped telemetry.Link
}

// Error names the breaker and tells what tripped it.
func (e *OpenError) Error() string {
	message := "breaker: " + label(e.Name, e.Key) + " is " + e.State.String()
	switch e.Reason {
	case ReasonForced:
		message += " (forced)"
	case ReasonFailureRatio, ReasonSlowRatio:
		bad := e.Counts.Failures
		what := "failed"
		if e.Reason == ReasonSlowRatio {
			bad, what = e.Counts.Slow, "were slow"
		}
		message += fmt.Sprintf(" (%d of %d calls %s)", bad, e.Counts.Calls(), what)
	case ReasonConsecutive:
		message += " (" + inARow(e.Counts.Consecutive) + ")"
	case ReasonProbeFailed:
		message += " (a probe failed)"
	case ReasonProbeTimeout:
		message += " (a probe hung)"
	}
	if e.Cause != nil {
		message += ", last: " + e.Cause.Error()
	}
	return message
}

// Unwrap returns gobreaker's own error for the refusal. It does not return Cause,
// which was the failure of another call.
func (e *OpenError) Unwrap() error {
	if e.State == HalfOpen {
		return gobreaker.ErrTooManyRequests
	}
	return gobreaker.ErrOpenState
}

// Is reports whether target is [ErrOpen].
func (e *OpenError) Is(target error) bool { return target == ErrOpen }

// RetryAfter returns how long the circuit stays open from now on. It reports
// false if nobody knows: while a probe is under way, or if the circuit was
// forced open.
func (e *OpenError) RetryAfter() (time.Duration, bool) {
	if e.Until.IsZero() {
		return 0, false
	}
	return max(time.Until(e.Until), 0), true
}

// Retryable reports whether a wait could help: it can't if the circuit was
// forced open.
func (e *OpenError) Retryable() bool { return e.Reason != ReasonForced }

// Rejected reports true: the dependency never saw the call.
func (e *OpenError) Rejected() bool { return true }

// ErrorType is the class of the error in telemetry.
func (e *OpenError) ErrorType() string {
	if e.State == HalfOpen {
		return "breaker_half_open"
	}
	return "breaker_open"
}

func inARow(failures int64) string {
	if failures == 1 {
		return "1 failure"
	}
	return fmt.Sprintf("%d failures in a row", failures)
}

func label(name, key string) string {
	if key == "" {
		return name
	}
	return name + " " + key
}

var (
	errZero         = law.Misuse("breaker: Breaker is nil or zero, must be made with New")
	errZeroGroup    = law.Misuse("breaker: Group is nil or zero, must be made with NewGroup")
	errProbeTimeout = errors.New("breaker: probe did not return in time")
	errSlow         = errors.New("breaker: call is too slow")
	errNoReturn     = errors.New("breaker: call panicked or called runtime.Goexit")

	// What gobreaker is told of.
	errFailed  = errors.New("breaker: call failed")
	errIgnored = errors.New("breaker: outcome ignored")
)
