//go:build unix

package loadcmd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/cmdtest"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// These tests run the command as it is built, in real time: runs are short and
// limits are long.

// generous is how long anything here may take at most.
const generous = time.Minute

var binary string

func TestMain(m *testing.M) { cmdtest.Main(m, &binary) }

type outcome struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// drive runs "redoubt load" in an empty directory.
func drive(t *testing.T, args ...string) (outcome, string) {
	t.Helper()
	cmd := prepare(t, args...)
	return finish(t, cmd, new(bytes.Buffer), nil), cmd.Dir
}

func prepare(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), generous)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, append([]string{"load"}, args...)...)
	cmd.Dir = t.TempDir()
	cmd.WaitDelay = time.Second
	return cmd
}

// finish runs a command to its end. during, if not nil, is called while it runs.
func finish(t *testing.T, cmd *exec.Cmd, stderr interface {
	io.Writer
	fmt.Stringer
}, during func(*os.Process),
) outcome {
	t.Helper()
	var stdout bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if during != nil {
		during(cmd.Process)
	}
	if err := cmd.Wait(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(start)}
}

// A scenario of one second whose fault strikes the same requests of each client.
const short = `
name: short
title: two requests in five fail
duration: 1s
rate: 50
useful-within: 5s
patience: 20s
service: {time: 1ms, body: 100}
faults:
  - during: {from: 200ms, to: 600ms}
    chance: 0.4
    per: request
    status: {code: 503}
`

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "short.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func contains(t *testing.T, what, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("%s does not have %q:\n%s", what, want, text)
		}
	}
}

// What a run shows, and the files it leaves.
func TestLoad(t *testing.T) {
	t.Parallel()
	got, dir := drive(t, "--scenario", write(t, short), "--duration", "2500ms", "--json", "out.json",
		"--hdr", "out.hlog", "--vegeta", "out.jsonl", "--check", "useful <= bare + 100", "--check", "naive: amplification >= 0.1")
	if got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.stderr)
	}
	contains(t, "stdout", got.stdout, "short: two requests in five fail", "50 requests/s for 2.5 s, seed 1; status (40 %) at 0.2–0.6 s",
		"bare   ", "useful answers, whole run", "naive ", "redoubt ", "plots: redoubt-report.html")
	contains(t, "stderr", got.stderr, "scenario=short at=", " naive.offered=", " redoubt.breaker=closed")
	contains(t, "the page", read(t, dir, "redoubt-report.html"), "<!DOCTYPE html>", "two requests in five fail", "uPlot")

	var report engine.Report
	if err := json.Unmarshal([]byte(read(t, dir, "out.json")), &report); err != nil {
		t.Fatal(err)
	}
	if report.Schema != engine.Schema || len(report.Clients) != 3 || report.Clients[0].Run.Offered != 125 || len(report.Checks) != 2 {
		t.Errorf("JSON: schema %s, %d clients, %d offered, checks %v", report.Schema, len(report.Clients), report.Clients[0].Run.Offered, report.Checks)
	}
	contains(t, "the log of histograms", read(t, dir, "out.hlog"), "#[Histogram log format version 1.3]\n", "\nTag=bare,2.000,0.500,", "\nTag=redoubt,0.000,1.000,")
	if lines := strings.Count(read(t, dir, "out.jsonl"), "\n"); lines != 3*125 {
		t.Errorf("%d results for vegeta", lines)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 4 {
		t.Errorf("files: %v, %v", files, err)
	}
}

