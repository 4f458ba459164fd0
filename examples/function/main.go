// Function guards two calls that are not HTTP: a plain Go function with a typed
// result, and a subprocess that hangs on its first run.
//
//	go run ./examples/function
//	go run ./examples/function -spans   # and print what OpenTelemetry saw
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/trace"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

func main() {
	spans := flag.Bool("spans", false, "print the spans of the calls as JSON")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *spans); err != nil {
		fmt.Fprintln(os.Stderr, "function:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, spans bool) error {
	if spans {
		shutdown, err := exportSpans(out)
		if err != nil {
			return err
		}
		defer shutdown()
	}
	if err := typedResult(ctx, out); err != nil {
		return err
	}
	return subprocess(ctx, out)
}

// An invoice is what the remote call returns: no interface{}, no cast.
type invoice struct {
	Number int
	Cents  int
}

func typedResult(ctx context.Context, out io.Writer) error {
	stack := redoubt.Stack{
		timeout.Limit(5 * time.Second), // the whole call
		retry.Policy{Backoff: retry.Constant(10 * time.Millisecond)},
		breaker.New(breaker.Config{Name: "billing"}),
		timeout.Limit(time.Second), // each attempt
	}
	if err := redoubt.Check(stack); err != nil {
		return err
	}

	bill, err := redoubt.Do(ctx, stack, func(ctx context.Context) (invoice, error) {
		if n := retry.Attempt(ctx); n < 3 {
			fmt.Fprintf(out, "billing: attempt %d fails\n", n)
			return invoice{}, errors.New("connection reset")
		}
		return invoice{Number: 7, Cents: 1995}, nil
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "billing: invoice %d over %d.%02d on attempt 3\n", bill.Number, bill.Cents/100, bill.Cents%100)

	// An error can say that a repetition is pointless.
	_, err = redoubt.Do(ctx, stack, func(context.Context) (invoice, error) {
		return invoice{}, retry.Permanent(errors.New("no such customer"))
	})
	fmt.Fprintf(out, "billing: %v, after one attempt\n", err)
	return nil
}

// subprocess runs a shell command that hangs the first time. CommandContext
// kills it when the attempt's limit ends its context, and WaitDelay gives up
// waiting for anything that still holds its output.
func subprocess(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "redoubt-function-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // Nothing is left to be done about it.
	script := `test -e "$0" && echo exported && exit; touch "$0"; exec sleep 60`

	stack := redoubt.Stack{
		retry.Policy{Backoff: retry.Constant(10 * time.Millisecond)},
		timeout.Limit(500 * time.Millisecond),
	}
	text, err := redoubt.Do(ctx, stack, func(ctx context.Context) ([]byte, error) {
		cmd := exec.CommandContext(ctx, "sh", "-c", script, filepath.Join(dir, "second"))
		cmd.WaitDelay = time.Second
		text, err := cmd.Output()
		if ctx.Err() != nil {
			fmt.Fprintf(out, "export: attempt %d was killed: %v\n", retry.Attempt(ctx), context.Cause(ctx))
		}
		return text, err
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "export: %s\n", strings.TrimSpace(string(text)))
	return nil
}

// exportSpans installs an SDK that prints spans: all that Redoubt needs in order
// to be seen.
func exportSpans(out io.Writer) (shutdown func(), err error) {
	exporter, err := stdouttrace.New(stdouttrace.WithWriter(out), stdouttrace.WithPrettyPrint())
	if err != nil {
		return nil, err
	}
	provider := trace.NewTracerProvider(trace.WithSyncer(exporter))
	otel.SetTracerProvider(provider)
	return func() {
		if err := provider.Shutdown(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, "function:", err)
		}
	}, nil
}
