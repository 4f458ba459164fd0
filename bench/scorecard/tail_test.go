package scorecard

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/hedge"
)

// tail is what hedging does to calls that need all of a hundred answers.
func tail() section {
	s := section{
		title: "The tail at scale",
		about: `A call asks a hundred servers at once and needs every answer. Of the answers 97.95 %
take a few milliseconds (lognormal, median 4, σ 0.3, at most 9.9), 2 % take 10 to
70 and 0.05 % take 500 to 2,000. The whole call's p50, p99 and p99.9, and the
requests beyond the first. Source: J. Dean, L. A. Barroso, "The Tail at Scale",
Communications of the ACM, 2013, where hedging BigTable's reads after 10 ms takes
p99.9 from 1,800 to 74 ms for 2 % more requests; other figures replayed. A delay of
p95 asks for as much as the share of 5 % allows, so that now and then a hedge is
withheld that was needed; hence our default is p96.`,
	}
	add := func(name, reference, target string, c *hedge.Config, met func(plain, hedged fan) bool) {
		s.rows = append(s.rows, row{
			name: name, reference: reference, target: target, slow: true,
			measure: func(t *testing.T) (string, bool) {
				hedged := fanOut(t, c)
				if met == nil {
					return hedged.String(), true
				}
				return hedged.String(), met(fanOut(t, nil), hedged)
			},
		})
	}
	after := func(d time.Duration) *hedge.Config {
		return &hedge.Config{Delay: d, MaxExtra: 1, Burst: 1e6}
	}
	add("no hedge", "51.0 / 1,709.6 / 1,967.0 ms", "", nil, nil)
	add("hedge after 5 ms", "9.7 / 41.9 / 64.4 ms, 24.45 %", "", after(5*time.Millisecond), nil)
	add("hedge after 10 ms", "14.5 / 44.0 / 66.2 ms, 2.05 %", "p99.9 ≥ 24 × shorter, ≤ 2.1 %", after(10*time.Millisecond),
		func(plain, hedged fan) bool {
			return plain.calls.quantile(.999) >= 24*hedged.calls.quantile(.999) && hedged.extra <= .021
		})
	add("hedge after 20 ms", "24.2 / 47.8 / 68.0 ms, 1.72 %", "", after(20*time.Millisecond), nil)
	add("hedge after 50 ms", "51.0 / 58.4 / 69.0 ms, 0.72 %", "", after(50*time.Millisecond), nil)
	add("hedge after the measured p96: the default", "–", "p99.9 ≥ 24 × shorter, ≤ 5 %", &hedge.Config{},
		func(plain, hedged fan) bool {
			return plain.calls.quantile(.999) >= 24*hedged.calls.quantile(.999) && hedged.extra <= .05
		})
	add("hedge after the measured p95", "about 5 % (Dean and Barroso)", "", &hedge.Config{Percentile: .95}, nil)
	return s
}

// A fan is what became of calls that asked a hundred servers each.
type fan struct {
	calls sample // in milliseconds
	extra float64
}

func (f fan) String() string {
	return fmt.Sprintf("%.1f / %.1f / %.1f ms, %.2f %%",
		f.calls.quantile(.5), f.calls.quantile(.99), f.calls.quantile(.999), 100*f.extra)
}

// fanOut makes calls, one after the other, with or without hedges.
func fanOut(t *testing.T, c *hedge.Config) (f fan) {
	t.Helper()
	const servers, calls, learning = 100, 10_000, 200
	synctest.Test(t, func(t *testing.T) {
		var sent atomic.Uint64
		ask := func(ctx context.Context) (struct{}, error) {
			n := sent.Add(1)
			rnd := rand.New(rand.NewPCG(n, 7))
			timer := time.NewTimer(latency(rnd))
			defer timer.Stop()
			select {
			case <-timer.C:
				return struct{}{}, nil
			case <-ctx.Done():
				return struct{}{}, context.Cause(ctx)
			}
		}
		if c != nil {
			ask = hedge.Func(hedge.New(*c), ask)
		}
		for call := range learning + calls {
			if call == learning { // a measured delay needs samples
				sent.Store(0)
			}
			start := time.Now()
			var all sync.WaitGroup
			for range servers {
				all.Go(func() {
					if _, err := ask(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if call >= learning {
				f.calls = append(f.calls, millis(time.Since(start)))
			}
		}
		f.extra = float64(sent.Load())/(servers*calls) - 1
	})
	return f
}

// latency draws how long a server takes.
func latency(rnd *rand.Rand) time.Duration {
	var ms float64
	switch p := rnd.Float64(); {
	case p < .9795:
		ms = min(4*math.Exp(.3*rnd.NormFloat64()), 9.9)
	case p < .9995:
		ms = 10 + 60*rnd.Float64()
	default:
		ms = 500 + 1500*rnd.Float64()
	}
	return time.Duration(ms * float64(time.Millisecond))
}
