package redoubt_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

func TestDo(t *testing.T) {
	thrice := retry.Policy{Backoff: retry.Constant(0)}
	refuse := redoubt.LayerFunc(func(context.Context, func(context.Context) error) error { return errDown })
	refuseLast := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
		if retry.Attempt(ctx) == 3 {
			return errDown
		}
		return call(ctx)
	})
	type result struct {
		value string
		err   error
	}
	tests := []struct {
		name  string
		layer redoubt.Layer
		runs  []result // what fn returns
		want  string
		err   string
	}{
		{"success", redoubt.Stack{}, []result{{"one", nil}}, "one", ""},
		{"failure", redoubt.Stack{}, []result{{"", errDown}}, "", "down"},
		{"failure with a value", redoubt.Stack{}, []result{{"half", errDown}}, "half", "down"},
		{"rescued", thrice, []result{{"one", errDown}, {"two", nil}}, "two", ""},
		{"rescued without a value", thrice, []result{{"one", errDown}, {"", nil}}, "", ""},
		{"exhausted", thrice, []result{{"one", errDown}, {"two", errDown}, {"three", errDown}}, "three", "retry: gave up after 3 attempts: down"},
		{"never run", refuse, nil, "", "down"},
		{"never run, in a retry", redoubt.Stack{thrice, refuse}, nil, "", "retry: gave up after 3 attempts: down"},
		{"last run refused", redoubt.Stack{thrice, refuseLast}, []result{{"one", errDown}, {"two", errDown}}, "two", "retry: gave up after 3 attempts: down"},
		{"single layer", timeout.Limit(time.Hour), []result{{"one", nil}}, "one", ""},
		{"nested", redoubt.Stack{redoubt.Stack{thrice}}, []result{{"one", errDown}, {"two", nil}}, "two", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			runs := 0
			got, err := redoubt.Do(t.Context(), tt.layer, func(context.Context) (string, error) {
				runs++
				return tt.runs[runs-1].value, tt.runs[runs-1].err
			})
			message := ""
			if err != nil {
				message = err.Error()
			}
			if got != tt.want || message != tt.err {
				t.Errorf("Do = %q, %q; want %q, %q", got, message, tt.want, tt.err)
			}
			if runs != len(tt.runs) {
				t.Errorf("fn ran %d times, want %d", runs, len(tt.runs))
			}
		})
	}
}

// An open breaker runs nothing, so there is no result.
func TestDo_OpenBreaker(t *testing.T) {
	br := breaker.New(breaker.Config{Name: "billing"})
	br.ForceOpen()
	got, err := redoubt.Do(t.Context(), br, func(context.Context) (*int, error) { return new(int), nil })
	if got != nil || !errors.Is(err, breaker.ErrOpen) {
		t.Errorf("Do = %v, %v; want nil, ErrOpen", got, err)
	}
}

// fn's context is what the layers made of the caller's.
func TestDo_Context(t *testing.T) {
	stack := redoubt.Stack{timeout.Limit(time.Hour), retry.Policy{}}
	_, err := redoubt.Do(t.Context(), stack, func(ctx context.Context) (struct{}, error) {
		if _, ok := ctx.Deadline(); !ok || retry.Attempt(ctx) != 1 {
			t.Errorf("deadline: %t, attempt %d; want one, and the first", ok, retry.Attempt(ctx))
		}
		return struct{}{}, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// fn's context has ended once Do has returned, if a limit is among the layers.
func TestDo_ContextEnds(t *testing.T) {
	ctx, err := redoubt.Do(t.Context(), timeout.Limit(time.Hour), func(ctx context.Context) (context.Context, error) {
		return ctx, ctx.Err()
	})
	if err != nil || !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("error %v in fn, %v afterwards; want none, and Canceled", err, ctx.Err())
	}
}

func TestLayerFunc(t *testing.T) {
	f := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
		return fmt.Errorf("f: %w", call(ctx))
	})
	if err := f.Do(t.Context(), func(context.Context) error { return errDown }); !errors.Is(err, errDown) || err.Error() != "f: down" {
		t.Errorf("Do = %v, want f: down", err)
	}
	if err := f.Check(); err != nil {
		t.Errorf("Check() = %v, want nil", err)
	}
	const want = "redoubt: layer is nil"
	var none redoubt.LayerFunc
	if err := none.Do(t.Context(), func(context.Context) error { return nil }); err == nil || err.Error() != want {
		t.Errorf("nil LayerFunc: Do = %v, want %s", err, want)
	}
	if err := none.Check(); err == nil || err.Error() != want {
		t.Errorf("nil LayerFunc: Check() = %v, want %s", err, want)
	}
}
