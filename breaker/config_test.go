package breaker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/timeout"
)

func TestConfig_Defaults(t *testing.T) {
	// all is what a Config with nothing but a name stands for.
	all := Config{
		Name:         "billing",
		Window:       10 * time.Second,
		Buckets:      10,
		MinCalls:     20,
		FailureRatio: 0.5,
		Cooldown:     5 * time.Second,
		MaxCooldown:  time.Minute,
		Jitter:       0.2,
		Probes:       1,
		ProbeTimeout: 10 * time.Second,
	}
	tests := []struct {
		name   string
		config Config
		want   func(*Config)
	}{
		{"name only", Config{}, func(*Config) {}},
		{"window", Config{Window: time.Hour}, func(c *Config) { c.Window = time.Hour }},
		{
			"other rule",
			Config{Consecutive: 3},
			func(c *Config) { c.FailureRatio, c.Consecutive = 0, 3 },
		},
		{
			"slow call",
			Config{SlowCall: time.Second, Window: time.Minute},
			func(c *Config) { c.SlowCall, c.SlowRatio, c.Window = time.Second, 1, time.Minute },
		},
		{
			"ratios have no window of their own",
			Config{FailureRatio: 0.1},
			func(c *Config) { c.FailureRatio, c.Window = 0.1, 0 },
		},
		{"no jitter", Config{Jitter: NoJitter}, func(c *Config) { c.Jitter = 0 }},
		{
			"cooldown above the default of its bound",
			Config{Cooldown: time.Hour},
			func(c *Config) { c.Cooldown, c.MaxCooldown = time.Hour, time.Hour },
		},
		{
			"all given",
			Config{
				Window: 1, Buckets: 2, MinCalls: 3, FailureRatio: 0.4, SlowCall: 5, SlowRatio: 0.6, Consecutive: 7,
				Cooldown: 8, MaxCooldown: 9, Jitter: 0.1, Probes: 11, ProbeTimeout: 12,
			},
			func(c *Config) {
				*c = Config{
					Name: "billing", Window: 1, Buckets: 2, MinCalls: 3, FailureRatio: 0.4, SlowCall: 5, SlowRatio: 0.6, Consecutive: 7,
					Cooldown: 8, MaxCooldown: 9, Jitter: 0.1, Probes: 11, ProbeTimeout: 12,
				}
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Name = "billing"
			want := all
			tt.want(&want)
			got := tt.config.withDefaults()
			if got.Classify == nil || got.Classify(errDown) != Failure {
				t.Error("Classify is not DefaultClassify")
			}
			got.Classify = nil
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestConfig_Check(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		config Config
		want   string // "" if nothing is wrong
	}{
		{Config{Name: "billing"}, ""},
		{Config{Name: "billing", SlowCall: time.Second, Window: time.Second}, ""},
		{Config{Name: "billing", Consecutive: math.MaxInt, Probes: math.MaxInt, MinCalls: math.MaxInt}, ""},
		{Config{Name: "billing", Cooldown: math.MaxInt64, ProbeTimeout: math.MaxInt64, Window: math.MaxInt64}, ""},
		{Config{Name: "billing", FailureRatio: 1, SlowRatio: 1, SlowCall: 1, Window: 60, Buckets: 60, Jitter: 1}, ""},

		{Config{}, "breaker: Name is empty, must name the breaker"},
		{Config{Name: "billing", Window: -1}, "breaker: billing: Window is -1ns, must be positive"},
		{Config{Name: "billing", Window: -1, Consecutive: 5}, "breaker: billing: Window is -1ns, must be positive"},
		{Config{Name: "billing", Window: -1, FailureRatio: 0.5}, "breaker: billing: Window is -1ns, must be positive"},
		{Config{Name: "billing", FailureRatio: 0.5}, "breaker: billing: Window is 0s, must be positive if a ratio is given"},
		{Config{Name: "billing", SlowCall: 1, SlowRatio: 0.5}, "breaker: billing: Window is 0s, must be positive if a ratio is given"},
		{Config{Name: "billing", Window: 9}, "breaker: billing: Window is 9ns, must be at least one nanosecond for each bucket"},
		{Config{Name: "billing", Buckets: -1}, "breaker: billing: Buckets is -1, must be from 1 to 60"},
		{Config{Name: "billing", Buckets: 61}, "breaker: billing: Buckets is 61, must be from 1 to 60"},
		{Config{Name: "billing", MinCalls: -1}, "breaker: billing: MinCalls is -1, must be positive"},
		{Config{Name: "billing", Window: 10, FailureRatio: -0.1}, "breaker: billing: FailureRatio is -0.1, must be from 0 to 1"},
		{Config{Name: "billing", Window: 10, FailureRatio: 1.1}, "breaker: billing: FailureRatio is 1.1, must be from 0 to 1"},
		{Config{Name: "billing", Window: 10, FailureRatio: nan}, "breaker: billing: FailureRatio is NaN, must be from 0 to 1"},
		{Config{Name: "billing", CallerDeadline: -1}, "breaker: billing: CallerDeadline is -1ns, must be zero or positive"},
		{Config{Name: "billing", SlowCall: -1, Consecutive: 1}, "breaker: billing: SlowCall is -1ns, must be zero or positive"},
		{Config{Name: "billing", Window: 10, SlowCall: 1, SlowRatio: -.1}, "breaker: billing: SlowRatio is -0.1, must be from 0 to 1"},
		{Config{Name: "billing", Window: 10, SlowCall: 1, SlowRatio: 1.1}, "breaker: billing: SlowRatio is 1.1, must be from 0 to 1"},
		{Config{Name: "billing", Window: 10, SlowCall: 1, SlowRatio: nan}, "breaker: billing: SlowRatio is NaN, must be from 0 to 1"},
		{Config{Name: "billing", Window: 10, SlowRatio: 0.5}, "breaker: billing: SlowCall is 0s, must be positive if SlowRatio is given"},
		{Config{Name: "billing", Consecutive: -1}, "breaker: billing: Consecutive is -1, must be zero or positive"},
		{Config{Name: "billing", Cooldown: -1}, "breaker: billing: Cooldown is -1ns, must be positive"},
		{Config{Name: "billing", Cooldown: 2, MaxCooldown: 1}, "breaker: billing: MaxCooldown is 1ns, must be at least Cooldown, 2ns"},
		{Config{Name: "billing", MaxCooldown: -1}, "breaker: billing: MaxCooldown is -1ns, must be at least Cooldown, 5s"},
		{Config{Name: "billing", Jitter: 1.1}, "breaker: billing: Jitter is 1.1, must be NoJitter or from 0 to 1"},
		{Config{Name: "billing", Jitter: -0.5}, "breaker: billing: Jitter is -0.5, must be NoJitter or from 0 to 1"},
		{Config{Name: "billing", Jitter: nan}, "breaker: billing: Jitter is NaN, must be NoJitter or from 0 to 1"},
		{Config{Name: "billing", Probes: -1}, "breaker: billing: Probes is -1, must be positive"},
		{Config{Name: "billing", ProbeTimeout: -1}, "breaker: billing: ProbeTimeout is -1ns, must be positive"},
	}
	for _, tt := range tests {
		name := strings.TrimPrefix(tt.want, "breaker: billing: ")
		t.Run(name, func(t *testing.T) {
			b := New(tt.config)
			err := b.Check()
			if got := text(err); got != tt.want {
				t.Fatalf("Check() = %q, want %q", got, tt.want)
			}
			g := NewGroup(GroupConfig{Breaker: tt.config, Key: func(context.Context) string { return "" }})
			if got := text(g.Check()); got != tt.want {
				t.Errorf("Check() of a group = %q, want %q", got, tt.want)
			}
			if tt.want == "" {
				wantRun(t, b)
				wantRun(t, g.For(t.Context()))
				return
			}
			for _, layer := range []interface {
				Do(context.Context, func(context.Context) error) error
			}{b, g, g.For(t.Context())} {
				got := layer.Do(t.Context(), func(context.Context) error {
					t.Error("the call ran")
					return nil
				})
				if text(got) != tt.want {
					t.Errorf("Do of %T = %v, want what Check said", layer, got)
				}
			}
			var says interface{ Retryable() bool }
			if !errors.As(err, &says) || says.Retryable() {
				t.Errorf("Retryable() is not false: a retry would wait for the program to correct itself")
			}
		})
	}
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestConfig_Explain(t *testing.T) {
	defaults := explain.Facts{
		Kind: explain.Breaker, Name: "billing",
		Cooldown: DefaultCooldown, MaxCooldown: DefaultMaxCooldown, Probes: DefaultProbes, ProbeTimeout: DefaultProbeTimeout,
	}
	tests := []struct {
		config Config
		want   func(*explain.Facts)
	}{
		{Config{}, func(f *explain.Facts) {
			f.Window, f.MinCalls, f.FailureRatio = 10*time.Second, DefaultMinCalls, DefaultFailureRatio
		}},
		{Config{Consecutive: 1, Shadow: true}, func(f *explain.Facts) { f.Consecutive, f.Shadow = 1, true }},
		{Config{SlowCall: 1, Window: 60, CallerDeadline: 2}, func(f *explain.Facts) {
			f.FailureRatio, f.SlowCall, f.SlowRatio = DefaultFailureRatio, 1, 1
			f.Window, f.MinCalls, f.CallerDeadline = 60, DefaultMinCalls, 2
		}},
		{Config{Consecutive: 1, Cooldown: time.Hour, Probes: 3, ProbeTimeout: 4}, func(f *explain.Facts) {
			f.Consecutive, f.Cooldown, f.MaxCooldown, f.Probes, f.ProbeTimeout = 1, time.Hour, time.Hour, 3, 4
		}},
	}
	for _, tt := range tests {
		tt.config.Name = "billing"
		want := defaults
		tt.want(&want)
		if got := New(tt.config).Explain(); got != want {
			t.Errorf("Explain() of %+v = %+v, want %+v", tt.config, got, want)
		}
		group := NewGroup(GroupConfig{Breaker: tt.config, Key: func(context.Context) string { return "" }})
		want.PerKey = true
		if got := group.Explain(); got != want {
			t.Errorf("Explain() of a group of %+v = %+v, want %+v", tt.config, got, want)
		}
		if got := group.Name(); got != "billing" {
			t.Errorf("Name() of a group = %q, want billing", got)
		}
	}
}

// rejection is an error of a layer further in, or of one that only looks so.
type rejection bool

func (rejection) Error() string    { return "rejection" }
func (r rejection) Rejected() bool { return bool(r) }

// answer says whether the dependency failed.
type answer bool

func (answer) Error() string             { return "answer" }
func (a answer) DependencyFailure() bool { return bool(a) }

func TestDefaultClassify(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want Outcome
	}{
		{"nil", nil, Success},
		{"error", errDown, Failure},
		{"context.Canceled, not the caller's", context.Canceled, Failure},
		{"context.DeadlineExceeded, not the caller's", context.DeadlineExceeded, Failure},
		{"timeout further in", &timeout.Error{Limit: time.Second}, Failure},
		{"breaker further in", &OpenError{}, Ignored},
		{"rejected", rejection(true), Ignored},
		{"rejected, wrapped", fmt.Errorf("attempt 1: %w", rejection(true)), Ignored},
		{"not rejected", rejection(false), Failure},
		{"dependency answered", answer(false), Success},
		{"dependency answered, wrapped", fmt.Errorf("get: %w", answer(false)), Success},
		{"dependency failed", answer(true), Failure},
		{"rejected rather than answered", errors.Join(answer(false), rejection(true)), Ignored},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := DefaultClassify(tt.err); got != tt.want {
				t.Errorf("DefaultClassify(%v) = %v, want %v", tt.err, got, tt.want)
			}
		})
	}
}

// TestDo_WhoGaveUp holds that the caller's doing is judged by the caller's
// context alone.
func TestDo_WhoGaveUp(t *testing.T) {
	const limit = timeout.Limit(time.Second)
	plain := func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
	tests := []struct {
		name  string
		ctx   func(context.Context) (context.Context, context.CancelFunc)
		outer timeout.Limit // outside of the breaker
		call  func(context.Context) error
		want  Counts
	}{
		{"nobody", plain, 0, takes(time.Hour, errDown), Counts{Failures: 1, Consecutive: 1}},
		{"caller cancels", cancelAfter(time.Second, nil), 0, listens, Counts{}},
		{"caller cancels for a reason", cancelAfter(time.Second, errDown), 0, listens, Counts{}},
		{"caller cancels, call fails anyhow", cancelAfter(time.Second, nil), 0, takes(time.Hour, errDown), Counts{}},
		{"caller cancels, call succeeds anyhow", cancelAfter(time.Second, nil), 0, takes(time.Hour, nil), Counts{Successes: 1}},
		{"caller's deadline", deadlineAfter(time.Second), 0, listens, Counts{}},
		{"caller's deadline, not an error of it", deadlineAfter(time.Second), 0, takes(time.Hour, errDown), Counts{}},
		{"caller's deadline before the limit", deadlineAfter(time.Second), 2 * limit, listens, Counts{}},
		{"caller cancels before the limit", cancelAfter(time.Second, nil), 2 * limit, listens, Counts{}},
		{"limit further out", plain, limit, listens, Counts{Failures: 1, Consecutive: 1}},
		{"limit further out, before the caller's deadline", deadlineAfter(time.Minute), limit, listens, Counts{Failures: 1, Consecutive: 1}},
		{"limit further out, then the caller", cancelAfter(time.Minute, nil), limit, lingers(time.Hour, errDown), Counts{Failures: 1, Consecutive: 1}},
		// Nobody looked at the context while it might have told them apart.
		{"limit further out, then the caller, and a call that asks neither", cancelAfter(time.Minute, nil), limit, takes(time.Hour, errDown), Counts{}},
		{"the call invents a cancellation", plain, 0, func(context.Context) error { return context.Canceled }, Counts{Failures: 1, Consecutive: 1}},
		{"limit further in", plain, 0, func(ctx context.Context) error { return limit.Do(ctx, listens) }, Counts{Failures: 1, Consecutive: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTest(t, Config{Consecutive: 2})
				ctx, cancel := tt.ctx(t.Context())
				defer cancel()
				tt.outer.Do(ctx, func(ctx context.Context) error { return b.Do(ctx, tt.call) })
				if got := b.Counts(); got != tt.want {
					t.Errorf("Counts() = %+v, want %+v", got, tt.want)
				}
			})
		})
	}
}

