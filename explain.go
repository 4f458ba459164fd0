package redoubt

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/redoubt-go/redoubt/internal/explain"
)

// Facts are what a layer tells about itself to [Explain] and [Check]: its kind, its
// name, and the numbers by which it shapes a call. A layer of your own takes part
// by a method that returns them; it fills in the fields of its kind and leaves
// the others zero:
//
//	func (l *rateLimiter) Explain() redoubt.Facts {
//		return redoubt.Facts{Name: l.name, Does: "lets 50 calls pass a second"}
//	}
//
//	func (r myRetry) Explain() redoubt.Facts {
//		return redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 4, MostWaits: 3 * time.Second}
//	}
//
// The fields are, by kind:
//
//   - all: Kind; Name, what tells the layer apart; Does, in a few words, for a
//     layer that no kind describes.
//   - [KindTimeout]: Limit; zero is no limit.
//   - [KindRetry]: MaxAttempts, in total; Nested, if it repeats even inside
//     another retry; Budgeted, if a budget grants its repetitions;
//     AwaitsRefusals, if it waits for an open breaker; MaxRetryAfter, the longest
//     wait that an error may ask for; LeastWaits and MostWaits, what all waits of
//     one call come to; AskedWaits, the same as MostWaits if every error asks for
//     MaxRetryAfter. The last two may be [Unbounded].
//   - [KindBreaker]: Window and MinCalls, if a ratio counts; FailureRatio;
//     SlowCall and SlowRatio; Consecutive; Cooldown and MaxCooldown; Probes and
//     ProbeTimeout; CallerDeadline; Shadow, if it refuses nothing; PerKey, if there
//     is one for each host or the like.
//   - [KindLimit], of concurrency: MaxInFlight; Adaptive, if that moves; MaxWait
//     for a turn; PerKey.
//   - [KindHedge]: Hedges, the most attempts beside the first; Delay, zero if it
//     is measured; PerKey.
//   - [KindFailover]: Endpoints.
type Facts = explain.Facts

// A Kind is what a layer does to a call.
type Kind = explain.Kind

// The kinds. A layer of KindOther says in Facts.Does what it does.
const (
	KindOther    = explain.Opaque
	KindTimeout  = explain.Timeout
	KindRetry    = explain.Retry
	KindBreaker  = explain.Breaker
	KindLimit    = explain.Limit
	KindHedge    = explain.Hedge
	KindFailover = explain.Failover
)

// Unbounded stands for a duration that nothing bounds.
const Unbounded = explain.Unbounded

// Explain says what layer, commonly a [Stack], does to a call: what each layer
// means in its place, how long a call may take and how often it may run at most,
// and what is wrong or worth knowing. It runs nothing.
//
//	fmt.Println(redoubt.Explain(stack))
//
// A layer takes part by a method Check() error, which reports what is wrong with
// the layer alone, by a method Explain() [Facts], and, if it is made of layers,
// by a method Layers() [Stack]. One that has none of them is shown as opaque.
// What guards the endpoints of a failover is shown, and judged, for each by itself.
func Explain(layer Layer) Report {
	var e explanation
	e.visit(layer, "layer")
	return e.report()
}

// Explain says what the Transport does to a request, as [Explain] does for a
// layer: its own time limits are rows too, and Base, if that tells what it does,
// as a hedge, a failover and another Transport do.
//
//	client := redoubt.NewClient("billing")
//	fmt.Println(client.Transport.(*redoubt.Transport).Explain())
func (t *Transport) Explain() Report {
	var e explanation
	if t == nil {
		e.wrong("Transport", errNilTransport)
		return e.report()
	}
	e.transport(t, "Transport", "layer")
	return e.report()
}

// An explanation is a Report in the making.
type explanation struct {
	layers   []described
	findings []Finding
	bases    int      // seen so far
	branch   []branch // of what is visited
}

// A branch is the way to one endpoint of a failover: what guards it is on the way
// to no other.
type branch struct{ failover, endpoint int } // which layer, and which of its guards

// on reports whether a layer on one branch has one on the other around or inside
// of it.
func on(a, b []branch) bool {
	n := min(len(a), len(b))
	return slices.Equal(a[:n], b[:n])
}

// A described is a layer that told its facts.
type described struct {
	Facts

	at     int // in Report.Layers
	where  string
	typ    string
	layer  any // itself, to know it again
	branch []branch
	guards int // of endpoints

	wrong  bool // by itself, so that its place is not judged
	opaque bool
	body   bool // it is about the response's body, so no part of the call
	phases int  // how many times Limit may pass within its limit; 0 is 1
}

// wrong takes down what is wrong with a layer alone.
func (e *explanation) wrong(where string, err error) {
	e.findings = append(e.findings, Finding{Severity: Mistake, Rule: "misconfigured", Where: where, Text: err.Error(), Err: err})
}

func (e *explanation) find(severity Severity, rule, where, format string, args ...any) {
	f := Finding{Severity: severity, Rule: rule, Where: where, Text: fmt.Sprintf(format, args...)}
	if severity == Mistake {
		f.Err = errors.New("redoubt: " + f.Text)
	}
	e.findings = append(e.findings, f)
}

