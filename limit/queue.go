package limit

import "context"

// A class is what calls are queued by.
type class int

const (
	critical class = iota
	ordinary
	classes
)

type criticalKey struct{}

// WithCritical returns a context whose calls are critical: they overtake calls that
// wait, take the place of one if the queue is full, and may use what
// Config.Reserved keeps for them. A limiter asks for this only when a call can't
// run at once.
func WithCritical(ctx context.Context) context.Context {
	return context.WithValue(ctx, criticalKey{}, true)
}

func classOf(ctx context.Context) class {
	if is, _ := ctx.Value(criticalKey{}).(bool); is {
		return critical
	}
	return ordinary
}

// A waiter is a call that waits for its turn. Its fields are those of the
// limiter's lock, but for ready.
type waiter struct {
	class class
	ready chan struct{} // closed once the wait is over

	state    state
	inFlight int // once it is admitted, itself included

	older, newer *waiter
}

// A state is where a waiter stands.
type state int

const (
	waiting   state = iota
	admitted        // it has a permit
	displaced       // a critical call has its place
)

// A queue is a list of waiters in the order in which they came.
type queue struct{ oldest, newest *waiter }

func (q *queue) push(w *waiter) {
	w.older = q.newest
	if q.newest == nil {
		q.oldest = w
	} else {
		q.newest.newer = w
	}
	q.newest = w
}

func (q *queue) remove(w *waiter) {
	if w.older == nil {
		q.oldest = w.newer
	} else {
		w.older.newer = w.newer
	}
	if w.newer == nil {
		q.newest = w.older
	} else {
		w.newer.older = w.older
	}
	w.older, w.newer = nil, nil
}
