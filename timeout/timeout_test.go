package timeout

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/redoubttest"
)

var errBoom = errors.New("boom")

func TestLimit_Law(t *testing.T) {
	for _, l := range []Limit{0, Limit(time.Second), Limit(30 * time.Minute), Limit(24 * time.Hour), math.MaxInt64} {
		t.Run(l.String(), func(t *testing.T) {
			redoubttest.CheckLayer(t, func() Limit { return l })
		})
	}
}

// work is a call that takes some time and then ends with err, unless it notices
// that its context has ended.
type work struct {
	takes time.Duration
	deaf  bool
	err   error
}

func (w work) do(ctx context.Context) error {
	timer := time.NewTimer(w.takes)
	defer timer.Stop()
	if w.deaf {
		<-timer.C
		return w.err
	}
	select {
	case <-timer.C:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func TestLimit_Do(t *testing.T) {
	const s = time.Second
	hungUp := errors.New("caller hung up")
	tests := []struct {
		name     string
		limit    time.Duration
		deadline time.Duration // of the caller; 0 is none
		cancel   time.Duration // when the caller hangs up; 0 is never
		work     work

		took    time.Duration
		err     error // what comes back unchanged
		timeout error // or what comes back wrapped in an *Error
		passes  bool  // the limit does, so that an *Error is the context's cause
		cause   error // or what else is
	}{
		{name: "success", limit: s, work: work{takes: s / 2}, took: s / 2},
		{name: "success just in time", limit: s, work: work{takes: s - 1}, took: s - 1},
		{name: "failure", limit: s, work: work{takes: s / 2, err: errBoom}, took: s / 2, err: errBoom},
		{name: "failure just in time", limit: s, work: work{takes: s - 1, err: errBoom}, took: s - 1, err: errBoom},
		{name: "failure at once", limit: s, work: work{err: errBoom}, err: errBoom},
		{name: "a deadline of the call's own", limit: s, work: work{err: context.DeadlineExceeded}, err: context.DeadlineExceeded},
		{name: "a cancellation of the call's own", limit: s, work: work{err: context.Canceled}, err: context.Canceled},

		{name: "expiry", limit: s, work: work{takes: time.Hour}, took: s, timeout: context.DeadlineExceeded, passes: true},
		{name: "expiry of a nanosecond", limit: 1, work: work{takes: time.Hour}, took: 1, timeout: context.DeadlineExceeded, passes: true},
		{name: "late failure", limit: s, work: work{takes: 3 * s, deaf: true, err: errBoom}, took: 3 * s, timeout: errBoom, passes: true},
		{name: "late success", limit: s, work: work{takes: 3 * s, deaf: true}, took: 3 * s, passes: true},

		{name: "caller's deadline is nearer", limit: 2 * s, deadline: s, work: work{takes: time.Hour}, took: s, err: context.DeadlineExceeded, cause: context.DeadlineExceeded},
		{name: "caller's deadline is as near", limit: s, deadline: s, work: work{takes: time.Hour}, took: s, err: context.DeadlineExceeded, cause: context.DeadlineExceeded},
		{name: "caller's deadline is a little farther", limit: s, deadline: s + 1, work: work{takes: time.Hour}, took: s, timeout: context.DeadlineExceeded, passes: true},
		{name: "caller's deadline passes after expiry", limit: s, deadline: 2 * s, work: work{takes: 3 * s, deaf: true, err: errBoom}, took: 3 * s, err: errBoom, passes: true},
		{name: "caller's deadline has passed", limit: s, deadline: -s, work: work{takes: time.Hour}, err: context.DeadlineExceeded, cause: context.DeadlineExceeded},

		{name: "caller hangs up", limit: 2 * s, cancel: s, work: work{takes: time.Hour}, took: s, err: context.Canceled, cause: hungUp},
		{name: "caller hangs up on a deaf call", limit: 2 * s, cancel: s, work: work{takes: 3 * s, deaf: true, err: errBoom}, took: 3 * s, err: errBoom, cause: hungUp},
		{name: "caller hangs up after expiry", limit: s, cancel: 2 * s, work: work{takes: 3 * s, deaf: true, err: errBoom}, took: 3 * s, err: errBoom, cause: hungUp}, // see limited

		{name: "no limit", limit: 0, work: work{takes: 1000 * time.Hour, err: errBoom}, took: 1000 * time.Hour, err: errBoom},
		{name: "no limit, caller's deadline", limit: 0, deadline: s, work: work{takes: time.Hour}, took: s, err: context.DeadlineExceeded, cause: context.DeadlineExceeded},
		{name: "largest limit", limit: math.MaxInt64, work: work{takes: 1000 * time.Hour, err: errBoom}, took: 1000 * time.Hour, err: errBoom},
		{name: "largest limit, caller's deadline", limit: math.MaxInt64, deadline: s, work: work{takes: time.Hour}, took: s, err: context.DeadlineExceeded, cause: context.DeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx := t.Context()
				if tt.deadline != 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				ctx, cancel := context.WithCancelCause(ctx)
				defer cancel(nil)
				if tt.cancel > 0 {
					defer time.AfterFunc(tt.cancel, func() { cancel(hungUp) }).Stop()
				}
				var cause error
				start := time.Now()
				err := Limit(tt.limit).Do(ctx, func(ctx context.Context) error {
					err := tt.work.do(ctx)
					cause = context.Cause(ctx)
					return err
				})
				if took := time.Since(start); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				if tt.timeout == nil {
					if err != tt.err {
						t.Errorf("err = %v, want %v unchanged", err, tt.err)
					}
				} else {
					got, ok := err.(*Error)
					if !ok || got.Limit != tt.limit || got.Err != tt.timeout {
						t.Errorf("err = %#v, want an *Error of %v around %v", err, tt.limit, tt.timeout)
					}
				}
				if !tt.passes {
					if cause != tt.cause {
						t.Errorf("cause = %v, want %v", cause, tt.cause)
					}
				} else if passed, ok := cause.(*Error); !ok || *passed != (Error{Limit: tt.limit}) {
					t.Errorf("cause = %#v, want an *Error of %v", cause, tt.limit)
				}
			})
		})
	}
}

