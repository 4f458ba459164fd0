package redoubttest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// many is more than the permits that a limiter may be expected to have.
const many = 1000

func laws() []law {
	return []law{
		{"Success", checkSuccess},
		{"ErrorShowsThrough", checkErrorShowsThrough},
		{"OneRunAtATime", checkOneRunAtATime},
		{"WaitsForCall", checkWaitsForCall},
		{"DerivedContext", checkDerivedContext},
		{"EndedContext", checkEndedContext},
		{"Panic", checkPanic},
		{"Goexit", checkGoexit},
		{"NilCall", checkNilCall},
		{"Concurrent", checkConcurrent},
		{"ManyErrors", checkMany(fails)},
		{"ManyPanics", checkMany(panics)},
		{"ManyGoexits", checkMany(exits)},
		{"ManyCancellations", checkMany(cancels)},
	}
}

// A callError is a typed error that wraps another.
type callError struct{ err error }

func (e *callError) Error() string { return "redoubttest: call failed" }
func (e *callError) Unwrap() error { return e.err }

// succeed takes a moment, so that a second run at the same time is seen.
func succeed(context.Context) error {
	time.Sleep(time.Millisecond)
	return nil
}

func checkSuccess(ctx context.Context, r reporter, layer Layer) {
	if end := do(ctx, r, layer, succeed); !end.ok() {
		r.Errorf("Do of a fresh layer %v, want nil from a call that succeeds", end)
	}
}

func checkErrorShowsThrough(ctx context.Context, r reporter, layer Layer) {
	cause := errors.New("redoubttest: cause")
	end := do(ctx, r, layer, func(context.Context) error {
		return &callError{cause} // another one for each run
	})
	if end.runs == 0 {
		r.Errorf("Do of a fresh layer %v, and did not run the call", end)
		return
	}
	if !errors.Is(end.err, end.last) {
		r.Errorf("errors.Is(err, the last run's error) = false; Do %v", end)
	}
	if !errors.Is(end.err, cause) {
		r.Errorf("errors.Is(err, what the call's error wraps) = false; Do %v", end)
	}
	if _, ok := errors.AsType[*callError](end.err); !ok {
		r.Errorf("errors.As(err, the type of the call's error) = false; Do %v", end)
	}
}

// checkOneRunAtATime has long runs, to bring out a second run that starts when
// the first is slow.
func checkOneRunAtATime(ctx context.Context, r reporter, layer Layer) {
	do(ctx, r, layer, func(ctx context.Context) error {
		return sleep(ctx, 10*time.Minute)
	})
	do(ctx, r, layer, func(ctx context.Context) error {
		return errors.Join(sleep(ctx, time.Minute), ErrFail)
	})
}

// checkWaitsForCall has calls that are deaf to their context.
func checkWaitsForCall(ctx context.Context, r reporter, layer Layer) {
	do(ctx, r, layer, func(context.Context) error {
		time.Sleep(50 * time.Minute)
		return nil
	})
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	time.AfterFunc(time.Second, cancel)
	do(ctx, r, layer, func(ctx context.Context) error {
		time.Sleep(10 * time.Minute)
		return ctx.Err()
	})
}

func checkDerivedContext(ctx context.Context, r reporter, layer Layer) {
	type key struct{}
	reason := errors.New("redoubttest: caller went away")
	ctx, cancel := context.WithCancelCause(context.WithValue(ctx, key{}, "value"))
	defer cancel(nil)
	deadline := time.Now().Add(time.Hour)
	end := do(ctx, r, layer, func(ctx context.Context) error {
		if ctx == nil {
			r.Errorf("the call got a nil context")
			return ErrFail
		}
		if got := ctx.Value(key{}); got != "value" {
			r.Errorf("the call's context has value %v, want that of the caller's", got)
		}
		if d, ok := ctx.Deadline(); !ok || d.After(deadline) {
			r.Errorf("the call's context has deadline %v, want %v or earlier", d, deadline)
		}
		cancel(reason)
		return awaitCancel(ctx, r, reason)
	})
	if end.runs == 0 {
		r.Errorf("Do of a fresh layer %v, and did not run the call", end)
	}
	if end.last != nil && !errors.Is(end.err, end.last) {
		r.Errorf("errors.Is(err, the cancelled run's error) = false; Do %v", end)
	}
}

