package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

// A row is one figure of every client.
type row struct {
	Name  string
	Cells []string
}

// none stands for a figure that does not exist.
const none = "–"

// headline returns the figures that matter most.
func headline(r *engine.Report) []row {
	var rows []row
	add := func(name string, of func(*engine.Result) string) {
		one := row{Name: name}
		for _, c := range r.Clients {
			one.Cells = append(one.Cells, of(c))
		}
		rows = append(rows, one)
	}
	some := func(is func(*engine.Result) bool) bool { return slices.ContainsFunc(r.Clients, is) }
	add("useful answers, whole run", func(c *engine.Result) string { return usefulIn(c.Run) })
	if len(r.Scenario.Windows) > 0 {
		add("  during the fault", func(c *engine.Result) string { return usefulIn(c.Fault) })
		add("  in the 5 s after it", func(c *engine.Result) string { return usefulIn(c.After) })
	}
	if some(func(c *engine.Result) bool { return c.RecoveryMS != nil || c.Never() }) {
		add("recovery after the fault", recovery)
	}
	add("amplification", func(c *engine.Result) string { return fmt.Sprintf("%.2f", c.Run.Amplification) })
	add("latency p50 · p99", func(c *engine.Result) string {
		q := c.Run.Latency
		if q.Count == 0 {
			return none
		}
		return millis(q.P50MS) + " · " + millis(q.P99MS)
	})
	add("calls in flight, at most", func(c *engine.Result) string { return fmt.Sprint(c.InFlightPeak) })
	if some(func(c *engine.Result) bool { return c.Breaker.Opened > 0 }) {
		add("good calls refused", func(c *engine.Result) string {
			if !guarded(c) {
				return none
			}
			return fmt.Sprint(c.Breaker.GoodRefused)
		})
	}
	if some(func(c *engine.Result) bool { return c.Duplicates > 0 }) {
		add("duplicate effects", func(c *engine.Result) string { return fmt.Sprint(c.Duplicates) })
	}
	return rows
}

// guarded reports whether a client has a circuit breaker.
func guarded(c *engine.Result) bool {
	_, cooldown := c.Parameters["cooldown"]
	return cooldown || len(c.Breaker.Transitions) > 0
}

func usefulIn(s *engine.Summary) string {
	if s == nil || s.Offered == 0 {
		return none
	}
	return percent(s.UsefulPercent)
}

func recovery(c *engine.Result) string {
	switch {
	case c.Never():
		return "never"
	case c.RecoveryMS == nil:
		return none
	}
	return millis(*c.RecoveryMS)
}

// A detail is a group of figures of every client.
type detail struct {
	Name string
	Rows []row
}

// details returns all figures, for each part of the run.
func details(r *engine.Report) []detail {
	groups := []detail{{Name: "Whole run", Rows: figures(r, func(c *engine.Result) *engine.Summary { return c.Run })}}
	if len(r.Scenario.Windows) > 0 {
		groups = append(groups,
			detail{"During the fault", figures(r, func(c *engine.Result) *engine.Summary { return c.Fault })},
			detail{"In the 5 s after each fault", figures(r, func(c *engine.Result) *engine.Summary { return c.After })})
	}
	return append(groups, detail{"Client and machine", sides(r)})
}