// net/http, among others, returns the cause of the context. Once is enough.
func TestLimit_CallReturnsCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		call := func(wrap string) func(context.Context) error {
			return func(ctx context.Context) error {
				<-ctx.Done()
				if wrap != "" {
					return fmt.Errorf("%s: %w", wrap, context.Cause(ctx))
				}
				return context.Cause(ctx)
			}
		}
		tests := []struct{ wrap, want string }{
			{"", "timeout: exceeded 1s"},
			{"GET /x", "GET /x: timeout: exceeded 1s"},
		}
		for _, tt := range tests {
			var returned error
			err := Limit(time.Second).Do(t.Context(), func(ctx context.Context) error {
				returned = call(tt.wrap)(ctx)
				return returned
			})
			if tt.wrap == "" && err != returned {
				t.Errorf("err = %#v, want the cause itself, %#v", err, returned)
			}
			if _, ok := err.(*Error); !ok || err.Error() != tt.want {
				t.Errorf("err = %v, want %s", err, tt.want)
			}
		}
	})
}

func TestLimit_ContextInWords(t *testing.T) {
	_ = Limit(time.Second).Do(t.Context(), func(ctx context.Context) error {
		if got, want := fmt.Sprint(ctx), "timeout.Limit(1s)"; got != want {
			t.Errorf("the context is %q, want %q", got, want)
		}
		return nil
	})
}

func TestLimit_Nested(t *testing.T) {
	const s = time.Second
	tests := []struct {
		outer, inner time.Duration
		took         time.Duration
		want         string
	}{
		{2 * s, s, s, "timeout: exceeded 1s"},
		{s, 2 * s, s, "timeout: exceeded 1s"},
		{s, s, s, "timeout: exceeded 1s"},
		{s, 0, s, "timeout: exceeded 1s"},
		{0, s, s, "timeout: exceeded 1s"},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprintf("%v around %v", tt.outer, tt.inner), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := Limit(tt.outer).Do(t.Context(), func(ctx context.Context) error {
					return Limit(tt.inner).Do(ctx, work{takes: time.Hour}.do)
				})
				if took := time.Since(start); took != tt.took || err == nil || err.Error() != tt.want {
					t.Errorf("err = %v after %v, want %s after %v", err, took, tt.want, tt.took)
				}
			})
		})
	}

	// An inner limit that expired, and a call that goes on until the outer one
	// expires too: both say so.
	t.Run("both", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			err := Limit(2*s).Do(t.Context(), func(ctx context.Context) error {
				return Limit(s).Do(ctx, work{takes: 3 * s, deaf: true, err: errBoom}.do)
			})
			if want := "timeout: exceeded 2s: boom"; err == nil || err.Error() != want {
				t.Errorf("err = %v, want %s", err, want)
			}
		})
	})
}