// The layers may come from files. What they do is shown before the run, and on
// the page; mistakes are refused.
func TestTarget(t *testing.T) {
	t.Parallel()
	files := t.TempDir()
	save := func(name, text string) string {
		t.Helper()
		file := filepath.Join(files, name)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	good := save("good.yaml", "stack: [{timeout: 10s}, {retry: {budget: {}}}, {breaker: {name: b, consecutive: 500}}, {timeout: 2s}]")
	other := save("other.yaml", "stack: [{timeout: 10s}]")
	bad := save("bad.yaml", "stack: [{timeout: 1s}, {timeout: 2s}]")

	got, dir := drive(t, "--scenario", write(t, short), "--target", good, "--json", "out.json", "--check", "amplification >= 1")
	if got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.stderr)
	}
	contains(t, "stderr", got.stderr, "redoubt: a stack of 4 layers from a file", "bounds the whole call", "longest call   10s")
	contains(t, "stdout", got.stdout, "redoubt gains: ")
	contains(t, "the page", read(t, dir, "redoubt-report.html"), "The layers, as redoubt explain has them", "bounds the whole call")
	var report engine.Report
	if err := json.Unmarshal([]byte(read(t, dir, "out.json")), &report); err != nil {
		t.Fatal(err)
	}
	if c := report.Clients[2]; c.Client != "redoubt" || !strings.Contains(c.Explanation, "bounds each attempt") || c.Parameters["attempt_timeout"] != 2000 {
		t.Errorf("client %s, parameters %v, explanation:\n%s", c.Client, c.Parameters, c.Explanation)
	}

	got, _ = drive(t, "--scenario", write(t, short), "--target", good, "--target", other, "--report", "", "--clients", "bare,redoubt", "--markdown")
	contains(t, "stdout", got.stdout, "good", "other")

	got, _ = drive(t, "--target", bad)
	if want := "redoubt: --target: stackfile: " + bad + ":1: redoubt: timeout.Limit(2s) inside of timeout.Limit(1s) can never expire first\n"; got.code != 2 || got.stderr != want {
		t.Errorf("exit code %d, %s", got.code, got.stderr)
	}
}

func TestMissedCheck(t *testing.T) {
	t.Parallel()
	got, dir := drive(t, "--scenario", write(t, short), "--clients", "bare", "--check", "amplification <= 0.5", "--markdown", "-q")
	if got.code != 1 {
		t.Errorf("exit code %d", got.code)
	}
	contains(t, "stderr", got.stderr, "redoubt: check short: missed: bare: amplification <= 0.5: got ", ", want <= 0.5\n")
	contains(t, "stdout", got.stdout, "### redoubt load: short", "| | bare |\n|---|---:|\n| useful answers, whole run |", "- missed: bare: ")
	if strings.Contains(got.stdout, "plots:") || strings.Contains(got.stderr, "scenario=") {
		t.Errorf("stdout %s, stderr %s", got.stdout, got.stderr)
	}
	read(t, dir, "redoubt-report.html") // nothing is lost
}

// Several rates are several runs, and a sweep on the page.
func TestSweep(t *testing.T) {
	t.Parallel()
	got, dir := drive(t, "--scenario", write(t, short), "--rate", "20,40", "--duration", "300ms", "--clients", "bare,redoubt", "--json", "out.json", "--report", "r.html")
	if got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.stderr)
	}
	contains(t, "stdout", got.stdout, "20 requests/s for 0.3 s", "40 requests/s for 0.3 s")
	if lines := strings.Count(read(t, dir, "out.json"), "\n"); lines != 2 {
		t.Errorf("%d lines of JSON", lines)
	}
	contains(t, "the page", read(t, dir, "r.html"), `data-plot="sweep"`, "2 runs")
}

