package timeout

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/law"
)

// TestLimited_LikeStandard does the same, at random, to a limited context and to
// a standard one that have a parent in common. Whatever they are asked, they
// have to give the same answer, but for what nobody can tell who asks too late.
// The bubble panics if it is left with a goroutine.
func TestLimited_LikeStandard(t *testing.T) {
	const schedules = 10_000
	synctest.Test(t, func(t *testing.T) {
		exceptions := 0
		for seed := range uint64(schedules) {
			w := newTwins(seed)
			if err := w.play(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if w.exception {
				exceptions++
			}
		}
		t.Logf("%d of %d schedules had an exception", exceptions, schedules)
	})
}

// twins are two contexts that should not be told apart.
type twins struct {
	random *rand.Rand
	log    []string
	defers []func()

	parent       context.Context //nolint:containedctx // These are what is tested.
	cancelParent context.CancelCauseFunc
	limited      *limited
	end          func()
	standard     context.Context //nolint:containedctx // The same.
	cancel       context.CancelFunc
	kin          [][2]context.Context // derived from limited and from standard
	afterwards   [2]atomic.Int32      // how many functions of AfterFunc ran

	// What the limited context has to say, once that is settled: what the
	// standard one says unless there is an exception.
	settled    bool
	exception  bool
	err, cause error
	ends       []string // what has ended it, in order
}

type key int

// foreign hides what a context is.
type foreign struct{ context.Context } //nolint:containedctx // It is one.

func newTwins(seed uint64) *twins {
	w := &twins{random: rand.New(rand.NewPCG(seed, 6))}
	limit := pick(w.random, 1, time.Millisecond, time.Second)
	ctx := context.WithValue(context.Background(), key(1), "parent's")
	if w.random.IntN(3) == 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit+pick(w.random, 1, time.Millisecond, time.Second))
		w.defers = append(w.defers, cancel)
	}
	ctx, w.cancelParent = context.WithCancelCause(ctx)
	w.defers = append(w.defers, func() { w.cancelParent(nil) })
	switch w.random.IntN(4) {
	case 0:
		ctx = context.WithValue(ctx, key(2), "nearest")
	case 1:
		ctx = foreign{ctx}
	}
	w.parent = ctx
	w.limited = &limited{Context: ctx, start: law.Now(), limit: limit}
	w.standard, w.cancel = context.WithTimeoutCause(ctx, limit, &Error{Limit: limit})
	w.end = sync.OnceFunc(w.limited.end)
	w.defers = append(w.defers, w.cancel, w.end)
	return w
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

func (w *twins) play() error {
	defer func() {
		for _, f := range w.defers {
			f()
		}
	}()
	for range 2 + w.random.IntN(8) {
		if err := w.step(); err != nil {
			return fmt.Errorf("after %q: %w", w.log, err)
		}
	}
	w.note("look")
	if err := w.look(); err != nil {
		return fmt.Errorf("after %q: %w", w.log, err)
	}
	return nil
}

func (w *twins) step() error {
	switch w.random.IntN(11) {
	case 0, 1, 2:
		w.sleep()
	case 3:
		w.note("cancel the parent")
		w.cancelParent(errBoom)
		w.ended("parent")
	case 4:
		w.note("return")
		w.end()
		w.cancel()
		w.ended("return")
	case 5:
		w.derive()
	case 6:
		w.note("AfterFunc")
		w.settle(true)
		for i, ctx := range []context.Context{w.limited, w.standard} {
			stop := context.AfterFunc(ctx, func() { w.afterwards[i].Add(1) })
			w.defers = append(w.defers, func() { stop() })
		}
	case 7:
		w.note("Err")
		return w.compareErr()
	case 8:
		w.note("Cause")
		return w.compareCause()
	case 9:
		w.note("Done")
		return w.compareDone()
	case 10:
		w.note("look")
		return w.look()
	}
	synctest.Wait()
	return nil
}

