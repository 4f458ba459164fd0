// Hg measures redoubt hg beside plain hg, on repositories that it makes itself
// and real hg serves on the loopback. Only ratios are printed, of runs that
// alternate: the machine may be busy with other things.
//
//	go run ./hg              # in bench: about two minutes
//	go run ./hg -rounds 15
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"
)

func main() {
	rounds := flag.Int("rounds", 7, "pairs of runs for each figure")
	redoubt := flag.String("redoubt", "", "the command to measure (default: built from ../cmd/redoubt)")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *rounds, *redoubt); err != nil {
		fmt.Fprintln(os.Stderr, "hg:", err)
		os.Exit(1)
	}
}

// A row is a figure beside its bound.
type row struct {
	what  string
	value float64
	bound float64 // 0 means none
	unit  string
}

func (r row) missed() bool { return r.bound > 0 && r.value > r.bound }

func run(ctx context.Context, out io.Writer, rounds int, redoubt string) error {
	b, err := newBench(ctx, redoubt)
	if err != nil {
		return err
	}
	defer b.close()
	rows, err := b.ratios(ctx, rounds)
	if err != nil {
		return err
	}
	if err := printRows(out, rows); err != nil {
		return err
	}
	trips, err := b.latencies(ctx, max(rounds/2, 1), 0, 20*time.Millisecond, 100*time.Millisecond)
	if err != nil {
		return err
	}
	return printTrips(out, trips)
}

func printRows(out io.Writer, rows []row) error {
	t := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| what\t| must\t| measured\t| verdict\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|")
	for _, r := range rows {
		verdict := "met"
		if r.missed() {
			verdict = "MISSED"
		}
		fmt.Fprintf(t, "| %s\t| %.4g%s\t| %.3g%s\t| %s\t|\n", r.what, r.bound, r.unit, r.value, r.unit, verdict)
	}
	return t.Flush()
}

// A trip is what a run over a slow link took.
type trip struct {
	latency time.Duration // each way
	what    string
	plain   cost
	redoubt cost
	ratio   float64 // median of the rounds' ratios
}

// A cost is what a run asked of the server.
type cost struct{ requests, connections int }

func printTrips(out io.Writer, trips []trip) error {
	t := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "\n| latency each way\t| what\t| requests of hg\t| of redoubt hg\t| connections of hg\t| of redoubt hg\t| time, of hg's\t|")
	fmt.Fprintln(t, "|---\t|---\t|---\t|---\t|---\t|---\t|---\t|")
	for _, r := range trips {
		fmt.Fprintf(t, "| %v\t| %s\t| %d\t| %d\t| %d\t| %d\t| %.2f×\t|\n", r.latency, r.what,
			r.plain.requests, r.redoubt.requests, r.plain.connections, r.redoubt.connections, r.ratio)
	}
	return t.Flush()
}
