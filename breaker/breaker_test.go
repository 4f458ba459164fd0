package breaker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/sony/gobreaker/v2"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// TestDo_Opens holds with which call each rule opens the circuit.
func TestDo_Opens(t *testing.T) {
	ratio := Config{Window: 10 * time.Second, FailureRatio: 0.5, MinCalls: 4}
	consecutive := Config{Consecutive: 3}
	tests := []struct {
		name   string
		config Config
		calls  string // s succeeds, f fails, w says that it was slow, i is ignored
		want   State
	}{
		{"nothing", ratio, "", Closed},
		{"too few calls", ratio, "fff", Closed},
		{"enough calls", ratio, "ffff", Open},
		{"below the ratio", ratio, "sssssf", Closed},
		{"the ratio", ratio, "ssff", Open},
		{"a success never opens it", ratio, "fffs", Closed},
		{"the failure after it does", ratio, "fffsf", Open},
		{"ignored calls are no calls", ratio, "fffiiii", Closed},
		{"a slow call asks for the verdict", ratio, "fffw", Open},

		{"short of a row", consecutive, "ff", Closed},
		{"a row", consecutive, "fff", Open},
		{"a success ends a row", consecutive, "ffsff", Closed},
		{"an ignored call does not", consecutive, "fifif", Open},
		{"a slow call does not", consecutive, "fwfwf", Open},
	}
	outcomes := map[rune]error{'s': nil, 'f': errDown, 'w': errSluggish, 'i': rejection(true)}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.config.Classify = classify
			b := newTest(t, tt.config)
			for _, c := range tt.calls {
				wantErr(t, b.Do(t.Context(), func(context.Context) error { return outcomes[c] }), outcomes[c])
			}
			wantState(t, b, tt.want)
		})
	}
}

func TestDo_Window(t *testing.T) {
	tests := []struct {
		name  string
		pause time.Duration // between the first failure and the second
		want  State
	}{
		{"within", 10*time.Second - 1, Open},
		{"gone", 10 * time.Second, Closed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTest(t, Config{Window: 10 * time.Second, FailureRatio: 1, MinCalls: 2})
				b.Do(t.Context(), fail)
				time.Sleep(tt.pause)
				b.Do(t.Context(), fail)
				wantState(t, b, tt.want)
			})
		})
	}
}

// TestDo_Cooldown follows a circuit to the nanosecond.
func TestDo_Cooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{Cooldown: 5 * time.Second, MaxCooldown: 15 * time.Second})
		opened := time.Now()
		b.Do(t.Context(), fail)
		for _, cooldown := range []time.Duration{5 * time.Second, 10 * time.Second, 15 * time.Second, 15 * time.Second} {
			refusal := wantRefused(t, b)
			if got, want := refusal.Until.Sub(opened), cooldown; got != want || !refusal.Opened.Equal(opened) {
				t.Errorf("opened at %v for %v, want at %v for %v", refusal.Opened, got, opened, want)
			}
			time.Sleep(cooldown - 1)
			wantRefused(t, b)
			wantState(t, b, Open)
			time.Sleep(time.Nanosecond)
			opened = time.Now()
			wantErr(t, b.Do(t.Context(), fail), errDown) // the probe
			wantState(t, b, Open)
		}
		time.Sleep(15 * time.Second)
		wantRun(t, b)
		wantState(t, b, Closed)

		b.Do(t.Context(), fail)
		if got, _ := wantRefused(t, b).RetryAfter(); got != 5*time.Second {
			t.Errorf("cooldown after the circuit was closed = %v, want 5s again", got)
		}
	})
}

func TestDo_HonorRetryAfter(t *testing.T) {
	tests := []struct {
		name   string
		honors bool
		err    error
		want   time.Duration
	}{
		{"yes", true, unavailable(7 * time.Second), 7 * time.Second},
		{"wrapped", true, fmt.Errorf("call: %w", unavailable(7*time.Second)), 7 * time.Second},
		{"too long", true, unavailable(time.Hour), DefaultMaxCooldown},
		{"shorter than the cooldown", true, unavailable(time.Millisecond), time.Second},
		{"the server does not say", true, errDown, time.Second},
		{"the error does not know", true, vagueError{}, time.Second},
		{"no", false, unavailable(7 * time.Second), time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTest(t, Config{HonorRetryAfter: tt.honors})
				b.Do(t.Context(), func(context.Context) error { return tt.err })
				if got, _ := wantRefused(t, b).RetryAfter(); got != tt.want {
					t.Errorf("cooldown = %v, want %v", got, tt.want)
				}
				time.Sleep(tt.want)
				b.Do(t.Context(), func(context.Context) error { return tt.err }) // a probe's, too
				if got, _ := wantRefused(t, b).RetryAfter(); got != max(tt.want, 2*time.Second) {
					t.Errorf("cooldown after a probe = %v, want %v", got, max(tt.want, 2*time.Second))
				}
			})
		})
	}
}

