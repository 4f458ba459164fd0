package limit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/timeout"
)

// A call that is admitted counts itself, on whatever way: an adaptive limit grows
// by what it is told.
func TestAcquire_CountsItself(t *testing.T) {
	for name, wait := range map[string]time.Duration{"without a queue": 0, "with a queue": time.Second} {
		l := New(Config{Fixed: 4, Reserved: 0.5, MaxWait: wait})
		for i, ctx := range []context.Context{t.Context(), t.Context(), WithCritical(t.Context()), WithCritical(t.Context())} {
			if got, err := l.acquire(ctx); got != i+1 || err != nil {
				t.Errorf("%s: acquire() = %d, %v; want %d", name, got, err, i+1)
			}
		}
	}
}

func TestFixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := Fixed(3)
		free := occupy(t, l, 3)
		wantCounts(t, l, 3, 3, 0)
		refusal := wantRefused(t, t.Context(), l)
		if want := (Error{Reason: ReasonReached, Limit: 3, InFlight: 3}); *refusal != want {
			t.Errorf("refused with %+v, want %+v", *refusal, want)
		}
		free()
		synctest.Wait()
		wantErr(t, l.Do(t.Context(), succeed), nil)
		wantErr(t, l.Do(t.Context(), func(context.Context) error { return errDown }), errDown)
		wantCounts(t, l, 3, 0, 0)
	})
}

// TestDo_Nested holds that a call within a call counts twice.
func TestDo_Nested(t *testing.T) {
	l := Fixed(1)
	err := l.Do(t.Context(), func(ctx context.Context) error { return l.Do(ctx, succeed) })
	wantErr(t, err, ErrLimited)
	wantCounts(t, l, 1, 0, 0)
}

// TestDo_GivesBack holds that however a call ends its permit is free again.
func TestDo_GivesBack(t *testing.T) {
	ends := map[string]func(context.Context) error{
		"success": succeed,
		"error":   func(context.Context) error { return errDown },
		"panic":   func(context.Context) error { panic("down") },
		"goexit":  goexit,
	}
	configs := map[string]Config{
		"fixed":     {Fixed: 1},
		"queue":     {Fixed: 1, MaxWait: time.Second},
		"aimd":      {Min: 1, Max: 1},
		"gradient2": {Algorithm: Gradient2, Min: 1, Max: 1},
		"classify panics": {Min: 1, Max: 1, Classify: func(error) Outcome {
			panic("classify")
		}},
	}
	for config, c := range configs {
		for end, call := range ends {
			t.Run(config+"/"+end, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := newTest(t, c)
					for range 3 {
						panicked, returned := exits(func() { l.Do(t.Context(), call) })
						if wantPanic := end == "panic" || config == "classify panics" && end != "goexit"; (panicked != nil) != wantPanic {
							t.Errorf("panicked with %v, want a panic: %t", panicked, wantPanic)
						}
						if end == "goexit" && returned {
							t.Error("Do returned, want it to exit its goroutine")
						}
						wantCounts(t, l, 1, 0, 0)
					}
					// And with one who waits for it.
					if c.MaxWait == 0 {
						return
					}
					go exits(func() {
						l.Do(t.Context(), func(ctx context.Context) error {
							time.Sleep(time.Millisecond)
							return call(ctx)
						})
					})
					synctest.Wait()
					wantErr(t, l.Do(t.Context(), succeed), nil)
					wantCounts(t, l, 1, 0, 0)
				})
			})
		}
	}
}

