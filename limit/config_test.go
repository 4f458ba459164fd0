package limit

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/internal/explain"
)

func TestConfig_withDefaults(t *testing.T) {
	type numbers struct{ initial, low, high int }
	tests := []struct {
		config Config
		want   numbers
	}{
		{Config{}, numbers{20, 5, 200}},
		{Config{Max: 3}, numbers{3, 3, 3}},
		{Config{Max: 10}, numbers{10, 5, 10}},
		{Config{Min: 50}, numbers{50, 50, 200}},
		{Config{Min: 300}, numbers{300, 300, 300}},
		{Config{Min: 1, Max: 8, Initial: 2}, numbers{2, 1, 8}},
		{Config{Fixed: 7}, numbers{}},
	}
	for _, tt := range tests {
		c := tt.config.withDefaults()
		if got := (numbers{c.Initial, c.Min, c.Max}); got != tt.want {
			t.Errorf("%+v: initial, min, max = %v, want %v", tt.config, got, tt.want)
		}
		if err := tt.config.check(); err != nil {
			t.Errorf("%+v: %v", tt.config, err)
		}
	}
	for algorithm, want := range map[Algorithm]time.Duration{AIMD: 5 * time.Second, Gradient2: 0} {
		if got := (Config{Algorithm: algorithm}).withDefaults().SlowCall; got != want {
			t.Errorf("%v: SlowCall = %v, want %v", algorithm, got, want)
		}
	}
	for wait, want := range map[time.Duration]int{0: 0, time.Second: DefaultMaxQueue} {
		if got := (Config{MaxWait: wait}).withDefaults().MaxQueue; got != want {
			t.Errorf("MaxWait %v: MaxQueue = %d, want %d", wait, got, want)
		}
	}
}

func TestCheck_Bounds(t *testing.T) {
	for _, config := range []Config{
		{Fixed: maxCalls},
		{Min: maxCalls, Max: maxCalls},
		{Min: 1, Max: 1, Initial: 1},
		{Algorithm: Gradient2, Tolerance: 1},
		{Algorithm: Gradient2, Tolerance: maxTolerance},
		{MaxWait: 1, MaxQueue: maxCalls},
		{Reserved: 0.9},
	} {
		if err := New(config).Check(); err != nil {
			t.Errorf("Check() = %v, want nil", err)
		}
	}
}

func TestCheck(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		config Config
		want   string
	}{
		{Config{Fixed: -1}, "Fixed is -1, must be from 1 to 1073741824"},
		{Config{Fixed: 1<<30 + 1}, "Fixed is 1073741825, must be from 1 to 1073741824"},
		{Config{Fixed: 3, Min: 1}, "Fixed is 3, must be zero if Min is given: a fixed limit does not adapt"},
		{Config{Fixed: 3, Max: 5}, "Fixed is 3, must be zero if Max is given: a fixed limit does not adapt"},
		{Config{Fixed: 3, Initial: 5}, "Fixed is 3, must be zero if Initial is given: a fixed limit does not adapt"},
		{Config{Fixed: 3, Algorithm: Gradient2}, "Fixed is 3, must be zero if Algorithm is given: a fixed limit does not adapt"},
		{Config{Fixed: 3, Backoff: 0.9}, "Fixed is 3, must be zero if Backoff is given: a fixed limit does not adapt"},
		{Config{Fixed: 3, SlowCall: 1}, "Fixed is 3, must be zero if SlowCall is given: a fixed limit does not adapt"},
		{Config{Fixed: 3, CallerDeadline: 1}, "Fixed is 3, must be zero if CallerDeadline is given: a fixed limit does not adapt"},
		{Config{Fixed: 3, Tolerance: 1}, "Fixed is 3, must be zero if Tolerance is given: a fixed limit does not adapt"},
		{Config{Fixed: 3, Classify: DefaultClassify}, "Fixed is 3, must be zero if Classify is given: a fixed limit does not adapt"},
		{Config{Algorithm: 2}, "Algorithm is algorithm(2), must be AIMD or Gradient2"},
		{Config{Min: -1}, "Min is -1, must be from 1 to 1073741824"},
		{Config{Min: 1<<30 + 1, Max: 1<<30 + 1}, "Min is 1073741825, must be from 1 to 1073741824"},
		{Config{Max: 1<<30 + 1}, "Max is 1073741825, must be from Min, 5, to 1073741824"},
		{Config{Tolerance: 100.5}, "Tolerance is 100.5, must be from 1 to 100"},
		{Config{MaxWait: 1, MaxQueue: 1<<30 + 1}, "MaxQueue is 1073741825, must be from 0 to 1073741824"},
		{Config{Max: -1}, "Max is -1, must be from Min, 5, to 1073741824"},
		{Config{Min: 8, Max: 7}, "Max is 7, must be from Min, 8, to 1073741824"},
		{Config{Initial: 4}, "Initial is 4, must be from Min, 5, to Max, 200"},
		{Config{Initial: 201}, "Initial is 201, must be from Min, 5, to Max, 200"},
		{Config{Backoff: 1}, "Backoff is 1, must be from 0.5 to below 1"},
		{Config{Backoff: 0.4}, "Backoff is 0.4, must be from 0.5 to below 1"},
		{Config{Backoff: nan}, "Backoff is NaN, must be from 0.5 to below 1"},
		{Config{SlowCall: -1}, "SlowCall is -1ns, must be zero or positive"},
		{Config{CallerDeadline: -1}, "CallerDeadline is -1ns, must be zero or positive"},
		{Config{Tolerance: 0.9}, "Tolerance is 0.9, must be from 1 to 100"},
		{Config{Tolerance: nan}, "Tolerance is NaN, must be from 1 to 100"},
		{Config{MaxWait: -1}, "MaxWait is -1ns, must be zero or positive"},
		{Config{MaxWait: 1, MaxQueue: -1}, "MaxQueue is -1, must be from 0 to 1073741824"},
		{Config{MaxQueue: 5}, "MaxWait is 0s, must be positive if MaxQueue is given"},
		{Config{Fixed: 1, MaxQueue: 5}, "MaxWait is 0s, must be positive if MaxQueue is given"},
		{Config{Reserved: 1}, "Reserved is 1, must be from 0 to 0.9"},
		{Config{Reserved: -0.1}, "Reserved is -0.1, must be from 0 to 0.9"},
		{Config{Reserved: nan}, "Reserved is NaN, must be from 0 to 0.9"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			tt.config.Name = "billing"
			want := "limit: billing: " + tt.want
			l := New(tt.config)
			if got := text(l.Check()); got != want {
				t.Errorf("Check() = %q, want %q", got, want)
			}
			err := l.Do(t.Context(), func(context.Context) error {
				t.Error("the call ran")
				return nil
			})
			if got := text(err); got != want {
				t.Errorf("Do: %q, want %q", got, want)
			}
			says, ok := errors.AsType[interface {
				error
				Retryable() bool
			}](err)
			if !ok || says.Retryable() {
				t.Error("the error does not say that a repetition is pointless")
			}
			l.Reset()
			if l.Limit() != 0 || l.InFlight() != 0 || l.Waiting() != 0 {
				t.Errorf("limit %d, %d in flight, %d waiting; want none", l.Limit(), l.InFlight(), l.Waiting())
			}
		})
	}
	if got, want := text(Fixed(0).Check()), "limit: Fixed is 0, must be positive"; got != want {
		t.Errorf("Fixed(0): %q, want %q", got, want)
	}
	if got, want := text(Fixed(-1).Check()), "limit: Fixed is -1, must be from 1 to 1073741824"; got != want {
		t.Errorf("Fixed(-1): %q, want %q", got, want)
	}
}