// vagueError has a time to wait that it says is not one.
type vagueError struct{}

func (vagueError) Error() string                     { return "does not know" }
func (vagueError) RetryAfter() (time.Duration, bool) { return 7 * time.Second, false }

// TestDo_Probes holds that of many callers at once only so many pass.
func TestDo_Probes(t *testing.T) {
	for probes := 1; probes <= 5; probes++ {
		t.Run(fmt.Sprint(probes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTest(t, Config{Probes: probes})
				b.Do(t.Context(), fail)
				time.Sleep(time.Second)
				var ran, refused atomic.Int64
				var wg sync.WaitGroup
				for range 50 {
					wg.Go(func() {
						err := b.Do(t.Context(), func(context.Context) error {
							ran.Add(1)
							time.Sleep(time.Second)
							return nil
						})
						if errors.Is(err, gobreaker.ErrTooManyRequests) {
							refused.Add(1)
						}
					})
				}
				synctest.Wait()
				if ran.Load() != int64(probes) || refused.Load() != int64(50-probes) {
					t.Errorf("%d ran, %d were refused; want %d and %d", ran.Load(), refused.Load(), probes, 50-probes)
				}
				wantState(t, b, HalfOpen)
				wg.Wait()
				wantState(t, b, Closed)
			})
		})
	}
}

// TestDo_Probe holds what each way for a probe to end means.
func TestDo_Probe(t *testing.T) {
	tests := []struct {
		name   string
		config Config
		probe  func(context.Context) error
		after  time.Duration // at which the circuit is looked at
		want   State
		reason Reason
		err    error
	}{
		{"succeeds", Config{}, succeed, 0, Closed, ReasonProbes, nil},
		{"fails", Config{}, fail, 0, Open, ReasonProbeFailed, errDown},
		{"says it was slow", Config{}, func(context.Context) error { return errSluggish }, 0, Open, ReasonProbeFailed, errSluggish},
		{"is ignored", Config{}, func(context.Context) error { return rejection(true) }, 0, HalfOpen, ReasonCooldown, nil},
		{"takes just not too long", Config{}, takes(10*time.Second-1, nil), 10 * time.Second, Closed, ReasonProbes, nil},
		{"runs", Config{}, takes(time.Hour, nil), 10*time.Second - 1, HalfOpen, ReasonCooldown, nil},
		{"hangs", Config{}, takes(time.Hour, nil), 10 * time.Second, Open, ReasonProbeTimeout, errProbeTimeout},
		{"runs and may be slow", Config{Window: 60, SlowCall: time.Second}, takes(time.Hour, nil), time.Second - 1, HalfOpen, ReasonCooldown, nil},
		{"is slow", Config{Window: 60, SlowCall: time.Second}, takes(time.Hour, nil), time.Second, Open, ReasonProbeFailed, errSlow},
		{"hangs before it is slow", Config{Window: 60, SlowCall: time.Minute}, takes(time.Hour, nil), 10 * time.Second, Open, ReasonProbeTimeout, errProbeTimeout},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var diary diary
				tt.config.Consecutive = 1
				tt.config.Classify = classify
				tt.config.OnTransition = diary.write
				b := newTest(t, tt.config)
				b.Do(t.Context(), fail)
				time.Sleep(time.Second)
				go b.Do(t.Context(), tt.probe)
				time.Sleep(tt.after)
				got := diary.last()
				if got.To != tt.want || got.Reason != tt.reason || !errors.Is(got.Err, tt.err) {
					t.Errorf("to %v, %v, %v; want %v, %v, %v", got.To, got.Reason, got.Err, tt.want, tt.reason, tt.err)
				}
				time.Sleep(2 * time.Hour)
				wantRun(t, b)
				wantState(t, b, Closed)
			})
		})
	}
}

