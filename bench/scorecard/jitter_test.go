package scorecard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt/retry"
)

// jitter is the experiment by which full jitter became known.
func jitter() section {
	s := section{
		title: "Jitter under contention",
		about: `N clients each update one row once under optimistic concurrency. The network takes
N(10, 2) ms each way, the first wait is at most 10 ms, the longest 2 s; means and
standard deviations of 100 runs. Source: M. Brooker, "Exponential Backoff And
Jitter", AWS Architecture Blog, 2015; figures replayed.`,
	}
	kinds := []struct {
		name    string
		backoff func() backoff.BackOff
	}{
		{"full", retry.FullJitter(firstWait, longestWait)},
		{"exponential", retry.Exponential(firstWait, longestWait)},
		{"equal", retry.EqualJitter(firstWait, longestWait)},
		{"decorrelated", retry.Decorrelated(firstWait/2, longestWait)},
	}
	published := []struct {
		clients, kind                    int
		ms, msSD, calls, callsSD, demand float64
	}{
		// The demand is in standard deviations; 0 is none.
		{10, 0, 460, 0, 39, 0, 0},
		{50, 0, 2794, 0, 332, 0, 0},
		{100, 0, 4912, 607, 794, 8, 2},
		{190, 0, 7536, 0, 1773, 0, 0},
		{100, 1, 63964, 3866, 1860, 53, 0},
		{100, 2, 6762, 611, 813, 9, 0},
		{100, 3, 4642, 891, 1001, 26, 0},
	}
	for _, p := range published {
		r := row{
			name:      fmt.Sprintf("%d clients, %s", p.clients, kinds[p.kind].name),
			reference: fmt.Sprintf("%.0f ms, %.0f calls", p.ms, p.calls),
			slow:      p.clients > 50,
			measure: func(t *testing.T) (string, bool) {
				ms, calls := contend(t, p.clients, kinds[p.kind].backoff)
				met := math.Abs(ms.mean()-p.ms) <= p.demand*p.msSD && math.Abs(calls.mean()-p.calls) <= p.demand*p.callsSD
				return fmt.Sprintf("%.0f ± %.0f ms, %.0f ± %.0f calls", ms.mean(), ms.sd(), calls.mean(), calls.sd()), met
			},
		}
		if p.demand > 0 {
			r.target = fmt.Sprintf("within %.0f sd of both", p.demand)
		}
		s.rows = append(s.rows, r)
	}
	s.rows = append(s.rows, row{
		name:      "100 clients, full of exponential",
		reference: "2.3 × fewer calls, 13 × less time",
		target:    "≥ 2.2 ×, ≥ 12 ×",
		slow:      true,
		measure: func(t *testing.T) (string, bool) {
			plainMS, plainCalls := contend(t, 100, kinds[1].backoff)
			ms, calls := contend(t, 100, kinds[0].backoff)
			fewer, sooner := plainCalls.mean()/calls.mean(), plainMS.mean()/ms.mean()
			return fmt.Sprintf("%.1f × fewer calls, %.1f × less time", fewer, sooner), fewer >= 2.2 && sooner >= 12
		},
	})
	return s
}

// The published simulation counts attempts from one, so that its first wait is
// at most twice its base.
const (
	firstWait   = 10 * time.Millisecond
	longestWait = 2 * time.Second
)

var errConflict = errors.New("somebody else has changed the row")

// contend returns how long it took until all clients had updated the row, in
// milliseconds, and how many writes that took.
func contend(t *testing.T, clients int, waits func() backoff.BackOff) (ms, calls sample) {
	t.Helper()
	const runs = 100
	policy := retry.Policy{MaxAttempts: math.MaxInt, Backoff: waits}
	for run := range runs {
		synctest.Test(t, func(t *testing.T) {
			var (
				mu      sync.Mutex
				version int
				writes  int
				all     sync.WaitGroup
			)
			start := time.Now()
			for client := range clients {
				rnd := rand.New(rand.NewPCG(uint64(run), uint64(client)))
				travel := func() {
					time.Sleep(time.Duration(math.Abs(10+2*rnd.NormFloat64()) * float64(time.Millisecond)))
				}
				all.Go(func() {
					err := policy.Do(t.Context(), func(context.Context) error {
						travel()
						mu.Lock()
						seen := version
						mu.Unlock()
						travel()
						travel()
						mu.Lock()
						writes++
						won := seen == version
						if won {
							version++
						}
						mu.Unlock()
						travel()
						if !won {
							return errConflict
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			ms = append(ms, time.Since(start).Seconds()*1000)
			calls = append(calls, float64(writes))
		})
	}
	return ms, calls
}
