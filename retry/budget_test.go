package retry

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

func TestBudgetConfig_rules(t *testing.T) {
	const retry = price
	tests := []struct {
		name   string
		config BudgetConfig
		want   budgetRules
	}{
		{"zero", BudgetConfig{}, budgetRules{deposit: retry / 5, burst: 10 * retry, every: time.Second}},
		{"no floor", BudgetConfig{MinPerSecond: NoFloor}, budgetRules{deposit: retry / 5, burst: 10 * retry}},
		{"all given", BudgetConfig{Ratio: .1, Burst: 2.3, MinPerSecond: 4}, budgetRules{deposit: retry / 10, burst: 2_300_000, every: time.Second / 4}},
		{"least", BudgetConfig{Ratio: 1e-9, Burst: 1, MinPerSecond: 1e-6}, budgetRules{deposit: 1, burst: retry, every: 1e6 * time.Second}},
		{"most", BudgetConfig{Ratio: 1, Burst: 1e9, MinPerSecond: 1e6}, budgetRules{deposit: retry, burst: 1e9 * retry, every: time.Microsecond}},
		{"small ratios count as written", BudgetConfig{Ratio: .0015, MinPerSecond: NoFloor}, budgetRules{deposit: 1500, burst: 10 * retry}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := tt.config.rules()
			if got != tt.want || err != nil {
				t.Errorf("rules() = %+v, %v; want %+v", got, err, tt.want)
			}
		})
	}
}

func TestBudgetRules_afterPayment(t *testing.T) {
	r := budgetRules{deposit: 300, burst: 1000}
	tests := []struct{ balance, want int64 }{
		{0, 300},
		{300, 600},
		{700, 1000},
		{701, 1000},
		{1000, 1000},
	}
	for _, tt := range tests {
		if got := r.afterPayment(tt.balance, r.deposit); got != tt.want {
			t.Errorf("afterPayment(%d) = %d, want %d", tt.balance, got, tt.want)
		}
	}
}

func TestBudgetRules_afterWithdrawal(t *testing.T) {
	tests := []struct {
		balance, want int64
		ok            bool
	}{
		{0, 0, false},
		{price - 1, price - 1, false},
		{price, 0, true},
		{2*price + 7, price + 7, true},
	}
	for _, tt := range tests {
		if got, ok := (budgetRules{}).afterWithdrawal(tt.balance); got != tt.want || ok != tt.ok {
			t.Errorf("afterWithdrawal(%d) = %d, %t; want %d, %t", tt.balance, got, ok, tt.want, tt.ok)
		}
	}
}

func TestBudgetRules_floorGrants(t *testing.T) {
	tests := []struct {
		every, since time.Duration
		want         bool
	}{
		{time.Second, time.Second - 1, false},
		{time.Second, time.Second, true},
		{time.Second, time.Hour, true},
		{time.Second, 0, false},
		{time.Second, -time.Hour, false},
		{0, time.Hour, false},
		{0, 0, false},
	}
	for _, tt := range tests {
		if got := (budgetRules{every: tt.every}).floorGrants(tt.since); got != tt.want {
			t.Errorf("floorGrants(%v) every %v = %t, want %t", tt.since, tt.every, got, tt.want)
		}
	}
}