// TestDo_ProbeSlowAtLimit has a probe return at the very moment at which it is
// slow. Whoever of it and the watchdog comes first, the verdict is the same.
func TestDo_ProbeSlowAtLimit(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			var diary diary
			b := newTest(t, Config{Window: time.Minute, SlowCall: time.Second, Consecutive: 1, OnTransition: diary.write})
			b.Do(t.Context(), fail)
			time.Sleep(time.Second)
			b.Do(t.Context(), takes(time.Second, nil))
			if got := diary.last(); got.To != Open || got.Reason != ReasonProbeFailed || !errors.Is(got.Err, errSlow) {
				t.Fatalf("to %v, %v, %v; want open, %v, %v", got.To, got.Reason, got.Err, ReasonProbeFailed, errSlow)
			}
		})
	}
}

// TestDo_Slow holds when slow calls count, and as what.
func TestDo_Slow(t *testing.T) {
	config := Config{Window: time.Minute, SlowCall: time.Second, MinCalls: 3}
	t.Run("while they run", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newTest(t, config)
			for range 3 {
				go b.Do(t.Context(), takes(time.Hour, nil))
			}
			time.Sleep(time.Second - 1)
			wantState(t, b, Closed)
			time.Sleep(time.Nanosecond)
			refusal := wantRefused(t, b)
			if got, want := refusal.Counts, (Counts{Slow: 3}); got != want || refusal.Reason != ReasonSlowRatio {
				t.Errorf("open for %v, %+v; want %v, %+v", refusal.Reason, got, ReasonSlowRatio, want)
			}
			time.Sleep(time.Hour)
			wantRun(t, b)
			wantState(t, b, Closed) // what they return is too late
		})
	})

	asks := map[string]func(*Breaker){
		"State":        func(b *Breaker) { b.State() },
		"Counts":       func(b *Breaker) { b.Counts() },
		"a call":       func(b *Breaker) { b.Do(context.Background(), succeed) },
		"a call's end": func(*Breaker) { time.Sleep(2 * time.Second) },
	}
	for name, ask := range asks {
		t.Run("as soon as asked by "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTest(t, config)
				go b.Do(t.Context(), takes(3*time.Second, nil))
				for range 3 {
					go b.Do(t.Context(), takes(time.Hour, nil))
				}
				time.Sleep(time.Second)
				ask(b)
				synctest.Wait()
				if got := b.phase.Load().state; got != Open {
					t.Errorf("state = %v, want open", got)
				}
				time.Sleep(time.Hour)
			})
		})
	}

	tests := []struct {
		name string
		call func(context.Context) error
		want Counts
	}{
		{"just not slow", takes(time.Second-1, nil), Counts{Successes: 1}},
		{"just slow", takes(time.Second, nil), Counts{Slow: 1}},
		{"just not slow and fails", takes(time.Second-1, errDown), Counts{Failures: 1, Consecutive: 1}},
		{"slow and fails", takes(time.Second, errDown), Counts{Slow: 1, Failures: 1, Consecutive: 1, both: 1}},
		{"slow and says so", takes(time.Second, errSluggish), Counts{Slow: 1}},
		{"slow and ignored", takes(time.Second, rejection(true)), Counts{Slow: 1}},
		{"cancelled before it is slow", listensTo(time.Second - 1), Counts{}},
		{"cancelled when slow", listensTo(time.Second), Counts{Slow: 1}},
		{"slow and panics", func(context.Context) error {
			time.Sleep(time.Second)
			panic(errDown)
		}, Counts{Slow: 1, Failures: 1, Consecutive: 1, both: 1}},
	}
	for _, tt := range tests {
		for _, asked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, asked = %v", tt.name, asked), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					config := config
					config.Classify = classify
					b := newTest(t, config)
					if asked {
						// Whether anybody looked meanwhile makes no difference.
						time.AfterFunc(time.Second-1, func() { b.Counts() })
						time.AfterFunc(time.Second, func() { b.Counts() })
					}
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					exits(func() { b.Do(context.WithValue(ctx, cancelKey{}, cancel), tt.call) })
					if got := b.Counts(); got != tt.want {
						t.Errorf("Counts() = %+v, want %+v", got, tt.want)
					}
				})
			})
		}
	}
}

