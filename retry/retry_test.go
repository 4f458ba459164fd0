package retry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/redoubttest"
)

func TestPolicy_Law(t *testing.T) {
	policies := map[string]Policy{
		"zero":     {},
		"one":      {MaxAttempts: 1},
		"constant": {MaxAttempts: 5, Backoff: Constant(time.Second)},
		"nested":   {Nested: true},
	}
	for name, p := range policies {
		t.Run(name, func(t *testing.T) {
			redoubttest.CheckLayer(t, func() Policy { return p })
		})
	}
	t.Run("budget", func(t *testing.T) {
		redoubttest.CheckLayer(t, func() Policy { return Policy{Budget: NewBudget(BudgetConfig{})} })
	})
	t.Run("budgets", func(t *testing.T) {
		redoubttest.CheckLayer(t, func() Policy {
			return Policy{Budgets: NewBudgetGroup(BudgetGroupConfig{Key: func(context.Context) string { return "" }})}
		})
	})
}

// sequence is a user's own BackOff: the waits, then backoff.Stop.
type sequence struct {
	waits  []time.Duration
	resets int
	n      int
}

func (s *sequence) Reset() { s.resets++; s.n = 0 }

func (s *sequence) NextBackOff() time.Duration {
	if s.n == len(s.waits) {
		return backoff.Stop
	}
	s.n++
	return s.waits[s.n-1]
}

func sequenceOf(waits ...time.Duration) func() backoff.BackOff {
	return func() backoff.BackOff { return &sequence{waits: waits} }
}

// ends returns a call that ends with one error after the other, the last one
// again and again, and the number of its runs.
func ends(errs ...error) (call func(context.Context) error, runs *int) {
	runs = new(int)
	return func(context.Context) error {
		*runs++
		return errs[min(*runs, len(errs))-1]
	}, runs
}

// logger returns one that writes a line for each record, without the time.
func logger(w *strings.Builder) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey && len(groups) == 0 {
				return slog.Attr{}
			}
			return a
		},
	}))
}

