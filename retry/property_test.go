package retry

import (
	"context"
	"math"
	"math/big"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A model is a budget as its documentation describes it, in exact fractions and
// for one caller.
type model struct {
	ratio, burst, balance *big.Rat
	floor                 time.Duration // between two grants of the floor; 0 is none
	granted               time.Time     // when the floor last granted; zero is never
}

func newModel(c BudgetConfig) *model {
	m := &model{ratio: fraction(c.Ratio), burst: fraction(c.Burst)}
	m.balance = m.burst
	if c.MinPerSecond != NoFloor {
		m.floor = time.Duration(float64(time.Second) / c.MinPerSecond)
	}
	return m
}

// fraction returns the decimal fraction that f was written as.
func fraction(f float64) *big.Rat {
	const digits = 1e6
	return big.NewRat(int64(math.Round(f*digits)), digits)
}

func (m *model) deposit() {
	m.balance = new(big.Rat).Add(m.balance, m.ratio)
	if m.balance.Cmp(m.burst) > 0 {
		m.balance = m.burst
	}
}

func (m *model) withdraw() bool {
	one := big.NewRat(1, 1)
	if m.balance.Cmp(one) >= 0 {
		m.balance = new(big.Rat).Sub(m.balance, one)
		return true
	}
	if m.floor > 0 && (m.granted.IsZero() || time.Since(m.granted) >= m.floor) {
		m.granted = time.Now()
		return true
	}
	return false
}

// The budget grants what the model grants, and never anything else.
func TestBudget_Model(t *testing.T) {
	configs := []BudgetConfig{
		{Ratio: DefaultRatio, Burst: DefaultBurst, MinPerSecond: DefaultMinPerSecond},
		{Ratio: DefaultRatio, Burst: DefaultBurst, MinPerSecond: NoFloor},
		{Ratio: 1, Burst: 1, MinPerSecond: 8},
		{Ratio: .001, Burst: 2.5, MinPerSecond: .5},
		{Ratio: .3, Burst: 100, MinPerSecond: 100},
	}
	for seed, config := range configs {
		synctest.Test(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(uint64(seed), 7))
			b, m := NewBudget(config), newModel(config)
			for step := range 20_000 {
				switch op := rnd.IntN(10); {
				case op < 5:
					b.Deposit()
					m.deposit()
				case op < 9:
					if got, want := b.Withdraw(), m.withdraw(); got != want {
						t.Fatalf("%+v: step %d: Withdraw() = %t, want %t", config, step, got, want)
					}
				default:
					time.Sleep(time.Duration(rnd.Int64N(int64(time.Second))))
				}
				if want, _ := m.balance.Float64(); b.Balance() != want {
					t.Fatalf("%+v: step %d: Balance() = %v, want %v", config, step, b.Balance(), want)
				}
			}
		})
	}
}

// Whatever many callers do at once, nothing is granted that was not paid, and
// nothing that was paid is lost.
func TestBudget_Conservation(t *testing.T) {
	const (
		callers, rounds, perRound = 16, 50, 100
		ratio, burst, perSecond   = .25, 200_000, 4
	)
	tests := []struct {
		name         string
		minPerSecond float64
		floor        int64 // what the floor may grant in all
	}{
		{"no floor", NoFloor, 0},
		{"floor", perSecond, 1 + perSecond*rounds}, // each round lasts a second
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := NewBudget(BudgetConfig{Ratio: ratio, Burst: burst, MinPerSecond: tt.minPerSecond})
				var deposits, granted atomic.Int64
				// A full budget takes no payment, and on a busy machine a caller
				// may pay before anybody has taken: so there is room from the start.
				for range callers * rounds * perRound {
					if b.Withdraw() {
						granted.Add(1)
					}
				}
				var wg sync.WaitGroup
				for caller := range callers {
					wg.Go(func() {
						rnd := rand.New(rand.NewPCG(5, uint64(caller)))
						for range rounds {
							for range perRound {
								if rnd.IntN(2) == 0 {
									b.Deposit()
									deposits.Add(1)
								}
								for range 3 {
									if b.Withdraw() {
										granted.Add(1)
									}
								}
							}
							time.Sleep(time.Second)
						}
					})
				}
				// What the burst holds is gone before the first second is over.
				for b.Withdraw() {
					granted.Add(1)
				}
				wg.Wait()

				paid := burst + ratio*float64(deposits.Load())
				if got := float64(granted.Load()); got > paid+float64(tt.floor) {
					t.Errorf("granted %v retries, want %v + %d at most", got, paid, tt.floor)
				}
				fromFloor := float64(granted.Load()) + b.Balance() - paid
				if fromFloor < 0 || fromFloor > float64(tt.floor) {
					t.Errorf("granted %d and left %v of %v paid: %v too much, want 0 to %d",
						granted.Load(), b.Balance(), paid, fromFloor, tt.floor)
				}
			})
		})
	}
}

