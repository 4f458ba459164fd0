package breaker

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wantChain reports transitions that are missing, double or out of order.
func wantChain(t *testing.T, list []Transition) {
	t.Helper()
	state, generation := Closed, uint64(0)
	for i, tr := range list {
		if tr.From != state || tr.Generation != generation+1 {
			t.Fatalf("transition %d is from %v, generation %d; want from %v, %d", i, tr.From, tr.Generation, state, generation+1)
		}
		state, generation = tr.To, tr.Generation
	}
}

// TestTransition holds every field of every transition of a circuit's life.
func TestTransition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var diary diary
		b := newTest(t, Config{Consecutive: 2, OnTransition: diary.write})
		start := time.Now()
		counts := Counts{Successes: 1, Failures: 2, Consecutive: 2}

		b.Do(t.Context(), succeed)
		b.Do(t.Context(), fail)
		b.Do(t.Context(), fail)
		time.Sleep(3 * time.Second)
		b.Do(t.Context(), func(context.Context) error { return errSluggish })
		time.Sleep(3 * time.Second)
		b.Do(t.Context(), succeed)
		b.ForceOpen()
		b.Reset()

		want := []Transition{
			{Name: "billing", From: Closed, To: Open, Reason: ReasonConsecutive, Generation: 1, Counts: counts, Err: errDown, Cooldown: time.Second, At: start},
			{Name: "billing", From: Open, To: HalfOpen, Reason: ReasonCooldown, Generation: 2, At: start.Add(3 * time.Second)},
			{Name: "billing", From: HalfOpen, To: Open, Reason: ReasonProbeFailed, Generation: 3, Counts: counts, Err: errSluggish, Cooldown: 2 * time.Second, At: start.Add(3 * time.Second)},
			{Name: "billing", From: Open, To: HalfOpen, Reason: ReasonCooldown, Generation: 4, At: start.Add(6 * time.Second)},
			{Name: "billing", From: HalfOpen, To: Closed, Reason: ReasonProbes, Generation: 5, At: start.Add(6 * time.Second)},
			{Name: "billing", From: Closed, To: Open, Reason: ReasonForced, Generation: 6, At: start.Add(6 * time.Second)},
			{Name: "billing", From: Open, To: Closed, Reason: ReasonReset, Generation: 7, At: start.Add(6 * time.Second)},
		}
		got := diary.read()
		if len(got) != len(want) {
			t.Fatalf("%d transitions, want %d: %s", len(got), len(want), route(got))
		}
		for i := range want {
			if !equal(got[i], want[i]) {
				t.Errorf("transition %d:\ngot  %+v\nwant %+v", i, got[i], want[i])
			}
		}
	})
}

// equal compares what is exported.
func equal(a, b Transition) bool {
	return a.Name == b.Name && a.Key == b.Key && a.From == b.From && a.To == b.To && a.Reason == b.Reason &&
		a.Generation == b.Generation && a.Counts == b.Counts && errors.Is(a.Err, b.Err) && a.Cooldown == b.Cooldown &&
		a.At.Equal(b.At) && a.TraceID == b.TraceID
}

// TestOnTransition_Reentrant has OnTransition do to the breaker what it likes.
func TestOnTransition_Reentrant(t *testing.T) {
	tests := []struct {
		name string
		do   func(*Breaker, Transition)
		want string
	}{
		{"looks", func(b *Breaker, _ Transition) { b.State(); b.Counts(); b.Name() }, "closed>open:consecutive"},
		{"calls", func(b *Breaker, _ Transition) { b.Do(context.Background(), succeed) }, "closed>open:consecutive"},
		{"resets", func(b *Breaker, tr Transition) {
			if tr.To == Open {
				b.Reset()
			}
		}, "closed>open:consecutive open>closed:reset"},
		{"forces and resets", func(b *Breaker, tr Transition) {
			if tr.Generation == 1 {
				b.ForceClosed()
				b.ForceOpen()
				b.Reset()
			}
		}, "closed>open:consecutive open>closed:forced closed>open:forced open>closed:reset"},
		{"forces step by step", func(b *Breaker, tr Transition) {
			if tr.Generation < 4 {
				b.ForceOpen()
				b.ForceClosed()
			}
		}, "closed>open:consecutive open>open:forced open>closed:forced closed>open:forced open>closed:forced closed>open:forced open>closed:forced"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var b *Breaker
			var list []Transition
			inside := false
			b = newTest(t, Config{OnTransition: func(tr Transition) {
				if inside {
					t.Error("OnTransition is told of a change while it runs")
				}
				inside = true
				defer func() { inside = false }()
				list = append(list, tr)
				tt.do(b, tr)
			}})
			wantErr(t, b.Do(t.Context(), fail), errDown)
			wantChain(t, list)
			if got := route(list); got != tt.want {
				t.Errorf("transitions %s, want %s", got, tt.want)
			}
		})
	}
}

