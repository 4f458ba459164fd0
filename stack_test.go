package redoubt_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metricnoop "go.opentelemetry.io/otel/metric/noop"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

var errDown = errors.New("down")

// A notebook writes down what happens, in order.
type notebook []string

func (n *notebook) add(what string) { *n = append(*n, what) }

// layer returns a layer that notes its begin and end.
func (n *notebook) layer(name string) redoubt.Layer {
	return redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
		n.add(name + "(")
		defer n.add(")" + name)
		return call(ctx)
	})
}

func (n *notebook) call(err error) func(context.Context) error {
	return func(context.Context) error {
		n.add("call")
		return err
	}
}

func TestStack_Order(t *testing.T) {
	var n notebook
	a, b, c := n.layer("a"), n.layer("b"), n.layer("c")
	tests := []struct {
		name  string
		stack redoubt.Stack
		want  string
	}{
		{"nil", nil, "call"},
		{"empty", redoubt.Stack{}, "call"},
		{"one", redoubt.Stack{a}, "a( call )a"},
		{"outermost first", redoubt.Stack{a, b, c}, "a( b( c( call )c )b )a"},
		{"the same twice", redoubt.Stack{a, b, a}, "a( b( a( call )a )b )a"},
		{"nested", redoubt.Stack{a, redoubt.Stack{b, c}}, "a( b( c( call )c )b )a"},
		{"nested first", redoubt.Stack{redoubt.Stack{a, b}, c}, "a( b( c( call )c )b )a"},
		{"nested and empty", redoubt.Stack{a, redoubt.Stack{}, redoubt.Stack{redoubt.Stack{b}}}, "a( b( call )b )a"},
		{"with telemetry", redoubt.Stack{redoubt.Telemetry{}, a, b}, "a( b( call )b )a"},
	}
	for _, tt := range tests {
		for _, want := range []error{nil, errDown} {
			t.Run(fmt.Sprintf("%s/%v", tt.name, want), func(t *testing.T) {
				n = nil
				if err := tt.stack.Do(t.Context(), n.call(want)); err != want {
					t.Errorf("err = %v, want %v", err, want)
				}
				if got := strings.Join(n, " "); got != tt.want {
					t.Errorf("ran %q, want %q", got, tt.want)
				}
			})
		}
	}
}

