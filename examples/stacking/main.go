// Stacking shows what the order of layers means: the same three layers, put
// together in different ways, around a dependency that hangs and one that fails.
//
//	go run ./examples/stacking
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// The layers. A real program has seconds where this one has milliseconds.
const limit = timeout.Limit(100 * time.Millisecond)

var again = retry.Policy{MaxAttempts: 3, Backoff: retry.Constant(20 * time.Millisecond)}

func newBreaker() *breaker.Breaker {
	return breaker.New(breaker.Config{Name: "billing", Consecutive: 2, Cooldown: time.Minute})
}

// A dependency, in two ways of being ill.
type dependency func(context.Context) error

func hangs(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func fails(context.Context) error { return errors.New("connection refused") }

// An order is a way to stack the layers, and what it means.
type order struct {
	name    string
	stack   func(*breaker.Breaker) redoubt.Stack
	against dependency
	ill     string
	meaning string
}

var orders = []order{
	{
		"timeout > retry", func(*breaker.Breaker) redoubt.Stack { return redoubt.Stack{limit, again} }, hangs, "hangs",
		"the limit is for the whole call: one hang uses it up and nothing is retried",
	},
	{
		"retry > timeout", func(*breaker.Breaker) redoubt.Stack { return redoubt.Stack{again, limit} }, hangs, "hangs",
		"the limit is for each attempt: a hang is retried, and the call takes three limits and two waits",
	},
	{
		"timeout > retry > timeout", func(*breaker.Breaker) redoubt.Stack { return redoubt.Stack{2 * limit, again, limit} }, hangs, "hangs",
		"both: attempts are bounded and so is their sum, which is what most calls want",
	},
	{
		"retry > breaker", func(b *breaker.Breaker) redoubt.Stack { return redoubt.Stack{again, b} }, fails, "fails",
		"the breaker sees every attempt: it opens within this call, and the third attempt is refused",
	},
	{
		"breaker > retry", func(b *breaker.Breaker) redoubt.Stack { return redoubt.Stack{b, again} }, fails, "fails",
		"the breaker sees whole calls: three attempts count as one failure, so that it opens later",
	},
	{
		"breaker > timeout", func(b *breaker.Breaker) redoubt.Stack { return redoubt.Stack{b, limit} }, hangs, "hangs",
		"a hang counts as a failure, as it should",
	},
}

func main() { run(context.Background(), os.Stdout) }

func run(ctx context.Context, out io.Writer) {
	for _, o := range orders {
		o.show(ctx, out)
	}
}

func (o order) show(ctx context.Context, out io.Writer) {
	b := newBreaker()
	stack := o.stack(b)
	reached := 0
	start := time.Now()
	err := stack.Do(ctx, func(ctx context.Context) error {
		reached++
		return o.against(ctx)
	})
	took := time.Since(start)

	fmt.Fprintf(out, "%s, and the dependency %s\n", o.name, o.ill)
	fmt.Fprintf(out, "  %s\n", o.meaning)
	fmt.Fprintf(out, "  took %d ms, calls of the dependency: %d, breaker: %v\n", took.Milliseconds(), reached, b.State())
	fmt.Fprintf(out, "  error: %v\n", err)
	if finding := redoubt.Check(stack); finding != nil {
		fmt.Fprintf(out, "  redoubt.Check: %v\n", finding)
	}
	fmt.Fprintln(out)
}
