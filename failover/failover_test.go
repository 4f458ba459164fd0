package failover_test

import (
	"testing"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/redoubttest"
)

func TestFailover_Law(t *testing.T) {
	for name, config := range map[string]failover.Config{
		"one":     {Endpoints: []string{"a"}},
		"three":   {Endpoints: []string{"a", "b", "c"}},
		"guarded": {Endpoints: []string{"a", "b", "c"}, Guard: breakers},
		"open":    {Endpoints: []string{"a", "b", "c"}, Guard: breakers, FailOpen: true},
	} {
		t.Run(name, func(t *testing.T) {
			config.Name = name
			redoubttest.CheckLayer(t, func() redoubt.Layer { return failover.New(config) })
		})
	}
}

func breakers(endpoint string) failover.Layer {
	return breaker.New(breaker.Config{Name: endpoint, Consecutive: 1, Cooldown: cooldown, MaxCooldown: cooldown, Jitter: breaker.NoJitter})
}
