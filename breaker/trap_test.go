package breaker

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"log/slog"
	"math"
	"net/http"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sony/gobreaker/v2"
)

// Each trap is a defect of gobreaker v2.4.0, or a way to be hurt by it, that was
// reproduced before this package was written. Its test first shows the trap, so
// that it tells when gobreaker no longer has it, and then that we are not in it.

// twoStep returns a plain gobreaker that opens at the first failure for a second.
func twoStep(settings gobreaker.Settings) *gobreaker.TwoStepCircuitBreaker[struct{}] {
	if settings.ReadyToTrip == nil {
		settings.ReadyToTrip = func(c gobreaker.Counts) bool { return c.TotalFailures > 0 }
	}
	settings.Timeout = time.Second
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](settings)
}

func allow(t *testing.T, cb *gobreaker.TwoStepCircuitBreaker[struct{}]) func(error) {
	t.Helper()
	done, err := cb.Allow()
	if err != nil {
		t.Fatal(err)
	}
	return done
}

// trap says that plain gobreaker does not behave as it is said to: the trap has
// gone, and so may what we do about it.
func trap(t *testing.T, holds bool, format string, args ...any) {
	t.Helper()
	if !holds {
		t.Errorf("gobreaker: "+format, args...)
	}
}

// G1: half-open has no expiry. A probe that hangs or exits its goroutine holds
// its place for ever.
func TestTrap_G01_ProbeThatHangs(t *testing.T) {
	t.Run("gobreaker", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			cb := twoStep(gobreaker.Settings{})
			allow(t, cb)(errDown)
			time.Sleep(2 * time.Second)
			allow(t, cb) // and nobody ever says how it ended
			time.Sleep(24 * time.Hour)
			_, err := cb.Allow()
			trap(t, errors.Is(err, gobreaker.ErrTooManyRequests), "err = %v a day later", err)
		})
	})
	tests := []struct {
		name   string
		probe  func(context.Context) error
		opens  time.Duration // after the probe began
		reason Reason
	}{
		{"hangs", takes(time.Hour, nil), 10 * time.Second, ReasonProbeTimeout},
		{"exits", goexit, 0, ReasonProbeFailed},
		{"panics", func(context.Context) error { panic("no") }, 0, ReasonProbeFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var diary diary
				b := newTest(t, Config{ProbeTimeout: 10 * time.Second, OnTransition: diary.write})
				b.Do(t.Context(), fail)
				time.Sleep(time.Second)
				probed := time.Now()
				go exits(func() { b.Do(t.Context(), tt.probe) })
				time.Sleep(tt.opens)
				if got := diary.last(); got.To != Open || got.Reason != tt.reason || got.At.Sub(probed) != tt.opens {
					t.Errorf("to %v, %v after %v, want open, %v after %v", got.To, got.Reason, got.At.Sub(probed), tt.reason, tt.opens)
				}
				time.Sleep(2 * time.Second) // the cooldown has doubled
				wantRun(t, b)
				wantState(t, b, Closed)
				time.Sleep(time.Hour)
				wantState(t, b, Closed) // what the probe returns is too late
			})
		})
	}
}

// G2: a call slower than the window is never counted.
func TestTrap_G02_CallSlowerThanWindow(t *testing.T) {
	const calls = 200
	// run starts calls of 11 s, ten a second.
	run := func(do func()) {
		var wg sync.WaitGroup
		for range calls {
			wg.Go(do)
			time.Sleep(100 * time.Millisecond)
		}
		wg.Wait()
	}
	for _, bucket := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			cb := twoStep(gobreaker.Settings{Interval: 10 * time.Second, BucketPeriod: bucket})
			run(func() {
				done := allow(t, cb)
				time.Sleep(11 * time.Second)
				done(errDown)
			})
			trap(t, cb.State() == gobreaker.StateClosed, "state = %v after %d failures", cb.State(), calls)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var diary diary
		b := newTest(t, Config{Window: 10 * time.Second, FailureRatio: 0.5, OnTransition: diary.write})
		run(func() { b.Do(t.Context(), takes(11*time.Second, errDown)) })
		want := 11*time.Second + (DefaultMinCalls-1)*100*time.Millisecond
		if got := diary.read()[0]; got.To != Open || got.At.Sub(start) != want {
			t.Errorf("to %v after %v, want open after %v: with the failure number %d", got.To, got.At.Sub(start), want, DefaultMinCalls)
		}
	})
}