// Every reason to stop, to the nanosecond. Each attempt takes 100 ms, and each
// wait is a second unless the case says otherwise.
func TestPolicy_Stops(t *testing.T) {
	const (
		ms = time.Millisecond
		s  = time.Second
	)
	var (
		hungUp   = errors.New("caller hung up")
		own      = Constant(s)
		burst1   = func() *Budget { return NewBudget(BudgetConfig{Burst: 1, MinPerSecond: NoFloor}) }
		nothing  = func() *Budget { b := burst1(); b.Withdraw(); return b }
		anyError = []error{errBoom}
	)
	tests := []struct {
		name     string
		policy   Policy
		budget   func() *Budget
		deadline time.Duration // of the caller; 0 is none
		cancel   time.Duration // when the caller hangs up; 0 is never
		deaf     bool          // the call does not notice
		errs     []error

		stop     Stop
		attempts int
		took     time.Duration
		message  string
	}{
		{
			name: "attempts by default", policy: Policy{Backoff: own}, errs: anyError,
			stop: StopAttempts, attempts: 3, took: 2300 * ms,
			message: "retry: gave up after 3 attempts: boom",
		},
		{
			name: "attempts", policy: Policy{MaxAttempts: 5, Backoff: own}, errs: anyError,
			stop: StopAttempts, attempts: 5, took: 4500 * ms,
			message: "retry: gave up after 5 attempts: boom",
		},
		{
			name: "exponential", policy: Policy{MaxAttempts: 6, Backoff: Exponential(s, 4*s)}, errs: anyError,
			stop: StopAttempts, attempts: 6, took: 15600 * ms,
			message: "retry: gave up after 6 attempts: boom",
		},
		{
			name: "no wait", policy: Policy{Backoff: Constant(0)}, errs: anyError,
			stop: StopAttempts, attempts: 3, took: 300 * ms,
			message: "retry: gave up after 3 attempts: boom",
		},
		{
			name: "sequence ends", policy: Policy{MaxAttempts: 9, Backoff: sequenceOf(s, 3*s)}, errs: anyError,
			stop: StopAttempts, attempts: 3, took: 4300 * ms,
			message: "retry: gave up after 3 attempts: boom",
		},
		{
			name: "permanent at last", policy: Policy{Backoff: own}, errs: []error{errBoom, Permanent(errBoom)},
			stop: StopPermanent, attempts: 2, took: 1200 * ms,
			message: "retry: gave up after 2 attempts (not to be retried): boom",
		},
		{
			name: "refused", policy: Policy{Backoff: own}, errs: []error{errBoom, rejectedError(true)},
			stop: StopPermanent, attempts: 2, took: 1200 * ms,
			message: "retry: gave up after 2 attempts: rejected: true",
		},
		{
			name: "refused under a deadline, and not to be awaited", policy: Policy{Backoff: own}, deadline: time.Hour, errs: []error{errBoom, rejectedError(true)},
			stop: StopPermanent, attempts: 2, took: 1200 * ms,
			message: "retry: gave up after 2 attempts: rejected: true",
		},
		{
			name: "refused without a deadline", policy: Policy{Backoff: own, AwaitRefusals: true}, errs: []error{errBoom, rejectedError(true)},
			stop: StopPermanent, attempts: 2, took: 1200 * ms,
			message: "retry: gave up after 2 attempts: rejected: true",
		},
		{
			name: "refused under a deadline", policy: Policy{Backoff: own, AwaitRefusals: true}, deadline: time.Hour, errs: []error{rejectedError(true)},
			stop: StopAttempts, attempts: 3, took: 2300 * ms,
			message: "retry: gave up after 3 attempts: rejected: true",
		},
		{
			name: "budget runs out", policy: Policy{Backoff: own}, budget: burst1, errs: anyError,
			stop: StopBudget, attempts: 2, took: 1200 * ms,
			message: "retry: gave up after 2 attempts (retry budget is empty): boom",
		},
		{
			name: "budget is empty", policy: Policy{Backoff: own}, budget: nothing, errs: anyError,
			stop: StopBudget, attempts: 1, took: 100 * ms,
			message: "retry: gave up after 1 attempt (retry budget is empty): boom",
		},
		{
			name: "refusals cost no budget", policy: Policy{Backoff: own, AwaitRefusals: true}, budget: nothing, deadline: time.Hour, errs: []error{rejectedError(true)},
			stop: StopAttempts, attempts: 3, took: 2300 * ms,
			message: "retry: gave up after 3 attempts: rejected: true",
		},
		{
			name: "who reached nobody costs no budget", policy: Policy{Backoff: own, RestartWait: s}, budget: nothing, errs: []error{unreachedError(true)},
			stop: StopAttempts, attempts: 3, took: 4300 * ms,
			message: "retry: gave up after 3 attempts: unreached: true",
		},
		{
			name: "deadline", policy: Policy{Backoff: own}, deadline: 2100 * ms, errs: anyError,
			stop: StopDeadline, attempts: 2, took: 1200 * ms,
			message: "retry: gave up after 2 attempts (deadline is too near): boom",
		},
		{
			name: "next attempt at the deadline", policy: Policy{Backoff: own}, deadline: 2200 * ms, errs: anyError,
			stop: StopDeadline, attempts: 2, took: 1200 * ms,
			message: "retry: gave up after 2 attempts (deadline is too near): boom",
		},
		{
			name: "next attempt just before the deadline", policy: Policy{Backoff: own}, deadline: 2200*ms + 1, errs: anyError,
			stop: StopCancelled, attempts: 3, took: 2200*ms + 1,
			message: "retry: gave up after 3 attempts (time is up): context deadline exceeded",
		},
		{
			name: "retry_after", policy: Policy{Backoff: own}, errs: []error{retryAfterError(2 * time.Minute)},
			stop: StopRetryAfter, attempts: 1, took: 100 * ms,
			message: "retry: gave up after 1 attempt (must wait too long): retry after 2m0s",
		},
		{
			name: "retry_after is shorter than own wait", policy: Policy{Backoff: own}, errs: []error{retryAfterError(900 * ms)},
			stop: StopAttempts, attempts: 3, took: 2300 * ms,
			message: "retry: gave up after 3 attempts: retry after 900ms",
		},
		{
			name: "retry_after beyond the deadline", policy: Policy{Backoff: own}, deadline: 5 * s, errs: []error{retryAfterError(10 * s)},
			stop: StopDeadline, attempts: 1, took: 100 * ms,
			message: "retry: gave up after 1 attempt (deadline is too near): retry after 10s",
		},
		{
			name: "cancelled during the first attempt", policy: Policy{Backoff: own}, cancel: 50 * ms, errs: anyError,
			stop: StopCancelled, attempts: 1, took: 50 * ms,
			message: "retry: gave up after 1 attempt (cancelled): caller hung up",
		},
		{
			name: "cancelled during the second attempt", policy: Policy{Backoff: own}, cancel: 1150 * ms, errs: anyError,
			stop: StopCancelled, attempts: 2, took: 1150 * ms,
			message: "retry: gave up after 2 attempts (cancelled): caller hung up",
		},
		{
			name: "cancelled during a deaf attempt", policy: Policy{Backoff: own}, cancel: 50 * ms, deaf: true, errs: anyError,
			stop: StopCancelled, attempts: 1, took: 100 * ms,
			message: "retry: gave up after 1 attempt (cancelled): caller hung up: boom",
		},
		{
			name: "cancelled during the last attempt", policy: Policy{MaxAttempts: 1}, cancel: 50 * ms, deaf: true, errs: anyError,
			stop: StopCancelled, attempts: 1, took: 100 * ms,
			message: "retry: gave up after 1 attempt (cancelled): caller hung up: boom",
		},
		{
			name: "cancelled during a wait", policy: Policy{Backoff: own}, cancel: 500 * ms, errs: anyError,
			stop: StopCancelled, attempts: 1, took: 500 * ms,
			message: "retry: gave up after 1 attempt (cancelled): caller hung up: boom",
		},
		{
			name: "cancelled during the second wait", policy: Policy{Backoff: own}, cancel: 2 * s, errs: anyError,
			stop: StopCancelled, attempts: 2, took: 2 * s,
			message: "retry: gave up after 2 attempts (cancelled): caller hung up: boom",
		},
		{
			name: "deadline during an attempt", policy: Policy{Backoff: own}, deadline: 50 * ms, errs: anyError,
			stop: StopCancelled, attempts: 1, took: 50 * ms,
			message: "retry: gave up after 1 attempt (time is up): context deadline exceeded",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				ctx, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				if tt.cancel > 0 {
					defer time.AfterFunc(tt.cancel, func() { cancel(hungUp) }).Stop()
				}
				if tt.budget != nil {
					tt.policy.Budget = tt.budget()
				}
				outcome, runs := ends(tt.errs...)
				var last error
				start := time.Now()
				err := tt.policy.Do(ctx, func(ctx context.Context) error {
					work := time.NewTimer(100 * ms)
					defer work.Stop()
					last = outcome(ctx)
					if tt.deaf {
						<-work.C
						return last
					}
					select {
					case <-work.C:
					case <-ctx.Done():
						last = ctx.Err()
					}
					return last
				})

				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if *runs != tt.attempts {
					t.Errorf("%d attempts, want %d", *runs, tt.attempts)
				}
				got, ok := errors.AsType[*Error](err)
				if !ok {
					t.Fatalf("err = %v (%T), want an *Error", err, err)
				}
				if got.Attempts != tt.attempts || got.Elapsed != tt.took || got.Stop != tt.stop {
					t.Errorf("err says %d attempts, %v, %q; want %d, %v, %q",
						got.Attempts, got.Elapsed, got.Stop, tt.attempts, tt.took, tt.stop)
				}
				if err.Error() != tt.message {
					t.Errorf("err = %q, want %q", err, tt.message)
				}
				if got.Err != last || !errors.Is(err, last) {
					t.Errorf("err wraps %v, want the last attempt's, %v", got.Err, last)
				}
				var cause error
				if tt.stop == StopCancelled {
					cause = context.Cause(ctx)
				}
				if got.Cause != cause || cause != nil && (!errors.Is(err, cause) || !errors.Is(err, ctx.Err())) {
					t.Errorf("err has cause %v, want %v and %v", got.Cause, cause, ctx.Err())
				}
			})
		})
	}
}

