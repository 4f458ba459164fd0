package redoubt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

func TestCheck(t *testing.T) {
	const s = time.Second
	limit := func(d time.Duration) timeout.Limit { return timeout.Limit(d) }
	window := func(d time.Duration) *breaker.Breaker {
		return breaker.New(breaker.Config{Name: "billing", Window: d, FailureRatio: .5})
	}
	consecutive := breaker.New(breaker.Config{Name: "billing", Consecutive: 5})
	group := func(c breaker.Config) *breaker.Group {
		return breaker.NewGroup(breaker.GroupConfig{Breaker: c, Key: func(context.Context) string { return "" }})
	}
	opaque := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error { return call(ctx) })
	once := retry.Policy{MaxAttempts: 1}
	const (
		twoRetries = "redoubt: retry.Policy inside of another makes only one attempt; remove one of them or set Nested"
		never      = " can never expire first"
	)
	tooShort := func(name, window, limit string) string {
		return `redoubt: breaker "` + name + `": Window ` + window + " is not longer than the " + limit +
			" that a call inside of it may take, so that calls that time out may never trip it"
	}
	tooSoon := func(name, limit string) string {
		return `redoubt: breaker "` + name + `": ProbeTimeout 10s is shorter than the ` + limit +
			" that a call inside of it may take, so that a slow probe fails though it succeeds"
	}
	tests := []struct {
		name  string
		layer redoubt.Layer
		want  []string
	}{
		// Nothing to find.
		{"empty", redoubt.Stack{}, nil},
		{"nil stack", redoubt.Stack(nil), nil},
		{"usual", redoubt.Stack{limit(10 * s), retry.Policy{}, window(10 * s), limit(s)}, nil},
		{"single layers", retry.Policy{}, nil},
		{"opaque", opaque, nil},
		{"telemetry", redoubt.Stack{redoubt.Telemetry{}, limit(s)}, nil},
		{"no limits", redoubt.Stack{limit(0), retry.Policy{}, limit(0)}, nil},
		{"no limit outside", redoubt.Stack{limit(0), limit(s)}, nil},
		{"no limit inside", redoubt.Stack{limit(s), limit(0)}, nil},

		// Nil layers.
		{"nil", nil, []string{"redoubt: layer is nil"}},
		{"nil LayerFunc", redoubt.LayerFunc(nil), []string{"redoubt: layer is nil"}},
		{"nil layers", redoubt.Stack{nil, limit(s), nil}, []string{"redoubt: stack[0] is nil", "redoubt: stack[2] is nil"}},
		{"nil layers in nested stacks", redoubt.Stack{limit(s), redoubt.Stack{nil, redoubt.Stack{retry.Policy{}, nil}}}, []string{
			"redoubt: stack[1][0] is nil", "redoubt: stack[1][1][1] is nil",
		}},
		{"nil LayerFunc in a stack", redoubt.Stack{limit(s), redoubt.LayerFunc(nil)}, []string{"redoubt: stack[1] is nil"}},
		{"nil breaker", redoubt.Stack{(*breaker.Breaker)(nil)}, []string{"breaker: Breaker is nil or zero, must be made with New"}},
		{"nil group", redoubt.Stack{(*breaker.Group)(nil)}, []string{"breaker: Group is nil or zero, must be made with NewGroup"}},

		// Layers that are wrong by themselves.
		{"negative limit", limit(-s), []string{"timeout: Limit is -1s, must not be negative"}},
		{"negative attempts", redoubt.Stack{retry.Policy{MaxAttempts: -1}}, []string{"retry: MaxAttempts is -1, must not be negative"}},
		{"bad budget", retry.Policy{Budget: retry.NewBudget(retry.BudgetConfig{Name: "b", Ratio: 2})}, []string{
			`retry: budget "b": Ratio is 2, must be above 0 and at most 1`,
		}},
		{"nameless breaker", breaker.New(breaker.Config{}), []string{"breaker: Name is empty, must name the breaker"}},
		{"nameless group", group(breaker.Config{}), []string{"breaker: Name is empty, must name the breaker"}},
		{"all wrong", redoubt.Stack{limit(-s), retry.Policy{MaxRetryAfter: -s}, breaker.New(breaker.Config{})}, []string{
			"timeout: Limit is -1s, must not be negative",
			"retry: MaxRetryAfter is -1s, must not be negative",
			"breaker: Name is empty, must name the breaker",
		}},

		{"what is wrong is not judged in its place as well", redoubt.Stack{retry.Policy{}, retry.Policy{MaxAttempts: -1}}, []string{
			"retry: MaxAttempts is -1, must not be negative",
		}},

		// Limits.
		{"longer inside", redoubt.Stack{limit(s), limit(2 * s)}, []string{"redoubt: timeout.Limit(2s) inside of timeout.Limit(1s)" + never}},
		{"equal", redoubt.Stack{limit(s), retry.Policy{}, limit(s)}, []string{"redoubt: timeout.Limit(1s) inside of timeout.Limit(1s)" + never}},
		{"shorter inside", redoubt.Stack{limit(s), limit(s - 1)}, nil},
		{"three, the shortest outside", redoubt.Stack{limit(s), limit(3 * s), limit(2 * s)}, []string{
			"redoubt: timeout.Limit(3s) inside of timeout.Limit(1s)" + never,
			"redoubt: timeout.Limit(2s) inside of timeout.Limit(1s)" + never,
		}},
		{"no limit between", redoubt.Stack{limit(s), limit(0), limit(2 * s)}, []string{"redoubt: timeout.Limit(2s) inside of timeout.Limit(1s)" + never}},
		{"across stacks", redoubt.Stack{redoubt.Stack{limit(s)}, redoubt.Stack{opaque, limit(2 * s)}}, []string{
			"redoubt: timeout.Limit(2s) inside of timeout.Limit(1s)" + never,
		}},

		// Retries.
		{"nested", redoubt.Stack{retry.Policy{}, retry.Policy{}}, []string{twoRetries}},
		{"nested in one that never repeats", redoubt.Stack{once, retry.Policy{}}, []string{twoRetries}},
		{"three", redoubt.Stack{retry.Policy{}, retry.Policy{}, retry.Policy{}}, []string{twoRetries, twoRetries}},
		{"nested, by intention", redoubt.Stack{retry.Policy{}, retry.Policy{Nested: true}}, nil},
		{"nested, but never repeats", redoubt.Stack{retry.Policy{}, once}, nil},
		{"far apart", redoubt.Stack{retry.Policy{}, limit(s), redoubt.Stack{consecutive, retry.Policy{}}}, []string{twoRetries}},

		// Windows.
		{"window shorter than the limit", redoubt.Stack{window(s), limit(2 * s)}, []string{tooShort("billing", "1s", "2s")}},
		{"window as long as the limit", redoubt.Stack{window(s), limit(s)}, []string{tooShort("billing", "1s", "1s")}},
		{"window a little longer", redoubt.Stack{window(s), limit(s - 1)}, nil},
		{"window against the shortest limit", redoubt.Stack{window(2 * s), limit(3 * s), limit(s)}, nil},
		{"limit outside", redoubt.Stack{limit(2 * s), window(s)}, nil},
		{"no limit", redoubt.Stack{window(s), limit(0)}, nil},
		{"no ratio rule", redoubt.Stack{consecutive, limit(10 * s)}, nil},
		{"default window", redoubt.Stack{breaker.New(breaker.Config{Name: "billing"}), limit(10 * s)}, []string{tooShort("billing", "10s", "10s")}},
		{"group", redoubt.Stack{group(breaker.Config{Name: "hosts"}), limit(time.Minute)}, []string{tooShort("hosts", "10s", "1m0s"), tooSoon("hosts", "1m0s")}},
		{"in nested stacks", redoubt.Stack{redoubt.Stack{window(s)}, redoubt.Stack{retry.Policy{}, limit(2 * s)}}, []string{tooShort("billing", "1s", "6s")}},

		{"window shorter than attempts together", redoubt.Stack{window(3 * s), retry.Policy{}, limit(s)}, []string{tooShort("billing", "3s", "3s")}},
		{"attempts together are bounded", redoubt.Stack{window(3 * s), limit(2 * s), retry.Policy{}, limit(s)}, nil},

		// Probes.
		{"probes judged too soon", redoubt.Stack{consecutive, limit(11 * s)}, []string{tooSoon("billing", "11s")}},

		// All at once, in the order of the stack: first what is wrong with
		// the layers, then what is wrong with their order.
		{"everything", redoubt.Stack{
			limit(s), retry.Policy{}, nil, window(s), retry.Policy{}, limit(2 * s), limit(-s),
		}, []string{
			"redoubt: stack[2] is nil",
			"timeout: Limit is -1s, must not be negative",
			tooShort("billing", "1s", "6s"),
			twoRetries,
			"redoubt: timeout.Limit(2s) inside of timeout.Limit(1s)" + never,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := redoubt.Check(tt.layer); err != nil {
				got = err.Error()
			}
			if want := strings.Join(tt.want, "\n"); got != want {
				t.Errorf("Check:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// A layer of the user's own takes part by a method.
func TestCheck_OwnLayer(t *testing.T) {
	wrong := errors.New("own: wrong")
	err := redoubt.Check(redoubt.Stack{checked{wrong}, checked{nil}, nil})
	if !errors.Is(err, wrong) || err.Error() != "own: wrong\nredoubt: stack[2] is nil" {
		t.Errorf("Check = %v, want the layer's own error among others", err)
	}
}

type checked struct{ err error }

func (c checked) Check() error { return c.err }

func (checked) Do(ctx context.Context, call func(context.Context) error) error { return call(ctx) }

// What Check finds wrong with a layer alone is what its Do returns.
func TestCheck_AgreesWithDo(t *testing.T) {
	for _, layer := range []redoubt.Layer{
		timeout.Limit(-1),
		retry.Policy{MaxAttempts: -1},
		retry.Policy{Budget: new(retry.Budget)},
		breaker.New(breaker.Config{}),
		(*breaker.Breaker)(nil),
		redoubt.LayerFunc(nil),
		redoubt.Stack{nil},
	} {
		want := redoubt.Check(layer)
		got := layer.Do(t.Context(), func(context.Context) error { t.Error("the call was run"); return nil })
		if want == nil || got == nil || got.Error() != want.Error() {
			t.Errorf("Check = %v, but Do = %v", want, got)
		}
	}
}
