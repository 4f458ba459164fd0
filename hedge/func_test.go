package hedge

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("down")

// An act is what an attempt does.
type act struct {
	after time.Duration
	err   error
	deaf  bool // to its context
	panic any
	exit  bool
}

// play returns a function whose nth run does the nth act, and how often it ran.
func play(acts ...act) (func(context.Context) (string, error), *atomic.Int32) {
	var runs atomic.Int32
	return func(ctx context.Context) (string, error) {
		n := int(runs.Add(1))
		a := acts[n-1]
		done := ctx.Done()
		if a.deaf {
			done = nil
		}
		select {
		case <-time.After(a.after):
		case <-done:
			return "", context.Cause(ctx)
		}
		switch {
		case a.panic != nil:
			panic(a.panic)
		case a.exit:
			runtime.Goexit()
		case a.err != nil:
			return fmt.Sprint("failure ", n), a.err
		}
		return fmt.Sprint("run ", n), nil
	}, &runs
}

func TestFunc(t *testing.T) {
	const ms = time.Millisecond
	for _, test := range []struct {
		name   string
		config Config
		acts   []act
		value  string
		err    error
		took   time.Duration
		runs   int32
	}{
		{"quick", Config{}, []act{{after: 9 * ms}}, "run 1", nil, 9 * ms, 1},
		{"quick failure", Config{}, []act{{after: 9 * ms, err: errDown}}, "failure 1", errDown, 9 * ms, 1},
		{"hedge wins", Config{}, []act{{after: time.Hour}, {after: 5 * ms}}, "run 2", nil, 15 * ms, 2},
		{"first wins", Config{}, []act{{after: 12 * ms}, {after: time.Hour}}, "run 1", nil, 12 * ms, 2},
		{"nobody waits for the deaf", Config{}, []act{{after: time.Hour, deaf: true}, {after: 5 * ms}}, "run 2", nil, 15 * ms, 2},
		{"hedge fails", Config{}, []act{{after: 30 * ms}, {after: 5 * ms, err: errDown}}, "run 1", nil, 30 * ms, 2},
		{"first fails", Config{}, []act{{after: 12 * ms, err: errDown}, {after: 30 * ms}}, "run 2", nil, 40 * ms, 2},
		{"both fail", Config{}, []act{{after: 20 * ms, err: errDown}, {after: 30 * ms, err: context.Canceled}}, "failure 1", errDown, 40 * ms, 2},
		{
			"three hedges",
			Config{Hedges: 3},
			[]act{{after: time.Hour}, {after: time.Hour}, {after: time.Hour}, {after: 5 * ms}},
			"run 4", nil, 35 * ms, 4,
		},
		{
			"no more hedges after a failure",
			Config{Hedges: 3},
			[]act{{after: 50 * ms}, {after: 5 * ms, err: errDown}},
			"run 1", nil, 50 * ms, 2,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.config.Delay = 10 * ms
				test.config.MaxExtra = 1
				h := New(test.config)
				h.share.pay(10 * price)
				fn, runs := play(test.acts...)
				start := time.Now()
				value, err := Func(h, fn)(t.Context())
				if took := time.Since(start); value != test.value || err != test.err || took != test.took || runs.Load() != test.runs {
					t.Errorf("got %q, %v after %v and %d runs, want %q, %v after %v and %d",
						value, err, took, runs.Load(), test.value, test.err, test.took, test.runs)
				}
				time.Sleep(2 * time.Hour) // until the deaf have noticed
			})
		})
	}
}

// eagerly returns a Hedger that hedges every call after 10 ms.
func eagerly() *Hedger { return New(Config{Delay: 10 * time.Millisecond, MaxExtra: 1}) }

// TestFunc_Panic: a panic of any attempt reaches the caller as it is, after the
// other attempts were told to stop.
func TestFunc_Panic(t *testing.T) {
	const ms = time.Millisecond
	for name, acts := range map[string][]act{
		"first alone":   {{after: 5 * ms, panic: errDown}},
		"first, hedged": {{after: 15 * ms, panic: errDown}, {after: time.Hour}},
		"hedge":         {{after: time.Hour}, {after: 5 * ms, panic: errDown}},
	} {
		synctest.Test(t, func(t *testing.T) {
			fn, _ := play(acts...)
			start := time.Now()
			defer func() {
				if got := recover(); got != errDown {
					t.Errorf("%s: recovered %v, want what was panicked with", name, got)
				}
				synctest.Wait()
				if took := time.Since(start); took > 15*ms {
					t.Errorf("%s: took %v, want at most 15ms", name, took)
				}
			}()
			_, _ = Func(eagerly(), fn)(t.Context())
		})
	}
}

