package redoubt

import (
	"reflect"
	"time"
)

// Check reports what is wrong with a layer, commonly a [Stack]: fields that make
// no sense, nil layers, and orders of layers that can't do what they are there
// for. They are the mistakes that [Explain] finds, joined into one error; it is
// nil if there are none.
//
// Call it in a test or at program start:
//
//	if err := redoubt.Check(stack); err != nil {
//		log.Fatal(err)
//	}
func Check(layer Layer) error { return Explain(layer).Err() }

// judge looks at each layer by what is around and inside of it.
func (e *explanation) judge() {
	for _, d := range e.layers {
		if d.wrong {
			continue
		}
		outside, inside := e.around(d)
		e.first(d)
		e.twice(d, outside)
		switch d.Kind {
		case KindTimeout:
			e.timeout(d, outside)
		case KindRetry:
			e.retry(d, outside, inside)
		case KindBreaker:
			e.breaker(d, outside, inside)
		case KindLimit:
			e.limit(d, outside, inside)
		case KindHedge:
			e.hedge(d, outside, inside)
		}
		if d.opaque {
			e.find(Note, "opaque", d.where, "%s tells nothing of itself, so that what it adds is not counted here; a method Explain() redoubt.Facts would tell", d.typ)
		}
	}
	e.whole()
}

// String returns how a finding names the layer.
func (d described) String() string {
	switch {
	case d.typ == "timeout.Limit":
		return "timeout.Limit(" + d.Limit.String() + ")"
	case d.Kind == KindTimeout:
		return d.typ + " " + d.Limit.String()
	case d.Kind == KindBreaker:
		return `breaker "` + d.Name + `"`
	case d.Name != "":
		return d.typ + ` "` + d.Name + `"`
	}
	return d.typ
}

// whole looks at the layers as a whole.
func (e *explanation) whole() {
	calls := e.calls()
	if len(calls) == 0 {
		return
	}
	if worst(calls, ownWaits).time < 0 {
		e.find(Note, "no-limit", calls[0].where, "nothing bounds the whole call: unless the caller has a deadline, one that hangs lasts for ever; put a timeout.Limit first")
	}
	b, most := worst(calls, noWaits), 1
	for _, d := range calls {
		most = max(most, d.bound(bound{attempts: 1}, false, noWaits).attempts)
	}
	if b.attempts > most {
		e.find(Note, "attempts-multiply", calls[0].where, "layers that repeat multiply: one call may become %d attempts, and so may the load of an outage", b.attempts)
	}
}

// first finds a Telemetry that comes too late.
func (e *explanation) first(d described) {
	if _, ok := d.layer.(Telemetry); ok && d.at > 0 {
		e.find(Mistake, "telemetry-not-first", d.where, "redoubt.Telemetry is not the first layer: when a call comes to it, the call is recorded already, without its name and its providers")
	}
}

// twice finds a layer with a memory that is inside of itself.
func (e *explanation) twice(d described, outside []described) {
	if d.Kind != KindBreaker && d.Kind != KindLimit {
		return
	}
	for _, outer := range outside {
		switch {
		case same(d.layer, outer.layer):
			e.find(Mistake, "inside-itself", d.where, "%v is inside of itself: each call asks it twice, and a call that it admits is then in its own way", d)
			return
		case d.Kind == KindBreaker && outer.Kind == KindBreaker && d.Name == outer.Name && d.Name != "":
			e.find(Note, "same-name", d.where, "two breakers are named %q, so that errors and metrics do not tell which it was", d.Name)
			return
		}
	}
}

func same(a, b any) bool {
	return reflect.TypeOf(a).Kind() == reflect.Pointer && a == b
}

// limitOf returns the tightest time limit among layers.
func limitOf(layers []described) (described, bool) {
	var tightest described
	for _, d := range layers {
		if d.Kind == KindTimeout && d.Limit > 0 && (tightest.Limit == 0 || d.Limit < tightest.Limit) {
			tightest = d
		}
	}
	return tightest, tightest.Limit > 0
}

// timeout finds a limit that can never expire, and one that is none.
func (e *explanation) timeout(d described, outside []described) {
	if d.body {
		if d.Limit == 0 {
			e.find(Note, "no-stall-timeout", d.where, "StallTimeout is off: a server that falls silent in the middle of a body holds its reader for ever")
		}
		return
	}
	if d.Limit == 0 {
		e.find(Note, "limit-zero", d.where, "%s is zero and limits nothing", d.typ)
		return
	}
	if outer, ok := limitOf(outside); ok && d.Limit >= outer.Limit {
		e.find(Mistake, "limit-never-expires", d.where, "%v inside of %v can never expire first", d, outer)
	}
}

