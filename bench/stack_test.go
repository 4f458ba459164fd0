package bench

import (
	"context"
	"errors"
	"testing"
	"time"

	backoff4 "github.com/cenkalti/backoff/v4"
	"github.com/failsafe-go/failsafe-go"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	"github.com/sony/gobreaker/v2"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

func BenchmarkStack(b *testing.B)     { run(b, stackRows()) }
func BenchmarkStackOpen(b *testing.B) { run(b, stackRows()) }

// stackRows compare timeout + retry + breaker, the stack that every service
// ends up with.
func stackRows() []row {
	stacks := []subject{
		{impl: "redoubt", wrap: redoubtStack},
		{impl: "redoubt-typed", wrap: redoubtTyped},
		{impl: "failsafe", wrap: failsafeStack},
		{impl: "hand", wrap: handStack},
		{impl: "floor", wrap: floorStack},
	}
	var open []subject
	for _, s := range stacks {
		open = append(open, subject{impl: s.impl, wrap: tripped(s.wrap), runs: refused, want: errAny})
	}
	return []row{
		{bench: "Stack", keys: "callee=deaf", callee: deaf, subjects: stacks},
		{bench: "Stack", keys: "callee=waits", callee: waits, subjects: stacks},
		{bench: "StackOpen", callee: deaf, subjects: open},
	}
}

func newStack() redoubt.Stack {
	return redoubt.Stack{
		timeout.Limit(limit),
		retry.Policy{MaxAttempts: attempts, Backoff: retry.FullJitter(noWait, noWait), Retryable: notRefused},
		breaker.New(ratioConfig),
	}
}

// notRefused keeps the policy from waiting for the breaker, as none of the other
// stacks does.
func notRefused(err error) bool { return !errors.Is(err, breaker.ErrOpen) }

func redoubtStack(call func(context.Context) error) func(context.Context) error {
	stack := newStack()
	return func(ctx context.Context) error { return stack.Do(ctx, call) }
}

// redoubtTyped returns the callee's result with its type.
func redoubtTyped(call func(context.Context) error) func(context.Context) error {
	stack := newStack()
	return func(ctx context.Context) error {
		_, err := redoubt.Do(ctx, stack, func(ctx context.Context) (int, error) { return 1, call(ctx) })
		return err
	}
}

func failsafeStack(call func(context.Context) error) func(context.Context) error {
	return failsafeCall(failsafe.With[any](
		failsafetimeout.New[any](limit),
		failsafeRetryPolicy(noWait),
		newFailsafeBreaker(),
	), call)
}

// handStack is what a careful programmer writes with backoff and gobreaker.
func handStack(call func(context.Context) error) func(context.Context) error {
	circuit := gobreaker.NewCircuitBreaker[struct{}](ratioSettings)
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		waits := backoff4.WithContext(backoff4.WithMaxRetries(newBackoff4(noWait), attempts-1), ctx)
		return backoff4.Retry(func() error {
			_, err := circuit.Execute(func() (struct{}, error) { return struct{}{}, call(ctx) })
			if err == gobreaker.ErrOpenState || err == gobreaker.ErrTooManyRequests {
				return backoff4.Permanent(err)
			}
			return err
		}, waits)
	}
}

// floorStack is the least code that does the work with gobreaker's parts: the
// backoff is made on the first failure only.
func floorStack(call func(context.Context) error) func(context.Context) error {
	circuit := gobreaker.NewCircuitBreaker[struct{}](ratioSettings)
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		once := func() (struct{}, error) { return struct{}{}, call(ctx) }
		_, err := circuit.Execute(once)
		if err == nil {
			return nil
		}
		waits := newBackoff4(noWait)
		for range attempts - 1 {
			if err == gobreaker.ErrOpenState || err == gobreaker.ErrTooManyRequests {
				return err
			}
			time.Sleep(waits.NextBackOff())
			if _, err = circuit.Execute(once); err == nil {
				return nil
			}
		}
		return err
	}
}
