package redoubttest

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A Layer runs a call under one rule. It has the method set of redoubt.Layer,
// whose documentation states the law.
type Layer interface {
	Do(ctx context.Context, call func(context.Context) error) error
}

// CheckLayer tests that layers keep their law, each clause in a subtest of its
// own. newLayer returns a new layer each time; it is called inside a bubble of
// testing/synctest, so all that the layer holds must be made in it.
//
// A layer may refuse calls, repeat them and give up on them, but
//
//   - a fresh layer runs a call, and returns nil if the call succeeds;
//   - after any number of failures, panics, Goexits and cancellations a call
//     succeeds again within an hour of the bubble's time;
//   - nil means that the last run of the call returned nil;
//   - nothing of the layer is left an hour after the last call, neither a run
//     of the call nor a goroutine.
//
// A layer with a goroutine of its own cannot pass. One that holds a
// sync.Mutex while it waits makes the bubble's clock stand still; that is
// reported after a minute of real time. What runs no goroutine cannot be seen:
// a timer that re-arms itself for ever passes.
//
// CheckLayer must not be called in a bubble.
func CheckLayer[L Layer](t *testing.T, newLayer func() L) {
	t.Helper()
	for _, law := range laws() {
		t.Run(law.name, func(t *testing.T) {
			t.Helper()
			law.run(t, t, func() Layer { return newLayer() }, time.Minute)
		})
	}
}

// A reporter is the part of testing.TB that the laws use. It is apart from the
// test that hosts the bubble so that a test of ours can watch a layer fail.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
	Failed() bool
}

// A law is one clause of the law of a layer.
type law struct {
	name  string
	check func(ctx context.Context, r reporter, layer Layer)
}

// run checks the law in a bubble and reports to r.
func (l law) run(t *testing.T, r reporter, newLayer func() Layer, patience time.Duration) {
	r.Helper()
	inBubble(t, r, "layer", patience, func(t *testing.T) { l.check(t.Context(), r, newLayer()) })
}

// inBubble runs check in a bubble and reports to r what is left of the subject
// afterwards. It gives up after patience, in real time: a goroutine that waits
// for a mutex stops the bubble's clock.
func inBubble(t *testing.T, r reporter, subject string, patience time.Duration, check func(t *testing.T)) {
	r.Helper()
	ended := make(chan any, 1)
	go func() {
		// The bubble's deadlock panic ends up here; those of the check do not.
		defer func() { ended <- recover() }()
		synctest.Test(t, func(t *testing.T) {
			before := goroutines()
			check(t)
			checkNothingLeft(r, subject, before)
		})
	}()
	select {
	case p := <-ended:
		if p != nil && !r.Failed() {
			r.Errorf("the %s left goroutines behind: %v", subject, p)
		}
	case <-time.After(patience):
		r.Errorf("stuck: a goroutine waits for what is not in the bubble, most likely a mutex that a panic or Goexit left locked")
	}
}

// checkNothingLeft reports goroutines that are alive well after the last call.
func checkNothingLeft(r reporter, subject string, before snapshot) {
	r.Helper()
	time.Sleep(anHour)
	synctest.Wait()
	if left := before.since(); len(left) > 0 {
		r.Errorf("goroutines that the %s left behind: %d\n\n%s", subject, len(left), strings.Join(left, "\n\n"))
	}
}
