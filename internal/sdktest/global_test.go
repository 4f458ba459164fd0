package sdktest

import (
	"context"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// The tests of this file set OpenTelemetry's global providers, and so each has a
// process of its own.

// TestInstalledLater holds that breakers and budgets that were made before the
// program installed its SDK are seen by it, and that a breaker whose cooldown is
// over is seen to be half-open with no call at all. The SDK collects with a lock
// held: if the breaker moved then, counting that would make instruments, which
// needs the lock, and hang for good.
func TestInstalledLater(t *testing.T) {
	if !inChild(t) {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		br := twice(t, "billing")
		budget := retry.NewBudget(retry.BudgetConfig{Name: "billing"})
		stack := redoubt.Stack{retry.Policy{MaxAttempts: 2, Backoff: waits(0), Budget: budget}, br}
		do(t.Context(), stack, script(errDown, errDown))

		s := newSDK()
		s.install()
		same(t, "metrics once installed", s.metrics(t), `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=billing} gauge 1
			redoubt.budget.balance {retry} {redoubt.layer.name=billing} gauge 9
		`)

		time.Sleep(5 * time.Second)
		same(t, "metrics after the cooldown", s.metrics(t), `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=billing} gauge 1
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=billing} gauge 0
			redoubt.budget.balance {retry} {redoubt.layer.name=billing} gauge 9
		`)

		do(t.Context(), stack, succeed)
		same(t, "metrics of the probe", s.metrics(t), `
			redoubt.attempt.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 0
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=billing} gauge 1
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=billing} gauge 0
			redoubt.breaker.transitions {transition} {redoubt.breaker.from=half-open redoubt.breaker.to=closed redoubt.layer.name=billing redoubt.reason=probes_succeeded} sum 1
			redoubt.breaker.transitions {transition} {redoubt.breaker.from=open redoubt.breaker.to=half-open redoubt.layer.name=billing redoubt.reason=cooldown} sum 1
			redoubt.budget.balance {retry} {redoubt.layer.name=billing} gauge 9.2
			redoubt.call.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 0
			redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=false} sum 1
			redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 1
		`)
		same(t, "spans", s.spans(), `
			#1 redoubt billing internal unset 0s-0s
			   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
			   event redoubt.breaker.transition at 0s: redoubt.breaker.from=open redoubt.breaker.generation=2 redoubt.breaker.to=half-open redoubt.layer.name=billing redoubt.reason=cooldown
			   event redoubt.breaker.transition at 0s: redoubt.breaker.from=half-open redoubt.breaker.generation=3 redoubt.breaker.to=closed redoubt.layer.name=billing redoubt.reason=probes_succeeded
			   #2 attempt billing internal unset 0s-0s
			      redoubt.attempt=1 redoubt.name=billing
		`)
	})
}

// TestInstalledFirst is the other order.
func TestInstalledFirst(t *testing.T) {
	if !inChild(t) {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		s.install()
		br := breaker.New(breaker.Config{Name: "billing", FailureRatio: 0.5, Window: time.Minute, Jitter: breaker.NoJitter})
		for _, err := range []error{errDown, nil, nil, nil} {
			br.Do(t.Context(), script(err))
		}
		same(t, "metrics when closed", s.metrics(t), `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=billing} gauge 0.25
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=billing} gauge 1
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=billing} gauge 0
		`)
		br.ForceOpen()
		same(t, "metrics when forced open", s.metrics(t), `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=billing} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=billing} gauge 1
			redoubt.breaker.transitions {transition} {redoubt.breaker.from=closed redoubt.breaker.to=open redoubt.layer.name=billing redoubt.reason=forced} sum 1
		`)
	})
}

// TestStackItself holds that a Stack's own Do is a call as redoubt.Do makes one, with
// the global SDK and with that of a Telemetry that it begins with; and that what an
// open breaker refuses before the layers around it begin is told as ever.
func TestStackItself(t *testing.T) {
	if !inChild(t) {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		global, given, edge := newSDK(), newSDK(), newSDK()
		global.install()
		br := twice(t, "circuit")
		stack := redoubt.Stack{timeout.Limit(time.Minute), br}
		_ = stack.Do(t.Context(), succeed)
		_ = redoubt.Stack{given.telemetry("billing"), stack}.Do(t.Context(), succeed)
		br.ForceOpen()
		_ = stack.Do(t.Context(), succeed)
		_ = fetch(t.Context(), t, edge.edge(http.DefaultTransport, stack...), http.MethodGet, nil)
		same(t, "spans of the global SDK", global.spans(), `
			#1 redoubt circuit internal unset 0s-0s
			   redoubt.attempts=1 redoubt.name=circuit redoubt.outcome=success
			   #2 attempt circuit internal unset 0s-0s
			      redoubt.attempt=1 redoubt.name=circuit
			#3 redoubt circuit internal error(breaker: circuit is open (forced)) 0s-0s
			   error.type=breaker_open redoubt.attempts=0 redoubt.name=circuit redoubt.outcome=rejected
			   #4 redoubt short-circuit internal error(breaker: circuit is open (forced)) 0s-0s
			      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=circuit redoubt.layer=breaker redoubt.reason=breaker_open
		`)
		same(t, "spans of the one that was given", given.spans(), `
			#1 redoubt billing internal unset 0s-0s
			   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
			   #2 attempt billing internal unset 0s-0s
			      redoubt.attempt=1 redoubt.name=billing
		`)
		same(t, "spans of the edge", edge.spans(), `
			#1 redoubt billing internal error(breaker: circuit is open (forced)) 0s-0s
			   error.type=breaker_open redoubt.attempts=0 redoubt.name=billing redoubt.outcome=rejected
			   #2 redoubt short-circuit internal error(breaker: circuit is open (forced)) 0s-0s
			      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=circuit redoubt.layer=breaker redoubt.reason=breaker_open
		`)
	})
}

