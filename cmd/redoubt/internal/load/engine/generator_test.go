package engine

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/redoubt-go/redoubt/redoubttest/faults"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// BenchmarkGenerator compares what a request costs the generator with what it
// costs vegeta, side by side: run it with -benchtime 5x. An iteration is a second
// of load. The custom round tripper answers at once; over loopback the server's
// share is part of both figures.
func BenchmarkGenerator(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	b.Cleanup(server.Close)
	over := &http.Transport{MaxIdleConnsPerHost: 1024}
	b.Cleanup(over.CloseIdleConnections)
	for _, bb := range []struct {
		name string
		rate int
		url  string
		base http.RoundTripper
	}{
		{"transport", 20_000, "http://dependency.test/", instantly{}},
		{"loopback", 10_000, server.URL, over},
	} {
		s, err := scenario.Parse("benchmark", fmt.Appendf(nil, "name: benchmark\nduration: 1s\npatience: 30s\nrate: %d", bb.rate))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(bb.name+"/redoubt", func(b *testing.B) {
			var cpu, lag float64
			var sent int64
			for b.Loop() {
				r, err := Run(b.Context(), Config{Scenario: s, Client: Bare(), Dependency: elsewhere{bb.base, bb.url}})
				if err != nil || r.Run.Useful == 0 {
					b.Fatal(r.Run.Outcomes, err)
				}
				cpu += r.CPUMS
				sent += r.Run.Started
				lag = max(lag, r.Generator.LagP99MS)
			}
			b.ReportMetric(1000*cpu/float64(sent), "cpu-µs/req")
			b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "req/s")
			b.ReportMetric(lag, "lag-p99-ms")
		})
		b.Run(bb.name+"/vegeta", func(b *testing.B) {
			var cpu time.Duration
			var sent int64
			for b.Loop() {
				was := cpuTime()
				attacker := vegeta.NewAttacker(vegeta.Client(&http.Client{Transport: bb.base}))
				targets := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: bb.url})
				var metrics vegeta.Metrics
				for result := range attacker.Attack(targets, vegeta.ConstantPacer{Freq: bb.rate, Per: time.Second}, time.Second, "") {
					metrics.Add(result)
				}
				metrics.Close()
				cpu += cpuTime() - was
				sent += int64(metrics.Requests)
				if metrics.Success == 0 {
					b.Fatal(metrics.Errors)
				}
			}
			b.ReportMetric(float64(cpu.Microseconds())/float64(sent), "cpu-µs/req")
			b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "req/s")
		})
	}
}

// elsewhere is a dependency that is there already.
type elsewhere struct {
	base http.RoundTripper
	url  string
}

func (elsewhere) Start(time.Time, func(faults.Event)) error   { return nil }
func (e elsewhere) Transport(time.Duration) http.RoundTripper { return e.base }
func (e elsewhere) URL() string                               { return e.url }
func (elsewhere) Counts() faults.Counts                       { return faults.Counts{} }
func (elsewhere) Close() error                                { return nil }

// instantly answers at once.
type instantly struct{}

func (instantly) RoundTrip(req *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}
