package says

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// An opinionated error says yes or no to everything.
type opinionated struct{ yes bool }

func (o opinionated) Error() string                     { return fmt.Sprint("yes: ", o.yes) }
func (o opinionated) Rejected() bool                    { return o.yes }
func (o opinionated) Unreached() bool                   { return o.yes }
func (o opinionated) Retryable() bool                   { return o.yes }
func (o opinionated) DependencyFailure() bool           { return o.yes }
func (o opinionated) Throttled() bool                   { return o.yes }
func (o opinionated) Timeout() bool                     { return o.yes }
func (o opinionated) RetryAfter() (time.Duration, bool) { return time.Second, o.yes }

func TestAnswers(t *testing.T) {
	yes, no := opinionated{true}, opinionated{false}
	tests := []struct {
		name    string
		err     error
		yes, ok bool
	}{
		{"nil", nil, false, false},
		{"mute", errors.New("down"), false, false},
		{"yes", yes, true, true},
		{"no", no, false, true},
		{"wrapped", fmt.Errorf("billing: %w", yes), true, true},
		{"joined to a mute one", errors.Join(errors.New("down"), yes), true, true},
		{"the first speaks", errors.Join(no, yes), false, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for what, got := range map[string]bool{
				"Rejected": Rejected(tt.err), "Unreached": Unreached(tt.err),
				"Throttled": Throttled(tt.err), "TimedOut": TimedOut(tt.err),
			} {
				if got != tt.yes {
					t.Errorf("%s = %v, want %v", what, got, tt.yes)
				}
			}
			for what, ask := range map[string]func(error) (bool, bool){
				"Retryable": Retryable, "DependencyFailure": DependencyFailure,
			} {
				if got, ok := ask(tt.err); got != tt.yes || ok != tt.ok {
					t.Errorf("%s = %v, %v, want %v, %v", what, got, ok, tt.yes, tt.ok)
				}
			}
			if d, ok := RetryAfter(tt.err); ok != tt.yes || (d == time.Second) != tt.yes {
				t.Errorf("RetryAfter = %v, %v, want %v", d, ok, tt.yes)
			}
			if n := testing.AllocsPerRun(10, func() {
				_ = Rejected(tt.err) || Unreached(tt.err) || Throttled(tt.err) || TimedOut(tt.err)
				_, _ = RetryAfter(tt.err)
			}); n != 0 {
				t.Errorf("%v allocations, want none", n)
			}
		})
	}
}

func TestTimedOut_Deadline(t *testing.T) {
	for _, err := range []error{context.DeadlineExceeded, errors.Join(opinionated{false}, context.DeadlineExceeded)} {
		if !TimedOut(err) {
			t.Errorf("TimedOut(%v) = false", err)
		}
	}
}
