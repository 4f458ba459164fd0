package hedge

import (
	"math"
	"sync/atomic"
)

// price is what a hedge costs. The balance is counted in millionths of a hedge.
const price = 1e6

// A share is a Hedger's own budget: each call pays in its share of a hedge.
// Since it begins empty, hedges never exceed that share of all calls.
type share struct {
	deposit int64
	burst   int64
	balance atomic.Int64
}

func (s *share) set(ratio, burst float64) {
	s.deposit = max(1, int64(math.Round(ratio*price)))
	s.burst = int64(math.Round(burst * price))
}

func (s *share) pay(amount int64) {
	for {
		balance := s.balance.Load()
		after := min(balance+amount, s.burst)
		if after == balance || s.balance.CompareAndSwap(balance, after) {
			return
		}
	}
}

// withdraw reports whether the balance can pay a hedge, and charges it.
func (s *share) withdraw() bool {
	for {
		balance := s.balance.Load()
		if balance < price {
			return false
		}
		if s.balance.CompareAndSwap(balance, balance-price) {
			return true
		}
	}
}

// charge takes the price of n hedges, which the balance may have to make up for
// before it grants the next one.
func (s *share) charge(n int) { s.balance.Add(-int64(n) * price) }
