package failover_test

import (
	"context"
	"testing"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/retry"
)

// A success that a retry pays for is not paid for again, where the program says
// that they share a budget; nor is it lost if there is no retry.
func TestBudget_PaidOnce(t *testing.T) {
	for _, tt := range []struct {
		name  string
		layer func(b *retry.Budget) redoubt.Layer
	}{
		{"a failover alone", func(b *retry.Budget) redoubt.Layer { return list(b, false, nil) }},
		{"a retry around it", func(b *retry.Budget) redoubt.Layer {
			return redoubt.Stack{retry.Policy{Budget: b}, list(b, true, nil)}
		}},
		{"a retry inside of it", func(b *retry.Budget) redoubt.Layer {
			return redoubt.Stack{list(b, true, nil), retry.Policy{Budget: b}}
		}},
		{"a retry as its guard", func(b *retry.Budget) redoubt.Layer { return list(b, true, retry.Policy{Budget: b}) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := retry.NewBudget(retry.BudgetConfig{Ratio: .25, Burst: 5, MinPerSecond: retry.NoFloor})
			for b.Withdraw() {
			}
			if err := tt.layer(b).Do(t.Context(), func(context.Context) error { return nil }); err != nil {
				t.Fatal(err)
			}
			if got := b.Balance(); got != .25 {
				t.Errorf("a success paid %v, want 0.25", got)
			}
		})
	}
}

func list(b failover.Budget, elsewhere bool, guard failover.Layer) *failover.Failover {
	config := failover.Config{Name: "ab", Endpoints: []string{"a", "b"}, Budget: b, PaidElsewhere: elsewhere}
	if guard != nil {
		config.Guard = func(string) failover.Layer { return guard }
	}
	return failover.New(config)
}