func TestPolicy_Succeeds(t *testing.T) {
	tests := []struct {
		name string
		errs []error
		took time.Duration
	}{
		{"first", []error{nil}, 0},
		{"second", []error{errBoom, nil}, time.Second},
		{"last", []error{errBoom, errBoom, nil}, 3 * time.Second},
		{"after a server's wait", []error{retryAfterError(500 * time.Millisecond), nil}, time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call, runs := ends(tt.errs...)
				start := time.Now()
				err := Policy{Backoff: Exponential(time.Second, time.Minute)}.Do(t.Context(), call)
				if took := time.Since(start); err != nil || took != tt.took || *runs != len(tt.errs) {
					t.Errorf("err = %v after %v and %d attempts, want nil after %v and %d", err, took, *runs, tt.took, len(tt.errs))
				}
			})
		})
	}
}

// A success that comes after the caller has gone is a success.
func TestPolicy_SucceedsLate(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := Policy{}.Do(ctx, func(context.Context) error { cancel(); return nil })
	if err != nil {
		t.Errorf("err = %v, want nil", err)
	}
}

func TestPolicy_ContextHasEnded(t *testing.T) {
	hungUp := errors.New("caller hung up")
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(hungUp)
	expired, cancelExpired := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancelExpired()
	inAttempt := &attemptContext{Context: cancelled, ordinal: 1}
	tests := []struct {
		name    string
		ctx     context.Context //nolint:containedctx // It is the case's input.
		cause   error
		message string
	}{
		{"cancelled", cancelled, hungUp, "retry: gave up after 0 attempts (cancelled): caller hung up"},
		{"expired", expired, context.DeadlineExceeded, "retry: gave up after 0 attempts (time is up): context deadline exceeded"},
		{"cancelled in an attempt", inAttempt, hungUp, "retry: gave up after 0 attempts (cancelled): caller hung up"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			call, runs := ends(nil)
			err := Policy{}.Do(tt.ctx, call)
			if *runs != 0 {
				t.Errorf("%d attempts, want 0", *runs)
			}
			if !errors.Is(err, tt.cause) || !errors.Is(err, tt.ctx.Err()) {
				t.Errorf("err = %v, want it to be %v and %v", err, tt.cause, tt.ctx.Err())
			}
			got, ok := errors.AsType[*Error](err)
			if !ok || got.Attempts != 0 || got.Elapsed != 0 || got.Stop != StopCancelled || got.Err != nil || err.Error() != tt.message {
				t.Errorf("err = %#v, want %q", err, tt.message)
			}
		})
	}
}

// What failed once, and was not to be repeated, comes back as it was.
func TestPolicy_SingleFailureIsUnwrapped(t *testing.T) {
	tests := []struct {
		name   string
		policy Policy
		err    error
	}{
		{"one attempt", Policy{MaxAttempts: 1}, errBoom},
		{"Permanent", Policy{}, Permanent(errBoom)},
		{"says no", Policy{}, retryableError(false)},
		{"Retryable says no", Policy{Retryable: func(error) bool { return false }}, errBoom},
		{"refused without a deadline", Policy{}, rejectedError(true)},
		{"empty sequence", Policy{Backoff: sequenceOf()}, errBoom},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			call, runs := ends(tt.err)
			if err := tt.policy.Do(t.Context(), call); err != tt.err || *runs != 1 {
				t.Errorf("err = %v after %d attempts, want %v after 1", err, *runs, tt.err)
			}
		})
	}
}

func TestPolicy_RetryableDecides(t *testing.T) {
	other := errors.New("other")
	p := Policy{
		MaxAttempts: 9,
		Backoff:     Constant(0),
		Retryable:   func(err error) bool { return errors.Is(err, errBoom) },
	}
	call, runs := ends(errBoom, fmt.Errorf("GET: %w", errBoom), other)
	err := p.Do(t.Context(), call)
	if got, ok := errors.AsType[*Error](err); !ok || got.Stop != StopPermanent || got.Err != other || *runs != 3 {
		t.Errorf("err = %v after %d attempts, want other, permanent, after 3", err, *runs)
	}
}

func TestAttempt(t *testing.T) {
	if got := Attempt(t.Context()); got != 0 {
		t.Errorf("outside of any attempt: %d, want 0", got)
	}
	type key struct{}
	var during, after []int
	var contexts []context.Context
	_ = Policy{MaxAttempts: 4, Backoff: Constant(0)}.Do(t.Context(), func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(context.WithValue(ctx, key{}, 0))
		defer cancel()
		during, contexts = append(during, Attempt(ctx)), append(contexts, ctx)
		return errBoom
	})
	for _, ctx := range contexts { // which whoever outlives its attempt still has
		after = append(after, Attempt(ctx))
	}
	if want := []int{1, 2, 3, 4}; !slices.Equal(during, want) || !slices.Equal(after, want) {
		t.Errorf("ordinals %v, and %v after the call; want %v", during, after, want)
	}
}

