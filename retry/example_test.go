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

// Each attempt goes to another replica.
func ExampleAttempt() {
	replicas := []string{"db-1", "db-2"}
	policy := retry.Policy{Backoff: retry.Constant(0)}
	err := policy.Do(context.Background(), func(ctx context.Context) error {
		replica := replicas[(retry.Attempt(ctx)-1)%len(replicas)]
		fmt.Println("asking", replica)
		if replica == "db-1" {
			return errors.New("connection refused")
		}
		return nil
	})
	fmt.Println(err)
	// Output:
	// asking db-1
	// asking db-2
	// <nil>
}

// Retryable knows which errors of a function are worth another attempt.
func ExamplePolicy_retryable() {
	errConflict := errors.New("serialization failure")
	policy := retry.Policy{
		Backoff:   retry.Constant(0),
		Retryable: func(err error) bool { return errors.Is(err, errConflict) },
	}
	err := policy.Do(context.Background(), func(ctx context.Context) error {
		fmt.Println("attempt", retry.Attempt(ctx))
		if retry.Attempt(ctx) == 1 {
			return errConflict
		}
		return errors.New("no such table")
	})
	fmt.Println(err)
	// Output:
	// attempt 1
	// attempt 2
	// retry: gave up after 2 attempts (not to be retried): no such table
}

// A maintenance says how long the service will be away.
type maintenance struct{ left time.Duration }

func (maintenance) Error() string                       { return "down for maintenance" }
func (m maintenance) RetryAfter() (time.Duration, bool) { return m.left, true }

// A policy waits for as long as an error asks, or does not wait at all.
func ExamplePolicy_maxRetryAfter() {
	policy := retry.Policy{MaxRetryAfter: time.Minute}
	err := policy.Do(context.Background(), func(context.Context) error {
		return maintenance{left: time.Hour}
	})
	fmt.Println(err)
	// Output: retry: gave up after 1 attempt (must wait too long): down for maintenance
}

// Stop tells what the caller can do about it.
func ExampleError() {
	policy := retry.Policy{MaxAttempts: 2, Backoff: retry.Constant(0)}
	err := policy.Do(context.Background(), func(context.Context) error { return errors.New("down") })

	if gaveUp, ok := errors.AsType[*retry.Error](err); ok {
		switch gaveUp.Stop {
		case retry.StopPermanent:
			fmt.Println("the call itself is at fault")
		case retry.StopDeadline, retry.StopCancelled:
			fmt.Println("the caller was in a hurry")
		default:
			fmt.Println("the dependency is at fault: come back later")
		}
	}
	// Output: the dependency is at fault: come back later
}

// Code that repeats calls by itself, such as one that reconnects, stays within
// the budget that the policies of the dependency draw on.
func ExampleBudget_Withdraw() {
	budget := retry.NewBudget(retry.BudgetConfig{Burst: 2, MinPerSecond: retry.NoFloor})
	connect := func() error { return errors.New("connection refused") }

	for err := connect(); err != nil; err = connect() {
		fmt.Println(err)
		if !budget.Withdraw() {
			fmt.Println("no more retries for now")
			return
		}
	}
	budget.Deposit() // it worked
	// Output:
	// connection refused
	// connection refused
	// connection refused
	// no more retries for now
}

// The first wait is at most the base, and never nothing.
func ExampleFullJitter() {
	waits := retry.FullJitter(100*time.Millisecond, time.Second)()
	wait := waits.NextBackOff()
	fmt.Println(wait >= 10*time.Millisecond, wait <= 100*time.Millisecond)
	// Output: true true
}
