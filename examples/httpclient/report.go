package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/redoubt-go/redoubt/breaker"
)

func printTable(out io.Writer, s schedule, bare, guarded summary, bareSent, guardedSent uint64) {
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', tabwriter.AlignRight)
	row := func(name string, a, b any) { fmt.Fprintf(w, "%s\t%v\t%v\t\n", name, a, b) }
	row("", "bare", "guarded")
	row("requests", bare.requests, guarded.requests)
	row("useful answers", percent(bare.useful), percent(guarded.useful))
	if s.dead > 0 {
		row("... outside of the outage", percent(bare.outside), percent(guarded.outside))
	}
	row("p50", brief(bare.p50), brief(guarded.p50))
	row("p99", brief(bare.p99), brief(guarded.p99))
	row("requests that reached the server", bareSent, guardedSent)
	row("short-circuits", bare.rejected, guarded.rejected)
	if s.dead > 0 {
		row("recovery after the outage", recovered(bare.recovered), recovered(guarded.recovered))
	}
	w.Flush() //nolint:errcheck // As with any print.
	fmt.Fprintln(out)
}

func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

func recovered(d time.Duration) string {
	if d < 0 {
		return "never"
	}
	return brief(d)
}

func (g *guarded) printTransitions(out io.Writer) {
	g.mu.Lock()
	defer g.mu.Unlock()
	fmt.Fprintln(out, "The breaker's transitions")
	if len(g.transitions) == 0 {
		fmt.Fprintln(out, "  none: it stayed closed")
	}
	for _, t := range g.transitions {
		fmt.Fprintf(out, "  %5.2fs  %-9s -> %-9s  %s%s\n", t.At.Sub(g.start).Seconds(), t.From, t.To, t.Reason, details(t))
	}
	fmt.Fprintln(out)
}

func details(t breaker.Transition) string {
	if t.To != breaker.Open {
		return ""
	}
	return fmt.Sprintf(", %d of %d calls failed, last: %v; for %v", t.Counts.Failures, t.Counts.Calls(), t.Err, brief(t.Cooldown))
}

func printTrees(out io.Writer, spans *recorder) {
	for _, kind := range []struct {
		title string
		match func(sdk.ReadOnlySpan) bool
	}{
		{"A call that was rescued: an attempt failed, the call did not", rescued},
		{"A call that was refused: at once, and linked to the failure that is to blame", refused},
		{"A call that was exhausted: all attempts failed", exhausted},
	} {
		if root, ok := spans.first(kind.match); ok {
			fmt.Fprintln(out, kind.title)
			spans.printTree(out, root)
			fmt.Fprintln(out)
		}
	}
}