// What need not be armed is not: the call gets the caller's own context.
func TestLimit_ArmsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		tests := []struct {
			ctx   context.Context //nolint:containedctx // It is the case's input.
			limit Limit
			arms  bool
		}{
			{ctx, 0, false},
			{ctx, Limit(time.Second), false},
			{ctx, Limit(time.Second + 1), false},
			{ctx, math.MaxInt64, false},
			{ctx, Limit(time.Second - 1), true},
			{t.Context(), 0, false},
			{t.Context(), Limit(time.Second), true},
			{t.Context(), math.MaxInt64, true},
		}
		for _, tt := range tests {
			var ended func() error
			_ = tt.limit.Do(tt.ctx, func(ctx context.Context) error {
				ended = ctx.Err
				if armed := ctx != tt.ctx; armed != tt.arms {
					t.Errorf("%v: a context of its own: %t, want %t", tt.limit, armed, tt.arms)
				}
				deadline, ok := ctx.Deadline()
				if tt.arms && (!ok || deadline != time.Now().Add(time.Duration(tt.limit))) {
					t.Errorf("%v: deadline is %v, want in that time", tt.limit, deadline)
				}
				return nil
			})
			if tt.arms != (ended() != nil) {
				t.Errorf("%v: after the call its context has ended: %v", tt.limit, ended())
			}
		}
		allocs := testing.AllocsPerRun(100, func() {
			_ = Limit(time.Hour).Do(ctx, func(context.Context) error { return nil })
		})
		if allocs != 0 {
			t.Errorf("%v allocations with a nearer deadline, want 0", allocs)
		}
	})
}

// A limit can be used by many at once, for each of them anew.
func TestLimit_Concurrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = Limit(time.Second)
		start := time.Now()
		var wg sync.WaitGroup
		for n := range 50 {
			wg.Go(func() {
				time.Sleep(time.Duration(n) * time.Millisecond)
				err := limit.Do(t.Context(), work{takes: time.Hour}.do)
				took := time.Since(start) - time.Duration(n)*time.Millisecond
				if _, ok := errors.AsType[*Error](err); !ok || took != time.Second {
					t.Errorf("call %d: err = %v after %v, want an *Error after 1s", n, err, took)
				}
			})
		}
		wg.Wait()
	})
}

func TestLimit_PanicPasses(t *testing.T) {
	value := new(int)
	var ended func() error
	func() {
		defer func() {
			if got := recover(); got != value {
				t.Errorf("recovered %v, want what the call panicked with", got)
			}
		}()
		_ = Limit(time.Hour).Do(t.Context(), func(ctx context.Context) error {
			ended = ctx.Err
			panic(value)
		})
	}()
	if ended() == nil {
		t.Error("the timer still runs")
	}
}

func TestLimit_GoexitPasses(t *testing.T) {
	var ended func() error
	returned := false
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = Limit(time.Hour).Do(t.Context(), func(ctx context.Context) error {
			ended = ctx.Err
			runtime.Goexit()
			return nil
		})
		returned = true
	})
	wg.Wait()
	if returned || ended() == nil {
		t.Errorf("returned: %t, the timer still runs: %t; want neither", returned, ended() == nil)
	}
}

// After the call nothing is left: no timer that could fire and no goroutine,
// whichever way it ended. The bubble panics at goroutines.
func TestLimit_LeavesNothing(t *testing.T) {
	for _, w := range []work{{}, {err: errBoom}, {takes: time.Hour}, {takes: time.Hour, deaf: true}} {
		synctest.Test(t, func(t *testing.T) {
			redoubttest.CheckGoroutines(t)
			var cause func() error
			_ = Limit(time.Second).Do(t.Context(), func(ctx context.Context) error {
				cause = func() error { return context.Cause(ctx) }
				return w.do(ctx)
			})
			before := cause()
			if before == nil {
				t.Fatal("the call's context is still alive")
			}
			time.Sleep(24 * time.Hour)
			if after := cause(); after != before {
				t.Errorf("cause changed from %v to %v", before, after)
			}
		})
	}
}