// G3: gobreaker runs callbacks with its mutex locked, so that one that asks the
// breaker anything deadlocks, and a slow one holds up every caller.
func TestTrap_G03_CallbackUnderLock(t *testing.T) {
	var cb *gobreaker.TwoStepCircuitBreaker[struct{}]
	answered := make(chan struct{})
	cb = twoStep(gobreaker.Settings{OnStateChange: func(string, gobreaker.State, gobreaker.State) {
		go func() {
			cb.Counts()
			close(answered)
		}()
		for range 100 {
			runtime.Gosched()
		}
		select {
		case <-answered:
			trap(t, false, "Counts() answers during OnStateChange")
		default:
		}
	}})
	allow(t, cb)(errDown)
	<-answered

	// Ours: whatever is the user's may ask the breaker anything.
	var b *Breaker
	asked := map[string]bool{}
	ask := func(who string) {
		asked[who] = true
		b.State()
		b.Counts()
		b.Do(t.Context(), succeed)
	}
	b = newTest(t, Config{
		OnTransition: func(Transition) { ask("OnTransition") },
		Logger:       slog.New(askingHandler(func() { ask("Logger") })),
		Classify: func(err error) Outcome {
			if err != nil {
				ask("Classify")
			}
			return DefaultClassify(err)
		},
		HonorRetryAfter: true,
	})
	b.Do(t.Context(), func(context.Context) error {
		ask("call")
		return askingError(func() { ask("RetryAfter") })
	})
	for _, who := range []string{"call", "Classify", "RetryAfter", "OnTransition", "Logger"} {
		if !asked[who] {
			t.Errorf("%s was not called", who)
		}
	}
	wantState(t, b, Open)
}

type askingHandler func()

func (h askingHandler) Enabled(context.Context, slog.Level) bool  { h(); return true }
func (h askingHandler) Handle(context.Context, slog.Record) error { h(); return nil }
func (h askingHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h askingHandler) WithGroup(string) slog.Handler             { return h }

type askingError func()

func (askingError) Error() string { return "ask" }

func (e askingError) RetryAfter() (time.Duration, bool) {
	e()
	return time.Hour, true
}

// G4: counts are cleared before the state change is told.
func TestTrap_G04_CountsGoneAtChange(t *testing.T) {
	cb := twoStep(gobreaker.Settings{})
	allow(t, cb)(errDown)
	trap(t, cb.Counts() == gobreaker.Counts{}, "counts = %+v", cb.Counts())

	synctest.Test(t, func(t *testing.T) {
		var diary diary
		b := newTest(t, Config{Consecutive: 3, OnTransition: diary.write})
		b.Do(t.Context(), succeed)
		for range 3 {
			b.Do(t.Context(), fail)
		}
		got := diary.last()
		if want := (Counts{Successes: 1, Failures: 3, Consecutive: 3}); got.Counts != want {
			t.Errorf("Counts = %+v, want %+v", got.Counts, want)
		}
		wantErr(t, got.Err, errDown)
	})
}

// G5: calls under way count as calls, and so make failures look rare.
func TestTrap_G05_CallsUnderWayInRatio(t *testing.T) {
	ratio := 0.0
	cb := twoStep(gobreaker.Settings{ReadyToTrip: func(c gobreaker.Counts) bool {
		ratio = float64(c.TotalFailures) / float64(c.Requests)
		return false
	}})
	for range 9 {
		allow(t, cb)
	}
	allow(t, cb)(errDown)
	trap(t, ratio == 0.1, "ratio = %v", ratio)

	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{Window: time.Minute, FailureRatio: 1, MinCalls: 1})
		for range 9 {
			go b.Do(t.Context(), takes(time.Second, nil))
		}
		synctest.Wait()
		b.Do(t.Context(), fail)
		if got := wantRefused(t, b).Counts.FailureRatio(); got != 1 {
			t.Errorf("FailureRatio = %v, want 1", got)
		}
		time.Sleep(time.Second)
	})
}

