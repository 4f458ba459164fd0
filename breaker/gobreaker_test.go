package breaker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"
)

// TestLikeGobreaker holds a breaker that counts failures in a row, and tells
// gobreaker of nothing else, to gobreaker alone, which is told of every call. On
// random schedules of overlapping calls they admit and refuse the same calls and
// change their state at the same steps.
func TestLikeGobreaker(t *testing.T) {
	const schedules, steps = 2_000, 60
	calls, changes := 0, 0
	for seed := range uint64(schedules) {
		synctest.Test(t, func(t *testing.T) {
			p := newPair(seed)
			defer p.finish()
			for n := range steps {
				if err := p.step(); err != nil {
					t.Fatalf("seed %d, step %d: %v", seed, n, err)
				}
			}
			calls += p.calls
			changes += len(p.changes[0])
		})
	}
	t.Logf("%d calls, %d changes of state", calls, changes)
	if changes < schedules {
		t.Errorf("%d changes of state in %d schedules, want more", changes, schedules)
	}
}

// A pair is a breaker and gobreaker by itself.
type pair struct {
	random   *rand.Rand
	health   float64
	cooldown time.Duration
	breaker  *Breaker
	alone    *gobreaker.TwoStepCircuitBreaker[struct{}]
	running  []*pairCall
	calls    int
	changes  [2][]string // of the breaker and of gobreaker
}

// A pairCall is a call that both have admitted.
type pairCall struct {
	result chan error
	done   func(error)
}

func newPair(seed uint64) *pair {
	random := rand.New(rand.NewPCG(seed, 9))
	p := &pair{random: random, health: random.Float64(), cooldown: time.Second}
	consecutive, probes := 1+random.IntN(4), 1+random.IntN(3)
	note := func(who int, from, to fmt.Stringer) {
		p.changes[who] = append(p.changes[who], fmt.Sprintf("%v to %v", from, to))
	}
	p.breaker = newBreaker(Config{
		Name:         "pair",
		Consecutive:  consecutive,
		Cooldown:     p.cooldown,
		MaxCooldown:  p.cooldown,
		Jitter:       NoJitter,
		Probes:       probes,
		ProbeTimeout: 1000 * time.Hour,
		OnTransition: func(t Transition) { note(0, t.From, t.To) },
	}, "")
	p.alone = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Timeout:       p.cooldown,
		MaxRequests:   uint32(probes),
		ReadyToTrip:   func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= uint32(consecutive) },
		OnStateChange: func(_ string, from, to gobreaker.State) { note(1, from, to) },
	})
	return p
}

func (p *pair) step() error {
	var err error
	switch n := p.random.IntN(8); {
	case n == 0:
		// Not the very end of a cooldown, which gobreaker takes to be within.
		time.Sleep(pick(p.random, 7, p.cooldown-1, p.cooldown+1, p.cooldown/3+7))
	case n <= 3 && len(p.running) > 0:
		p.end(p.random.IntN(len(p.running)))
	default:
		err = p.begin()
	}
	synctest.Wait()
	if err != nil {
		return err
	}
	if got, want := p.breaker.State().String(), p.alone.State().String(); got != want {
		return fmt.Errorf("state is %s, want %s", got, want)
	}
	if !slices.Equal(p.changes[0], p.changes[1]) {
		return fmt.Errorf("changed from %q, want from %q", p.changes[0], p.changes[1])
	}
	return nil
}

func (p *pair) begin() error {
	p.calls++
	done, want := p.alone.Allow()
	call := &pairCall{result: make(chan error), done: done}
	ran := false
	var got error
	go func() {
		got = p.breaker.Do(context.Background(), func(context.Context) error {
			ran = true
			return <-call.result
		})
	}()
	synctest.Wait()
	if ran {
		p.running = append(p.running, call)
	}
	if want != nil && (ran || !errors.Is(got, want)) || want == nil && !ran {
		return fmt.Errorf("call %d ran: %t, err = %w; gobreaker says %w", p.calls, ran, got, want)
	}
	return nil
}

func (p *pair) end(i int) {
	call := p.running[i]
	p.running = slices.Delete(p.running, i, i+1)
	var result error
	if p.random.Float64() > p.health {
		result = errors.New("down")
	}
	call.result <- result
	if call.done != nil {
		call.done(result)
	}
}

func (p *pair) finish() {
	for _, call := range p.running {
		call.result <- nil
	}
	p.running = nil
}
