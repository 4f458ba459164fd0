package engine

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// Merge returns the report of a run that was dealt out to several processes. The
// reports must be of the same scenario and seed, of all its shards, and have the
// same clients in the same order.
//
// Counts, histograms and therefore quantiles are exact. Calls in flight are the
// sum of what each process had at its own peak, and so an upper bound; each
// process had a breaker and a budget of its own, and their figures are added up.
func Merge(reports ...*Report) (*Report, error) {
	if len(reports) == 0 {
		return nil, errors.New("engine: merge: there are no reports")
	}
	first := reports[0]
	s, err := scenario.Parse(first.Scenario.Name, []byte(first.Scenario.Source))
	if err != nil {
		return nil, fmt.Errorf("engine: merge: %w", err)
	}
	merged := NewReport(s, first.Seed, first.Virtual, first.Started)
	for i, c := range first.Clients {
		var results []*Result
		for n, r := range reports {
			if err := alike(first, r, i); err != nil {
				return nil, fmt.Errorf("engine: merge: report %d: %w", n+1, err)
			}
			results = append(results, r.Clients[i])
		}
		result, err := mergeResults(s, results)
		if err != nil {
			return nil, fmt.Errorf("engine: merge: client %s: %w", c.Client, err)
		}
		merged.Clients = append(merged.Clients, result)
	}
	for _, r := range reports {
		merged.Warnings = append(merged.Warnings, r.Warnings...)
		if r.Started.Before(merged.Started) {
			merged.Started = r.Started
		}
	}
	return merged, nil
}

// alike reports why two reports can't be merged.
func alike(a, b *Report, client int) error {
	switch {
	case b.Schema != Schema:
		return fmt.Errorf("schema is %q, must be %q", b.Schema, Schema)
	case a.Scenario.Source != b.Scenario.Source:
		return fmt.Errorf("scenario is %q, or another text of it, must be the same as the first's, %q", b.Scenario.Name, a.Scenario.Name)
	case a.Seed != b.Seed:
		return fmt.Errorf("seed is %d, must be the same as the first's, %d", b.Seed, a.Seed)
	case len(a.Clients) != len(b.Clients):
		return fmt.Errorf("it has %d clients, must have as many as the first, %d", len(b.Clients), len(a.Clients))
	case a.Clients[client].Client != b.Clients[client].Client:
		return fmt.Errorf("client %d is %q, must be the same as the first's, %q", client+1, b.Clients[client].Client, a.Clients[client].Client)
	}
	return nil
}

func mergeResults(s *scenario.Scenario, results []*Result) (*Result, error) {
	first := results[0]
	m := &Result{Client: first.Client, About: first.About, Explanation: first.Explanation, Parameters: first.Parameters}
	var err error
	if m.Histograms, err = mergeHistograms(results); err != nil {
		return nil, err
	}
	for _, scope := range []struct {
		name string
		of   func(*Result) **Summary
	}{
		{"run", func(r *Result) **Summary { return &r.Run }},
		{"fault", func(r *Result) **Summary { return &r.Fault }},
		{"after", func(r *Result) **Summary { return &r.After }},
	} {
		if *scope.of(first) == nil {
			continue
		}
		var parts []*Summary
		for _, r := range results {
			if *scope.of(r) != nil {
				parts = append(parts, *scope.of(r))
			}
		}
		if *scope.of(m), err = mergeSummaries(parts, scope.name, m.Histograms); err != nil {
			return nil, err
		}
	}
	for _, r := range results {
		m.add(r)
	}
	if m.Latencies, err = mergeLatencies(results); err != nil {
		return nil, err
	}
	lag, err := decodeHistogram(m.Histograms["lag"])
	if err != nil {
		return nil, err
	}
	m.Generator.LagP99MS = lag.at(99)
	slices.SortStableFunc(m.Breaker.Transitions, func(a, b Transition) int { return cmp.Compare(a.AtMS, b.AtMS) })
	m.ArrivalsPeakSecond = peak(m.Cells.Arrivals, m.Cells.CellMS)
	m.recover(s)
	return m, nil
}

