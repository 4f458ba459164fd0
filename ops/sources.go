package ops

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
)

// sources are where what is shown comes from. They do not change; what a group
// has in it does.
type sources struct {
	breakers []source[circuit]
	budgets  []source[*retry.Budget]
	limits   []source[*limit.Limiter]

	// changing is whether there may be others later: what has a layer in it
	// that can be exchanged was among what they were found in.
	changing bool

	ids      map[any]string // of what was found, so that it is found once
	before   map[any]string // those of the sources in whose place these are
	numbers  map[string]int // of ids so far, by kind; one for all sources of a View
	findings []error
}

// changing is what has its layers exchanged while it is in use, such as a
// stackfile.Live.
type changing interface{ Layers() redoubt.Stack }

// A source is a thing that has state, or a group of such things.
type source[T any] struct {
	id  string              // "b1"
	one T                   // unless it is a group
	all func() map[string]T // of a group, by key
}

// each calls do with the id and the key of each thing. The id of a thing in a
// group ends in its key.
func (s source[T]) each(do func(id, key string, thing T)) {
	if s.all == nil {
		do(s.id, "", s.one)
		return
	}
	for key, thing := range s.all() {
		do(s.id+"/"+key, key, thing)
	}
}

// byID returns the thing with an id, if it is there. It makes none.
func byID[T any](sources []source[T], id string) (thing T, ok bool) {
	its, key, grouped := strings.Cut(id, "/")
	for _, s := range sources {
		switch {
		case s.id != its || grouped != (s.all != nil):
		case grouped:
			thing, ok = s.all()[key]
			return thing, ok
		default:
			return s.one, true
		}
	}
	return thing, false
}

// found returns the sources as they are now. What was there before keeps its id.
func (v *View) found() *sources {
	v.finding.Lock()
	defer v.finding.Unlock()
	if v.sources.changing {
		v.sources = findSources(v.config, v.sources)
	}
	return v.sources
}

// findSources returns what config names, in place of before.
func findSources(config Config, before *sources) *sources {
	s := &sources{ids: map[any]string{}, before: before.ids, numbers: before.numbers}
	for i, client := range config.Clients {
		s.client(client, fmt.Sprintf("Clients[%d]", i))
	}
	for i, layer := range config.Layers {
		s.layer(layer, fmt.Sprintf("Layers[%d]", i))
	}
	for i, b := range config.Budgets {
		if b == nil {
			s.misuse("Budgets[%d] is nil", i)
		}
		s.budget(b)
	}
	for i, g := range config.BudgetGroups {
		if g == nil {
			s.misuse("BudgetGroups[%d] is nil", i)
		}
		s.budgetGroup(g)
	}
	return s
}

func (s *sources) misuse(format string, args ...any) {
	s.findings = append(s.findings, law.Misuse("ops: "+format, args...))
}

// first reports whether a thing was not found before, and gives it an id then.
func (s *sources) first(kind string, thing any) (id string, first bool) {
	if _, found := s.ids[thing]; found {
		return "", false
	}
	id, ok := s.before[thing]
	if !ok {
		s.numbers[kind]++
		id = kind + strconv.Itoa(s.numbers[kind])
	}
	s.ids[thing] = id
	return id, true
}

func (s *sources) client(c *http.Client, where string) {
	if c == nil {
		s.misuse("%s is nil", where)
		return
	}
	s.transport(c.Transport, where+".Transport")
}

// maxBases is no limit for anything but a ring.
const maxBases = 16

// transport looks into a chain of RoundTrippers, as far as they tell what is
// further in. The first one must, or there is nothing to see.
func (s *sources) transport(t http.RoundTripper, where string) {
	for n := range maxBases {
		if guarder, ok := t.(explain.Guarder); ok {
			s.guards(guarder, where)
		}
		if _, ok := t.(changing); ok {
			s.changing = true
		}
		switch r := t.(type) {
		case *redoubt.Transport:
			if r == nil {
				s.misuse("%s is nil", where)
				return
			}
			if r.Layer != nil {
				s.layer(r.Layer, where+".Layer")
			}
			t = r.Base
		case interface{ Unwrap() http.RoundTripper }:
			t = r.Unwrap()
		case changing:
			s.layer(r.Layers(), where)
			return
		default:
			if n == 0 {
				s.misuse("%s is %T, must be a *redoubt.Transport, or have one further in", where, t)
			}
			return
		}
		where += ".Base"
	}
}

func (s *sources) layer(layer redoubt.Layer, where string) {
	switch l := layer.(type) {
	case nil:
		s.misuse("%s is nil", where)
	case redoubt.Stack:
		for i, inner := range l {
			s.layer(inner, fmt.Sprintf("%s[%d]", where, i))
		}
	case retry.Policy:
		s.budget(l.Budget)
		s.budgetGroup(l.Budgets)
	case *retry.Policy:
		if l != nil {
			s.layer(*l, where)
		}
	case *breaker.Breaker:
		s.breaker(l, source[circuit]{one: local{l}})
	case *breaker.Group:
		s.breaker(l, source[circuit]{all: func() map[string]circuit { return circuits(l) }})
	case *shared.Breaker:
		s.breaker(l, source[circuit]{one: common{l}})
	case *limit.Limiter:
		s.limit(l, source[*limit.Limiter]{one: l})
	case *limit.Group:
		s.limit(l, source[*limit.Limiter]{all: l.Limiters})
	case changing:
		s.changing = true
		s.layer(l.Layers(), where)
	case explain.Guarder:
		s.guards(l, where)
	}
}

// guards looks into what guards the endpoints of a failover.
func (s *sources) guards(of explain.Guarder, where string) {
	for _, g := range of.Guards() {
		s.layer(g.Layer, fmt.Sprintf("%s.Guard(%s)", where, g.Endpoint))
	}
}

// checked is a layer that knows whether it makes sense.
type checked interface{ Check() error }

func (s *sources) breaker(of checked, b source[circuit]) {
	if of.Check() != nil {
		return
	}
	if id, first := s.first("b", of); first {
		b.id = id
		s.breakers = append(s.breakers, b)
	}
}

func (s *sources) limit(of checked, l source[*limit.Limiter]) {
	if of.Check() != nil {
		return
	}
	if id, first := s.first("l", of); first {
		l.id = id
		s.limits = append(s.limits, l)
	}
}

func circuits(g *breaker.Group) map[string]circuit {
	all := map[string]circuit{}
	for key, b := range g.Breakers() {
		all[key] = local{b}
	}
	return all
}

func (s *sources) budget(b *retry.Budget) {
	if b == nil || b.Check() != nil {
		return
	}
	if id, first := s.first("r", b); first {
		s.budgets = append(s.budgets, source[*retry.Budget]{id: id, one: b})
	}
}

func (s *sources) budgetGroup(g *retry.BudgetGroup) {
	if g == nil || g.Check() != nil {
		return
	}
	if id, first := s.first("r", g); first {
		s.budgets = append(s.budgets, source[*retry.Budget]{id: id, all: g.Budgets})
	}
}