// Each layer's context is that of the one around it.
func TestStack_ContextGoesInward(t *testing.T) {
	type key string
	with := func(name key) redoubt.Layer {
		return redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
			return call(context.WithValue(ctx, name, true))
		})
	}
	stack := redoubt.Stack{with("a"), redoubt.Stack{with("b")}, with("c")}
	err := stack.Do(context.WithValue(t.Context(), key("caller"), true), func(ctx context.Context) error {
		for _, name := range []key{"caller", "a", "b", "c"} {
			if ctx.Value(name) == nil {
				t.Errorf("the call's context has nothing of %s", name)
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// A nil layer is named, and neither it nor any other layer runs, so that no
// retry repeats the mistake and no breaker counts it.
func TestStack_NilLayer(t *testing.T) {
	var n notebook
	a, b := n.layer("a"), n.layer("b")
	var none redoubt.LayerFunc
	tests := []struct {
		layer redoubt.Layer
		want  string
	}{
		{redoubt.Stack{nil}, "redoubt: stack[0] is nil"},
		{redoubt.Stack{nil, a, b}, "redoubt: stack[0] is nil"},
		{redoubt.Stack{a, nil, b}, "redoubt: stack[1] is nil"},
		{redoubt.Stack{a, b, nil}, "redoubt: stack[2] is nil"},
		{redoubt.Stack{a, nil, nil}, "redoubt: stack[1] is nil"},
		{redoubt.Stack{a, redoubt.Stack{b, nil}}, "redoubt: stack[1][1] is nil"},
		{redoubt.Stack{redoubt.Stack{redoubt.Stack{nil}}, nil}, "redoubt: stack[0][0][0] is nil"},
		{redoubt.Stack{a, none}, "redoubt: stack[1] is nil"},
		{redoubt.Stack{a, redoubt.Stack{none}, nil}, "redoubt: stack[1][0] is nil"},
		{none, "redoubt: layer is nil"},
		{nil, "redoubt: layer is nil"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.want), func(t *testing.T) {
			n = nil
			got, err := redoubt.Do(t.Context(), tt.layer, func(context.Context) (int, error) {
				n.add("call")
				return 1, nil
			})
			if err == nil || err.Error() != tt.want || got != 0 || len(n) > 0 {
				t.Errorf("Do = %d, %v and ran %v; want 0, %s and nothing", got, err, n, tt.want)
			}
			if tt.layer == nil {
				return
			}
			err = tt.layer.Do(t.Context(), n.call(nil))
			if err == nil || err.Error() != tt.want || len(n) > 0 {
				t.Errorf("layer.Do = %v and ran %v; want %s and nothing", err, n, tt.want)
			}
			// Hidden in a layer of the user's own, it is found late but not
			// repeated.
			tries := 0
			err = retry.Policy{}.Do(t.Context(), func(ctx context.Context) error {
				tries++
				return tt.layer.Do(ctx, n.call(nil))
			})
			if err == nil || err.Error() != tt.want || tries != 1 {
				t.Errorf("in a retry: %v after %d attempts; want %s after 1", err, tries, tt.want)
			}
		})
	}
}

func TestStack_BadArguments(t *testing.T) {
	var none context.Context
	fn := func(context.Context) (int, error) { return 1, nil }
	call := func(context.Context) error { return nil }
	layers := map[string]redoubt.Layer{
		"function": redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
			return call(ctx)
		}),
		"empty stack": redoubt.Stack{},
		"stack":       redoubt.Stack{timeout.Limit(1), retry.Policy{}},
		"telemetry":   redoubt.Telemetry{},
		"limit":       timeout.Limit(1),
	}
	for name, layer := range layers {
		t.Run(name, func(t *testing.T) {
			_, noContext := redoubt.Do(none, layer, fn)
			_, noFunc := redoubt.Do[int](t.Context(), layer, nil)
			_, neither := redoubt.Do[int](none, layer, nil)
			tests := []struct {
				name string
				err  error
				want string
			}{
				{"Do, nil context", noContext, "redoubt: context is nil"},
				{"Do, nil fn", noFunc, "redoubt: call is nil"},
				{"Do, nil context and fn", neither, "redoubt: context is nil"},
				{"layer.Do, nil context", layer.Do(none, call), "redoubt: context is nil"},
				{"layer.Do, nil call", layer.Do(t.Context(), nil), "redoubt: call is nil"},
			}
			for _, tt := range tests {
				if tt.err == nil || tt.err.Error() != tt.want {
					t.Errorf("%s: err = %v, want %s", tt.name, tt.err, tt.want)
				}
			}
		})
	}
}

// A mistake in a layer further in costs one attempt and no time.
func TestStack_MisuseIsNotRetried(t *testing.T) {
	tests := []struct {
		name  string
		layer redoubt.Layer
		want  string
	}{
		{"limit", timeout.Limit(-1), "timeout: Limit is -1ns, must not be negative"},
		{"retry", retry.Policy{MaxAttempts: -1}, "retry: MaxAttempts is -1, must not be negative"},
		{"breaker", breaker.New(breaker.Config{}), "breaker: Name is empty, must name the breaker"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := redoubt.Stack{retry.Policy{}, tt.layer}.Do(t.Context(), func(context.Context) error {
					t.Error("the call was run")
					return nil
				})
				if took := time.Since(start); err == nil || err.Error() != tt.want || took != 0 {
					t.Errorf("err = %v after %v, want %s at once", err, took, tt.want)
				}
			})
		})
	}
}

func TestStack_PanicPasses(t *testing.T) {
	var n notebook
	value := new(int)
	func() {
		defer func() {
			if got := recover(); got != value {
				t.Errorf("recovered %v, want what the call panicked with", got)
			}
		}()
		_ = redoubt.Stack{n.layer("a"), n.layer("b")}.Do(t.Context(), func(context.Context) error { panic(value) })
	}()
	if got, want := strings.Join(n, " "), "a( b( )b )a"; got != want {
		t.Errorf("ran %q, want %q", got, want)
	}
}