// The user's own server, as it is and with faults put before it.
func TestURL(t *testing.T) {
	t.Parallel()
	var served atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served.Add(1) }))
	defer server.Close()
	file := write(t, strings.Replace(short, "chance: 0.4", "chance: 1", 1))
	got, _ := drive(t, "--scenario", file, "--clients", "bare", "--report", "", "--check", "useful == 100", server.URL)
	if n := served.Load(); got.code != 0 || n != 50 {
		t.Errorf("exit code %d, %d requests served: %s%s", got.code, n, got.stdout, got.stderr)
	}
	got, dir := drive(t, "--scenario", file, "--clients", "bare", "--report", "", "--inject", "--check", "useful@fault == 0", server.URL)
	if n := served.Load() - 50; got.code != 0 || n != 30 {
		t.Errorf("exit code %d, %d requests served: %s%s", got.code, n, got.stdout, got.stderr)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
		t.Errorf("files: %v, %v", files, err)
	}
	got, _ = drive(t, "--scenario", "09", "--duration", "200ms", "--clients", "bare", "--report", "", server.URL)
	if strings.Contains(got.stdout, "during the fault") {
		t.Errorf("a server as it is has no faults of ours: %s", got.stdout)
	}
	contains(t, "stdout", got.stdout, "as-it-is: the server as it is, with the load of 09-overload-trigger\n200 requests/s for 0.2 s, seed 1; no faults of ours\n")
	server.Close()
	got, _ = drive(t, server.URL)
	if got.code != 1 || got.took > generous/2 {
		t.Errorf("exit code %d after %v", got.code, got.took)
	}
	contains(t, "stderr", got.stderr, "redoubt: "+server.URL+" can't be reached, nothing was run: ", "refused")
}

// An interrupt ends the run, and what ran is shown.
func TestInterrupt(t *testing.T) {
	t.Parallel()
	cmd := prepare(t, "--scenario", "09", "--duration", "1h", "--clients", "bare,redoubt", "--json", "out.json", "--vegeta", "out.jsonl")
	stderr := &notifier{word: "scenario=09", heard: make(chan struct{})}
	got := finish(t, cmd, stderr, func(p *os.Process) {
		select {
		case <-stderr.heard: // some of it has run
		case <-time.After(generous):
		}
		_ = p.Signal(syscall.SIGINT)
	})
	if got.code != 130 {
		t.Errorf("exit code %d after %v", got.code, got.took)
	}
	contains(t, "stdout", got.stdout, "WARNING: interrupted after ", " of 1h0m0s: the numbers are of that time", "amplification", "plots: redoubt-report.html")
	contains(t, "stderr", got.stderr, "redoubt: received signal: interrupt")
	if strings.Contains(got.stdout, "never") {
		t.Errorf("what had no time to recover never did: %s", got.stdout)
	}
	contains(t, "the page", read(t, cmd.Dir, "redoubt-report.html"), "interrupted after ")
	contains(t, "JSON", read(t, cmd.Dir, "out.json"), `"redoubt-load/1"`)
	contains(t, "results for vegeta", read(t, cmd.Dir, "out.jsonl"), `{"attack":"bare","seq":0,"code":`) // what code depends on the machine
}

// A notifier keeps what is written to it, and tells when a word was.
type notifier struct {
	word  string
	heard chan struct{}

	mu   sync.Mutex
	text strings.Builder
	once sync.Once
}

func (n *notifier) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.text.Write(p)
	if strings.Contains(n.text.String(), n.word) {
		n.once.Do(func() { close(n.heard) })
	}
	return len(p), nil
}

func (n *notifier) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}

