package breaker

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// newSuccesses returns the successes of a phase over ten steps of a second,
// split for processors or not.
func newSuccesses(split bool) *successes {
	s := &successes{step: time.Second, first: make(steps, 10)}
	if split {
		s.split()
	}
	return s
}

// TestSuccesses_Window holds the lock-free count to the window's, which is
// simple and has a lock: over random steps of time, gaps longer than the window
// among them, they agree at every moment.
func TestSuccesses_Window(t *testing.T) {
	for _, split := range []bool{false, true} {
		for seed := range uint64(200) {
			random := rand.New(rand.NewPCG(seed, 0))
			s, w := newSuccesses(split), newWindow(10*time.Second, 10)
			now := time.Duration(random.Int64N(int64(time.Hour)))
			for range 300 {
				now += time.Duration(random.ExpFloat64() * float64(700*time.Millisecond))
				if random.IntN(100) == 0 {
					now += time.Duration(random.Int64N(int64(25 * time.Second)))
				}
				if random.IntN(4) > 0 {
					s.add(now)
					w.add(now, Success)
				}
				if got, want := s.sum(now), w.counts(now).Successes; got != want {
					t.Fatalf("seed %d, split %t: %d successes at %v, want %d", seed, split, got, now, want)
				}
			}
		}
	}
}

// TestSuccesses_Concurrent counts within one step from many goroutines: not one
// success is lost, whether or not the count was split on the way.
func TestSuccesses_Concurrent(t *testing.T) {
	const goroutines, each = 16, 2000
	s := newSuccesses(false)
	now := func() time.Duration { return 42 * time.Second }
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				s.add(now())
			}
		})
	}
	wg.Wait()
	if got := s.sum(now()); got != goroutines*each {
		t.Errorf("%d successes, want %d", got, goroutines*each)
	}
}

func TestSuccesses_EndFailuresInARow(t *testing.T) {
	s := newSuccesses(false)
	s.failed.Add(3)
	s.add(0)
	if got := s.failed.Load(); got != 0 {
		t.Errorf("%d failures in a row after a success, want 0", got)
	}
}

// TestSuccesses_OvertakenByAWindow tells of a goroutine that lost its processor
// between the reading of the clock and the counting, for as long as the window:
// its success, which is too late to count, wiped out those counted meanwhile.
func TestSuccesses_OvertakenByAWindow(t *testing.T) {
	s := newSuccesses(false)
	s.add(12 * time.Second)
	s.add(12 * time.Second)
	s.add(2 * time.Second)
	if got := s.sum(12 * time.Second); got != 2 {
		t.Errorf("%d successes, want 2", got)
	}
}
