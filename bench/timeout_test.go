package bench

import (
	"context"
	"testing"
	"time"

	"github.com/eapache/go-resiliency/deadline"
	"github.com/failsafe-go/failsafe-go"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"

	"github.com/redoubt-go/redoubt/timeout"
)

func BenchmarkTimeout(b *testing.B) { run(b, timeoutRows()) }

const limit = 10 * time.Second

func timeoutRows() []row {
	timeouts := []subject{
		{impl: "redoubt", wrap: redoubtTimeout},
		{impl: "failsafe", wrap: failsafeTimeout},
		{impl: "floor", wrap: timeoutFloor},
	}
	return []row{
		// eapache's callee gets a channel, not a context, and runs in a
		// goroutine that is left behind.
		{bench: "Timeout", keys: "callee=deaf", callee: deaf, subjects: append(timeouts, subject{impl: "eapache", wrap: eapacheDeadline})},
		{bench: "Timeout", keys: "callee=waits", callee: waits, subjects: timeouts},
	}
}

func redoubtTimeout(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error { return timeout.Limit(limit).Do(ctx, call) }
}

func failsafeTimeout(call func(context.Context) error) func(context.Context) error {
	return failsafeCall(failsafe.With[any](failsafetimeout.New[any](limit)), call)
}

func eapacheDeadline(call func(context.Context) error) func(context.Context) error {
	d := deadline.New(limit)
	return func(ctx context.Context) error {
		return d.Run(func(<-chan struct{}) error { return call(ctx) })
	}
}

func timeoutFloor(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, limit)
		defer cancel()
		return call(ctx)
	}
}
