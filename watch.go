package redoubt

import (
	"context"
	"sync"
	"time"
)

// What a watch watches for.
const (
	noProgress = iota // of an attempt, for HeaderTimeout
	layersEnd         // until the headers have arrived
	noData            // for a Read of the response body
	limits
)

// A bound is a time at which something has taken too long.
type bound struct {
	at    time.Time // zero is never
	phase Phase
	limit time.Duration
	ctx   context.Context //nolint:containedctx // What ends then, if not a limit of ours.
}

func (b *bound) err() error {
	if b.ctx == nil {
		return &TimeoutError{Phase: b.phase, Limit: b.limit}
	}
	if cause := context.Cause(b.ctx); cause != nil {
		return cause
	}
	return context.DeadlineExceeded // by our clock, and in a moment by its own
}

// A watch ends a sending that takes too long. Its bounds move with every step
// that the sending makes; its one timer does not: when it rings, it is set anew
// if there is time left.
type watch struct {
	cancel context.CancelCauseFunc

	mu     sync.Mutex
	bounds [limits]bound
	timer  *time.Timer
	rings  time.Time // when timer does, zero if it doesn't
	over   int       // the bound that ended the sending
	err    error     // its error, if one did
}

// set makes b the bound of what.
func (w *watch) set(what int, b bound) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bounds[what] = b
	w.arm()
}

// lift removes the bound of what. It returns its error if it has ended the
// sending.
func (w *watch) lift(what int) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bounds[what] = bound{}
	if w.over == what {
		return w.err
	}
	return nil
}

// stop ends the watch.
func (w *watch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.bounds = [limits]bound{}
	w.rings = time.Time{}
	if w.timer != nil {
		w.timer.Stop()
	}
}

// arm sees to it that the timer rings not later than the first bound. It runs
// with mu held.
func (w *watch) arm() {
	first := w.first()
	if w.err != nil || first == nil || !w.rings.IsZero() && !first.at.Before(w.rings) {
		return
	}
	w.rings = first.at
	if w.timer == nil {
		w.timer = time.AfterFunc(time.Until(first.at), w.ring)
		return
	}
	w.timer.Reset(time.Until(first.at))
}

func (w *watch) first() *bound {
	var first *bound
	for i := range w.bounds {
		b := &w.bounds[i]
		if !b.at.IsZero() && (first == nil || b.at.Before(first.at)) {
			first = b
		}
	}
	return first
}

func (w *watch) ring() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rings = time.Time{}
	now := time.Now()
	for i := range w.bounds {
		if b := &w.bounds[i]; w.err == nil && !b.at.IsZero() && !now.Before(b.at) {
			w.over, w.err = i, b.err()
			w.cancel(w.err)
			return
		}
	}
	w.arm()
}
