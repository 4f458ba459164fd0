package scorecard

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A remedy makes the layers of a client, anew for each run.
type remedy func() redoubt.Stack

// The HotOS set-up.
const (
	workers     = 30
	workTime    = 100 * time.Millisecond
	patience    = time.Second
	outageFrom  = 60 * time.Second
	outageUntil = 70 * time.Second
)

// attempts is one attempt, and a retry at once if it fails.
func attempts(budget *retry.Budget) retry.Policy {
	return retry.Policy{MaxAttempts: 2, Backoff: retry.Constant(0), Budget: budget}
}

func budgeted(config retry.BudgetConfig) remedy {
	return func() redoubt.Stack { return redoubt.Stack{attempts(retry.NewBudget(config))} }
}

// paidByTraffic is a budget that is paid by every call, as Finagle's RetryFilter
// has it: the policy pays for successes, so that failures are left.
func paidByTraffic(config retry.BudgetConfig) remedy {
	return func() redoubt.Stack {
		budget := retry.NewBudget(config)
		pay := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
			err := call(ctx)
			if err != nil {
				budget.Deposit()
			}
			return err
		})
		return redoubt.Stack{pay, attempts(budget)}
	}
}

// circuit is the rule that half of at least 20 calls within 10 s failed.
func circuit() breaker.Config {
	return breaker.Config{
		Name: "database", Window: 10 * time.Second, FailureRatio: .5, MinCalls: 20,
		Cooldown: 5 * time.Second, MaxCooldown: 5 * time.Second,
	}
}

// polly is the standard circuit breaker of Polly: a tenth of at least 100 calls
// within 30 s.
func polly() breaker.Config {
	c := circuit()
	c.Window, c.FailureRatio, c.MinCalls = 30*time.Second, .1, 100
	return c
}

// metastable is the overload that outlives its cause.
func metastable() section {
	s := section{
		title: "Metastable failure",
		about: `A database of 30 workers and 100 ms, 300 calls a second at most, gets 280 (Poisson);
callers wait a second and try once more. For ten seconds nothing works; what came
in meanwhile is worked off, though nobody waits for it. How long after the outage
until 95 % of ten seconds succeed, and the share of calls that succeed from the
outage to the end of ten minutes; three seeds. Source: N. Bronson et al.,
"Metastable Failures in Distributed Systems", HotOS 2021, where retries keep the
outage alive for ever; figures replayed.`,
	}
	const quick, whole = 240 * time.Second, 600 * time.Second
	add := func(name, reference, target string, r remedy, length time.Duration, met func(outcome) bool) {
		s.rows = append(s.rows, row{
			name: name, reference: reference, target: target, slow: length == whole,
			measure: func(t *testing.T) (string, bool) {
				o := survive(t, r, 280, length)
				return o.String(), met != nil && met(o)
			},
		})
	}
	within := func(d time.Duration) func(outcome) bool {
		return func(o outcome) bool { return o.within(d) }
	}
	lost := func(o outcome) bool { return o.lost() }
	none := func() redoubt.Stack { return nil }

	add("no retry", "111–123 s, 0.78", "≤ 145 s", none, whole, within(145*time.Second))
	add("one retry, unlimited", "never, 0", "never, which proves the harness", func() redoubt.Stack { return redoubt.Stack{attempts(nil)} }, whole, lost)
	add("one retry after full jitter of 1 s", "never, 0", "never: backoff is no remedy", func() redoubt.Stack {
		return redoubt.Stack{retry.Policy{MaxAttempts: 2, Backoff: retry.FullJitter(time.Second, time.Second)}}
	}, whole, lost)
	add("budget 20 % + 10/s, paid by traffic", "never, 0", "never: the reason why ours is not", paidByTraffic(retry.BudgetConfig{Ratio: .2, MinPerSecond: 10}), whole, lost)
	add("budget 20 % + 10/s, paid by successes", "280–410 s, 0.38", "≤ 420 s", budgeted(retry.BudgetConfig{Ratio: .2, MinPerSecond: 10}), whole, within(420*time.Second))
	add("budget 20 % + 1/s: the default", "134–165 s, 0.72", "≤ 175 s", budgeted(retry.BudgetConfig{}), whole, within(175*time.Second))
	add("budget 20 %, no floor", "143–173 s, 0.72", "≤ 175 s", budgeted(retry.BudgetConfig{MinPerSecond: retry.NoFloor}), whole, within(175*time.Second))
	add("budget 10 %, no floor", "120–138 s, 0.76", "≤ 145 s", budgeted(retry.BudgetConfig{Ratio: .1, MinPerSecond: retry.NoFloor}), whole, within(145*time.Second))
	add("breaker 10 s, 50 %, 20 calls; 5 s", "11–12 s, 0.978", "≤ 15 s", func() redoubt.Stack {
		return redoubt.Stack{attempts(nil), breaker.New(circuit())}
	}, quick, within(15*time.Second))
	add("breaker with Polly's numbers", "5 s, 0.991", "≤ 12 s: cooldowns are jittered", func() redoubt.Stack {
		return redoubt.Stack{attempts(nil), breaker.New(polly())}
	}, quick, within(12*time.Second))
	add("default budget, breaker 10 s, 50 %", "7 s (gRPC's budget)", "≤ 15 s", func() redoubt.Stack {
		return redoubt.Stack{attempts(retry.NewBudget(retry.BudgetConfig{})), breaker.New(circuit())}
	}, quick, within(15*time.Second))
	aimd := func() redoubt.Layer { return limit.New(limit.Config{Name: "database", SlowCall: patience}) }
	add("adaptive limit (AIMD), one retry", "2 s, 0.997", "≤ 5 s", func() redoubt.Stack {
		return redoubt.Stack{attempts(nil), aimd()}
	}, quick, within(5*time.Second))
	add("default budget, adaptive limit", "2 s (gRPC's budget)", "≤ 5 s", func() redoubt.Stack {
		return redoubt.Stack{attempts(retry.NewBudget(retry.BudgetConfig{})), aimd()}
	}, quick, within(5*time.Second))
	add("default budget, breaker 10 s, 50 %, adaptive limit", "–", "≤ 8 s", func() redoubt.Stack {
		return redoubt.Stack{attempts(retry.NewBudget(retry.BudgetConfig{})), breaker.New(circuit()), aimd()}
	}, quick, within(8*time.Second))
	return s
}