func TestBudget_Check(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	tests := []struct {
		config BudgetConfig
		want   string
	}{
		{BudgetConfig{Ratio: -.1}, "Ratio is -0.1, must be above 0 and at most 1"},
		{BudgetConfig{Ratio: 1.1}, "Ratio is 1.1, must be above 0 and at most 1"},
		{BudgetConfig{Ratio: nan}, "Ratio is NaN, must be above 0 and at most 1"},
		{BudgetConfig{Burst: -1}, "Burst is -1, must be from 1 to 1e+09"},
		{BudgetConfig{Burst: .9}, "Burst is 0.9, must be from 1 to 1e+09"},
		{BudgetConfig{Burst: 1e9 + 1}, "Burst is 1.000000001e+09, must be from 1 to 1e+09"},
		{BudgetConfig{Burst: inf}, "Burst is +Inf, must be from 1 to 1e+09"},
		{BudgetConfig{Burst: nan}, "Burst is NaN, must be from 1 to 1e+09"},
		{BudgetConfig{MinPerSecond: -2}, "MinPerSecond is -2, must be NoFloor or from 1e-06 to 1e+06"},
		{BudgetConfig{MinPerSecond: 1e-9}, "MinPerSecond is 1e-09, must be NoFloor or from 1e-06 to 1e+06"},
		{BudgetConfig{MinPerSecond: 1e6 + 1}, "MinPerSecond is 1.000001e+06, must be NoFloor or from 1e-06 to 1e+06"},
		{BudgetConfig{MinPerSecond: nan}, "MinPerSecond is NaN, must be NoFloor or from 1e-06 to 1e+06"},
	}
	for _, tt := range tests {
		t.Run(tt.want, func(t *testing.T) {
			tt.config.Name = "billing"
			want := `retry: budget "billing": ` + tt.want
			b := NewBudget(tt.config)
			if err := b.Check(); err == nil || err.Error() != want {
				t.Errorf("Check() = %v, want %s", err, want)
			}
			b.Deposit()
			if b.Withdraw() || b.Balance() != 0 {
				t.Errorf("it grants a retry, or has a balance of %v", b.Balance())
			}
			g := NewBudgetGroup(BudgetGroupConfig{Budget: tt.config, Key: func(context.Context) string { return "" }})
			if err := g.Check(); err == nil || err.Error() != want {
				t.Errorf("Check() of a group = %v, want %s", err, want)
			}
		})
	}
	if err := NewBudget(BudgetConfig{}).Check(); err != nil {
		t.Errorf("Check() of the zero configuration = %v, want nil", err)
	}
}

func TestBudget_Nil(t *testing.T) {
	var b *Budget
	b.Deposit()
	for range 1000 {
		if !b.Withdraw() {
			t.Fatal("a nil budget refuses")
		}
	}
	if err := b.Check(); err != nil || !math.IsInf(b.Balance(), 1) {
		t.Errorf("Check() = %v, Balance() = %v; want nil, +Inf", err, b.Balance())
	}
	var g *BudgetGroup
	if err := g.Check(); err != nil || g.For(t.Context()) != nil {
		t.Errorf("nil group: Check() = %v, For = %v; want nil, nil", err, g.For(t.Context()))
	}
}

func TestBudget_Zero(t *testing.T) {
	b, g := new(Budget), new(BudgetGroup)
	b.Deposit()
	if b.Withdraw() || g.For(t.Context()).Withdraw() {
		t.Error("a zero budget grants a retry")
	}
	if b.Check() == nil || g.Check() == nil || g.For(t.Context()).Check() == nil {
		t.Errorf("Check() = %v, %v, %v; want errors", b.Check(), g.Check(), g.For(t.Context()).Check())
	}
}

// grants returns how many retries b grants at once.
func grants(b *Budget) int {
	n := 0
	for n < 1_000_000 && b.Withdraw() {
		n++
	}
	return n
}

func TestBudget_PaidBySuccesses(t *testing.T) {
	b := NewBudget(BudgetConfig{MinPerSecond: NoFloor})
	if got := grants(b); got != DefaultBurst {
		t.Errorf("a new budget grants %d retries, want %d", got, DefaultBurst)
	}
	steps := []struct{ successes, want int }{
		{4, 0},    // 0.8
		{1, 1},    // 1.0
		{0, 0},    //
		{49, 9},   // 9.8
		{1, 1},    // 0.8 + 0.2
		{500, 10}, // no more than the burst
	}
	for i, step := range steps {
		for range step.successes {
			b.Deposit()
		}
		if got := grants(b); got != step.want {
			t.Errorf("step %d: %d retries after %d successes, want %d", i, got, step.successes, step.want)
		}
	}
}

