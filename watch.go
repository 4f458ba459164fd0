package redoubt

import (
	"sync"
	"time"
)

// What a watch watches for.
const (
	noProgress = iota // of an attempt, for HeaderTimeout
	layersEnd         // until the headers have arrived
	noData            // for a Read of the response body
	watched
)

// A watch ends a sending that takes too long. What is due moves with every step
// that the sending makes; the one timer does not: when it rings too early, it is
// set anew.
type watch struct {
	send *sending

	mu    sync.Mutex // guards the progress too; held by whoever calls a method but ring
	start time.Time
	due   [watched]time.Duration // since start; 0 is never
	timer *time.Timer
	rings time.Duration // when timer does, since start; 0 if it doesn't
	over  int           // what took too long
	err   error         // its error; nil if nothing did
	ended bool
}

// set gives what that much time from now.
func (w *watch) set(what int, limit time.Duration) {
	now := time.Since(w.start)
	w.due[what] = now + max(limit, 1)
	if w.due[what] < now { // more than there is
		w.due[what] = 1<<63 - 1
	}
	w.arm(now)
}

// lift ends the watch for what. It returns its error if it took too long.
func (w *watch) lift(what int) error {
	w.due[what] = 0
	if w.over == what {
		return w.err
	}
	return nil
}

// end ends the watch for good.
func (w *watch) end() {
	w.ended = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// arm sees to it that the timer rings not later than the first thing is due.
func (w *watch) arm(now time.Duration) {
	first := w.due[w.first()]
	if w.ended || w.err != nil || first == 0 || w.rings != 0 && w.rings <= first {
		return
	}
	w.rings = first
	if w.timer == nil {
		w.timer = time.AfterFunc(first-now, w.ring)
		return
	}
	w.timer.Reset(first - now)
}

// first returns what is due first, or anything if nothing is.
func (w *watch) first() int {
	first := 0
	for what, due := range w.due {
		if due != 0 && (w.due[first] == 0 || due < w.due[first]) {
			first = what
		}
	}
	return first
}

func (w *watch) ring() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rings = 0
	now := time.Since(w.start)
	what := w.first()
	if w.due[what] == 0 || w.due[what] > now || w.err != nil || w.ended {
		w.arm(now)
		return
	}
	w.over, w.err = what, w.send.overdue(what)
	w.send.cancel(w.err)
}