// TestGroups holds that the gauges of a group are about all of its breakers or
// budgets, and that no key is among the attributes.
func TestGroups(t *testing.T) {
	if !inChild(t) {
		return
	}
	type hostKey struct{}
	host := func(ctx context.Context) string {
		name, _ := ctx.Value(hostKey{}).(string)
		return name
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		s.install()
		stack := redoubt.Stack{
			retry.Policy{MaxAttempts: 2, Backoff: waits(0), Budgets: retry.NewBudgetGroup(retry.BudgetGroupConfig{
				Budget: retry.BudgetConfig{Name: "hosts", Burst: 4}, Key: host,
			})},
			breaker.NewGroup(breaker.GroupConfig{
				Breaker: breaker.Config{Name: "hosts", FailureRatio: 0.9, MinCalls: 2, Window: time.Minute}, Key: host,
			}),
		}
		same(t, "metrics of empty groups", s.metrics(t), `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=hosts} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=hosts} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=hosts} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=hosts} gauge 0
			redoubt.budget.balance {retry} {redoubt.layer.name=hosts} gauge 4
		`)

		call := func(host string, ends ...error) {
			do(context.WithValue(t.Context(), hostKey{}, host), stack, script(ends...))
		}
		call("well")
		call("ill", errDown) // and then a success
		call("down", errDown, errDown)
		call("down", errDown, errDown)
		var gauges []string
		for line := range strings.Lines(s.metrics(t)) {
			if strings.Contains(line, " gauge ") {
				gauges = append(gauges, line)
			}
		}
		same(t, "gauges", strings.Join(gauges, ""), `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=hosts} gauge 0.5
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=hosts} gauge 2
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=hosts} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=hosts} gauge 1
			redoubt.budget.balance {retry} {redoubt.layer.name=hosts} gauge 3
		`)
	})
}

// TestCollectedAsGarbage holds that OpenTelemetry does not keep breakers and
// budgets alive, whether they were made before the SDK was installed or after.
func TestCollectedAsGarbage(t *testing.T) {
	if !inChild(t) {
		return
	}
	makeThem := func(when string) {
		breaker.New(breaker.Config{Name: "breaker made " + when})
		breaker.NewGroup(breaker.GroupConfig{Breaker: breaker.Config{Name: "group made " + when}})
		retry.NewBudget(retry.BudgetConfig{Name: "budget made " + when})
		retry.NewBudgetGroup(retry.BudgetGroupConfig{Budget: retry.BudgetConfig{Name: "budgets made " + when}})
	}
	kept := breaker.New(breaker.Config{Name: "kept"})
	makeThem("before")
	s := newSDK()
	s.install()
	makeThem("after")
	for range 3 { // what is new enough may survive the first
		runtime.GC()
	}
	got := s.metrics(t)
	if strings.Contains(got, " made ") {
		t.Errorf("garbage is still observed:\n%s", got)
	}
	if !strings.Contains(got, "=kept") {
		t.Errorf("what is in use is not observed:\n%s", got)
	}
	runtime.KeepAlive(kept)
}

// TestPlaceholderGiven holds that the providers which a program got before it
// installed its SDK, and gave to us, work once it has.
func TestPlaceholderGiven(t *testing.T) {
	if !inChild(t) {
		return
	}
	early := redoubt.Stack{redoubt.Telemetry{
		Name:           "early",
		TracerProvider: otel.GetTracerProvider(),
		MeterProvider:  otel.GetMeterProvider(),
	}}
	if err := do(t.Context(), early, succeed); err != nil {
		t.Fatal(err)
	}
	s := newSDK()
	s.install()
	do(t.Context(), early, succeed)
	if got := len(s.recorder.Ended()); got != 2 {
		t.Errorf("%d spans, want 2", got)
	}
	if got := s.metrics(t); !strings.Contains(got, "redoubt.calls {call} {redoubt.name=early") {
		t.Errorf("metrics:\n%s", got)
	}
}