// add adds up what needs no histogram.
func (r *Result) add(o *Result) {
	r.InFlightPeak += o.InFlightPeak
	r.GoroutinesPeak += o.GoroutinesPeak
	r.ConnectionsOpened += o.ConnectionsOpened
	r.RequestsWritten += o.RequestsWritten
	r.Effects += o.Effects
	r.Duplicates += o.Duplicates
	r.EarlyRetries += o.EarlyRetries
	r.SlowMadeFailures += o.SlowMadeFailures
	r.CPUMS += o.CPUMS
	r.Generator.Dropped += o.Generator.Dropped
	r.Generator.LagMaxMS = max(r.Generator.LagMaxMS, o.Generator.LagMaxMS)

	r.Breaker.Transitions = append(r.Breaker.Transitions, o.Breaker.Transitions...)
	r.Breaker.TimeToOpenMS = later(r.Breaker.TimeToOpenMS, o.Breaker.TimeToOpenMS)
	r.Breaker.TimeToCloseMS = later(r.Breaker.TimeToCloseMS, o.Breaker.TimeToCloseMS)
	r.Breaker.OpenMS += o.Breaker.OpenMS
	r.Breaker.Opened += o.Breaker.Opened
	r.Breaker.Probes += o.Breaker.Probes
	r.Breaker.ProbesFailed += o.Breaker.ProbesFailed
	r.Breaker.GoodRefused += o.Breaker.GoodRefused

	c := &r.Cells
	c.CellMS = o.Cells.CellMS
	for _, column := range []struct{ to, from *[]int64 }{
		{&c.Offered, &o.Cells.Offered},
		{&c.Useful, &o.Cells.Useful},
		{&c.Attempts, &o.Cells.Attempts},
		{&c.Arrivals, &o.Cells.Arrivals},
		{&c.Abandoned, &o.Cells.Abandoned},
		{&c.InFlight, &o.Cells.InFlight},
		{&c.ShortCircuits, &o.Cells.ShortCircuits},
		{&c.Probes, &o.Cells.Probes},
	} {
		*column.to = added(*column.to, *column.from)
	}
	c.Budget = added(c.Budget, o.Cells.Budget)
	if c.Outcomes == nil {
		c.Outcomes = map[Outcome][]int64{}
	}
	for outcome, column := range o.Cells.Outcomes {
		c.Outcomes[outcome] = added(c.Outcomes[outcome], column)
	}
}

// added returns the sum of two columns in a new one.
func added[T int64 | float64](a, b []T) []T {
	long, short := a, b
	if len(b) > len(a) {
		long, short = b, a
	}
	sum := slices.Clone(long)
	for i, v := range short {
		sum[i] += v
	}
	return sum
}

// later returns the later of two times, either of which may be unknown.
func later(a, b *float64) *float64 {
	if a == nil || b != nil && *b > *a {
		return b
	}
	return a
}

func mergeHistograms(results []*Result) (map[string]string, error) {
	merged := map[string]string{}
	for name := range results[0].Histograms {
		var texts []string
		for _, r := range results {
			texts = append(texts, r.Histograms[name])
		}
		h, err := mergeEncoded(texts)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		merged[name] = h.encode()
	}
	return merged, nil
}

// mergeEncoded merges histograms, and fails rather than drop a value.
func mergeEncoded(texts []string) (histogram, error) {
	merged, err := decodeHistogram(texts[0])
	if err != nil {
		return histogram{}, err
	}
	for _, text := range texts[1:] {
		h, err := decodeHistogram(text)
		if err != nil {
			return histogram{}, err
		}
		if dropped := merged.Merge(h.Histogram); dropped > 0 {
			return histogram{}, fmt.Errorf("%d values are out of range", dropped)
		}
	}
	return merged, nil
}

func mergeSummaries(parts []*Summary, scope string, histograms map[string]string) (*Summary, error) {
	m := newScope().summary
	for _, s := range parts {
		m.Seconds = max(m.Seconds, s.Seconds)
		m.Offered += s.Offered
		m.Started += s.Started
		m.Dropped += s.Dropped
		m.Useful += s.Useful
		m.Success += s.Success
		m.Attempts += s.Attempts
		m.Arrivals += s.Arrivals
		m.Abandoned += s.Abandoned
		m.AttemptsPerRequest = added(m.AttemptsPerRequest, s.AttemptsPerRequest)
		m.RetriesHelped += s.RetriesHelped
		m.RetriesWasted += s.RetriesWasted
		m.ShortCircuits += s.ShortCircuits
		m.Transitions += s.Transitions
		addMap(m.Outcomes, s.Outcomes)
		addMap(m.Retries, s.Retries)
		addMap(m.RetriesDenied, s.RetriesDenied)
	}
	m.divide()
	for kind, into := range map[string]*Quantiles{
		"latency": &m.Latency, "useful_time": &m.UsefulTime, "failure_time": &m.FailureTime,
		"from_send": &m.FromSend, "short_circuit": &m.ShortCircuit,
	} {
		h, err := decodeHistogram(histograms[scope+"."+kind])
		if err != nil {
			return nil, err
		}
		*into = h.quantiles()
	}
	return &m, nil
}

func addMap[K comparable](to, from map[K]int64) {
	for k, v := range from {
		to[k] += v
	}
}

func mergeLatencies(results []*Result) (Latencies, error) {
	m := Latencies{CellMS: results[0].Latencies.CellMS}
	for i := range results[0].Latencies.P50 {
		var all, failures []string
		for _, r := range results {
			if i >= len(r.Latencies.All) || i >= len(r.Latencies.Failures) {
				return Latencies{}, errors.New("latencies have no histograms: it is not the report of a shard")
			}
			all = append(all, r.Latencies.All[i])
			failures = append(failures, r.Latencies.Failures[i])
		}
		a, err := mergeEncoded(all)
		if err != nil {
			return Latencies{}, err
		}
		f, err := mergeEncoded(failures)
		if err != nil {
			return Latencies{}, err
		}
		m.P50 = append(m.P50, a.maybe(50))
		m.P99 = append(m.P99, a.maybe(99))
		m.FailureP50 = append(m.FailureP50, f.maybe(50))
		m.FailureP99 = append(m.FailureP99, f.maybe(99))
		m.All = append(m.All, a.encode())
		m.Failures = append(m.Failures, f.encode())
	}
	return m, nil
}