// G6: IsExcluded is asked about successes too, so that a condition such as "not
// this error" excludes them.
func TestTrap_G06_SuccessExcluded(t *testing.T) {
	asked := false
	cb := twoStep(gobreaker.Settings{IsExcluded: func(err error) bool {
		asked = asked || err == nil
		return !errors.Is(err, errDown)
	}})
	allow(t, cb)(nil)
	trap(t, asked && cb.Counts().TotalSuccesses == 0, "asked = %v, counts = %+v", asked, cb.Counts())

	// Ours: who gave up is asked about failures only, so that a success that
	// its caller no longer waits for is a success, and closes the circuit.
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{})
		b.Do(t.Context(), fail)
		time.Sleep(time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		b.Do(ctx, func(context.Context) error {
			cancel()
			return nil
		})
		wantState(t, b, Closed)
	})
}

// G7: a response with a bad status and no error counts as a success.
func TestTrap_G07_ResponseIsNoError(t *testing.T) {
	unavailable := &http.Response{StatusCode: http.StatusServiceUnavailable}
	cb := gobreaker.NewCircuitBreaker[*http.Response](gobreaker.Settings{})
	for range 20 {
		cb.Execute(func() (*http.Response, error) { return unavailable, nil })
	}
	trap(t, cb.Counts().TotalSuccesses == 20, "counts = %+v", cb.Counts())

	// Ours: there is no result to be taken for a success. Only an error comes
	// through, and it or Classify says what it means.
	b := newTest(t, Config{Consecutive: 20})
	for range 20 {
		b.Do(t.Context(), func(context.Context) error { return statusError{unavailable.StatusCode} })
	}
	wantState(t, b, Open)

	b = newTest(t, Config{})
	err := b.Do(t.Context(), func(context.Context) error { return statusError{http.StatusNotFound} })
	wantErr(t, err, statusError{http.StatusNotFound})
	if got, want := b.Counts().Successes, int64(1); got != want {
		t.Errorf("Successes = %d after a 404, want %d", got, want)
	}
}

type statusError struct{ code int }

func (e statusError) Error() string           { return http.StatusText(e.code) }
func (e statusError) DependencyFailure() bool { return e.code >= http.StatusInternalServerError }

// G8: an open circuit becomes half-open only when somebody asks, and not yet at
// the moment that its timeout says.
func TestTrap_G08_QuietCircuit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cb := twoStep(gobreaker.Settings{})
		allow(t, cb)(errDown)
		time.Sleep(time.Second)
		trap(t, cb.State() == gobreaker.StateOpen, "state = %v at the timeout", cb.State())
	})
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{})
		b.Do(t.Context(), fail)
		time.Sleep(time.Second - 1)
		if r := b.report(); r.Open != 1 {
			t.Errorf("just before: reported %+v, want it open", r)
		}
		wantState(t, b, Open)
		time.Sleep(time.Nanosecond)
		if r := b.report(); r.HalfOpen != 1 {
			t.Errorf("at the end of the cooldown: reported %+v, want it half-open with nobody asking", r)
		}
		wantState(t, b, HalfOpen)
	})
}

// G9: MaxRequests is the cap on probes at a time, in total, and the number of
// successes that close the circuit, all at once. So is Probes, and it says so.
func TestTrap_G09_ProbesMeanThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{Probes: 3})
		b.Do(t.Context(), fail)
		time.Sleep(time.Second)

		ctx, cancel := context.WithCancel(t.Context())
		for range 2 {
			go b.Do(t.Context(), takes(time.Second, nil))
		}
		go b.Do(ctx, listens)
		synctest.Wait()
		wantErr(t, wantRefused(t, b), gobreaker.ErrTooManyRequests)

		cancel() // gives its place back and proves nothing
		synctest.Wait()
		time.Sleep(time.Second)
		synctest.Wait()
		wantState(t, b, HalfOpen)
		wantRun(t, b)
		wantState(t, b, Closed)

		b.Do(t.Context(), fail)
		time.Sleep(time.Second)
		wantRun(t, b)
		wantRun(t, b)
		b.Do(t.Context(), fail)
		wantState(t, b, Open)
	})
}

