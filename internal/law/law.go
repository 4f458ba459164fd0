// Package law holds what every layer checks before it runs a call.
package law

import (
	"context"
	"errors"
	"fmt"
)

var (
	errNilContext = Misuse("redoubt: context is nil")
	errNilCall    = Misuse("redoubt: call is nil")
)

// Args reports what is wrong with the arguments of a layer's Do, or nil. A
// layer returns that error instead of running into a nil pointer in the middle
// of a caller's request.
func Args(ctx context.Context, call func(context.Context) error) error {
	if ctx == nil {
		return errNilContext
	}
	if call == nil {
		return errNilCall
	}
	return nil
}

// Misuse returns an error about a mistake in the program, such as a field that
// makes no sense. It says of itself that a repetition is pointless, so that no
// retry waits for the program to correct itself.
func Misuse(format string, args ...any) error {
	return &misuse{fmt.Sprintf(format, args...)}
}

type misuse struct{ message string }

func (m *misuse) Error() string { return m.message }

func (m *misuse) Retryable() bool { return false }

// CallerGaveUp reports whether ctx ended by the caller's doing. A time limit
// further out in the stack ends ctx too, but with a cause of its own that says
// Timeout: then the dependency was too slow for us.
func CallerGaveUp(ctx context.Context) bool {
	if ctx.Err() == nil {
		return false
	}
	var limit interface {
		Timeout() bool
		ErrorType() string // which context.DeadlineExceeded does not have
	}
	return !errors.As(context.Cause(ctx), &limit) || !limit.Timeout()
}
