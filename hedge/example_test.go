package hedge_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// The first run of the function hangs, so the second, begun after 10 ms, has its
// result taken.
func ExampleFunc() {
	var runs atomic.Int32
	fetch := func(ctx context.Context) (string, error) {
		if runs.Add(1) == 1 {
			<-ctx.Done() // until the other has won
			return "", ctx.Err()
		}
		return "invoice 7", nil
	}

	hedger := hedge.New(hedge.Config{
		Name:     "billing",
		Delay:    10 * time.Millisecond,
		MaxExtra: 1, // an example has one call; production has thousands
	})
	invoice, err := hedge.Func(hedger, fetch)(context.Background())
	fmt.Println(invoice, err)
	// Output: invoice 7 <nil>
}

// Hedges are granted by the budget that retries draw on, and by the breaker.
func ExampleTransport() {
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if requests.Add(1) == 1 {
			<-r.Context().Done() // a pause that a second request does not meet
			return
		}
		_, _ = io.WriteString(w, "invoice 7")
	}))
	defer server.Close()

	budget := retry.NewBudget(retry.BudgetConfig{Name: "billing"})
	circuit := breaker.New(breaker.Config{Name: "billing"})
	hedger := hedge.New(hedge.Config{
		Name:     "billing",
		Delay:    50 * time.Millisecond,
		MaxExtra: 1,
		Budget:   budget,
		Breaker:  circuit,
	})
	client := &http.Client{Transport: &redoubt.Transport{
		Layer: redoubt.Stack{
			retry.Policy{Budget: budget},
			circuit,
			timeout.Limit(10 * time.Second),
		},
		Base: &hedge.Transport{Hedger: hedger},
	}}

	resp, err := client.Get(server.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err, "after", requests.Load(), "requests")
	fmt.Println("left of the retry budget:", budget.Balance() < 10)
	// Output:
	// invoice 7 <nil> after 2 requests
	// left of the retry budget: true
}

// A measured delay is known once there have been enough calls.
func ExampleHedger_Delay() {
	hedger := hedge.New(hedge.Config{Name: "billing"})
	call := hedge.Func(hedger, func(context.Context) (int, error) { return 0, nil })
	for range 2 {
		_, known := hedger.Delay()
		fmt.Println(known)
		for range hedge.DefaultMinSamples {
			_, _ = call(context.Background())
		}
	}
	// Output:
	// false
	// true
}

// What is not a GET is hedged only if its caller says that it may be. Here the
// first request is never answered, so that it takes a hedge to get a response.
func ExampleWithIdempotent() {
	server := redoubttest.NewDependency(redoubttest.MustParse("hang, ok"))
	client := &http.Client{Transport: &hedge.Transport{
		Base:   server,
		Hedger: hedge.New(hedge.Config{Delay: 10 * time.Millisecond, MaxExtra: 1}),
	}}

	ctx := hedge.WithIdempotent(context.Background())
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, "https://billing.example/invoices/7", http.NoBody)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, "after", server.Count(), "requests")
	// Output: 200 OK after 2 requests
}

// The result of a run that lost, but succeeded all the same, is freed.
func ExampleFuncDiscard() {
	var dials atomic.Int32
	freed := make(chan string, 1)
	dial := func(ctx context.Context) (string, error) {
		if dials.Add(1) == 1 {
			<-ctx.Done() // until the other has won
			return "connection 1", nil
		}
		return "connection 2", nil
	}

	hedger := hedge.New(hedge.Config{Delay: 10 * time.Millisecond, MaxExtra: 1})
	conn, err := hedge.FuncDiscard(hedger, dial, func(late string) { freed <- late })(context.Background())
	fmt.Println(conn, err)
	fmt.Println("freed:", <-freed)
	// Output:
	// connection 2 <nil>
	// freed: connection 1
}

// Each host has latencies and hedges of its own, and the budget that its
// retries draw on.
func ExampleGroup() {
	budgets := retry.NewBudgetGroup(retry.BudgetGroupConfig{Key: redoubt.Host})
	hedgers := hedge.NewGroup(hedge.GroupConfig{
		Hedger: hedge.Config{
			Name:    "mirrors",
			Budgets: func(ctx context.Context) hedge.Budget { return budgets.For(ctx) },
		},
		Key: redoubt.Host,
	})
	client := &http.Client{Transport: &redoubt.Transport{
		Layer: redoubt.Stack{retry.Policy{Budgets: budgets}, timeout.Limit(time.Second)},
		Base: &hedge.Transport{
			Base:    redoubttest.NewDependency(redoubttest.MustParse("ok")),
			Hedgers: hedgers,
		},
	}}
	for _, url := range []string{"https://a.example/", "https://b.example/"} {
		resp, err := client.Get(url)
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
	}
	fmt.Println(slices.Sorted(maps.Keys(hedgers.Hedgers())))
	// Output: [https://a.example:443 https://b.example:443]
}

func ExampleHedger_Check() {
	hedger := hedge.New(hedge.Config{Name: "billing", MaxExtra: 5})
	fmt.Println(hedger.Check())
	// Output: hedge: "billing": MaxExtra is 5, must be above 0 and at most 1
}