// G10: each Interval begins a new generation, which drops the results of calls
// under way and forgets consecutive failures.
func TestTrap_G10_IntervalForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cb := twoStep(gobreaker.Settings{
			Interval:    time.Second,
			ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= 2 },
		})
		allow(t, cb)(errDown)
		time.Sleep(2 * time.Second)
		allow(t, cb)(errDown)
		trap(t, cb.State() == gobreaker.StateClosed, "state = %v after two failures", cb.State())
	})
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{Consecutive: 2, Window: time.Second})
		b.Do(t.Context(), fail)
		time.Sleep(24 * time.Hour)
		b.Do(t.Context(), fail)
		wantState(t, b, Open)
	})
	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{Window: time.Second, FailureRatio: 1, MinCalls: 2})
		for range 2 {
			go b.Do(t.Context(), takes(time.Minute, errDown))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		wantState(t, b, Open)
	})
}

// G11: a BucketPeriod without an Interval switches the window off in silence,
// and one that is not shorter makes a fixed window of a rolling one.
func TestTrap_G11_WindowOffInSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cb := twoStep(gobreaker.Settings{
			BucketPeriod: time.Second,
			ReadyToTrip:  func(gobreaker.Counts) bool { return false },
		})
		allow(t, cb)(errDown)
		time.Sleep(24 * time.Hour)
		trap(t, cb.Counts().TotalFailures == 1, "counts = %+v a day later", cb.Counts())
	})
	for _, config := range []Config{
		{Name: "billing", FailureRatio: 0.5},
		{Name: "billing", SlowCall: time.Second, SlowRatio: 0.5},
		{Name: "billing", FailureRatio: 0.5, Window: 5, Buckets: 6},
	} {
		err := New(config).Check()
		if err == nil || !strings.Contains(err.Error(), "Window") {
			t.Errorf("Check() of %+v = %v, want an error about the Window", config, err)
		}
	}
}

// G12: a rolling window costs by the number of buckets, and by its square after
// a pause: 190 ms at 36,000 buckets, with the mutex locked.
func TestTrap_G12_ManyBuckets(t *testing.T) {
	config := Config{Name: "billing", FailureRatio: 0.5, Window: time.Hour, Buckets: maxBuckets}
	if err := New(config).Check(); err != nil {
		t.Errorf("%d buckets: %v, want no error", maxBuckets, err)
	}
	config.Buckets++
	if err := New(config).Check(); err == nil || !strings.Contains(err.Error(), "Buckets") {
		t.Errorf("%d buckets: err = %v, want one about Buckets", config.Buckets, err)
	}

	// A pause of any length rolls the window once.
	w := newWindow(maxBuckets, maxBuckets)
	w.add(0, Failure)
	if got := w.counts(math.MaxInt64); got != (Counts{}) {
		t.Errorf("counts = %+v after 292 years, want none", got)
	}
	w.add(math.MaxInt64, Failure)
	if got, want := w.counts(math.MaxInt64), (Counts{Failures: 1}); got != want {
		t.Errorf("counts = %+v, want %+v", got, want)
	}
}

// G13: a panic is counted as an error made of its text, whose identity is lost.
func TestTrap_G13_PanicLosesIdentity(t *testing.T) {
	var seen error
	cb := gobreaker.NewCircuitBreaker[struct{}](gobreaker.Settings{IsSuccessful: func(err error) bool {
		seen = err
		return false
	}})
	exits(func() { cb.Execute(func() (struct{}, error) { panic(http.ErrAbortHandler) }) })
	trap(t, seen != nil && !errors.Is(seen, http.ErrAbortHandler), "saw %v", seen)

	b := newTest(t, Config{})
	panicked, _ := exits(func() {
		b.Do(t.Context(), func(context.Context) error { panic(http.ErrAbortHandler) })
	})
	if panicked != any(http.ErrAbortHandler) {
		t.Errorf("panicked with %v, want %v", panicked, http.ErrAbortHandler)
	}
	wantErr(t, wantRefused(t, b).Cause, errNoReturn)
}