func TestPolicy_Nested(t *testing.T) {
	tests := []struct {
		name     string
		inner    Policy
		runs     int
		ordinals string
	}{
		{"makes one attempt", Policy{MaxAttempts: 4, Backoff: Constant(0)}, 3, "[1 2 3]"},
		{"multiplies if told to", Policy{MaxAttempts: 2, Backoff: Constant(0), Nested: true}, 6, "[1 2 1 2 1 2]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var ordinals []int
			err := Policy{Backoff: Constant(0)}.Do(t.Context(), func(ctx context.Context) error {
				return tt.inner.Do(ctx, func(ctx context.Context) error {
					ordinals = append(ordinals, Attempt(ctx))
					return errBoom
				})
			})
			if got := fmt.Sprint(ordinals); len(ordinals) != tt.runs || got != tt.ordinals {
				t.Errorf("%d attempts, %v; want %d, %v", len(ordinals), got, tt.runs, tt.ordinals)
			}
			if !errors.Is(err, errBoom) {
				t.Errorf("err = %v, want boom", err)
			}
		})
	}
}

// The inner of two policies adds nothing to the error, and its budget is still
// paid by successes.
func TestPolicy_NestedPassesThrough(t *testing.T) {
	b := NewBudget(BudgetConfig{})
	b.Withdraw()
	before := b.Balance()
	ctx := &attemptContext{Context: t.Context(), ordinal: 2}
	for _, want := range []error{errBoom, Permanent(errBoom), nil} {
		call, runs := ends(want)
		if err := (Policy{Budget: b}).Do(ctx, call); err != want || *runs != 1 {
			t.Errorf("err = %v after %d attempts, want %v after 1", err, *runs, want)
		}
	}
	if got, want := b.Balance(), before+DefaultRatio; got != want {
		t.Errorf("balance %v, want %v: paid by one success", got, want)
	}
}

func TestPolicy_Backoff(t *testing.T) {
	// v5 and later have an interface of their own with the same methods.
	type backOffOfAnotherVersion interface {
		NextBackOff() time.Duration
		Reset()
	}
	var another backOffOfAnotherVersion = &sequence{waits: []time.Duration{time.Second, 2 * time.Second}}
	used := &sequence{waits: []time.Duration{time.Second, 2 * time.Second}, n: 2}
	tests := []struct {
		name    string
		backoff func() backoff.BackOff
		want    string
	}{
		{"v4 exponential", func() backoff.BackOff {
			return backoff.NewExponentialBackOff(backoff.WithRandomizationFactor(0), backoff.WithInitialInterval(time.Second))
		}, "[0s 1s 2.5s 4.75s]"},
		{"v4 constant", func() backoff.BackOff { return backoff.NewConstantBackOff(time.Second) }, "[0s 1s 2s 3s]"},
		{"v4 zero", func() backoff.BackOff { return new(backoff.ZeroBackOff) }, "[0s 0s 0s 0s]"},
		{"v4 stop", func() backoff.BackOff { return new(backoff.StopBackOff) }, "[0s]"},
		{"v4 max retries", func() backoff.BackOff {
			return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Second), 2)
		}, "[0s 1s 2s]"},
		{"v4 elapsed time", func() backoff.BackOff { return doubling(backoff.WithMaxElapsedTime(4 * time.Second)) }, "[0s 1s 3s]"},
		{"another version's", func() backoff.BackOff { return another }, "[0s 1s 3s]"},
		{"used before, hence reset", func() backoff.BackOff { return used }, "[0s 1s 3s]"},
		{"own sequence", Exponential(time.Second, 3*time.Second), "[0s 1s 3s 6s]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				call, ran := times()
				_ = Policy{MaxAttempts: 4, Backoff: tt.backoff}.Do(t.Context(), call)
				if got := fmt.Sprint(*ran); got != tt.want {
					t.Errorf("attempts at %v, want %v", got, tt.want)
				}
			})
		})
	}
	if used.resets != 1 {
		t.Errorf("reset %d times, want once", used.resets)
	}
}

// The zero policy waits as FullJitter does by default.
func TestPolicy_DefaultBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for range 100 {
			call, ran := times()
			_ = Policy{}.Do(t.Context(), call)
			if len(*ran) != 3 {
				t.Fatalf("%d attempts, want 3", len(*ran))
			}
			first, second := (*ran)[1], (*ran)[2]-(*ran)[1]
			if first < DefaultBase/10 || first > DefaultBase || second < DefaultBase/10 || second > 2*DefaultBase {
				t.Errorf("waited %v and %v, want %v to %v and twice as much", first, second, DefaultBase/10, DefaultBase)
			}
		}
	})
}

func TestPolicy_BackoffIsCalledOncePerFailingCall(t *testing.T) {
	tests := []struct {
		name   string
		policy Policy
		errs   []error
		want   int
	}{
		{"success", Policy{}, []error{nil}, 0},
		{"rescued", Policy{}, []error{errBoom, errBoom, nil}, 1},
		{"exhausted", Policy{}, []error{errBoom}, 1},
		{"permanent", Policy{}, []error{Permanent(errBoom)}, 0},
		{"one attempt", Policy{MaxAttempts: 1}, []error{errBoom}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			made := 0
			tt.policy.Backoff = func() backoff.BackOff { made++; return new(backoff.ZeroBackOff) }
			call, _ := ends(tt.errs...)
			_ = tt.policy.Do(t.Context(), call)
			if made != tt.want {
				t.Errorf("Backoff was called %d times, want %d", made, tt.want)
			}
		})
	}
}

func TestPolicy_BackoffReturnsNil(t *testing.T) {
	call, runs := ends(errBoom)
	err := Policy{Backoff: func() backoff.BackOff { return nil }}.Do(t.Context(), call)
	if *runs != 1 || !errors.Is(err, errBoom) || !strings.HasPrefix(err.Error(), "retry: Backoff returned nil") {
		t.Errorf("err = %v after %d attempts, want the mistake and boom after 1", err, *runs)
	}
}

