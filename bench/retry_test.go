package bench

import (
	"context"
	"testing"
	"time"

	avast "github.com/avast/retry-go/v5"
	backoff4 "github.com/cenkalti/backoff/v4"
	backoff5 "github.com/cenkalti/backoff/v5"
	"github.com/eapache/go-resiliency/retrier"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/retrypolicy"
	sethvargo "github.com/sethvargo/go-retry"

	"github.com/redoubt-go/redoubt/retry"
)

func BenchmarkRetry(b *testing.B)       { run(b, retryRows()) }
func BenchmarkTwoFailures(b *testing.B) { run(b, retryRows()) }

// Three attempts in total, the waits growing from base.
const (
	attempts    = 3
	defaultBase = 100 * time.Millisecond
	noWait      = time.Nanosecond
	shortWait   = time.Microsecond // a real timer and a goroutine that waits, but no thread that sleeps
)

func retryRows() []row {
	return []row{
		{bench: "Retry", callee: deaf, subjects: retries(defaultBase, 1)},
		{bench: "TwoFailures", keys: "wait=none", callee: failsTwice, subjects: retries(noWait, 3)},
		{bench: "TwoFailures", keys: "wait=real", callee: failsTwice, subjects: retries(shortWait, 3)},
	}
}

func retries(base time.Duration, runs int) []subject {
	subjects := []subject{
		{impl: "redoubt", wrap: redoubtRetry(base)},
		{impl: "failsafe", wrap: failsafeRetry(base)},
		{impl: "backoff4", wrap: backoff4Retry(base)},
		{impl: "backoff5", wrap: backoff5Retry(base)},
		{impl: "sethvargo", wrap: sethvargoRetry(base)},
		{impl: "avast", wrap: avastRetry(base)},
		{impl: "eapache", wrap: eapacheRetry(base)},
		{impl: "floor", wrap: retryFloor(base)},
	}
	for i := range subjects {
		subjects[i].runs = runs
	}
	return subjects
}

type wrapper = func(call func(context.Context) error) func(context.Context) error

func redoubtRetry(base time.Duration) wrapper {
	policy := retry.Policy{MaxAttempts: attempts, Backoff: retry.FullJitter(base, time.Minute)}
	return func(call func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { return policy.Do(ctx, call) }
	}
}

func failsafeRetry(base time.Duration) wrapper {
	policy := failsafeRetryPolicy(base)
	return func(call func(context.Context) error) func(context.Context) error {
		return failsafeCall(failsafe.With[any](policy), call)
	}
}

func failsafeRetryPolicy(base time.Duration) retrypolicy.RetryPolicy[any] {
	return retrypolicy.NewBuilder[any]().
		WithMaxAttempts(attempts).
		WithBackoff(base, time.Minute).
		WithJitterFactor(0.25).
		AbortOnErrors(circuitbreaker.ErrOpen). // as the other stacks do
		Build()
}

func failsafeCall(executor failsafe.Executor[any], call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		return executor.WithContext(ctx).RunWithExecution(func(exec failsafe.Execution[any]) error {
			return call(exec.Context())
		})
	}
}

func newBackoff4(base time.Duration) *backoff4.ExponentialBackOff {
	return backoff4.NewExponentialBackOff(
		backoff4.WithInitialInterval(base),
		backoff4.WithMaxInterval(time.Minute))
}

// A BackOff has memory, so that each call needs its own.
func backoff4Retry(base time.Duration) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			waits := backoff4.WithContext(backoff4.WithMaxRetries(newBackoff4(base), attempts-1), ctx)
			return backoff4.Retry(func() error { return call(ctx) }, waits)
		}
	}
}

func backoff5Retry(base time.Duration) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			waits := backoff5.NewExponentialBackOff()
			waits.InitialInterval = base
			_, err := backoff5.Retry(ctx, func() (struct{}, error) { return struct{}{}, call(ctx) },
				backoff5.WithBackOff(waits), backoff5.WithMaxTries(attempts))
			return err
		}
	}
}

func sethvargoRetry(base time.Duration) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			waits := sethvargo.WithMaxRetries(attempts-1, sethvargo.WithFullJitter(sethvargo.NewExponential(base)))
			return sethvargo.Do(ctx, waits, func(ctx context.Context) error { return sethvargo.RetryableError(call(ctx)) })
		}
	}
}

func avastRetry(base time.Duration) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error {
			return avast.New(avast.Context(ctx), avast.Attempts(attempts), avast.Delay(base), avast.MaxDelay(time.Minute),
				avast.DelayType(avast.FullJitterBackoffDelay)).Do(func() error { return call(ctx) })
		}
	}
}

func eapacheRetry(base time.Duration) wrapper {
	r := retrier.New(retrier.ExponentialBackoff(attempts-1, base), nil)
	r.SetJitter(0.25)
	return func(call func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { return r.RunCtx(ctx, call) }
	}
}

// retryFloor is a loop by hand that makes a backoff on the first failure.
func retryFloor(base time.Duration) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		return func(ctx context.Context) error { return retryByHand(ctx, base, call) }
	}
}

func retryByHand(ctx context.Context, base time.Duration, call func(context.Context) error) error {
	err := call(ctx)
	if err == nil {
		return nil
	}
	waits := newBackoff4(base)
	for range attempts - 1 {
		timer := time.NewTimer(waits.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
		if err = call(ctx); err == nil {
			return nil
		}
	}
	return err
}