// G14: saying twice how a call ended counts it twice.
func TestTrap_G14_CountedTwice(t *testing.T) {
	cb := twoStep(gobreaker.Settings{ReadyToTrip: func(gobreaker.Counts) bool { return false }})
	done := allow(t, cb)
	done(errDown)
	done(errDown)
	trap(t, cb.Counts().TotalFailures == 2, "counts = %+v", cb.Counts())

	// Ours: a slow call is judged while it runs and again when it returns.
	for _, err := range []error{nil, errDown} {
		synctest.Test(t, func(t *testing.T) {
			b := newTest(t, Config{Window: time.Minute, SlowCall: time.Second})
			go b.Do(t.Context(), takes(2*time.Second, err))
			time.Sleep(time.Second)
			if got, want := b.Counts(), (Counts{Slow: 1}); got != want {
				t.Errorf("Counts() = %+v while it runs, want %+v", got, want)
			}
			time.Sleep(time.Hour)
			time.Sleep(time.Nanosecond)
			if got := b.Counts().Calls(); got != 0 {
				t.Errorf("Calls() = %d an hour later, want 0", got)
			}
			go b.Do(t.Context(), takes(2*time.Second, err))
			time.Sleep(time.Second)
			b.Counts()
			time.Sleep(time.Second)
			synctest.Wait()
			if got := b.Counts().Calls(); got != 1 {
				t.Errorf("Calls() = %d after it returned %v, want 1", got, err)
			}
		})
	}
}

// G15: a rejection says neither who rejected nor until when.
func TestTrap_G15_AnonymousRejection(t *testing.T) {
	cb := twoStep(gobreaker.Settings{Name: "billing"})
	allow(t, cb)(errDown)
	_, err := cb.Allow()
	trap(t, err != nil && !strings.Contains(err.Error(), "billing"), "err = %v", err)

	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{Name: "billing"})
		b.Do(t.Context(), fail)
		time.Sleep(time.Second / 4)
		refusal := wantRefused(t, b)
		if got, want := refusal.Error(), "breaker: billing is open (1 failure), last: down"; got != want {
			t.Errorf("Error() = %q, want %q", got, want)
		}
		if got, ok := refusal.RetryAfter(); got != time.Second*3/4 || !ok {
			t.Errorf("RetryAfter() = %v, %v, want 750ms, true", got, ok)
		}
		wantErr(t, refusal, gobreaker.ErrOpenState)
	})
}

// G16: the open state always lasts equally long, here and in all processes.
func TestTrap_G16_ConstantCooldown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var diary diary
		b := newTest(t, Config{MaxCooldown: 5 * time.Second, OnTransition: diary.write})
		for range 5 {
			b.Do(t.Context(), fail)
			time.Sleep(5 * time.Second)
		}
		wantRun(t, b)
		b.Do(t.Context(), fail)
		var got []time.Duration
		for _, tr := range diary.read() {
			if tr.To == Open {
				got = append(got, tr.Cooldown)
			}
		}
		want := []time.Duration{1 * time.Second, 2 * time.Second, 4 * time.Second, 5 * time.Second, 5 * time.Second, 1 * time.Second}
		if !slices.Equal(got, want) {
			t.Errorf("cooldowns = %v, want %v", got, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		different := map[time.Duration]bool{}
		for range 20 {
			b := newTest(t, Config{Jitter: 0.2})
			b.Do(t.Context(), fail)
			got, _ := wantRefused(t, b).RetryAfter()
			if got < 800*time.Millisecond || got > 1200*time.Millisecond {
				t.Errorf("cooldown = %v, want 1s ±20%%", got)
			}
			different[got] = true
		}
		if len(different) < 2 {
			t.Errorf("20 breakers open for %v each, want them to differ", different)
		}
	})
}

// G17: nobody can open, close or reset a circuit by hand.
func TestTrap_G17_NoManualControl(t *testing.T) {
	typ := reflect.TypeFor[*gobreaker.TwoStepCircuitBreaker[struct{}]]()
	var methods []string
	for method := range typ.Methods() {
		methods = append(methods, method.Name)
	}
	trap(t, slices.Equal(methods, []string{"Allow", "Counts", "Name", "State"}), "methods = %v", methods)

	synctest.Test(t, func(t *testing.T) {
		b := newTest(t, Config{})
		b.ForceOpen()
		time.Sleep(24 * time.Hour)
		wantRefused(t, b)
		b.ForceClosed()
		for range 3 {
			wantErr(t, b.Do(t.Context(), fail), errDown)
		}
		b.Reset()
		wantErr(t, b.Do(t.Context(), fail), errDown)
		wantRefused(t, b)
		b.Reset()
		wantRun(t, b)
	})
}

