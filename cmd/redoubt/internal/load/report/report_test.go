package report

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

var (
	update = flag.Bool("update", false, "rewrite what is shown in testdata")
	rerun  = flag.Bool("record", false, "rewrite the run in virtual time in testdata, which differs by the breaker's jitter")
)

const fixture = "testdata/09-overload-trigger.json"

var recorded sync.Once

// fixed returns the report of a run in virtual time, as it once was.
func fixed(t *testing.T) *engine.Report {
	t.Helper()
	if *rerun {
		recorded.Do(func() { record(t) })
	}
	text, err := os.ReadFile(fixture)
	if err != nil {
		t.Fatal(err)
	}
	r := new(engine.Report)
	if err := json.Unmarshal(text, r); err != nil {
		t.Fatal(err)
	}
	return r
}

// record makes the report that the tests are about.
func record(t *testing.T) {
	t.Helper()
	s, err := scenario.Lookup("09")
	if err != nil {
		t.Fatal(err)
	}
	var results []*engine.Result
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []engine.Client{engine.Bare(), engine.Naive(), engine.Default()} {
			result, err := engine.Run(t.Context(), engine.Config{Scenario: s, Seed: 1, Client: c, Dependency: engine.Model(s, 1)})
			if err != nil {
				t.Fatal(err)
			}
			result.GoroutinesPeak, result.CPUMS = 0, 0
			results = append(results, result)
		}
	})
	r := engine.NewReport(s, 1, true, time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), results...)
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(fixture, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// golden compares what is shown with what was looked at once.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s (-update writes it):\n%s\nwant\n%s", name, got, want)
	}
}

func TestTerminal(t *testing.T) {
	r := fixed(t)
	var b bytes.Buffer
	if err := Terminal(&b, r); err != nil {
		t.Fatal(err)
	}
	golden(t, "terminal.txt", b.Bytes())
	if n := bytes.Count(b.Bytes(), []byte("\n")); n > 22 {
		t.Errorf("the summary has %d lines", n)
	}
}

func TestMarkdown(t *testing.T) {
	r := fixed(t)
	check, err := engine.ParseCheck("recovery <= bare + 0.5s")
	if err != nil {
		t.Fatal(err)
	}
	r.Judge("redoubt", check)
	r.Judge("naive", check)
	var b bytes.Buffer
	if err := Markdown(&b, r); err != nil {
		t.Fatal(err)
	}
	golden(t, "markdown.md", b.Bytes())
}

// What was never measured looks like nothing, not like a number.
func TestEmpty(t *testing.T) {
	s, err := scenario.Parse("empty", []byte("name: empty\ntitle: nothing ran"))
	if err != nil {
		t.Fatal(err)
	}
	none := &engine.Summary{}
	results := []*engine.Result{{Client: "bare", Run: none, Fault: none, Recovered: true}, {Client: "other", Run: none, Fault: none, Recovered: true}}
	r := engine.NewReport(s, 1, true, time.Time{}, results...)
	for name, show := range map[string]func(io.Writer, *engine.Report) error{
		"terminal": Terminal,
		"markdown": Markdown,
		"html":     func(w io.Writer, r *engine.Report) error { return HTML(w, r) },
	} {
		var b bytes.Buffer
		if err := show(&b, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(b.String(), "nothing that shows") || strings.Contains(b.String(), "NaN") {
			t.Errorf("%s: %s", name, b.String())
		}
	}
	if err := HTML(io.Discard); err != nil {
		t.Errorf("a page without reports: %v", err)
	}
}

func TestMillis(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0 ms", 0.004: "4 µs", 0.5: "0.5 ms", 57.4: "57 ms", 1800: "1.8 s", 123456: "123 s",
	} {
		if got := millis(v); got != want {
			t.Errorf("millis(%v) = %q, want %q", v, got, want)
		}
	}
	for v, want := range map[float64]string{0: "0.0 %", 0.01: "<0.1 %", 50: "50.0 %", 99.997: "99.99 %", 100: "100.0 %"} {
		if got := percent(v); got != want {
			t.Errorf("percent(%v) = %q, want %q", v, got, want)
		}
	}
}
