package stackfile

import (
	"context"
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.yaml.in/yaml/v3"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A block is a layer as a file describes it.
type block interface {
	// build makes the layer, out of what m holds already as far as that
	// fits.
	build(m *memory, o Options) redoubt.Layer
}

// A reader reads the block of a layer.
type reader func(p *parser, n *yaml.Node, where string) block

// blocks are the layers by their names in files.
var blocks = []struct {
	name string
	read reader
}{
	{"timeout", readTimeout},
	{"retry", readRetry},
	{"breaker", readBreaker},
	{"limit", readLimit},
}

func readerOf(name string) reader {
	for _, b := range blocks {
		if b.name == name {
			return b.read
		}
	}
	return nil
}

func blockNames() []string {
	var names []string
	for _, b := range blocks {
		names = append(names, b.name)
	}
	return names
}

type timeoutBlock time.Duration

func readTimeout(p *parser, n *yaml.Node, where string) block {
	d, ok := decodeDuration(n)
	if !ok {
		p.bad(n, where, shape(n), aDuration)
	}
	return timeoutBlock(d)
}

func (b timeoutBlock) build(*memory, Options) redoubt.Layer { return timeout.Limit(b) }

// A retryBlock describes a retry.Policy.
type retryBlock struct {
	policy  retry.Policy // without Backoff and budgets
	backoff *backoffBlock
	budget  *budgetBlock
}

const maxAttempts = 1000

func readRetry(p *parser, n *yaml.Node, where string) block {
	t := p.table(n, where)
	defer t.end()
	var b retryBlock
	integer(t, "max_attempts", &b.policy.MaxAttempts, 1, maxAttempts)
	if n := t.get("backoff"); n != nil {
		b.backoff = readBackoff(p, n, t.path("backoff"))
	}
	if n := t.get("budget"); n != nil {
		b.budget = readBudget(p, n, t.path("budget"))
	}
	t.duration("max_retry_after", &b.policy.MaxRetryAfter)
	t.duration("restart_wait", &b.policy.RestartWait)
	t.flag("await_refusals", &b.policy.AwaitRefusals)
	t.flag("nested", &b.policy.Nested)
	return b
}

func (b retryBlock) build(m *memory, o Options) redoubt.Layer {
	policy := b.policy
	if b.backoff != nil {
		policy.Backoff = b.backoff.maker()
	}
	if b.budget != nil {
		b.budget.attach(&policy, m)
	}
	if o.Retry != nil {
		o.Retry(&policy)
	}
	return policy
}

// A backoffBlock describes a sequence of waits.
type backoffBlock struct {
	kind       string
	base, most time.Duration
	wait       time.Duration // if it is constant
}

// backoffs are the sequences by their names in files, but for the constant one.
var backoffs = []struct {
	name string
	make func(base, limit time.Duration) func() backoff.BackOff
}{
	{"full_jitter", retry.FullJitter},
	{"equal_jitter", retry.EqualJitter},
	{"decorrelated", retry.Decorrelated},
	{"exponential", retry.Exponential},
}

const constant = "constant"

func readBackoff(p *parser, n *yaml.Node, where string) *backoffBlock {
	t := p.table(n, where)
	defer t.end()
	b := &backoffBlock{kind: backoffs[0].name}
	var kinds []string
	for _, b := range backoffs {
		kinds = append(kinds, b.name)
	}
	t.choice("kind", &b.kind, append(kinds, constant)...)
	if b.kind == constant {
		if !t.has("wait") {
			p.bad(n, t.path("wait"), "missing", "given for a constant backoff")
		}
		t.duration("wait", &b.wait)
		return b
	}
	t.duration("base", &b.base)
	t.duration("cap", &b.most)
	base := b.base
	if base == 0 {
		base = retry.DefaultBase
	}
	if b.most > 0 && b.most < base {
		p.bad(n, t.path("cap"), b.most.String(), "at least base, "+base.String())
	}
	return b
}

func (b *backoffBlock) maker() func() backoff.BackOff {
	for _, known := range backoffs {
		if known.name == b.kind {
			return known.make(b.base, b.most)
		}
	}
	return retry.Constant(b.wait)
}

// A budgetBlock describes a budget, or one for each key.
type budgetBlock struct {
	config retry.BudgetConfig
	per    string
}

func readBudget(p *parser, n *yaml.Node, where string) *budgetBlock {
	t := p.table(n, where)
	defer t.end()
	var b budgetBlock
	t.text("name", &b.config.Name)
	t.ratio("ratio", &b.config.Ratio)
	t.number("burst", &b.config.Burst, 1, 1e9)
	t.numberOrNone("min_per_second", &b.config.MinPerSecond, 1e-6, 1e6, retry.NoFloor)
	t.per(&b.per)
	return &b
}

// The keys by which there may be one for each, and the word for none of them.
const (
	perHost          = "host"
	perHostAndMethod = "host_and_method"
	perEndpoint      = "endpoint"
	perNone          = "none"
)

// per reads for what there is one each; "" is one for all. What guards endpoints
// is one for each of them.
func (t *table) per(into *string) {
	if t.p.guard {
		*into = perEndpoint
		t.choice("per", into, perEndpoint)
		return
	}
	t.choice("per", into, perHost, perHostAndMethod, perNone)
	if *into == perNone {
		*into = ""
	}
}

// keyOf returns the key of a call.
func keyOf(per string) func(context.Context) string {
	switch per {
	case perEndpoint:
		return failover.Endpoint
	case perHostAndMethod:
		return redoubt.HostAndMethod
	default:
		return redoubt.Host
	}
}

func (b *budgetBlock) attach(policy *retry.Policy, m *memory) {
	if b.per != "" {
		policy.Budgets = remember(m, part{"budget", b.config.Name}, *b, func() *retry.BudgetGroup {
			return retry.NewBudgetGroup(retry.BudgetGroupConfig{Budget: b.config, Key: keyOf(b.per)})
		})
		return
	}
	policy.Budget = remember(m, part{"budget", b.config.Name}, *b, func() *retry.Budget {
		return retry.NewBudget(b.config)
	})
}

// A breakerBlock describes a breaker, or one for each key.
type breakerBlock struct {
	config breaker.Config
	per    string
}

const maxCalls = 1 << 30

func readBreaker(p *parser, n *yaml.Node, where string) block {
	t := p.table(n, where)
	defer t.end()
	var b breakerBlock
	c := &b.config
	t.text("name", &c.Name)
	t.per(&b.per)
	t.duration("window", &c.Window)
	integer(t, "buckets", &c.Buckets, 1, 60)
	integer(t, "min_calls", &c.MinCalls, 1, maxCalls)
	t.ratio("failure_ratio", &c.FailureRatio)
	t.duration("slow_call", &c.SlowCall)
	t.ratio("slow_ratio", &c.SlowRatio)
	integer(t, "consecutive", &c.Consecutive, 1, maxCalls)
	t.duration("caller_deadline", &c.CallerDeadline)
	t.duration("cooldown", &c.Cooldown)
	t.duration("max_cooldown", &c.MaxCooldown)
	read(t, "jitter", &c.Jitter, "a number above 0 and at most 1, or none", orNone(func(n *yaml.Node) (float64, bool) {
		v, ok := decodeNumber(0, 1)(n)
		return v, ok && v > 0
	}, breaker.NoJitter))
	integer(t, "probes", &c.Probes, 1, maxCalls)
	t.duration("probe_timeout", &c.ProbeTimeout)
	t.flag("honor_retry_after", &c.HonorRetryAfter)
	t.flag("shadow", &c.Shadow)
	return b
}

func (b breakerBlock) build(m *memory, o Options) redoubt.Layer {
	config := b.config
	if o.Breaker != nil {
		o.Breaker(&config)
	}
	at := part{"breaker", b.config.Name}
	if b.per != "" {
		return remember(m, at, b, func() *breaker.Group {
			return breaker.NewGroup(breaker.GroupConfig{Breaker: config, Key: keyOf(b.per)})
		})
	}
	return remember(m, at, b, func() *breaker.Breaker { return breaker.New(config) })
}

// A limitBlock describes a limit on concurrent calls, or one for each key.
type limitBlock struct {
	config limit.Config
	per    string
}

func readLimit(p *parser, n *yaml.Node, where string) block {
	t := p.table(n, where)
	defer t.end()
	var b limitBlock
	c := &b.config
	t.text("name", &c.Name)
	t.per(&b.per)
	integer(t, "fixed", &c.Fixed, 1, maxCalls)
	algorithms := []limit.Algorithm{limit.AIMD, limit.Gradient2}
	read(t, "algorithm", &c.Algorithm, "aimd or gradient2", func(n *yaml.Node) (limit.Algorithm, bool) {
		at := slices.IndexFunc(algorithms, func(a limit.Algorithm) bool { return a.String() == n.Value })
		return algorithms[max(at, 0)], at >= 0
	})
	integer(t, "initial", &c.Initial, 1, maxCalls)
	integer(t, "min", &c.Min, 1, maxCalls)
	integer(t, "max", &c.Max, 1, maxCalls)
	t.number("backoff", &c.Backoff, 0.5, 1)
	t.duration("slow_call", &c.SlowCall)
	t.duration("caller_deadline", &c.CallerDeadline)
	t.number("tolerance", &c.Tolerance, 1, 1000)
	t.duration("max_wait", &c.MaxWait)
	integer(t, "max_queue", &c.MaxQueue, 1, maxCalls)
	t.number("reserved", &c.Reserved, 0, 0.9)
	return b
}

func (b limitBlock) build(m *memory, o Options) redoubt.Layer {
	config := b.config
	if o.Limit != nil {
		o.Limit(&config)
	}
	at := part{"limit", b.config.Name}
	if b.per != "" {
		return remember(m, at, b, func() *limit.Group {
			return limit.NewGroup(limit.GroupConfig{Limiter: config, Key: keyOf(b.per)})
		})
	}
	return remember(m, at, b, func() *limit.Limiter { return limit.New(config) })
}