// TestReplaced holds that a second SDK gets what the first got, as in a test
// suite that sets the global providers for each test.
func TestReplaced(t *testing.T) {
	if !inChild(t) {
		return
	}
	stack := redoubt.Stack{redoubt.Telemetry{Name: "billing"}}
	for i := range 3 {
		s := newSDK()
		s.install()
		br := breaker.New(breaker.Config{Name: "billing"})
		do(t.Context(), stack, succeed)
		if got := len(s.recorder.Ended()); got != 2 {
			t.Errorf("SDK %d got %d spans, want 2", i, got)
		}
		got := s.metrics(t)
		runtime.KeepAlive(br)
		if !strings.Contains(got, "redoubt.calls ") || !strings.Contains(got, "redoubt.breaker.state ") {
			t.Errorf("SDK %d got the metrics:\n%s", i, got)
		}
	}
}

// TestGivenByHand holds that providers given by hand are used instead of the
// global ones, each for itself.
func TestGivenByHand(t *testing.T) {
	if !inChild(t) {
		return
	}
	global := newSDK()
	global.install()
	tests := []struct {
		name                string
		tracer, meter       bool
		ownSpans, ownCalls  bool
		restSpans, restCall bool
	}{
		{"both", true, true, true, true, false, false},
		{"tracer alone", true, false, true, false, false, true},
		{"meter alone", false, true, false, true, true, false},
		{"none", false, false, false, false, true, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			own := newSDK()
			layer := redoubt.Telemetry{Name: "billing"}
			if tt.tracer {
				layer.TracerProvider = own.tracer
			}
			if tt.meter {
				layer.MeterProvider = own.meter
			}
			global.recorder.Reset()
			global.metrics(t)
			do(t.Context(), redoubt.Stack{layer}, succeed)

			check := func(what string, got, want bool) {
				if got != want {
					t.Errorf("%s: %t, want %t", what, got, want)
				}
			}
			check("spans by hand", len(own.recorder.Ended()) == 2, tt.ownSpans)
			check("metrics by hand", own.metrics(t) != "", tt.ownCalls)
			check("spans globally", len(global.recorder.Ended()) == 2, tt.restSpans)
			check("metrics globally", global.metrics(t) != "", tt.restCall)
		})
	}
}

// TestNamesakes holds that breakers of one name add up, and that of budgets of
// one name the lowest is told.
func TestNamesakes(t *testing.T) {
	if !inChild(t) {
		return
	}
	s := newSDK()
	s.install()
	first, second := twice(t, "billing"), twice(t, "billing")
	second.ForceOpen()
	poor, rich := retry.NewBudget(retry.BudgetConfig{Name: "billing", Burst: 2}), retry.NewBudget(retry.BudgetConfig{Name: "billing", Burst: 9})
	same(t, "metrics", s.metrics(t), `
		redoubt.breaker.failure_ratio 1 {redoubt.layer.name=billing} gauge 0
		redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=billing} gauge 1
		redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=billing} gauge 0
		redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=billing} gauge 1
		redoubt.breaker.transitions {transition} {redoubt.breaker.from=closed redoubt.breaker.to=open redoubt.layer.name=billing redoubt.reason=forced} sum 1
		redoubt.budget.balance {retry} {redoubt.layer.name=billing} gauge 2
	`)
	runtime.KeepAlive([]any{first, second, poor, rich})
}

// TestConcurrent is for the race detector: calls, collections and new breakers
// at once, beginning before the SDK is installed. It hung when each breaker that
// became garbage unregistered a callback of its own.
func TestConcurrent(t *testing.T) {
	if !inChild(t) {
		return
	}
	s := newSDK()
	br := breaker.New(breaker.Config{Name: "shared", Consecutive: 5, Cooldown: time.Millisecond, SlowCall: time.Second})
	stack := redoubt.Stack{retry.Policy{MaxAttempts: 2, Backoff: waits(0)}, br}
	const callers, calls = 8, 100
	var group sync.WaitGroup
	for range callers {
		group.Go(func() {
			for i := range calls {
				do(t.Context(), stack, script(errDown, []error{errDown, nil}[i%2]))
				breaker.New(breaker.Config{Name: "short-lived"})
			}
		})
	}
	group.Go(runtime.GC)
	group.Go(s.install)
	group.Go(func() {
		for range calls {
			s.metrics(t)
		}
	})
	group.Wait()
	if got, want := len(s.recorder.Started()), len(s.recorder.Ended()); got != want {
		t.Errorf("%d spans began, %d ended", got, want)
	}
}
