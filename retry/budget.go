package retry

import (
	"cmp"
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt/internal/keyed"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// The values that stand for the zero fields of a [BudgetConfig].
const (
	DefaultRatio        = 0.2
	DefaultBurst        = 10
	DefaultMinPerSecond = 1
)

// NoFloor, as BudgetConfig.MinPerSecond, means that an empty budget grants
// nothing.
const NoFloor = -1

// price is what a retry costs. The balance is counted in millionths of a retry,
// so that small ratios are paid as they are written.
const price = 1e6

// Bounds that keep the arithmetic far from overflow.
const (
	maxBurst = 1e9
	minRate  = 1e-6 // a second
	maxRate  = 1e6
)

// BudgetConfig says how much a [Budget] grants.
type BudgetConfig struct {
	// Name tells budgets apart in metrics. It may be empty.
	Name string

	// Ratio is what each success pays in, in retries: 0.2 allows one retry
	// for five successes. It is in (0, 1]; zero means DefaultRatio.
	Ratio float64

	// Burst is the most that the budget holds, in retries, and what it
	// begins with. It is from 1 to 1e9; zero means DefaultBurst.
	Burst float64

	// MinPerSecond is how many retries a second even an empty budget
	// grants, so that a caller with little traffic is not left without any.
	// It is owed for each process, so keep it small. It is from 1e-6 to 1e6;
	// zero means DefaultMinPerSecond, NoFloor means none.
	MinPerSecond float64
}

// A Budget grants retries out of what successes have paid in. While a
// dependency works, nearly every failure can be retried; when it fails for
// everybody, nothing is paid in and retries cease, so that they do not keep the
// outage alive. Being paid by successes rather than by traffic is what makes
// that so: an outage has traffic.
//
// One budget may be shared by everything that repeats calls to one dependency. A
// success pays in once for each policy that it passes through: inside an attempt,
// nobody knows whether it is all that the policy around it will call a success. So
// where one policy is inside of another, the two should not have the same budget;
// one that makes a single attempt there needs none. If both are to repeat, by
// Policy.Nested, and to share what they may, halve Ratio. A failover leaves paying
// to the policies by its PaidElsewhere, and hedging never pays.
//
// A Budget is safe for concurrent use. A nil *Budget grants everything. Make one with
// [NewBudget].
//
// Source: gRFC A6, "gRPC Retry Design", "Throttling Retry Attempts and Hedged
// RPCs"; the floor is that of Finagle's RetryBudget.
type Budget struct {
	config *BudgetConfig // as it was given; one for all budgets of a group
	rules  budgetRules
	err    error

	balance atomic.Int64 // millionths of a retry
	floor   atomic.Int64 // when the floor last granted, in nanoseconds since epoch
	epoch   time.Time
}

// budgetRules are a BudgetConfig in the units of the balance.
type budgetRules struct {
	deposit int64         // millionths of a retry
	burst   int64         // millionths of a retry
	every   time.Duration // between two grants of the floor; 0 is never
}

// NewBudget returns a full budget. If config makes no sense, the budget's Check
// says why and it grants nothing.
func NewBudget(config BudgetConfig) *Budget {
	b := newBudget(&config)
	telemetry.ObserveBudget(b, config.Name, (*Budget).Balance)
	return b
}

func newBudget(config *BudgetConfig) *Budget {
	b := &Budget{config: config, epoch: time.Now()}
	b.rules, b.err = config.rules()
	b.balance.Store(b.rules.burst)
	b.floor.Store(-int64(b.rules.every))
	return b
}

// withDefaults fills in what zero fields stand for.
func (c BudgetConfig) withDefaults() BudgetConfig {
	c.Ratio = cmp.Or(c.Ratio, DefaultRatio)
	c.Burst = cmp.Or(c.Burst, DefaultBurst)
	c.MinPerSecond = cmp.Or(c.MinPerSecond, DefaultMinPerSecond)
	return c
}

func (c BudgetConfig) rules() (budgetRules, error) {
	c = c.withDefaults()
	switch {
	case !(c.Ratio > 0 && c.Ratio <= 1):
		return budgetRules{}, law.Misuse("retry: budget %q: Ratio is %v, must be above 0 and at most 1", c.Name, c.Ratio)
	case !(c.Burst >= 1 && c.Burst <= maxBurst):
		return budgetRules{}, law.Misuse("retry: budget %q: Burst is %v, must be from 1 to %v", c.Name, c.Burst, float64(maxBurst))
	case c.MinPerSecond != NoFloor && !(c.MinPerSecond >= minRate && c.MinPerSecond <= maxRate):
		return budgetRules{}, law.Misuse("retry: budget %q: MinPerSecond is %v, must be NoFloor or from %v to %v", c.Name, c.MinPerSecond, minRate, maxRate)
	}
	rules := budgetRules{
		deposit: max(1, int64(math.Round(c.Ratio*price))),
		burst:   int64(math.Round(c.Burst * price)),
	}
	if c.MinPerSecond != NoFloor {
		rules.every = time.Duration(float64(time.Second) / c.MinPerSecond)
	}
	return rules, nil
}

// afterPayment is the balance after amount was paid in.
func (r budgetRules) afterPayment(balance, amount int64) int64 {
	return min(balance+amount, r.burst)
}

// afterWithdrawal is the balance after a retry, if the balance can pay it.
func (r budgetRules) afterWithdrawal(balance int64) (int64, bool) {
	if balance < price {
		return balance, false
	}
	return balance - price, true
}

// floorGrants says whether an empty budget grants a retry this long after the
// last that it granted so.
func (r budgetRules) floorGrants(since time.Duration) bool {
	return r.every > 0 && since >= r.every
}

// Deposit pays in for one success.
func (b *Budget) Deposit() {
	if b != nil {
		b.pay(b.rules.deposit)
	}
}

func (b *Budget) pay(amount int64) {
	for {
		balance := b.balance.Load()
		after := b.rules.afterPayment(balance, amount)
		if after == balance || b.balance.CompareAndSwap(balance, after) {
			return
		}
	}
}

// Withdraw reports whether the budget grants a retry, and charges it. It never
// blocks.
func (b *Budget) Withdraw() bool {
	_, granted := b.withdraw()
	return granted
}

// A grant is what a retry was charged to.
type grant struct {
	charged    bool  // to the balance rather than to the floor
	before, at int64 // of the floor: what it was, and what it is now
}

// withdraw charges a retry and reports whether it is granted.
func (b *Budget) withdraw() (g grant, granted bool) {
	if b == nil {
		return grant{}, true
	}
	for {
		balance := b.balance.Load()
		after, ok := b.rules.afterWithdrawal(balance)
		if !ok {
			return b.withdrawFloor()
		}
		if b.balance.CompareAndSwap(balance, after) {
			return grant{charged: true}, true
		}
	}
}

func (b *Budget) withdrawFloor() (g grant, granted bool) {
	g = grant{before: b.floor.Load(), at: int64(time.Since(b.epoch))}
	return g, b.rules.floorGrants(time.Duration(g.at-g.before)) && b.floor.CompareAndSwap(g.before, g.at)
}

// refund gives back a retry that was granted and not made. If the floor has
// granted another since, there is nothing to give back: it owes one for each
// while, and that was it.
func (b *Budget) refund(g grant) {
	switch {
	case b == nil:
	case g.charged:
		b.pay(price)
	default:
		b.floor.CompareAndSwap(g.at, g.before)
	}
}

// Balance returns how many retries the budget would grant at once, its floor
// not counted. That of a nil Budget is infinite.
func (b *Budget) Balance() float64 {
	if b == nil {
		return math.Inf(1)
	}
	return float64(b.balance.Load()) / price
}

// Config returns the configuration, with the values that stand for zero fields.
// That of a nil Budget is zero.
func (b *Budget) Config() BudgetConfig {
	if b == nil || b.config == nil {
		return BudgetConfig{}
	}
	return b.config.withDefaults()
}

// Check reports what made no sense in the budget's configuration, and a budget
// that was not made with [NewBudget].
func (b *Budget) Check() error {
	if b == nil {
		return nil
	}
	if b.err == nil && b.rules == (budgetRules{}) {
		return errZeroBudget
	}
	return b.err
}

// BudgetGroupConfig says how a [BudgetGroup] makes and keeps its budgets.
type BudgetGroupConfig struct {
	// Budget is the configuration of each budget.
	Budget BudgetConfig

	// Key returns the key of the call that ctx belongs to, such as
	// redoubt.Host. It must not be nil.
	Key func(ctx context.Context) string

	// Max is the most budgets kept. Beyond it the least recently used one is
	// forgotten; should its key come back, that begins with a full one. Zero
	// means DefaultMaxBudgets.
	Max int
}

// DefaultMaxBudgets stands for a zero BudgetGroupConfig.Max.
const DefaultMaxBudgets = 1024

// A BudgetGroup has a [Budget] for each key, such as a host. It is safe for
// concurrent use. A nil *BudgetGroup grants everything. Make one with
// [NewBudgetGroup].
type BudgetGroup struct {
	key     func(context.Context) string
	budgets *keyed.Cache[*Budget]
	burst   float64
	err     error
}

// NewBudgetGroup returns an empty group. If config makes no sense, the group's
// Check says why and it grants nothing.
func NewBudgetGroup(config BudgetGroupConfig) *BudgetGroup {
	rules, err := config.Budget.rules()
	g := &BudgetGroup{key: config.Key, burst: float64(rules.burst) / price}
	switch {
	case err != nil:
		g.err = err
	case config.Key == nil:
		g.err = law.Misuse("retry: budget group: Key is nil, must be a function")
	case config.Max < 0:
		g.err = law.Misuse("retry: budget group: Max is %d, must not be negative", config.Max)
	}
	g.budgets = keyed.New(cmp.Or(config.Max, DefaultMaxBudgets),
		func(string) *Budget { return newBudget(&config.Budget) },
		func(*Budget) bool { return false })
	telemetry.ObserveBudget(g, config.Budget.Name, (*BudgetGroup).lowest)
	return g
}

// For returns the budget for the call that ctx belongs to, a new one if its key
// has none, and nil if g is nil. If g makes no sense, that budget's Check says why
// and it grants nothing.
func (g *BudgetGroup) For(ctx context.Context) *Budget {
	if g == nil {
		return nil
	}
	if err := g.Check(); err != nil {
		return &Budget{err: err}
	}
	return g.budgets.Get(g.key(ctx))
}

// Budgets returns the budgets that the group has now, by key.
func (g *BudgetGroup) Budgets() map[string]*Budget {
	if g == nil || g.budgets == nil {
		return map[string]*Budget{}
	}
	return g.budgets.Map()
}

// lowest returns the smallest balance, or that of a new budget if there is
// none: the one number that tells an operator whether some host is in trouble.
func (g *BudgetGroup) lowest() float64 {
	lowest := g.burst
	for _, b := range g.budgets.All() {
		lowest = min(lowest, b.Balance())
	}
	return lowest
}

// Check reports what made no sense in the group's configuration, and a group
// that was not made with [NewBudgetGroup].
func (g *BudgetGroup) Check() error {
	if g == nil {
		return nil
	}
	if g.budgets == nil {
		return errZeroGroup
	}
	return g.err
}

var (
	errZeroBudget = law.Misuse("retry: Budget is zero, must be made with NewBudget")
	errZeroGroup  = law.Misuse("retry: BudgetGroup is zero, must be made with NewBudgetGroup")
)