// A mistake in the program is told as such, runs nothing, and no retry further
// out repeats it.
func TestPolicy_Check(t *testing.T) {
	bad := NewBudget(BudgetConfig{Name: "b", Ratio: 2})
	key := func(context.Context) string { return "" }
	tests := []struct {
		policy Policy
		want   string
	}{
		{Policy{MaxAttempts: -1}, "retry: MaxAttempts is -1, must not be negative"},
		{Policy{MaxRetryAfter: -1}, "retry: MaxRetryAfter is -1ns, must not be negative"},
		{Policy{RestartWait: -1}, "retry: RestartWait is -1ns, must not be negative"},
		{
			Policy{Budget: NewBudget(BudgetConfig{}), Budgets: NewBudgetGroup(BudgetGroupConfig{Key: key})},
			"retry: Budget and Budgets are both set, want at most one",
		},
		{Policy{Budget: bad}, `retry: budget "b": Ratio is 2, must be above 0 and at most 1`},
		{Policy{Budget: new(Budget)}, "retry: Budget is zero, must be made with NewBudget"},
		{Policy{Budgets: NewBudgetGroup(BudgetGroupConfig{})}, "retry: budget group: Key is nil, must be a function"},
		{Policy{Budgets: new(BudgetGroup)}, "retry: BudgetGroup is zero, must be made with NewBudgetGroup"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if err := tt.policy.Check(); err == nil || err.Error() != tt.want {
				t.Errorf("Check() = %v, want %s", err, tt.want)
			}
			call, runs := ends(nil)
			if err := tt.policy.Do(t.Context(), call); err == nil || err.Error() != tt.want || *runs != 0 {
				t.Errorf("Do = %v after %d attempts, want %s after none", err, *runs, tt.want)
			}
			tried := 0
			err := Policy{}.Do(t.Context(), func(ctx context.Context) error {
				tried++
				return tt.policy.Do(ctx, call)
			})
			if err == nil || err.Error() != tt.want || tried != 1 {
				t.Errorf("inside of another: %v after %d attempts, want %s after 1", err, tried, tt.want)
			}
		})
	}
	for _, p := range []Policy{{}, {MaxAttempts: 1}, {Budget: NewBudget(BudgetConfig{})}} {
		if err := p.Check(); err != nil {
			t.Errorf("Check() of %+v = %v, want nil", p, err)
		}
	}
}

func TestPolicy_BadArguments(t *testing.T) {
	call, runs := ends(nil)
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"nil context", Policy{}.Do(nil, call), "redoubt: context is nil"}, //nolint:staticcheck // That is the test.
		{"nil call", Policy{}.Do(t.Context(), nil), "redoubt: call is nil"},
	}
	for _, tt := range tests {
		if tt.err == nil || tt.err.Error() != tt.want {
			t.Errorf("%s: err = %v, want %s", tt.name, tt.err, tt.want)
		}
	}
	if *runs != 0 {
		t.Errorf("%d attempts, want 0", *runs)
	}
}

func TestPolicy_Explain(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	type waits struct{ least, most, asked time.Duration }
	tests := []struct {
		name   string
		policy Policy
		facts  explain.Facts
		waits  waits
	}{
		{
			"zero: 100 and 200 ms, or ten times that of a dependency that is throttled",
			Policy{},
			explain.Facts{MaxAttempts: 3},
			waits{20 * ms, 3 * s, 132 * s},
		},
		{
			"nested, budget",
			Policy{MaxAttempts: 2, Nested: true, Budget: NewBudget(BudgetConfig{})},
			explain.Facts{MaxAttempts: 2, Nested: true, Budgeted: true},
			waits{10 * ms, s, 66 * s},
		},
		{
			"budgets, refusals",
			Policy{MaxAttempts: 2, AwaitRefusals: true, Budgets: NewBudgetGroup(BudgetGroupConfig{})},
			explain.Facts{MaxAttempts: 2, AwaitsRefusals: true, Budgeted: true},
			waits{10 * ms, s, 66 * s},
		},
		{"one attempt", Policy{MaxAttempts: 1}, explain.Facts{MaxAttempts: 1}, waits{}},
		{"senseless", Policy{MaxAttempts: -1}, explain.Facts{MaxAttempts: -1}, waits{}},
		{
			"asked for no longer than it waits anyway",
			Policy{MaxAttempts: 4, MaxRetryAfter: s, Backoff: Exponential(s, 10*s)},
			explain.Facts{MaxAttempts: 4, MaxRetryAfter: s},
			waits{7 * s, 7 * s, 7*s + s/10},
		},
		{
			"capped",
			Policy{MaxAttempts: 6, MaxRetryAfter: 1, Backoff: EqualJitter(s, 4*s)},
			explain.Facts{MaxAttempts: 6, MaxRetryAfter: 1},
			waits{15 * s / 2, 15 * s, 15 * s},
		},
		{
			"decorrelated",
			Policy{MaxAttempts: 4, MaxRetryAfter: 1, Backoff: Decorrelated(s, 20*s)},
			explain.Facts{MaxAttempts: 4, MaxRetryAfter: 1},
			waits{3 * s, 32 * s, 32 * s},
		},
		{
			"constant",
			Policy{MaxAttempts: 3, MaxRetryAfter: 1, Backoff: Constant(s)},
			explain.Facts{MaxAttempts: 3, MaxRetryAfter: 1},
			waits{2 * s, 2 * s, 2 * s},
		},
		{
			"constant, and restarts",
			Policy{MaxAttempts: 3, MaxRetryAfter: 1, Backoff: Constant(s), RestartWait: s},
			explain.Facts{MaxAttempts: 3, MaxRetryAfter: 1},
			waits{2 * s, 4 * s, 4 * s},
		},
		{"backoff's own", Policy{MaxAttempts: 3, MaxRetryAfter: 1, Backoff: func() backoff.BackOff {
			return backoff.NewExponentialBackOff(backoff.WithInitialInterval(s))
		}}, explain.Facts{MaxAttempts: 3, MaxRetryAfter: 1}, waits{s/2 + 3*s/4, s*3/2 + s*9/4, s*3/2 + s*9/4}},
		{
			"backoff.ZeroBackOff",
			Policy{MaxAttempts: 3, MaxRetryAfter: s, Backoff: func() backoff.BackOff { return &backoff.ZeroBackOff{} }},
			explain.Facts{MaxAttempts: 3, MaxRetryAfter: s},
			waits{0, 0, 2 * (s + s/10)},
		},
		{
			"a stranger",
			Policy{Backoff: func() backoff.BackOff { return stranger{} }},
			explain.Facts{MaxAttempts: 3},
			waits{0, explain.Unbounded, explain.Unbounded},
		},
		{
			"none",
			Policy{Backoff: func() backoff.BackOff { return nil }},
			explain.Facts{MaxAttempts: 3},
			waits{0, explain.Unbounded, explain.Unbounded},
		},
		{
			"a million attempts",
			Policy{MaxAttempts: 1_000_001, MaxRetryAfter: 1, Backoff: Exponential(s, s)},
			explain.Facts{MaxAttempts: 1_000_001, MaxRetryAfter: 1},
			waits{1_000_000 * s, 1_000_000 * s, 1_000_000 * s},
		},
		{
			"longer than a Duration",
			Policy{MaxAttempts: math.MaxInt, Backoff: Constant(s)},
			explain.Facts{MaxAttempts: math.MaxInt},
			waits{math.MaxInt64, math.MaxInt64, math.MaxInt64},
		},
		{"slow growth", Policy{MaxAttempts: 102, MaxRetryAfter: 1, Backoff: func() backoff.BackOff {
			return backoff.NewExponentialBackOff(backoff.WithInitialInterval(s), backoff.WithMultiplier(1), backoff.WithRandomizationFactor(0))
		}}, explain.Facts{MaxAttempts: 102, MaxRetryAfter: 1}, waits{101 * s, 101 * s, 101 * s}},
	}
	for _, tt := range tests {
		want := tt.facts
		want.Kind = explain.Retry
		want.LeastWaits, want.MostWaits, want.AskedWaits = tt.waits.least, tt.waits.most, tt.waits.asked
		if want.MaxRetryAfter == 0 {
			want.MaxRetryAfter = DefaultMaxRetryAfter
		}
		if got := tt.policy.Explain(); got != want {
			t.Errorf("%s: Explain() = %+v, want %+v", tt.name, got, want)
		}
	}
}