// figures returns the rows for one part of the run, without those that are
// empty for every client.
func figures(r *engine.Report, part func(*engine.Result) *engine.Summary) []row {
	var rows []row
	add := func(name string, of func(*engine.Summary) string) {
		one, empty := row{Name: name}, true
		for _, c := range r.Clients {
			cell := none
			if s := part(c); s != nil {
				cell = of(s)
			}
			empty = empty && (cell == none || cell == "0")
			one.Cells = append(one.Cells, cell)
		}
		if !empty {
			rows = append(rows, one)
		}
	}
	count := func(name string, of func(*engine.Summary) int64) {
		add(name, func(s *engine.Summary) string { return fmt.Sprint(of(s)) })
	}
	quantiles := func(name string, of func(*engine.Summary) engine.Quantiles) {
		add(name+" p50 · p90 · p99 · p99.9 · max", func(s *engine.Summary) string {
			q := of(s)
			if q.Count == 0 {
				return none
			}
			return strings.Join([]string{millis(q.P50MS), millis(q.P90MS), millis(q.P99MS), millis(q.P999MS), millis(q.MaxMS)}, " · ")
		})
	}
	count("requests offered", func(s *engine.Summary) int64 { return s.Offered })
	count("dropped by the generator", func(s *engine.Summary) int64 { return s.Dropped })
	add("useful", func(s *engine.Summary) string { return usefulIn(s) })
	add("right, late ones included", func(s *engine.Summary) string { return percent(s.SuccessPercent) })
	add("goodput", func(s *engine.Summary) string { return fmt.Sprintf("%.1f/s", s.Goodput) })
	for _, o := range engine.Outcomes {
		if o != engine.Useful {
			count("ended as "+outcomeName(o), func(s *engine.Summary) int64 { return s.Outcomes[o] })
		}
	}
	quantiles("latency of all", func(s *engine.Summary) engine.Quantiles { return s.Latency })
	quantiles("latency of useful answers", func(s *engine.Summary) engine.Quantiles { return s.UsefulTime })
	quantiles("latency of failures", func(s *engine.Summary) engine.Quantiles { return s.FailureTime })
	quantiles("latency from the actual start", func(s *engine.Summary) engine.Quantiles { return s.FromSend })
	count("arrivals at the dependency", func(s *engine.Summary) int64 { return s.Arrivals })
	count("answers nobody waited for", func(s *engine.Summary) int64 { return s.Abandoned })
	add("amplification", func(s *engine.Summary) string { return fmt.Sprintf("%.3f", s.Amplification) })
	add("policy amplification", func(s *engine.Summary) string { return fmt.Sprintf("%.3f", s.PolicyAmplification) })
	add("requests by attempts: 0 · 1 · 2 · …", func(s *engine.Summary) string { return joined(s.AttemptsPerRequest) })
	for _, o := range engine.Outcomes {
		count("retries after "+outcomeName(o), func(s *engine.Summary) int64 { return s.Retries[o] })
	}
	count("retries that helped", func(s *engine.Summary) int64 { return s.RetriesHelped })
	count("retries that were wasted", func(s *engine.Summary) int64 { return s.RetriesWasted })
	for _, reason := range []string{"budget", "deadline", "retry_after"} {
		count("retries denied: "+strings.ReplaceAll(reason, "_", "-"), func(s *engine.Summary) int64 { return s.RetriesDenied[reason] })
	}
	count("short-circuits", func(s *engine.Summary) int64 { return s.ShortCircuits })
	count("state changes of the breaker", func(s *engine.Summary) int64 { return s.Transitions })
	return rows
}

// sides returns the rows that are about the run as a whole.
func sides(r *engine.Report) []row {
	var rows []row
	add := func(name string, of func(*engine.Result) string) {
		one := row{Name: name}
		for _, c := range r.Clients {
			one.Cells = append(one.Cells, of(c))
		}
		rows = append(rows, one)
	}
	count := func(name string, of func(*engine.Result) int64) {
		add(name, func(c *engine.Result) string { return fmt.Sprint(of(c)) })
	}
	ofBreaker := func(name string, of func(engine.Breaker) string) {
		add(name, func(c *engine.Result) string {
			if !guarded(c) {
				return none
			}
			return of(c.Breaker)
		})
	}
	optional := func(v *float64) string {
		if v == nil {
			return none
		}
		return millis(*v)
	}
	add("extra load", func(c *engine.Result) string { return fmt.Sprintf("%.2f", extraLoad(c, r.Clients[0])) })
	count("arrivals, busiest second", func(c *engine.Result) int64 { return c.ArrivalsPeakSecond })
	count("calls in flight, at most", func(c *engine.Result) int64 { return c.InFlightPeak })
	count("goroutines of the process, at most", func(c *engine.Result) int64 { return c.GoroutinesPeak })
	count("connections opened", func(c *engine.Result) int64 { return c.ConnectionsOpened })
	count("requests written by net/http", func(c *engine.Result) int64 { return c.RequestsWritten })
	count("duplicate effects", func(c *engine.Result) int64 { return c.Duplicates })
	count("slow answers made failures", func(c *engine.Result) int64 { return c.SlowMadeFailures })
	count("retries before Retry-After", func(c *engine.Result) int64 { return c.EarlyRetries })
	ofBreaker("breaker opened", func(b engine.Breaker) string { return fmt.Sprint(b.Opened) })
	ofBreaker("first opened after the fault began", func(b engine.Breaker) string { return optional(b.TimeToOpenMS) })
	ofBreaker("closed after the fault ended", func(b engine.Breaker) string { return optional(b.TimeToCloseMS) })
	ofBreaker("time not closed", func(b engine.Breaker) string { return millis(b.OpenMS) })
	ofBreaker("probes · failed", func(b engine.Breaker) string { return fmt.Sprintf("%d · %d", b.Probes, b.ProbesFailed) })
	ofBreaker("good calls refused", func(b engine.Breaker) string { return fmt.Sprint(b.GoodRefused) })
	add("generator lag p99 · max", func(c *engine.Result) string {
		return millis(c.Generator.LagP99MS) + " · " + millis(c.Generator.LagMaxMS)
	})
	return rows
}

func joined(counts []int64) string {
	var b strings.Builder
	for i, n := range counts {
		if i > 0 {
			b.WriteString(" · ")
		}
		fmt.Fprint(&b, n)
	}
	return b.String()
}

func outcomeName(o engine.Outcome) string {
	switch o {
	case engine.RefusedConn:
		return "connection refused"
	case engine.ResetConn:
		return "connection reset"
	case engine.NoHost:
		return "host not found"
	}
	return strings.ReplaceAll(string(o), "_", " ")
}
