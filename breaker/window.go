package breaker

import "time"

// Counts are the calls that ended, or turned out slow, within the window. A call
// that turned out slow and then failed is among both the Slow and the Failures.
type Counts struct {
	Successes int64
	Failures  int64
	Slow      int64

	// Consecutive is the number of failures since the last success or state
	// change, within the window or not.
	Consecutive int64

	both int64 // among both the Slow and the Failures
}

// Calls returns the number of calls counted, each once.
func (c Counts) Calls() int64 { return c.Successes + c.Failures + c.Slow - c.both }

// FailureRatio returns the share of failures, 0 if there were no calls.
func (c Counts) FailureRatio() float64 { return share(c.Failures, c.Calls()) }

// SlowRatio returns the share of slow calls, 0 if there were no calls.
func (c Counts) SlowRatio() float64 { return share(c.Slow, c.Calls()) }

func share(part, whole int64) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func add(c *Counts, o Outcome) {
	switch o {
	case Success:
		c.Successes++
	case Failure:
		c.Failures++
	case Slow:
		c.Slow++
	}
}

func subtract(c *Counts, old Counts) {
	c.Successes -= old.Successes
	c.Failures -= old.Failures
	c.Slow -= old.Slow
	c.both -= old.both
}

// A window counts outcomes over the last len(buckets) steps of time. It is not
// safe for concurrent use.
type window struct {
	step    time.Duration
	span    int64    // number of steps
	buckets []Counts // nil until something is counted: most breakers see no failure
	newest  int64    // number of the step that the newest bucket counts
	sum     Counts
}

func newWindow(span time.Duration, buckets int) window {
	return window{step: max(1, span/time.Duration(buckets)), span: int64(buckets)}
}

// bucket returns the bucket of a step.
func (w *window) bucket(step int64) *Counts {
	if w.buckets == nil {
		w.buckets = make([]Counts, w.span)
	}
	return &w.buckets[step%w.span]
}

// add counts o at the time now, which is a duration since some fixed moment.
func (w *window) add(now time.Duration, o Outcome) {
	w.roll(now)
	add(w.bucket(w.newest), o)
	add(&w.sum, o)
}

// worsen counts the failure of a call that was counted as slow at the time then.
// The failure goes where the slowness went, so that they leave together; if that
// has left before, the call counts anew.
func (w *window) worsen(now, then time.Duration) {
	w.roll(now)
	step := int64(then / w.step)
	if w.newest-step >= w.span {
		w.add(now, Failure)
		return
	}
	for _, c := range []*Counts{w.bucket(step), &w.sum} {
		c.Failures++
		c.both++
	}
}

// counts returns the sum over the window that ends now.
func (w *window) counts(now time.Duration) Counts {
	w.roll(now)
	return w.sum
}

// roll drops the buckets that now has left behind. A clock that stands still or
// goes back drops none.
func (w *window) roll(now time.Duration) {
	step := int64(now / w.step)
	if step-w.newest >= w.span {
		w.clear()
		w.newest = step
		return
	}
	if w.buckets == nil {
		w.newest = max(w.newest, step)
	}
	for w.newest < step {
		w.newest++
		oldest := w.bucket(w.newest)
		subtract(&w.sum, *oldest)
		*oldest = Counts{}
	}
}

func (w *window) clear() {
	clear(w.buckets)
	w.sum = Counts{}
}
