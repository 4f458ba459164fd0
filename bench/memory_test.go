package bench

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/redoubt-go/redoubt/breaker"
)

// BenchmarkMemory reports the memory that things hold, not what they allocate:
// an idle stack, one of 10,000 calls in flight above the same call without a
// stack, and one of 100,000 breakers by key. The stacks of the goroutines in
// which the calls run are a figure of their own: a stack doubles when it has to
// grow, so that it depends on how deep the caller is whether a few hundred bytes
// of frames cost nothing or kilobytes. Here the callers are new goroutines.
func BenchmarkMemory(b *testing.B) {
	for _, m := range memories {
		b.Run("impl="+m.impl+"/what="+m.what, func(b *testing.B) {
			var bytes float64
			for range b.N {
				bytes = m.measure()
			}
			b.ReportMetric(bytes, "B/one")
			b.ReportMetric(0, "ns/op")
		})
	}
}

var memories = []struct {
	impl    string
	what    string
	limit   float64 // bytes; the goals ask for less, see README.md
	measure func() float64
}{
	{"redoubt", "idle", 1 << 10, idleBytes},
	{"redoubt", "in-flight", 1 << 10, func() float64 { return inFlight(redoubtStack).heap }},
	{"failsafe", "in-flight", 1 << 20, func() float64 { return inFlight(failsafeStack).heap }},
	{"hand", "in-flight", 1 << 20, func() float64 { return inFlight(handStack).heap }},
	{"floor", "in-flight", 1 << 20, func() float64 { return inFlight(floorStack).heap }},
	{"redoubt", "in-flight-stack", 3 << 10, func() float64 { return inFlight(redoubtStack).stack }},
	{"failsafe", "in-flight-stack", 1 << 20, func() float64 { return inFlight(failsafeStack).stack }},
	{"hand", "in-flight-stack", 1 << 20, func() float64 { return inFlight(handStack).stack }},
	{"floor", "in-flight-stack", 1 << 20, func() float64 { return inFlight(floorStack).stack }},
	{"redoubt", "keyed", 1 << 10, keyedBytes},
}

// A usage is memory in use, in bytes.
type usage struct{ heap, stack float64 }

func (u usage) minus(v usage) usage { return usage{u.heap - v.heap, u.stack - v.stack} }

func (u usage) by(n float64) usage { return usage{u.heap / n, u.stack / n} }

// held returns what fill leaves in use.
func held(fill func() (keep any)) usage {
	before := inUse()
	keep := fill()
	after := inUse()
	runtime.KeepAlive(keep)
	return after.minus(before)
}

func inUse() usage {
	var stats runtime.MemStats
	for range 3 { // what finalizers and pools hold takes more than one
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return usage{float64(stats.HeapAlloc), float64(stats.StackInuse)}
}

func idleBytes() float64 {
	const n = 2000
	return held(func() any {
		stacks := make([]any, n)
		for i := range stacks {
			stacks[i] = newStack()
		}
		return stacks
	}).by(n).heap
}

// inFlight is what a call in flight holds above the bare call.
func inFlight(wrap wrapper) usage {
	const n = 10_000
	bare := func(call func(context.Context) error) func(context.Context) error { return call }
	callsHold(n, bare) // the runtime keeps what it made of goroutines
	return callsHold(n, wrap).minus(callsHold(n, bare)).by(n)
}

// callsHold returns what n calls hold that have begun and not ended.
func callsHold(n int, wrap wrapper) usage {
	release := make(chan struct{})
	var begun, ended sync.WaitGroup
	op := wrap(func(ctx context.Context) error {
		begun.Done()
		select {
		case <-release:
		case <-ctx.Done():
		}
		return nil
	})
	begun.Add(n)
	before := runtime.NumGoroutine()
	all := held(func() any {
		for range n {
			ended.Go(func() {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				_ = op(ctx)
			})
		}
		begun.Wait()
		if extra := runtime.NumGoroutine() - before - n; extra > n/100 {
			panic(fmt.Sprintf("%d goroutines besides those of the %d calls", extra, n))
		}
		return nil
	})
	close(release)
	ended.Wait()
	return all
}

type keyKey struct{}

func keyedBytes() float64 {
	const n = 100_000
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("tenant-%06d.example.com", i)
	}
	bytes := held(func() any {
		group := breaker.NewGroup(breaker.GroupConfig{
			Breaker: ratioConfig,
			Max:     n,
			Key: func(ctx context.Context) string {
				key, _ := ctx.Value(keyKey{}).(string)
				return key
			},
		})
		for _, key := range keys {
			_ = group.Do(context.WithValue(context.Background(), keyKey{}, key), busy)
		}
		return group
	}).by(n).heap
	runtime.KeepAlive(keys)
	return bytes
}
