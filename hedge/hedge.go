package hedge

import (
	"cmp"
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// The values that stand for the zero fields of a [Config].
const (
	DefaultPercentile = 0.96
	DefaultMinSamples = 25
	DefaultHedges     = 1
	DefaultMaxExtra   = 0.05
	DefaultBurst      = 10
)

// MinDelay is the shortest measured delay: what answers sooner gains nothing.
const MinDelay = time.Millisecond

// refresh is how long a measured delay holds.
const refresh = 3 * time.Second

// Bounds on how long nothing is hedged after the dependency asked for less.
const (
	minCalm = 10 * time.Second
	maxCalm = time.Minute
)

// maxHedges keeps a slip of the pen from flooding the dependency.
const maxHedges = 10

// A Budget says whether one more repetition of a call can be afforded, and
// charges it. A retry.Budget is one.
type Budget interface{ Withdraw() bool }

// A Breaker reports whether the circuit for the call that ctx belongs to is
// closed. A breaker.Breaker and a breaker.Group are such.
type Breaker interface {
	Closed(ctx context.Context) bool
}

// Config says when a [Hedger] sends hedges. The zero value is useful: one hedge,
// once a call takes longer than 96 % of the recent ones do, for at most 5 % of
// all calls.
type Config struct {
	// Name names the hedger in telemetry. It may be empty.
	Name string

	// Delay is how long the first attempt may take before a hedge is sent,
	// and that hedge before the next. Zero means that it is measured, see
	// Percentile.
	Delay time.Duration

	// Percentile, from 0.5 to 0.999, is the share of calls that are to get
	// their result before a hedge is sent: the delay is that percentile of
	// the first attempts' latencies over the last 20 to 30 s, at most 3.2 %
	// more, and never less than MinDelay. Zero means DefaultPercentile, whose
	// hedges stay below the default MaxExtra: where both are one, a hedge
	// that is needed finds the share used up now and then. It must be zero if
	// Delay is given.
	Percentile float64

	// MinSamples is how many latencies there must be before Percentile means
	// anything; until then nothing is hedged. It must be at least
	// 1/(1-Percentile), since with fewer the percentile would be the slowest
	// call of all. Zero means that number, or DefaultMinSamples if that is more. It
	// must be zero if Delay is given.
	MinSamples int

	// Hedges is the most attempts that one call makes besides the first, up
	// to 10. Zero means DefaultHedges.
	Hedges int

	// MaxExtra is the share of calls for which a hedge may be sent, in
	// (0, 1]: 0.05 allows one hedge for twenty calls. Only calls that may be
	// hedged count. Zero means DefaultMaxExtra.
	MaxExtra float64

	// Burst is the most hedges that MaxExtra lets be saved up for a moment
	// when all calls are slow, from 1 to 1e6. Zero means DefaultBurst.
	Burst float64

	// Budget is asked besides MaxExtra: the retry budget of the dependency,
	// so that hedges and retries together stay within it. Nil means none.
	Budget Budget

	// Budgets returns the budget for the call that ctx belongs to, in place
	// of Budget, such as that of its host. It may return nil.
	Budgets func(ctx context.Context) Budget

	// Breaker is the circuit breaker around the hedged call. Nothing is
	// hedged while it is not closed. Nil means none.
	Breaker Breaker

	// Withhold, if not nil, reports whether the call that ctx belongs to
	// must not be hedged now, for a reason of the program's own, such as a
	// concurrency limit that is nearly reached. It is called only when a
	// hedge is due.
	Withhold func(ctx context.Context) bool
}

// A Hedger sends a call a second time when the first attempt is slow, and takes
// what succeeds first. It remembers latencies and what it spent, so one Hedger
// serves all calls of a kind to one dependency; a [Group] has one for each. Use it
// through [Func] or [Transport]. It is safe for concurrent use. Make one with [New].
type Hedger struct {
	config Config
	err    error
	epoch  time.Time

	share     share
	latencies histogram

	delay     atomic.Int64 // measured, in nanoseconds; 0 is not known
	refreshed atomic.Int64 // when, in nanoseconds since epoch
	calm      atomic.Int64 // until when nothing is hedged, likewise
}

// New returns a Hedger. If config makes no sense, the Hedger's Check says why,
// and so does each call.
func New(config Config) *Hedger {
	h := &Hedger{config: config.withDefaults(), err: config.check(), epoch: time.Now()}
	h.share.set(h.config.MaxExtra, h.config.Burst)
	return h
}

func (c Config) withDefaults() Config {
	c.Percentile = cmp.Or(c.Percentile, DefaultPercentile)
	c.MinSamples = cmp.Or(c.MinSamples, max(DefaultMinSamples, c.leastSamples()))
	c.Hedges = cmp.Or(c.Hedges, DefaultHedges)
	c.MaxExtra = cmp.Or(c.MaxExtra, DefaultMaxExtra)
	c.Burst = cmp.Or(c.Burst, DefaultBurst)
	return c
}

// leastSamples is how many latencies it takes for one to exceed the percentile.
func (c Config) leastSamples() int {
	return int(math.Ceil(1/(1-c.Percentile) - 1e-9)) // 1-0.95 is a little more than 0.05
}

func (c Config) check() error {
	full := c.withDefaults()
	switch {
	case c.Delay < 0:
		return c.bad("Delay", c.Delay, "not be negative")
	case c.Delay > 0 && c.Percentile != 0:
		return c.bad("Percentile", c.Percentile, "be zero if Delay is given")
	case c.Delay > 0 && c.MinSamples != 0:
		return c.bad("MinSamples", c.MinSamples, "be zero if Delay is given")
	case !(full.Percentile >= 0.5 && full.Percentile <= 0.999):
		return c.bad("Percentile", c.Percentile, "be from 0.5 to 0.999")
	case full.MinSamples < full.leastSamples():
		return law.Misuse("hedge: %q: MinSamples is %d, must be at least %d for Percentile %v",
			c.Name, c.MinSamples, full.leastSamples(), full.Percentile)
	case full.Hedges < 1 || full.Hedges > maxHedges:
		return c.bad("Hedges", c.Hedges, "be from 1 to 10")
	case !(full.MaxExtra > 0 && full.MaxExtra <= 1):
		return c.bad("MaxExtra", c.MaxExtra, "be above 0 and at most 1")
	case !(full.Burst >= 1 && full.Burst <= 1e6):
		return c.bad("Burst", c.Burst, "be from 1 to 1e6")
	case c.Budget != nil && c.Budgets != nil:
		return law.Misuse("hedge: %q: Budget and Budgets are both given, must be one of them", c.Name)
	}
	return nil
}

func (c Config) bad(field string, value any, rule string) error {
	return law.Misuse("hedge: %q: %s is %v, must %s", c.Name, field, value, rule)
}

// Name returns the name of the configuration.
func (h *Hedger) Name() string { return h.Explain().Name }

// Check reports what makes no sense in the configuration, and a Hedger that was
// not made with [New].
func (h *Hedger) Check() error {
	if h == nil || h.err == nil && h.epoch.IsZero() {
		return errZeroHedger
	}
	return h.err
}

// Explain returns the redoubt.Facts of h, for redoubt.Explain and redoubt.Check.
func (h *Hedger) Explain() explain.Facts {
	if h == nil {
		return explain.Facts{Kind: explain.Hedge}
	}
	return explain.Facts{Kind: explain.Hedge, Name: h.config.Name, Hedges: h.config.Hedges, Delay: h.config.Delay}
}

// Delay returns how long an attempt may take now before a hedge is sent, and
// whether one is sent at all: not while a measured delay is not known yet.
func (h *Hedger) Delay() (time.Duration, bool) {
	if h.Check() != nil {
		return 0, false
	}
	if h.config.Delay > 0 {
		return h.config.Delay, true
	}
	now := h.now()
	delay, age := h.delay.Load(), now-time.Duration(h.refreshed.Load())
	if delay == 0 && h.latencies.samples(now) >= int64(h.config.MinSamples) || delay != 0 && age >= refresh {
		delay = h.measure(now)
	}
	return time.Duration(delay), delay > 0
}

func (h *Hedger) measure(now time.Duration) int64 {
	h.refreshed.Store(int64(now)) // first, so that not everybody measures
	delay := h.latencies.percentile(now, h.config.Percentile, int64(h.config.MinSamples))
	switch {
	case delay >= longest:
		delay = 0
	case delay > 0:
		delay = max(delay, MinDelay)
	}
	h.delay.Store(int64(delay))
	return int64(delay)
}

func (h *Hedger) now() time.Duration { return time.Since(h.epoch) }

// calmDown has nothing hedged for as long as the dependency wishes, within
// bounds.
func (h *Hedger) calmDown(wish time.Duration) {
	until := int64(h.now() + min(max(wish, minCalm), maxCalm))
	for {
		old := h.calm.Load()
		if old >= until || h.calm.CompareAndSwap(old, until) {
			return
		}
	}
}

// facts returns what speaks against a hedge of a call on ctx.
func (h *Hedger) facts(ctx context.Context, failed bool) facts {
	f := facts{
		cancelled: ctx.Err() != nil,
		failed:    failed,
		throttled: int64(h.now()) < h.calm.Load(),
	}
	if b := h.config.Breaker; b != nil {
		f.open = !b.Closed(ctx)
	}
	if rule := h.config.Withhold; rule != nil {
		f.withheld = rule(ctx)
	}
	return f
}

// afford has both budgets pay for a hedge, or neither of them. It returns why
// it could not, or "".
func (h *Hedger) afford(ctx context.Context) string {
	if !h.share.withdraw() {
		return reasonShare
	}
	budget := h.config.Budget
	if h.config.Budgets != nil {
		budget = h.config.Budgets(ctx)
	}
	if budget != nil && !budget.Withdraw() {
		h.share.pay(price)
		return reasonRetryBudget
	}
	return ""
}

// tell records what became of a hedge.
func (h *Hedger) tell(ctx context.Context, e telemetry.HedgeEvent) {
	e.Name = h.config.Name
	telemetry.Hedged(ctx, e)
}

// wishOf returns how long the dependency wants to be left alone, and whether err
// says so.
func wishOf(err error) (time.Duration, bool) {
	if !says.Throttled(err) {
		return 0, false
	}
	wish, _ := says.RetryAfter(err)
	return wish, true
}

// timedOut reports whether an attempt on ctx that ended with err ran out of
// time, which tells as much about the dependency's latency as a success does.
func timedOut(ctx context.Context, err error) bool {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return says.TimedOut(err)
}
