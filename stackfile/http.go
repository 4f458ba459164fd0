package stackfile

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"go.yaml.in/yaml/v3"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/retry"
)

// An httpBlock is what a file says of requests beside the layers around them.
type httpBlock struct {
	line      int
	transport redoubt.Transport // without Base and Layer
	failover  *failoverBlock
	hedge     *hedgeBlock
}

func (p *parser) http(n *yaml.Node) *httpBlock {
	b := &httpBlock{line: n.Line}
	t, tr := p.table(n, "http"), &b.transport
	t.duration("header_timeout", &tr.HeaderTimeout)
	t.durationOrNone("stall_timeout", &tr.StallTimeout, redoubt.NoStallTimeout)
	integerOrNone(t, "max_drain", &tr.MaxDrain, 1, 1<<40, redoubt.NoDrain)
	integer(t, "max_request_buffer", &tr.MaxRequestBuffer, 1, 1<<40)
	integer(t, "max_response_buffer", &tr.MaxResponseBuffer, 1, 1<<40)
	t.list("retry_rejected", func(n *yaml.Node, where string) {
		status, ok := decodeInteger(400, 599)(n)
		if !ok {
			p.bad(n, where, shape(n), "a status from 400 to 599")
		}
		tr.RetryRejected = append(tr.RetryRejected, status)
	})
	t.flag("retry_conflict", &tr.RetryConflict)
	t.list("retry_after_millis", func(n *yaml.Node, where string) {
		name, ok := decodeText(n)
		if !ok {
			p.bad(n, where, shape(n), "the name of a header")
		}
		tr.RetryAfterMillis = append(tr.RetryAfterMillis, name)
	})
	t.text("deadline_header", &tr.DeadlineHeader)
	t.text("attempt_header", &tr.AttemptHeader)
	if n := t.get("failover"); n != nil {
		b.failover = p.failover(n, t.path("failover"))
	}
	if n := t.get("hedge"); n != nil {
		b.hedge = p.hedge(n, t.path("hedge"), b.failover != nil)
	}
	t.end()
	p.check(n, "http", tr)
	return b
}

// check adds what a part finds wrong with itself, unless there is worse.
func (p *parser) check(n *yaml.Node, where string, part interface{ Check() error }) {
	if len(p.errs) > 0 {
		return
	}
	if err := part.Check(); err != nil {
		p.errs = append(p.errs, &Error{File: p.file, Line: n.Line, Column: n.Column, Field: where, Err: err})
	}
}

// A failoverBlock describes the endpoints that requests are sent to.
type failoverBlock struct {
	line   int
	config failover.Config // without Guard and Budget
	from   string
	guard  []layer
}

// The most endpoints, and the most bytes of their URLs, that make sense.
const (
	maxEndpoints = 100
	maxURL       = 2000
)

func (p *parser) failover(n *yaml.Node, where string) *failoverBlock {
	b := &failoverBlock{line: n.Line}
	t := p.table(n, where)
	t.text("name", &b.config.Name)
	if !t.has("endpoints") {
		p.bad(n, t.path("endpoints"), "missing", "a list of base URLs, the preferred one first")
	}
	t.list("endpoints", func(n *yaml.Node, where string) { b.config.Endpoints = append(b.config.Endpoints, p.url(n, where)) })
	if len(b.config.Endpoints) > maxEndpoints {
		p.bad(n, t.path("endpoints"), fmt.Sprintf("a list of %d", len(b.config.Endpoints)), fmt.Sprintf("of at most %d", maxEndpoints))
	}
	if n := t.get("from"); n != nil {
		b.from = p.url(n, t.path("from"))
	}
	t.duration("min_time", &b.config.MinTime)
	t.flag("fail_open", &b.config.FailOpen)
	p.guard = true
	t.list("guard", func(n *yaml.Node, where string) { b.guard = append(b.guard, p.layer(n, where)) })
	p.guard = false
	t.end()
	if len(p.errs) == 0 {
		p.check(n, where, b.build(b.layers(newMemory(), Options{}), Options{}, nil))
	}
	return b
}

// url reads what will be judged as a URL later. What it is no error tells, since
// it may have a password in it.
func (p *parser) url(n *yaml.Node, where string) string {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" || n.Value == "" || len(n.Value) > maxURL {
		p.bad(n, where, "not one", fmt.Sprintf("a URL of 1 to %d bytes", maxURL))
	}
	return n.Value
}

// layers returns the guard of each endpoint. What it has for each goes by
// failover.Endpoint, so that it is one for all of them.
func (b *failoverBlock) layers(m *memory, o Options) redoubt.Stack {
	var guard redoubt.Stack
	for _, l := range b.guard {
		guard = append(guard, l.block.build(m, o))
	}
	return guard
}

