package redoubt_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// kinds make the layers that the law is run on, each alone and in all orders.
var kinds = map[string]func() redoubt.Layer{
	"timeout": func() redoubt.Layer { return timeout.Limit(20 * time.Second) },
	"retry": func() redoubt.Layer {
		return retry.Policy{Budget: retry.NewBudget(retry.BudgetConfig{})}
	},
	"breaker": func() redoubt.Layer { return breaker.New(breaker.Config{Name: "billing"}) },
}

func TestLaw(t *testing.T) {
	for _, order := range []string{
		"",
		"timeout", "retry", "breaker",

		"timeout > retry", "retry > timeout",
		"timeout > breaker", "breaker > timeout",
		"retry > breaker", "breaker > retry",

		"timeout > retry > breaker", "timeout > breaker > retry",
		"retry > timeout > breaker", "retry > breaker > timeout",
		"breaker > timeout > retry", "breaker > retry > timeout",

		"timeout > timeout", "retry > retry", "breaker > breaker",
		"timeout > retry > breaker > timeout", "timeout > retry > breaker > retry > timeout",
	} {
		t.Run("["+order+"]", func(t *testing.T) {
			redoubttest.CheckLayer(t, func() redoubt.Stack {
				var stack redoubt.Stack
				for kind := range strings.SplitSeq(order, " > ") {
					if kind != "" {
						stack = append(stack, kinds[kind]())
					}
				}
				return stack
			})
		})
	}
}

// The layers of the root itself.
func TestLaw_Root(t *testing.T) {
	pass := func(ctx context.Context, call func(context.Context) error) error { return call(ctx) }
	recorded := redoubt.Telemetry{Name: "billing", TracerProvider: recordingTracer{}, MeterProvider: recordingMeter{}}
	t.Run("LayerFunc", func(t *testing.T) {
		redoubttest.CheckLayer(t, func() redoubt.LayerFunc { return pass })
	})
	t.Run("Telemetry", func(t *testing.T) {
		redoubttest.CheckLayer(t, func() redoubt.Telemetry { return recorded })
	})
	t.Run("recorded stack", func(t *testing.T) {
		redoubttest.CheckLayer(t, func() redoubt.Stack {
			return redoubt.Stack{recorded, kinds["timeout"](), kinds["retry"](), kinds["breaker"](), kinds["timeout"]()}
		})
	})
	t.Run("nested stacks", func(t *testing.T) {
		redoubttest.CheckLayer(t, func() redoubt.Stack {
			return redoubt.Stack{kinds["timeout"](), redoubt.Stack{kinds["retry"](), redoubt.Stack{kinds["breaker"]()}}}
		})
	})
}
