package faults

import (
	"errors"
	"fmt"
	"time"
)

// A Plan says how a dependency works and what goes wrong with it. It is data:
// an [Injector] keeps all state. The zero Plan answers every call at once.
type Plan struct {
	// Seed makes the draws. The same seed makes the same faults.
	Seed uint64

	// Service is how the dependency works.
	Service Service

	// Replicas is the number of instances that arrivals are spread over in
	// turn. Zero means one.
	Replicas int

	// Faults go wrong in this order: the first of several that exclude one
	// another, such as two statuses, wins.
	Faults []Fault

	// Observe, if not nil, is told what happens, as it happens. It must not
	// block, and has to be safe for concurrent use.
	Observe func(Event)
}

// A Fault is one thing that goes wrong.
type Fault struct {
	// Name names the fault in events. Empty means the effect's own name.
	Name string

	// During is when. The zero Window is always.
	During Window

	// Chance is how often, in (0, 1]. Zero means 1, always.
	Chance float64

	// Per says whose fate Chance decides. Empty means PerArrival. It must not
	// be PerRequest for NoHost and SYNLoss: a dial is for no certain request.
	Per Unit

	// Replicas confines the fault to these, counted from 0. Empty means all.
	// It must be empty for Refuse, NoHost, SYNLoss, PacketLoss and Bandwidth:
	// only arrivals have a replica, not connections, packets and lines.
	Replicas []int

	// Effect is what happens. It must not be nil.
	Effect Effect
}

// A Unit is what a fault is drawn for.
type Unit string

// The units.
const (
	PerArrival Unit = "arrival"    // each arrival anew, so that a retry may be luckier
	PerRequest Unit = "request"    // each request id, see RequestID: a retry shares its fate
	PerConn    Unit = "connection" // each connection, where the edge knows it, and else each arrival
	PerWindow  Unit = "window"     // each opening of the window: all or nothing
)

// Window is a stretch of time, or several at even distances. It includes its
// beginning and excludes its end.
type Window struct {
	// From and To are counted from the start of the plan. A zero To means
	// that the window never closes.
	From, To time.Duration

	// Every, if not zero, repeats the window from From on until To, each
	// time For long.
	Every, For time.Duration
}

// Contains reports whether t is inside of the window.
func (w Window) Contains(t time.Duration) bool {
	if t < w.From || w.To != 0 && t >= w.To {
		return false
	}
	return w.Every == 0 || (t-w.From)%w.Every < w.For
}

// opening returns the number of the repetition that t is in.
func (w Window) opening(t time.Duration) uint64 {
	if w.Every == 0 {
		return 0
	}
	return uint64((t - w.From) / w.Every)
}

// bounds returns the beginning and the end of the repetition that t is in. The
// end is never if the window does not end.
func (w Window) bounds(t time.Duration) (from, to time.Duration) {
	from, to = w.From, never
	if w.To != 0 {
		to = w.To
	}
	if w.Every != 0 {
		from += time.Duration(w.opening(t)) * w.Every
		to = min(to, from+w.For)
	}
	return from, to
}

// elapsed returns the share of the repetition that has passed at t.
func (w Window) elapsed(t time.Duration) float64 {
	from, to := w.bounds(t)
	if to == never {
		return 0
	}
	return float64(t-from) / float64(to-from)
}

// next returns the first beginning after t, or never.
func (w Window) next(t time.Duration) time.Duration {
	from := w.From
	if t >= from {
		if w.Every == 0 {
			return never
		}
		from += time.Duration(w.opening(t)+1) * w.Every
	}
	if w.To != 0 && from >= w.To {
		return never
	}
	return from
}

// never is later than everything, and not so late that adding to it overflows.
const never = time.Duration(1 << 62)

// Check reports everything in p that makes no sense.
func (p Plan) Check() error {
	var errs []error
	bad := func(field string, value any, rule string) {
		errs = append(errs, fmt.Errorf("faults: %s is %v, must be %s", field, value, rule))
	}
	if p.Replicas < 0 {
		bad("Replicas", p.Replicas, "zero or positive")
	}
	p.Service.check(bad)
	for i, f := range p.Faults {
		f.check(max(p.Replicas, 1), func(field string, value any, rule string) {
			bad(fmt.Sprintf("Faults[%d].%s", i, field), value, rule)
		})
	}
	return errors.Join(errs...)
}

type report func(field string, value any, rule string)

func (f Fault) check(replicas int, bad report) {
	f.During.check(bad)
	if !(f.Chance >= 0 && f.Chance <= 1) {
		bad("Chance", f.Chance, "from 0 to 1")
	}
	switch f.Per {
	case "", PerArrival, PerRequest, PerConn, PerWindow:
	default:
		bad("Per", fmt.Sprintf("%q", string(f.Per)), "arrival, request, connection or window")
	}
	for _, r := range f.Replicas {
		if r < 0 || r >= replicas {
			bad("Replicas", r, fmt.Sprintf("from 0 to %d", replicas-1))
		}
	}
	if f.Effect == nil {
		bad("Effect", "nil", "an effect")
		return
	}
	f.Effect.check(bad)
	f.checkScope(bad)
}

// checkScope reports what the effect, which is not of arrivals, can't be confined
// to.
func (f Fault) checkScope(bad report) {
	switch f.Effect.(type) {
	case Refuse, NoHost, SYNLoss, PacketLoss, Bandwidth:
		if len(f.Replicas) > 0 {
			bad("Replicas", f.Replicas, "empty for "+f.Effect.name())
		}
	}
	switch f.Effect.(type) {
	case NoHost, SYNLoss:
		if f.Per == PerRequest {
			bad("Per", fmt.Sprintf("%q", string(f.Per)), "arrival, connection or window for "+f.Effect.name())
		}
	}
}

func (w Window) check(bad report) {
	switch {
	case w.From < 0:
		bad("During.From", w.From, "zero or positive")
	case w.To != 0 && w.To <= w.From:
		bad("During.To", w.To, fmt.Sprintf("zero or after From, %v", w.From))
	case w.Every < 0:
		bad("During.Every", w.Every, "zero or positive")
	case w.Every == 0 && w.For != 0:
		bad("During.For", w.For, "zero unless Every is given")
	case w.Every != 0 && (w.For <= 0 || w.For > w.Every):
		bad("During.For", w.For, fmt.Sprintf("positive and at most Every, %v", w.Every))
	}
}