type cancelKey struct{}

// listensTo returns a call whose caller cancels it after d.
func listensTo(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		time.Sleep(d)
		ctx.Value(cancelKey{}).(context.CancelFunc)()
		return ctx.Err()
	}
}

// TestDo_HangUntilCallersDeadline is the pitfall that the package's
// documentation tells of, and what helps: a dependency that hangs until the
// callers run out of time is nobody's failure, but it is slow.
func TestDo_HangUntilCallersDeadline(t *testing.T) {
	tests := []struct {
		slowCall time.Duration
		want     State
	}{{0, Closed}, {time.Second, Open}}
	for _, tt := range tests {
		t.Run(tt.slowCall.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newTest(t, Config{Window: time.Hour, FailureRatio: 0.5, SlowCall: tt.slowCall, MinCalls: 5})
				for range 5 {
					ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
					wantErr(t, b.Do(ctx, listens), context.DeadlineExceeded)
					cancel()
				}
				wantState(t, b, tt.want)
			})
		})
	}
}

// TestDo_SlowFailures has a dependency that times out for most calls, after
// they have counted as slow: that is both slow and failed, and enough for
// either rule.
func TestDo_SlowFailures(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprintf("busy = %v", busy), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var diary diary
				b := newTest(t, Config{
					Window: time.Hour, SlowCall: time.Second, FailureRatio: 0.5, MinCalls: 10,
					OnTransition: diary.write,
				})
				var wg sync.WaitGroup
				for n := range 10 {
					call := takes(2*time.Second, errDown)
					if n%5 == 0 {
						call = succeed
					}
					if busy {
						wg.Go(func() { b.Do(t.Context(), call) })
						time.Sleep(100 * time.Millisecond)
						continue
					}
					b.Do(t.Context(), call)
				}
				wg.Wait()
				got := diary.last()
				if got.Reason != ReasonFailureRatio || got.Counts.Calls() != 10 {
					t.Errorf("opened for %q with %d calls, want %q with 10", got.Reason, got.Counts.Calls(), ReasonFailureRatio)
				}
			})
		})
	}
}

func TestDo_Late(t *testing.T) {
	enters := map[State]func(*Breaker){
		Open:     func(b *Breaker) { b.Do(context.Background(), fail) },
		HalfOpen: func(b *Breaker) { b.Do(context.Background(), fail); time.Sleep(time.Second); b.State() },
		Closed:   func(b *Breaker) { b.Reset() },
	}
	for want, enter := range enters {
		for _, err := range []error{nil, errDown, rejection(true), errSluggish} {
			t.Run(fmt.Sprintf("%v, %v", want, err), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var diary diary
					b := newTest(t, Config{Cooldown: time.Second, Classify: classify, OnTransition: diary.write})
					ends := make(chan struct{})
					for range 3 {
						go b.Do(t.Context(), func(context.Context) error {
							<-ends
							return err
						})
					}
					synctest.Wait()
					enter(b)
					before := len(diary.read())
					close(ends)
					if got := len(diary.read()); got != before {
						t.Errorf("%d transitions, want %d: late results change nothing", got, before)
					}
					if got := b.Counts(); got != (Counts{}) {
						t.Errorf("Counts() = %+v, want none: late results count as nothing", got)
					}
					wantState(t, b, want)
				})
			})
		}
	}
}

func TestShadow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var diary diary
		b := newTest(t, Config{Shadow: true, OnTransition: diary.write})
		wantErr(t, b.Do(t.Context(), fail), errDown)
		wantState(t, b, Open)
		for range 3 {
			wantRun(t, b)
			wantErr(t, b.Do(t.Context(), fail), errDown)
		}
		if got := len(diary.read()); got != 1 {
			t.Errorf("%d transitions, want 1: calls that would be refused don't count", got)
		}
		time.Sleep(time.Second)
		go b.Do(t.Context(), takes(time.Second, nil)) // the probe
		synctest.Wait()
		wantErr(t, b.Do(t.Context(), fail), errDown) // would be refused
		wantState(t, b, HalfOpen)
		time.Sleep(time.Second)
		synctest.Wait()
		wantState(t, b, Closed)

		b.ForceOpen()
		wantRun(t, b)
		wantState(t, b, Open)
	})
}

