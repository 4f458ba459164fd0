package limit_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A server works off its calls in the order in which they come, by workers who
// go on with what its caller has given up on: without that, no overload feeds
// itself.
type server struct {
	// work says when work that would start after so long does, and what it
	// takes.
	work func(start time.Duration) (begins, takes time.Duration)

	began time.Time

	mu       sync.Mutex
	free     []time.Time // when each worker will be
	arrivals int
}

func (s *server) call(ctx context.Context) error {
	timer := time.NewTimer(time.Until(s.accept()))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// accept returns when the work on a call that arrives now will be done.
func (s *server) accept() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.arrivals++
	first := 0
	for i, free := range s.free {
		if free.Before(s.free[first]) {
			first = i
		}
	}
	start := time.Now()
	if s.free[first].After(start) {
		start = s.free[first]
	}
	begins, takes := s.work(start.Sub(s.began))
	s.free[first] = s.began.Add(begins + takes)
	return s.free[first]
}

// An overload is an open loop of calls to a server that is in trouble for a
// while.
type overload struct {
	workers int
	work    func(start time.Duration) (begins, takes time.Duration)
	rate    float64 // calls a second
	poisson bool    // or evenly
	ends    time.Duration
	lasts   time.Duration // the whole run
	window  time.Duration // of recovery
}

// hotOS is the metastable failure of Bronson et al., "Metastable Failures in
// Distributed Systems", HotOS 2021: a database for 300 queries a second of
// 100 ms, and an application with 280 a second, a timeout of 1 s and one retry.
// After ten seconds of outage it goes on with 560 a second for ever.
var hotOS = overload{
	workers: 30,
	work: func(start time.Duration) (begins, takes time.Duration) {
		if start > 10*time.Second && start < 20*time.Second {
			start = 20 * time.Second
		}
		return start, 100 * time.Millisecond
	},
	rate: 280, poisson: true,
	ends: 20 * time.Second, lasts: 80 * time.Second, window: 10 * time.Second,
}

// trigger is scenario 09 of redoubt load: two seconds in which work takes ten
// times as long.
var trigger = overload{
	workers: 2,
	work: func(start time.Duration) (begins, takes time.Duration) {
		if start >= 5*time.Second && start < 7*time.Second {
			return start, 70 * time.Millisecond
		}
		return start, 7 * time.Millisecond
	},
	rate: 200,
	ends: 7 * time.Second, lasts: 20 * time.Second, window: 500 * time.Millisecond,
}

// A result is what became of the calls of an overload.
type result struct {
	recovery time.Duration // from its end until 95 % of a window's calls succeeded
	never    bool
	after    float64 // share of successes among the calls after its end
	load     float64 // arrivals for each call
}

func (o overload) run(t *testing.T, seed uint64, stack redoubt.Stack) result {
	t.Helper()
	type call struct {
		at time.Duration
		ok bool
	}
	var calls []*call
	began := time.Now()
	s := &server{work: o.work, began: began, free: make([]time.Time, o.workers)}
	random := rand.New(rand.NewPCG(seed, 9))
	var all sync.WaitGroup
	for {
		wait := 1.0
		if o.poisson {
			wait = random.ExpFloat64()
		}
		time.Sleep(time.Duration(wait / o.rate * float64(time.Second)))
		c := &call{at: time.Since(began)}
		if c.at >= o.lasts {
			break
		}
		calls = append(calls, c)
		all.Go(func() { c.ok = stack.Do(t.Context(), s.call) == nil })
	}
	all.Wait()

	share := func(from, to time.Duration) float64 {
		offered, ok := 0, 0
		for _, c := range calls {
			if c.at >= from && c.at < to {
				offered++
				if c.ok {
					ok++
				}
			}
		}
		return float64(ok) / float64(offered)
	}
	const step = 100 * time.Millisecond
	r := result{after: share(o.ends, o.lasts), load: float64(s.arrivals) / float64(len(calls))}
	for ; share(o.ends+r.recovery, o.ends+r.recovery+o.window) < 0.95; r.recovery += step {
		if o.ends+r.recovery+step+o.window > o.lasts {
			r.never = true
			break
		}
	}
	return r
}

