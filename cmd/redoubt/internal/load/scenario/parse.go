package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

// MaxRate is the highest rate that a scenario may ask for.
const MaxRate = 100_000

// maxDuration bounds a run.
const maxDuration = 24 * time.Hour

// Parse reads a scenario. name stands for its origin in errors, all of which
// are reported, with line, field, value and rule.
func Parse(name string, text []byte) (*Scenario, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	if err := decoder.Decode(&root); err != nil {
		if errors.Is(err, io.EOF) {
			err = errors.New("is empty, must be a scenario")
		}
		return nil, fmt.Errorf("scenario %s: %w", name, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("scenario %s: has more than one document, must have one", name)
	}
	p := &parser{file: name}
	s := p.scenario(root.Content[0])
	s.Source = string(text)
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return s, nil
}

var (
	names   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
	methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}
)

func (p *parser) scenario(n *yaml.Node) *Scenario {
	t := p.table(n, "")
	s := defaults()
	read(t, "name", &s.Name, "lower-case letters, digits and hyphens", names.MatchString)
	if s.Name == "" && t.get("name") == nil {
		p.bad(n, "name", "missing", "given")
	}
	t.text("title", &s.Title)
	t.text("about", &s.About)
	t.duration("duration", &s.Duration, 100*time.Millisecond, maxDuration)
	t.number("rate", &s.Rate, 0.1, MaxRate)
	t.list("bursts", func(n *yaml.Node, where string) {
		t := p.table(n, where)
		var b Burst
		t.duration("from", &b.From, 0, s.Duration)
		t.duration("to", &b.To, b.From+1, s.Duration)
		t.number("rate", &b.Rate, 0.1, MaxRate)
		t.end()
		s.Bursts = append(s.Bursts, b)
	})
	var arrivals string
	read(t, "arrivals", &arrivals, "even or poisson", func(v string) bool { return v == "even" || v == "poisson" })
	s.Poisson = arrivals == "poisson"
	read(t, "method", &s.Method, "one of "+strings.Join(methods, ", "), func(v string) bool { return slices.Contains(methods, v) })
	t.flag("idempotency-key", &s.IdempotencyKey)
	t.integer("body-limit", &s.BodyLimit, 0, 1<<30)
	t.duration("useful-within", &s.UsefulWithin, time.Millisecond, maxDuration)
	t.duration("patience", &s.Patience, time.Millisecond, maxDuration)
	read(t, "wire", &s.Wire, "model, http1 or http2", func(w Wire) bool { return w == Model || w == HTTP1 || w == HTTP2 })
	t.flag("new-connections", &s.NewConnections)
	t.duration("idle-timeout", &s.IdleTimeout, 0, maxDuration)
	t.duration("line-latency", &s.LineLatency, 0, time.Minute)
	t.integer("replicas", &s.Plan.Replicas, 1, 1000)
	if n := t.get("service"); n != nil {
		s.Plan.Service = p.service(n)
	}
	t.list("faults", func(n *yaml.Node, where string) {
		if f, ok := p.fault(n, where, s.Plan.Replicas); ok {
			s.Plan.Faults = append(s.Plan.Faults, f)
		}
	})
	windows := false
	t.list("windows", func(n *yaml.Node, where string) {
		windows = true
		s.Windows = append(s.Windows, p.window(n, where))
	})
	if !windows {
		s.Windows = s.faultWindows()
	}
	t.list("targets", func(n *yaml.Node, where string) {
		if n.Kind != yaml.ScalarNode {
			p.bad(n, where, shape(n), "text")
			return
		}
		s.Targets = append(s.Targets, n.Value)
	})
	t.end()
	return &s
}

// faultWindows returns the windows of the faults, each from its first beginning
// to its last end. There is none if some fault is always there.
func (s *Scenario) faultWindows() []faults.Window {
	var windows []faults.Window
	for _, f := range s.Plan.Faults {
		if f.During == (faults.Window{}) {
			return nil
		}
		w := faults.Window{From: f.During.From, To: f.During.To}
		if w.To == 0 {
			w.To = s.Duration
		}
		if !slices.Contains(windows, w) {
			windows = append(windows, w)
		}
	}
	return windows
}

func (p *parser) service(n *yaml.Node) faults.Service {
	t := p.table(n, "service")
	defer t.end()
	var s faults.Service
	s.Time = t.latency("time")
	t.integer("slots", &s.Slots, 1, 1_000_000)
	if q := t.get("queue"); q != nil {
		switch {
		case s.Slots == 0:
			p.bad(q, t.path("queue"), shape(q), "given with slots only")
		case q.Value == "unbounded":
		case q.Value == "none":
			s.Queue = faults.NoQueue
		default:
			if q.Decode(&s.Queue) != nil || s.Queue < 1 {
				p.bad(q, t.path("queue"), shape(q), "unbounded, none or a positive whole number")
				s.Queue = 0
			}
		}
	}
	t.flag("skips-abandoned", &s.SkipsAbandoned)
	t.integer("body", &s.Body, 0, 1<<30)
	if n := t.get("full"); n != nil {
		s.Full = p.status(n, t.path("full"))
	}
	return s
}

