package engine_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// recorded runs a scenario of which two in five requests fail, in virtual time.
func recorded(t *testing.T, histograms bool, sample func(engine.Sample)) *engine.Report {
	t.Helper()
	s, err := scenario.Parse("outputs", []byte(`
name: outputs
title: two requests in five fail
duration: 2500ms
rate: 40
method: POST
service: {time: 5ms, body: 100}
faults:
  - chance: 0.4
    per: request
    status: {code: 503}
`))
	if err != nil {
		t.Fatal(err)
	}
	var results []*engine.Result
	var begun time.Time
	for _, client := range []engine.Client{engine.Bare(), engine.Naive()} {
		synctest.Test(t, func(t *testing.T) {
			begun = time.Now()
			result, err := engine.Run(t.Context(), engine.Config{
				Scenario: s, Seed: 1, Client: client, Dependency: engine.Model(s, 1), Histograms: histograms, Sample: sample,
			})
			if err != nil {
				t.Fatal(err)
			}
			results = append(results, result)
		})
	}
	return engine.NewReport(s, 1, true, begun, results...)
}

// What WriteHDR writes is read by the reader that comes with the histograms, and
// holds every request once.
func TestHDR(t *testing.T) {
	report := recorded(t, true, nil)
	var b bytes.Buffer
	if err := engine.WriteHDR(&b, report); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "#[StartTime: 946684800.000 (seconds since epoch), 2000-01-01T00:00:00Z]\n") {
		t.Errorf("no start time: %.300s", b.String())
	}
	counts := map[string]int64{}
	last := map[string]int64{}
	reader := hdrhistogram.NewHistogramLogReader(&b)
	for {
		h, err := reader.NextIntervalHistogram()
		if err != nil {
			t.Fatal(err)
		}
		if h == nil {
			break
		}
		counts[h.Tag()] += h.TotalCount()
		last[h.Tag()] = h.EndTimeMs() - report.Started.UnixMilli()
	}
	for _, c := range report.Clients {
		if got, want := counts[c.Client], c.Run.Latency.Count; got != want {
			t.Errorf("%s: %d requests in the log, want %d", c.Client, got, want)
		}
		if got, want := counts[c.Client+".failed"], c.Run.FailureTime.Count; got != want || got == 0 {
			t.Errorf("%s: %d failures in the log, want %d", c.Client, got, want)
		}
		if got := last[c.Client]; got != 2500 {
			t.Errorf("%s: the log ends after %d ms, want 2500", c.Client, got)
		}
	}
	if len(counts) != 4 {
		t.Errorf("tags and counts: %v", counts)
	}
	b.Reset()
	if err := engine.WriteHDR(&b, report, report); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(b.String(), "Tag=outputs@40/bare.failed,") {
		t.Error("two reports can't be told apart")
	}
	if err := engine.WriteHDR(io.Discard, recorded(t, false, nil)); err == nil {
		t.Error("no histograms, and no error")
	}
}

// What a VegetaLog writes is read by vegeta's own decoder.
func TestVegeta(t *testing.T) {
	var b bytes.Buffer
	log := engine.NewVegetaLog(&b)
	log.Prefix = "run/"
	report := recorded(t, false, log.Add)
	if err := log.Flush(); err != nil {
		t.Fatal(err)
	}
	decoder := vegeta.DecoderFor(&b)
	if decoder == nil {
		t.Fatal("vegeta does not know the encoding")
	}
	metrics := map[string]*vegeta.Metrics{}
	seen := map[string]map[uint64]bool{}
	for {
		var r vegeta.Result
		if err := decoder.Decode(&r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if metrics[r.Attack] == nil {
			metrics[r.Attack], seen[r.Attack] = &vegeta.Metrics{}, map[uint64]bool{}
		}
		metrics[r.Attack].Add(&r)
		seen[r.Attack][r.Seq] = true
		if r.Method != "POST" || r.URL != "http://dependency.test/" || r.BytesOut == 0 || r.Timestamp.Before(report.Started) ||
			(r.Code == 200) != (r.BytesIn == 100) || (r.Code == 200) != (r.Error == "") {
			t.Fatalf("result %+v", r)
		}
	}
	for _, c := range report.Clients {
		m := metrics["run/"+c.Client]
		if m == nil {
			t.Fatalf("no attack of %s: %v", c.Client, metrics)
		}
		m.Close()
		if got, want := int64(m.Requests), c.Run.Started; got != want || !seen["run/"+c.Client][uint64(want-1)] {
			t.Errorf("%s: %d requests, want %d, numbered from 0", c.Client, got, want)
		}
		if got, want := 100*m.Success, c.Run.SuccessPercent; got < want-0.001 || got > want+0.001 {
			t.Errorf("%s: %v %% success, want %v", c.Client, got, want)
		}
		if got, want := float64(m.Latencies.Max)/1e6, c.Run.Latency.MaxMS; got < want*0.99 || got > want*1.01 {
			t.Errorf("%s: longest took %v ms, want %v", c.Client, got, want)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left") }

func TestVegetaFull(t *testing.T) {
	log := engine.NewVegetaLog(full{})
	for range 2000 {
		log.Add(engine.Sample{Client: "bare", Outcome: engine.Useful})
	}
	if err := log.Flush(); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
}