// G18: there is no clock to inject. None is needed: a bubble holds the breaker,
// its watchdog and gobreaker, to the nanosecond and for years.
func TestTrap_G18_NoClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const year = 365 * 24 * time.Hour
		b := newTest(t, Config{Cooldown: year, ProbeTimeout: year})
		b.Do(t.Context(), fail)
		time.Sleep(year - 1)
		wantRefused(t, b)
		time.Sleep(time.Nanosecond)
		go b.Do(t.Context(), takes(2*year, nil))
		time.Sleep(year - 1)
		wantState(t, b, HalfOpen)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		wantState(t, b, Open)
		time.Sleep(year)
	})
}

// G19: the distributed breaker holds a lock over the whole remote call: of 20
// healthy calls of 400 ms at a time, 10 fail. We do not use it, and hold no lock.
func TestTrap_G19_DistributedLock(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil || len(sources) == 0 {
		t.Fatalf("%d source files, err = %v", len(sources), err)
	}
	files := token.NewFileSet()
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(files, source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			if name, ok := n.(*ast.Ident); ok && strings.Contains(name.Name, "Distributed") {
				t.Errorf("%v: %s", files.Position(name.Pos()), name.Name)
			}
			return true
		})
	}

	synctest.Test(t, func(t *testing.T) {
		const calls = 20
		start := time.Now()
		b := newTest(t, Config{SlowCall: time.Second, Window: time.Minute})
		var wg sync.WaitGroup
		for range calls {
			wg.Go(func() { wantErr(t, b.Do(t.Context(), takes(400*time.Millisecond, nil)), nil) })
		}
		wg.Wait()
		if took := time.Since(start); took != 400*time.Millisecond {
			t.Errorf("took %v, want 400ms", took)
		}
		if got, want := b.Counts(), (Counts{Successes: calls}); got != want {
			t.Errorf("Counts() = %+v, want %+v", got, want)
		}
	})
}

// G20: v2.4.0 changed the type of Allow's callback in a minor version. This does
// not compile if another one does.
func TestTrap_G20_AllowChangesItsType(*testing.T) {
	var _ interface {
		Allow() (done func(err error), err error)
	} = (*gobreaker.TwoStepCircuitBreaker[struct{}])(nil)
}

// G21: counters of 32 bits that are never cleared run over.
func TestTrap_G21_CounterRunsOver(t *testing.T) {
	counts := gobreaker.Counts{Requests: math.MaxUint32}
	counts.Requests++
	trap(t, counts.Requests == 0, "requests = %d", counts.Requests)

	w := newWindow(time.Second, 1)
	w.add(0, Success)
	w.buckets[0].Successes, w.sum.Successes = math.MaxUint32, math.MaxUint32
	w.add(0, Success)
	if got, want := w.counts(0).Successes, int64(math.MaxUint32)+1; got != want {
		t.Errorf("Successes = %d, want %d", got, want)
	}
	if got := w.counts(time.Second); got != (Counts{}) {
		t.Errorf("counts = %+v a window later, want none", got)
	}
}

// G22: a gobreaker is of one result type, although a dependency is not.
func TestTrap_G22_OneResultType(t *testing.T) {
	b := newTest(t, Config{Consecutive: 2})
	text, err := result(t.Context(), b, func() (string, error) { return "text", nil })
	if text != "text" || err != nil {
		t.Errorf("got %q, %v, want text", text, err)
	}
	number, err := result(t.Context(), b, func() (int, error) { return 7, errDown })
	if number != 7 || !errors.Is(err, errDown) {
		t.Errorf("got %d, %v, want 7, %v", number, err, errDown)
	}
	_, err = result(t.Context(), b, func() (*http.Response, error) { return nil, errDown })
	wantErr(t, err, errDown)
	_, err = result(t.Context(), b, func() (string, error) { return "text", nil })
	wantErr(t, err, ErrOpen)
}

// result is redoubt.Do for a single layer.
func result[T any](ctx context.Context, b *Breaker, fn func() (T, error)) (T, error) {
	var result T
	err := b.Do(ctx, func(context.Context) error {
		var err error
		result, err = fn()
		return err
	})
	return result, err
}