func (p *parser) window(n *yaml.Node, where string) faults.Window {
	t := p.table(n, where)
	defer t.end()
	var w faults.Window
	t.duration("from", &w.From, 0, maxDuration)
	t.duration("to", &w.To, w.From+1, maxDuration)
	t.duration("every", &w.Every, 1, maxDuration)
	t.duration("for", &w.For, 1, maxDuration)
	if w.Every != 0 && (w.For == 0 || w.For > w.Every) {
		p.bad(n, t.path("for"), w.For, fmt.Sprintf("positive and at most every, %v", w.Every))
		w.Every, w.For = 0, 0
	}
	if w.Every == 0 && w.For != 0 {
		p.bad(n, t.path("for"), w.For, "given with every only")
		w.For = 0
	}
	return w
}

func (p *parser) fault(n *yaml.Node, where string, replicas int) (faults.Fault, bool) {
	t := p.table(n, where)
	defer t.end()
	var f faults.Fault
	t.text("name", &f.Name)
	if w := t.get("during"); w != nil {
		f.During = p.window(w, t.path("during"))
	}
	read(t, "chance", &f.Chance, "a number above 0 and at most 1", func(v float64) bool { return v > 0 && v <= 1 })
	units := []faults.Unit{faults.PerArrival, faults.PerRequest, faults.PerConn, faults.PerWindow}
	read(t, "per", &f.Per, "arrival, request, connection or window", func(u faults.Unit) bool { return slices.Contains(units, u) })
	t.list("replicas", func(n *yaml.Node, where string) {
		var r int
		if n.Decode(&r) != nil || r < 0 || r >= max(replicas, 1) {
			p.bad(n, where, shape(n), fmt.Sprintf("a whole number from 0 to %d", max(replicas, 1)-1))
			return
		}
		f.Replicas = append(f.Replicas, r)
	})
	for _, e := range effects {
		n := t.get(e.name)
		if n == nil {
			continue
		}
		if f.Effect != nil {
			p.bad(n, t.path(e.name), "a second effect", "the only one")
			continue
		}
		f.Effect = e.read(p, n, t.path(e.name))
		t.scope(f, e.name)
	}
	if f.Effect == nil {
		p.bad(n, where, "without an effect", "one with an effect: "+effectNames())
		return f, false
	}
	return f, true
}

// scope reports what the effect of f, which is not of arrivals, can't be confined
// to.
func (t *table) scope(f faults.Fault, effect string) {
	switch f.Effect.(type) {
	case faults.Refuse, faults.NoHost, faults.SYNLoss, faults.PacketLoss, faults.Bandwidth:
		if len(f.Replicas) > 0 {
			n := t.find("replicas")
			t.p.bad(n, t.path("replicas"), shape(n), "left out with "+effect)
		}
	}
	switch f.Effect.(type) {
	case faults.NoHost, faults.SYNLoss:
		if f.Per == faults.PerRequest {
			n := t.find("per")
			t.p.bad(n, t.path("per"), shape(n), "arrival, connection or window with "+effect)
		}
	}
}

