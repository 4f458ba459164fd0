package limit

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/internal/law"
)

// ErrLimited is what every refusal of a [Limiter] matches under [errors.Is].
var ErrLimited = errors.New("limit: too many calls")

// A Reason is why a limiter refused a call.
type Reason string

// The reasons.
const (
	ReasonReached   Reason = "reached"    // the limit is reached, and calls do not wait
	ReasonQueueFull Reason = "queue_full" // the limit is reached, and enough calls wait
	ReasonWait      Reason = "wait"       // it was not the call's turn in time
	ReasonCancelled Reason = "cancelled"  // the caller went away before it was
)

// An Error says that a limiter refused a call, so that the dependency never saw
// it. It matches [ErrLimited].
//
// Calls refused for the same reason may get the same Error. It must not be
// changed and is safe for concurrent use.
type Error struct {
	Name     string // the limiter's
	Key      string // in a Group, else ""
	Reason   Reason
	Limit    int           // calls that may run at once; without what is reserved, unless the call was critical
	InFlight int           // calls that were under way, which are more than Limit if it has fallen
	Waiting  int           // calls that waited
	Waited   time.Duration // how long this one did

	cause error // why its context ended, if it did
}

// Error names the limiter and tells the numbers.
func (e *Error) Error() string {
	message := prefix(e.Name, e.Key) + ": "
	if e.Waited > 0 || e.Reason == ReasonWait || e.Reason == ReasonCancelled {
		message += fmt.Sprintf("waited %v, ", e.Waited)
	}
	message += fmt.Sprintf("%d of %d calls are under way", e.InFlight, e.Limit)
	if e.Reason == ReasonQueueFull {
		message += fmt.Sprintf(", %d wait", e.Waiting)
	}
	if e.cause != nil {
		message += ": " + e.cause.Error()
	}
	return message
}

// Unwrap returns why the call's context ended, or nil if it did not.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is [ErrLimited].
func (e *Error) Is(target error) bool { return target == ErrLimited }

// Retryable reports whether a wait could help: it can't if the caller went away.
func (e *Error) Retryable() bool { return e.Reason != ReasonCancelled }

// Rejected reports true: the dependency never saw the call.
func (e *Error) Rejected() bool { return true }

// ErrorType is the class of the error in telemetry.
func (e *Error) ErrorType() string {
	switch e.Reason {
	case ReasonQueueFull:
		return "limit_queue_full"
	case ReasonWait:
		return "limit_wait"
	case ReasonCancelled:
		return "limit_cancelled"
	default:
		return "limit_reached"
	}
}

// prefix is what errors of a limiter begin with.
func prefix(name, key string) string {
	if l := label(name, key); l != "" {
		return "limit: " + l
	}
	return "limit"
}

func label(name, key string) string { return strings.TrimSpace(name + " " + key) }

var (
	errZero      = law.Misuse("limit: Limiter is nil or zero, must be made with New or Fixed")
	errZeroGroup = law.Misuse("limit: Group is nil or zero, must be made with NewGroup")
)
