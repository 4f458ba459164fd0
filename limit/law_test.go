package limit_test

import (
	"context"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/redoubttest"
)

// TestLaw holds that limiters keep the law of layers, whatever rules they have.
func TestLaw(t *testing.T) {
	configs := map[string]limit.Config{
		"fixed":     {Fixed: 2},
		"one":       {Fixed: 1},
		"waiting":   {Fixed: 1, MaxWait: time.Hour, MaxQueue: 1000},
		"reserved":  {Fixed: 4, MaxWait: time.Second, Reserved: 0.5},
		"aimd":      {},
		"small":     {Initial: 1, Min: 1, Max: 2},
		"gradient2": {Algorithm: limit.Gradient2},
		"slow":      {Algorithm: limit.Gradient2, SlowCall: time.Second, MaxWait: time.Minute},
	}
	for name, config := range configs {
		config.Name = name
		t.Run(name, func(t *testing.T) {
			redoubttest.CheckLayer(t, func() redoubttest.Layer { return limit.New(config) })
		})
	}
	t.Run("group", func(t *testing.T) {
		redoubttest.CheckLayer(t, func() redoubttest.Layer {
			return limit.NewGroup(limit.GroupConfig{
				Limiter: limit.Config{Name: "hosts", Fixed: 1},
				Key:     func(context.Context) string { return "a.example" },
			})
		})
	})
}