// TestOnTransition_DoesNotReturn has OnTransition panic or exit, first when it
// is told that the circuit opens. The breaker has to go on, and whoever called
// it gets the panic.
func TestOnTransition_DoesNotReturn(t *testing.T) {
	for name, leave := range map[string]func(){
		"panics": func() { panic("OnTransition") },
		"exits":  runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var diary diary
				var b *Breaker
				b = newTest(t, Config{OnTransition: func(tr Transition) {
					diary.write(tr)
					if tr.Generation == 1 {
						b.Reset() // must be told by somebody
						leave()
					}
				}})
				panicked, returned := exits(func() { b.Do(t.Context(), fail) })
				if returned || (panicked != nil) != (name == "panics") {
					t.Errorf("Do returned = %v, panicked with %v; want what OnTransition did", returned, panicked)
				}
				if got, want := route(diary.read()), "closed>open:consecutive"; got != want {
					t.Errorf("transitions %s, want %s", got, want)
				}
				wantState(t, b, Closed)
				b.Do(t.Context(), fail)
				wantChain(t, diary.read())
				want := "closed>open:consecutive open>closed:reset closed>open:consecutive"
				if got := route(diary.read()); got != want {
					t.Errorf("transitions %s, want %s", got, want)
				}
			})
		})
	}
}

// TestOnTransition_Order has many goroutines change the state at once, with an
// OnTransition that takes its time.
func TestOnTransition_Order(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const goroutines, changes = 16, 25
		var list []Transition // OnTransition needs no lock: it runs once at a time
		b := newTest(t, Config{OnTransition: func(tr Transition) {
			list = append(list, tr)
			time.Sleep(time.Millisecond)
		}})
		var wg sync.WaitGroup
		for range goroutines {
			wg.Go(func() {
				for range changes {
					b.Reset()
					runtime.Gosched()
				}
			})
		}
		wg.Wait()
		wantChain(t, list)
		if got, want := len(list), goroutines*changes; got != want {
			t.Errorf("%d transitions were told, want %d", got, want)
		}
	})
}

// TestOnTransition_Slow holds that callers do not wait for a slow OnTransition
// that another is in.
func TestOnTransition_Slow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{OnTransition: func(Transition) { time.Sleep(time.Hour) }})
		go b.Do(t.Context(), fail)
		synctest.Wait()
		start := time.Now()
		wantRefused(t, b)
		b.Reset()
		wantRun(t, b)
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v, want no time", took)
		}
		time.Sleep(3 * time.Hour) // until it is through
	})
}

func TestLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		}))
		b := newTest(t, Config{
			Window: time.Minute, FailureRatio: 0.5, MinCalls: 4, SlowCall: time.Second, Probes: 2, Logger: logger,
		})
		b.Do(t.Context(), succeed)
		b.Do(t.Context(), takes(time.Second, nil))
		b.Do(t.Context(), fail)
		b.Do(t.Context(), fail)
		wantRefused(t, b)
		wantRefused(t, b)
		time.Sleep(time.Second)
		b.Do(t.Context(), succeed)
		b.Do(t.Context(), succeed)

		want := []string{
			`level=WARN msg="breaker: circuit is open" breaker=billing from=closed to=open reason=failure_ratio failures=2 slow=1 calls=4 cooldown=1s error=down`,
			`level=INFO msg="breaker: circuit is half-open" breaker=billing from=open to=half-open reason=cooldown`,
			`level=INFO msg="breaker: circuit is closed" breaker=billing from=half-open to=closed reason=probes_succeeded`,
		}
		if got := strings.Split(strings.TrimSpace(out.String()), "\n"); strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("logged\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// TestLogger_Silent holds that nothing is written by a breaker without a logger,
// not even to the default one.
func TestLogger_Silent(t *testing.T) {
	var out bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
	defer slog.SetDefault(before)
	b := newTest(t, Config{})
	b.Do(t.Context(), fail)
	wantRefused(t, b)
	b.Reset()
	if out.Len() > 0 {
		t.Errorf("logged %s", &out)
	}
}

// TestOnTransition_CostsNoProbe tells of a callback that did not return when its
// caller was to probe: the call never ran, its slot was lost until the probe
// timed out, and then it counted as failed. A callback that always panics so kept
// the circuit open for good.
func TestOnTransition_CostsNoProbe(t *testing.T) {
	for name, leave := range map[string]func(){"panics": func() { panic("no") }, "exits": runtime.Goexit} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTest(t, Config{OnTransition: func(tr Transition) {
					if tr.To == HalfOpen {
						leave()
					}
				}})
				b.Do(t.Context(), fail)
				time.Sleep(time.Second)
				exits(func() {
					b.Do(t.Context(), func(context.Context) error {
						t.Error("the call ran, want its caller to leave")
						return nil
					})
				})
				if err := b.Do(t.Context(), succeed); err != nil {
					t.Errorf("err = %v, want the next call to probe", err)
				}
				wantState(t, b, Closed)
			})
		})
	}
}

// TestOnTransition_CostsNoSlowCall is the same for a closed circuit: a call that
// never ran counted as slow.
func TestOnTransition_CostsNoSlowCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *Breaker
		b = newTest(t, Config{
			Window: time.Minute, FailureRatio: 1, MinCalls: 1, SlowCall: time.Second,
			OnTransition: func(tr Transition) {
				if tr.To == Open {
					b.Reset() // which the next caller is told of
				}
				panic("no")
			},
		})
		for _, call := range []func(context.Context) error{fail, succeed} {
			if panicked, _ := exits(func() { b.Do(t.Context(), call) }); panicked == nil {
				t.Error("Do returned, want the panic of OnTransition")
			}
		}
		time.Sleep(time.Second)
		if got := b.Counts(); got != (Counts{}) {
			t.Errorf("Counts() = %+v, want none of a call that never ran", got)
		}
	})
}