// retry finds a retry that never repeats, or not as often as it says, and what
// it does to a dependency in trouble.
func (e *explanation) retry(d described, outside, inside []described) {
	if d.MaxAttempts <= 1 {
		e.find(Note, "never-repeats", d.where, "%v makes one attempt and never repeats", d)
		return
	}
	if has(outside, ofKind(KindRetry)) && !d.Nested {
		e.find(Mistake, "retry-nested", d.where, "%s inside of another makes only one attempt; remove one of them or set Nested", d.typ)
		return
	}
	if !d.Budgeted {
		e.find(Note, "no-budget", d.where, "%v has no budget: when the dependency fails for everybody, it gets %d times the load", d, d.MaxAttempts)
	}
	attempt := worst(inside, noWaits).time
	if attempt < 0 {
		e.find(Note, "no-attempt-limit", d.where, "nothing inside of %v limits an attempt: one that hangs takes all of the call's time, and is not repeated", d)
	}
	outer, limited := limitOf(outside)
	if !limited {
		if d.AwaitsRefusals {
			e.find(Note, "awaits-without-deadline", d.where, "%v waits for an open breaker only under a deadline, and no layer around it sets one", d)
		}
		return
	}
	repeats := d.MaxAttempts - 1
	switch {
	case d.LeastWaits >= outer.Limit:
		e.find(Mistake, "attempts-never-happen", d.where, "%v can never make all of its %d attempts: the waits between them come to %v or more, and %v around it is over by then",
			d, d.MaxAttempts, d.LeastWaits, outer)
	case sumOf(timesOf(attempt, repeats), d.LeastWaits) >= outer.Limit:
		e.find(Note, "attempts-do-not-fit", d.where, "if attempts take the %v that they may, %v does not come to all of its %d attempts within %v",
			attempt, d, d.MaxAttempts, outer)
	}
}

// breaker finds a window in which slow failures never meet, calls that are
// judged before they can have ended, and those that are never counted.
func (e *explanation) breaker(d described, outside, inside []described) {
	longest := worst(inside, noWaits).time
	if d.Window > 0 && d.Window <= longest {
		e.find(Mistake, "window-too-short", d.where, "%v: Window %v is not longer than the %v that a call inside of it may take, so that calls that time out may never trip it",
			d, d.Window, longest)
	}
	if d.ProbeTimeout > 0 && d.ProbeTimeout < longest {
		e.find(Mistake, "probe-timeout-too-short", d.where, "%v: ProbeTimeout %v is shorter than the %v that a call inside of it may take, so that a slow probe fails though it succeeds",
			d, d.ProbeTimeout, longest)
	}
	outer, limited := limitOf(outside)
	if most := shorter(longest, outer.Limit); most > 0 && d.SlowCall >= most {
		e.find(Mistake, "never-slow", d.where, "%v: SlowCall %v is not shorter than the %v that a call may take, so that no call is ever slow",
			d, d.SlowCall, most)
	}
	counts := d.SlowCall > 0 || d.CallerDeadline > 0
	switch {
	case longest >= 0 || counts:
	case limited:
		e.find(Note, "hang-counted-late", d.where, "%v learns of a call that hangs only when %v around it is over, since nothing inside limits the call", d, outer)
	default:
		e.find(Note, "hang-never-counted", d.where, "%v never learns of a call that hangs, since nothing limits the call; put a timeout.Limit inside", d)
	}
	switch {
	case has(outside, repeating):
		e.find(Note, "breaker-inside-retry", d.where, "%v is inside of the retry: it sees every attempt, and once it is open the call fails at once instead of trying on", d)
	case has(inside, repeating):
		e.find(Note, "breaker-outside-retry", d.where, "%v is outside of the retry: it sees a call only when its last attempt has ended, so it opens late, and failures that a retry cured do not count", d)
	}
	if d.Shadow {
		e.find(Note, "shadow", d.where, "%v is a shadow: it counts, and refuses nothing", d)
	}
}

// limit finds places that are kept for nothing, and waits that can't end well.
func (e *explanation) limit(d described, outside, inside []described) {
	if outer, ok := limitOf(outside); ok && d.MaxWait >= outer.Limit {
		e.find(Mistake, "turn-never-comes", d.where, "%v lets a call wait %v for its turn, and %v around it is over by then", d, d.MaxWait, outer)
	}
	if !has(inside, repeating) {
		return
	}
	waits := time.Duration(0)
	for _, inner := range inside {
		if repeating(inner) {
			waits = inner.MostWaits
		}
	}
	also := ""
	if d.Adaptive {
		also = ", and it takes these waits for slowness of the dependency"
	}
	e.find(Note, "permit-held-while-waiting", d.where, "%v is outside of the retry: a call keeps its place while it waits (%s) for its next attempt, and others are refused for it%s",
		d, atMost(waits), also)
}

// hedge finds hedges that confuse a breaker, and those that are never sent.
func (e *explanation) hedge(d described, outside, inside []described) {
	for _, inner := range inside {
		if inner.Kind == KindBreaker {
			e.find(Mistake, "hedge-outside-breaker", d.where, "%v is outside of %v: one call counts there several times, and takes the probes of others; put the breaker outside",
				d, inner)
			break
		}
	}
	if outer, ok := limitOf(outside); ok && d.Delay >= outer.Limit {
		e.find(Mistake, "hedge-never-sent", d.where, "%v waits %v before it sends a second attempt, and %v around it is over by then", d, d.Delay, outer)
		return
	}
	if longest := worst(inside, noWaits).time; longest > 0 && d.Delay >= longest {
		e.find(Mistake, "hedge-never-sent", d.where, "%v waits %v before it sends a second attempt, and the first has ended after %v", d, d.Delay, longest)
	}
}