type stranger struct{ backoff.BackOff }

// What a policy draws keeps to the bounds that it tells.
func TestPolicy_Explain_HoldsDraws(t *testing.T) {
	for name, maker := range map[string]func() backoff.BackOff{
		"FullJitter":   FullJitter(time.Second, time.Minute),
		"EqualJitter":  EqualJitter(time.Second, time.Minute),
		"Decorrelated": Decorrelated(time.Second, time.Minute),
		"Exponential":  Exponential(time.Second, time.Minute),
		"backoff's":    func() backoff.BackOff { return backoff.NewExponentialBackOff() },
	} {
		p := Policy{MaxAttempts: 12, Backoff: maker}
		facts := p.Explain()
		for range 1000 {
			var sum time.Duration
			waits := maker()
			for range p.MaxAttempts - 1 {
				sum += waits.NextBackOff()
			}
			if sum < facts.LeastWaits || sum > facts.MostWaits {
				t.Errorf("%s: waits come to %v, want from %v to %v", name, sum, facts.LeastWaits, facts.MostWaits)
			}
		}
	}
}

func TestPolicy_PanicPasses(t *testing.T) {
	for attempt := 1; attempt <= 2; attempt++ {
		value := new(int)
		runs := 0
		func() {
			defer func() {
				if got := recover(); got != value {
					t.Errorf("attempt %d: recovered %v, want what the call panicked with", attempt, got)
				}
			}()
			_ = Policy{Backoff: Constant(0)}.Do(t.Context(), func(context.Context) error {
				if runs++; runs == attempt {
					panic(value)
				}
				return errBoom
			})
		}()
		if runs != attempt {
			t.Errorf("%d attempts, want %d", runs, attempt)
		}
	}
}

func TestPolicy_GoexitPasses(t *testing.T) {
	runs, returned := 0, false
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = Policy{Backoff: Constant(0)}.Do(t.Context(), func(context.Context) error {
			if runs++; runs == 2 {
				runtime.Goexit()
			}
			return errBoom
		})
		returned = true
	})
	wg.Wait()
	if returned || runs != 2 {
		t.Errorf("returned: %t after %d attempts, want the goroutine to exit in attempt 2", returned, runs)
	}
}

// One policy, one budget, many callers; the race detector looks on.
func TestPolicy_Concurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers, calls = 50, 20
		budget := NewBudget(BudgetConfig{Burst: 1000, Ratio: 1})
		p := Policy{MaxAttempts: 4, Budget: budget}
		var rescued, attempts atomic.Int64
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() {
				for n := range calls {
					failures := n % 4
					err := p.Do(t.Context(), func(ctx context.Context) error {
						attempts.Add(1)
						if got := Attempt(ctx); got <= failures {
							return errBoom
						}
						return nil
					})
					if err == nil {
						rescued.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if got, want := rescued.Load(), int64(callers*calls); got != want {
			t.Errorf("%d calls succeeded, want %d", got, want)
		}
		if got, want := attempts.Load(), int64(callers*calls*5/2); got != want {
			t.Errorf("%d attempts, want %d", got, want)
		}
	})
}