// Shards make the run between them, and their reports are one.
func TestShards(t *testing.T) {
	t.Parallel()
	file, dir := write(t, short), t.TempDir()
	begin := time.Now().Add(8 * time.Second).UTC().Format(time.RFC3339Nano)
	var shards []*exec.Cmd
	for _, i := range []string{"1", "2"} {
		cmd := prepare(t, "--scenario", file, "--rate", "100", "--clients", "bare,redoubt", "--shard", i+"/2", "--start-at", begin,
			"--report", "", "--json", filepath.Join(dir, i+".json"), "-q")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		shards = append(shards, cmd)
	}
	for _, cmd := range shards {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	merge := func(args ...string) outcome {
		cmd := prepare(t)
		cmd.Args = append([]string{binary, "report", "merge"}, args...)
		cmd.Dir = dir
		return finish(t, cmd, new(bytes.Buffer), nil)
	}
	got := merge("--json", "whole.json", "1.json", "2.json")
	if got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.stderr)
	}
	contains(t, "stdout", got.stdout, "100 requests/s for 1 s, seed 1", "plots: redoubt-report.html")
	var one, whole engine.Report
	for name, into := range map[string]*engine.Report{"1.json": &one, "whole.json": &whole} {
		if err := json.Unmarshal([]byte(read(t, dir, name)), into); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := one.Clients[0].Run.Offered, whole.Clients[0].Run.Offered; a != 50 || b != 100 {
		t.Errorf("a shard offered %d, all offered %d", a, b)
	}
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"short.yaml: is not what redoubt load --json writes", []string{file}},
		{"requires at least 1 arg", nil},
		{"none.json: no such file", []string{"none.json"}},
	} {
		if got := merge(tt.args...); got.code != 2 || !strings.Contains(got.stderr, tt.want) {
			t.Errorf("merge %v: exit code %d, %s", tt.args, got.code, got.stderr)
		}
	}
}

// Bursts grow with the rate, in the text too.
func TestOverride(t *testing.T) {
	s, err := scenario.Lookup("26")
	if err != nil {
		t.Fatal(err)
	}
	twice, err := override(s, 2*s.Rate, 9*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if twice.Rate != 2*s.Rate || twice.Duration != 9*time.Second || len(twice.Bursts) == 0 || twice.Bursts[0].Rate != 2*s.Bursts[0].Rate {
		t.Errorf("rate %v, duration %v, bursts %v of %v", twice.Rate, twice.Duration, twice.Bursts, s.Bursts)
	}
	if same, err := override(s, 0, 0); err != nil || same != s {
		t.Errorf("nothing to override: %v", err)
	}
}

// Mistakes are told before anything runs: field, value and rule.
func TestBadInput(t *testing.T) {
	t.Parallel()
	bad := write(t, "name: bad\nrate: fast\n")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"a", "b"}, "accepts at most 1 arg"},
		{[]string{"--scenario", "nonsense"}, `--scenario is "nonsense", must be a YAML file, all, or a name of the catalogue`},
		{[]string{"--scenario", "./none.yaml"}, `--scenario is "./none.yaml", must be a file that can be read`},
		{[]string{"--scenario", bad}, "short.yaml:2"},
		{[]string{"--rate", "0"}, `"0" for "--rate" flag: must be a number of requests a second, above 0 and at most 100000`},
		{[]string{"--rate", "NaN"}, "must be a number of requests a second"},
		{[]string{"--rate", "1,x"}, "must be a number of requests a second"},
		{[]string{"--duration", "0.05"}, `"0.05" for "--duration" flag: must be at least 100ms`},
		{[]string{"--duration", "soon"}, `"soon" for "--duration" flag: must be a number of seconds or a duration`},
		{[]string{"--seed", "-1"}, `"-1" for "--seed" flag`},
		{[]string{"--clients", "bare,bold"}, `--clients has "bold", must be some of bare, naive, redoubt`},
		{[]string{"--clients", "bare,bare"}, `--clients has "bare", must be some of bare, naive, redoubt, each once`},
		{[]string{"--clients", ""}, "--clients is empty"},
		{[]string{"--target", "missing.yaml"}, "--target: stackfile: missing.yaml: open: no such file or directory"},
		{[]string{"--target", "missing.yaml", "--clients", "bare"}, "--target is for the client redoubt, which --clients does not have"},
		{[]string{"--target", "a/bare.yaml", "--target", "b.yaml"}, `--target is "a/bare.yaml", must have a name that no other client has: bare`},
		{[]string{"--check", "beauty >= 1"}, `metric is "beauty", must be one of`},
		{[]string{"--check", "useful >= best + 1"}, `"best" is neither a client nor a parameter`},
		{[]string{"--check", "nobody: useful >= 1"}, "no such client"},
		{[]string{"--scenario", "01", "--check", "useful@after >= 1"}, "no such scope in this scenario"},
		{[]string{"--inject"}, "--inject is for a URL, and there is none"},
		{[]string{"localhost:80"}, `URL is "localhost:80", must begin with http:// or https://`},
		{[]string{"http://example.org/"}, "must be on this machine (localhost, 127.0.0.1, ::1), or else yours: --i-own-this-target"},
		{[]string{"--scenario", "all", "http://localhost:1/"}, "--scenario is all, must be one for a URL without --inject"},
		{[]string{"--rate", "2000", "http://localhost:1/"}, "the rate is 2000/s, must be at most --max-rate, 1000/s"},
		{[]string{"--shard", "3/2"}, `"3/2" for "--shard" flag: must be i/n`},
		{[]string{"--shard", "1/2"}, "--start-at is missing, must be the same time for all shards"},
		{[]string{"--start-at", "soon"}, `"soon" for "--start-at" flag: must be a time such as`},
		{[]string{"--start-at", "1"}, "must be in the future"},
		{[]string{"--duration", "48h"}, "duration is "},
		{[]string{"--report", "none/r.html"}, `--report is "none/r.html", must be in a directory that exists`},
		{[]string{"--hdr", "none/r.hlog"}, `--hdr is "none/r.hlog", must be in a directory that exists`},
		{[]string{"--vegeta", "."}, `--vegeta is ".", must not be a directory`},
		{[]string{"--json", "."}, `--json is ".", must not be a directory`},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			t.Parallel()
			got, dir := drive(t, tt.args...)
			if got.code != 2 || got.stdout != "" || !strings.Contains(got.stderr, tt.want) || !strings.HasPrefix(got.stderr, "redoubt: ") {
				t.Errorf("exit code %d, want 2; stdout %q, stderr %q, want %q", got.code, got.stdout, got.stderr, tt.want)
			}
			if files, err := os.ReadDir(dir); err != nil || len(files) > 0 {
				t.Errorf("files: %v, %v", files, err)
			}
		})
	}
}

