package redoubt

import (
	"math"
	"slices"
	"time"
)

// Which waits between attempts a worst case includes.
type waits int

const (
	noWaits    waits = iota
	ownWaits         // those of the layers' own
	askedWaits       // those that errors may ask for
)

// A bound is what a call comes to at most.
type bound struct {
	time     time.Duration // Unbounded if nothing bounds it
	attempts int
}

// worst returns what a call comes to inside of layers, outermost first.
func worst(layers []described, w waits) bound {
	return worstAround(bound{time: Unbounded, attempts: 1}, layers, false, w)
}

// worstAround returns what layers make of a call that comes to b inside of them.
// repeated says whether they are inside a retry.
func worstAround(b bound, layers []described, repeated bool, w waits) bound {
	for i, d := range slices.Backward(layers) {
		again := repeated || has(layers[:i], func(o described) bool { return o.Kind == KindRetry && on(o.branch, d.branch) })
		switch {
		case has(layers[:i], d.guarded): // it is a part of that failover
		case d.guards > 0:
			b = d.endpoints(b, layers[i+1:], again, w)
		default:
			b = d.bound(b, again, w)
		}
	}
	return b
}

// guarded reports whether d is in a guard of f.
func (d described) guarded(f described) bool {
	return slices.ContainsFunc(d.branch, func(b branch) bool { return b.failover == f.at })
}

// endpoints returns what a failover makes of a call that comes to b at each of
// its endpoints, whose guards are among inside: it may ask one after the other.
func (d described) endpoints(b bound, inside []described, repeated bool, w waits) bound {
	var all bound
	for i := range d.guards {
		var guard []described
		for _, o := range inside {
			if slices.Contains(o.branch, branch{d.at, i}) {
				guard = append(guard, o)
			}
		}
		one := worstAround(b, guard, repeated, w)
		all.time, all.attempts = sumOf(all.time, one.time), added(all.attempts, one.attempts)
	}
	return all
}

// bound returns what d makes of a call that comes to b inside of it. repeated
// says whether d is inside a retry.
func (d described) bound(b bound, repeated bool, w waits) bound {
	switch d.Kind {
	case KindTimeout:
		limit := d.Limit
		if w != noWaits && d.phases > 1 {
			limit = timesOf(limit, d.phases)
		}
		b.time = shorter(b.time, limit)
	case KindRetry:
		if repeated && !d.Nested {
			break
		}
		b.time = sumOf(timesOf(b.time, max(d.MaxAttempts, 1)), d.waitsOf(w))
		b.attempts = product(b.attempts, max(d.MaxAttempts, 1))
	case KindLimit:
		if w != noWaits {
			b.time = sumOf(b.time, d.MaxWait)
		}
	case KindHedge:
		// The last hedge is sent while the first attempt is under way.
		last := b.time
		if d.Delay > 0 {
			last = shorter(last, timesOf(d.Delay, d.Hedges))
		}
		if d.Hedges > 0 {
			b.time = sumOf(b.time, last)
		}
		b.attempts = product(b.attempts, 1+d.Hedges)
	case KindFailover:
		b.time = timesOf(b.time, max(d.Endpoints, 1))
		b.attempts = product(b.attempts, max(d.Endpoints, 1))
	}
	return b
}

func (d described) waitsOf(w waits) time.Duration {
	switch {
	case w == noWaits:
		return 0
	case w == askedWaits && d.MostWaits >= 0 && (d.AskedWaits < 0 || d.AskedWaits > d.MostWaits):
		return d.AskedWaits
	}
	return d.MostWaits
}

// The arithmetic of durations that may be Unbounded. It ends at the longest
// Duration.

// shorter returns the shorter of a and limit; a limit of zero is none.
func shorter(a, limit time.Duration) time.Duration {
	switch {
	case limit <= 0:
		return a
	case a < 0:
		return limit
	}
	return min(a, limit)
}

func sumOf(a, b time.Duration) time.Duration {
	switch {
	case a < 0 || b < 0:
		return Unbounded
	case a > math.MaxInt64-b:
		return math.MaxInt64
	}
	return a + b
}

func timesOf(d time.Duration, n int) time.Duration {
	switch {
	case d < 0:
		return Unbounded
	case d > 0 && time.Duration(n) > math.MaxInt64/d:
		return math.MaxInt64
	}
	return d * time.Duration(n)
}

func added(a, b int) int {
	if a > math.MaxInt-b {
		return math.MaxInt
	}
	return a + b
}

func product(a, b int) int {
	if b > 0 && a > math.MaxInt/b {
		return math.MaxInt
	}
	return a * b
}