// TestWait holds how long a call waits, and for what.
func TestWait(t *testing.T) {
	const wait = 100 * time.Millisecond
	cause := errors.New("the user left")
	tests := []struct {
		name string
		busy time.Duration // for which the only permit is taken
		ctx  func(context.Context) (context.Context, context.CancelFunc)

		runs   bool
		waited time.Duration
		reason Reason
		errs   []error
		text   string
	}{
		{name: "at once", busy: 0, runs: true},
		{name: "its turn comes", busy: 99 * time.Millisecond, runs: true, waited: 99 * time.Millisecond},
		{
			name: "its turn does not come", busy: wait + 1, waited: wait,
			reason: ReasonWait, errs: []error{ErrLimited},
			text: "limit: billing: waited 100ms, 1 of 1 calls are under way",
		},
		{
			name: "the caller goes", busy: time.Hour, ctx: cancelAfter(30*time.Millisecond, nil),
			waited: 30 * time.Millisecond, reason: ReasonCancelled, errs: []error{ErrLimited, context.Canceled},
			text: "limit: billing: waited 30ms, 1 of 1 calls are under way: context canceled",
		},
		{
			name: "the caller goes and says why", busy: time.Hour, ctx: cancelAfter(30*time.Millisecond, cause),
			waited: 30 * time.Millisecond, reason: ReasonCancelled, errs: []error{ErrLimited, cause},
			text: "limit: billing: waited 30ms, 1 of 1 calls are under way: the user left",
		},
		{
			name: "the caller's deadline", busy: time.Hour, ctx: deadlineAfter(30 * time.Millisecond),
			waited: 30 * time.Millisecond, reason: ReasonWait, errs: []error{ErrLimited, context.DeadlineExceeded},
			text: "limit: billing: waited 30ms, 1 of 1 calls are under way: context deadline exceeded",
		},
		{
			name: "the caller's deadline comes later", busy: time.Hour, ctx: deadlineAfter(wait + 1),
			waited: wait, reason: ReasonWait, errs: []error{ErrLimited},
			text: "limit: billing: waited 100ms, 1 of 1 calls are under way",
		},
		{
			name: "the caller was gone before", busy: time.Hour, ctx: cancelAfter(0, nil),
			reason: ReasonCancelled, errs: []error{ErrLimited, context.Canceled},
			text: "limit: billing: waited 0s, 1 of 1 calls are under way: context canceled",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTest(t, Config{Name: "billing", Fixed: 1, MaxWait: wait})
				if tt.busy > 0 {
					go l.Do(context.Background(), takes(tt.busy, nil))
				}
				synctest.Wait()
				ctx, cancel := t.Context(), context.CancelFunc(func() {})
				if tt.ctx != nil {
					ctx, cancel = tt.ctx(ctx)
				}
				defer cancel()
				start, runs := time.Now(), false
				err := l.Do(ctx, func(context.Context) error {
					runs = true
					return nil
				})
				if took := time.Since(start); took != tt.waited || runs != tt.runs {
					t.Errorf("took %v, runs = %t; want %v, %t", took, runs, tt.waited, tt.runs)
				}
				if tt.runs {
					wantErr(t, err, nil)
					return
				}
				for _, want := range tt.errs {
					wantErr(t, err, want)
				}
				if text(err) != tt.text {
					t.Errorf("err = %q, want %q", text(err), tt.text)
				}
				if refusal, ok := errors.AsType[*Error](err); !ok || refusal.Reason != tt.reason || refusal.Waited != tt.waited {
					t.Errorf("err = %+v, want reason %q after %v", refusal, tt.reason, tt.waited)
				}
				wantCounts(t, l, 1, 1, 0)
				time.Sleep(2 * time.Hour)
				wantCounts(t, l, 1, 0, 0)
			})
		})
	}
}

// cancelAfter returns what cancels a context after d, at once for zero.
func cancelAfter(d time.Duration, cause error) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		if d == 0 {
			cancel(cause)
		}
		timer := time.AfterFunc(d, func() { cancel(cause) })
		return ctx, func() {
			timer.Stop()
			cancel(nil)
		}
	}
}

func deadlineAfter(d time.Duration) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, d)
	}
}

// TestWait_OuterLimit holds that a time limit further out ends a wait, that the
// error is its own, and that it still says that there was no call.
func TestWait_OuterLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, Config{Fixed: 1, MaxWait: time.Hour})
		occupy(t, l, 1)
		err := timeout.Limit(time.Second).Do(t.Context(), func(ctx context.Context) error { return l.Do(ctx, succeed) })
		if _, ok := errors.AsType[*timeout.Error](err); !ok {
			t.Errorf("err = %v, want a timeout.Error", err)
		}
		refusal, ok := errors.AsType[*Error](err)
		if !ok || refusal.Reason != ReasonWait || refusal.Waited != time.Second || !refusal.Retryable() {
			t.Errorf("err = %v, want an Error of a wait of 1s in it", err)
		}
		wantCounts(t, l, 1, 1, 0)
	})
}

