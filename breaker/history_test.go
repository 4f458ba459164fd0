package breaker

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

func TestStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{Window: time.Minute, FailureRatio: 0.5, MinCalls: 2})
		start := time.Now()
		want := func(when string, want Status) {
			t.Helper()
			if got := b.Status(); got != want {
				t.Errorf("%s: Status() =\n\t%+v, want\n\t%+v", when, got, want)
			}
		}
		want("new", Status{})
		b.Do(t.Context(), succeed)
		want("after a success", Status{Counts: Counts{Successes: 1}})
		time.Sleep(time.Second)
		b.Do(t.Context(), fail)
		opened := start.Add(time.Second)
		want("open", Status{State: Open, Generation: 1, Since: opened, Until: opened.Add(time.Second)})

		time.Sleep(time.Second)
		looked := Status{State: HalfOpen, Generation: 1, Since: opened}
		want("cooldown over", looked)
		want("looked at again", looked)
		if got := len(b.History()); got != 1 {
			t.Errorf("%d state changes after a look, want 1: looking changes nothing", got)
		}
		wantState(t, b, HalfOpen)
		want("half-open", Status{State: HalfOpen, Generation: 2, Since: opened.Add(time.Second)})

		b.ForceOpen()
		want("forced open", Status{State: Open, Forced: true, Generation: 3, Since: opened.Add(time.Second)})
		b.ForceClosed()
		want("forced closed", Status{Forced: true, Generation: 4, Since: opened.Add(time.Second)})
		b.Reset()
		want("reset", Status{Generation: 5, Since: opened.Add(time.Second)})
	})
}

func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []Transition
		b := newTest(t, Config{OnTransition: func(t Transition) { told = append(told, t) }})
		if got := b.History(); got != nil {
			t.Errorf("History of a new breaker = %v, want none", got)
		}
		for i := range 3 * maxHistory {
			b.Do(t.Context(), fail)
			time.Sleep(time.Minute)
			b.Do(t.Context(), succeed)
			want := told[max(0, len(told)-maxHistory):]
			got := b.History()
			if !slices.EqualFunc(got, want, sameTransition) {
				t.Fatalf("after %d times: History() =\n\t%+v, want\n\t%+v", i, got, want)
			}
			if got, want := b.Status().Since, want[len(want)-1].At; got != want {
				t.Errorf("Since = %v, want %v", got, want)
			}
		}
		if got := b.History()[0]; !errors.Is(got.Err, errDown) && got.To == Open {
			t.Errorf("%+v has not the error", got)
		}
	})
}

func sameTransition(a, b Transition) bool {
	return a.Name == b.Name && a.Key == b.Key && a.From == b.From && a.To == b.To && a.Reason == b.Reason &&
		a.Generation == b.Generation && a.Counts == b.Counts && errors.Is(a.Err, b.Err) && a.Cooldown == b.Cooldown &&
		a.At.Equal(b.At) && a.TraceID == b.TraceID
}

func TestHistory_OfGroup(t *testing.T) {
	g := NewGroup(GroupConfig{
		Breaker: Config{Name: "tenants", Consecutive: 1},
		Key:     func(context.Context) string { return "a" },
	})
	g.Do(t.Context(), fail)
	h := g.Breakers()["a"].History()
	if len(h) != 1 || h[0].Name != "tenants" || h[0].Key != "a" || h[0].Err != errDown || h[0].Reason != ReasonConsecutive {
		t.Errorf("History() = %+v", h)
	}
	if got := g.Breakers()["a"].Config(); got.Cooldown != DefaultCooldown || got.Consecutive != 1 {
		t.Errorf("Config() of a breaker = %+v", got)
	}
	if got := g.Config().Breaker; got.Cooldown != DefaultCooldown || got.Consecutive != 1 {
		t.Errorf("Config().Breaker = %+v", got)
	}
}

// TestHistory_Unused holds that a breaker that was never made, or made wrong,
// has nothing to tell, and does not panic.
func TestHistory_Unused(t *testing.T) {
	for name, b := range map[string]*Breaker{"nil": nil, "zero": {}, "wrong": New(Config{})} {
		if b.History() != nil || b.Status() != (Status{}) {
			t.Errorf("%s: %v, %+v", name, b.History(), b.Status())
		}
		b.Config()
	}
	var g *Group
	if g.Config().Max != 0 {
		t.Error("a nil group has a configuration")
	}
}

// TestHistory_Idle holds that a breaker grew by no more than a pointer for its
// history.
func TestHistory_Idle(t *testing.T) {
	b := newTest(t, Config{Window: time.Second, FailureRatio: 1})
	for range 100 {
		b.Do(t.Context(), succeed)
	}
	if b.past != nil {
		t.Error("a breaker that never opened keeps a history")
	}
	const most = 160 // bytes of what is kept of a change
	if got := unsafe.Sizeof(passed{}); got > most {
		t.Errorf("a state change takes %d bytes, want at most %d", got, most)
	}
}
