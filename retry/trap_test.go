package retry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Traps of backoff v4.3.0 that a policy must not hand on to its users. Where it
// is cheap to show, each test first falls into the trap with plain backoff, so
// that an upgrade which closes the trap is noticed.

// doubling returns backoff's own exponential sequence of 1 s, 2 s, 4 s and so on.
func doubling(opts ...backoff.ExponentialBackOffOpts) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(append([]backoff.ExponentialBackOffOpts{
		backoff.WithInitialInterval(time.Second),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(0),
	}, opts...)...)
}

// times returns a call that fails, and when it ran, counted from now on.
func times() (call func(context.Context) error, ran *[]time.Duration) {
	start := time.Now()
	ran = new([]time.Duration)
	return func(context.Context) error {
		*ran = append(*ran, time.Since(start))
		return errBoom
	}, ran
}

// A BackOff is the state of one call. Shared, one caller's Reset restarts the
// other's.
func TestTrap_B01_SharedBackOff(t *testing.T) {
	shared := doubling()
	shared.NextBackOff()
	shared.NextBackOff()
	if err := backoff.Retry(func() error { return nil }, shared); err != nil {
		t.Fatal(err)
	}
	if got := shared.NextBackOff(); got != time.Second {
		t.Errorf("backoff: third wait after another's call is %v, want the trap, 1s", got)
	}

	synctest.Test(t, func(t *testing.T) {
		p := Policy{MaxAttempts: 4, Backoff: Exponential(time.Second, time.Minute)}
		var wg sync.WaitGroup
		for range 10 {
			wg.Go(func() {
				call, ran := times()
				_ = p.Do(t.Context(), call)
				if got, want := fmt.Sprint(*ran), "[0s 1s 3s 7s]"; got != want {
					t.Errorf("attempts at %v, want %v", got, want)
				}
			})
			time.Sleep(700 * time.Millisecond)
		}
		wg.Wait()
	})
}

// Unless told otherwise, backoff goes on for a quarter of an hour.
func TestTrap_B02_FifteenMinutesByDefault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plain := func() backoff.BackOff {
			return backoff.NewExponentialBackOff(backoff.WithRandomizationFactor(0))
		}
		call, ran := times()
		_ = backoff.Retry(func() error { return call(t.Context()) }, plain())
		if n := len(*ran); n < 20 || (*ran)[n-1] < 10*time.Minute {
			t.Errorf("backoff: %d attempts, want the trap, 20 at least over 10 minutes", n)
		}

		call, ran = times()
		_ = Policy{Backoff: plain}.Do(t.Context(), call)
		if got, want := fmt.Sprint(*ran), "[0s 500ms 1.25s]"; got != want {
			t.Errorf("attempts at %v, want %v", got, want)
		}
	})
}

// The time that the operation takes counts as backing off, so that a slow one
// is never repeated.
func TestTrap_B03_ElapsedTimeIncludesTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		slow := func(context.Context) error {
			runs++
			time.Sleep(16 * time.Minute)
			return errBoom
		}
		_ = backoff.Retry(func() error { return slow(t.Context()) }, doubling())
		if runs != 1 {
			t.Errorf("backoff: %d attempts, want the trap, 1", runs)
		}

		runs = 0
		_ = Policy{}.Do(t.Context(), slow)
		if runs != 3 {
			t.Errorf("%d attempts, want 3", runs)
		}
	})
}