// TestWait_HandOver has callers who leave at the very moment at which their turn
// comes: whoever is first, the permit is not lost and those behind get it.
func TestWait_HandOver(t *testing.T) {
	for _, end := range []string{"cancel", "deadline", "MaxWait"} {
		t.Run(end, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for range 200 {
					wait := time.Hour
					if end == "MaxWait" {
						wait = time.Second
					}
					l := newTest(t, Config{Fixed: 1, MaxWait: wait})
					go l.Do(t.Context(), takes(time.Second, nil))
					synctest.Wait()
					ctx, cancel := context.WithCancel(t.Context())
					switch end {
					case "cancel":
						time.AfterFunc(time.Second, cancel)
					case "deadline":
						ctx, cancel = context.WithTimeout(ctx, time.Second)
					}
					results := make(chan error, 2)
					go func() { results <- l.Do(ctx, takes(time.Second, nil)) }()
					synctest.Wait()
					time.Sleep(time.Millisecond)
					go func() { results <- l.Do(t.Context(), takes(time.Second, nil)) }() // behind it
					first, second := <-results, <-results
					if first != nil {
						wantErr(t, first, ErrLimited)
					}
					if end != "MaxWait" || first != nil { // else the second waits for too long
						wantErr(t, second, nil)
					}
					wantCounts(t, l, 1, 0, 0)
					cancel()
				}
			})
		})
	}
}

func TestWait_FIFO(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, Config{Fixed: 2, MaxWait: time.Hour})
		free := occupy(t, l, 2)
		var mu sync.Mutex
		var order []int
		for i := range 50 {
			go l.Do(t.Context(), func(context.Context) error {
				mu.Lock()
				order = append(order, i)
				mu.Unlock()
				time.Sleep(time.Second)
				return nil
			})
			synctest.Wait()
		}
		wantCounts(t, l, 2, 2, 50)
		free()
		for range 25 {
			synctest.Wait()
			mu.Lock()
			slices.Sort(order[len(order)-2:]) // who began at one moment
			mu.Unlock()
			time.Sleep(time.Second)
		}
		synctest.Wait()
		if len(order) != 50 || !slices.IsSorted(order) {
			t.Errorf("order %v, want that of arrival", order)
		}
		wantCounts(t, l, 2, 0, 0)
	})
}

func TestQueue_Full(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, Config{Name: "billing", Fixed: 1, MaxWait: time.Hour, MaxQueue: 2})
		free := occupy(t, l, 1)
		results := make(chan error)
		for range 2 {
			go func() { results <- l.Do(t.Context(), succeed) }()
		}
		synctest.Wait()
		refusal := wantRefused(t, t.Context(), l)
		if want := (Error{Name: "billing", Reason: ReasonQueueFull, Limit: 1, InFlight: 1, Waiting: 2}); *refusal != want {
			t.Errorf("refused with %+v, want %+v", *refusal, want)
		}
		if got, want := refusal.Error(), "limit: billing: 1 of 1 calls are under way, 2 wait"; got != want {
			t.Errorf("Error() = %q, want %q", got, want)
		}
		free()
		for range 2 {
			wantErr(t, <-results, nil)
		}
		wantCounts(t, l, 1, 0, 0)
	})
}

// TestCritical_Reserved holds who may use what is reserved.
func TestCritical_Reserved(t *testing.T) {
	for _, wait := range []time.Duration{0, time.Second} {
		synctest.Test(t, func(t *testing.T) {
			l := newTest(t, Config{Fixed: 10, Reserved: 0.2, MaxWait: wait})
			urgent := WithCritical(t.Context())
			free := occupy(t, l, 8)
			start := time.Now()
			if refusal := wantRefused(t, t.Context(), l); refusal.Limit != 8 || refusal.InFlight != 8 || time.Since(start) != wait {
				t.Errorf("refused with %+v after %v, want 8 of 8 after %v", refusal, time.Since(start), wait)
			}
			for range 2 {
				go l.Do(urgent, listens)
				synctest.Wait()
			}
			wantCounts(t, l, 10, 10, 0)
			if refusal := wantRefused(t, urgent, l); refusal.Limit != 10 || refusal.InFlight != 10 {
				t.Errorf("refused with %+v, want 10 of 10", refusal)
			}
			free()
			synctest.Wait()
			wantErr(t, l.Do(t.Context(), succeed), nil)
		})
	}
}