func (w *twins) note(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

// sleep passes most often to a moment that matters, or next to it.
func (w *twins) sleep() {
	left := w.limited.limit - w.limited.start.Since()
	d := pick(w.random, 1, left-1, left, left+1)
	if deadline, ok := w.parent.Deadline(); ok && w.random.IntN(2) == 0 {
		d = time.Until(deadline)
	}
	d = max(d, 0)
	w.note("sleep %v", d)
	time.Sleep(d)
	synctest.Wait()
	if d >= left {
		w.ended("limit")
	}
}

// derive makes a child of each twin, of which only some need to know when their
// parent ends.
func (w *twins) derive() {
	limit := pick(w.random, 3*time.Nanosecond, time.Minute) // never as long as the parent has
	kind := w.random.IntN(5)
	w.note("derive a child of kind %d", kind)
	if kind < 3 {
		w.settle(true)
	}
	var children [2]context.Context
	for i, ctx := range []context.Context{w.limited, w.standard} {
		cancel := context.CancelFunc(func() {})
		switch kind {
		case 0:
			ctx, cancel = context.WithCancel(ctx)
		case 1:
			ctx, cancel = context.WithTimeout(ctx, limit)
		case 2:
			ctx, cancel = context.WithCancel(context.WithValue(foreign{ctx}, key(3), "child's"))
		case 3:
			ctx = context.WithValue(foreign{ctx}, key(3), "child's")
		case 4:
			ctx = context.WithoutCancel(ctx)
		}
		w.defers = append(w.defers, cancel)
		children[i] = ctx //nolint:fatcontext // It is each twin's own.
	}
	w.kin = append(w.kin, children)
}

// ended remembers what has ended the contexts.
func (w *twins) ended(what string) {
	if !slices.Contains(w.ends, what) {
		w.ends = append(w.ends, what)
	}
}

// settle is for when the limited context is asked something: from the first time
// that it has ended, or that it must have the standard context, its answer
// stands.
func (w *twins) settle(arms bool) {
	if w.settled {
		return
	}
	switch {
	case slices.Contains(w.ends, "return"):
		w.err, w.cause = context.Canceled, context.Canceled
	case w.parent.Err() == context.Canceled:
		w.err, w.cause = w.parent.Err(), context.Cause(w.parent)
	case slices.Contains(w.ends, "limit"):
		w.err, w.cause = context.DeadlineExceeded, &Error{Limit: w.limited.limit}
	default:
		w.settled = arms
		return
	}
	w.settled = true
	w.exception = !same(w.err, w.standard.Err()) || !same(w.cause, context.Cause(w.standard))
}

// want returns what the limited context has to say.
func (w *twins) want() (err, cause error) {
	if w.exception {
		return w.err, w.cause
	}
	return w.standard.Err(), context.Cause(w.standard)
}

func (w *twins) look() error {
	compare := []func() error{w.compareErr, w.compareCause, w.compareDone, w.compareKin, w.compareRest}
	w.random.Shuffle(len(compare), func(i, j int) { compare[i], compare[j] = compare[j], compare[i] })
	for _, compare := range compare {
		if err := compare(); err != nil {
			return err
		}
	}
	if w.exception && len(w.ends) < 2 {
		return fmt.Errorf("an exception although only %q has happened", w.ends)
	}
	return nil
}

func (w *twins) compareErr() error {
	w.settle(false)
	want, _ := w.want()
	if got := law.Ended(w.limited, law.Now()); got != (want != nil) {
		return fmt.Errorf("ended: %t, while its error should be %w", got, want)
	}
	return compare("Err()", w.limited.Err(), want)
}

func (w *twins) compareCause() error {
	w.settle(false)
	_, want := w.want()
	return compare("Cause()", context.Cause(w.limited), want)
}

func (w *twins) compareDone() error {
	w.settle(true)
	want, _ := w.want()
	if got := isDone(w.limited); got != (want != nil) {
		return fmt.Errorf("done: %t, while its error should be %w", got, want)
	}
	return nil
}

func (w *twins) compareKin() error {
	w.settle(false)
	if w.exception {
		return nil // what they have to say, too
	}
	for i, pair := range w.kin {
		if err := compare(fmt.Sprintf("Err() of child %d", i), pair[0].Err(), pair[1].Err()); err != nil {
			return err
		}
		if err := compare(fmt.Sprintf("Cause() of child %d", i), context.Cause(pair[0]), context.Cause(pair[1])); err != nil {
			return err
		}
		for k := range key(4) {
			if got, want := pair[0].Value(k), pair[1].Value(k); got != want {
				return fmt.Errorf("Value(%d) of child %d = %v, want %v", k, i, got, want)
			}
		}
		got, gotOK := pair[0].Deadline()
		if want, ok := pair[1].Deadline(); !got.Equal(want) || gotOK != ok {
			return fmt.Errorf("Deadline() of child %d = %v, %t, want %v, %t", i, got, gotOK, want, ok)
		}
	}
	synctest.Wait()
	if got, want := w.afterwards[0].Load(), w.afterwards[1].Load(); got != want {
		return fmt.Errorf("%d functions of AfterFunc ran, want %d", got, want)
	}
	return nil
}

// compareRest asks what needs no standard context.
func (w *twins) compareRest() error {
	before := w.limited.armed.Load()
	got, _ := w.limited.Deadline()
	if want, _ := w.standard.Deadline(); !got.Equal(want) {
		return fmt.Errorf("Deadline() = %v, want %v", got, want)
	}
	if parent, end := w.limited.Link(); parent != w.parent || !end.Equal(got) {
		return fmt.Errorf("Link() = %v, %v, want the parent and the deadline, %v", parent, end, got)
	}
	for k := range key(4) {
		if got, want := w.limited.Value(k), w.standard.Value(k); got != want {
			return fmt.Errorf("Value(%d) = %v, want %v", k, got, want)
		}
	}
	if w.limited.armed.Load() != before {
		return errors.New("the standard context was made for nothing")
	}
	return nil
}

func compare(what string, got, want error) error {
	if same(got, want) {
		return nil
	}
	return fmt.Errorf("%s = %#v, want %#v", what, got, want)
}

// same takes all errors of one limit for the same.
func same(a, b error) bool {
	if a, ok := a.(*Error); ok {
		b, ok := b.(*Error)
		return ok && *a == *b
	}
	return a == b
}

func isDone(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return true
	default:
		return false
	}
}