func TestBudget_Floor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(BudgetConfig{Burst: 2, MinPerSecond: 4})
		steps := []struct {
			sleep time.Duration
			want  int
		}{
			{0, 3}, // the burst and one of the floor
			{0, 0},
			{249999999, 0}, // just before
			{1, 1},         // just after
			{250 * time.Millisecond, 1},
			{time.Hour, 1}, // what was not asked for is not saved up
			{250*time.Millisecond - 1, 0},
		}
		for i, step := range steps {
			time.Sleep(step.sleep)
			if got := grants(b); got != step.want {
				t.Errorf("step %d: %d retries after %v, want %d", i, got, step.sleep, step.want)
			}
		}
	})
}

// What the floor granted is given back once, and not if it has granted since:
// then the time in which it did not is used up.
func TestBudget_RefundsTheFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(BudgetConfig{Burst: 1})
		grants(b)
		time.Sleep(time.Second)
		first, _ := b.withdraw()
		b.refund(first)
		b.refund(first)
		if got := grants(b); got != 1 {
			t.Errorf("%d retries after a refund, want 1", got)
		}
		time.Sleep(time.Second)
		second, _ := b.withdraw()
		time.Sleep(time.Second)
		third, _ := b.withdraw()
		b.refund(second)
		if got := grants(b); got != 0 {
			t.Errorf("%d retries after a refund of what is long past, want none", got)
		}
		b.refund(third)
		time.Sleep(time.Second / 2)
		if got := grants(b); got != 1 {
			t.Errorf("%d retries after the last one's refund, want 1", got)
		}
		(*Budget)(nil).refund(grant{})
	})
}

func TestBudget_NoFloor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(BudgetConfig{Burst: 1, MinPerSecond: NoFloor})
		grants(b)
		time.Sleep(24 * time.Hour)
		if got := grants(b); got != 0 {
			t.Errorf("an empty budget granted %d retries in a day, want none", got)
		}
	})
}

func TestBudget_Balance(t *testing.T) {
	b := NewBudget(BudgetConfig{Burst: 2.3, Ratio: .25})
	want := 2.3
	if got := b.Balance(); got != want {
		t.Errorf("Balance() = %v, want %v", got, want)
	}
	b.Withdraw()
	b.Withdraw()
	b.Deposit()
	if got, want := b.Balance(), .55; got != want {
		t.Errorf("Balance() = %v, want %v", got, want)
	}
}

// Of two nested policies with one budget each pays for a success, as Budget says,
// and what half the Ratio makes of it is the share that was meant.
func TestBudget_NestedPoliciesPayEach(t *testing.T) {
	b := NewBudget(BudgetConfig{Ratio: .5 / 2, Burst: 5, MinPerSecond: NoFloor})
	grants(b)
	p := Policy{Budget: b, Nested: true}
	err := p.Do(t.Context(), func(ctx context.Context) error {
		return p.Do(ctx, func(context.Context) error { return nil })
	})
	if got, want := b.Balance(), .5; err != nil || got != want {
		t.Errorf("a success paid %v, %v; want %v", got, err, want)
	}
}

type hostKey struct{}

func withHost(ctx context.Context, host string) context.Context {
	return context.WithValue(ctx, hostKey{}, host)
}

func hostOf(ctx context.Context) string {
	host, _ := ctx.Value(hostKey{}).(string)
	return host
}

func TestBudgetGroup_Nil(t *testing.T) {
	var g *BudgetGroup
	if b := g.For(t.Context()); b != nil || !b.Withdraw() {
		t.Errorf("For = %v, want nil, which grants everything", b)
	}
}