func (e *explanation) visit(layer Layer, where string) {
	if isNil(layer) {
		e.find(Mistake, "nil-layer", where, "%s is nil", where)
		return
	}
	if s, ok := layer.(Stack); ok {
		for i, inner := range s {
			e.visit(inner, fmt.Sprintf("%s[%d]", stackName(where), i))
		}
		return
	}
	d := described{where: where, typ: typeName(layer), layer: layer}
	if l, ok := layer.(interface{ Check() error }); ok {
		if err := l.Check(); err != nil {
			e.wrong(where, err)
			d.wrong = true
		}
	}
	if l, ok := layer.(interface{ Layers() Stack }); ok && !d.wrong {
		e.visit(l.Layers(), where)
		return
	}
	if l, ok := layer.(explain.Explainer); ok {
		d.Facts = l.Explain()
	}
	d.opaque = d.Kind == KindOther && d.Does == ""
	e.add(d)
}

// add adds a layer, and the guards in it.
func (e *explanation) add(d described) {
	d.at, d.branch = len(e.layers), e.branch
	var guards []explain.Guard
	if l, ok := d.layer.(explain.Guarder); ok && !d.wrong {
		guards = l.Guards()
	}
	d.guards = len(guards)
	e.layers = append(e.layers, d)
	for i, g := range guards {
		e.branch = append(slices.Clip(d.branch), branch{d.at, i})
		e.visit(g.Layer, fmt.Sprintf("%s.Guard(%s)", d.where, g.Endpoint))
	}
	e.branch = d.branch
}

// transport adds t, its layers and the transports further in.
func (e *explanation) transport(t *Transport, where, layer string) {
	if err := t.checkFields(); err != nil {
		e.wrong(where, err)
	}
	if t.Layer != nil {
		e.visit(t.Layer, layer)
	}
	e.header(t, where)
	e.base(t, where)
	e.stall(t, where)
}

// header adds what bounds an attempt until the response's headers.
func (e *explanation) header(t *Transport, where string) {
	base, ok := t.base().(*http.Transport)
	switch {
	case t.HeaderTimeout > 0:
		e.add(described{
			Facts: Facts{Kind: KindTimeout, Limit: t.HeaderTimeout},
			where: where, typ: "HeaderTimeout",
			phases: 3, // to connect, to send, to wait
		})
	case ok && base.ResponseHeaderTimeout > 0:
		e.add(described{
			Facts: Facts{Kind: KindTimeout, Limit: base.ResponseHeaderTimeout},
			where: where + ".Base", typ: "ResponseHeaderTimeout",
			phases: 3,
		})
	}
}

// stall adds what bounds the reading of the response.
func (e *explanation) stall(t *Transport, where string) {
	limit := max(t.stallTimeout(), 0)
	e.add(described{
		Facts: Facts{Kind: KindTimeout, Limit: limit},
		where: where, typ: "StallTimeout",
		body: true,
	})
}

// maxBases is no limit for anything but a ring.
const maxBases = 16

// base adds the transports further in than t, as far as they tell what they do.
func (e *explanation) base(t *Transport, where string) {
	silent := t.SpansByBase
	for base := t.Base; e.bases < maxBases; {
		e.bases++
		where += ".Base"
		if makesSpans(base) && !silent {
			e.find(Mistake, "spans-twice", where, "%s makes spans of its own, so that each request has two; set SpansByBase of the Transport around it", typeName(base))
			silent = true
		}
		if inner, ok := base.(*Transport); ok && inner != nil {
			e.transport(inner, where, where+".Layer")
			return
		}
		if l, ok := base.(interface{ Check() error }); ok {
			if err := l.Check(); err != nil {
				e.wrong(where, err)
				return
			}
		}
		l, ok := base.(explain.Explainer)
		if !ok {
			return
		}
		e.add(described{Facts: l.Explain(), where: where, typ: typeName(base), layer: base})
		inner, ok := base.(interface{ Unwrap() http.RoundTripper })
		if !ok {
			return
		}
		base = inner.Unwrap()
	}
}

func makesSpans(base http.RoundTripper) bool {
	if t, ok := base.(*Transport); ok {
		return t != nil && !t.SpansByBase
	}
	l, ok := base.(interface{ MakesSpans() bool })
	return ok && l.MakesSpans()
}

func stackName(where string) string {
	if where == "layer" {
		return "stack"
	}
	return where
}

func typeName(v any) string { return strings.TrimPrefix(fmt.Sprintf("%T", v), "*") }

func (e *explanation) report() Report {
	e.judge()
	r := Report{
		Longest:        worst(e.calls(), askedWaits).time,
		LongestUnasked: worst(e.calls(), ownWaits).time,
		MaxAttempts:    worst(e.calls(), noWaits).attempts,
		Findings:       e.findings,
	}
	for _, d := range e.layers {
		r.Layers = append(r.Layers, LayerReport{
			Where:   d.where,
			Type:    d.typ,
			Facts:   d.Facts,
			Opaque:  d.opaque,
			Numbers: d.numbers(),
			Place:   d.place(e.around(d)),
		})
	}
	return r
}

// calls are the layers that shape the call: those that are not wrong.
func (e *explanation) calls() []described {
	var calls []described
	for _, d := range e.layers {
		if !d.wrong && !d.body {
			calls = append(calls, d)
		}
	}
	return calls
}

// around returns the layers outside and inside of d.
func (e *explanation) around(d described) (outside, inside []described) {
	for _, other := range e.calls() {
		switch {
		case !on(other.branch, d.branch):
		case other.at < d.at:
			outside = append(outside, other)
		case other.at > d.at:
			inside = append(inside, other)
		}
	}
	return outside, inside
}
