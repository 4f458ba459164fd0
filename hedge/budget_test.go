package hedge

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
)

func newShare(ratio, burst float64) *share {
	s := new(share)
	s.set(ratio, burst)
	return s
}

func (s *share) calls(n int) {
	for range n {
		s.pay(s.deposit)
	}
}

func TestShare(t *testing.T) {
	s := newShare(0.05, 2)
	if s.withdraw() {
		t.Error("a new share granted a hedge, want none before any call")
	}
	if s.calls(19); s.withdraw() {
		t.Error("granted a hedge after 19 calls, want 20")
	}
	if s.calls(1); !s.withdraw() || s.withdraw() {
		t.Error("want one hedge after 20 calls")
	}
	s.calls(1000)
	for i := range 3 {
		if got, want := s.withdraw(), i < 2; got != want {
			t.Errorf("hedge %d after 1000 calls: %v, want %v", i+1, got, want)
		}
	}
}

func TestShare_Debt(t *testing.T) {
	s := newShare(1, 10)
	s.charge(2)
	for i := range 4 {
		s.calls(1)
		if got, want := s.withdraw(), i >= 2; got != want {
			t.Errorf("call %d: %v, want %v", i+1, got, want)
		}
	}
}

// TestShare_NeverExceeded: whatever the order of calls and hedges, there are at
// most as many hedges as the share of the calls.
func TestShare_NeverExceeded(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 0))
		ratio, burst := float64(1+r.IntN(100))/100, float64(1+r.IntN(20))
		s := newShare(ratio, burst)
		var calls, hedges int
		for range 2000 {
			if r.IntN(3) > 0 {
				calls++
				s.calls(1)
			} else if s.withdraw() {
				hedges++
			}
			if float64(hedges) > ratio*float64(calls)+1e-6 {
				t.Fatalf("seed %d: %d hedges for %d calls, want a share of at most %v", seed, hedges, calls, ratio)
			}
		}
	}
}

func TestShare_Concurrent(t *testing.T) {
	s := newShare(0.5, 1e6)
	var hedges atomic.Int64
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 1000 {
				s.calls(1)
				if s.withdraw() {
					hedges.Add(1)
				}
			}
		})
	}
	group.Wait()
	for s.withdraw() {
		hedges.Add(1)
	}
	if got := hedges.Load(); got != 4000 {
		t.Errorf("%d hedges for 8000 calls, want 4000", got)
	}
}