// TestCritical_Queue holds that a critical call passes those that wait, takes the
// place of the last if the queue is full, and waits behind its like.
func TestCritical_Queue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, Config{Fixed: 1, MaxWait: time.Hour, MaxQueue: 3})
		free := occupy(t, l, 1)
		type end struct {
			who string
			err error
		}
		var mu sync.Mutex
		var ends []end
		call := func(ctx context.Context, who string) {
			go func() {
				err := l.Do(ctx, takes(time.Second, nil))
				mu.Lock()
				defer mu.Unlock()
				ends = append(ends, end{who, err})
			}()
			synctest.Wait()
		}
		urgent := WithCritical(t.Context())
		call(t.Context(), "a")
		call(t.Context(), "b")
		call(urgent, "A")
		time.Sleep(time.Minute)
		call(urgent, "B") // instead of b
		call(urgent, "C") // instead of a
		call(urgent, "D") // there is nobody to displace
		call(t.Context(), "c")
		wantCounts(t, l, 1, 1, 3)
		free()
		time.Sleep(time.Hour)
		synctest.Wait()

		want := []end{{"b", ErrLimited}, {"a", ErrLimited}, {"D", ErrLimited}, {"c", ErrLimited}, {"A", nil}, {"B", nil}, {"C", nil}}
		if len(ends) != len(want) {
			t.Fatalf("ends: %v, want %v", ends, want)
		}
		for i, e := range ends {
			if e.who != want[i].who || !errors.Is(e.err, want[i].err) {
				t.Errorf("end %d: %v, want %v", i, e, want[i])
			}
		}
		if refusal, ok := errors.AsType[*Error](ends[0].err); !ok || refusal.Reason != ReasonQueueFull || refusal.Waited != time.Minute {
			t.Errorf("displaced with %+v, want queue_full after a minute", refusal)
		}
		wantCounts(t, l, 1, 0, 0)
	})
}

// TestAdapts holds what moves the limit of a limiter in use, and who is asked.
func TestAdapts(t *testing.T) {
	const outer = timeout.Limit(time.Second)
	plain := func(ctx context.Context) (context.Context, context.CancelFunc) { return ctx, func() {} }
	fails := func(err error) func(context.Context) error {
		return func(context.Context) error { return err }
	}
	tests := []struct {
		name   string
		config Config
		ctx    func(context.Context) (context.Context, context.CancelFunc)
		outer  timeout.Limit
		call   func(context.Context) error
		want   int // from 20, with one more call than half of it under way
	}{
		{name: "success", call: succeed, want: 21},
		{name: "a failure that says nothing", call: fails(errDown), want: 20},
		{name: "overload", call: fails(errOverload), want: 18},
		{name: "refused further in", call: fails(speaks{rejected: true}), want: 20},
		{name: "not the dependency's failure", call: fails(speaks{}), want: 21},
		{name: "panic", call: func(context.Context) error { panic("down") }, want: 20},
		{name: "goexit", call: goexit, want: 20},
		{name: "slow", call: takes(DefaultSlowCall, nil), want: 18},
		{name: "nearly slow", call: takes(DefaultSlowCall-1, nil), want: 21},
		{name: "slow, fails otherwise", call: takes(DefaultSlowCall, errDown), want: 18},
		{name: "slow by its own measure", config: Config{SlowCall: time.Second}, call: takes(time.Second, nil), want: 18},
		{name: "the caller goes", ctx: cancelAfter(time.Second, nil), call: listens, want: 20},
		{name: "the caller goes, overload", ctx: cancelAfter(time.Second, nil), call: takes(2*time.Second, errOverload), want: 20},
		{name: "the caller goes, success", ctx: cancelAfter(time.Second, nil), call: takes(2*time.Second, nil), want: 21},
		{name: "the caller goes when it was slow", ctx: cancelAfter(6*time.Second, nil), call: listens, want: 18},
		{name: "the caller's deadline", ctx: deadlineAfter(time.Second), call: listens, want: 20},
		{name: "the caller's deadline counts", config: Config{CallerDeadline: time.Second}, ctx: deadlineAfter(time.Second), call: listens, want: 18},
		{name: "the caller's deadline came too soon", config: Config{CallerDeadline: time.Second}, ctx: deadlineAfter(time.Second - 1), call: listens, want: 20},
		{name: "the caller goes, deadlines count", config: Config{CallerDeadline: time.Second}, ctx: cancelAfter(2*time.Second, nil), call: listens, want: 20},
		{name: "time limit further out", outer: outer, call: listens, want: 18},
		{name: "time limit further in", call: func(ctx context.Context) error { return outer.Do(ctx, listens) }, want: 18},
		{name: "invented cancellation", call: fails(context.Canceled), want: 20},
		{name: "Classify drops", config: Config{Classify: func(error) Outcome { return Dropped }}, call: succeed, want: 18},
		{name: "Classify ignores", config: Config{Classify: func(error) Outcome { return Ignored }}, call: succeed, want: 20},
		{name: "Classify invents", config: Config{Classify: func(error) Outcome { return 9 }}, call: succeed, want: 20},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newTest(t, tt.config)
				occupy(t, l, 10)
				ctx := tt.ctx
				if ctx == nil {
					ctx = plain
				}
				caller, cancel := ctx(t.Context())
				defer cancel()
				exits(func() {
					tt.outer.Do(caller, func(ctx context.Context) error { return l.Do(ctx, tt.call) })
				})
				wantCounts(t, l, tt.want, 10, 0)
			})
		})
	}
}