// lowerLoads is the same with less to do.
func lowerLoads() section {
	s := section{
		title: "Metastable failure, at lower loads",
		about: `The same with fewer calls a second. Unlimited retries recover below 150 only; a
budget that is paid by traffic hardly sooner.`,
	}
	for _, p := range []struct {
		perSecond            float64
		byTraffic, bySuccess string
		trafficLost          bool
		seconds              int
	}{
		{200, "40–49 s", "22–24 s", false, 30},
		{240, "never", "48–54 s", true, 60},
		{260, "never", "87–95 s", true, 100},
	} {
		config := retry.BudgetConfig{Ratio: .2, MinPerSecond: 10}
		s.rows = append(s.rows,
			row{
				name: fmt.Sprintf("%.0f/s, budget 20 %% + 10/s, paid by traffic", p.perSecond), reference: p.byTraffic, slow: true,
				measure: func(t *testing.T) (string, bool) {
					return survive(t, paidByTraffic(config), p.perSecond, 400*time.Second).String(), false
				},
			},
			row{
				name: fmt.Sprintf("%.0f/s, budget 20 %% + 10/s, paid by successes", p.perSecond), reference: p.bySuccess, slow: true,
				target: fmt.Sprintf("≤ %d s", p.seconds),
				measure: func(t *testing.T) (string, bool) {
					o := survive(t, budgeted(config), p.perSecond, 400*time.Second)
					return o.String(), o.within(time.Duration(p.seconds) * time.Second)
				},
			})
	}
	s.rows = append(s.rows, row{
		name: "140/s, one retry, unlimited", reference: "recovers (the paper: below 150)", target: "recovers", slow: true,
		measure: func(t *testing.T) (string, bool) {
			o := survive(t, func() redoubt.Stack { return redoubt.Stack{attempts(nil)} }, 140, 400*time.Second)
			return o.String(), o.within(400 * time.Second)
		},
	})
	return s
}

// An outcome is what became of runs with different seeds.
type outcome struct {
	recoveries []time.Duration
	good       sample // shares of calls after the outage
}

// String returns the range of recoveries and the mean share.
func (o outcome) String() string {
	shortest, longest := o.recoveries[0], o.recoveries[0]
	for _, r := range o.recoveries {
		if r == never || longest == never {
			longest = never
		} else {
			longest = max(longest, r)
		}
		if r != never && (shortest == never || r < shortest) {
			shortest = r
		}
	}
	text := seconds(shortest)
	if longest != shortest {
		text = strings.TrimSuffix(text, " s") + "–" + seconds(longest)
	}
	return fmt.Sprintf("%s, %.3f", text, o.good.mean())
}

func seconds(d time.Duration) string {
	if d == never {
		return "never"
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}

// within reports whether every run recovered by d.
func (o outcome) within(d time.Duration) bool {
	for _, r := range o.recoveries {
		if r == never || r > d {
			return false
		}
	}
	return true
}

// lost reports whether no run recovered.
func (o outcome) lost() bool {
	for _, r := range o.recoveries {
		if r != never {
			return false
		}
	}
	return true
}

// survive runs the HotOS set-up, from its beginning for length.
func survive(t *testing.T, r remedy, perSecond float64, length time.Duration) outcome {
	t.Helper()
	seeds := 3
	if raceEnabled {
		seeds = 1
	}
	var o outcome
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			database := newServer(workers, workTime, window{outageFrom, outageUntil}, 0)
			stack := append(r(), timeout.Limit(patience))
			traffic := run{perSecond: perSecond, poisson: true, length: length, seed: uint64(seed)}
			offered, good := traffic.drive(t, func(ctx context.Context, _ int) error {
				return stack.Do(ctx, database.serve)
			})
			after := int(outageUntil / time.Second)
			o.recoveries = append(o.recoveries, recovery(offered, good, after))
			o.good = append(o.good, float64(sum(good[after:]))/float64(sum(offered[after:])))
		})
	}
	return o
}
