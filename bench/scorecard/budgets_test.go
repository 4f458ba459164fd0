package scorecard

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/redoubt-go/redoubt/retry"
)

var errUnlucky = errors.New("unlucky")

// budgets is the simulation that compares ways to limit retries.
func budgets() section {
	s := section{
		title: "Budgets against a failure rate",
		about: `100 clients with 2,000 calls each, up to three retries at once, a budget of 10 %
that holds 5. Attempts of calls, and the share of calls that succeed. The published
bucket is paid by calls; ours, paid that way, has to give the same. As it is, ours
is paid by successes: it grants less the more fails. Source: M. Brooker, "Fixing
retries with token buckets and circuit breakers", 2022; figures replayed.`,
	}
	for _, p := range []struct{ rate, attempts, success float64 }{
		{.1, 1.093, .984}, {.2, 1.102, .882}, {.5, 1.102, .551}, {1, 1.102, 0},
	} {
		reference := fmt.Sprintf("%.3f × · %.3f", p.attempts, p.success)
		s.rows = append(s.rows,
			row{
				name:      fmt.Sprintf("%.0f %% fail, paid by calls", 100*p.rate),
				reference: reference,
				target:    "± 1 %",
				measure: func(*testing.T) (string, bool) {
					attempts, success := gamble(p.rate, true)
					met := math.Abs(attempts-p.attempts) <= .01*p.attempts && math.Abs(success-p.success) <= .01
					return fmt.Sprintf("%.3f × · %.3f", attempts, success), met
				},
			},
			row{
				name:      fmt.Sprintf("%.0f %% fail, paid by successes", 100*p.rate),
				reference: reference,
				target:    "no more attempts",
				measure: func(*testing.T) (string, bool) {
					attempts, success := gamble(p.rate, false)
					return fmt.Sprintf("%.3f × · %.3f", attempts, success), attempts <= 1.01*p.attempts
				},
			})
	}
	return s
}

// gamble returns the attempts of calls, and the share of calls that succeed, if
// attempts fail at a rate.
func gamble(rate float64, paidByCalls bool) (attempts, success float64) {
	const clients, calls = 100, 2000
	rnd := rand.New(rand.NewPCG(11, 12))
	sent, won := 0, 0
	for range clients {
		budget := retry.NewBudget(retry.BudgetConfig{Ratio: .1, Burst: 5, MinPerSecond: retry.NoFloor})
		policy := retry.Policy{MaxAttempts: 4, Backoff: retry.Constant(0), Budget: budget}
		for range calls {
			err := policy.Do(context.Background(), func(context.Context) error {
				sent++
				if rnd.Float64() < rate {
					return errUnlucky
				}
				return nil
			})
			if err == nil {
				won++
			} else if paidByCalls {
				budget.Deposit() // the policy has paid for the successes
			}
		}
	}
	return float64(sent) / (clients * calls), float64(won) / (clients * calls)
}
