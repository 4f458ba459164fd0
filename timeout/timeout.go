package timeout

import (
	"context"
	"errors"
	"time"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// Limit is a layer that gives a call this long. Zero means no limit. A negative
// Limit is a mistake: Check reports it, and Do returns that error instead of
// running the call.
//
// A Limit has no memory and is safe for concurrent use.
type Limit time.Duration

// Do runs call on a context that ends after l. The context's cause is then an
// [*Error]. A timer is set when call first asks for the context's Done; a call
// that never does so costs none.
//
// If the call fails once l has passed, while ctx itself is still good, Do
// returns an [*Error] that wraps the call's error, or that cause if the call
// returned it. A call that succeeds late
// has succeeded. If ctx ends no later than l would, Do sets no timer and every
// error passes unchanged.
func (l Limit) Do(ctx context.Context, call func(context.Context) error) error {
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	if err := l.Check(); err != nil {
		return err
	}
	if l == 0 {
		return call(ctx)
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= time.Duration(l) {
		return call(ctx)
	}

	limited := &limited{Context: ctx, start: law.Now(), limit: time.Duration(l)}
	defer limited.end()
	err := call(limited)
	if err == nil || limited.Err() == nil || ctx.Err() != nil {
		return err
	}
	telemetry.TimedOut(ctx, time.Duration(l))
	expired := context.Cause(limited)
	if err == expired { //nolint:errorlint // A wrapped one has more to say.
		return err
	}
	return &Error{Limit: time.Duration(l), Err: err, told: errors.Is(err, expired)}
}

// Check reports a negative limit.
func (l Limit) Check() error {
	if l < 0 {
		return law.Misuse("timeout: Limit is %v, must not be negative", time.Duration(l))
	}
	return nil
}

// String returns l as a [time.Duration] prints.
func (l Limit) String() string { return time.Duration(l).String() }

// Explain returns the redoubt.Facts of l, for redoubt.Explain and redoubt.Check.
func (l Limit) Explain() explain.Facts {
	return explain.Facts{Kind: explain.Timeout, Limit: time.Duration(l)}
}
