package limit

import "time"

// The decisions stand apart from the calls: nothing in this file reads a clock,
// draws a random number or takes a lock.

// A sample is what one call tells.
type sample struct {
	ran      time.Duration
	inFlight int // calls under way when it began, itself included
	dropped  bool
}

// aimd returns the limit after s.
func (c Config) aimd(limit float64, s sample) float64 {
	switch {
	case s.dropped:
		limit *= c.Backoff
	case 2*float64(s.inFlight) >= limit:
		limit++
	}
	return c.clamp(limit)
}

// unmoved reports whether AIMD leaves a limit as it is, whatever its fraction.
func (c Config) unmoved(limit int, s sample) bool {
	return c.Algorithm == AIMD && !s.dropped && (2*s.inFlight < limit || limit >= c.Max)
}

func (c Config) clamp(limit float64) float64 {
	return min(max(limit, float64(c.Min)), float64(c.Max))
}

// What Gradient2 is made of, as in Netflix's concurrency-limits.
const (
	windowLength  = time.Second
	windowSamples = 10
	shortest      = 100 * time.Microsecond // what takes less says nothing
	queueSize     = 4                      // room to grow into
	smoothing     = 0.2
	warmUp        = 10  // windows of which the baseline is the mean
	memory        = 600 // windows that the baseline remembers, roughly
)

// A window gathers samples for Gradient2.
type window struct {
	ends     time.Duration // since the limiter was made
	ran      time.Duration // of all that were not dropped
	samples  int           // that were not dropped
	dropped  int
	inFlight int // the most
}

// add returns the window with s in it.
func (w window) add(s sample) window {
	switch {
	case s.dropped:
		w.dropped++
	case s.ran < shortest:
		return w
	default:
		w.samples++
		w.ran += s.ran
	}
	w.inFlight = max(w.inFlight, s.inFlight)
	return w
}

// full reports whether the window has something to say at now.
func (w window) full(now time.Duration) bool {
	return now >= w.ends && w.samples+w.dropped >= windowSamples
}

// A baseline is how long calls took in the past: a mean at first, then an
// exponential moving average.
type baseline struct {
	windows int
	seconds float64
}

func (b baseline) add(seconds float64) baseline {
	weight := 2 / float64(memory+1)
	if b.windows < warmUp {
		b.windows++
		weight = 1 / float64(b.windows)
	}
	b.seconds += (seconds - b.seconds) * weight
	return b
}

// gradient2 returns the limit and the baseline after a full window.
//
// It differs from its source in that a window in which calls were dropped lowers
// the limit by Backoff, where the source takes no notice.
func (c Config) gradient2(limit float64, past baseline, w window) (float64, baseline) {
	if w.samples > 0 {
		now := w.ran.Seconds() / float64(w.samples)
		past = past.add(now)
		if past.seconds > 2*now { // the dependency has become much faster: catch up
			past.seconds *= 0.95
		}
		if w.dropped == 0 && 2*float64(w.inFlight) >= limit {
			gradient := min(max(c.Tolerance*past.seconds/now, 0.5), 1)
			limit += (limit*gradient + queueSize - limit) * smoothing
		}
	}
	if w.dropped > 0 {
		limit *= c.Backoff
	}
	return c.clamp(limit), past
}

// open returns how much of a limit is for calls that are not critical.
func (c Config) open(limit int) int {
	return max(1, limit-int(c.Reserved*float64(limit)))
}
