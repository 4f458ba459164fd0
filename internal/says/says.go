// Package says asks errors what they say of themselves. That is how layers that
// do not know one another agree on what an error means: by methods, which any
// package's errors may have.
//
// An answer is that of the first error in the tree, in the order of
// [errors.As], that has the method. The questions are asked with
// [errors.AsType], which unlike errors.As does not allocate. All of them take a
// nil error, which says nothing.
package says

import (
	"context"
	"errors"
	"time"
)

// Rejected reports whether a layer refused the call and nothing ran.
func Rejected(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Rejected() bool
	}](err)
	return ok && e.Rejected()
}

// Unreached reports whether the call found nobody who could take it, so that
// another attempt costs the dependency nothing.
func Unreached(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Unreached() bool
	}](err)
	return ok && e.Unreached()
}

// Retryable reports whether the call may be repeated, if err says something
// about that.
func Retryable(err error) (yes, ok bool) {
	e, ok := errors.AsType[interface {
		error
		Retryable() bool
	}](err)
	return ok && e.Retryable(), ok
}

// DependencyFailure reports whether it is the dependency that failed, if err says
// something about that.
func DependencyFailure(err error) (yes, ok bool) {
	e, ok := errors.AsType[interface {
		error
		DependencyFailure() bool
	}](err)
	return ok && e.DependencyFailure(), ok
}

// Throttled reports whether the dependency has too much to do.
func Throttled(err error) bool {
	e, ok := errors.AsType[interface {
		error
		Throttled() bool
	}](err)
	return ok && e.Throttled()
}

// TimedOut reports whether time ran out.
func TimedOut(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) { // also beside an error that says no
		return true
	}
	e, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && e.Timeout()
}

// RetryAfter returns how long the dependency wants to be left alone, if err says
// something about that.
func RetryAfter(err error) (time.Duration, bool) {
	e, ok := errors.AsType[interface {
		error
		RetryAfter() (time.Duration, bool)
	}](err)
	if !ok {
		return 0, false
	}
	d, ok := e.RetryAfter()
	if !ok {
		return 0, false
	}
	return d, true
}