func TestForce(t *testing.T) {
	type step func(*Breaker)
	var (
		forceOpen   step = (*Breaker).ForceOpen
		forceClosed step = (*Breaker).ForceClosed
		reset       step = (*Breaker).Reset
		fails       step = func(b *Breaker) { b.Do(context.Background(), fail) }
		waits       step = func(*Breaker) { time.Sleep(time.Hour) }
		asks        step = func(b *Breaker) { b.State() }
	)
	tests := []struct {
		name  string
		steps []step
		want  State
		told  string
	}{
		{"open", []step{forceOpen}, Open, "closed>open:forced"},
		{"open twice", []step{forceOpen, forceOpen}, Open, "closed>open:forced"},
		{"open stays", []step{forceOpen, waits, asks}, Open, "closed>open:forced"},
		{"closed", []step{forceClosed}, Closed, "closed>closed:forced"},
		{"closed twice", []step{forceClosed, forceClosed}, Closed, "closed>closed:forced"},
		{"closed counts nothing", []step{forceClosed, fails, fails}, Closed, "closed>closed:forced"},
		{"open, closed", []step{forceOpen, forceClosed, fails}, Closed, "closed>open:forced open>closed:forced"},
		{"closed, open", []step{forceClosed, forceOpen, waits}, Open, "closed>closed:forced closed>open:forced"},
		{"an open one stays", []step{fails, forceOpen, waits, asks}, Open, "closed>open:consecutive open>open:forced"},
		{"an open one is closed", []step{fails, forceClosed, fails}, Closed, "closed>open:consecutive open>closed:forced"},
		{"a half-open one", []step{fails, waits, asks, forceOpen, waits}, Open, "closed>open:consecutive open>half-open:cooldown half-open>open:forced"},
		{"reset", []step{reset}, Closed, "closed>closed:reset"},
		{"reset an open one", []step{fails, reset}, Closed, "closed>open:consecutive open>closed:reset"},
		{"reset a half-open one", []step{fails, waits, asks, reset}, Closed, "closed>open:consecutive open>half-open:cooldown half-open>closed:reset"},
		{"reset what was forced open", []step{forceOpen, reset, fails}, Open, "closed>open:forced open>closed:reset closed>open:consecutive"},
		{"reset what was forced closed", []step{forceClosed, reset, fails}, Open, "closed>closed:forced closed>closed:reset closed>open:consecutive"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var diary diary
				b := newTest(t, Config{OnTransition: diary.write})
				for _, step := range tt.steps {
					step(b)
				}
				wantState(t, b, tt.want)
				if tt.want == Open {
					wantRefused(t, b)
				} else {
					wantRun(t, b)
				}
				if got := route(diary.read()); got != tt.told {
					t.Errorf("transitions %s, want %s", got, tt.told)
				}
			})
		})
	}

	t.Run("reset forgets", func(t *testing.T) {
		b := newTest(t, Config{Consecutive: 2})
		b.Do(t.Context(), fail)
		b.Reset()
		if got := b.Counts(); got != (Counts{}) {
			t.Errorf("Counts() = %+v after Reset, want none", got)
		}
		b.Do(t.Context(), fail)
		wantState(t, b, Closed)
	})

	t.Run("reset forgets how long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := newTest(t, Config{})
			for range 5 {
				b.Do(t.Context(), fail)
				time.Sleep(time.Minute)
			}
			b.Reset()
			b.Do(t.Context(), fail)
			if got, _ := wantRefused(t, b).RetryAfter(); got != time.Second {
				t.Errorf("cooldown = %v, want 1s", got)
			}
		})
	})

	t.Run("while a probe hangs", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var diary diary
			b := newTest(t, Config{OnTransition: diary.write})
			b.Do(t.Context(), fail)
			time.Sleep(time.Second)
			go b.Do(t.Context(), takes(time.Hour, errDown))
			synctest.Wait()
			b.Reset()
			before := len(diary.read())
			time.Sleep(2 * time.Hour)
			if got := len(diary.read()); got != before {
				t.Errorf("%d transitions, want %d: the probe's watchdog is late", got, before)
			}
		})
	})
}

