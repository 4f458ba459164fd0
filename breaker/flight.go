package breaker

import (
	"context"
	"time"

	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A flight is a call under way that may have to be judged before it returns.
type flight struct {
	phase    *phase
	start    time.Duration // as Breaker.now
	span     telemetry.Link
	done     func(error)   // of a probe
	watchdog *time.Timer   // of a probe
	landed   bool          // counted, or found not to count
	judged   time.Duration // when it was counted as slow, as Breaker.now

	older, newer *flight // if it is listed
	listed       bool
}

// flights is a list of calls in the order in which they began.
type flights struct{ oldest, newest *flight }

func (l *flights) push(f *flight) *flight {
	f.listed = true
	f.older = l.newest
	if l.newest == nil {
		l.oldest = f
	} else {
		l.newest.newer = f
	}
	l.newest = f
	return f
}

func (l *flights) remove(f *flight) {
	if !f.listed {
		return
	}
	f.listed = false
	if f.older == nil {
		l.oldest = f.newer
	} else {
		f.older.newer = f.newer
	}
	if f.newer == nil {
		l.newest = f.older
	} else {
		f.newer.older = f.older
	}
	f.older, f.newer = nil, nil
}

// land ends a flight. It reports false if the flight was judged before.
func (b *Breaker) land(f *flight) bool {
	if f.landed {
		return false
	}
	f.landed = true
	if f.watchdog != nil {
		f.watchdog.Stop()
		b.probing.Add(-1)
	}
	b.flights.remove(f)
	return true
}

func (b *Breaker) slow(f *flight) bool {
	return b.config.SlowCall > 0 && b.now()-f.start >= b.config.SlowCall
}

// sweep counts the calls that have been running for too long. It runs with mu
// held, before all that a call, State or Counts do: a timer for each call would
// cost more, and nobody asks in between.
func (b *Breaker) sweep() {
	for f := b.flights.oldest; f != nil && b.slow(f); f = b.flights.oldest {
		b.land(f)
		f.judged = b.now()
		b.count(ticket{phase: f.phase}, Slow, blame{err: errSlow, span: f.span})
	}
}

// probeLimit is how long a probe may run until it is judged.
func (b *Breaker) probeLimit() time.Duration {
	if b.config.SlowCall > 0 {
		return min(b.config.SlowCall, b.config.ProbeTimeout)
	}
	return b.config.ProbeTimeout
}

// giveUpOn counts a probe that does not return as failed.
func (b *Breaker) giveUpOn(f *flight) {
	b.mu.Lock()
	// The probe's own context is in use by the goroutine that hangs.
	defer b.unlock(context.Background())
	if !b.land(f) {
		return
	}
	why := blame{reason: ReasonProbeTimeout, err: errProbeTimeout, span: f.span}
	if b.slow(f) {
		why.reason, why.err = ReasonProbeFailed, errSlow
	}
	b.count(ticket{phase: f.phase, flight: f}, Failure, why)
}
