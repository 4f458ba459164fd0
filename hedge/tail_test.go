package hedge

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// fanOut is how many leaves one call asks.
const fanOut = 100

// leaf returns the latency of one leaf of the reproduction: 97.95 % lognormal
// with median 4 ms, 2 % between 10 and 70 ms, 0.05 % between 0.5 and 2 s.
func leaf(r *rand.Rand) time.Duration {
	var ms float64
	switch p := r.Float64(); {
	case p < 0.0005:
		ms = 500 + 1500*r.Float64()
	case p < 0.0205:
		ms = 10 + 60*r.Float64()
	default:
		ms = min(4*math.Exp(0.3*r.NormFloat64()), 9.9)
	}
	return time.Duration(ms * float64(time.Millisecond))
}

// fanOuts makes calls, each of which waits for all of its leaves, asked through
// h. It returns how long the calls took, in order, and the share of extra
// requests. What a leaf does depends on its number alone.
func fanOuts(ctx context.Context, h *Hedger, calls int) ([]time.Duration, float64) {
	var sends atomic.Int64
	took := make([]time.Duration, 0, calls)
	for call := range calls {
		start := time.Now()
		var leaves sync.WaitGroup
		for n := range fanOut {
			leaves.Go(func() {
				r := rand.New(rand.NewPCG(uint64(call), uint64(n)))
				waits := [...]time.Duration{leaf(r), leaf(r)} // of the first and of its hedge
				var sent atomic.Int32
				ask := Func(h, func(ctx context.Context) (int, error) {
					sends.Add(1)
					select {
					case <-time.After(waits[sent.Add(1)-1]):
						return 0, nil
					case <-ctx.Done():
						return 0, ctx.Err()
					}
				})
				_, _ = ask(ctx)
			})
		}
		leaves.Wait()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	return took, float64(sends.Load())/float64(calls*fanOut) - 1
}

// unhedged returns how long the same calls take without hedges, in order: as long
// as their slowest leaves.
func unhedged(calls int) []time.Duration {
	took := make([]time.Duration, calls)
	for call := range calls {
		for n := range fanOut {
			took[call] = max(took[call], leaf(rand.New(rand.NewPCG(uint64(call), uint64(n)))))
		}
	}
	slices.Sort(took)
	return took
}

func percentile(sorted []time.Duration, q float64) time.Duration {
	return sorted[int(math.Ceil(q*float64(len(sorted))))-1]
}

// TestTailAtScale repeats the best-known result on hedging: to ask again after 10
// ms cuts the 99.9th percentile of a fan-out by 24 times, for 2 % more requests.
//
// Source: J. Dean and L. A. Barroso, "The Tail at Scale" (CACM 56(2), 2013): 1,800
// to 74 ms for a read of 1,000 keys.
func TestTailAtScale(t *testing.T) {
	const calls = 1000
	plain := unhedged(calls)
	var hedged []time.Duration
	var extra float64
	synctest.Test(t, func(t *testing.T) {
		hedged, extra = fanOuts(t.Context(), New(Config{Delay: 10 * time.Millisecond}), calls)
	})
	for _, q := range []float64{0.5, 0.99, 0.999} {
		t.Logf("p%v: %v without, %v with hedges", 100*q, percentile(plain, q), percentile(hedged, q))
	}
	cut := float64(percentile(plain, 0.999)) / float64(percentile(hedged, 0.999))
	t.Logf("p99.9 cut %.1f times, %.2f %% extra requests", cut, 100*extra)
	if cut < 24 || extra > 0.021 {
		t.Errorf("p99.9 cut %.1f times for %.2f %% extra requests, want at least 24 for at most 2.1 %%", cut, 100*extra)
	}
}

// TestTailAtScale_Measured has the Hedger find the delay for one leaf: the 95th
// percentile costs no more than the 5 % that it may.
func TestTailAtScale_Measured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{})
		_, extra := fanOuts(t.Context(), h, 200)
		if delay, ok := h.Delay(); !ok || delay < 6*time.Millisecond || delay > 8*time.Millisecond {
			t.Errorf("delay %v, %v, want the 95th percentile of a leaf", delay, ok)
		}
		if extra > 0.05 || extra < 0.03 {
			t.Errorf("%.2f %% extra requests, want nearly 5 %% and no more", 100*extra)
		}
	})
}
