package timeout_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoubt-go/redoubt/timeout"
)

func Example() {
	err := timeout.Limit(10*time.Millisecond).Do(context.Background(), func(ctx context.Context) error {
		<-ctx.Done() // an answer that never comes
		return ctx.Err()
	})
	fmt.Println(err)
	fmt.Println(errors.Is(err, context.DeadlineExceeded))
	// Output:
	// timeout: exceeded 10ms
	// true
}

// An Error tells a limit's expiry from that of the caller's own deadline.
func ExampleError() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := timeout.Limit(time.Hour).Do(ctx, func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	})
	_, limit := errors.AsType[*timeout.Error](err)
	fmt.Println(err, limit)
	// Output:
	// context deadline exceeded false
}

// The cause of the call's context tells why it has ended.
func ExampleLimit() {
	err := timeout.Limit(10*time.Millisecond).Do(context.Background(), func(ctx context.Context) error {
		<-ctx.Done()
		fmt.Println("in the call:", context.Cause(ctx))
		return fmt.Errorf("export: %w", ctx.Err())
	})
	fmt.Println(err)
	// Output:
	// in the call: timeout: exceeded 10ms
	// timeout: exceeded 10ms: export: context deadline exceeded
}

// What has succeeded late has succeeded.
func ExampleLimit_Do() {
	err := timeout.Limit(time.Millisecond).Do(context.Background(), func(ctx context.Context) error {
		<-ctx.Done()
		return nil // done all the same
	})
	fmt.Println(err)
	// Output: <nil>
}
