package limit

import (
	"cmp"
	"context"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/keyed"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// DefaultMaxLimiters stands for a zero GroupConfig.Max.
const DefaultMaxLimiters = 1024

// GroupConfig says how a [Group] makes and keeps its limiters.
type GroupConfig struct {
	// Limiter is the configuration of each limiter. They all have its Name.
	Limiter Config

	// Key returns the key of the call that ctx belongs to, such as
	// redoubt.Host. It must not be nil.
	Key func(ctx context.Context) string

	// Max is the most limiters kept. Beyond it the least recently used one
	// is forgotten, but never one with calls under way; if only such are found,
	// the newcomer's limiter lasts for one call. Zero means DefaultMaxLimiters.
	Max int
}

// A Group is a layer that has a [Limiter] for each key, such as a host, so that
// calls to one that is slow do not keep others from running. It is safe for
// concurrent use. Make one with [NewGroup].
type Group struct {
	config   GroupConfig
	limiters *keyed.Cache[*Limiter]
	err      error
}

// NewGroup returns an empty group. If config makes no sense, the group's Check
// says why, and Do returns that error instead of running a call.
func NewGroup(config GroupConfig) *Group {
	g := &Group{config: config}
	g.config.Limiter = config.Limiter.withDefaults()
	switch err := config.Limiter.check(); {
	case err != nil:
		g.err = err
	case config.Key == nil:
		g.err = law.Misuse("%s: group: Key is nil, must be a function", prefix(config.Limiter.Name, ""))
	case config.Max < 0:
		g.err = law.Misuse("%s: group: Max is %d, must not be negative", prefix(config.Limiter.Name, ""), config.Max)
	}
	g.limiters = keyed.New(cmp.Or(config.Max, DefaultMaxLimiters),
		func(key string) *Limiter { return newLimiter(config.Limiter, key) },
		func(l *Limiter) bool { return l.counts.Load() > 0 })
	telemetry.ObserveLimit(g, (*Group).report)
	return g
}

// Do runs call under the limiter of its key, see [Limiter.Do].
func (g *Group) Do(ctx context.Context, call func(context.Context) error) error {
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	if err := g.Check(); err != nil {
		return err
	}
	return g.For(ctx).Do(ctx, call)
}

// For returns the limiter for the call that ctx belongs to, a new one if its key
// has none. If g makes no sense, that limiter's Check says why.
func (g *Group) For(ctx context.Context) *Limiter {
	if err := g.Check(); err != nil {
		return &Limiter{err: err}
	}
	return g.limiters.Get(g.config.Key(ctx))
}

// Limiters returns the limiters that the group has now, by key.
func (g *Group) Limiters() map[string]*Limiter {
	if g.Check() != nil {
		return map[string]*Limiter{}
	}
	return g.limiters.Map()
}

// Check reports what makes no sense in the configuration, or that g was not
// made with [NewGroup].
func (g *Group) Check() error {
	if g == nil || g.limiters == nil {
		return errZeroGroup
	}
	return g.err
}

// Explain returns the redoubt.Facts of the limiters of g, for redoubt.Explain and
// redoubt.Check.
func (g *Group) Explain() explain.Facts {
	if g == nil {
		return Config{}.explain()
	}
	facts := g.config.Limiter.explain()
	facts.PerKey = g.limiters != nil
	return facts
}

// Name returns the name that all limiters of the group have.
func (g *Group) Name() string {
	if g == nil {
		return ""
	}
	return g.config.Limiter.Name
}

func (g *Group) report() telemetry.LimitReport {
	return sumUp(g.config.Limiter, g.limiters.All())
}

// sumUp tells of limiters that share a configuration. Without any, the limit is
// that of a new one.
func sumUp(config Config, limiters []*Limiter) telemetry.LimitReport {
	r := telemetry.LimitReport{Name: config.Name, Limit: int64(cmp.Or(config.Fixed, config.Initial))}
	for i, l := range limiters {
		if i == 0 {
			r.Limit = int64(l.Limit())
		}
		r.Limit = min(r.Limit, int64(l.Limit()))
		r.InFlight += int64(l.InFlight())
		r.Waiting += int64(l.Waiting())
	}
	return r
}