// TestBad holds that what was not made as it must be refuses calls with an
// error and does no harm.
func TestBad(t *testing.T) {
	type layer interface {
		Do(context.Context, func(context.Context) error) error
		Check() error
		Explain() explain.Facts
	}
	for name, bad := range map[string]layer{
		"nil Breaker":  (*Breaker)(nil),
		"zero Breaker": new(Breaker),
		"nil Group":    (*Group)(nil),
		"zero Group":   new(Group),
	} {
		t.Run(name, func(t *testing.T) {
			if bad.Check() == nil {
				t.Error("Check() = nil, want an error")
			}
			err := bad.Do(t.Context(), func(context.Context) error {
				t.Error("the call ran")
				return nil
			})
			wantErr(t, err, bad.Check())
			if got, want := bad.Explain(), (explain.Facts{Kind: explain.Breaker}); got != want {
				t.Errorf("Explain() = %+v, want %+v", got, want)
			}
			var b *Breaker
			switch bad := bad.(type) {
			case *Breaker:
				b = bad
			case *Group:
				b = bad.For(t.Context())
				if got := len(bad.Breakers()); got != 0 {
					t.Errorf("Breakers() has %d, want none", got)
				}
			}
			b.ForceOpen()
			b.ForceClosed()
			b.Reset()
			if err := b.Refusal(); err != nil {
				t.Errorf("Refusal() = %v, want nil: it runs nothing, and says so in Do", err)
			}
			if b.State() != Closed || b.Counts() != (Counts{}) || b.Name() != "" {
				t.Errorf("State, Counts, Name = %v, %+v, %q, want zeros", b.State(), b.Counts(), b.Name())
			}
		})
	}
}

func TestDo_BadArguments(t *testing.T) {
	b := newTest(t, Config{})
	g := NewGroup(GroupConfig{Breaker: Config{Name: "billing"}, Key: func(context.Context) string { return "" }})
	for _, layer := range []interface {
		Do(context.Context, func(context.Context) error) error
	}{b, g} {
		if err := layer.Do(nil, succeed); err == nil { //nolint:staticcheck // That is the point.
			t.Errorf("%T: nil context: no error", layer)
		}
		if err := layer.Do(t.Context(), nil); err == nil {
			t.Errorf("%T: nil call: no error", layer)
		}
	}
	if got := b.Counts(); got != (Counts{}) {
		t.Errorf("Counts() = %+v, want none", got)
	}
}

// TestDo_EndedContext holds that the call decides what to do about a context
// that has ended, and that it counts as nothing.
func TestDo_EndedContext(t *testing.T) {
	b := newTest(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, b.Do(ctx, listens), context.Canceled)
	if got := b.Counts(); got != (Counts{}) {
		t.Errorf("Counts() = %+v, want none", got)
	}
}

// TestDo_Storm has many callers do everything at once. It is for the race
// detector, and for what only happens when steps interleave.
func TestDo_Storm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var diary diary
		b := newTest(t, Config{
			Window: time.Second, FailureRatio: 0.5, MinCalls: 5, SlowCall: 50 * time.Millisecond, SlowRatio: 0.5,
			Cooldown: 20 * time.Millisecond, MaxCooldown: 100 * time.Millisecond, Probes: 3, ProbeTimeout: 50 * time.Millisecond,
			OnTransition: diary.write,
		})
		var wg sync.WaitGroup
		for caller := range 32 {
			wg.Go(func() {
				random := rand.New(rand.NewPCG(uint64(caller), 1))
				for range 200 {
					time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
					switch random.IntN(100) {
					case 0:
						b.Reset()
					case 1:
						b.ForceOpen()
						b.Reset()
					case 2:
						b.State()
					case 3:
						exits(func() { b.Do(t.Context(), goexit) })
					case 4:
						exits(func() { b.Do(t.Context(), func(context.Context) error { panic("storm") }) })
					default:
						d := time.Duration(random.IntN(60)) * time.Millisecond
						b.Do(t.Context(), takes(d, pick[error](random, nil, nil, errDown, rejection(true))))
					}
				}
			})
		}
		wg.Wait()
		list := diary.read()
		wantChain(t, list)
		if n := len(list); n < 50 {
			t.Errorf("%d transitions, want a storm", n)
		}
		time.Sleep(time.Second)
		for range 3 {
			wantRun(t, b)
		}
		wantState(t, b, Closed)
		if b.flights.oldest != nil {
			t.Error("calls that have ended are still listed")
		}
	})
}

