package scorecard

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/timeout"
)

// cold is the way back to a server that has lost its caches.
func cold() section {
	s := section{
		title: "Coming back to a cold server",
		about: `The same database after an outage of ten seconds, with 200 calls a second; its first
calls take four times as long, falling to the usual time over so many that were
served. The share of calls that succeed within two minutes, five seeds. Callers
have one retry without a budget. Replayed; the breaker's rule is half of at least
20 calls in 10 s, open for 5 s.

What follows for the defaults: a limit alone is best for one client at every
temperature, but not for twenty with a limit each, which the replay had not told; a
limit also refuses bursts until it has learned. So NewClient takes one if it is
given (ClientConfig.Concurrency), and has none by default. It has ten probes, and no
ramp.`,
	}
	probes := func(n int) remedy {
		return func() redoubt.Stack {
			c := circuit()
			c.Probes = n
			return redoubt.Stack{attempts(nil), breaker.New(c)}
		}
	}
	limited := func(probes ...int) remedy {
		return func() redoubt.Stack {
			stack := redoubt.Stack{attempts(nil)}
			for _, n := range probes {
				c := circuit()
				c.Probes = n
				stack = append(stack, breaker.New(c))
			}
			return append(stack, limit.New(limit.Config{Name: "database", SlowCall: patience}))
		}
	}
	for _, p := range []struct {
		clients, cold   int
		one, five, aimd string
	}{
		{1, 0, "0.945", "0.946", "0.985"},
		{1, 3000, "0.769", "0.771", "0.850"},
		{1, 6000, "0.570", "0.575", "0.764"},
		{20, 0, "0.944", "0.943", "0.985"},
		{20, 3000, "0.760", "0.829", "0.886"},
		{20, 6000, "0.620", "0.635", "0.773"},
	} {
		for _, k := range []struct {
			name, reference string
			remedy          remedy
		}{
			{"1 probe", p.one, probes(1)},
			{"5 probes", p.five, probes(5)},
			{"adaptive limit", p.aimd, limited()},
			{"5 probes and adaptive limit", "–", limited(5)},
		} {
			s.rows = append(s.rows, row{
				name:      fmt.Sprintf("%d clients, cold for %d calls, %s", p.clients, p.cold, k.name),
				reference: k.reference,
				slow:      true,
				measure: func(t *testing.T) (string, bool) {
					return fmt.Sprintf("%.3f", warmUp(t, k.remedy, p.clients, p.cold).mean()), false
				},
			})
		}
	}
	return s
}

// warmUp returns the shares of calls that succeed within two minutes after the
// outage, for several seeds.
func warmUp(t *testing.T, r remedy, clients, coldCalls int) (good sample) {
	t.Helper()
	const seeds, perSecond, length = 5, 200, 190 * time.Second
	for seed := range seeds {
		synctest.Test(t, func(t *testing.T) {
			database := newServer(workers, workTime, window{outageFrom, outageUntil}, coldCalls)
			stacks := make([]redoubt.Stack, clients)
			for i := range stacks {
				stacks[i] = append(r(), timeout.Limit(patience))
			}
			rnd := rand.New(rand.NewPCG(uint64(seed), 1))
			whose := make([]int, perSecond*int(length/time.Second)*2)
			for i := range whose {
				whose[i] = rnd.IntN(clients)
			}
			traffic := run{perSecond: perSecond, poisson: true, length: length, seed: uint64(seed)}
			offered, succeeded := traffic.drive(t, func(ctx context.Context, n int) error {
				return stacks[whose[n]].Do(ctx, database.serve)
			})
			after := int(outageUntil / time.Second)
			good = append(good, float64(sum(succeeded[after:]))/float64(sum(offered[after:])))
		})
	}
	return good
}