func cancelAfter(d time.Duration, cause error) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		timer := time.AfterFunc(d, func() { cancel(cause) })
		return ctx, func() {
			timer.Stop()
			cancel(nil)
		}
	}
}

func deadlineAfter(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, d)
	}
}

func TestDo_Classify(t *testing.T) {
	tests := []struct {
		verdict Outcome
		want    Counts
	}{
		{Success, Counts{Successes: 1}},
		{Failure, Counts{Failures: 1, Consecutive: 1}},
		{Slow, Counts{Slow: 1}},
		{Ignored, Counts{}},
		{Outcome(-1), Counts{Failures: 1, Consecutive: 1}},
		{Outcome(4), Counts{Failures: 1, Consecutive: 1}},
	}
	for _, tt := range tests {
		for _, err := range []error{nil, errDown} {
			t.Run(fmt.Sprint(tt.verdict, " of ", err), func(t *testing.T) {
				asked := 0
				b := newTest(t, Config{Consecutive: 2, Classify: func(got error) Outcome {
					asked++
					wantErr(t, got, err)
					return tt.verdict
				}})
				wantErr(t, b.Do(t.Context(), func(context.Context) error { return err }), err)
				if got := b.Counts(); got != tt.want || asked != 1 {
					t.Errorf("Counts() = %+v, asked %d times; want %+v, once", got, asked, tt.want)
				}
			})
		}
	}

	t.Run("panic", func(t *testing.T) {
		b := newTest(t, Config{Classify: func(error) Outcome { panic("classify") }})
		panicked, _ := exits(func() { b.Do(t.Context(), succeed) })
		if panicked != any("classify") {
			t.Errorf("panicked with %v, want the panic of Classify", panicked)
		}
		wantState(t, b, Open)
	})
}

