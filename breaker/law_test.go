package breaker_test

import (
	"context"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest"
)

// TestLaw holds that breakers keep the law of layers, whatever rules they have.
func TestLaw(t *testing.T) {
	configs := map[string]breaker.Config{
		"defaults":    {},
		"consecutive": {Consecutive: 1},
		"slow":        {SlowCall: time.Second, Window: time.Minute, MinCalls: 1},
		"probes":      {Consecutive: 1, Probes: 5, ProbeTimeout: time.Minute},
		"shadow":      {Consecutive: 1, Shadow: true},
	}
	for name, config := range configs {
		config.Name = name
		t.Run(name, func(t *testing.T) {
			redoubttest.CheckLayer(t, func() redoubttest.Layer { return breaker.New(config) })
		})
	}
	t.Run("group", func(t *testing.T) {
		redoubttest.CheckLayer(t, func() redoubttest.Layer {
			return breaker.NewGroup(breaker.GroupConfig{
				Breaker: breaker.Config{Name: "hosts", Consecutive: 1},
				Key:     func(context.Context) string { return "a.example" },
			})
		})
	})
}