// awaitCancel reports it if a run's ctx does not end at the instant at which
// the caller's was cancelled, which is now, or ends without the caller's reason.
func awaitCancel(ctx context.Context, r reporter, reason error) error {
	cancelled := time.Now()
	if err := sleep(ctx, time.Minute); err == nil || time.Since(cancelled) > 0 {
		r.Errorf("the caller's cancellation did not reach the call's context")
		return err
	}
	if got := context.Cause(ctx); !errors.Is(got, reason) {
		r.Errorf("context.Cause of the call's context = %v, want the caller's %v", got, reason)
	}
	return ctx.Err()
}

// checkEndedContext calls Do with a context that has ended. The layer need not
// run the call, but if it does the call has to know.
func checkEndedContext(ctx context.Context, r reporter, layer Layer) {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	do(ctx, r, layer, func(ctx context.Context) error {
		if ctx.Err() == nil {
			r.Errorf("the caller's context has ended, but the call's has not")
		}
		return ctx.Err()
	})
}

func checkPanic(ctx context.Context, r reporter, layer Layer) {
	value := new(int) // a pointer is only equal to itself
	end := do(ctx, r, layer, func(context.Context) error { panic(value) })
	if end.panicked != any(value) || end.returned {
		r.Errorf("the call's panic did not pass: Do %v", end)
	}
	if end.runs != 1 {
		r.Errorf("the call was run %d times, want 1: its first run panicked", end.runs)
	}
	checkRecovers(ctx, r, layer)
}

func checkGoexit(ctx context.Context, r reporter, layer Layer) {
	end := do(ctx, r, layer, func(context.Context) error {
		runtime.Goexit()
		return nil
	})
	if end.panicked != nil || end.returned {
		r.Errorf("the call's Goexit did not pass: Do %v", end)
	}
	checkRecovers(ctx, r, layer)
}

func checkNilCall(ctx context.Context, r reporter, layer Layer) {
	// Without the watch around it: this call is to be nil.
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	end := start(ctx, layer, nil)
	if end.err == nil {
		r.Errorf("Do with a nil call %v, want an error", end)
	}
}

// checkRecovers reports it if a call does not succeed even after an hour.
func checkRecovers(ctx context.Context, r reporter, layer Layer) {
	if r.Failed() {
		return
	}
	time.Sleep(anHour)
	if end := do(ctx, r, layer, succeed); !end.ok() {
		r.Errorf("an hour later Do %v, want nil from a call that succeeds", end)
	}
}

// checkConcurrent uses the layer from many goroutines. Their calls do not wait:
// a layer may let one call run at a time, with a mutex.
func checkConcurrent(ctx context.Context, r reporter, layer Layer) {
	const callers, calls = 32, 20
	var wg sync.WaitGroup
	var succeeded atomic.Int64
	for caller := range callers {
		wg.Go(func() {
			for n := range calls {
				if callOnce(ctx, r, layer, caller*calls+n) {
					succeeded.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if succeeded.Load() == 0 {
		r.Errorf("none of %d concurrent calls succeeded", callers*calls)
	}
}

// callOnce reports whether a call succeeded. The call has to get this caller's
// context, and its result is shared without a lock, which the race detector
// takes amiss if the layer returns too early.
func callOnce(ctx context.Context, r reporter, layer Layer, id int) bool {
	type key struct{}
	var result int
	end := do(context.WithValue(ctx, key{}, id), r, layer, func(ctx context.Context) error {
		runtime.Gosched()
		result, _ = ctx.Value(key{}).(int)
		return nil
	})
	if !end.ok() {
		return false
	}
	if result != id {
		r.Errorf("the call got the context of another caller: value %d, want %d", result, id)
	}
	return true
}

// checkMany returns a check that calls of one kind, however many, use nothing
// up. A layer that refuses is given time to let calls in again.
func checkMany(call func(cancel context.CancelFunc) func(context.Context) error) func(context.Context, reporter, Layer) {
	return func(ctx context.Context, r reporter, layer Layer) {
		for n := 0; n < many && !r.Failed(); n++ {
			callCtx, cancel := context.WithCancel(ctx)
			end := do(callCtx, r, layer, call(cancel))
			cancel()
			if end.runs == 0 {
				time.Sleep(anHour)
			}
		}
		checkRecovers(ctx, r, layer)
	}
}

func fails(context.CancelFunc) func(context.Context) error {
	return func(context.Context) error { return ErrFail }
}

func panics(context.CancelFunc) func(context.Context) error {
	return func(context.Context) error { panic(ErrPanic) }
}

func exits(context.CancelFunc) func(context.Context) error {
	return func(context.Context) error {
		runtime.Goexit()
		return nil
	}
}

func cancels(cancel context.CancelFunc) func(context.Context) error {
	return func(ctx context.Context) error {
		cancel()
		return sleep(ctx, time.Minute)
	}
}