// What one policy has used up of a shared budget, another can't.
func TestPolicy_BudgetIsShared(t *testing.T) {
	budget := NewBudget(BudgetConfig{Burst: 3, Ratio: .5, MinPerSecond: NoFloor})
	one := Policy{MaxAttempts: 3, Budget: budget, Backoff: Constant(0)}
	two := Policy{MaxAttempts: 10, Budget: budget, Backoff: Constant(0)}
	steps := []struct {
		policy   Policy
		err      error
		attempts int
		balance  float64
	}{
		{one, errBoom, 3, 1},
		{two, errBoom, 2, 0},
		{one, errBoom, 1, 0},
		{one, nil, 1, .5},
		{two, errBoom, 1, .5},
		{two, nil, 1, 1},
		{one, Permanent(errBoom), 1, 1},
		{one, errBoom, 2, 0},
	}
	for i, step := range steps {
		call, runs := ends(step.err)
		_ = step.policy.Do(t.Context(), call)
		if got := budget.Balance(); *runs != step.attempts || got != step.balance {
			t.Errorf("step %d: %d attempts, balance %v; want %d, %v", i, *runs, got, step.attempts, step.balance)
		}
	}
}

func TestPolicy_BudgetPerKey(t *testing.T) {
	type host struct{}
	p := Policy{
		Backoff: Constant(0),
		Budgets: NewBudgetGroup(BudgetGroupConfig{
			Budget: BudgetConfig{Burst: 1, MinPerSecond: NoFloor},
			Key:    func(ctx context.Context) string { return ctx.Value(host{}).(string) },
		}),
	}
	for _, step := range []struct {
		host string
		want int
	}{{"a", 2}, {"a", 1}, {"b", 2}, {"a", 1}, {"b", 1}} {
		call, runs := ends(errBoom)
		_ = p.Do(context.WithValue(t.Context(), host{}, step.host), call)
		if *runs != step.want {
			t.Errorf("host %s: %d attempts, want %d", step.host, *runs, step.want)
		}
	}
}

func TestPolicy_Logger(t *testing.T) {
	empty := NewBudget(BudgetConfig{Burst: 1, MinPerSecond: NoFloor})
	empty.Withdraw()
	tests := []struct {
		name   string
		policy Policy
		errs   []error
		want   string
	}{
		{"success", Policy{}, []error{nil}, ""},
		{"rescued", Policy{}, []error{errBoom, nil}, ""},
		{"one attempt", Policy{MaxAttempts: 1}, []error{errBoom}, ""},
		{"permanent", Policy{}, []error{Permanent(errBoom)}, ""},
		{"permanent at last", Policy{}, []error{errBoom, Permanent(errBoom)}, ""},
		{
			"attempts",
			Policy{},
			[]error{errBoom},
			"level=WARN msg=\"retry: gave up\" attempts=3 elapsed=2s reason=attempts error=boom\n",
		},
		{
			"budget",
			Policy{Budget: empty},
			[]error{errBoom},
			"level=WARN msg=\"retry: gave up\" attempts=1 elapsed=0s reason=budget error=boom\n",
		},
		{
			"retry_after",
			Policy{},
			[]error{errBoom, retryAfterError(time.Hour)},
			"level=WARN msg=\"retry: gave up\" attempts=2 elapsed=1s reason=retry_after error=\"retry after 1h0m0s\"\n",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log strings.Builder
				tt.policy.Logger = logger(&log)
				tt.policy.Backoff = Constant(time.Second)
				call, _ := ends(tt.errs...)
				_ = tt.policy.Do(t.Context(), call)
				if got := log.String(); got != tt.want {
					t.Errorf("log = %q, want %q", got, tt.want)
				}
			})
		})
	}
	t.Run("cancelled", func(t *testing.T) {
		var log strings.Builder
		ctx, cancel := context.WithCancel(t.Context())
		_ = Policy{Logger: logger(&log)}.Do(ctx, func(context.Context) error { cancel(); return errBoom })
		_ = Policy{Logger: logger(&log)}.Do(ctx, func(context.Context) error { return errBoom })
		if got := log.String(); got != "" {
			t.Errorf("log = %q, want silence", got)
		}
	})
}

// However the waits and the deadline fall: a call that fails at once never
// sleeps into the deadline.
func TestPolicy_NeverSleepsIntoTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(3, 4))
		stopped := 0
		for range 1000 {
			deadline := time.Duration(rnd.Int64N(int64(10 * time.Second)))
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			start := time.Now()
			err := Policy{MaxAttempts: 5, Backoff: FullJitter(time.Second, 4*time.Second)}.Do(ctx, func(ctx context.Context) error {
				if ctx.Err() != nil {
					t.Error("an attempt began after the deadline")
				}
				return errBoom
			})
			if took := time.Since(start); took >= deadline && deadline > 0 {
				t.Errorf("took %v of %v", took, deadline)
			}
			if e, ok := errors.AsType[*Error](err); ok && e.Stop == StopDeadline {
				stopped++
			}
			cancel()
		}
		if stopped < 100 {
			t.Errorf("%d calls stopped for the deadline, want 100 at least", stopped)
		}
	})
}

// A retry that the floor granted, and that a cancelled wait kept from being made,
// was lost: the next caller of a budget that is empty had to wait for a second.
func TestPolicy_CancelledWaitGivesTheFloorBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(BudgetConfig{Burst: 1})
		b.Withdraw()
		time.Sleep(time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		p := Policy{Budget: b, Backoff: Constant(time.Second)}
		if _, ok := errors.AsType[*Error](p.Do(ctx, func(context.Context) error { return errBoom })); !ok {
			t.Fatal("the call was not to be retried at all")
		}
		if !b.Withdraw() {
			t.Error("the budget refuses a retry in place of the one that was not made")
		}
		if b.Withdraw() || b.Balance() != 0 {
			t.Errorf("the budget grants two, or has a balance of %v", b.Balance())
		}
	})
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var timer pause
		for _, wait := range []time.Duration{0, -1, time.Second, time.Minute, time.Second} {
			start := time.Now()
			if ok, took := timer.sleep(ctx, wait), time.Since(start); !ok || took != max(wait, 0) {
				t.Errorf("sleep(%v) = %t after %v", wait, ok, took)
			}
		}
		cancel()
		for _, wait := range []time.Duration{0, time.Second} {
			start := time.Now()
			if ok, took := timer.sleep(ctx, wait), time.Since(start); ok || took != 0 {
				t.Errorf("sleep(%v) on an ended context = %t after %v", wait, ok, took)
			}
		}
	})
}

