package retry

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// The waits that stand for a base or a cap that is zero or negative.
const (
	DefaultBase = 100 * time.Millisecond
	DefaultCap  = 20 * time.Second
)

// Exponential returns a maker of the waits base, 2·base, 4·base, … up to limit,
// without jitter. Callers that failed together will come back together: prefer
// [FullJitter] unless there is a single caller.
//
// A base or limit of zero or less means DefaultBase or DefaultCap; a limit below
// base means base. That holds for all sequences here. The returned function is
// safe for concurrent use; each sequence that it makes is for one call.
func Exponential(base, limit time.Duration) func() backoff.BackOff {
	base, limit = bounds(base, limit)
	return func() backoff.BackOff {
		waits := exponential(base, limit)
		return &waits
	}
}

// FullJitter returns a maker of waits drawn uniformly from a tenth of base up to
// what [Exponential] would wait. Of the sequences here it makes the fewest
// calls under contention. The floor keeps a retry from following at once.
//
// Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
// 2015, "Full Jitter".
func FullJitter(base, limit time.Duration) func() backoff.BackOff {
	base, limit = bounds(base, limit)
	return jitter(base, limit, func(v time.Duration, random float64) time.Duration {
		return between(base/10, v, random)
	})
}

// EqualJitter returns a maker of waits drawn uniformly from the upper half of what
// [Exponential] would wait.
//
// Source: as for [FullJitter], "Equal Jitter".
func EqualJitter(base, limit time.Duration) func() backoff.BackOff {
	base, limit = bounds(base, limit)
	return jitter(base, limit, func(v time.Duration, random float64) time.Duration {
		return between(v/2, v, random)
	})
}

// Decorrelated returns a maker of waits drawn uniformly from base up to three
// times the wait before, or up to limit if that is less.
//
// Source: as for [FullJitter], "Decorrelated Jitter". There the limit cuts what
// was drawn, so that two of three long waits are the limit itself; here it bounds
// what is drawn from, so that they stay apart.
func Decorrelated(base, limit time.Duration) func() backoff.BackOff {
	base, limit = bounds(base, limit)
	return func() backoff.BackOff {
		return &decorrelated{base: base, limit: limit, last: base, random: rand.Float64}
	}
}

// Constant returns a maker of waits that are all d. A negative d means zero:
// the retry follows at once.
func Constant(d time.Duration) func() backoff.BackOff {
	d = max(d, 0)
	return func() backoff.BackOff { return backoff.NewConstantBackOff(d) }
}

func bounds(base, limit time.Duration) (time.Duration, time.Duration) {
	if base <= 0 {
		base = DefaultBase
	}
	if limit <= 0 {
		limit = DefaultCap
	}
	return base, max(base, limit)
}

// exponential returns the sequence that backoff.NewExponentialBackOff would make
// with these options, without memory of its own.
func exponential(base, limit time.Duration) backoff.ExponentialBackOff {
	waits := backoff.ExponentialBackOff{
		InitialInterval: base,
		MaxInterval:     limit,
		Multiplier:      2,
		Stop:            backoff.Stop,
		Clock:           noClock{},
		// No MaxElapsedTime: attempts and deadlines are the policy's. And no
		// RandomizationFactor.
	}
	waits.Reset()
	return waits
}

// noClock is for a sequence that may take as long as it likes: it would read the
// clock for every wait.
type noClock struct{}

func (noClock) Now() time.Time { return time.Time{} }

// jittered spreads each wait of a sequence.
type jittered struct {
	backoff.ExponentialBackOff

	random func() float64 // from [0, 1)
	spread func(v time.Duration, random float64) time.Duration
}

func jitter(base, limit time.Duration, spread func(time.Duration, float64) time.Duration) func() backoff.BackOff {
	return func() backoff.BackOff { return &jittered{exponential(base, limit), rand.Float64, spread} }
}

func (j *jittered) NextBackOff() time.Duration {
	return j.spread(j.ExponentialBackOff.NextBackOff(), j.random())
}

type decorrelated struct {
	base, limit, last time.Duration
	random            func() float64 // from [0, 1)
}

func (d *decorrelated) NextBackOff() time.Duration {
	upper := d.limit
	if d.last < d.limit/3 {
		upper = 3 * d.last
	}
	d.last = between(d.base, upper, d.random())
	return d.last
}

func (d *decorrelated) Reset() { d.last = d.base }

// between returns the point at random, from [0, 1), on the way from low to high.
func between(low, high time.Duration, random float64) time.Duration {
	if high <= low {
		return high
	}
	return low + time.Duration(random*float64(high-low))
}