func TestListAndSchema(t *testing.T) {
	t.Parallel()
	got, _ := drive(t, "--list")
	if got.code != 0 || strings.Count(got.stdout, "\n") < 24 {
		t.Errorf("exit code %d: %s", got.code, got.stdout)
	}
	contains(t, "the list", got.stdout, "09-overload-trigger    two seconds of overload")
	got, _ = drive(t, "--schema")
	if got.code != 0 || got.stdout != string(engine.JSONSchema()) {
		t.Errorf("exit code %d: %.200s", got.code, got.stdout)
	}
}

// The line on a terminal, and the pairs elsewhere.
func TestStatus(t *testing.T) {
	s := &status{label: "x", whole: 20 * time.Second, order: []string{"bare", "redoubt"}, clients: map[string]*pace{"bare": {}, "redoubt": {}}}
	for at := range 5 {
		for _, c := range s.order {
			p := engine.Progress{Client: c, At: time.Duration(at) * 500 * time.Millisecond, Offered: int64(100 * at), Useful: int64(90 * at), Amplification: 1.5, InFlight: 3}
			if c == "redoubt" {
				p.Breaker = "open"
			}
			s.tell(p)
		}
	}
	if got, want := s.line(), "2/20 s  useful/s: bare 180, redoubt 180 (open)  in flight: 3, 3  x"; got != want {
		t.Errorf("line %q, want %q", got, want)
	}
	contains(t, "pairs", s.pairs(), "scenario=x at=2.0s bare.offered=400 bare.useful=360 bare.useful_per_s=180 bare.amplification=1.50 bare.in_flight=3 redoubt.", "redoubt.breaker=open")
	if got := clip("übermäßig", 5); got != "über…" {
		t.Errorf("clip: %q", got)
	}
}
