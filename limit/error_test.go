package limit

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func TestError(t *testing.T) {
	tests := []struct {
		err       Error
		want      string
		errorType string
		retryable bool
	}{
		{Error{Reason: ReasonReached, Limit: 3, InFlight: 3}, "limit: 3 of 3 calls are under way", "limit_reached", true},
		{Error{Name: "billing", Reason: ReasonReached, Limit: 3, InFlight: 5}, "limit: billing: 5 of 3 calls are under way", "limit_reached", true},
		{Error{Name: "billing", Key: "a.example", Reason: ReasonQueueFull, Limit: 3, InFlight: 3, Waiting: 7}, "limit: billing a.example: 3 of 3 calls are under way, 7 wait", "limit_queue_full", true},
		{Error{Name: "billing", Reason: ReasonQueueFull, Limit: 3, InFlight: 3, Waiting: 7, Waited: time.Second}, "limit: billing: waited 1s, 3 of 3 calls are under way, 7 wait", "limit_queue_full", true},
		{Error{Key: "a.example", Reason: ReasonWait, Limit: 3, InFlight: 3, Waited: time.Second}, "limit: a.example: waited 1s, 3 of 3 calls are under way", "limit_wait", true},
		{Error{Reason: ReasonWait, Limit: 3, InFlight: 3, Waited: time.Second, cause: context.DeadlineExceeded}, "limit: waited 1s, 3 of 3 calls are under way: context deadline exceeded", "limit_wait", true},
		{Error{Reason: ReasonCancelled, Limit: 3, InFlight: 3, Waited: time.Second, cause: context.Canceled}, "limit: waited 1s, 3 of 3 calls are under way: context canceled", "limit_cancelled", false},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("Error() = %q, want %q", got, tt.want)
			}
			if got := tt.err.ErrorType(); got != tt.errorType {
				t.Errorf("ErrorType() = %q, want %q", got, tt.errorType)
			}
			if got := tt.err.Retryable(); got != tt.retryable {
				t.Errorf("Retryable() = %t, want %t", got, tt.retryable)
			}
			if !tt.err.Rejected() {
				t.Error("Rejected() = false, want true")
			}
			wrapped := fmt.Errorf("attempt 2: %w", &tt.err)
			if !errors.Is(wrapped, ErrLimited) || tt.err.cause != nil && !errors.Is(wrapped, tt.err.cause) {
				t.Errorf("%v is not ErrLimited, or not %v", wrapped, tt.err.cause)
			}
			if errors.Is(wrapped, errDown) {
				t.Errorf("%v is an error that it has never seen", wrapped)
			}
		})
	}
}

// TestError_Shared holds that a refusal costs no memory as long as nothing
// changes.
func TestError_Shared(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		wait   int // calls that wait
	}{
		{"fixed", Config{Fixed: 2}, 0},
		{"adaptive", Config{Initial: 2, Min: 2}, 0},
		{"full queue", Config{Fixed: 2, MaxWait: time.Hour, MaxQueue: 3}, 3},
		{"reserved", Config{Fixed: 4, Reserved: 0.5}, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTest(t, tt.config)
				occupy(t, l, 2+tt.wait)
				ctx := t.Context()
				first := wantRefused(t, ctx, l)
				if got := testing.AllocsPerRun(100, func() {
					if err := l.Do(ctx, succeed); err != error(first) {
						t.Errorf("err = %v, want the one of the first refusal, %v", err, first)
					}
				}); got != 0 {
					t.Errorf("a refusal makes %v allocations, want none", got)
				}
			})
		})
	}
}

// TestError_NotShared holds that each caller who waited learns of his own wait.
func TestError_NotShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, Config{Fixed: 1, MaxWait: time.Second})
		occupy(t, l, 1)
		for _, wait := range []time.Duration{time.Second, time.Millisecond} {
			ctx, cancel := context.WithTimeoutCause(t.Context(), wait, uncomparable{"too slow"})
			defer cancel()
			refusal := wantRefused(t, ctx, l)
			if refusal.Waited != wait {
				t.Errorf("Waited = %v, want %v", refusal.Waited, wait)
			}
		}
		gone, cancel := context.WithCancelCause(t.Context())
		cancel(uncomparable{"gone"})
		late, stop := context.WithDeadlineCause(t.Context(), time.Now(), uncomparable{"too late"})
		defer stop()
		for range 2 {
			if refusal := wantRefused(t, gone, l); refusal.Waited != 0 || refusal.Reason != ReasonCancelled {
				t.Errorf("refused with %+v, want cancelled at once", refusal)
			}
			if refusal := wantRefused(t, late, l); refusal.Waited != 0 || refusal.Reason != ReasonWait {
				t.Errorf("refused with %+v, want wait at once", refusal)
			}
		}
	})
}

// uncomparable is an error that must not be compared with another.
type uncomparable []string

func (u uncomparable) Error() string { return u[0] }

// TestNoAllocations holds what a call costs that runs at once.
func TestNoAllocations(t *testing.T) {
	for name, config := range map[string]Config{
		"fixed":     {Fixed: 2},
		"queue":     {Fixed: 2, MaxWait: time.Second},
		"reserved":  {Fixed: 2, Reserved: 0.5},
		"aimd":      {},
		"gradient2": {Algorithm: Gradient2},
	} {
		t.Run(name, func(t *testing.T) {
			l, ctx := newTest(t, config), t.Context()
			if got := testing.AllocsPerRun(100, func() { l.Do(ctx, succeed) }); got != 0 {
				t.Errorf("%v allocations, want none", got)
			}
		})
	}
}
