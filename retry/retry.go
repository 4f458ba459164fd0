package retry

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// The values that stand for the zero fields of a [Policy].
const (
	DefaultMaxAttempts   = 3
	DefaultMaxRetryAfter = time.Minute
	DefaultRestartWait   = 200 * time.Millisecond
)

// A Policy is a layer that repeats a failed call. Its zero value is ready to
// use. A Policy is not changed by use and is safe for concurrent use, provided
// that its functions are.
//
// A policy with a field that makes no sense runs nothing: Check tells which field,
// and Do returns the same error.
type Policy struct { //nolint:recvcheck // Within the package a pointer saves copies of its words.
	// MaxAttempts is the number of attempts in total, the first included.
	// Zero means DefaultMaxAttempts, 1 never retries, and a negative number
	// is a mistake.
	MaxAttempts int

	// Backoff makes the sequence of waits for one call. It is called once a
	// call has failed, so that a call that succeeds builds nothing. Nil means
	// FullJitter with its defaults. A wait that is negative, such as
	// backoff.Stop, ends the attempts. So does, with an error that says why,
	// a sequence that is nil or a backoff.ExponentialBackOff literal: without
	// its constructor that panics or does not wait.
	Backoff func() backoff.BackOff

	// Budget grants retries out of what successes have paid in. Nil grants
	// every retry. It is not asked about an attempt that reached nobody, see
	// RestartWait: to repeat that adds nothing to the dependency's load.
	Budget *Budget

	// Budgets has a budget for each key, such as a host. At most one of
	// Budget and Budgets may be set.
	Budgets *BudgetGroup

	// Retryable reports whether a call that failed with this error may be
	// repeated. Nil means that every error may. It cannot overrule an error
	// that says of itself that it is not retryable.
	Retryable func(error) bool

	// MaxRetryAfter is the longest wait that a server or a breaker may
	// demand; beyond it the policy stops at once. Zero means
	// DefaultMaxRetryAfter; a negative duration is a mistake.
	MaxRetryAfter time.Duration

	// RestartWait lengthens the wait after an attempt that reached nobody, as
	// errors tell by a method Unreached() bool: the process that should have
	// taken the call is being restarted, which takes its time. Such a wait
	// takes at most half of what the deadline leaves beyond Backoff's. Zero
	// means DefaultRestartWait if Backoff is nil, and that a Backoff of your
	// own is left as it is; a negative duration is a mistake.
	RestartWait time.Duration

	// AwaitRefusals lets the policy wait until a layer further in, such as an
	// open breaker, takes calls again: up to MaxRetryAfter, and only under a
	// deadline that leaves room for it. Without it a call that was refused is
	// over at once, which is what a service wants: callers that wait for a
	// circuit to close pile up, and then come all together.
	AwaitRefusals bool

	// Nested lets the policy repeat a call even though it runs inside an
	// attempt of another policy. Without it the inner policy makes one
	// attempt, so that attempts do not multiply. For two policies with one
	// budget see [Budget].
	Nested bool

	// Logger gets a record at level Warn when a call is given up after an
	// attempt that could have been repeated. Nil is silent.
	Logger *slog.Logger
}

// Do runs call until it succeeds or until there is a reason to stop, as the
// package documentation lists them.
//
// The error of the first attempt is returned unchanged if it is not to be retried
// or MaxAttempts is 1. Otherwise the error is an [*Error], which unwraps to the
// last attempt's error.
func (p Policy) Do(ctx context.Context, call func(context.Context) error) error {
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	if err := p.check(); err != nil {
		return err
	}
	start := law.Now()
	if law.Ended(ctx, start) {
		return p.giveUp(ctx, &Error{Stop: StopCancelled})
	}

	err := call(&attemptContext{Context: ctx, ordinal: 1, nested: p.Nested})
	if err == nil {
		p.deposit(ctx)
		return nil
	}
	if !p.Nested && Attempt(ctx) > 0 {
		return p.once(ctx, err)
	}
	return p.repeat(ctx, call, err, start)
}