func TestBudgetGroup(t *testing.T) {
	g := NewBudgetGroup(BudgetGroupConfig{
		Budget: BudgetConfig{Burst: 3, MinPerSecond: NoFloor},
		Key:    hostOf,
		Max:    2,
	})
	a, b, c := withHost(t.Context(), "a"), withHost(t.Context(), "b"), withHost(t.Context(), "c")
	if got := g.lowest(); got != 3 {
		t.Errorf("lowest balance of no budgets is %v, want that of a new one, 3", got)
	}
	g.For(a).Withdraw()
	g.For(b).Withdraw()
	g.For(b).Withdraw()
	if one := g.For(a); one != g.For(a) || one == g.For(b) {
		t.Error("want one budget for each key")
	}
	if got := g.lowest(); got != 1 {
		t.Errorf("lowest balance is %v, want 1", got)
	}

	// Host b was unused for longest when c came.
	g.For(b)
	g.For(a)
	if got := g.For(c).Balance(); got != 3 {
		t.Errorf("balance of a newcomer is %v, want 3", got)
	}
	if got := g.For(a).Balance(); got != 2 {
		t.Errorf("balance of a is %v, want what was left, 2", got)
	}
	if got := g.For(b).Balance(); got != 3 {
		t.Errorf("balance of b, forgotten, is %v, want 3", got)
	}
}

func TestBudgetGroup_Bounded(t *testing.T) {
	tests := []struct{ max, want int }{{0, DefaultMaxBudgets}, {1, 1}, {7, 7}}
	for _, tt := range tests {
		g := NewBudgetGroup(BudgetGroupConfig{Key: hostOf, Max: tt.max})
		for n := range 3 * DefaultMaxBudgets {
			g.For(withHost(t.Context(), fmt.Sprint(n)))
		}
		if got := len(g.budgets.All()); got != tt.want {
			t.Errorf("Max %d: %d budgets kept, want %d", tt.max, got, tt.want)
		}
	}
}

func TestBudgetGroup_Check(t *testing.T) {
	tests := []struct {
		config BudgetGroupConfig
		want   string
	}{
		{BudgetGroupConfig{}, "retry: budget group: Key is nil, must be a function"},
		{BudgetGroupConfig{Key: hostOf, Max: -1}, "retry: budget group: Max is -1, must not be negative"},
		{BudgetGroupConfig{Key: hostOf, Budget: BudgetConfig{Name: "b", Ratio: 2}}, `retry: budget "b": Ratio is 2, must be above 0 and at most 1`},
	}
	for _, tt := range tests {
		g := NewBudgetGroup(tt.config)
		if err := g.Check(); err == nil || err.Error() != tt.want {
			t.Errorf("Check() = %v, want %s", err, tt.want)
		}
		b := g.For(withHost(t.Context(), "a"))
		if err := b.Check(); b.Withdraw() || err != g.Check() {
			t.Errorf("%s: its budgets grant retries or say %v", tt.want, err)
		}
	}
	if err := NewBudgetGroup(BudgetGroupConfig{Key: hostOf}).Check(); err != nil {
		t.Errorf("Check() = %v, want nil", err)
	}
}

func TestBudget_Config(t *testing.T) {
	got := NewBudget(BudgetConfig{Name: "billing", Burst: 3, MinPerSecond: NoFloor}).Config()
	want := BudgetConfig{Name: "billing", Ratio: DefaultRatio, Burst: 3, MinPerSecond: NoFloor}
	if got != want {
		t.Errorf("Config() = %+v, want %+v", got, want)
	}
	for _, b := range []*Budget{nil, {}} {
		if got := b.Config(); got != (BudgetConfig{}) {
			t.Errorf("Config() of %v = %+v, want zero", b, got)
		}
	}
}

func TestBudgetGroup_Budgets(t *testing.T) {
	key := "a"
	g := NewBudgetGroup(BudgetGroupConfig{
		Budget: BudgetConfig{Name: "billing", Burst: 2},
		Key:    func(context.Context) string { return key },
	})
	if got := g.Budgets(); len(got) != 0 {
		t.Errorf("a new group has %v", got)
	}
	a := g.For(t.Context())
	key = "b"
	b := g.For(t.Context())
	got := g.Budgets()
	if len(got) != 2 || got["a"] != a || got["b"] != b {
		t.Errorf("Budgets() = %v, want those of a and b", got)
	}
	if got := a.Config(); got.Name != "billing" || got.Burst != 2 {
		t.Errorf("Config() = %+v", got)
	}
	for _, g := range []*BudgetGroup{nil, {}} {
		if got := g.Budgets(); got == nil || len(got) != 0 {
			t.Errorf("Budgets() = %v, want an empty map", got)
		}
	}
}
