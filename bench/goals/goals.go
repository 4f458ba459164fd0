package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// A goal is a figure and what it should be.
type goal struct {
	number   int
	what     string
	measured func(r results) (float64, bool)
	must     float64
	moonshot float64
	atLeast  bool   // more is better
	format   string // of the figures
}

// Shapes of figures.
const (
	times  = "%.3g×"
	ns     = "%.1f ns"
	micros = "%.0f µs"
	count  = "%.0f"
	size   = "%.0f B"
)

func ratio(unit, name, rival string) func(results) (float64, bool) {
	return func(r results) (float64, bool) { return r.ratio(unit, name, rival) }
}

func value(unit, name string) func(results) (float64, bool) {
	return func(r results) (float64, bool) { return r.value(unit, name) }
}

// speedup is how many times the throughput of one processor two have, by time on
// the clock. It is not measured if a loop that shares nothing gains less than
// 1.8: then others use the machine.
func speedup(what string) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		ours, ok := r.ratio(clock, "Scaling/impl=redoubt/what="+what, "Scaling/impl=redoubt/what="+what+"-2")
		bare, _ := r.ratio(clock, "Scaling/impl=bare/what=nothing", "Scaling/impl=bare/what=nothing-2")
		return ours, ok && bare >= 1.8
	}
}

func scaled(value func(results) (float64, bool), by float64) func(results) (float64, bool) {
	return func(r results) (float64, bool) {
		v, ok := value(r)
		return v * by, ok
	}
}

const (
	httpOurs     = "HTTP/impl=redoubt - HTTP/impl=bare"
	httpUntimed  = "HTTP/impl=redoubt-retry-breaker - HTTP/impl=bare"
	httpFailsafe = "HTTP/impl=failsafehttp - HTTP/impl=bare"
)