// A literal has no Stop, so that it spins once its time is up, and no Clock, so
// that it panics.
func TestTrap_B04_ExponentialBackOffLiteral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		literal := func() backoff.BackOff {
			return &backoff.ExponentialBackOff{
				InitialInterval: time.Second,
				Multiplier:      2,
				MaxInterval:     time.Minute,
				MaxElapsedTime:  10 * time.Second,
				Clock:           backoff.SystemClock,
			}
		}
		start, runs := time.Now(), 0
		_ = backoff.Retry(func() error {
			if runs++; runs == 1000 {
				return nil
			}
			return errBoom
		}, literal())
		if took := time.Since(start); runs != 1000 || took > 10*time.Second {
			t.Errorf("backoff: %d attempts in %v, want the trap, 1000 in 10s at most", runs, took)
		}

		for name, made := range map[string]backoff.BackOff{
			"no Stop":        literal(),
			"no Clock":       &backoff.ExponentialBackOff{InitialInterval: time.Second, MaxInterval: time.Second, Stop: backoff.Stop},
			"no MaxInterval": &backoff.ExponentialBackOff{InitialInterval: time.Second, Clock: backoff.SystemClock, Stop: backoff.Stop},
			"zero":           new(backoff.ExponentialBackOff),
			"nil":            (*backoff.ExponentialBackOff)(nil),
		} {
			call, ran := times()
			err := Policy{Backoff: func() backoff.BackOff { return made }}.Do(t.Context(), call)
			if len(*ran) != 1 || !errors.Is(err, errBoom) || !strings.Contains(err.Error(), "use backoff.NewExponentialBackOff") {
				t.Errorf("%s: %d attempts, err = %v, want 1 and advice", name, len(*ran), err)
			}
		}
	})
}

// A Stop of one's own is never recognised as such.
func TestTrap_B05_RetryStopDurationNeverStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		own := func() backoff.BackOff {
			return doubling(backoff.WithMaxElapsedTime(10*time.Second), backoff.WithRetryStopDuration(5*time.Second))
		}
		start, runs := time.Now(), 0
		_ = backoff.Retry(func() error {
			if runs++; runs == 1000 {
				return nil
			}
			return errBoom
		}, own())
		if took := time.Since(start); runs != 1000 {
			t.Errorf("backoff: stopped after %d attempts and %v, want the trap", runs, took)
		}

		call, ran := times()
		_ = Policy{MaxAttempts: 6, Backoff: own}.Do(t.Context(), call)
		if got, want := fmt.Sprint(*ran), "[0s 1s 3s 7s 12s 17s]"; got != want {
			t.Errorf("attempts at %v, want %v", got, want)
		}
	})
}

// MaxInterval caps the interval before jitter is added, and not the first one;
// a factor above 1 makes negative waits.
func TestTrap_B06_JitterBreaksTheCap(t *testing.T) {
	const limit = time.Second
	longest := func(b backoff.BackOff) time.Duration {
		var longest time.Duration
		for range 10_000 {
			longest = max(longest, b.NextBackOff())
		}
		return longest
	}
	if got := longest(doubling(backoff.WithMaxInterval(limit), backoff.WithRandomizationFactor(1))); got <= limit {
		t.Errorf("backoff: longest of jittered waits is %v, want the trap, above %v", got, limit)
	}
	if got := doubling(backoff.WithInitialInterval(time.Minute), backoff.WithMaxInterval(limit)).NextBackOff(); got <= limit {
		t.Errorf("backoff: first wait is %v, want the trap, above %v", got, limit)
	}
	for name, newSequence := range map[string]func() backoff.BackOff{
		"FullJitter":   FullJitter(limit/3, limit),
		"EqualJitter":  EqualJitter(limit/3, limit),
		"Decorrelated": Decorrelated(limit/3, limit),
	} {
		if got := longest(newSequence()); got > limit {
			t.Errorf("%s: longest wait is %v, want %v at most", name, got, limit)
		}
	}

	negative := func() backoff.BackOff {
		return &sequence{waits: []time.Duration{time.Second, -time.Nanosecond - 1, time.Second}}
	}
	synctest.Test(t, func(t *testing.T) {
		call, ran := times()
		_ = Policy{MaxAttempts: 10, Backoff: negative}.Do(t.Context(), call)
		if got, want := fmt.Sprint(*ran), "[0s 1s]"; got != want {
			t.Errorf("attempts at %v, want %v: a negative wait ends them", got, want)
		}
	})
}

// The operation is run although the context has ended.
func TestTrap_B07_RunsOnceWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	runs := 0
	_ = backoff.Retry(func() error { runs++; return errBoom }, backoff.WithContext(doubling(), ctx))
	if runs != 1 {
		t.Errorf("backoff: %d attempts, want the trap, 1", runs)
	}

	call, ran := times()
	err := Policy{}.Do(ctx, call)
	if len(*ran) != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d attempts, err = %v, want 0 and Canceled", len(*ran), err)
	}
}

