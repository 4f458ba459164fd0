// Goals runs the benchmarks of package bench and prints how Redoubt does: the
// figures as benchstat has them, a ratio with each rival, and its ten goals with
// a verdict.
//
//	go run ./goals                    # about two minutes, in directory bench
//	go run ./goals -rounds 10 -out baseline.txt
//	go run ./goals -in baseline.txt   # prints what was measured before
//
// Benchmarks run in rounds, each of which has all of them once, so that what
// disturbs the machine for a while disturbs all alike. A ratio is the median of
// the rounds' ratios, and of processor time rather than of time on the clock.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 6, "how often each benchmark runs")
	benchtime := flag.Duration("benchtime", 40*time.Millisecond, "for how long each benchmark runs")
	in := flag.String("in", "", "print this `file` of results, and run nothing")
	out := flag.String("out", "", "write the results to this `file`")
	tables := flag.Bool("tables", true, "print benchstat's tables")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *rounds, *benchtime, *in, *out, *tables); err != nil {
		fmt.Fprintln(os.Stderr, "goals:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, benchtime time.Duration, in, out string, tables bool) error {
	dir, err := os.MkdirTemp("", "redoubt-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // It is temporary.

	file := in
	if in == "" {
		file = filepath.Join(dir, "results.txt")
		if out != "" {
			file = out
		}
		if err := measure(ctx, dir, file, rounds, benchtime); err != nil {
			return err
		}
	}
	if tables {
		if err := benchstat(ctx, file); err != nil {
			return err
		}
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	r, err := read(bytes.NewReader(text))
	if err != nil {
		return err
	}
	if r.rounds() == 0 {
		return errors.New("no results in " + file)
	}
	if err := printRivals(os.Stdout, r); err != nil {
		return err
	}
	fmt.Println()
	return printGoals(os.Stdout, r)
}

// measure writes the output of all benchmarks to file.
func measure(ctx context.Context, dir, file string, rounds int, benchtime time.Duration) error {
	binary := filepath.Join(dir, "bench.test")
	if err := command(ctx, os.Stderr, "go", "test", "-c", "-o", binary, ".").Run(); err != nil {
		return fmt.Errorf("building the benchmarks: %w", err)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // A failed write is reported by the write.
	for i := range rounds {
		fmt.Fprintf(os.Stderr, "goals: round %d of %d\n", i+1, rounds)
		for _, part := range []struct{ benchmarks, cpu, benchtime string }{
			{"^Benchmark(Retry|Breaker|BreakerOpen|Timeout|Stack|StackOpen)$", "1", benchtime.String()},
			{"^BenchmarkTelemetry$", "1", (5 * benchtime).String()}, // where a goal is about 5 %
			// In a process of their own, since what others leave of the heap changes
			// the cost of a request more than most layers do.
			{"^BenchmarkHTTP$", "1", "30000x"},
			{"^BenchmarkHedgeHTTP$", "1", "30000x"},
			{"^Benchmark(Limit|LimitFull|Hedge)$", "1", benchtime.String()},
			{"^BenchmarkTwoFailures$/./wait=none", "1", benchtime.String()},
			{"^BenchmarkTwoFailures$/./wait=real", "1", "600x"}, // each sleeps for a millisecond or two
			{"^Benchmark(Loopback|Promptness|Memory)$", "2", benchtime.String()},
			{"^BenchmarkScaling$", "1,2", benchtime.String()},
		} {
			cmd := command(ctx, f, binary, "-test.run=^$", "-test.bench="+part.benchmarks,
				"-test.cpu="+part.cpu, "-test.benchtime="+part.benchtime)
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("running the benchmarks: %w", err)
			}
		}
	}
	return nil
}

func command(ctx context.Context, out io.Writer, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	return cmd
}

// benchstat prints rows by what is done and columns by who does it.
func benchstat(ctx context.Context, file string) error {
	return command(ctx, os.Stdout, "go", "tool", "benchstat",
		"-table", ".name", "-col", "/impl", "-row", "/rule,/callee,/wait,/sdk,/what,/gomaxprocs",
		"-filter", ".unit:(cpu-ns/op OR allocs/op OR B/one OR p50-ns OR p99-ns)", file).Run()
}