// Whatever happens at the same time, everybody gets the same answer.
func TestLimited_Concurrent(t *testing.T) {
	const schedules, askers = 2_000, 4
	for seed := range uint64(schedules) {
		random := rand.New(rand.NewPCG(seed, 7))
		limit := pick(random, 1, time.Microsecond, 20*time.Microsecond, time.Hour)
		parent, cancelParent := context.WithCancelCause(t.Context())
		c := &limited{Context: parent, start: law.Now(), limit: limit}
		var answers [askers]error
		var wg sync.WaitGroup
		for i := range askers {
			first := random.IntN(6)
			wg.Go(func() {
				before := ask(c, first)
				for n := range 6 {
					now := ask(c, n)
					if before != nil && now != before {
						t.Errorf("seed %d: its end changes from %v to %v", seed, before, now)
					}
					before = now
				}
				<-c.Done()
				answers[i] = c.Err()
			})
		}
		if random.IntN(2) == 0 {
			wg.Go(func() { cancelParent(errBoom) })
		}
		wg.Go(c.end)
		wg.Wait()
		for _, err := range answers {
			if err == nil || err != answers[0] {
				t.Errorf("seed %d: answers differ: %v", seed, answers)
			}
		}
		cancelParent(nil)
		if err := c.Err(); err != answers[0] {
			t.Errorf("seed %d: its end changes from %v to %v", seed, answers[0], err)
		}
	}
}

// ask asks one of the questions that can be put to a context, and returns its
// error.
func ask(c *limited, question int) error {
	switch question {
	case 0:
		isDone(c)
	case 1:
		_, cancel := context.WithCancel(c)
		defer cancel()
	case 2:
		_ = context.Cause(c)
	case 3:
		c.Deadline()
	case 4:
		c.Value(key(1))
	case 5:
		context.AfterFunc(c, func() {})()
	}
	return c.Err()
}

// An endless context could end, for all that package context knows.
type endless struct {
	context.Context //nolint:containedctx // It is one.

	done chan struct{}
}

func (e endless) Done() <-chan struct{} { return e.done }

// TestLimited_ArmedAtOnce has several goroutines make the standard context at the
// same time. Those that were not needed have to let go of the parent at once; with
// this one each costs a goroutine until then, of which the bubble would tell.
func TestLimited_ArmedAtOnce(t *testing.T) {
	const rounds, askers = 2000, 4
	synctest.Test(t, func(t *testing.T) {
		for range rounds {
			parent := endless{context.Background(), make(chan struct{})}
			c := &limited{Context: parent, start: law.Now(), limit: time.Hour}
			var ready atomic.Int32
			var wg sync.WaitGroup
			for range askers {
				wg.Go(func() {
					for ready.Add(1); ready.Load() < askers; {
						runtime.Gosched()
					}
					c.Done()
				})
			}
			wg.Wait()
			c.end()
		}
	})
}

