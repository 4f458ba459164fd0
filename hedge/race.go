package hedge

import (
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A sender makes the attempts of one call, of which the first is number 0.
type sender[T any] interface {
	// prepare returns a function that makes attempt n on ctx. Like settle it
	// is called by the goroutine of the call.
	prepare(ctx context.Context, n int) (func() (T, error), error)

	// repeatable reports whether another attempt can be prepared. What it costs
	// is paid before that is tried.
	repeatable() bool

	// failed reports whether the attempt that ended so is a failure.
	failed(value T, err error) bool

	// throttled returns how long the dependency wants to be left alone, and
	// whether the result says so.
	throttled(value T, err error) (time.Duration, bool)

	// settle is told what became of attempt n, from the first to the last.
	settle(n int, f fate, value T, err error)

	// discard frees a result that nobody will use.
	discard(value T, err error)
}

// A fate is what becomes of an attempt.
type fate int

const (
	won   fate = iota // the call has its result
	lost              // given up, since the call has a result or its caller is gone
	broke             // failed
)

// A race is one hedged call: the first attempt and the hedges beside it, each on
// a goroutine and a context of its own. The goroutine of the call waits for them
// and decides; no other touches more than mu guards.
type race[T any] struct {
	h       *Hedger
	sender  sender[T]
	inner   innerContext
	begun   time.Duration
	results chan result[T]
	lanes   []lane[T]
	two     [2]lane[T] // which hold them as a rule

	mu   sync.Mutex
	over bool // results are no longer read
}

// A lane is an attempt as the goroutine of the call sees it.
type lane[T any] struct {
	state  state
	begun  time.Duration
	cancel context.CancelCauseFunc
	value  T
	err    error
}

// A result is how attempt n ended.
type result[T any] struct {
	n     int
	value T
	err   error

	returned bool
	panicked any // if it did not return; nil for Goexit
}

// do runs a call by its sender. The function that it returns must be called when
// the value is done with.
func do[T any](ctx context.Context, h *Hedger, s sender[T]) (T, context.CancelCauseFunc, error) {
	h.share.pay(h.share.deposit)
	delay, ok := h.Delay()
	if !ok || inside(ctx) {
		return alone(ctx, h, s)
	}
	r := &race[T]{
		h:       h,
		sender:  s,
		inner:   innerContext{telemetry.Beside(ctx)},
		begun:   h.now(),
		results: make(chan result[T], 1+h.config.Hedges), // nobody waits to deliver
	}
	r.lanes = r.two[:0]
	if err := r.start(); err != nil {
		var none T
		return none, func(error) {}, err
	}
	over := false
	defer func() {
		if !over { // an attempt or a user's function panicked, or called Goexit
			r.giveUp()
		}
	}()
	winner := r.wait(delay)
	r.close(r.note)
	over = true
	r.finish(winner)
	w := &r.lanes[winner]
	return w.value, w.cancel, w.err
}

// alone makes the only attempt of a call.
func alone[T any](ctx context.Context, h *Hedger, s sender[T]) (T, context.CancelCauseFunc, error) {
	var value T
	begun := h.now()
	run, err := s.prepare(ctx, 0)
	if err == nil {
		value, err = run()
		h.learn(ctx, h.now()-begun, s.failed(value, err), err)
		if wish, ok := s.throttled(value, err); ok {
			h.calmDown(wish)
		}
	}
	return value, func(error) {}, err
}

// learn records the latency of a first attempt that told something about the
// dependency: a quick failure does not.
func (h *Hedger) learn(ctx context.Context, took time.Duration, failed bool, err error) {
	if h.config.Delay == 0 && (!failed || timedOut(ctx, err)) {
		h.latencies.record(h.now(), took)
	}
}

// start begins another attempt.
func (r *race[T]) start() error {
	n := len(r.lanes)
	ctx, cancel := context.WithCancelCause(&r.inner)
	run, err := r.sender.prepare(ctx, n)
	if err != nil {
		cancel(nil)
		return err
	}
	r.lanes = append(r.lanes, lane[T]{cancel: cancel, begun: r.h.now()})
	go r.attempt(n, run)
	return nil
}

func (r *race[T]) attempt(n int, run func() (T, error)) {
	res := result[T]{n: n}
	defer func() {
		res.panicked = recover()
		r.deliver(res)
	}()
	res.value, res.err = run()
	res.returned = true
}

// deliver hands over a result, or frees it if it comes too late. There is nobody
// left then for a panic to go to.
func (r *race[T]) deliver(res result[T]) {
	r.mu.Lock()
	over := r.over
	if !over {
		r.results <- res
	}
	r.mu.Unlock()
	if !over {
		return
	}
	r.drop(res)
}

// drop frees the result of an attempt that nobody waits for any more.
func (r *race[T]) drop(res result[T]) {
	if res.returned {
		r.sender.discard(res.value, res.err)
		return
	}
	if res.panicked != nil {
		r.h.tell(r.inner.Context, telemetry.HedgeEvent{Result: telemetry.HedgePanicked, Ordinal: res.n})
	}
}

// wait returns the attempt whose result is that of the call. It lets a panic or
// Goexit of an attempt pass.
func (r *race[T]) wait(delay time.Duration) int {
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for {
		select {
		case res := <-r.results:
			if winner, known := r.take(res); known {
				return winner
			}
		case <-timer.C:
			if r.hedge(delay) && len(r.lanes) <= r.h.config.Hedges {
				timer.Reset(delay)
			}
		}
	}
}

// take notes a result and returns the winner, if it is known now.
func (r *race[T]) take(res result[T]) (int, bool) {
	if !res.returned {
		if res.panicked != nil {
			panic(res.panicked)
		}
		runtime.Goexit()
	}
	r.note(res)
	return verdict(r.states())
}

func (r *race[T]) note(res result[T]) {
	l := &r.lanes[res.n]
	l.value, l.err = res.value, res.err
	l.state = succeeded
	if r.sender.failed(res.value, res.err) {
		l.state = failed
	}
	if res.n == 0 {
		r.h.learn(r.inner.Context, r.h.now()-l.begun, l.state == failed, res.err)
	}
	if wish, ok := r.sender.throttled(res.value, res.err); ok {
		r.h.calmDown(wish)
	}
}

func (r *race[T]) states() []state {
	states := make([]state, 0, 1+maxHedges)
	for _, l := range r.lanes {
		states = append(states, l.state)
	}
	return states
}

// hedge sends another attempt if nothing speaks against it.
func (r *race[T]) hedge(delay time.Duration) bool {
	ctx, n := r.inner.Context, len(r.lanes)
	event := telemetry.HedgeEvent{Result: telemetry.HedgeIssued, Ordinal: n, Time: delay}
	why := withhold(r.h.facts(ctx, r.failures() > 0))
	switch {
	case why != "":
	case r.sender.repeatable():
		why = r.h.afford(ctx)
	default:
		why = reasonBody
	}
	if why == "" {
		if err := r.start(); err != nil {
			r.h.share.pay(price)
			why = reasonOf(err)
		}
	}
	if why != "" {
		event.Result, event.Reason = telemetry.HedgeWithheld, why
	}
	r.h.tell(ctx, event)
	return why == ""
}

func (r *race[T]) failures() int {
	n := 0
	for _, l := range r.lanes {
		if l.state == failed {
			n++
		}
	}
	return n
}

// finish ends all attempts but the winner.
func (r *race[T]) finish(winner int) {
	why := ErrLost
	if r.lanes[winner].state == failed {
		why = nil
	}
	for n := range r.lanes {
		if n != winner {
			r.lanes[n].cancel(why)
		}
	}
	if first := &r.lanes[0]; first.state == pending { // it would have taken longer still
		r.h.learn(r.inner.Context, r.h.now()-first.begun, false, nil)
	}
	for n := range r.lanes {
		r.settle(n, winner)
	}
}

// giveUp ends all attempts of a call that does not return.
func (r *race[T]) giveUp() {
	r.close(r.drop)
	for n := range r.lanes {
		r.lanes[n].cancel(nil)
	}
	for n := range r.lanes {
		r.settle(n, -1)
	}
}

// close has results that come from now on freed, and gives those that came
// meanwhile to use.
func (r *race[T]) close(use func(result[T])) {
	r.mu.Lock()
	r.over = true
	r.mu.Unlock()
	for { // what nobody adds to any more
		select {
		case res := <-r.results:
			if res.returned {
				use(res)
			} else {
				r.drop(res)
			}
		default:
			return
		}
	}
}

func (r *race[T]) settle(n, winner int) {
	l := &r.lanes[n]
	f := lost
	switch {
	case n == winner && l.state == succeeded:
		f = won
	case l.state == failed && r.inner.Err() == nil:
		f = broke
	}
	r.sender.settle(n, f, l.value, l.err)
	if n > 0 {
		r.h.tell(r.inner.Context, telemetry.HedgeEvent{Result: f.String(), Ordinal: n, Time: r.h.now() - l.begun})
	}
	if n != winner && l.state != pending {
		r.sender.discard(l.value, l.err)
	}
}

func (f fate) String() string {
	switch f {
	case won:
		return telemetry.HedgeWon
	case broke:
		return telemetry.HedgeFailed
	default:
		return telemetry.HedgeLost
	}
}

// innerContext tells a Hedger inside of another to leave it at that: their
// attempts would multiply.
type innerContext struct {
	context.Context
}

type innerKey struct{}

func (c *innerContext) Value(key any) any {
	if key == (innerKey{}) {
		return true
	}
	return c.Context.Value(key)
}

func inside(ctx context.Context) bool { return ctx.Value(innerKey{}) != nil }