// once ends a call that failed with err inside an attempt of another policy,
// which does the repeating.
func (p *Policy) once(ctx context.Context, err error) error {
	if ctx.Err() == nil && p.maxAttempts() > 1 && p.retryable(err) {
		telemetry.Reject(ctx, telemetry.Rejection{Layer: "retry", Reason: "nested_retry", Err: err})
	}
	return err
}

// repeat goes on after the first attempt has failed with err.
func (p *Policy) repeat(ctx context.Context, call func(context.Context) error, err error, start law.Moment) error {
	var waits backoff.BackOff
	var timer pause
	var retries []attemptContext // two at a time, as many as there mostly are
	for attempt := 1; ; attempt++ {
		gaveUp := func(stop Stop) error {
			if attempt == 1 && (stop == StopPermanent || stop == StopAttempts) {
				telemetry.Stopped(ctx, string(stop))
				return err // than which an Error would say no more
			}
			return p.giveUp(ctx, &Error{Attempts: attempt, Elapsed: start.Since(), Stop: stop, Err: err})
		}
		if stop := p.verdict(ctx.Err(), err, attempt); stop != "" {
			return gaveUp(stop)
		}
		if waits == nil {
			var invalid error
			if waits, invalid = p.sequence(); invalid != nil {
				return errors.Join(invalid, err)
			}
		}
		next := p.schedule(err, waits.NextBackOff(), remaining(ctx), rand.Float64())
		if next.stop != "" {
			return gaveUp(next.stop)
		}
		var budget *Budget // nil grants everything
		if next.paid {
			budget = p.budget(ctx)
		}
		paid, granted := budget.withdraw()
		if !granted {
			return gaveUp(StopBudget)
		}
		telemetry.Retried(ctx, err, next.wait, next.source)
		if !timer.sleep(ctx, next.wait) {
			budget.refund(paid)
			return gaveUp(StopCancelled)
		}
		if len(retries) == 0 {
			retries = make([]attemptContext, 2)
		}
		retries[0] = attemptContext{Context: ctx, ordinal: int32(min(attempt, math.MaxInt32-1)) + 1, nested: true}
		err, retries = call(&retries[0]), retries[1:]
		if err == nil {
			p.deposit(ctx)
			return nil
		}
	}
}

// giveUp records that e ends the call, and returns the error for the caller.
func (p *Policy) giveUp(ctx context.Context, e *Error) error {
	telemetry.Stopped(ctx, string(e.Stop))
	switch e.Stop {
	case StopCancelled:
		e.Cause = context.Cause(ctx)
		e.done = ctx.Err()
	case StopBudget, StopDeadline, StopRetryAfter:
		if says.Rejected(e.Err) { // which the layer that refused has recorded
			break
		}
		telemetry.Reject(ctx, telemetry.Rejection{
			Layer:   "retry",
			Reason:  string(e.Stop),
			Err:     e,
			Because: telemetry.LastAttempt(ctx),
		})
	}
	if e.Stop != StopCancelled && e.Stop != StopPermanent {
		telemetry.Log(ctx, p.Logger, slog.LevelWarn, "retry: gave up", telemetry.LastAttempt(ctx), e.Err,
			slog.Int("attempts", e.Attempts),
			slog.Duration("elapsed", e.Elapsed),
			slog.String("reason", string(e.Stop)))
	}
	return e
}

// Check reports the first field of p that makes no sense.
func (p Policy) Check() error { return p.check() }

// check and the other unexported methods take a pointer, since a Policy is many
// words, which would be copied for each of them.
func (p *Policy) check() error {
	if p.MaxAttempts < 0 {
		return law.Misuse("retry: MaxAttempts is %d, must not be negative", p.MaxAttempts)
	}
	if p.MaxRetryAfter < 0 {
		return law.Misuse("retry: MaxRetryAfter is %v, must not be negative", p.MaxRetryAfter)
	}
	if p.RestartWait < 0 {
		return law.Misuse("retry: RestartWait is %v, must not be negative", p.RestartWait)
	}
	if p.Budget != nil && p.Budgets != nil {
		return law.Misuse("retry: Budget and Budgets are both set, want at most one")
	}
	if err := p.Budget.Check(); err != nil {
		return err
	}
	return p.Budgets.Check()
}

