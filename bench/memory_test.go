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
// stack, and one of 100,000 breakers by key.
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
	{"redoubt", "in-flight", 3 << 10, func() float64 { return inFlightBytes(redoubtStack) }},
	{"failsafe", "in-flight", 1 << 20, func() float64 { return inFlightBytes(failsafeStack) }},
	{"hand", "in-flight", 1 << 20, func() float64 { return inFlightBytes(handStack) }},
	{"redoubt", "keyed", 1 << 10, keyedBytes},
}

// TestMemory keeps what things hold from growing unnoticed.
func TestMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory")
	}
	for _, m := range memories {
		t.Run(m.impl+"/"+m.what, func(t *testing.T) {
			got := m.measure()
			t.Logf("%.0f bytes", got)
			if got > m.limit {
				t.Errorf("%.0f bytes, want %.0f at most", got, m.limit)
			}
		})
	}
}

// held returns the bytes that fill leaves in use, heap and stacks.
func held(fill func() (keep any)) float64 {
	before := inUse()
	keep := fill()
	after := inUse()
	runtime.KeepAlive(keep)
	return float64(after) - float64(before)
}

func inUse() uint64 {
	var stats runtime.MemStats
	for range 3 { // what finalizers and pools hold takes more than one
		runtime.GC()
	}
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc + stats.StackInuse
}

func idleBytes() float64 {
	const n = 2000
	return held(func() any {
		stacks := make([]any, n)
		for i := range stacks {
			stacks[i] = newStack()
		}
		return stacks
	}) / n
}

// inFlightBytes is what a call in flight holds above the bare call.
func inFlightBytes(wrap wrapper) float64 {
	const n = 10_000
	bare := func(call func(context.Context) error) func(context.Context) error { return call }
	callsHold(n, bare) // the runtime keeps what it made of goroutines
	return (callsHold(n, wrap) - callsHold(n, bare)) / n
}

// callsHold returns what n calls hold that have begun and not ended.
func callsHold(n int, wrap wrapper) float64 {
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
	bytes := held(func() any {
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
	return bytes
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
	}) / n
	runtime.KeepAlive(keys)
	return bytes
}