var goals = []goal{
	{1, "stack, deaf callee, of failsafe-go", ratio(cpu, "Stack/impl=redoubt/callee=deaf", "Stack/impl=failsafe/callee=deaf"), .15, .05, false, times},
	{1, "  allocations", value(allocs, "Stack/impl=redoubt/callee=deaf"), 4, 1, false, count},
	{2, "stack, callee waits, of failsafe-go", ratio(cpu, "Stack/impl=redoubt/callee=waits", "Stack/impl=failsafe/callee=waits"), .45, .40, false, times},
	{2, "  of backoff + gobreaker by hand", ratio(cpu, "Stack/impl=redoubt/callee=waits", "Stack/impl=hand/callee=waits"), .95, .95, false, times},
	{2, "  of the floor", ratio(cpu, "Stack/impl=redoubt/callee=waits", "Stack/impl=floor/callee=waits"), 1.5, 1, false, times},
	{2, "  allocations", value(allocs, "Stack/impl=redoubt/callee=waits"), 8, 5, false, count},
	{3, "retry alone", scaled(value(cpu, "Retry/impl=redoubt"), 1e9), 20, 5, false, ns},
	{3, "  allocations", value(allocs, "Retry/impl=redoubt"), 0, 0, false, count},
	{3, "breaker alone, ratio rule, of gobreaker", ratio(cpu, "Breaker/impl=redoubt/rule=ratio", "Breaker/impl=gobreaker/rule=ratio"), .5, .35, false, times},
	{3, "breaker alone, consecutive rule, of gobreaker", ratio(cpu, "Breaker/impl=redoubt/rule=consecutive", "Breaker/impl=gobreaker/rule=consecutive"), .5, .10, false, times},
	{3, "  allocations", value(allocs, "Breaker/impl=redoubt/rule=ratio"), 0, 0, false, count},
	{3, "timeout alone, deaf callee, of context.WithTimeout", ratio(cpu, "Timeout/impl=redoubt/callee=deaf", "Timeout/impl=floor/callee=deaf"), .3, .15, false, times},
	{4, "open breaker, of gobreaker", ratio(cpu, "BreakerOpen/impl=redoubt", "BreakerOpen/impl=gobreaker"), 1.2, .55, false, times},
	{4, "  allocations", value(allocs, "BreakerOpen/impl=redoubt"), 0, 0, false, count},
	{4, "open breaker in a stack, of failsafe-go", ratio(cpu, "StackOpen/impl=redoubt", "StackOpen/impl=failsafe"), .15, .06, false, times},
	{4, "  allocations", value(allocs, "StackOpen/impl=redoubt"), 28, 0, false, count},
	{5, "two failures, then success, of backoff/v4", ratio(cpu, "TwoFailures/impl=redoubt/wait=real", "TwoFailures/impl=backoff4/wait=real"), .8, .6, false, times},
	{5, "  allocations", value(allocs, "TwoFailures/impl=redoubt/wait=real"), 6, 3, false, count},
	{6, "HTTP stack, added, of failsafehttp's", ratio(cpu, httpOurs, httpFailsafe), .45, .35, false, times},
	{6, "  allocations added", value(allocs, httpOurs), 12, 9, false, count},
	{6, "  allocations added by retry + breaker", value(allocs, httpUntimed), 12, 0, false, count},
	{7, "looking for an SDK where there is none, of the stack", ratio(cpu, "Telemetry/impl=check/sdk=none - Telemetry/impl=bare/sdk=none", "Telemetry/impl=redoubt/sdk=none"), .05, .01, false, times},
	{7, "spans, not sampled, of naive ones", ratio(cpu, "Telemetry/impl=redoubt/sdk=unsampled", "Telemetry/impl=naive/sdk=unsampled"), 1, .5, false, times},
	{7, "spans, sampled, of naive ones", ratio(cpu, "Telemetry/impl=redoubt/sdk=sampled", "Telemetry/impl=naive/sdk=sampled"), 1, .85, false, times},
	{7, "  allocations for two spans", value(allocs, "Telemetry/impl=redoubt/sdk=sampled"), 36, 10, false, count},
	{8, "two processors on one stack, speed-up", speedup("stack"), 1.7, 1.9, true, times},
	{8, "two processors on one breaker, speed-up", speedup("breaker"), 1.7, 1.9, true, times},
	{9, "idle stack", value(held, "Memory/impl=redoubt/what=idle-2"), 1024, 400, false, size},
	{9, "call in flight, above the bare call, heap", value(held, "Memory/impl=redoubt/what=in-flight-2"), 1024, 720, false, size},
	{9, "  of the floor", ratio(held, "Memory/impl=redoubt/what=in-flight-2", "Memory/impl=floor/what=in-flight-2"), 1.5, 1, false, times},
	{9, "  stack of a new goroutine, of code by hand", ratio(held, "Memory/impl=redoubt/what=in-flight-stack-2", "Memory/impl=hand/what=in-flight-stack-2"), 1.5, 1, false, times},
	{9, "100,000 breakers by key, MiB", scaled(value(held, "Memory/impl=redoubt/what=keyed-2"), 100_000./(1<<20)), 100, 50, false, count},
	{10, "cancelled wait returns, p99", scaled(value(p99, "Promptness/impl=redoubt/what=wait-2"), 1e6), 1000, 100, false, micros},
	{10, "  of a goroutine that only waits", ratio(p99, "Promptness/impl=redoubt/what=wait-2", "Promptness/impl=floor/what=wait-2"), 10, 1.5, false, times},
	{10, "cancelled request over loopback returns, p99", scaled(value(p99, "Promptness/impl=redoubt/what=http-2"), 1e6), 1000, 100, false, micros},
	{10, "  of net/http alone", ratio(p99, "Promptness/impl=redoubt/what=http-2", "Promptness/impl=floor/what=http-2"), 10, 1.5, false, times},
}

// verdict judges a figure.
func (g goal) verdict(figure float64) string {
	reached := func(limit float64) bool {
		if g.atLeast {
			return figure >= limit
		}
		return figure <= limit
	}
	switch {
	case reached(g.moonshot):
		return "moonshot"
	case reached(g.must):
		return "met"
	default:
		return "MISSED"
	}
}

// printGoals prints the goals as a table that is also Markdown.
func printGoals(out io.Writer, r results) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| goal\t| what\t| must\t| moonshot\t| measured\t| verdict\t|\n")
	fmt.Fprintf(w, "|---\t|---\t|---\t|---\t|---\t|---\t|\n")
	for _, g := range goals {
		figure, ok := g.measured(r)
		shown, verdict := fmt.Sprintf(g.format, figure), g.verdict(figure)
		if !ok {
			shown, verdict = "-", "not measured"
		}
		fmt.Fprintf(w, "| %d\t| %s\t| "+g.format+"\t| "+g.format+"\t| %s\t| %s\t|\n",
			g.number, g.what, g.must, g.moonshot, shown, verdict)
	}
	return w.Flush()
}
