// Package virtual runs scenarios in virtual time: in a bubble of
// testing/synctest, where a run of twenty seconds takes a fraction of one and
// gives the same numbers each time.
//
// It is for tests, which alone can have bubbles.
package virtual

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// Run runs the scenario with each client, in a bubble of its own. It must not be
// called in a bubble.
func Run(t *testing.T, s *scenario.Scenario, seed uint64, clients ...engine.Client) *engine.Report {
	t.Helper()
	var results []*engine.Result
	for _, c := range clients {
		synctest.Test(t, func(t *testing.T) {
			dependency := engine.Model(s, seed)
			if s.Wire != scenario.Model {
				dependency = newWired(s, seed)
			}
			result, err := engine.Run(t.Context(), engine.Config{
				Scenario:   s,
				Seed:       seed,
				Client:     c,
				Dependency: dependency,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := dependency.Close(); err != nil {
				t.Error(err)
			}
			result.CPUMS, result.GoroutinesPeak = 0, 0 // of the real world
			results = append(results, result)
		})
	}
	return engine.NewReport(s, seed, true, time.Time{}, results...)
}
