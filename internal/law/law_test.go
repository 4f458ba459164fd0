package law

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestArgs(t *testing.T) {
	var none context.Context
	call := func(context.Context) error { return nil }
	tests := []struct {
		name string
		ctx  context.Context //nolint:containedctx // It is the case's input.
		call func(context.Context) error
		want string
	}{
		{"both", t.Context(), call, "<nil>"},
		{"no context", none, call, "redoubt: context is nil"},
		{"no call", t.Context(), nil, "redoubt: call is nil"},
		{"neither", none, nil, "redoubt: context is nil"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(Args(tt.ctx, tt.call)); got != tt.want {
				t.Errorf("Args = %s, want %s", got, tt.want)
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	err := Misuse("timeout: Limit is %d, must not be negative", -1)
	if got, want := err.Error(), "timeout: Limit is -1, must not be negative"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	says, ok := errors.AsType[interface {
		error
		Retryable() bool
	}](fmt.Errorf("billing: %w", err))
	if !ok || says.Retryable() {
		t.Error("it does not say that a repetition is pointless")
	}
}