// Explain returns the redoubt.Facts of p, for redoubt.Explain and redoubt.Check.
func (p Policy) Explain() explain.Facts {
	facts := explain.Facts{
		Kind:           explain.Retry,
		MaxAttempts:    p.maxAttempts(),
		Nested:         p.Nested,
		Budgeted:       p.Budget != nil || p.Budgets != nil,
		AwaitsRefusals: p.AwaitRefusals,
		MaxRetryAfter:  p.maxRetryAfter(),
	}
	facts.LeastWaits, facts.MostWaits, facts.AskedWaits = p.waits()
	return facts
}

func (p *Policy) maxAttempts() int {
	if p.MaxAttempts == 0 {
		return DefaultMaxAttempts
	}
	return p.MaxAttempts
}

func (p *Policy) maxRetryAfter() time.Duration {
	if p.MaxRetryAfter == 0 {
		return DefaultMaxRetryAfter
	}
	return p.MaxRetryAfter
}

func (p *Policy) restartWait() time.Duration {
	if p.RestartWait == 0 && p.Backoff == nil {
		return DefaultRestartWait
	}
	return p.RestartWait
}

func (p *Policy) budget(ctx context.Context) *Budget {
	if p.Budgets != nil {
		return p.Budgets.For(ctx)
	}
	return p.Budget
}

var defaultBackoff = FullJitter(DefaultBase, DefaultCap)

func (p *Policy) deposit(ctx context.Context) { p.budget(ctx).Deposit() }

// sequence makes the waits of one call, and refuses those that are known to
// spin or to panic.
func (p *Policy) sequence() (backoff.BackOff, error) {
	if p.Backoff == nil {
		return defaultBackoff(), nil
	}
	waits := p.Backoff()
	if waits == nil {
		return nil, law.Misuse("retry: Backoff returned nil")
	}
	if e, ok := waits.(*backoff.ExponentialBackOff); ok && (e == nil || e.Clock == nil || e.MaxInterval <= 0 || e.Stop == 0) {
		return nil, law.Misuse("retry: Backoff returned a backoff.ExponentialBackOff literal, use backoff.NewExponentialBackOff")
	}
	waits.Reset()
	return waits, nil
}

// remaining returns how long ctx has left.
func remaining(ctx context.Context) time.Duration {
	deadline, ok := ctx.Deadline()
	if !ok {
		return noDeadline
	}
	return time.Until(deadline)
}

// A pause is one timer for all waits of a call.
type pause struct{ timer *time.Timer }

// sleep reports whether the wait ended before ctx did.
func (p *pause) sleep(ctx context.Context, wait time.Duration) bool {
	switch {
	case wait <= 0:
		return ctx.Err() == nil
	case p.timer == nil:
		p.timer = time.NewTimer(wait)
	default:
		p.timer.Reset(wait)
	}
	select {
	case <-p.timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// attemptContext carries the ordinal of an attempt. Whether that is an attempt
// of another policy, around the one that made the context, is found out when
// somebody asks: a call that succeeds need not look through all its contexts.
type attemptContext struct {
	context.Context
	ordinal int32 // with nested in one word, as there is one of these for each call
	nested  bool  // it counts inside an attempt of another policy, too
}

// Link tells redoubt.Transport that c ends with its parent.
func (c *attemptContext) Link() (parent context.Context, end time.Time) {
	return c.Context, time.Time{}
}

type attemptKey struct{}

func (c *attemptContext) Value(key any) any {
	if key != (attemptKey{}) {
		return c.Context.Value(key)
	}
	if !c.nested {
		if outer := c.Context.Value(key); outer != nil {
			return outer
		}
	}
	return int(c.ordinal)
}

// Attempt returns the ordinal of the attempt that ctx belongs to, 1 for the
// first. It returns 0 outside of any attempt of a [Policy].
func Attempt(ctx context.Context) int {
	ordinal, _ := ctx.Value(attemptKey{}).(int)
	return ordinal
}
