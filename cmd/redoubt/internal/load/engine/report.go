package engine

import (
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// NewReport returns a report of the results of one scenario.
func NewReport(s *scenario.Scenario, seed uint64, virtual bool, started time.Time, results ...*Result) *Report {
	r := &Report{
		Schema:   Schema,
		Scenario: info(s),
		Seed:     seed,
		Virtual:  virtual,
		Started:  started,
		Clients:  results,
	}
	r.Warnings = doubts(results, virtual, s.Duration)
	for _, c := range results {
		if c.SlowMadeFailures > 0 && c.Run.Outcomes[AttemptTimeout] > 0 {
			r.Warnings = append(r.Warnings, fmt.Sprintf("%s: the attempt timeout cut off %d attempts; what the dependency would have answered late became failures", c.Client, c.SlowMadeFailures))
		}
	}
	return r
}

const (
	// maxLagMS is how late, at the 99th percentile, requests may be started
	// before the report warns.
	maxLagMS = 5

	// maxCores is how much of a core the process may use before the report
	// warns: from there on requests wait for one another.
	maxCores = 0.7
)

// doubts returns what casts doubt on the numbers.
func doubts(results []*Result, virtual bool, duration time.Duration) []string {
	var all, late, dropped []string
	for _, c := range results {
		if lag := c.Generator.LagP99MS; lag > maxLagMS {
			late = append(late, fmt.Sprintf("%s %.1f ms", c.Client, lag))
		}
		if n := c.Generator.Dropped; n > 0 {
			dropped = append(dropped, fmt.Sprintf("%s %d", c.Client, n))
		}
	}
	if len(late) > 0 {
		all = append(all, fmt.Sprintf("this machine can't keep up: requests were started late (p99: %s; more than %d ms is too much)", strings.Join(late, ", "), maxLagMS))
	}
	if len(dropped) > 0 {
		all = append(all, fmt.Sprintf("requests were not started at all, since too many were under way (%s)", strings.Join(dropped, ", ")))
	}
	if cores := busiest(results) / ms(duration); !virtual && cores > maxCores {
		all = append(all, fmt.Sprintf("this process used %.1f of %d cores: what was measured is also the generator", cores, runtime.GOMAXPROCS(0)))
	}
	return all
}

// busiest returns the most CPU time, in ms, that the process used during a run.
func busiest(results []*Result) float64 {
	var most float64
	for _, r := range results {
		most = max(most, r.CPUMS)
	}
	return most
}

// Judge adds the verdicts of checks on a client to the report, and reports
// whether it met them all.
func (r *Report) Judge(client string, checks ...Check) bool {
	ok := true
	for _, c := range checks {
		v := c.Judge(r, client)
		r.Checks = append(r.Checks, v)
		ok = ok && v.OK
	}
	return ok
}

func info(s *scenario.Scenario) ScenarioInfo {
	i := ScenarioInfo{
		Name:       s.Name,
		Title:      s.Title,
		About:      s.About,
		Rate:       s.Rate,
		DurationMS: ms(s.Duration),
		UsefulMS:   ms(s.UsefulWithin),
		PatienceMS: ms(s.Patience),
		Targets:    s.Targets,
		Source:     s.Source,
	}
	for _, w := range s.Windows {
		i.Windows = append(i.Windows, spans(w, s.Duration)...)
	}
	for _, f := range s.Plan.Faults {
		chance := f.Chance
		if chance == 0 {
			chance = 1
		}
		i.Faults = append(i.Faults, FaultInfo{Name: f.Label(), Chance: chance, Spans: spans(f.During, s.Duration)})
	}
	return i
}

// maxSpans bounds what is shaded.
const maxSpans = 10_000

// spans returns when w is open within a run.
func spans(w faults.Window, duration time.Duration) []Span {
	end := duration
	if w.To != 0 {
		end = min(w.To, duration)
	}
	if w.Every == 0 {
		return []Span{{ms(w.From), ms(end)}}
	}
	var all []Span
	for from := w.From; from < end && len(all) < maxSpans; from += w.Every {
		all = append(all, Span{ms(from), ms(min(from+w.For, end))})
	}
	return all
}

// Targets returns the targets of a scenario as checks, to be judged for a client
// whose rivals include one named bare.
func Targets(s *scenario.Scenario) ([]Check, error) {
	checks := make([]Check, 0, len(s.Targets))
	for i, text := range s.Targets {
		c, err := ParseCheck(text)
		if err != nil {
			return nil, fmt.Errorf("scenario %s: targets[%d]: %w", s.Name, i, err)
		}
		checks = append(checks, c)
	}
	return checks, nil
}