func TestLimit_Check(t *testing.T) {
	tests := []struct {
		limit Limit
		want  string
	}{
		{0, ""},
		{1, ""},
		{math.MaxInt64, ""},
		{-1, "timeout: Limit is -1ns, must not be negative"},
		{Limit(-time.Second), "timeout: Limit is -1s, must not be negative"},
		{math.MinInt64, "timeout: Limit is -2562047h47m16.854775808s, must not be negative"},
	}
	for _, tt := range tests {
		t.Run(tt.limit.String(), func(t *testing.T) {
			got := ""
			if err := tt.limit.Check(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("Check() = %q, want %q", got, tt.want)
			}
			ran := false
			err := tt.limit.Do(t.Context(), func(context.Context) error { ran = true; return nil })
			if ran != (tt.want == "") || !ran && err.Error() != tt.want {
				t.Errorf("Do = %v, and ran the call: %t", err, ran)
			}
			says, ok := errors.AsType[interface {
				error
				Retryable() bool
			}](err)
			if err != nil && (!ok || says.Retryable()) {
				t.Errorf("%v does not say that a repetition is pointless", err)
			}
		})
	}
}

func TestLimit_BadArguments(t *testing.T) {
	ran := func(context.Context) error { t.Error("the call was run"); return nil }
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"nil context", Limit(1).Do(nil, ran), "redoubt: context is nil"}, //nolint:staticcheck // That is the test.
		{"nil call", Limit(1).Do(t.Context(), nil), "redoubt: call is nil"},
		{"nil call and no limit", Limit(0).Do(t.Context(), nil), "redoubt: call is nil"},
	}
	for _, tt := range tests {
		if tt.err == nil || tt.err.Error() != tt.want {
			t.Errorf("%s: err = %v, want %s", tt.name, tt.err, tt.want)
		}
	}
}

func TestLimit_String(t *testing.T) {
	if got := fmt.Sprint(Limit(90 * time.Second)); got != "1m30s" {
		t.Errorf("prints as %s, want 1m30s", got)
	}
}

func TestLimit_Explain(t *testing.T) {
	want := explain.Facts{Kind: explain.Timeout, Limit: time.Second}
	if got := Limit(time.Second).Explain(); got != want {
		t.Errorf("Explain() = %+v, want %+v", got, want)
	}
}

func TestError(t *testing.T) {
	tests := []struct {
		err  error // what the call returned
		want string
	}{
		{nil, "timeout: exceeded 1.5s"},
		{context.DeadlineExceeded, "timeout: exceeded 1.5s"},
		{context.Canceled, "timeout: exceeded 1.5s"},
		{errBoom, "timeout: exceeded 1.5s: boom"},
		{fmt.Errorf("GET /x: %w", context.DeadlineExceeded), "timeout: exceeded 1.5s: GET /x: context deadline exceeded"},
		{incomparableError{"boom"}, "timeout: exceeded 1.5s: [boom]"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			e := &Error{Limit: 1500 * time.Millisecond, Err: tt.err}
			err := fmt.Errorf("billing: %w", e)
			if got := e.Error(); got != tt.want {
				t.Errorf("Error() = %q, want %q", got, tt.want)
			}
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error("it is not DeadlineExceeded")
			}
			if errors.Is(err, context.Canceled) != errors.Is(tt.err, context.Canceled) {
				t.Error("it is Canceled, and the call's error is not")
			}
			if got, ok := errors.AsType[*Error](err); !ok || got != e {
				t.Errorf("AsType = %v", got)
			}
			if got, ok := errors.AsType[interface {
				error
				Timeout() bool
			}](err); !ok || !got.Timeout() {
				t.Error("it does not say that it is a timeout")
			}
			if !os.IsTimeout(e) {
				t.Error("os.IsTimeout reports false")
			}
			if got := e.ErrorType(); got != "timeout" {
				t.Errorf("ErrorType() = %q, want timeout", got)
			}
		})
	}
	err := &Error{Limit: time.Second, Err: &net.DNSError{Name: "billing"}}
	if got, ok := errors.AsType[*net.DNSError](err); !ok || got.Name != "billing" {
		t.Errorf("the call's error does not show through: %v", got)
	}
}

// An error that can't be compared is no trap for the text.
type incomparableError []string

func (e incomparableError) Error() string { return fmt.Sprint([]string(e)) }
