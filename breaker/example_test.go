package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
)

var errUnavailable = errors.New("503 Service Unavailable")

func unavailable(context.Context) error { return errUnavailable }

func available(context.Context) error { return nil }

// A breaker lets calls pass until a rule is broken. From then on it refuses them
// without running them.
func ExampleNew() {
	ctx := context.Background()
	br := breaker.New(breaker.Config{
		Name:         "billing",
		Window:       10 * time.Second,
		FailureRatio: 0.5,
		MinCalls:     4,
	})

	for _, call := range []func(context.Context) error{available, available, unavailable, unavailable, available} {
		fmt.Println(br.Do(ctx, call))
	}
	// Output:
	// <nil>
	// <nil>
	// 503 Service Unavailable
	// 503 Service Unavailable
	// breaker: billing is open (2 of 4 calls failed), last: 503 Service Unavailable
}

// After the cooldown a few probes pass. If they succeed the circuit closes.
func ExampleBreaker_State() {
	ctx := context.Background()
	br := breaker.New(breaker.Config{
		Name:        "billing",
		Consecutive: 1,
		Cooldown:    time.Millisecond,
		Jitter:      breaker.NoJitter,
	})

	fmt.Println(br.State())
	br.Do(ctx, unavailable)
	time.Sleep(2 * time.Millisecond)
	fmt.Println(br.State())
	br.Do(ctx, available)
	fmt.Println(br.State())
	// Output:
	// closed
	// half-open
	// closed
}

// Errors that are the caller's own fault say nothing about the dependency.
func ExampleConfig_classify() {
	errNotFound := errors.New("404 Not Found")
	br := breaker.New(breaker.Config{
		Name:        "billing",
		Consecutive: 1,
		Classify: func(err error) breaker.Outcome {
			if errors.Is(err, errNotFound) {
				return breaker.Success // it answered as it should
			}
			return breaker.DefaultClassify(err)
		},
	})

	err := br.Do(context.Background(), func(context.Context) error { return errNotFound })
	fmt.Println(err, br.State())
	// Output: 404 Not Found closed
}

// OnTransition is told why the state changes.
func ExampleConfig_onTransition() {
	ctx := context.Background()
	br := breaker.New(breaker.Config{
		Name:        "billing",
		Consecutive: 2,
		Jitter:      breaker.NoJitter,
		OnTransition: func(t breaker.Transition) {
			fmt.Printf("%s: %v -> %v, %s", t.Name, t.From, t.To, t.Reason)
			if t.To == breaker.Open {
				fmt.Printf(" (%d failures, last: %v), for %v", t.Counts.Failures, t.Err, t.Cooldown)
			}
			fmt.Println()
		},
	})

	br.Do(ctx, unavailable)
	br.Do(ctx, unavailable)
	br.Reset()
	// Output:
	// billing: closed -> open, consecutive (2 failures, last: 503 Service Unavailable), for 5s
	// billing: open -> closed, reset
}

// A breaker in shadow mode shows in logs and metrics what it would do, and does
// not do it.
func ExampleConfig_shadow() {
	ctx := context.Background()
	br := breaker.New(breaker.Config{Name: "billing", Consecutive: 1, Shadow: true})

	fmt.Println(br.Do(ctx, unavailable))
	fmt.Println(br.State())
	fmt.Println(br.Do(ctx, available))
	// Output:
	// 503 Service Unavailable
	// open
	// <nil>
}

// An OpenError tells which dependency is down, why, and for how long there is no
// point in asking.
func ExampleOpenError() {
	ctx := context.Background()
	br := breaker.New(breaker.Config{Name: "billing", Consecutive: 1, Cooldown: time.Hour, Jitter: breaker.NoJitter})
	br.Do(ctx, unavailable)

	err := br.Do(ctx, available)
	if refusal, ok := errors.AsType[*breaker.OpenError](err); ok {
		wait, _ := refusal.RetryAfter()
		fmt.Printf("%s is %v since %v, try again in %v\n", refusal.Name, refusal.State, refusal.Cause, wait.Round(time.Minute))
	}
	fmt.Println(errors.Is(err, breaker.ErrOpen))
	// Output:
	// billing is open since 503 Service Unavailable, try again in 1h0m0s
	// true
}

// An operator can take a dependency out of service and put it back.
func ExampleBreaker_ForceOpen() {
	ctx := context.Background()
	br := breaker.New(breaker.Config{Name: "billing"})

	br.ForceOpen()
	fmt.Println(br.Do(ctx, available))
	br.Reset()
	fmt.Println(br.Do(ctx, available))
	// Output:
	// breaker: billing is open (forced)
	// <nil>
}

type tenantKey struct{}

// A group has a breaker for each key, here for each tenant.
func ExampleGroup() {
	group := breaker.NewGroup(breaker.GroupConfig{
		Breaker: breaker.Config{Name: "storage", Consecutive: 1},
		Key: func(ctx context.Context) string {
			tenant, _ := ctx.Value(tenantKey{}).(string)
			return tenant
		},
	})
	as := func(tenant string) context.Context {
		return context.WithValue(context.Background(), tenantKey{}, tenant)
	}

	group.Do(as("acme"), unavailable)
	fmt.Println(group.Do(as("acme"), available))
	fmt.Println(group.Do(as("umbrella"), available))
	// Output:
	// breaker: storage acme is open (1 failure), last: 503 Service Unavailable
	// <nil>
}

// A dependency that answers, but far too slowly, trips the breaker as well.
func ExampleConfig_slowCall() {
	ctx := context.Background()
	br := breaker.New(breaker.Config{
		Name:      "billing",
		Window:    10 * time.Second,
		MinCalls:  2,
		SlowCall:  time.Millisecond,
		SlowRatio: 0.5,
	})

	for range 2 {
		br.Do(ctx, func(context.Context) error {
			time.Sleep(2 * time.Millisecond)
			return nil
		})
	}
	fmt.Println(br.Do(ctx, available))
	// Output: breaker: billing is open (2 of 2 calls were slow), last: breaker: call is too slow
}

// Status and History are for those who look at a breaker.
func ExampleBreaker_Status() {
	br := breaker.New(breaker.Config{Name: "billing", MinCalls: 2})
	for range 2 {
		br.Do(context.Background(), unavailable)
	}

	status := br.Status()
	fmt.Println(status.State, "in state number", status.Generation)
	for _, t := range br.History() {
		fmt.Printf("%v -> %v: %s, %.0f %% of %d calls\n", t.From, t.To, t.Reason, 100*t.Counts.FailureRatio(), t.Counts.Calls())
	}
	// Output:
	// open in state number 1
	// closed -> open: failure_ratio, 100 % of 2 calls
}

// A caller asks first if the call would be in vain and is costly to prepare.
func ExampleBreaker_Refusal() {
	br := breaker.New(breaker.Config{Name: "archive", Consecutive: 1})
	br.Do(context.Background(), unavailable)

	if err := br.Refusal(); err != nil {
		fmt.Println("not compressing:", err)
		return
	}
	// Output: not compressing: breaker: archive is open (1 failure), last: 503 Service Unavailable
}
