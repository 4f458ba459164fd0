package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/perf/benchfmt"
)

// results are what was measured, by unit and benchmark, in the order of the
// rounds. A benchmark's name has no "Benchmark" and, unless it ran on several
// processors, no number of them.
type results map[string]map[string][]float64

// Units of package bench, as benchfmt has them, which turns nanoseconds into
// seconds.
const (
	cpu    = "cpu-sec/op"
	clock  = "sec/op"
	allocs = "allocs/op"
	held   = "B/one"
	p99    = "p99-sec"
)

func read(in io.Reader) (results, error) {
	r := results{}
	reader := benchfmt.NewReader(in, "results")
	for reader.Scan() {
		switch record := reader.Result().(type) {
		case *benchfmt.Result:
			for _, v := range record.Values {
				if r[v.Unit] == nil {
					r[v.Unit] = map[string][]float64{}
				}
				name := string(record.Name.Full())
				r[v.Unit][name] = append(r[v.Unit][name], v.Value)
			}
		case *benchfmt.SyntaxError:
			return nil, fmt.Errorf("results: %w", record)
		}
	}
	return r, reader.Err()
}

func (r results) rounds() int {
	most := 0
	for _, byName := range r {
		for _, values := range byName {
			most = max(most, len(values))
		}
	}
	return most
}

// of returns the rounds' values of one benchmark. A name may end in "-" for the
// figure on one processor less another, as in "HTTP/impl=redoubt - HTTP/impl=bare".
func (r results) of(unit, name string) []float64 {
	whole, less, ok := strings.Cut(name, " - ")
	if !ok {
		return r[unit][name]
	}
	a, b := r.of(unit, whole), r.of(unit, less)
	return pairwise(a, b, func(a, b float64) float64 { return a - b })
}

// ratio returns the median of the rounds' ratios.
func (r results) ratio(unit, name, rival string) (float64, bool) {
	return median(pairwise(r.of(unit, name), r.of(unit, rival), func(a, b float64) float64 { return a / b }))
}

func (r results) value(unit, name string) (float64, bool) { return median(r.of(unit, name)) }

func pairwise(a, b []float64, f func(a, b float64) float64) []float64 {
	c := make([]float64, min(len(a), len(b)))
	for i := range c {
		c[i] = f(a[i], b[i])
	}
	return c
}

func median(values []float64) (float64, bool) {
	if len(values) == 0 {
		return 0, false
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2, true
}