// TestFunc_PanicOfTheConfig: when a function of the configuration panicked, the
// attempts under way went on for ever. The bubble panics if one is left.
func TestFunc_PanicOfTheConfig(t *testing.T) {
	for name, config := range map[string]Config{
		"Withhold": {Withhold: func(context.Context) bool { panic(errDown) }},
		"Budget":   {Budget: budget(func() bool { panic(errDown) })},
		"Budgets":  {Budgets: func(context.Context) Budget { panic(errDown) }},
		"Breaker":  {Breaker: circuit(func(context.Context) bool { panic(errDown) })},
	} {
		synctest.Test(t, func(t *testing.T) {
			defer func() {
				if got := recover(); got != errDown {
					t.Errorf("%s: recovered %v, want what was panicked with", name, got)
				}
			}()
			config.Delay, config.MaxExtra = 10*time.Millisecond, 1
			freed := 0
			fn := func(ctx context.Context) (string, error) {
				<-ctx.Done()
				return "late", nil
			}
			defer func() {
				synctest.Wait()
				if freed != 1 {
					t.Errorf("%s: %d results freed, want 1", name, freed)
				}
			}()
			_, _ = FuncDiscard(New(config), fn, func(string) { freed++ })(t.Context())
		})
	}
}

func TestFunc_Goexit(t *testing.T) {
	const ms = time.Millisecond
	for name, acts := range map[string][]act{
		"first alone":   {{after: 5 * ms, exit: true}},
		"first, hedged": {{after: 15 * ms, exit: true}, {after: time.Hour}},
		"hedge":         {{after: time.Hour}, {after: 5 * ms, exit: true}},
	} {
		synctest.Test(t, func(t *testing.T) {
			fn, _ := play(acts...)
			returned, done := false, make(chan struct{})
			go func() {
				defer close(done)
				_, _ = Func(eagerly(), fn)(t.Context())
				returned = true
			}()
			<-done
			if returned {
				t.Errorf("%s: the call returned, want its goroutine to exit", name)
			}
		})
	}
}

// TestFunc_LatePanic: when the call has returned there is nobody for a panic to
// go to, and no reason to end the program.
func TestFunc_LatePanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, _ := play(act{after: time.Hour, deaf: true, panic: "late"}, act{})
		if value, err := Func(eagerly(), fn)(t.Context()); value != "run 2" || err != nil {
			t.Errorf("got %q, %v, want the hedge's result", value, err)
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestFunc_Cause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cause, err error
		var runs atomic.Int32
		call := Func(eagerly(), func(ctx context.Context) (int, error) {
			if runs.Add(1) == 2 {
				return 2, nil
			}
			<-ctx.Done()
			cause, err = context.Cause(ctx), ctx.Err()
			return 0, err
		})
		_, _ = call(t.Context())
		synctest.Wait()
		if cause != ErrLost || err != context.Canceled || !errors.Is(cause, context.Canceled) {
			t.Errorf("the loser's context ended with %v because of %v, want ErrLost", err, cause)
		}
		if ErrLost.Error() == "" {
			t.Error("ErrLost says nothing")
		}
	})
}

// TestFunc_Cancelled: when the caller is gone, no hedge is sent any more, and the
// result is that of the first attempt.
func TestFunc_Cancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, runs := play(act{after: time.Hour, deaf: true})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		value, err := Func(eagerly(), fn)(ctx)
		if value != "run 1" || err != nil || runs.Load() != 1 {
			t.Errorf("got %q, %v after %d runs, want the first's late success", value, err, runs.Load())
		}
		fn, runs = play(act{after: time.Hour}, act{after: time.Hour})
		ctx, cancel = context.WithTimeoutCause(t.Context(), 15*time.Millisecond, errDown)
		defer cancel()
		start := time.Now()
		_, err = Func(eagerly(), fn)(ctx)
		if took := time.Since(start); err != errDown || took != 15*time.Millisecond || runs.Load() != 2 {
			t.Errorf("got %v after %v and %d runs, want the cause after 15ms and 2", err, took, runs.Load())
		}
	})
}

func TestFuncDiscard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fn, _ := play(act{after: time.Second, deaf: true}, act{after: 5 * time.Millisecond})
		var discarded atomic.Value
		value, _ := FuncDiscard(eagerly(), fn, func(v string) { discarded.Store(v) })(t.Context())
		time.Sleep(time.Minute)
		if got := discarded.Load(); value != "run 2" || got != "run 1" {
			t.Errorf("got %q and discarded %v, want run 2 and run 1", value, got)
		}
	})
}