func (b *failoverBlock) build(guard redoubt.Stack, o Options, budget *retry.Budget) *failover.Transport {
	config := b.config
	if len(guard) > 0 {
		config.Guard = func(string) failover.Layer { return guard }
	}
	if budget != nil {
		config.Budget, config.PaidElsewhere = budget, true // by the retry
	}
	if o.Failover != nil {
		o.Failover(&config)
	}
	return &failover.Transport{Failover: failover.New(config), From: b.from}
}

// A hedgeBlock describes a hedge.Hedger, or one for each key.
type hedgeBlock struct {
	line   int
	config hedge.Config // without what is shared with the layers
	per    string
}

func (p *parser) hedge(n *yaml.Node, where string, endpoints bool) *hedgeBlock {
	b := &hedgeBlock{line: n.Line}
	t, c := p.table(n, where), &b.config
	t.text("name", &c.Name)
	if endpoints {
		t.choice("per", &b.per, perEndpoint, perNone)
	} else {
		t.per(&b.per)
	}
	t.duration("delay", &c.Delay)
	t.number("percentile", &c.Percentile, .5, .999)
	integer(t, "min_samples", &c.MinSamples, 1, maxCalls)
	integer(t, "hedges", &c.Hedges, 1, 10)
	t.ratio("max_extra", &c.MaxExtra)
	t.number("burst", &c.Burst, 1, 1e6)
	t.end()
	if b.per == perNone {
		b.per = ""
	}
	p.check(n, where, hedge.New(*c))
	return b
}

// A hedger is what a hedgeBlock describes, and remembers latencies. It goes on
// while the layers around it, whose budget and breakers it heeds, are exchanged.
type hedger struct {
	one    *hedge.Hedger
	group  *hedge.Group
	around atomic.Pointer[around]
}

// Around are the parts of layers that hedges have to do with.
type around struct {
	budget   *retry.Budget
	budgets  *retry.BudgetGroup
	breakers []hedge.Breaker
}

// Closed reports whether every breaker is.
func (h *hedger) Closed(ctx context.Context) bool {
	for _, b := range h.around.Load().breakers {
		if !b.Closed(ctx) {
			return false
		}
	}
	return true
}

func (h *hedger) budget(ctx context.Context) hedge.Budget {
	a := h.around.Load()
	switch {
	case a.budgets != nil:
		return a.budgets.For(ctx)
	case a.budget != nil:
		return a.budget
	}
	return nil
}

func (b *hedgeBlock) build(m *memory, o Options) *hedger {
	return remember(m, part{"hedge", b.config.Name}, hedgeBlock{config: b.config, per: b.per}, func() *hedger {
		h := &hedger{}
		h.around.Store(&around{})
		config := b.config
		config.Breaker, config.Budgets = h, h.budget
		if o.Hedge != nil {
			o.Hedge(&config)
		}
		if b.per == "" {
			h.one = hedge.New(config)
		} else {
			h.group = hedge.NewGroup(hedge.GroupConfig{Hedger: config, Key: keyOf(b.per)})
		}
		return h
	})
}

// heed adds the budget and the breakers of layers, outermost first: the budget of
// the innermost retry that has one counts.
func (a *around) heed(layers redoubt.Stack) {
	for _, l := range layers {
		switch l := l.(type) {
		case retry.Policy:
			if l.Budget != nil || l.Budgets != nil {
				a.budget, a.budgets = l.Budget, l.Budgets
			}
		case *breaker.Breaker:
			a.breakers = append(a.breakers, l)
		case *breaker.Group:
			a.breakers = append(a.breakers, l)
		}
	}
}

// base puts in front of t's Base what sends its requests elsewhere or twice: the
// failover, and in that the hedge, so that its guards see one attempt.
func (b *httpBlock) base(t *redoubt.Transport, stack redoubt.Stack, m *memory, o Options) {
	var all around
	all.heed(stack)
	budget := all.budget
	var guard redoubt.Stack
	if b.failover != nil {
		guard = b.failover.layers(m, o)
		all.heed(guard)
	}
	if b.hedge != nil {
		h := b.hedge.build(m, o)
		m.ready = append(m.ready, func() { h.around.Store(&all) })
		t.Base = &hedge.Transport{Base: baseOf(t), Hedger: h.one, Hedgers: h.group, Failure: t.Failure}
	}
	if b.failover != nil {
		f := b.failover.build(guard, o, budget)
		f.Base, f.Failure, f.SpansByBase = baseOf(t), t.Failure, t.SpansByBase
		t.Base, t.SpansByBase = f, true
	}
}

func baseOf(t *redoubt.Transport) http.RoundTripper {
	if t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}