func TestOutcome_String(t *testing.T) {
	for o, want := range map[Outcome]string{
		Success: "success", Failure: "failure", Slow: "slow", Ignored: "ignored", 7: "outcome(7)",
	} {
		if got := o.String(); got != want {
			t.Errorf("Outcome(%d).String() = %q, want %q", int(o), got, want)
		}
	}
}

func TestState_String(t *testing.T) {
	for s, want := range map[State]string{Closed: "closed", Open: "open", HalfOpen: "half-open"} {
		if got := s.String(); got != want {
			t.Errorf("State(%d).String() = %q, want %q", int(s), got, want)
		}
	}
}

// Classify is asked about slow calls too: one that it calls a failure is both.
func TestConfig_ClassifySlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		b := newTest(t, Config{
			Window: time.Minute, SlowCall: time.Second, MinCalls: 10,
			Classify: func(err error) Outcome { asked++; return DefaultClassify(err) },
		})
		for _, result := range []error{nil, errDown} {
			_ = b.Do(t.Context(), func(context.Context) error {
				time.Sleep(2 * time.Second)
				return result
			})
		}
		if got := b.Counts(); asked != 2 || got.Slow != 2 || got.Failures != 1 || got.Calls() != 2 {
			t.Errorf("asked %d times, counted %+v; want twice, two slow calls of which one failed", asked, got)
		}
	})
}
