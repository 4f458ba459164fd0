package sdktest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A path is a way in which a layer refuses a call, gives it up or cuts it short.
type path struct {
	name  string
	layer func(t *testing.T) redoubt.Layer

	// before are the ends of calls that lead to the path, and after is the
	// time from them on.
	before []error
	after  time.Duration

	call   func(context.Context) error
	limit  time.Duration // the caller's deadline
	cancel time.Duration // when the caller cancels

	// misuse is a mistake in the program that Check tells of. A layer alone
	// only returns it.
	misuse bool
}

func paths() []path {
	policy := func(p retry.Policy) func(*testing.T) redoubt.Layer {
		return func(*testing.T) redoubt.Layer { return p }
	}
	circuit := func(change ...func(*breaker.Config)) func(*testing.T) redoubt.Layer {
		return func(t *testing.T) redoubt.Layer { return twice(t, "circuit", change...) }
	}
	fail := func(context.Context) error { return errDown }
	trip := []error{errDown, errDown}
	return append(limitPaths(), []path{
		{name: "timeout: limit expires", layer: func(*testing.T) redoubt.Layer { return timeout.Limit(time.Second) }, call: hang},
		{name: "timeout: negative", layer: func(*testing.T) redoubt.Layer { return timeout.Limit(-1) }, call: succeed, misuse: true},

		{name: "retry: attempts", layer: policy(retry.Policy{}), call: fail},
		{name: "retry: one attempt", layer: policy(retry.Policy{MaxAttempts: 1}), call: fail},
		{name: "retry: backoff ends", layer: policy(retry.Policy{Backoff: waits()}), call: fail},
		{name: "retry: permanent", layer: policy(retry.Policy{}), call: func(context.Context) error { return retry.Permanent(errDown) }},
		{name: "retry: permanent by backoff", layer: policy(retry.Policy{}), call: func(context.Context) error { return backoff.Permanent(errDown) }},
		{name: "retry: not retryable", layer: policy(retry.Policy{Retryable: func(error) bool { return false }}), call: fail},
		{
			name: "retry: budget",
			layer: func(*testing.T) redoubt.Layer {
				return retry.Policy{Budget: retry.NewBudget(retry.BudgetConfig{Burst: 1, MinPerSecond: retry.NoFloor})}
			},
			call: fail,
		},
		{name: "retry: deadline", layer: policy(retry.Policy{Backoff: waits(time.Minute)}), call: fail, limit: time.Second},
		{name: "retry: retry after", layer: policy(retry.Policy{}), call: func(context.Context) error { return unavailable{time.Hour} }},
		{name: "retry: cancelled before the first attempt", layer: policy(retry.Policy{}), call: succeed, cancel: -1},
		{name: "retry: cancelled during an attempt", layer: policy(retry.Policy{}), call: hang, cancel: time.Second},
		{name: "retry: cancelled during a wait", layer: policy(retry.Policy{Backoff: waits(time.Minute)}), call: fail, cancel: time.Second},
		{name: "retry: deadline passes during an attempt", layer: policy(retry.Policy{}), call: hang, limit: time.Second},
		{
			name:  "retry: nested",
			layer: policy(retry.Policy{MaxAttempts: 2, Backoff: waits(0)}),
			call:  func(ctx context.Context) error { return retry.Policy{}.Do(ctx, fail) },
		},
		{name: "retry: negative attempts", layer: policy(retry.Policy{MaxAttempts: -1}), call: succeed, misuse: true},
		{name: "retry: no backoff", layer: policy(retry.Policy{Backoff: func() backoff.BackOff { return nil }}), call: fail, misuse: true},

		{name: "breaker: trips", layer: circuit(), before: trip[:1], call: fail},
		{name: "breaker: open", layer: circuit(), before: trip, call: succeed},
		{name: "breaker: forced open", layer: func(t *testing.T) redoubt.Layer {
			br := twice(t, "circuit")
			br.ForceOpen()
			return br
		}, call: succeed},
		{name: "breaker: half-open is full", layer: func(t *testing.T) redoubt.Layer {
			br := twice(t, "circuit")
			return redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
				return br.Do(ctx, func(ctx context.Context) error {
					if br.State() != breaker.HalfOpen {
						return call(ctx)
					}
					return br.Do(ctx, call)
				})
			})
		}, before: trip, after: 5 * time.Second, call: succeed},
		{name: "breaker: probe fails", layer: circuit(), before: trip, after: 5 * time.Second, call: fail},
		{name: "breaker: probe hangs", layer: circuit(), before: trip, after: 5 * time.Second, call: func(context.Context) error {
			time.Sleep(time.Minute)
			return nil
		}},
		{name: "breaker: slow", layer: circuit(func(c *breaker.Config) {
			c.Consecutive, c.Window, c.SlowCall, c.MinCalls = 0, time.Minute, time.Second, 1
		}), call: func(context.Context) error {
			time.Sleep(time.Minute)
			return nil
		}},
		{name: "breaker: shadow", layer: circuit(func(c *breaker.Config) { c.Shadow = true }), before: trip, call: succeed},
		{name: "breaker: in a group", layer: func(*testing.T) redoubt.Layer {
			g := breaker.NewGroup(breaker.GroupConfig{
				Breaker: breaker.Config{Name: "group", Consecutive: 2},
				Key:     func(context.Context) string { return "host" },
			})
			t := g.For(context.Background())
			t.ForceOpen()
			return g
		}, call: succeed},
		{name: "breaker: no name", layer: func(*testing.T) redoubt.Layer { return breaker.New(breaker.Config{}) }, call: succeed, misuse: true},
		{name: "breaker: nil", layer: func(*testing.T) redoubt.Layer { return (*breaker.Breaker)(nil) }, call: succeed, misuse: true},
		{name: "breaker: group without a key", layer: func(*testing.T) redoubt.Layer {
			return breaker.NewGroup(breaker.GroupConfig{Breaker: breaker.Config{Name: "group"}})
		}, call: succeed, misuse: true},
	}...)
}