// TestNew_Collected holds that a breaker that was dropped does not live on in
// the registration of its gauges, nor in a probe's timer.
func TestNew_Collected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := func(context.Context) string { return "key" }
		config := Config{Name: "billing", Consecutive: 1, Jitter: NoJitter, ProbeTimeout: time.Hour}
		use := func(do func(context.Context, func(context.Context) error) error) {
			do(t.Context(), fail)
			time.Sleep(DefaultCooldown)
			wantErr(t, do(t.Context(), succeed), nil)
		}
		breaker := weak.Make(func() *Breaker {
			b := New(config)
			use(b.Do)
			return b
		}())
		group := weak.Make(func() *Group {
			g := NewGroup(GroupConfig{Breaker: config, Key: key})
			use(g.Do)
			return g
		}())
		inGroup := weak.Make(group.Value().For(t.Context()))
		time.Sleep(time.Second) // the runtime drops a stopped timer when it next looks at them
		for range 10 {
			runtime.GC()
		}
		for name, there := range map[string]bool{
			"breaker":                breaker.Value() != nil,
			"group":                  group.Value() != nil,
			"breaker of the group's": inGroup.Value() != nil,
		} {
			if there {
				t.Errorf("the %s is still there", name)
			}
		}
	})
}

// TestReport holds what OpenTelemetry gets to see, and that its looking changes
// nothing.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var diary diary
		config := Config{Name: "billing", Consecutive: 3, Cooldown: time.Second, Jitter: NoJitter, OnTransition: diary.write}
		type key struct{}
		g := NewGroup(GroupConfig{
			Breaker: config,
			Key:     func(ctx context.Context) string { return ctx.Value(key{}).(string) },
		})
		for key, fails := range map[string]int{"well": 0, "ailing": 2, "down": 3} {
			b := g.breakers.Get(key)
			wantRun(t, b)
			for range fails {
				b.Do(t.Context(), fail)
			}
		}
		steps := []struct {
			sleep time.Duration
			want  telemetry.BreakerReport
		}{
			{0, telemetry.BreakerReport{Name: "billing", Closed: 2, Open: 1, FailureRatio: 2. / 3}},
			{time.Second - 1, telemetry.BreakerReport{Name: "billing", Closed: 2, Open: 1, FailureRatio: 2. / 3}},
			{1, telemetry.BreakerReport{Name: "billing", Closed: 2, HalfOpen: 1, FailureRatio: 2. / 3}},
			{time.Hour, telemetry.BreakerReport{Name: "billing", Closed: 2, HalfOpen: 1}},
		}
		for _, step := range steps {
			time.Sleep(step.sleep)
			if got := g.report(); got != step.want {
				t.Errorf("report = %+v, want %+v", got, step.want)
			}
		}
		if got := len(diary.read()); got != 1 {
			t.Errorf("%d transitions, want 1: a look changes nothing", got)
		}
	})
	if got, want := invalid(errZero).report(), (telemetry.BreakerReport{}); got != want {
		t.Errorf("report of an invalid breaker = %+v, want %+v", got, want)
	}
}

func TestDo_AllocatesNothing(t *testing.T) {
	b := newTest(t, Config{Window: time.Minute, FailureRatio: 0.5})
	ctx := t.Context()
	if got := testing.AllocsPerRun(100, func() { b.Do(ctx, succeed) }); got != 0 {
		t.Errorf("a call that succeeds makes %v allocations, want none", got)
	}
}

// route is transitions in short.
func route(list []Transition) string {
	var s []byte
	for _, t := range list {
		s = fmt.Appendf(s, " %v>%v:%v", t.From, t.To, t.Reason)
	}
	return string(s[min(1, len(s)):])
}

