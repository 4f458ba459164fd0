package telemetry

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

type refusal struct{}

func (*refusal) Error() string  { return "refused" }
func (*refusal) Rejected() bool { return true }

func TestOutcome(t *testing.T) {
	down, refused := errors.New("down"), error(&refusal{})
	tests := []struct {
		name      string
		err       error
		callerErr error
		lastErr   error // the last attempt's
		want      string
	}{
		{"success", nil, nil, nil, "success"},
		{"success as the caller goes", nil, context.Canceled, nil, "success"},
		{"failure", down, nil, down, "failure"},
		{"the callee cancels", context.Canceled, nil, context.Canceled, "failure"},
		{"the caller cancels", down, context.Canceled, down, "cancelled"},
		{"the caller's deadline", context.DeadlineExceeded, context.DeadlineExceeded, context.DeadlineExceeded, "failure"},
		{"refused", refused, nil, nil, "rejected"},
		{"refused, wrapped", fmt.Errorf("gave up: %w", refused), nil, nil, "rejected"},
		{"refused after a failure", refused, nil, down, "rejected"},
		{"refused to the callee", refused, nil, refused, "failure"},
		{"refused to the callee, wrapped", fmt.Errorf("gave up: %w", refused), nil, refused, "failure"},
		{"refused as the caller goes", refused, context.Canceled, nil, "cancelled"},
		{"panic", classed("panic"), nil, classed("panic"), "failure"},
		{"panic as the caller goes", classed("panic"), context.Canceled, classed("panic"), "failure"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &Call{lastErr: tt.lastErr}
			if got := c.outcome(tt.err, tt.callerErr); got != tt.want {
				t.Errorf("outcome = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestAttemptOutcome(t *testing.T) {
	down := errors.New("down")
	tests := []struct {
		name      string
		err       error
		ctxErr    error
		want      string
		wantClass string
	}{
		{"success", nil, nil, "success", ""},
		{"success, late", nil, context.DeadlineExceeded, "success", ""},
		{"failure", down, nil, "failure", "_OTHER"},
		{"failure, late", down, context.DeadlineExceeded, "failure", "timeout"},
		{"the callee cancels", context.Canceled, nil, "failure", "cancelled"},
		{"the caller cancels", down, context.Canceled, "cancelled", ""},
		{"refused to the callee", &refusal{}, nil, "failure", "_OTHER"},
		{"panic as the caller goes", classed("panic"), context.Canceled, "failure", "panic"},
		{"panic, late", classed("panic"), context.DeadlineExceeded, "failure", "panic"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, class := attemptOutcome(tt.err, tt.ctxErr)
			if got != tt.want || class != tt.wantClass {
				t.Errorf("attemptOutcome = %q, %q, want %q, %q", got, class, tt.want, tt.wantClass)
			}
		})
	}
}