// effects are the effects by their names in scenarios.
var effects = []struct {
	name string
	read func(p *parser, n *yaml.Node, where string) faults.Effect
}{
	{"status", func(p *parser, n *yaml.Node, where string) faults.Effect { return p.status(n, where) }},
	{"rate-limit", func(p *parser, n *yaml.Node, where string) faults.Effect {
		t := p.table(n, where)
		defer t.end()
		e := faults.RateLimit{PerSecond: 1}
		t.number("per-second", &e.PerSecond, 0.001, 1e9)
		t.number("burst", &e.Burst, 1, 1e9)
		t.duration("retry-after", &e.RetryAfter, 0, time.Hour)
		return e
	}},
	{"delay", func(p *parser, n *yaml.Node, where string) faults.Effect {
		return faults.Delay{Time: p.latency(n, where)}
	}},
	{"work", func(p *parser, n *yaml.Node, where string) faults.Effect {
		return faults.Work{Time: p.latency(n, where)}
	}},
	{"reset", func(p *parser, n *yaml.Node, where string) faults.Effect {
		return p.plain(n, where, faults.Reset{})
	}},
	{"lost-answer", func(p *parser, n *yaml.Node, where string) faults.Effect {
		return p.plain(n, where, faults.Reset{AfterWork: true})
	}},
	{"refuse", func(p *parser, n *yaml.Node, where string) faults.Effect {
		return p.plain(n, where, faults.Refuse{})
	}},
	{"no-host", func(p *parser, n *yaml.Node, where string) faults.Effect {
		return p.plain(n, where, faults.NoHost{})
	}},
	{"syn-loss", func(p *parser, n *yaml.Node, where string) faults.Effect {
		return p.plain(n, where, faults.SYNLoss{})
	}},
	{"packet-loss", func(p *parser, n *yaml.Node, where string) faults.Effect {
		return p.plain(n, where, faults.PacketLoss{})
	}},
	{"black-hole", func(p *parser, n *yaml.Node, where string) faults.Effect {
		return p.plain(n, where, faults.BlackHole{})
	}},
	{"freeze", func(p *parser, n *yaml.Node, where string) faults.Effect {
		return p.plain(n, where, faults.Freeze{})
	}},
	{"truncate", func(p *parser, n *yaml.Node, where string) faults.Effect {
		t := p.table(n, where)
		defer t.end()
		var e faults.Truncate
		t.integer("after", &e.After, 0, 1<<30)
		return e
	}},
	{"drip", func(p *parser, n *yaml.Node, where string) faults.Effect {
		t := p.table(n, where)
		defer t.end()
		e := faults.Drip{Over: time.Second}
		t.duration("over", &e.Over, 1, time.Hour)
		return e
	}},
	{"bandwidth", func(p *parser, n *yaml.Node, where string) faults.Effect {
		t := p.table(n, where)
		defer t.end()
		e := faults.Bandwidth{BytesPerSecond: 1 << 20}
		t.integer("bytes-per-second", &e.BytesPerSecond, 1, min(1<<40, math.MaxInt))
		return e
	}},
	{"hangup", func(p *parser, n *yaml.Node, where string) faults.Effect {
		t := p.table(n, where)
		defer t.end()
		var e faults.Hangup
		t.integer("requests", &e.Requests, 1, 1<<30)
		return e
	}},
}

func effectNames() string {
	var all []string
	for _, e := range effects {
		all = append(all, e.name)
	}
	return strings.Join(all, ", ")
}

// plain reads an effect without fields: true.
func (p *parser) plain(n *yaml.Node, where string, e faults.Effect) faults.Effect {
	var yes bool
	if n.Decode(&yes) != nil || !yes {
		p.bad(n, where, shape(n), "true")
	}
	return e
}

func (p *parser) status(n *yaml.Node, where string) faults.Status {
	t := p.table(n, where)
	defer t.end()
	var s faults.Status
	t.integer("code", &s.Code, 200, 599)
	t.duration("retry-after", &s.RetryAfter, 0, time.Hour)
	read(t, "header", (*map[string][]string)(&s.Header), "a mapping of names to lists of values", nil)
	return s
}

func (t *table) latency(name string) faults.Latency {
	n := t.get(name)
	if n == nil {
		return nil
	}
	return t.p.latency(n, t.path(name))
}

// latency reads a time that may vary.
func (p *parser) latency(n *yaml.Node, where string) faults.Latency {
	const want = "a duration such as 5ms, or one of {uniform: [low, high]}, {exponential: mean}, " +
		"{lognormal: {median, sigma}}, {ramp: [from, to]}"
	fallback := faults.Constant(0)
	if n.Kind == yaml.ScalarNode {
		var d time.Duration
		if n.Decode(&d) != nil || d < 0 || d > maxDuration {
			p.bad(n, where, shape(n), want)
		}
		return faults.Constant(d)
	}
	t := p.table(n, where)
	if n.Kind != yaml.MappingNode {
		return fallback
	}
	defer t.end()
	var found []faults.Latency
	pair := func(name string, shape func(a, b time.Duration) faults.Latency) {
		var d []time.Duration
		read(t, name, &d, "two durations, none negative", func(d []time.Duration) bool {
			return len(d) == 2 && min(d[0], d[1]) >= 0
		})
		if d != nil {
			found = append(found, shape(d[0], d[1]))
		}
	}
	pair("uniform", faults.Uniform)
	pair("ramp", faults.Ramp)
	var mean time.Duration
	t.duration("exponential", &mean, 1, maxDuration)
	if mean > 0 {
		found = append(found, faults.Exponential(mean))
	}
	if n := t.get("lognormal"); n != nil {
		var median time.Duration
		sigma := 0.5
		t := p.table(n, t.path("lognormal"))
		t.duration("median", &median, 1, maxDuration)
		t.number("sigma", &sigma, 0, 5)
		t.end()
		found = append(found, faults.LogNormal(median, sigma))
	}
	if len(found) != 1 {
		p.bad(n, where, shape(n), want)
		return fallback
	}
	return found[0]
}
