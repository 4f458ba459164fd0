package failover_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/retry"
)

// A world is three endpoints whose health changes by chance, with real breakers
// and a real budget, and a model of both that is written down call by call.
type world struct {
	random *rand.Rand

	healthy map[string]bool
	until   map[string]time.Time // of the model's cooldown
	balance float64
}

func newWorld(seed uint64) *world {
	return &world{
		random:  rand.New(rand.NewPCG(seed, 1)),
		healthy: map[string]bool{"a": true, "b": true, "c": true},
		until:   map[string]time.Time{},
		balance: 3,
	}
}

// open reports whether the model's breaker of an endpoint refuses calls.
func (w *world) open(endpoint string) bool { return time.Now().Before(w.until[endpoint]) }

// call works out whom a call asks and what comes of it.
func (w *world) call() (asked string, stop failover.Stop) {
	for _, endpoint := range []string{"a", "b", "c"} {
		switch {
		case w.open(endpoint):
			continue
		case asked != "" && w.balance < 1:
			return asked, failover.StopBudget
		case asked != "":
			w.balance--
		}
		asked += endpoint
		if w.healthy[endpoint] {
			w.balance = min(w.balance+ratio, 3)
			return asked, ""
		}
		w.until[endpoint] = time.Now().Add(cooldown)
	}
	return asked, failover.StopExhausted
}

const ratio = 0.5 // exact in binary

// TestFailover_Model: whatever the endpoints' health, one call at a time asks
// exactly whom the model asks: never one that is open, the first that is not, home
// as soon as that is possible, and never more than the budget pays for.
func TestFailover_Model(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(seed)
			f := abc(failover.Config{
				Guard:  breakers,
				Budget: retry.NewBudget(retry.BudgetConfig{Ratio: ratio, Burst: 3, MinPerSecond: retry.NoFloor}),
			})
			for step := range 100 {
				w.change()
				s := &service{sick: map[string]error{}}
				for endpoint, healthy := range w.healthy {
					if !healthy {
						s.sick[endpoint] = errDown
					}
				}
				wantAsked, wantStop := w.call()
				got, asked, err := s.do(t.Context(), f)
				if asked != wantAsked || (err == nil) != (wantStop == "") {
					t.Fatalf("seed %d, step %d: asked %q, %v; want %q, %q", seed, step, asked, err, wantAsked, wantStop)
				}
				if err == nil && got != "from "+asked[len(asked)-1:] {
					t.Fatalf("seed %d, step %d: result %q of %q", seed, step, got, asked)
				}
				if failed, ok := errors.AsType[*failover.Error](err); ok && failed.Stop != wantStop {
					t.Fatalf("seed %d, step %d: stop %q, want %q", seed, step, failed.Stop, wantStop)
				}
			}
		})
	}
}

// change lets time pass and health change.
func (w *world) change() {
	time.Sleep(time.Duration(w.random.Int64N(int64(2 * time.Second))))
	if w.random.IntN(4) == 0 {
		endpoint := string("abc"[w.random.IntN(3)])
		w.healthy[endpoint] = !w.healthy[endpoint]
	}
}

// TestFailover_ManyCallers: the same with many callers at once, of which the
// model says less. A call asks in order, each endpoint once, none whose circuit
// was open all along, has one result, and all together withdraw no more than was
// paid in. In the end everybody is home.
func TestFailover_ManyCallers(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			var mu sync.Mutex
			further := 0
			healthy := map[string]bool{"a": true, "b": true, "c": true}
			budget := &countingBudget{left: 5}
			states := map[string]*breaker.Breaker{}
			f := abc(failover.Config{Budget: budget, Guard: func(endpoint string) failover.Layer {
				states[endpoint] = newBreaker(endpoint)
				return states[endpoint]
			}})
			call := func(random *rand.Rand) error {
				var asked []string
				got, err := failover.Do(t.Context(), f, func(_ context.Context, endpoint string) (string, error) {
					if state := states[endpoint].State(); state == breaker.Open {
						t.Errorf("asked %s, which is open", endpoint)
					}
					if len(asked) > 0 && asked[len(asked)-1] >= endpoint {
						t.Errorf("asked %v and then %s", asked, endpoint)
					}
					mu.Lock()
					if len(asked) > 0 {
						further++
					}
					asked = append(asked, endpoint)
					well := healthy[endpoint]
					took := time.Duration(random.Int64N(int64(50 * time.Millisecond)))
					mu.Unlock()
					time.Sleep(took)
					if !well {
						return "", fmt.Errorf("%s: %w", endpoint, errDown)
					}
					return endpoint, nil
				})
				if (err == nil) != (len(asked) > 0 && got == asked[len(asked)-1]) {
					t.Errorf("result %q, %v having asked %v", got, err, asked)
				}
				return err
			}
			var wg sync.WaitGroup
			for caller := range uint64(10) {
				random := rand.New(rand.NewPCG(seed, caller))
				wg.Go(func() {
					for range 50 {
						_ = call(random)
						time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
						if random.IntN(10) == 0 {
							mu.Lock()
							endpoint := string("abc"[random.IntN(3)])
							healthy[endpoint] = !healthy[endpoint]
							mu.Unlock()
						}
					}
				})
			}
			wg.Wait()
			if further != budget.granted || further == 0 {
				t.Errorf("%d further endpoints were asked, and the budget granted %d", further, budget.granted)
			}
			mu.Lock()
			healthy = map[string]bool{"a": true, "b": true, "c": true}
			mu.Unlock()
			time.Sleep(cooldown)
			for range 2 {
				got, err := failover.Do(t.Context(), f, func(_ context.Context, endpoint string) (string, error) { return endpoint, nil })
				if got != "a" || err != nil {
					t.Errorf("in the end: %q, %v, want a", got, err)
				}
			}
		})
	}
}

// countingBudget grants whole attempts.
type countingBudget struct {
	mu      sync.Mutex
	left    float64
	granted int
}

func (b *countingBudget) Withdraw() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.left < 1 {
		return false
	}
	b.left--
	b.granted++
	return true
}

func (b *countingBudget) Deposit() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.left += 0.1
}