func TestZero(t *testing.T) {
	const want = "limit: Limiter is nil or zero, must be made with New or Fixed"
	for name, l := range map[string]*Limiter{"nil": nil, "zero": {}} {
		t.Run(name, func(t *testing.T) {
			if got := text(l.Do(t.Context(), succeed)); got != want {
				t.Errorf("Do: %q, want %q", got, want)
			}
			l.Reset()
			if l.Limit() != 0 || l.InFlight() != 0 || l.Waiting() != 0 || l.Name() != "" {
				t.Error("it has numbers or a name")
			}
		})
	}
	for name, g := range map[string]*Group{"nil": nil, "zero": {}} {
		t.Run("group "+name, func(t *testing.T) {
			const want = "limit: Group is nil or zero, must be made with NewGroup"
			if got := text(g.Do(t.Context(), succeed)); got != want {
				t.Errorf("Do: %q, want %q", got, want)
			}
			if got := text(g.For(t.Context()).Check()); got != want {
				t.Errorf("Check() of For = %q, want %q", got, want)
			}
			if got := g.Explain().Kind; got != explain.Limit || len(g.Limiters()) != 0 {
				t.Errorf("kind %v, limiters %v; want limit and none", got, g.Limiters())
			}
		})
	}
}

func TestExplain(t *testing.T) {
	key := func(context.Context) string { return "" }
	tests := []struct {
		layer explain.Explainer
		want  explain.Facts
	}{
		{Fixed(3), explain.Facts{Kind: explain.Limit, MaxInFlight: 3}},
		{New(Config{Name: "a", Fixed: 3, MaxWait: time.Second}), explain.Facts{Kind: explain.Limit, Name: "a", MaxInFlight: 3, MaxWait: time.Second}},
		{New(Config{Name: "a"}), explain.Facts{Kind: explain.Limit, Name: "a", MaxInFlight: 200, Adaptive: true}},
		{NewGroup(GroupConfig{Limiter: Config{Name: "a", Max: 50}, Key: key}), explain.Facts{PerKey: true, Kind: explain.Limit, Name: "a", MaxInFlight: 50, Adaptive: true}},
	}
	for _, tt := range tests {
		if got := tt.layer.Explain(); got != tt.want {
			t.Errorf("Explain() = %+v, want %+v", got, tt.want)
		}
	}
}

func TestDefaultClassify(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want Outcome
	}{
		{"nil", nil, Success},
		{"says nothing", errDown, Ignored},
		{"a deadline", context.DeadlineExceeded, Dropped},
		{"a cancellation of its own", context.Canceled, Ignored},
		{"a timeout", speaks{timeout: true}, Dropped},
		{"throttled", speaks{throttled: true}, Dropped},
		{"a failure of the dependency", speaks{failure: true}, Dropped},
		{"none of the dependency", speaks{}, Success},
		{"wrapped", fmt.Errorf("billing: %w", speaks{failure: true}), Dropped},
		{"refused", speaks{rejected: true, throttled: true, timeout: true, failure: true}, Ignored},
		{"refused by a limiter", &Error{}, Ignored},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := DefaultClassify(tt.err); got != tt.want {
				t.Errorf("DefaultClassify(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}

func TestStrings(t *testing.T) {
	for got, want := range map[fmt.Stringer]string{
		Success: "success", Dropped: "dropped", Ignored: "ignored", Outcome(7): "outcome(7)",
		AIMD: "aimd", Gradient2: "gradient2", Algorithm(7): "algorithm(7)",
	} {
		if got.String() != want {
			t.Errorf("String() = %q, want %q", got, want)
		}
	}
}
