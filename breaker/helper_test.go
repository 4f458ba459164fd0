package breaker

import (
	"cmp"
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func succeed(context.Context) error { return nil }

func fail(context.Context) error { return errDown }

// takes returns a call that is deaf to its context and returns err after d.
func takes(d time.Duration, err error) func(context.Context) error {
	return func(context.Context) error {
		time.Sleep(d)
		return err
	}
}

// listens is a call that runs until its context ends.
func listens(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// lingers returns a call that runs for d beyond the end of its context.
func lingers(d time.Duration, err error) func(context.Context) error {
	return func(ctx context.Context) error {
		<-ctx.Done()
		time.Sleep(d)
		return err
	}
}

// newTest returns a breaker that opens at the first failure, for exactly a
// second, unless config says otherwise. It must be called in the test's bubble,
// if the test has one.
func newTest(t *testing.T, config Config) *Breaker {
	t.Helper()
	config.Name = cmp.Or(config.Name, "billing")
	if config.FailureRatio == 0 && config.SlowCall == 0 {
		config.Consecutive = cmp.Or(config.Consecutive, 1)
	}
	config.Cooldown = cmp.Or(config.Cooldown, time.Second)
	config.Jitter = cmp.Or(config.Jitter, NoJitter)
	b := New(config)
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
	return b
}

func wantState(t *testing.T, b *Breaker, want State) {
	t.Helper()
	if got := b.State(); got != want {
		t.Errorf("State() = %v, want %v", got, want)
	}
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("err = %v, want %v", got, want)
	}
}

// wantRefused reports it if a call runs or is not refused.
func wantRefused(t *testing.T, b *Breaker) *OpenError {
	t.Helper()
	err := b.Do(t.Context(), func(context.Context) error {
		t.Error("the call ran, want it refused")
		return nil
	})
	refusal, ok := errors.AsType[*OpenError](err)
	if !ok {
		t.Fatalf("err = %v, want an OpenError", err)
	}
	return refusal
}

// wantRun reports it if a call that succeeds does not.
func wantRun(t *testing.T, b *Breaker) {
	t.Helper()
	ran := false
	err := b.Do(t.Context(), func(context.Context) error {
		ran = true
		return nil
	})
	if !ran || err != nil {
		t.Errorf("ran = %v, err = %v, want it to run without an error", ran, err)
	}
}

// exits runs f, which may panic or exit its goroutine, and returns how.
func exits(f func()) (panicked any, returned bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { panicked = recover() }()
		f()
		returned = true
	}()
	<-done
	return panicked, returned
}

func goexit(context.Context) error {
	runtime.Goexit()
	return nil
}

// A diary writes transitions down.
type diary struct {
	mu   sync.Mutex
	list []Transition
}

func (d *diary) write(t Transition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.list = append(d.list, t)
}

// read returns what was written, once nobody is about to write.
func (d *diary) read() []Transition {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.list
}

// last returns the last transition, or a zero one.
func (d *diary) last() Transition {
	if list := d.read(); len(list) > 0 {
		return list[len(list)-1]
	}
	return Transition{}
}
