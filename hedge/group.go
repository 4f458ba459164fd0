package hedge

import (
	"cmp"
	"context"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/keyed"
	"github.com/redoubt-go/redoubt/internal/law"
)

// DefaultMaxHedgers stands for a zero GroupConfig.Max.
const DefaultMaxHedgers = 256

// GroupConfig says how a [Group] makes and keeps its hedgers.
type GroupConfig struct {
	// Hedger is the configuration of each hedger. They all have its Name.
	Hedger Config

	// Key returns the key of the call that ctx belongs to, such as
	// redoubt.Host. It must not be nil.
	Key func(ctx context.Context) string

	// Max is the most hedgers kept, each of about 7 KiB. Beyond it the
	// least recently used one is forgotten. Zero means DefaultMaxHedgers.
	Max int
}

// A Group has a [Hedger] for each key, such as a host, so that what is slow for
// one is not measured by the others, and each has its own share of hedges. Use it
// through [Transport], or for a function through [Group.For]. It is safe for
// concurrent use. Make one with [NewGroup].
type Group struct {
	config  GroupConfig
	hedgers *keyed.Cache[*Hedger]
	err     error
}

// NewGroup returns an empty group. If config makes no sense, the group's Check
// says why, and so does each call.
func NewGroup(config GroupConfig) *Group {
	g := &Group{config: config}
	switch err := config.Hedger.check(); {
	case err != nil:
		g.err = err
	case config.Key == nil:
		g.err = law.Misuse("hedge: group %q: Key is nil, must be a function", config.Hedger.Name)
	case config.Max < 0:
		g.err = law.Misuse("hedge: group %q: Max is %d, must not be negative", config.Hedger.Name, config.Max)
	}
	g.hedgers = keyed.New(cmp.Or(config.Max, DefaultMaxHedgers),
		func(string) *Hedger { return New(config.Hedger) },
		func(*Hedger) bool { return false })
	return g
}

// For returns the hedger for the call that ctx belongs to:
//
//	invoice, err := hedge.Func(group.For(ctx), fetchInvoice)(ctx)
//
// If g makes no sense, that hedger's Check says why.
func (g *Group) For(ctx context.Context) *Hedger {
	switch err := g.Check(); {
	case err != nil:
		return &Hedger{err: err}
	case ctx == nil:
		return &Hedger{err: errNilContext}
	}
	return g.hedgers.Get(g.config.Key(ctx))
}

// Hedgers returns the hedgers that the group has now, by key.
func (g *Group) Hedgers() map[string]*Hedger {
	if g.Check() != nil {
		return map[string]*Hedger{}
	}
	return g.hedgers.Map()
}

// Name returns the name that all hedgers of the group have.
func (g *Group) Name() string { return g.Explain().Name }

// Check reports what makes no sense in the configuration, or that g was not made
// with [NewGroup].
func (g *Group) Check() error {
	if g == nil || g.hedgers == nil {
		return errZeroGroup
	}
	return g.err
}

// Explain returns the redoubt.Facts of the hedgers of g, for redoubt.Explain and
// redoubt.Check.
func (g *Group) Explain() explain.Facts {
	if g == nil {
		return explain.Facts{Kind: explain.Hedge}
	}
	config := g.config.Hedger.withDefaults()
	return explain.Facts{Kind: explain.Hedge, Name: config.Name, Hedges: config.Hedges, Delay: config.Delay, PerKey: true}
}