func TestStack_GoexitPasses(t *testing.T) {
	var n notebook
	returned := false
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = redoubt.Stack{n.layer("a"), n.layer("b")}.Do(t.Context(), func(context.Context) error {
			runtime.Goexit()
			return nil
		})
		returned = true
	})
	wg.Wait()
	if got, want := strings.Join(n, " "), "a( b( )b )a"; got != want || returned {
		t.Errorf("ran %q and returned: %t; want %q and not", got, returned, want)
	}
}

// recording are providers that pass for an SDK, though they record nothing.
type recordingTracer struct{ tracenoop.TracerProvider }

type recordingMeter struct{ metricnoop.MeterProvider }

// Being recorded changes nothing about what a stack does, not even with layers
// that are nil in disguise.
func TestStack_Recorded(t *testing.T) {
	var n notebook
	recorded := redoubt.Telemetry{Name: "billing", TracerProvider: recordingTracer{}, MeterProvider: recordingMeter{}}
	tests := []struct {
		name  string
		layer redoubt.Layer
		want  string
		err   string
	}{
		{"telemetry alone", recorded, "call", "down"},
		{"first", redoubt.Stack{recorded, n.layer("a"), n.layer("b")}, "a( b( call )b )a", "down"},
		{"in an inner stack", redoubt.Stack{redoubt.Stack{recorded, n.layer("a")}, n.layer("b")}, "a( b( call )b )a", "down"},
		{"not first", redoubt.Stack{n.layer("a"), recorded}, "a( call )a", "down"},
		{"twice", redoubt.Stack{recorded, recorded, n.layer("a")}, "a( call )a", "down"},
		{"nil layer", redoubt.Stack{recorded, nil}, "", "redoubt: stack[1] is nil"},
		{"nameless, nil breaker", redoubt.Stack{
			redoubt.Telemetry{TracerProvider: recordingTracer{}},
			(*breaker.Breaker)(nil),
		}, "", "breaker: Breaker is nil or zero, must be made with New"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n = nil
			err := tt.layer.Do(t.Context(), n.call(errDown))
			if err == nil || err.Error() != tt.err {
				t.Errorf("err = %v, want %s", err, tt.err)
			}
			if got := strings.Join(n, " "); got != tt.want {
				t.Errorf("ran %q, want %q", got, tt.want)
			}
		})
	}
}

// A stack may run in many goroutines at once.
func TestStack_Concurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stack := redoubt.Stack{
			timeout.Limit(time.Minute),
			retry.Policy{Backoff: retry.Constant(time.Second)},
			breaker.New(breaker.Config{Name: "billing", FailureRatio: 1, Window: time.Hour, MinCalls: 1000}),
			timeout.Limit(time.Second),
		}
		var wg sync.WaitGroup
		for n := range 50 {
			wg.Go(func() {
				got, err := redoubt.Do(t.Context(), stack, func(ctx context.Context) (int, error) {
					if retry.Attempt(ctx) <= n%3 {
						return -1, errDown
					}
					return n, nil
				})
				if got != n || err != nil {
					t.Errorf("Do = %d, %v; want %d", got, err, n)
				}
			})
		}
		wg.Wait()
	})
}

// What a stack adds to its layers: its slice in an interface, and a closure for
// each layer but the last.
func TestStack_Allocs(t *testing.T) {
	pass := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error { return call(ctx) })
	call := func(context.Context) error { return nil }
	ctx := t.Context()
	for n := range 5 {
		stack := redoubt.Stack(slices.Repeat([]redoubt.Layer{pass}, n))
		got := testing.AllocsPerRun(100, func() {
			if err := stack.Do(ctx, call); err != nil {
				t.Fatal(err)
			}
		})
		if want := float64(max(n, 1)); got > want {
			t.Errorf("%d layers: %v allocations, want %v at most", n, got, want)
		}
	}
}
