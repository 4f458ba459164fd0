package timeout

import (
	"context"
	"time"
)

// An Error says that a call did not end within its [Limit], rather than that
// its caller lost patience. It matches [context.DeadlineExceeded] under
// [errors.Is]. It is immutable and safe for concurrent use.
type Error struct {
	Limit time.Duration // how long the call had
	Err   error         // what the call returned; nil in the cause of its context

	told bool // Err holds the cause, and so its text does
}

// Error names the limit, once, and what the call returned unless that only says
// that the context ended.
func (e *Error) Error() string {
	if e.told {
		return e.Err.Error()
	}
	message := "timeout: exceeded " + e.Limit.String()
	if e.Err == nil || e.Err == context.DeadlineExceeded || e.Err == context.Canceled { //nolint:errorlint // A wrapped one has more to say.
		return message
	}
	return message + ": " + e.Err.Error()
}

// Unwrap returns what the call returned.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is [context.DeadlineExceeded].
func (e *Error) Is(target error) bool { return target == context.DeadlineExceeded }

// Timeout reports true, as [net.Error] has it.
func (e *Error) Timeout() bool { return true }

// ErrorType is the class of the error in telemetry.
func (e *Error) ErrorType() string { return "timeout" }
