package bench

import (
	"context"
	"errors"
	"testing"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/adaptivelimiter"
	"github.com/failsafe-go/failsafe-go/bulkhead"

	concurrency "github.com/redoubt-go/redoubt/limit"
)

func BenchmarkLimit(b *testing.B)     { run(b, limitRows()) }
func BenchmarkLimitFull(b *testing.B) { run(b, limitRows()) }

// permits is how many calls a fixed limit lets run at once.
const permits = 10

func limitRows() []row {
	return []row{
		{bench: "Limit", keys: "rule=fixed", callee: deaf, subjects: []subject{
			{impl: "redoubt", wrap: redoubtLimit(func() *concurrency.Limiter { return concurrency.Fixed(permits) })},
			{impl: "failsafe", wrap: failsafeBulkhead},
			{impl: "floor", wrap: limitFloor},
		}},
		{bench: "Limit", keys: "rule=adaptive", callee: deaf, subjects: []subject{
			{impl: "redoubt", wrap: redoubtLimit(func() *concurrency.Limiter { return concurrency.New(concurrency.Config{}) })},
			{impl: "redoubt-gradient2", wrap: redoubtLimit(func() *concurrency.Limiter {
				return concurrency.New(concurrency.Config{Algorithm: concurrency.Gradient2})
			})},
			{impl: "failsafe", wrap: failsafeAdaptive},
		}},
		{bench: "LimitFull", callee: deaf, subjects: []subject{
			{impl: "redoubt", wrap: redoubtLimitFull, runs: refused, want: concurrency.ErrLimited},
			{impl: "failsafe", wrap: failsafeBulkheadFull, runs: refused, want: bulkhead.ErrFull},
			{impl: "floor", wrap: limitFloorFull, runs: refused, want: errFull},
		}},
	}
}

var errFull = errors.New("full")

func redoubtLimit(newLimiter func() *concurrency.Limiter) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		l := newLimiter()
		return func(ctx context.Context) error { return l.Do(ctx, call) }
	}
}

// redoubtLimitFull has the only permit taken by a call that never ends.
func redoubtLimitFull(call func(context.Context) error) func(context.Context) error {
	l := concurrency.Fixed(1)
	began := make(chan struct{})
	go func() {
		_ = l.Do(context.Background(), func(context.Context) error {
			close(began)
			select {}
		})
	}()
	<-began
	return func(ctx context.Context) error { return l.Do(ctx, call) }
}

func failsafeBulkhead(call func(context.Context) error) func(context.Context) error {
	return failsafeCall(failsafe.With[any](bulkhead.New[any](permits)), call)
}

func failsafeBulkheadFull(call func(context.Context) error) func(context.Context) error {
	b := bulkhead.New[any](1)
	b.TryAcquirePermit()
	return failsafeCall(failsafe.With[any](b), call)
}

func failsafeAdaptive(call func(context.Context) error) func(context.Context) error {
	return failsafeCall(failsafe.With[any](adaptivelimiter.NewWithDefaults[any]()), call)
}

// limitFloor is the semaphore that everybody writes by hand.
func limitFloor(call func(context.Context) error) func(context.Context) error {
	return semaphore(make(chan struct{}, permits), call)
}

func limitFloorFull(call func(context.Context) error) func(context.Context) error {
	return semaphore(make(chan struct{}), call)
}

func semaphore(free chan struct{}, call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case free <- struct{}{}:
		default:
			return errFull
		}
		defer func() { <-free }()
		return call(ctx)
	}
}
