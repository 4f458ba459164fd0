package breaker

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"
)

func TestOpenError_Error(t *testing.T) {
	counts := Counts{Successes: 9, Failures: 11, Slow: 5, Consecutive: 3}
	tests := []struct {
		err  OpenError
		want string
	}{
		{OpenError{Name: "billing", State: Open, Reason: ReasonFailureRatio, Counts: counts}, "breaker: billing is open (11 of 25 calls failed)"},
		{OpenError{Name: "billing", State: Open, Reason: ReasonSlowRatio, Counts: counts, Cause: errSlow}, "breaker: billing is open (5 of 25 calls were slow), last: breaker: call is too slow"},
		{OpenError{Name: "billing", State: Open, Reason: ReasonConsecutive, Counts: counts, Cause: errDown}, "breaker: billing is open (3 failures in a row), last: down"},
		{OpenError{Name: "billing", State: HalfOpen, Reason: ReasonConsecutive, Counts: counts, Cause: errDown}, "breaker: billing is half-open (3 failures in a row), last: down"},
		{OpenError{Name: "billing", State: Open, Reason: ReasonProbeFailed, Cause: errDown}, "breaker: billing is open (a probe failed), last: down"},
		{OpenError{Name: "billing", State: Open, Reason: ReasonProbeTimeout, Cause: errProbeTimeout}, "breaker: billing is open (a probe hung), last: breaker: probe did not return in time"},
		{OpenError{Name: "billing", State: Open, Reason: ReasonForced}, "breaker: billing is open (forced)"},
		{OpenError{Name: "billing", Key: "a.example", State: Open, Reason: ReasonForced}, "breaker: billing a.example is open (forced)"},
		{OpenError{Name: "billing", State: Open}, "breaker: billing is open"},
	}
	for _, tt := range tests {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
}

// TestOpenError holds what a caller, a retry and an outer breaker are told.
func TestOpenError(t *testing.T) {
	tests := []struct {
		name        string
		refuse      func(*Breaker)
		unwraps     error
		errorType   string
		retryAfter  time.Duration
		known       bool
		retryable   bool
		otherwise   error // of gobreaker's two errors, that which it is not
		wantedCause error
	}{
		{
			name:       "open",
			refuse:     func(b *Breaker) { b.Do(context.Background(), fail) },
			unwraps:    gobreaker.ErrOpenState,
			otherwise:  gobreaker.ErrTooManyRequests,
			errorType:  "breaker_open",
			retryAfter: time.Second, known: true, retryable: true,
			wantedCause: errDown,
		},
		{
			name: "half-open",
			refuse: func(b *Breaker) {
				b.Do(context.Background(), fail)
				time.Sleep(time.Second)
				go b.Do(context.Background(), takes(time.Second, nil))
				synctest.Wait()
			},
			unwraps:     gobreaker.ErrTooManyRequests,
			otherwise:   gobreaker.ErrOpenState,
			errorType:   "breaker_half_open",
			retryable:   true,
			wantedCause: errDown,
		},
		{
			name:      "forced open",
			refuse:    func(b *Breaker) { b.ForceOpen() },
			unwraps:   gobreaker.ErrOpenState,
			otherwise: gobreaker.ErrTooManyRequests,
			errorType: "breaker_open",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTest(t, Config{})
				tt.refuse(b)
				err := b.Do(t.Context(), succeed)
				wrapped := fmt.Errorf("attempt 2: %w", err)
				for _, want := range []error{ErrOpen, tt.unwraps} {
					wantErr(t, err, want)
					wantErr(t, wrapped, want)
				}
				for _, not := range []error{tt.otherwise, errDown} {
					if errors.Is(err, not) {
						t.Errorf("errors.Is(%v, %v) = true, want false", err, not)
					}
				}
				refusal, ok := errors.AsType[*OpenError](wrapped)
				if !ok {
					t.Fatalf("no OpenError in %v", wrapped)
				}
				if got, known := refusal.RetryAfter(); got != tt.retryAfter || known != tt.known {
					t.Errorf("RetryAfter() = %v, %v, want %v, %v", got, known, tt.retryAfter, tt.known)
				}
				if got := refusal.Retryable(); got != tt.retryable {
					t.Errorf("Retryable() = %v, want %v", got, tt.retryable)
				}
				if got := refusal.ErrorType(); got != tt.errorType {
					t.Errorf("ErrorType() = %q, want %q", got, tt.errorType)
				}
				if !errors.Is(refusal.Cause, tt.wantedCause) {
					t.Errorf("Cause = %v, want %v", refusal.Cause, tt.wantedCause)
				}
				if !refusal.Rejected() {
					t.Error("Rejected() = false, want true")
				}
				if got := DefaultClassify(wrapped); got != Ignored {
					t.Errorf("a breaker further out takes it for %v, want %v", got, Ignored)
				}
				time.Sleep(2 * time.Second)
				if got, known := refusal.RetryAfter(); got != 0 || known != tt.known {
					t.Errorf("RetryAfter() = %v, %v after the cooldown, want 0, %v", got, known, tt.known)
				}
			})
		})
	}
}

// TestOpenError_Shared holds that a refusal costs no memory: all that are
// refused in one period get one error.
func TestOpenError_Shared(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		refuse func(b *Breaker, end <-chan struct{})
	}{
		{"open", Config{Cooldown: time.Hour}, func(b *Breaker, _ <-chan struct{}) {
			b.Do(context.Background(), fail)
		}},
		{"open, slowness counts", Config{Cooldown: time.Hour, Window: time.Minute, SlowCall: time.Minute, Consecutive: 1}, func(b *Breaker, _ <-chan struct{}) {
			b.Do(context.Background(), fail)
		}},
		{"forced", Config{}, func(b *Breaker, _ <-chan struct{}) { b.ForceOpen() }},
		{"half-open", Config{Cooldown: time.Millisecond}, func(b *Breaker, end <-chan struct{}) {
			b.Do(context.Background(), fail)
			time.Sleep(time.Millisecond)
			go b.Do(context.Background(), func(context.Context) error {
				<-end
				return nil
			})
			synctest.Wait()
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTest(t, tt.config)
				end := make(chan struct{})
				defer close(end)
				tt.refuse(b, end)
				first := wantRefused(t, b)
				ctx := t.Context()
				if got := testing.AllocsPerRun(100, func() {
					if err := b.Do(ctx, succeed); err != error(first) {
						t.Errorf("err = %v, want the one of the first refusal, %v", err, first)
					}
				}); got != 0 {
					t.Errorf("a refusal makes %v allocations, want none", got)
				}
			})
		})
	}
}