// A call that does not wait for its context costs no timer, and its context is
// one allocation.
func TestLimit_ArmsWhenAsked(t *testing.T) {
	armed := func(ask func(context.Context)) bool {
		var c *limited
		_ = Limit(time.Hour).Do(t.Context(), func(ctx context.Context) error {
			ask(ctx)
			c = ctx.(*limited)
			return nil
		})
		return c.armed.Load() != returned
	}
	asks := map[string]func(context.Context){
		"nothing":       func(context.Context) {},
		"Deadline":      func(ctx context.Context) { ctx.Deadline() },
		"Err":           func(ctx context.Context) { _ = ctx.Err() },
		"Cause":         func(ctx context.Context) { _ = context.Cause(ctx) },
		"Value":         func(ctx context.Context) { ctx.Value(key(1)) },
		"WithValue":     func(ctx context.Context) { context.WithValue(ctx, key(1), 1).Value(key(2)) },
		"WithoutCancel": func(ctx context.Context) { <-time.After(0); _ = context.WithoutCancel(ctx).Err() },
		"printing":      func(ctx context.Context) { _ = fmt.Sprint(ctx) },
	}
	for what, ask := range asks {
		if armed(ask) {
			t.Errorf("asking for %s makes a timer", what)
		}
	}
	if !armed(func(ctx context.Context) { ctx.Done() }) {
		t.Error("asking for Done makes no timer")
	}
	if allocs := testing.AllocsPerRun(100, func() { armed(asks["Err"]) }); allocs > 3 { // two are the test's own
		t.Errorf("%v allocations, want 3", allocs)
	}
}

// Children need no goroutine, which they do if package context can't find the
// standard context.
func TestLimited_ChildrenNeedNoGoroutine(t *testing.T) {
	if standardKey == nil {
		t.Fatal("package context asks for no value to tell a cause")
	}
	_ = Limit(time.Hour).Do(t.Context(), func(ctx context.Context) error {
		before := runtime.NumGoroutine()
		for range 100 {
			_, cancel := context.WithCancel(context.WithValue(ctx, key(1), 1))
			defer cancel()
			defer context.AfterFunc(ctx, func() {})()
		}
		if after := runtime.NumGoroutine(); after > before+50 {
			t.Errorf("%d goroutines for 200 children", after-before)
		}
		return nil
	})
}

// Who left is told from how long it took, as far as that can be known.
func TestLimited_Cause(t *testing.T) {
	const s = time.Second
	hungUp := errors.New("caller hung up")
	expired := &Error{Limit: s}
	tests := []struct {
		name   string
		looks  time.Duration // when the call first asks, and then at 3 s
		leaves time.Duration // when the caller does
		want   error
	}{
		{"nobody asks", 3 * s, 2 * s, hungUp}, // although the limit was first
		{"asked between", s + s/2, 2 * s, expired},
		{"asked before", s / 2, 2 * s, hungUp},
		{"caller leaves first", 3 * s, s / 2, hungUp},
		{"caller leaves first, asked between", 3 * s / 4, s / 2, hungUp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				time.AfterFunc(tt.leaves, func() { cancel(hungUp) })
				err := Limit(s).Do(ctx, func(ctx context.Context) error {
					time.Sleep(tt.looks)
					_ = ctx.Err()
					time.Sleep(3*s - tt.looks)
					return context.Cause(ctx)
				})
				if !same(err, tt.want) {
					t.Errorf("cause = %v, want %v", err, tt.want)
				}
				if gone := law.CallerGaveUp(ctx); !gone {
					t.Error("the caller's context does not say that it left")
				}
			})
		})
	}
}

// The longest limit there is, added to the moment of its beginning, was before
// that: whoever asked for Done was told that time was up.
func TestLimit_Longest(t *testing.T) {
	err := Limit(math.MaxInt64).Do(t.Context(), func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
			return ctx.Err()
		}
	})
	if err != nil {
		t.Errorf("err = %v, want none", err)
	}
}