// attempts is a stack that retries as carelessly as the failure needs, around
// what the test is about.
func attempts(n int, pause, each time.Duration, middle ...redoubt.Layer) redoubt.Stack {
	stack := redoubt.Stack{retry.Policy{
		MaxAttempts: n,
		Backoff:     func() backoff.BackOff { return backoff.NewConstantBackOff(pause) },
	}}
	return append(append(stack, middle...), timeout.Limit(each))
}

// TestOverload holds that a limit ends an overload that retries would keep alive
// for ever, and how soon and how well it does.
func TestOverload(t *testing.T) {
	const never = -1
	carefree := func(l ...redoubt.Layer) redoubt.Stack { return attempts(2, 0, time.Second, l...) }
	naive := func(l ...redoubt.Layer) redoubt.Stack {
		return attempts(3, 50*time.Millisecond, 600*time.Millisecond, l...)
	}
	none := func() []redoubt.Layer { return nil }
	one := func(config limit.Config) func() []redoubt.Layer {
		return func() []redoubt.Layer { return []redoubt.Layer{limit.New(config)} }
	}
	queue := 200 * time.Millisecond
	tests := []struct {
		name     string
		load     overload
		stack    func(...redoubt.Layer) redoubt.Stack
		limit    func() []redoubt.Layer
		recovery time.Duration // at most
		after    float64       // at least
		amplify  float64       // at most
	}{
		{"HotOS, no limit", hotOS, carefree, none, never, 0, 2},
		{"HotOS, AIMD", hotOS, carefree, one(limit.Config{}), time.Second, 0.98, 1},
		{"HotOS, AIMD from 40", hotOS, carefree, one(limit.Config{Initial: 40}), time.Second, 0.98, 1},
		{"HotOS, AIMD with a queue", hotOS, carefree, one(limit.Config{MaxWait: queue}), time.Second, 0.98, 1},
		{"HotOS, Gradient2", hotOS, carefree, one(limit.Config{Algorithm: limit.Gradient2}), 35 * time.Second, 0.75, 1},
		{"HotOS, fixed with a queue", hotOS, carefree, one(limit.Config{Fixed: 30, MaxWait: queue}), time.Second, 0.97, 1},
		{"trigger, no limit", trigger, naive, none, never, 0, 2.5},
		{"trigger, AIMD", trigger, naive, one(limit.Config{}), 500 * time.Millisecond, 0.99, 1},
		{"trigger, AIMD with a queue", trigger, naive, one(limit.Config{MaxWait: queue}), 500 * time.Millisecond, 0.99, 1},
		{"trigger, Gradient2", trigger, naive, one(limit.Config{Algorithm: limit.Gradient2}), 500 * time.Millisecond, 0.99, 1},
		{"trigger, fixed with a queue", trigger, naive, one(limit.Config{Fixed: 30, MaxWait: queue}), 500 * time.Millisecond, 0.99, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for seed := uint64(1); seed <= 2; seed++ {
				synctest.Test(t, func(t *testing.T) {
					r := tt.load.run(t, seed, tt.stack(tt.limit()...))
					t.Logf("seed %d: %v", seed, r)
					switch {
					case tt.recovery == never:
						if !r.never || r.after > 0.01 {
							t.Errorf("seed %d: %v; it is to be seen that without a limit it never ends", seed, r)
						}
					case r.never || r.recovery > tt.recovery || r.after < tt.after:
						t.Errorf("seed %d: %v; want a recovery in %v, and then %.2f to succeed", seed, r, tt.recovery, tt.after)
					}
					if r.load > tt.amplify {
						t.Errorf("seed %d: %.2f arrivals for each call, want at most %.2f", seed, r.load, tt.amplify)
					}
				})
			}
		})
	}
}

func (r result) String() string {
	recovery := "recovery in " + r.recovery.String()
	if r.never {
		recovery = "no recovery"
	}
	return fmt.Sprintf("%s, %.3f succeed after the end, %.2f arrivals for each call", recovery, r.after, r.load)
}
