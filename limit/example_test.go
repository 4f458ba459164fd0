package limit_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoubt-go/redoubt/limit"
)

// A fixed limit refuses what is beyond it.
func ExampleFixed() {
	l := limit.Fixed(1)
	err := l.Do(context.Background(), func(ctx context.Context) error {
		// One call is under way, and here comes another.
		return l.Do(ctx, func(context.Context) error { return nil })
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, limit.ErrLimited))
	// Output:
	// limit: 1 of 1 calls are under way
	// true
}

// A limiter with a queue lets calls wait for their turn.
func ExampleNew_queue() {
	l := limit.New(limit.Config{Name: "billing", Fixed: 1, MaxWait: time.Minute})

	began := make(chan struct{})
	first := make(chan error)
	go func() {
		first <- l.Do(context.Background(), func(context.Context) error {
			close(began)
			time.Sleep(time.Millisecond)
			return nil
		})
	}()
	<-began
	fmt.Println(l.Do(context.Background(), func(context.Context) error { return nil }))
	fmt.Println(<-first)
	// Output:
	// <nil>
	// <nil>
}

type overloaded struct{}

func (overloaded) Error() string   { return "503 Service Unavailable" }
func (overloaded) Throttled() bool { return true }

// An adaptive limit falls when the dependency can't cope, and rises when it does
// and the limit is in use.
func ExampleNew() {
	l := limit.New(limit.Config{Name: "billing", Initial: 10, Min: 1})
	call := func(err error) {
		l.Do(context.Background(), func(context.Context) error { return err })
	}

	fmt.Println(l.Limit())
	for range 20 {
		call(overloaded{})
	}
	fmt.Println(l.Limit())
	call(nil)
	fmt.Println(l.Limit())
	// Output:
	// 10
	// 1
	// 2
}

// Errors of functions commonly don't say what they mean for load: a Classify
// does.
func ExampleConfig_classify() {
	errBusy := errors.New("database: too many connections")
	l := limit.New(limit.Config{
		Name:    "database",
		Initial: 10,
		Classify: func(err error) limit.Outcome {
			if errors.Is(err, errBusy) {
				return limit.Dropped
			}
			return limit.DefaultClassify(err)
		},
	})

	err := l.Do(context.Background(), func(context.Context) error { return errBusy })
	fmt.Println(err, l.Limit())
	// Output: database: too many connections 9
}

// What is reserved for critical calls is theirs when others are refused.
func ExampleWithCritical() {
	l := limit.New(limit.Config{Fixed: 2, Reserved: 0.5})
	ctx := context.Background()
	err := l.Do(ctx, func(ctx context.Context) error {
		fmt.Println("ordinary:", l.Do(ctx, func(context.Context) error { return nil }))
		fmt.Println("critical:", l.Do(limit.WithCritical(ctx), func(context.Context) error { return nil }))
		return nil
	})
	fmt.Println(err)
	// Output:
	// ordinary: limit: 1 of 1 calls are under way
	// critical: <nil>
	// <nil>
}

type tenantKey struct{}

// A group has a limiter for each key, here for each tenant.
func ExampleGroup() {
	group := limit.NewGroup(limit.GroupConfig{
		Limiter: limit.Config{Name: "storage", Fixed: 1},
		Key: func(ctx context.Context) string {
			tenant, _ := ctx.Value(tenantKey{}).(string)
			return tenant
		},
	})
	as := func(tenant string) context.Context {
		return context.WithValue(context.Background(), tenantKey{}, tenant)
	}

	group.Do(as("acme"), func(context.Context) error {
		fmt.Println(group.Do(as("acme"), func(context.Context) error { return nil }))
		fmt.Println(group.Do(as("umbrella"), func(context.Context) error { return nil }))
		return nil
	})
	// Output:
	// limit: storage acme: 1 of 1 calls are under way
	// <nil>
}

// An Error tells how far the limit is from letting the call run.
func ExampleError() {
	l := limit.New(limit.Config{Name: "billing", Fixed: 2})
	ctx := context.Background()
	err := l.Do(ctx, func(ctx context.Context) error {
		return l.Do(ctx, func(ctx context.Context) error {
			return l.Do(ctx, func(context.Context) error { return nil })
		})
	})
	if refusal, ok := errors.AsType[*limit.Error](err); ok {
		fmt.Println(refusal.Name, refusal.Reason, refusal.InFlight, "of", refusal.Limit)
	}
	// Output: billing reached 2 of 2
}

// What a limiter does now, for a status page.
func ExampleLimiter() {
	l := limit.New(limit.Config{Name: "billing"})
	err := l.Do(context.Background(), func(context.Context) error {
		fmt.Println(l.InFlight(), "of", l.Limit(), "under way,", l.Waiting(), "waiting")
		return nil
	})
	fmt.Println(err)
	// Output:
	// 1 of 20 under way, 0 waiting
	// <nil>
}
