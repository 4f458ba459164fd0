package ops

import (
	"encoding/json"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/retry"
)

// A listener knows what it was told, as the page does.
type listener struct {
	circuits map[string]Circuit
	budgets  map[string]Budget
}

func (l *listener) hear(c Change) {
	for _, id := range c.Gone {
		delete(l.circuits, id)
		delete(l.budgets, id)
	}
	for _, row := range c.Breakers.Rows {
		if old := l.circuits[row.ID]; row.Transitions == nil && old.Generation == row.Generation {
			row.Transitions = old.Transitions
		}
		l.circuits[row.ID] = row
	}
	for _, row := range c.Budgets.Rows {
		l.budgets[row.ID] = row
	}
}

// TestChanges holds that who is told of nothing but changes knows what a
// snapshot says, whatever happens.
func TestChanges(t *testing.T) {
	for seed := range uint64(30) {
		synctest.Test(t, func(t *testing.T) { checkChanges(t, seed) })
	}
}

func checkChanges(t *testing.T, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0))
	g, lone := newGroup(6), newBreaker("lone") // fewer than there are keys
	budget := retry.NewBudget(retry.BudgetConfig{Name: "lone", Burst: 3})
	v := newView(t, Config{Layers: []redoubt.Layer{g, lone}, Budgets: []*retry.Budget{budget}, MaxRows: 4})
	r := httptest.NewRequest(http.MethodGet, "/events", http.NoBody)
	s := newStream(httptest.NewRecorder(), v, r)
	l := &listener{map[string]Circuit{}, map[string]Budget{}}
	for step := range 150 {
		for range random.IntN(4) {
			b := lone
			if random.IntN(4) > 0 {
				b = g.For(as(t.Context(), "k"+strconv.Itoa(random.IntN(9))))
			}
			switch random.IntN(12) {
			case 0:
				b.ForceOpen()
			case 1:
				b.ForceClosed()
			case 2, 3:
				b.Reset()
			case 4, 5, 6:
				_ = b.Do(t.Context(), refuse)
			case 7:
				budget.Withdraw()
			case 8:
				budget.Deposit()
			default:
				_ = b.Do(t.Context(), succeed)
			}
		}
		time.Sleep(time.Duration(random.IntN(4000)) * time.Millisecond)
		l.hear(s.change(v.found().take(time.Now())))

		want := get(t, v, "/state")
		circuits := byIDs(want.Breakers.Rows, func(c Circuit) (string, Circuit) { return c.ID, c })
		budgets := byIDs(want.Budgets.Rows, func(b Budget) (string, Budget) { return b.ID, b })
		if got, want := text(t, l.circuits), text(t, circuits); got != want {
			t.Fatalf("seed %d, step %d: knows\n\t%s, want\n\t%s", seed, step, got, want)
		}
		if got, want := text(t, l.budgets), text(t, budgets); got != want {
			t.Fatalf("seed %d, step %d: knows\n\t%s, want\n\t%s", seed, step, got, want)
		}
	}
}

func text(t *testing.T, value any) string {
	t.Helper()
	b, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
