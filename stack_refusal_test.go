package redoubt_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A stack asks an open breaker before it arms anything. That must show in no
// result: each stack here does what the same stack does with a layer of which it
// knows nothing in front, which makes it go the long way.
func TestStack_RefusalIsAShortcut(t *testing.T) {
	const s = time.Second
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()

	open := func(config breaker.Config) func() *breaker.Breaker {
		return func() *breaker.Breaker {
			config.Name, config.Consecutive, config.Cooldown, config.Jitter = "billing", 1, 10*s, breaker.NoJitter
			b := breaker.New(config)
			_ = b.Do(context.Background(), func(context.Context) error { return errDown })
			return b
		}
	}
	usual := open(breaker.Config{})
	tests := []struct {
		name    string
		outside redoubt.Stack
		breaker func() *breaker.Breaker
		ctx     context.Context //nolint:containedctx // It is the case's input.
		after   time.Duration
		short   bool // whether the shortcut is open, to prove that cases test what they say
	}{
		{"policy", redoubt.Stack{retry.Policy{}}, usual, nil, 0, true},
		{"limit and policy", redoubt.Stack{timeout.Limit(s), retry.Policy{}}, usual, nil, 0, true},
		{"limits around a policy", redoubt.Stack{timeout.Limit(s), retry.Policy{}, timeout.Limit(s)}, usual, nil, 0, true},
		{"policy that would repeat it", redoubt.Stack{retry.Policy{Retryable: func(error) bool { return true }}}, usual, nil, 0, true},
		{"forced", redoubt.Stack{retry.Policy{}}, func() *breaker.Breaker {
			b := usual()
			b.ForceOpen()
			return b
		}, nil, 0, true},
		{"nothing outside", nil, usual, nil, 0, true},
		{"policy that waits", redoubt.Stack{timeout.Limit(20 * s), retry.Policy{AwaitRefusals: true}}, usual, nil, 0, false},
		{"shadow", redoubt.Stack{retry.Policy{}}, open(breaker.Config{Shadow: true}), nil, 0, false},
		{"cooldown over", redoubt.Stack{retry.Policy{}}, usual, nil, 10 * s, false},
		{"closed", redoubt.Stack{retry.Policy{}}, func() *breaker.Breaker { return breaker.New(breaker.Config{Name: "billing"}) }, nil, 0, false},
		{"misconfigured breaker", redoubt.Stack{retry.Policy{}}, func() *breaker.Breaker { return breaker.New(breaker.Config{Name: "billing", Probes: -1}) }, nil, 0, false},
		{"zero breaker", redoubt.Stack{retry.Policy{}}, func() *breaker.Breaker { return nil }, nil, 0, false},
		{"misconfigured policy", redoubt.Stack{retry.Policy{MaxAttempts: -1}}, usual, nil, 0, false},
		{"misconfigured limit", redoubt.Stack{timeout.Limit(-s), retry.Policy{}}, usual, nil, 0, false},
		{"caller gone", redoubt.Stack{timeout.Limit(s), retry.Policy{}}, usual, cancelled, 0, false},
	}
	long := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error { return call(ctx) })
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				do := func(front redoubt.Stack) (runs int, took time.Duration, allocs float64, err error) {
					b := tt.breaker()
					time.Sleep(tt.after)
					ctx := tt.ctx
					if ctx == nil {
						ctx = t.Context()
					}
					stack := append(append(front, tt.outside...), b)
					call := func(context.Context) error {
						runs++
						return errDown
					}
					start := time.Now()
					err = stack.Do(ctx, call)
					took = time.Since(start)
					n := runs
					if tt.short {
						allocs = testing.AllocsPerRun(10, func() { _ = stack.Do(ctx, call) })
					}
					return n, took, allocs, err
				}
				gotRuns, gotTook, allocs, got := do(nil)
				wantRuns, wantTook, _, want := do(redoubt.Stack{long})
				if got.Error() != want.Error() || errors.Is(got, breaker.ErrOpen) != errors.Is(want, breaker.ErrOpen) {
					t.Errorf("err = %v, want %v", got, want)
				}
				if gotRuns != wantRuns || gotTook/(10*s) != wantTook/(10*s) { // waits have jitter
					t.Errorf("%d runs in %v, want %d in %v", gotRuns, gotTook, wantRuns, wantTook)
				}
				if tt.short && (gotRuns != 0 || allocs != 0) {
					t.Errorf("%d runs and %v allocations, want none", gotRuns, allocs)
				}
			})
		})
	}
}

// A refusal counts wherever somebody listens, so that the shortcut is closed
// then: an attempt of another policy that refuses is told apart, for instance.
func TestStack_RefusalInsideAnAttempt(t *testing.T) {
	b := breaker.New(breaker.Config{Name: "billing"})
	b.ForceOpen()
	inner := redoubt.Stack{retry.Policy{}, b}
	attempts := 0
	err := redoubt.Stack{retry.Policy{Nested: true}}.Do(t.Context(), func(ctx context.Context) error {
		attempts++
		return inner.Do(ctx, func(context.Context) error { return nil })
	})
	if !errors.Is(err, breaker.ErrOpen) || attempts != 1 {
		t.Errorf("err = %v after %d attempts, want %v after 1", err, attempts, breaker.ErrOpen)
	}
}
