package retry_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt/retry"
)

// flaky returns a call that fails the given number of times and then succeeds.
func flaky(failures int) func(context.Context) error {
	return func(ctx context.Context) error {
		fmt.Println("attempt", retry.Attempt(ctx))
		if retry.Attempt(ctx) <= failures {
			return errors.New("connection refused")
		}
		return nil
	}
}

func Example() {
	policy := retry.Policy{
		MaxAttempts: 4, // in total
		Backoff:     retry.FullJitter(10*time.Millisecond, time.Second),
	}
	err := policy.Do(context.Background(), flaky(2))
	fmt.Println(err)
	// Output:
	// attempt 1
	// attempt 2
	// attempt 3
	// <nil>
}

func ExamplePolicy_Do() {
	policy := retry.Policy{Backoff: retry.Constant(time.Millisecond)}
	err := policy.Do(context.Background(), flaky(5))
	fmt.Println(err)

	if gaveUp, ok := errors.AsType[*retry.Error](err); ok {
		fmt.Println(gaveUp.Stop, gaveUp.Err)
	}
	// Output:
	// attempt 1
	// attempt 2
	// attempt 3
	// retry: gave up after 3 attempts: connection refused
	// attempts connection refused
}

// A policy does not sleep into the caller's deadline: it returns the real error
// at once.
func ExamplePolicy_Do_deadline() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	policy := retry.Policy{Backoff: retry.Constant(time.Hour)}
	fmt.Println(policy.Do(ctx, flaky(1)))
	// Output:
	// attempt 1
	// retry: gave up after 1 attempt (deadline is too near): connection refused
}

// Any BackOff of github.com/cenkalti/backoff will do, of version 4 or later.
func ExamplePolicy_backoff() {
	policy := retry.Policy{
		MaxAttempts: 10,
		Backoff: func() backoff.BackOff {
			return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Millisecond), 1)
		},
	}
	fmt.Println(policy.Do(context.Background(), flaky(5)))
	// Output:
	// attempt 1
	// attempt 2
	// retry: gave up after 2 attempts: connection refused
}

func ExamplePermanent() {
	policy := retry.Policy{}
	err := policy.Do(context.Background(), func(context.Context) error {
		fmt.Println("attempt")
		return fmt.Errorf("charge: %w", retry.Permanent(errors.New("card expired")))
	})
	fmt.Println(err)
	// Output:
	// attempt
	// charge: card expired
}

// While the dependency is down, a budget lets a few retries through and no more.
func ExampleBudget() {
	budget := retry.NewBudget(retry.BudgetConfig{Burst: 3, MinPerSecond: retry.NoFloor})
	policy := retry.Policy{Budget: budget, Backoff: retry.Constant(0)}
	down := func(context.Context) error { return errors.New("down") }
	for range 3 {
		fmt.Println(policy.Do(context.Background(), down))
	}
	fmt.Println("balance:", budget.Balance())
	// Output:
	// retry: gave up after 3 attempts: down
	// retry: gave up after 2 attempts (retry budget is empty): down
	// retry: gave up after 1 attempt (retry budget is empty): down
	// balance: 0
}

func ExampleBudgetGroup() {
	type tenant struct{}
	budgets := retry.NewBudgetGroup(retry.BudgetGroupConfig{
		Budget: retry.BudgetConfig{Burst: 1, MinPerSecond: retry.NoFloor},
		Key: func(ctx context.Context) string {
			name, _ := ctx.Value(tenant{}).(string)
			return name
		},
	})
	policy := retry.Policy{Budgets: budgets, Backoff: retry.Constant(0)}
	down := func(context.Context) error { return errors.New("down") }
	for _, name := range []string{"acme", "acme", "globex"} {
		ctx := context.WithValue(context.Background(), tenant{}, name)
		fmt.Println(name+":", policy.Do(ctx, down))
	}
	// Output:
	// acme: retry: gave up after 2 attempts (retry budget is empty): down
	// acme: retry: gave up after 1 attempt (retry budget is empty): down
	// globex: retry: gave up after 2 attempts (retry budget is empty): down
}

func ExampleExponential() {
	waits := retry.Exponential(100*time.Millisecond, time.Second)()
	for range 6 {
		fmt.Print(waits.NextBackOff(), " ")
	}
	// Output:
	// 100ms 200ms 400ms 800ms 1s 1s
}