// On cancellation the operation's error and the context's cause are gone.
func TestTrap_B08_CancellationHidesTheErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reason := errors.New("caller hung up")
		cancelled := func() (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(t.Context())
			timer := time.AfterFunc(500*time.Millisecond, func() { cancel(reason) })
			return ctx, func() { timer.Stop(); cancel(nil) }
		}
		ctx, stop := cancelled()
		defer stop()
		err := backoff.Retry(func() error { return errBoom }, backoff.WithContext(doubling(), ctx))
		if errors.Is(err, errBoom) || errors.Is(err, reason) {
			t.Errorf("backoff: err = %v, want the trap, Canceled alone", err)
		}

		ctx, stop = cancelled()
		defer stop()
		err = Policy{Backoff: Constant(time.Second)}.Do(ctx, func(context.Context) error { return errBoom })
		for _, want := range []error{errBoom, reason, context.Canceled} {
			if !errors.Is(err, want) {
				t.Errorf("err = %v, want it to be %v", err, want)
			}
		}
	})
}

// It sleeps into the deadline, though nothing can come of it.
func TestTrap_B09_SleepsIntoTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 10 * time.Second
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		start := time.Now()
		_ = backoff.Retry(func() error { return errBoom }, backoff.WithContext(backoff.NewConstantBackOff(time.Minute), ctx))
		if took := time.Since(start); took != limit {
			t.Errorf("backoff: took %v, want the trap, %v", took, limit)
		}

		ctx, cancel = context.WithTimeout(t.Context(), limit)
		defer cancel()
		start = time.Now()
		err := Policy{Backoff: Constant(time.Minute)}.Do(ctx, func(context.Context) error { return errBoom })
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v, want 0s", took)
		}
		if !errors.Is(err, errBoom) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want the call's own", err)
		}
	})
}

// Permanent loses what was wrapped around it, and its siblings in a join.
func TestTrap_B10_PermanentStripsWrapping(t *testing.T) {
	wrapped := fmt.Errorf("GET /x: %w", backoff.Permanent(errBoom))
	sibling := errors.New("sibling")
	joined := errors.Join(sibling, backoff.Permanent(errBoom))
	plain := func(err error) error { return backoff.Retry(func() error { return err }, doubling()) }
	if got := plain(wrapped); got != errBoom {
		t.Errorf("backoff: err = %v, want the trap, boom", got)
	}
	if got := plain(joined); errors.Is(got, sibling) {
		t.Errorf("backoff: err = %v, want the trap, boom", got)
	}

	for _, want := range []error{wrapped, joined, fmt.Errorf("GET /x: %w", Permanent(errBoom))} {
		runs := 0
		got := Policy{}.Do(t.Context(), func(context.Context) error { runs++; return want })
		if got != want || runs != 1 {
			t.Errorf("err = %v after %d attempts, want %v after 1", got, runs, want)
		}
	}
}

// WithMaxRetries(n) makes n+1 attempts.
func TestTrap_B11_MaxRetriesIsNotAttempts(t *testing.T) {
	for n := range 5 {
		runs := 0
		_ = backoff.Retry(func() error { runs++; return errBoom }, backoff.WithMaxRetries(new(backoff.ZeroBackOff), uint64(n)))
		if runs != n+1 {
			t.Errorf("backoff: %d attempts with %d retries, want the trap, %d", runs, n, n+1)
		}
		if n == 0 {
			continue
		}
		runs = 0
		_ = Policy{MaxAttempts: n, Backoff: Constant(0)}.Do(t.Context(), func(context.Context) error { runs++; return errBoom })
		if runs != n {
			t.Errorf("%d attempts, want %d", runs, n)
		}
	}
}

// The context travels in the BackOff, and any wrapper hides it.
func TestTrap_B12_WrapperHidesTheContext(t *testing.T) {
	type wrapper struct{ backoff.BackOff }
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Second, cancel)
		defer timer.Stop()
		start := time.Now()
		_ = backoff.Retry(func() error { return errBoom },
			backoff.WithMaxRetries(wrapper{backoff.WithContext(backoff.NewConstantBackOff(time.Minute), ctx)}, 1))
		if took := time.Since(start); took != time.Minute {
			t.Errorf("backoff: took %v, want the trap, 1m", took)
		}

		ctx, cancel = context.WithCancel(t.Context())
		timer = time.AfterFunc(time.Second, cancel)
		defer timer.Stop()
		start = time.Now()
		_ = Policy{Backoff: func() backoff.BackOff {
			return wrapper{backoff.NewConstantBackOff(time.Minute)}
		}}.Do(ctx, func(context.Context) error { return errBoom })
		if took := time.Since(start); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
	})
}