// TestAdapts_Classify holds that Classify is asked once for each call that it
// is to be asked about, with the call's own error.
func TestAdapts_Classify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []error
		l := newTest(t, Config{Classify: func(err error) Outcome {
			asked = append(asked, err)
			return DefaultClassify(err)
		}})
		for _, err := range []error{nil, errDown, errOverload} {
			wantErr(t, l.Do(t.Context(), func(context.Context) error { return err }), err)
		}
		l.Do(t.Context(), takes(time.Hour, nil))
		if want := []error{nil, errDown, errOverload}; !slices.Equal(asked, want) {
			t.Errorf("asked about %v, want %v", asked, want)
		}
	})
}

// TestAdapts_Gradient2 has a dependency that becomes slower and does not fail.
func TestAdapts_Gradient2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, Config{Algorithm: Gradient2, Min: 5, Initial: 40})
		load := func(d, each time.Duration) {
			var all sync.WaitGroup
			for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(each) {
				for range l.Limit() {
					all.Go(func() { l.Do(t.Context(), takes(each, nil)) })
				}
			}
			all.Wait()
		}
		load(20*time.Second, 100*time.Millisecond)
		usual := l.Limit()
		if usual < 50 {
			t.Errorf("the limit is %d when all is well, want it to have risen", usual)
		}
		load(20*time.Second, time.Second)
		if got := l.Limit(); got > usual/3 {
			t.Errorf("the limit is %d when calls take ten times as long, want a third of %d at most", got, usual)
		}
		l.Reset()
		wantCounts(t, l, 40, 0, 0)
	})
}

// TestAdapts_Gradient2_Windows holds that the limit moves once in a window, however
// many calls end in it.
func TestAdapts_Gradient2_Windows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, Config{Algorithm: Gradient2, Min: 1, Initial: 64, Max: 64, Backoff: 0.5})
		burst := func(wait time.Duration, calls int) int {
			time.Sleep(wait)
			for range calls {
				l.Do(t.Context(), takes(0, errOverload))
			}
			return l.Limit()
		}
		got := []int{burst(0, 5*windowSamples)}
		for range 2 {
			got = append(got, burst(windowLength-1, 5*windowSamples), burst(1, 1))
		}
		if want := []int{32, 32, 16, 16, 8}; !slices.Equal(got, want) {
			t.Errorf("limits %v, want %v", got, want)
		}
	})
}

// TestAdapts_LetsIn holds that a limit that rises lets in who waits for it.
func TestAdapts_LetsIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, Config{Min: 2, Initial: 2, Max: 10, MaxWait: time.Hour})
		occupy(t, l, 1)
		go l.Do(t.Context(), takes(time.Second, nil)) // raises it to 3 when done
		synctest.Wait()
		for range 3 {
			go l.Do(t.Context(), listens)
		}
		synctest.Wait()
		wantCounts(t, l, 2, 2, 3)
		time.Sleep(time.Second)
		synctest.Wait()
		wantCounts(t, l, 3, 3, 1)
		time.Sleep(time.Hour)
		wantCounts(t, l, 3, 3, 0)
	})
}