// What a call costs. The one allocation of a success is the context that
// carries the ordinal of the attempt.
func TestPolicy_Allocs(t *testing.T) {
	ctx := t.Context()
	budget := NewBudget(BudgetConfig{Burst: 1e9})
	p := Policy{Budget: budget, Backoff: Constant(0)}
	runs := 0
	tests := []struct {
		name string
		call func(context.Context) error
		want float64
	}{
		{"success", func(context.Context) error { return nil }, 1},
		{"two failures, then success", func(context.Context) error {
			if runs++; runs%3 == 0 {
				return nil
			}
			return errBoom
		}, 4},
	}
	for _, tt := range tests {
		got := testing.AllocsPerRun(100, func() {
			if err := p.Do(ctx, tt.call); err != nil {
				t.Fatal(err)
			}
		})
		if got > tt.want {
			t.Errorf("%s: %v allocations, want %v at most", tt.name, got, tt.want)
		}
	}
}

func TestError(t *testing.T) {
	cause := errors.New("caller hung up")
	tests := []struct {
		err    *Error
		want   string
		unwrap []error
	}{
		{&Error{Attempts: 4, Stop: StopAttempts, Err: errBoom}, "retry: gave up after 4 attempts: boom", []error{errBoom}},
		{&Error{Attempts: 1, Stop: StopBudget, Err: errBoom}, "retry: gave up after 1 attempt (retry budget is empty): boom", []error{errBoom}},
		{&Error{Attempts: 2, Stop: StopDeadline, Err: errBoom}, "retry: gave up after 2 attempts (deadline is too near): boom", []error{errBoom}},
		{&Error{Attempts: 2, Stop: StopRetryAfter, Err: errBoom}, "retry: gave up after 2 attempts (must wait too long): boom", []error{errBoom}},
		{&Error{Attempts: 2, Stop: StopPermanent, Err: errBoom}, "retry: gave up after 2 attempts (not to be retried): boom", []error{errBoom}},
		{
			&Error{Attempts: 2, Stop: StopCancelled, Err: errBoom, Cause: cause, done: context.Canceled},
			"retry: gave up after 2 attempts (cancelled): caller hung up: boom",
			[]error{errBoom, cause, context.Canceled},
		},
		{
			&Error{Attempts: 1, Stop: StopCancelled, Err: context.Canceled, Cause: context.Canceled, done: context.Canceled},
			"retry: gave up after 1 attempt (cancelled): context canceled",
			[]error{context.Canceled, context.Canceled, context.Canceled},
		},
		{
			&Error{Attempts: 1, Stop: StopCancelled, Err: context.Canceled, Cause: cause, done: context.Canceled},
			"retry: gave up after 1 attempt (cancelled): caller hung up",
			[]error{context.Canceled, cause, context.Canceled},
		},
		{&Error{Stop: StopCancelled, Cause: cause, done: context.Canceled}, "retry: gave up after 0 attempts (cancelled): caller hung up", []error{cause, context.Canceled}},
		{&Error{}, "retry: gave up after 0 attempts", nil},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("Error() = %q, want %q", got, tt.want)
			}
			if got := tt.err.Unwrap(); !slices.Equal(got, tt.unwrap) {
				t.Errorf("Unwrap() = %v, want %v", got, tt.unwrap)
			}
		})
	}
}

// Errors that can't be compared are no trap for the text.
func TestError_Incomparable(t *testing.T) {
	bad := incomparableError{"boom"}
	err := &Error{Attempts: 1, Stop: StopCancelled, Err: bad, Cause: bad, done: context.Canceled}
	if got, want := err.Error(), "retry: gave up after 1 attempt (cancelled): [boom]"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

type incomparableError []string

func (e incomparableError) Error() string { return fmt.Sprint([]string(e)) }

func TestPermanent(t *testing.T) {
	if err := Permanent(nil); err != nil {
		t.Errorf("Permanent(nil) = %v, want nil", err)
	}
	err := Permanent(fmt.Errorf("GET: %w", errBoom))
	if got := err.Error(); got != "GET: boom" || !errors.Is(err, errBoom) {
		t.Errorf("Permanent changed the error to %q, or hides what it wraps", got)
	}
	if says, ok := errors.AsType[interface {
		error
		Retryable() bool
	}](fmt.Errorf("billing: %w", err)); !ok || says.Retryable() {
		t.Error("the mark is not seen through wrapping")
	}
}

// TestPolicy_CancelledWaitCostsNothing: a retry that was granted and never made
// is paid back, unless the floor granted it.
func TestPolicy_CancelledWaitCostsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(BudgetConfig{Burst: 10, MinPerSecond: NoFloor})
		p := Policy{Backoff: Constant(time.Hour), Budget: budget}
		for range 10 {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(time.Second, cancel)
			if err := p.Do(ctx, func(context.Context) error { return errBoom }); !errors.Is(err, context.Canceled) {
				t.Fatalf("err = %v, want Canceled", err)
			}
		}
		if got := budget.Balance(); got != 10 {
			t.Errorf("balance after ten cancelled waits is %v, want 10", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		budget := NewBudget(BudgetConfig{Burst: 1})
		budget.Withdraw()
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := Policy{Backoff: Constant(time.Minute), Budget: budget}.Do(ctx, func(context.Context) error { return errBoom })
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("err = %v, want Canceled", err)
		}
		if got := budget.Balance(); got != 0 {
			t.Errorf("balance after a wait that the floor granted is %v, want 0", got)
		}
	})
}
