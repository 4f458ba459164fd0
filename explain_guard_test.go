package redoubt_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// mirrors returns a failover of two endpoints.
func mirrors(guard func(endpoint string) failover.Layer) *failover.Failover {
	return failover.New(failover.Config{Name: "mirrors", Endpoints: []string{"http://a.test", "http://b.test"}, Guard: guard})
}

func placesOf(r redoubt.Report) []string {
	var rows []string
	for _, l := range r.Layers {
		if l.Type != "StallTimeout" {
			rows = append(rows, strings.TrimSpace(l.Where+" "+l.Type+" "+l.Facts.Name))
		}
	}
	return rows
}

// Explain and Check once took a failover's guards for nothing: a breaker there
// that could never trip was not found.
func TestExplain_Guards(t *testing.T) {
	const s = time.Second
	guard := func(endpoint string) failover.Layer {
		return redoubt.Stack{breaker.New(breaker.Config{Name: endpoint, Window: 2 * s, FailureRatio: .5}), timeout.Limit(3 * s)}
	}
	list := mirrors(guard)
	rows := func(where string) []string {
		return []string{
			where + ".Guard(http://a.test)[0] breaker.Breaker http://a.test",
			where + ".Guard(http://a.test)[1] timeout.Limit",
			where + ".Guard(http://b.test)[0] breaker.Breaker http://b.test",
			where + ".Guard(http://b.test)[1] timeout.Limit",
		}
	}
	want := []string{
		`redoubt: breaker "http://a.test": Window 2s is not longer than the 3s that a call inside of it may take, so that calls that time out may never trip it`,
		`redoubt: breaker "http://b.test": Window 2s is not longer than the 3s that a call inside of it may take, so that calls that time out may never trip it`,
	}
	for _, tt := range []struct {
		name   string
		report redoubt.Report
		rows   []string
	}{
		{
			"a layer", redoubt.Explain(redoubt.Stack{timeout.Limit(20 * s), list}),
			slices.Concat([]string{"stack[0] timeout.Limit", "stack[1] failover.Failover mirrors"}, rows("stack[1]")),
		},
		{
			"a base", (&redoubt.Transport{Base: &failover.Transport{Failover: list}, SpansByBase: true}).Explain(),
			slices.Concat([]string{"Transport.Base failover.Transport mirrors"}, rows("Transport.Base")),
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := placesOf(tt.report); !slices.Equal(got, tt.rows) {
				t.Errorf("rows\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tt.rows, "\n"))
			}
			err := tt.report.Err()
			if err == nil || err.Error() != strings.Join(want, "\n") {
				t.Errorf("Err() = %v, want %s", err, strings.Join(want, "\n"))
			}
			if tt.report.Longest != 6*s || tt.report.MaxAttempts != 2 {
				t.Errorf("Longest = %v, MaxAttempts = %d; want 6s, 2", tt.report.Longest, tt.report.MaxAttempts)
			}
		})
	}
}

// What guards one endpoint is neither around nor inside of what guards another.
func TestExplain_GuardsAreApart(t *testing.T) {
	const s = time.Second
	list := mirrors(func(endpoint string) failover.Layer {
		if endpoint == "http://a.test" {
			return timeout.Limit(s)
		}
		return redoubt.Stack{retry.Policy{MaxAttempts: 2, MaxRetryAfter: 1, Backoff: retry.Constant(0)}, timeout.Limit(2 * s)}
	})
	r := redoubt.Explain(redoubt.Stack{list, redoubt.Telemetry{}})
	if rules := mistakesIn(r); !slices.Equal(rules, []string{"telemetry-not-first"}) {
		t.Errorf("mistakes %q, want none about the guards\n%v", rules, r)
	}
	if want := s + 2*2*s + 1; r.Longest != want || r.MaxAttempts != 3 {
		t.Errorf("Longest = %v, MaxAttempts = %d; want %v, 3", r.Longest, r.MaxAttempts, want)
	}
}

// Layers outside and inside of a failover are around each guard.
func TestCheck_AroundGuards(t *testing.T) {
	const s = time.Second
	circuit := breaker.New(breaker.Config{Name: "b", Consecutive: 5})
	with := func(layer failover.Layer) *failover.Failover {
		return mirrors(func(string) failover.Layer { return layer })
	}
	common := shared.New(shared.Config{Name: "common", Store: shared.NewFileStore(t.TempDir()), Window: s})
	inner := failover.New(failover.Config{
		Name: "inner", Endpoints: []string{"x"},
		Guard: func(string) failover.Layer { return timeout.Limit(2 * s) },
	})
	for _, tt := range []struct {
		name  string
		layer redoubt.Layer
		want  []string
	}{
		{"nothing", with(circuit), nil},
		{"a limit inside of a shorter one", redoubt.Stack{timeout.Limit(s), with(timeout.Limit(s))}, []string{"limit-never-expires", "limit-never-expires"}},
		{"a longer one further in", redoubt.Stack{with(timeout.Limit(s)), timeout.Limit(s)}, []string{"limit-never-expires"}},
		{"a retry inside of another", redoubt.Stack{retry.Policy{}, with(retry.Policy{})}, []string{"retry-nested", "retry-nested"}},
		{"a breaker inside of itself", redoubt.Stack{circuit, with(circuit)}, []string{"inside-itself", "inside-itself"}},
		{"one that is shared by processes", redoubt.Stack{with(common), timeout.Limit(s)}, []string{"window-too-short", "window-too-short"}},
		{"a failover in a guard", with(redoubt.Stack{timeout.Limit(s), inner}), []string{"limit-never-expires", "limit-never-expires"}},
		{"one that is wrong", failover.New(failover.Config{}), []string{"misconfigured"}},
		{"one shared by processes that is nil", (*shared.Breaker)(nil), []string{"misconfigured"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := mistakesIn(redoubt.Explain(tt.layer)); !slices.Equal(got, tt.want) {
				t.Errorf("mistakes %q, want %q", got, tt.want)
			}
		})
	}
	hedged := &redoubt.Transport{
		Base: &hedge.Transport{
			Hedger: hedge.New(hedge.Config{Delay: s}),
			Base:   &failover.Transport{Failover: with(circuit)},
		},
		SpansByBase: true,
	}
	if got := mistakesIn(hedged.Explain()); !slices.Equal(got, []string{"hedge-outside-breaker"}) {
		t.Errorf("mistakes %q, want that the hedge is outside of the breaker", got)
	}
}

func mistakesIn(r redoubt.Report) []string {
	var rules []string
	for _, f := range r.Findings {
		if f.Severity == redoubt.Mistake {
			rules = append(rules, f.Rule)
		}
	}
	return rules
}
