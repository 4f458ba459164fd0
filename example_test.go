package redoubt_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// fetch is a remote call that works at the third attempt.
func fetch(ctx context.Context) (string, error) {
	if retry.Attempt(ctx) < 3 {
		return "", errors.New("connection reset")
	}
	return "invoice 42", nil
}

func ExampleDo() {
	stack := redoubt.Stack{
		timeout.Limit(10 * time.Second), // the whole call
		retry.Policy{MaxAttempts: 4, Backoff: retry.FullJitter(time.Millisecond, time.Second)},
		breaker.New(breaker.Config{Name: "billing"}), // one for all callers
		timeout.Limit(time.Second),                   // each attempt
	}
	invoice, err := redoubt.Do(context.Background(), stack, fetch)
	fmt.Println(invoice, err)
	// Output:
	// invoice 42 <nil>
}

// The order of the layers is the meaning.
func ExampleStack() {
	hang := func(ctx context.Context) error {
		fmt.Println("attempt", retry.Attempt(ctx))
		<-ctx.Done()
		return ctx.Err()
	}
	limit := timeout.Limit(20 * time.Millisecond)
	policy := retry.Policy{Backoff: retry.Constant(0)}

	fmt.Println("a limit for the whole call:")
	fmt.Println(redoubt.Stack{limit, policy}.Do(context.Background(), hang))

	fmt.Println("a limit for each attempt:")
	fmt.Println(redoubt.Stack{policy, limit}.Do(context.Background(), hang))
	// Output:
	// a limit for the whole call:
	// attempt 1
	// retry: gave up after 1 attempt (time is up): timeout: exceeded 20ms
	// a limit for each attempt:
	// attempt 1
	// attempt 2
	// attempt 3
	// retry: gave up after 3 attempts: timeout: exceeded 20ms
}

func ExampleCheck() {
	stack := redoubt.Stack{
		timeout.Limit(time.Second),
		retry.Policy{MaxAttempts: -1},
		breaker.New(breaker.Config{Name: "billing", Window: time.Second, FailureRatio: 0.5}),
		timeout.Limit(5 * time.Second),
	}
	fmt.Println(redoubt.Check(stack))
	// Output:
	// retry: MaxAttempts is -1, must not be negative
	// redoubt: breaker "billing": Window 1s is not longer than the 5s that a call inside of it may take, so that calls that time out may never trip it
	// redoubt: timeout.Limit(5s) inside of timeout.Limit(1s) can never expire first
}

// A function is a layer. This one notes what passes through it.
func ExampleLayerFunc() {
	logged := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
		err := call(ctx)
		fmt.Printf("attempt %d: %v\n", retry.Attempt(ctx), err)
		return err
	})
	stack := redoubt.Stack{
		retry.Policy{Backoff: retry.Constant(0)},
		logged, // inside the retry: it sees every attempt
	}
	invoice, err := redoubt.Do(context.Background(), stack, fetch)
	fmt.Println(invoice, err)
	// Output:
	// attempt 1: connection reset
	// attempt 2: connection reset
	// attempt 3: <nil>
	// invoice 42 <nil>
}

// What a stack does to a call, and what is wrong with it: each attempt may take
// as long as the whole call.
func ExampleExplain() {
	stack := redoubt.Stack{
		timeout.Limit(2 * time.Second),
		retry.Policy{MaxAttempts: 4, Budget: retry.NewBudget(retry.BudgetConfig{})},
		breaker.New(breaker.Config{Name: "billing"}),
		timeout.Limit(2 * time.Second),
	}
	fmt.Println(redoubt.Explain(stack))
	// Output:
	// timeout.Limit            2s                                                 bounds the whole call: all attempts, and the waits between
	// retry.Policy             4 attempts, waits of at most 7s                    repeats attempts, until the breaker inside refuses
	//                          on a budget
	// breaker.Breaker billing  opens at 50 % failures of 20 or more calls in 10s  judges each attempt
	//                          for 5s to 1m0s, then 1 probe                       once open, it ends the call
	// timeout.Limit            2s                                                 bounds each attempt
	//
	// longest call   2s
	// most attempts  4
	//
	// mistakes
	//   stack[3]: timeout.Limit(2s) inside of timeout.Limit(2s) can never expire first
	//
	// notes
	//   stack[1]: if attempts take the 2s that they may, retry.Policy does not come to all of its 4 attempts within timeout.Limit(2s)
	//   stack[2]: breaker "billing" is inside of the retry: it sees every attempt, and once it is open the call fails at once instead of trying on
}

// A layer of your own takes part by telling its facts.
func ExampleFacts() {
	stack := redoubt.Stack{timeout.Limit(time.Second), quota{perSecond: 50}}
	for _, layer := range redoubt.Explain(stack).Layers {
		fmt.Printf("%s: %s\n", layer.Type, layer.Place)
	}
	// Output:
	// timeout.Limit: bounds the call
	// redoubt_test.quota: lets 50 calls pass a second
}

type quota struct{ perSecond int }

func (q quota) Explain() redoubt.Facts {
	return redoubt.Facts{Name: "quota", Does: fmt.Sprintf("lets %d calls pass a second", q.perSecond)}
}

func (q quota) Do(ctx context.Context, call func(context.Context) error) error {
	return call(ctx) // it would wait here
}

// A client whose first request meets a server that is restarting.
func ExampleNewClient() {
	server := redoubttest.NewDependency(redoubttest.MustParse("503 retry-after=0, ok"))
	client := redoubt.NewClient("billing", func(c *redoubt.ClientConfig) {
		c.Retry.Backoff = retry.FullJitter(time.Millisecond, time.Second)
		c.Transport.HeaderTimeout = 2 * time.Second
		c.Transport.Base = server // in place of the network
	})
	resp, err := client.Get("https://billing.example/invoices/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, "after", server.Count(), "requests")
	// Output:
	// 200 OK after 2 requests
}

// A client that is there already keeps its transport: that becomes the Base. A
// response that stays bad is the caller's, as without layers.
func ExampleTransport() {
	server := redoubttest.NewDependency(redoubttest.MustParse("503"))
	existing := &http.Client{Transport: server}

	existing.Transport = &redoubt.Transport{
		Base: existing.Transport,
		Layer: redoubt.Stack{
			retry.Policy{Backoff: retry.Constant(time.Millisecond)},
			timeout.Limit(time.Second),
		},
	}
	resp, err := existing.Get("https://billing.example/invoices/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, "after", server.Count(), "requests")
	// Output:
	// 503 Service Unavailable after 3 requests
}

// A POST is sent once, unless its sender says that to send it again is harmless.
func ExampleWithIdempotent() {
	server := redoubttest.NewDependency(redoubttest.MustParse("503, 503, ok"))
	client := &http.Client{Transport: &redoubt.Transport{
		Base:  server,
		Layer: retry.Policy{Backoff: retry.Constant(time.Millisecond)},
	}}
	send := func(ctx context.Context) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://billing.example/recount", nil)
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
		fmt.Println(resp.Status, "requests so far:", server.Count())
	}
	send(context.Background())
	send(redoubt.WithIdempotent(context.Background()))
	// Output:
	// 503 Service Unavailable requests so far: 1
	// 200 OK requests so far: 3
}