// TestFuncDiscard_OnlySuccesses: what failed has nothing to free. Discard was
// called with it all the same, commonly a nil pointer, for nearly every loser.
func TestFuncDiscard_OnlySuccesses(t *testing.T) {
	const ms = time.Millisecond
	for name, acts := range map[string][]act{
		"a loser that notices": {{after: time.Second}, {after: 5 * ms}},
		"a loser that is late": {{after: time.Second, deaf: true, err: errDown}, {after: 5 * ms}},
		"a loser of before":    {{after: 12 * ms, err: errDown}, {after: 5 * ms}},
		"all":                  {{after: 12 * ms, err: errDown}, {after: 20 * ms, err: errDown}},
		"beside a panic":       {{after: 12 * ms, err: errDown}, {after: 20 * ms, panic: errDown}},
	} {
		synctest.Test(t, func(t *testing.T) {
			fn, _ := play(acts...)
			func() {
				defer func() { _ = recover() }()
				_, _ = FuncDiscard(eagerly(), fn, func(v string) { t.Errorf("%s: discarded %q", name, v) })(t.Context())
			}()
			time.Sleep(time.Minute)
		})
	}
}

// TestFunc_Nested: a hedge within another's attempt would multiply the load.
func TestFunc_Nested(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		inner := Func(eagerly(), func(ctx context.Context) (int, error) {
			runs.Add(1)
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
			}
			return 0, ctx.Err()
		})
		if _, err := Func(eagerly(), inner)(t.Context()); err != nil {
			t.Error(err)
		}
		if got := runs.Load(); got != 2 {
			t.Errorf("%d runs, want 2", got)
		}
	})
}

type throttled struct{ after time.Duration }

func (throttled) Error() string                       { return "slow down" }
func (throttled) Throttled() bool                     { return true }
func (t throttled) RetryAfter() (time.Duration, bool) { return t.after, t.after > 0 }

func TestFunc_Throttled(t *testing.T) {
	for wish, calm := range map[time.Duration]time.Duration{
		0:                10 * time.Second,
		time.Second:      10 * time.Second,
		20 * time.Second: 20 * time.Second,
		time.Hour:        time.Minute,
	} {
		synctest.Test(t, func(t *testing.T) {
			h := eagerly()
			slow := act{after: time.Second}
			fn, runs := play(act{err: fmt.Errorf("call: %w", throttled{wish})}, slow, slow, slow)
			call := Func(h, fn)
			_, _ = call(t.Context())
			time.Sleep(calm - 11*time.Millisecond)
			_, _ = call(t.Context())
			if runs.Load() != 2 {
				t.Errorf("%v: hedged %v after the dependency asked for less", wish, calm)
			}
			_, _ = call(t.Context())
			if runs.Load() != 4 {
				t.Errorf("%v: not hedged more than %v after the dependency asked for less", wish, calm)
			}
		})
	}
}

// TestFunc_Budgets: both budgets pay for a hedge, or neither of them does.
func TestFunc_Budgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		grants, asked := false, 0
		h := New(Config{Delay: 10 * time.Millisecond, MaxExtra: 0.5, Budget: budget(func() bool { asked++; return grants })})
		slow := act{after: time.Second}
		fn, runs := play(slow, slow, slow, slow, slow, slow)
		call := Func(h, fn)
		_, _ = call(t.Context()) // half a hedge is saved up
		if asked != 0 || runs.Load() != 1 {
			t.Errorf("the retry budget was asked %d times, want 0: MaxExtra is asked first", asked)
		}
		_, _ = call(t.Context()) // one, but the retry budget is empty
		if asked != 1 || runs.Load() != 2 || h.share.balance.Load() != price {
			t.Errorf("asked %d times, %d runs, balance %d; want 1, 2 and one hedge given back", asked, runs.Load(), h.share.balance.Load())
		}
		grants = true
		_, _ = call(t.Context())
		if asked != 2 || runs.Load() != 4 || h.share.balance.Load() != price/2 {
			t.Errorf("asked %d times, %d runs, balance %d; want 2, 4 and half a hedge", asked, runs.Load(), h.share.balance.Load())
		}
	})
}

func TestFunc_Breaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		h := New(Config{Delay: 10 * time.Millisecond, MaxExtra: 1, Breaker: circuit(func(ctx context.Context) bool {
			return ctx.Value(key{}) == "closed"
		})})
		for state, want := range map[string]int32{"closed": 2, "open": 1} {
			fn, runs := play(act{after: time.Second}, act{after: time.Second})
			_, _ = Func(h, fn)(context.WithValue(t.Context(), key{}, state))
			if got := runs.Load(); got != want {
				t.Errorf("%s: %d runs, want %d", state, got, want)
			}
		}
	})
}