// run goes the path in calls of do, with flush between what leads to it and
// itself.
func (p path) run(t *testing.T, do func(context.Context, redoubt.Layer, func(context.Context) error) error, flush func()) {
	layer := p.layer(t)
	for _, end := range p.before {
		do(t.Context(), layer, script(end))
	}
	time.Sleep(p.after)
	flush()

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	switch {
	case p.limit > 0:
		ctx, cancel = context.WithTimeout(ctx, p.limit)
		defer cancel()
	case p.cancel < 0:
		cancel()
	case p.cancel > 0:
		time.AfterFunc(p.cancel, cancel)
	}
	do(ctx, layer, p.call)
}

// TestNothingIsSilent holds that whatever fails or is refused leaves a trace in
// each kind of signal: under an edge a failed span and a metric, and with no
// edge a metric and, if the caller has a span, something there or beneath.
func TestNothingIsSilent(t *testing.T) {
	for _, p := range paths() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				p.run(t, func(ctx context.Context, layer redoubt.Layer, call func(context.Context) error) error {
					return do(ctx, redoubt.Stack{s.telemetry("billing"), layer}, call)
				}, func() {
					s.recorder.Reset()
					s.metrics(t)
				})
				text := s.spans()
				if text == "" || strings.Contains(text, "NOT ENDED") {
					t.Errorf("spans:\n%s", text)
				}
				// A shadow refuses nothing, and a slow success is one.
				told := strings.Contains(text, "internal error(") || strings.Contains(text, "outcome=cancelled") ||
					strings.Contains(text, "event ")
				if !told && !strings.HasSuffix(p.name, "shadow") && !strings.HasSuffix(p.name, "probe hangs") {
					t.Errorf("no span tells of it:\n%s", text)
				}
				if metrics := s.metrics(t); !loud(metrics) {
					t.Errorf("no metric tells of it:\n%s", metrics)
				}
			})
		})
	}
}

// loud reports whether the metrics tell of more than a plain success.
func loud(metrics string) bool {
	for line := range strings.Lines(metrics) {
		switch {
		case strings.Contains(line, " gauge "):
		case strings.HasPrefix(line, "redoubt.retry.attempts "):
		case strings.Contains(line, "redoubt.outcome=success"):
		default:
			return true
		}
	}
	return false
}

// TestNothingIsSilentAlone is the same with layers that are used by hand,
// outside of any call of ours.
func TestNothingIsSilentAlone(t *testing.T) {
	if !inChild(t) {
		return
	}
	s := newSDK()
	s.install()
	for _, p := range paths() {
		if p.misuse {
			continue
		}
		for _, within := range []string{"no span", "a span"} {
			t.Run(p.name+" in "+within, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p.run(t, func(ctx context.Context, layer redoubt.Layer, call func(context.Context) error) error {
						if within == "a span" {
							var end func()
							ctx, end = s.span(ctx)
							defer end()
						}
						return layer.Do(ctx, call)
					}, func() {
						s.recorder.Reset()
						s.metrics(t)
					})
					if metrics := s.metrics(t); !loud(metrics) {
						t.Errorf("no metric tells of it:\n%s", metrics)
					}
					text := s.spans()
					told := strings.Contains(text, "redoubt.") || strings.Contains(text, "redoubt short-circuit")
					// A shadow is only counted, and a probe that hangs is given up
					// on by a timer.
					if within == "a span" && !told && !strings.HasSuffix(p.name, "shadow") && !strings.HasSuffix(p.name, "probe hangs") {
						t.Errorf("no span tells of it:\n%s", text)
					}
				})
			})
		}
	}
}

// span begins a span of the program's own.
func (s *sdk) span(ctx context.Context) (context.Context, func()) {
	ctx, span := s.tracer.Tracer("program").Start(ctx, "GET /invoice")
	return ctx, func() { span.End() }
}
