package engine

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

func parse(t *testing.T, text string) *scenario.Scenario {
	t.Helper()
	s, err := scenario.Parse(t.Name(), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A real run, short: the numbers that do not hang on the machine's speed. The
// fault goes by request id, so that it strikes the same requests of each client.
func TestLoopback(t *testing.T) {
	s := parse(t, `
name: short
duration: 1s
rate: 50
useful-within: 5s
patience: 20s
service: {time: 1ms, body: 100}
faults:
  - chance: 0.4
    per: request
    status: {code: 503}
`)
	report, err := Compare(t.Context(), Comparison{
		Scenario:   s,
		Seed:       1,
		Clients:    []Client{Bare(), Naive()},
		Dependency: func() (Dependency, error) { return Loopback(s, 1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.Virtual || report.Schema != Schema || len(report.Clients) != 2 {
		t.Errorf("report: %+v", report)
	}
	for _, c := range report.Clients {
		if c.Run.Offered != 50 || c.Run.Started != 50 || c.Fault.Offered != 50 || c.After != nil {
			t.Errorf("%s: offered %d, of these %d in the fault", c.Client, c.Run.Offered, c.Fault.Offered)
		}
		if c.ConnectionsOpened == 0 || c.RequestsWritten == 0 || c.GoroutinesPeak == 0 || c.InFlightPeak == 0 {
			t.Errorf("%s: %d connections, %d written", c.Client, c.ConnectionsOpened, c.RequestsWritten)
		}
		var outcomes int64
		for _, n := range c.Run.Outcomes {
			outcomes += n
		}
		if outcomes != 50 || c.Run.Latency.Count != 50 {
			t.Errorf("%s: %d outcomes, %d latencies", c.Client, outcomes, c.Run.Latency.Count)
		}
	}
	bare, naive := report.Clients[0].Run, report.Clients[1].Run
	bad := bare.Outcomes[ServerError]
	// An attempt that begins late, after the run, is in none of its scopes.
	if bad < 10 || bad > 30 || bare.Attempts < 40 || bare.Attempts > 50 {
		t.Errorf("bare: %v, %d attempts", bare.Outcomes, bare.Attempts)
	}
	if naive.Retries[ServerError] < bad || naive.RetriesWasted < bad || naive.Attempts < 50+bad {
		t.Errorf("naive: retries %v, %d wasted, %d attempts; %d requests are in vain", naive.Retries, naive.RetriesWasted, naive.Attempts, bad)
	}
}

// Refused connections count as arrivals, since somebody tried.
func TestLoopbackRefused(t *testing.T) {
	s := parse(t, `
name: refused
duration: 600ms
rate: 50
faults:
  - during: {from: 200ms}
    refuse: true
`)
	report, err := Compare(t.Context(), Comparison{
		Scenario: s, Clients: []Client{Bare()},
		Dependency: func() (Dependency, error) { return Loopback(s, 1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	// What is late arrives after the run, and is in none of its scopes.
	run := report.Clients[0].Run
	if refused := run.Outcomes[RefusedConn]; refused < 20 || run.Arrivals == 0 {
		t.Errorf("outcomes %v, %d arrivals; want 20 refused", run.Outcomes, run.Arrivals)
	}
}

// A SYN that is lost is sent again after a second, and every request needs one.
func TestLoopbackSYNLoss(t *testing.T) {
	s := parse(t, `
name: syn-loss
duration: 1s
rate: 50
useful-within: 20s
patience: 20s
new-connections: true
faults:
  - during: {to: 2500ms}
    chance: 0.3
    syn-loss: true
`)
	report, err := Compare(t.Context(), Comparison{
		Scenario: s, Seed: 1, Clients: []Client{Bare()},
		Dependency: func() (Dependency, error) { return Loopback(s, 1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	bare := report.Clients[0]
	if bare.Run.Useful != 50 || bare.ConnectionsOpened != 50 || bare.Run.Latency.MaxMS < 1000 {
		t.Errorf("%d useful answers on %d connections in at most %v ms, want 50 on 50, some after 1000 ms",
			bare.Run.Useful, bare.ConnectionsOpened, bare.Run.Latency.MaxMS)
	}
}

func TestRemote(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	s := parse(t, "name: remote\nduration: 200ms\nrate: 50\nfaults: [{chance: 0.5, status: {code: 503}}]")
	for _, inject := range []bool{false, true} {
		report, err := Compare(t.Context(), Comparison{
			Scenario: s, Seed: 1, Clients: []Client{Bare()}, OneByOne: true,
			Dependency: func() (Dependency, error) { return Remote(server.URL, s, 1, inject) },
		})
		if err != nil {
			t.Fatal(err)
		}
		run := report.Clients[0].Run
		if run.Outcomes[ClientError]+run.Outcomes[ServerError] != 10 || (run.Outcomes[ServerError] > 0) != inject {
			t.Errorf("inject %v: %v", inject, run.Outcomes)
		}
	}
	if _, err := Remote("localhost:80", s, 1, false); err == nil || !strings.Contains(err.Error(), "must begin with http:// or https://") {
		t.Errorf("Remote: %v", err)
	}
}

// An interrupted run reports what ran.
func TestInterrupt(t *testing.T) {
	s := parse(t, "name: long\nduration: 1h\nrate: 100\nservice: {time: 1ms}")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	report, err := Compare(ctx, Comparison{
		Scenario: s, Clients: []Client{Bare()},
		Progress: func(p Progress) {
			if p.Useful > 0 {
				cancel()
			}
		},
		Dependency: func() (Dependency, error) { return Loopback(s, 1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	if run := report.Clients[0].Run; run.Offered == 0 || run.Useful == 0 || run.Offered > 6000 {
		t.Errorf("offered %d, useful %d", run.Offered, run.Useful)
	}
}

// Shards are the same schedule dealt out, and merge into the whole of it.
func TestShards(t *testing.T) {
	s := parse(t, "name: shards\nduration: 800ms\nrate: 100\nfaults: [{during: {to: 100ms}, status: {code: 503}}]")
	var shards []*Report
	for shard := range 3 {
		report, err := Compare(t.Context(), Comparison{
			Scenario: s, Clients: []Client{Bare(), Default()}, Shard: shard, Shards: 3,
			Dependency: func() (Dependency, error) { return Loopback(s, 1) },
		})
		if err != nil {
			t.Fatal(err)
		}
		shards = append(shards, throughJSON(t, report))
	}
	merged, err := Merge(shards...)
	if err != nil {
		t.Fatal(err)
	}
	bare := merged.Clients[0]
	if bare.Run.Offered != 80 || bare.Fault.Offered != 10 || bare.Run.Latency.Count != 80 || bare.Run.Outcomes[ServerError] == 0 {
		t.Errorf("merged: %+v", bare.Run)
	}
	if got := sum(bare.Cells.Offered); got != 80 || len(bare.Latencies.P50) != 1 || bare.Latencies.P50[0] == nil {
		t.Errorf("cells: %d offered, latencies %v", got, bare.Latencies)
	}
	var want float64
	for _, r := range shards {
		want = max(want, r.Clients[0].Run.Latency.MaxMS)
	}
	if got := bare.Run.Latency.MaxMS; got != want {
		t.Errorf("longest latency %v, want %v", got, want)
	}
	if !bare.Recovered {
		t.Error("bare did not recover")
	}

	other := *shards[1]
	other.Seed = 7
	if _, err := Merge(shards[0], &other); err == nil || err.Error() != "engine: merge: report 2: seed is 7, must be the same as the first's, 0" {
		t.Errorf("Merge of another seed: %v", err)
	}
	other = *shards[1]
	other.Clients = other.Clients[:1]
	if _, err := Merge(shards[0], &other); err == nil || !strings.Contains(err.Error(), "it has 1 clients, must have as many as the first, 2") {
		t.Errorf("Merge of fewer clients: %v", err)
	}
	if _, err := Merge(); err == nil {
		t.Error("Merge of nothing succeeded")
	}
}

// throughJSON returns the report as another process would read it.
func throughJSON(t *testing.T, r *Report) *Report {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var again Report
	if err := json.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	return &again
}

// What cannot be started is counted, not put off.
func TestDrops(t *testing.T) {
	s := parse(t, "name: drops\nduration: 300ms\nrate: 100\npatience: 1s\nfaults: [{black-hole: true}]")
	var report *Report
	synctest.Test(t, func(t *testing.T) {
		var err error
		report, err = Compare(t.Context(), Comparison{
			Scenario: s, Clients: []Client{Bare()}, MaxInFlight: 10,
			Dependency: func() (Dependency, error) { return Model(s, 1), nil },
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	run := report.Clients[0].Run
	if run.Offered != 30 || run.Started != 10 || run.Dropped != 20 {
		t.Errorf("offered %d, started %d, dropped %d", run.Offered, run.Started, run.Dropped)
	}
	if len(report.Warnings) == 0 || !strings.Contains(report.Warnings[0], "requests were not started at all, since too many were under way (bare 20)") {
		t.Errorf("warnings: %q", report.Warnings)
	}
}
