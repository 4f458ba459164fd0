package breaker

import "time"

// Counts are the calls that ended, or turned out slow, within the window.
type Counts struct {
	Successes int64
	Failures  int64
	Slow      int64

	// Consecutive is the number of failures since the last success or state
	// change, within the window or not.
	Consecutive int64
}

// Calls returns the number of calls counted.
func (c Counts) Calls() int64 { return c.Successes + c.Failures + c.Slow }

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

func (c *Counts) add(o Outcome) {
	switch o {
	case Success:
		c.Successes++
	case Failure:
		c.Failures++
	case Slow:
		c.Slow++
	}
}

func (c *Counts) subtract(old Counts) {
	c.Successes -= old.Successes
	c.Failures -= old.Failures
	c.Slow -= old.Slow
}

// A window counts outcomes over the last len(buckets) steps of time. It is not
// safe for concurrent use.
type window struct {
	step    time.Duration
	buckets []Counts
	newest  int64 // number of the step that the newest bucket counts
	sum     Counts
}

func newWindow(span time.Duration, buckets int) window {
	return window{step: max(1, span/time.Duration(buckets)), buckets: make([]Counts, buckets)}
}

// add counts o at the time now, which is a duration since some fixed moment.
func (w *window) add(now time.Duration, o Outcome) {
	w.roll(now)
	w.buckets[w.newest%int64(len(w.buckets))].add(o)
	w.sum.add(o)
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
	if step-w.newest >= int64(len(w.buckets)) {
		w.clear()
		w.newest = step
		return
	}
	for w.newest < step {
		w.newest++
		oldest := &w.buckets[w.newest%int64(len(w.buckets))]
		w.sum.subtract(*oldest)
		*oldest = Counts{}
	}
}

func (w *window) clear() {
	clear(w.buckets)
	w.sum = Counts{}
}
