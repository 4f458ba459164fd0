package limit

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

var errDown = errors.New("down")

func succeed(context.Context) error { return nil }

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

func goexit(context.Context) error {
	runtime.Goexit()
	return nil
}

// speaks is an error that says all that errors can say to a limiter.
type speaks struct{ rejected, throttled, timeout, failure bool }

func (speaks) Error() string             { return "speaks" }
func (s speaks) Rejected() bool          { return s.rejected }
func (s speaks) Throttled() bool         { return s.throttled }
func (s speaks) Timeout() bool           { return s.timeout }
func (s speaks) DependencyFailure() bool { return s.failure }

var errOverload = speaks{throttled: true}

func newTest(t *testing.T, config Config) *Limiter {
	t.Helper()
	l := New(config)
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	return l
}

// occupy has n calls under way until the test is over or free is called.
func occupy(t *testing.T, l *Limiter, n int) (free func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for range n {
		go l.Do(ctx, listens)
	}
	synctest.Wait()
	return cancel
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Errorf("err = %v, want %v", got, want)
	}
}

func wantCounts(t *testing.T, l *Limiter, limit, inFlight, waiting int) {
	t.Helper()
	if l.Limit() != limit || l.InFlight() != inFlight || l.Waiting() != waiting {
		t.Errorf("limit %d, %d in flight, %d waiting; want %d, %d, %d", l.Limit(), l.InFlight(), l.Waiting(), limit, inFlight, waiting)
	}
}

// wantRefused reports it if a call runs or is not refused.
func wantRefused(t *testing.T, ctx context.Context, l *Limiter) *Error { //nolint:revive // The test comes first.
	t.Helper()
	err := l.Do(ctx, func(context.Context) error {
		t.Error("the call ran, want it refused")
		return nil
	})
	refusal, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("err = %v, want an Error", err)
	}
	return refusal
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

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
