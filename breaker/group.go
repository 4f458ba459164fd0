package breaker

import (
	"cmp"
	"context"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/keyed"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// DefaultMaxBreakers stands for a zero GroupConfig.Max.
const DefaultMaxBreakers = 1024

// A GroupConfig says how a [Group] makes and keeps its breakers.
type GroupConfig struct {
	// Breaker is the configuration of each breaker. They all have its Name.
	Breaker Config

	// Key returns the key of the call that ctx belongs to, such as
	// redoubt.Host. It must not be nil. The empty string is a key like any
	// other.
	Key func(ctx context.Context) string

	// Max is the most breakers kept. Beyond it the breaker that was unused
	// for longest is forgotten, but never one that is in its cooldown, has a
	// probe under way or is forced; if only such are found, the newcomer's
	// breaker lasts for one call. One whose cooldown is over and that nobody
	// calls is forgotten like a closed one: were it kept, hosts that are gone
	// for good would in time displace those that are in use. A closed one is
	// forgotten even with calls under way, whose outcomes then count as
	// nothing. Zero means DefaultMaxBreakers.
	Max int
}

// A Group is a layer that has a [Breaker] for each key, such as a host, so that
// the failures of one do not refuse calls to another. It is safe for concurrent
// use. Make one with [NewGroup].
type Group struct {
	config   GroupConfig
	breakers *keyed.Cache[*Breaker]
	err      error
}

// NewGroup returns an empty group. If config makes no sense, the group's Check
// says why, and Do returns that error instead of running a call.
func NewGroup(config GroupConfig) *Group {
	g := &Group{config: config}
	g.config.Breaker = config.Breaker.withDefaults()
	switch err := g.config.Breaker.check(); {
	case err != nil:
		g.err = err
	case config.Key == nil:
		g.err = law.Misuse("breaker: group %s: Key is nil, must be a function", config.Breaker.Name)
	case config.Max < 0:
		g.err = law.Misuse("breaker: group %s: Max is %d, must not be negative", config.Breaker.Name, config.Max)
	}
	g.breakers = keyed.New(cmp.Or(config.Max, DefaultMaxBreakers),
		func(key string) *Breaker { return newBreaker(config.Breaker, key) },
		(*Breaker).needed)
	telemetry.ObserveBreaker(g, (*Group).report)
	return g
}

// needed reports whether a group must not forget b. Somebody holds the group's
// lock, so it takes none.
func (b *Breaker) needed() bool {
	p := b.phase.Load()
	return p.forced || p.state == Open && !p.over() || p.state == HalfOpen && b.probing.Load() > 0
}

// Do runs call under the breaker of its key, see [Breaker.Do].
func (g *Group) Do(ctx context.Context, call func(context.Context) error) error {
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	return g.For(ctx).Do(ctx, call)
}

// For returns the breaker for the call that ctx belongs to, a new one if its key
// has none. If g makes no sense, that breaker's Check says why.
func (g *Group) For(ctx context.Context) *Breaker {
	if err := g.Check(); err != nil {
		return invalid(err)
	}
	return g.breakers.Get(g.config.Key(ctx))
}

// Closed reports whether the circuit for the call that ctx belongs to is closed.
func (g *Group) Closed(ctx context.Context) bool { return g.For(ctx).Closed(ctx) }

// Breakers returns the breakers that the group has now, by key.
func (g *Group) Breakers() map[string]*Breaker {
	if g.Check() != nil {
		return map[string]*Breaker{}
	}
	return g.breakers.Map()
}

// Config returns the configuration, with the values that stand for zero fields
// of that of its breakers.
func (g *Group) Config() GroupConfig {
	if g == nil {
		return GroupConfig{}
	}
	return g.config
}

// Name returns the name that all breakers of the group have.
func (g *Group) Name() string {
	if g == nil {
		return ""
	}
	return g.config.Breaker.Name
}

// Check reports what makes no sense in the configuration, or that g was not
// made with [NewGroup].
func (g *Group) Check() error {
	if g == nil || g.breakers == nil {
		return errZeroGroup
	}
	return g.err
}

// Explain returns the redoubt.Facts of the breakers of g, for redoubt.Explain and
// redoubt.Check.
func (g *Group) Explain() explain.Facts {
	if g == nil {
		return Config{}.explain()
	}
	facts := g.config.Breaker.explain()
	facts.PerKey = g.breakers != nil
	return facts
}

func (g *Group) report() telemetry.BreakerReport {
	return sumUp(g.config.Breaker.Name, g.breakers.All())
}

func sumUp(name string, breakers []*Breaker) telemetry.BreakerReport {
	r := telemetry.BreakerReport{Name: name}
	for _, b := range breakers {
		if b.err != nil {
			continue
		}
		state, counts := b.peek()
		switch state {
		case Closed:
			r.Closed++
		case Open:
			r.Open++
		case HalfOpen:
			r.HalfOpen++
		}
		r.FailureRatio = max(r.FailureRatio, counts.FailureRatio())
	}
	return r
}