// Deposits and withdrawals at one instant do not undo each other.
func TestBudget_Contended(t *testing.T) {
	const callers, rounds = 8, 50_000
	b := NewBudget(BudgetConfig{Ratio: .5, Burst: 2 * callers * rounds, MinPerSecond: NoFloor})
	for range callers * rounds {
		b.Withdraw()
	}
	before := b.Balance()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range rounds {
				b.Deposit()
				if !b.Withdraw() {
					t.Error("a full budget refused")
				}
			}
		})
	}
	wg.Wait()
	if got, want := b.Balance(), before-callers*rounds/2; got != want {
		t.Errorf("Balance() = %v, want %v", got, want)
	}
}

// However many callers ask at one instant, the floor grants one retry.
func TestBudget_FloorGrantsOne(t *testing.T) {
	const callers, rounds = 4, 2000
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(BudgetConfig{Burst: 1})
		grants(b)
		for range rounds {
			time.Sleep(time.Second)
			var ready, granted atomic.Int64
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for ready.Add(1); ready.Load() < callers; {
						runtime.Gosched() // until all are at it
					}
					if b.Withdraw() {
						granted.Add(1)
					}
				})
			}
			wg.Wait()
			if got := granted.Load(); got != 1 {
				t.Fatalf("%d of %d callers were granted a retry at one instant, want 1", got, callers)
			}
		}
	})
}

// load is what a number of calls came to.
type load struct {
	calls, attempts, successes int
}

func (l load) amplification() float64 { return float64(l.attempts) / float64(l.calls) }
func (l load) success() float64       { return float64(l.successes) / float64(l.calls) }

// simulate is M. Brooker's simulation of retries: 100 clients, each with a budget
// of its own that holds 5, no backoff, and up to three retries. The budget is
// paid by successes, as a policy does it, or by calls.
func simulate(failureRate, ratio float64, paidByCalls bool) load {
	const clients, calls, retries = 100, 2000, 3
	rnd := rand.New(rand.NewPCG(11, 12))
	l := load{calls: clients * calls}
	for range clients {
		b := newBudget(&BudgetConfig{Ratio: ratio, Burst: 5, MinPerSecond: NoFloor})
		for range calls {
			if paidByCalls {
				b.Deposit()
			}
			succeeded := false
			for attempt := 0; !succeeded && attempt <= retries && (attempt == 0 || b.Withdraw()); attempt++ {
				l.attempts++
				succeeded = rnd.Float64() >= failureRate
			}
			if !succeeded {
				continue
			}
			l.successes++
			if !paidByCalls {
				b.Deposit()
			}
		}
	}
	return l
}

// near allows for one per cent.
func near(got, want float64) bool { return math.Abs(got-want) <= .01*max(want, 1) }

// The bucket of "token bucket 10 %" is paid by calls. Ours, paid so, gives that
// column of the published simulation.
//
// Source: M. Brooker, "Fixing retries with token buckets and circuit breakers",
// 2022.
func TestBudget_Brooker(t *testing.T) {
	tests := []struct{ failureRate, amplification, success float64 }{
		{.1, 1.093, .984},
		{.2, 1.102, .882},
		{.5, 1.102, .551},
		{1, 1.102, 0},
	}
	for _, tt := range tests {
		got := simulate(tt.failureRate, .1, true)
		if !near(got.amplification(), tt.amplification) || !near(got.success(), tt.success) {
			t.Errorf("failure rate %v: amplification %.3f, success %.3f; want %.3f, %.3f",
				tt.failureRate, got.amplification(), got.success(), tt.amplification, tt.success)
		}
	}
}

// Paid by successes, retries per call are at most ratio × successes per call:
// with failure rate f that is r = ratio·(1-f)·(1+r). Once everything fails,
// nothing is left but the burst.
func TestBudget_SteadyState(t *testing.T) {
	const ratio = .1
	for _, failureRate := range []float64{.2, .5, .8, 1} {
		got := simulate(failureRate, ratio, false)
		paid := ratio * (1 - failureRate)
		want := 1 + paid/(1-paid)
		if !near(got.amplification(), want) || !near(got.success(), want*(1-failureRate)) {
			t.Errorf("failure rate %v: amplification %.3f, success %.3f; want %.3f, %.3f",
				failureRate, got.amplification(), got.success(), want, want*(1-failureRate))
		}
	}
}

// In a total outage a process sends its burst, and then what the floor owes.
func TestBudget_Outage(t *testing.T) {
	const seconds, perSecond = 100, 50
	tests := []struct {
		name   string
		config BudgetConfig
		want   int // retries
	}{
		{"default", BudgetConfig{}, DefaultBurst + seconds*DefaultMinPerSecond},
		{"no floor", BudgetConfig{MinPerSecond: NoFloor}, DefaultBurst},
		{"no budget", BudgetConfig{Burst: 1e9}, 2 * seconds * perSecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := Policy{Backoff: Constant(0), Budget: NewBudget(tt.config)}
				retries := 0
				for range seconds * perSecond {
					_ = p.Do(t.Context(), func(ctx context.Context) error {
						if Attempt(ctx) > 1 {
							retries++
						}
						return errBoom
					})
					time.Sleep(time.Second / perSecond)
				}
				if retries != tt.want {
					t.Errorf("%d retries of %d calls, want %d", retries, seconds*perSecond, tt.want)
				}
			})
		})
	}
}