// The operation gets neither context nor ordinal, and nobody is told of the
// last failure.
func TestTrap_B13_LastFailureIsSilent(t *testing.T) {
	notes := 0
	_ = backoff.RetryNotify(func() error { return errBoom },
		backoff.WithMaxRetries(new(backoff.ZeroBackOff), 2), func(error, time.Duration) { notes++ })
	if notes != 2 {
		t.Errorf("backoff: told of %d of 3 failures, want the trap, 2", notes)
	}

	type key struct{}
	var log strings.Builder
	var ordinals []int
	_ = Policy{Backoff: Constant(0), Logger: logger(&log)}.Do(
		context.WithValue(t.Context(), key{}, "value"),
		func(ctx context.Context) error {
			ordinals = append(ordinals, Attempt(ctx))
			if got := ctx.Value(key{}); got != "value" {
				t.Errorf("the call's context has value %v, want that of the caller's", got)
			}
			return errBoom
		})
	if got, want := fmt.Sprint(ordinals), "[1 2 3]"; got != want {
		t.Errorf("ordinals %v, want %v", got, want)
	}
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "attempts=3") {
		t.Errorf("log = %q, want one record of 3 attempts", got)
	}
}

// NextBackOff takes no argument: there is no way to heed a Retry-After.
func TestTrap_B14_NoRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, runs := time.Now(), 0
		busy := func() error {
			if runs++; runs == 2 {
				return nil
			}
			return retryAfterError(5 * time.Second)
		}
		_ = backoff.Retry(busy, backoff.NewConstantBackOff(time.Second))
		if took := time.Since(start); took != time.Second {
			t.Errorf("backoff: came back after %v, want the trap, 1s", took)
		}

		start, runs = time.Now(), 0
		err := Policy{Backoff: Constant(time.Second)}.Do(t.Context(), func(context.Context) error { return busy() })
		if took := time.Since(start); err != nil || took < 5*time.Second || took > 5500*time.Millisecond {
			t.Errorf("came back after %v, err = %v, want 5s to 5.5s", took, err)
		}
	})
}

// A Ticker nobody reads from outlives its context.
func TestTrap_B15_TickerLeaks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		ticker := backoff.NewTicker(backoff.WithContext(backoff.NewConstantBackOff(time.Second), ctx))
		defer ticker.Stop()
		cancel()
		time.Sleep(time.Hour)
		if _, ok := <-ticker.C; !ok {
			t.Error("backoff: the ticker's goroutine has ended, want the trap")
		}

		// The bubble panics if this leaves a goroutine behind.
		ctx, cancel = context.WithCancel(t.Context())
		timer := time.AfterFunc(500*time.Millisecond, cancel)
		defer timer.Stop()
		_ = Policy{Backoff: Constant(time.Second)}.Do(ctx, func(context.Context) error { return errBoom })
	})
}

// backoff's randomness can't be given. Ours can, to tests of this package.
func TestTrap_B16_JitterIsNotSeedable(t *testing.T) {
	const ms = time.Millisecond
	waits := FullJitter(time.Second, 4*time.Second)().(*jittered)
	waits.random = func() float64 { return .5 }
	for i, want := range []time.Duration{550 * ms, 1050 * ms, 2050 * ms, 2050 * ms} {
		if got := waits.NextBackOff(); got != want {
			t.Errorf("wait %d is %v, want %v", i+1, got, want)
		}
	}
	other := Decorrelated(time.Second, 4*time.Second)().(*decorrelated)
	other.random = func() float64 { return .5 }
	for i, want := range []time.Duration{2000 * ms, 2500 * ms, 2500 * ms} {
		if got := other.NextBackOff(); got != want {
			t.Errorf("decorrelated wait %d is %v, want %v", i+1, got, want)
		}
	}
}
