package retry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoubt-go/redoubt/internal/says"
)

// A Stop is why a [Policy] made no further attempt.
type Stop string

// The reasons to stop.
const (
	StopAttempts   Stop = "attempts"    // all attempts, or the backoff sequence, are used up
	StopPermanent  Stop = "permanent"   // the error says that a repetition is pointless
	StopBudget     Stop = "budget"      // the budget is empty
	StopDeadline   Stop = "deadline"    // the next attempt could not begin before the deadline
	StopRetryAfter Stop = "retry_after" // the server demands a longer wait than is allowed
	StopCancelled  Stop = "cancelled"   // the caller's context ended
)

// An Error says that a [Policy] gave up. It is immutable and safe for
// concurrent use.
type Error struct {
	Attempts int           // attempts made; 0 if the context had ended before the first
	Elapsed  time.Duration // from the first attempt on, waits included
	Stop     Stop          // why there was no further attempt
	Err      error         // the last attempt's error; nil if there was none
	Cause    error         // the context's cause if Stop is StopCancelled, else nil

	done error // the context's error if Stop is StopCancelled
}

// Error tells the number of attempts, the reason unless the attempts were used
// up, and the last attempt's error unless that only says that the context ended.
func (e *Error) Error() string {
	message := fmt.Sprintf("retry: gave up after %d attempt%s%s", e.Attempts, plural(e.Attempts), e.explain())
	if e.Cause != nil {
		message += ": " + e.Cause.Error()
	}
	if e.Err != nil && !sameText(e.Err, e.Cause) && !sameText(e.Err, e.done) {
		message += ": " + e.Err.Error()
	}
	return message
}

// sameText compares texts, not errors: those might be of a type that has no ==.
func sameText(a, b error) bool { return b != nil && a.Error() == b.Error() }

// Unwrap returns the last attempt's error and, if the caller's context ended,
// that context's cause and error.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.Err, e.Cause, e.done} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

func (e *Error) explain() string {
	switch e.Stop {
	case StopPermanent:
		if says.Rejected(e.Err) {
			return "" // Err says it
		}
		return " (not to be retried)"
	case StopBudget:
		return " (retry budget is empty)"
	case StopDeadline:
		return " (deadline is too near)"
	case StopRetryAfter:
		return " (must wait too long)"
	case StopCancelled:
		if errors.Is(e.done, context.DeadlineExceeded) {
			return " (time is up)"
		}
		return " (cancelled)"
	default:
		return ""
	}
}

func plural(n int) string {
	if n == 1 {
		return ""
	}
	return "s"
}

// Permanent marks err as not to be retried. It returns nil if err is nil. The
// mark is seen through wrapping and changes neither err's text nor its place in
// the tree of errors.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanent{err}
}

type permanent struct{ error }

func (p *permanent) Unwrap() error { return p.error }

func (p *permanent) Retryable() bool { return false }