// TestAdapts_Falls holds that a limit that has fallen below what is under way
// takes no call until enough have ended.
func TestAdapts_Falls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, Config{Min: 1, Initial: 4, Max: 4, Backoff: 0.5})
		for i := range 4 {
			var err error
			if i == 0 {
				err = errOverload
			}
			go l.Do(t.Context(), takes(time.Duration(i+1)*time.Second, err))
			synctest.Wait() // one after the other, for each learns from those before it
		}
		for _, want := range [][2]int{{4, 4}, {2, 3}, {3, 2}, {4, 1}} {
			wantCounts(t, l, want[0], want[1], 0)
			if want[1] >= want[0] {
				wantRefused(t, t.Context(), l)
			}
			time.Sleep(time.Second)
			synctest.Wait()
		}
	})
}

// TestLogger holds that only what is news is told: that the limit is at its
// minimum, and that it is well clear of it.
func TestLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		l := newTest(t, Config{
			Name: "billing", Initial: 8, Min: 4, Max: 200,
			Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})),
		})
		occupy(t, l, 3)
		overload := func(context.Context) error { return errOverload }
		for range 20 {
			l.Do(t.Context(), overload)
			l.Reset()
			l.mu.Lock()
			l.set(4.2)
			l.mu.Unlock()
			l.Do(t.Context(), overload)
		}
		if got := strings.Count(log.String(), "\n"); got != 20 {
			t.Errorf("%d records, want one for each fall to the minimum:\n%s", got, log.String())
		}
		first, _, _ := strings.Cut(log.String(), "\n")
		if want := `level=WARN msg="limit: has fallen to its minimum" limiter=billing limit=4 in_flight=4 waiting=0`; first != want {
			t.Errorf("log:\n%s\nwant:\n%s", first, want)
		}
		log.Reset()
		for range 3 {
			for range 3 {
				l.Do(t.Context(), succeed) // one too few
			}
			for range 10 {
				l.Do(t.Context(), overload)
			}
		}
		if log.Len() > 0 {
			t.Errorf("it has been told before:\n%s", log.String())
		}
		for range 4 {
			l.Do(t.Context(), succeed)
		}
		want := "level=INFO msg=\"limit: has risen again\" limiter=billing limit=8 in_flight=4 waiting=0\n"
		if log.String() != want {
			t.Errorf("log:\n%swant:\n%s", log.String(), want)
		}
	})
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newTest(t, Config{Min: 2, Initial: 4, MaxWait: time.Hour})
		l.mu.Lock()
		l.set(2)
		l.mu.Unlock()
		for range 5 {
			go l.Do(t.Context(), listens)
		}
		synctest.Wait()
		wantCounts(t, l, 2, 2, 3)
		l.Reset()
		synctest.Wait()
		wantCounts(t, l, 4, 4, 1)
		fixed := Fixed(3)
		fixed.Reset()
		wantCounts(t, fixed, 3, 0, 0)
		time.Sleep(time.Hour)
	})
}

// TestConcurrent is for the race detector, on every path at once.
func TestConcurrent(t *testing.T) {
	configs := map[string]Config{
		"fixed":     {Fixed: 4},
		"queue":     {Fixed: 4, MaxWait: time.Millisecond, MaxQueue: 4, Reserved: 0.25},
		"aimd":      {Min: 1, Initial: 4, Max: 8},
		"gradient2": {Algorithm: Gradient2, Min: 1, Initial: 4, Max: 8, MaxWait: time.Minute},
	}
	for name, config := range configs {
		t.Run(name, func(t *testing.T) {
			l := newTest(t, config)
			var mu sync.Mutex
			inFlight, most := 0, 0
			var all sync.WaitGroup
			for worker := range 16 {
				all.Go(func() {
					for i := range 200 {
						ctx, cancel := context.WithCancel(t.Context())
						if i%3 == 0 {
							ctx = WithCritical(ctx)
						}
						if i%5 == 0 {
							go cancel()
						}
						l.Do(ctx, func(context.Context) error {
							mu.Lock()
							inFlight++
							most = max(most, inFlight)
							mu.Unlock()
							defer func() {
								mu.Lock()
								inFlight--
								mu.Unlock()
							}()
							if (worker+i)%7 == 0 {
								return errOverload
							}
							return nil
						})
						cancel()
						l.Limit()
					}
				})
			}
			all.Wait()
			if highest := max(config.Fixed, config.Max); most > highest {
				t.Errorf("%d calls at once, want at most %d", most, highest)
			}
			if l.InFlight() != 0 || l.Waiting() != 0 {
				t.Errorf("%d in flight, %d waiting at the end, want none", l.InFlight(), l.Waiting())
			}
		})
	}
}
