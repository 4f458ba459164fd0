package bench

import (
	"context"
	"runtime"
	"testing"

	"github.com/redoubt-go/redoubt/breaker"
)

// BenchmarkScaling has as many goroutines as processors make calls, with no
// pause, through one shared subject. Run it with -cpu 1,2: with nothing shared,
// impl=bare, the time by call halves.
func BenchmarkScaling(b *testing.B) {
	bare := func(call func(context.Context) error) func(context.Context) error { return call }
	for _, s := range []struct {
		name string
		wrap wrapper
	}{
		{"impl=bare/what=nothing", bare},
		{"impl=redoubt/what=breaker", redoubtBreaker(ratioConfig)},
		{"impl=redoubt/what=breaker-consecutive", redoubtBreaker(breaker.Config{Name: "bench", Consecutive: minCalls})},
		{"impl=gobreaker/what=breaker", gobreakerExecute(ratioSettings)},
		{"impl=failsafe/what=breaker", failsafeBreaker},
		{"impl=redoubt/what=stack", redoubtStack},
		{"impl=failsafe/what=stack", failsafeStack},
		{"impl=hand/what=stack", handStack},
	} {
		b.Run(s.name, func(b *testing.B) {
			op := s.wrap(busy)
			b.ReportAllocs()
			cpu := cpuTime()
			b.RunParallel(func(pb *testing.PB) {
				ctx, cancel := context.WithCancel(context.Background()) // each caller has a context of its own
				defer cancel()
				for pb.Next() {
					_ = op(ctx)
				}
			})
			reportCPU(b, cpu)
		})
	}
}

// busy is the least that a callee can do.
func busy(context.Context) error {
	runtime.KeepAlive(ballast)
	return nil
}