// TestBreaker_CallerDeadline: callers who got no answer before their own
// deadlines open the circuit, if the breaker is told so and they were patient.
func TestBreaker_CallerDeadline(t *testing.T) {
	for _, tt := range []struct {
		name     string
		counted  time.Duration // Config.CallerDeadline
		deadline time.Duration
		cancel   bool
		want     State
	}{
		{"not asked for", 0, time.Minute, false, Closed},
		{"patient enough", time.Second, time.Second, false, Open},
		{"too impatient", time.Second, time.Second - 1, false, Closed},
		{"cancelled", time.Second, time.Minute, true, Closed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New(Config{Name: "billing", Consecutive: 3, CallerDeadline: tt.counted})
				time.Sleep(time.Hour) // what counts is how old the call is
				for range 3 {
					ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
					if tt.cancel {
						time.AfterFunc(tt.deadline/2, cancel)
					}
					_ = b.Do(ctx, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
					cancel()
				}
				if got := b.State(); got != tt.want {
					t.Errorf("after three hangs the circuit is %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestBreaker_IgnoredJudgesNothing: it is failures that open a circuit, and not
// the passing of the successes before them.
func TestBreaker_IgnoredJudgesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{Window: 10 * time.Second, FailureRatio: .5, MinCalls: 4})
		for range 5 {
			_ = b.Do(t.Context(), succeed)
		}
		time.Sleep(5 * time.Second)
		for range 4 {
			_ = b.Do(t.Context(), fail)
		}
		time.Sleep(5 * time.Second)
		if got := b.Counts(); got.Successes != 0 || got.Failures != 4 {
			t.Fatalf("%+v, want four failures", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		_ = b.Do(ctx, func(ctx context.Context) error { cancel(); return ctx.Err() })
		wantState(t, b, Closed)
		_ = b.Do(t.Context(), succeed)
		wantState(t, b, Closed)
		_ = b.Do(t.Context(), fail)
		wantState(t, b, Open)
	})
}

// TestGroup_ForcedOpen: the refusal tells whose circuit it is, and since when.
func TestGroup_ForcedOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGroup(GroupConfig{Breaker: Config{Name: "billing"}, Key: func(context.Context) string { return "a.example" }})
		g.For(t.Context()).ForceOpen()
		var refusal *OpenError
		if err := g.Do(t.Context(), succeed); !errors.As(err, &refusal) || refusal.Key != "a.example" || !refusal.Opened.Equal(time.Now()) {
			t.Errorf("%#v, want that of a.example, opened now", err)
		}
	})
}

// TestBreaker_SlowBesideOldCalls: calls from before the circuit opened, and probes,
// come and go without another that becomes slow being lost.
func TestBreaker_SlowBesideOldCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{SlowCall: time.Minute, Window: time.Hour, Consecutive: 1})
		var calls sync.WaitGroup
		takes := func(d time.Duration) {
			calls.Go(func() { _ = b.Do(t.Context(), func(context.Context) error { time.Sleep(d); return nil }) })
			synctest.Wait()
		}
		takes(5 * time.Second) // old, when it ends
		_ = b.Do(t.Context(), fail)
		time.Sleep(2 * time.Second)
		_ = b.Do(t.Context(), succeed) // the probe
		wantState(t, b, Closed)
		takes(time.Hour)
		time.Sleep(time.Minute)
		if got := b.Counts(); got.Slow != 1 {
			t.Errorf("%+v, want the call that still runs to be slow", got)
		}
		calls.Wait()
	})
}

func TestBreaker_Refusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{Probes: 1})
		want := func(when string, want error) {
			t.Helper()
			if got := b.Refusal(); !errors.Is(got, want) {
				t.Errorf("%s: Refusal() = %v, want %v", when, got, want)
			}
		}
		want("closed", nil)
		_ = b.Do(t.Context(), fail)
		want("open", ErrOpen)
		if got, want := b.Refusal(), b.Do(t.Context(), succeed); got != want {
			t.Errorf("Refusal() = %v, Do = %v", got, want)
		}
		time.Sleep(time.Second)
		want("cooldown over", nil)
		wantState(t, b, HalfOpen)
		want("half-open", nil)
		_ = b.Do(t.Context(), func(ctx context.Context) error {
			want("probe under way", nil) // which is not known without asking for a probe
			return nil
		})
		wantState(t, b, Closed)

		b.ForceOpen()
		want("forced open", ErrOpen)
		b.ForceClosed()
		want("forced closed", nil)

		b = newTest(t, Config{Shadow: true})
		b.ForceOpen()
		want("shadow", nil)
		b = New(Config{Name: "billing", Probes: -1})
		want("misconfigured", nil)
		b = nil
		want("nil", nil)
	})
}
