//go:build unix

package loadcmd

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// runFront runs "redoubt serve" before an upstream, calls use with the addresses
// that it says, and ends it.
func runFront(t *testing.T, upstream string, env []string, use func(guarded, bare, report string), args ...string) (outcome, *exec.Cmd) {
	t.Helper()
	cmd := prepare(t)
	cmd.Args = append([]string{binary, "serve", "--upstream", upstream, "--listen", "127.0.0.1:0", "--bare", "localhost:0", "--admin", "127.0.0.1:0"}, args...)
	cmd.Env = append(os.Environ(), env...)
	stderr := &notifier{word: "/report.json\n", heard: make(chan struct{})}
	return finish(t, cmd, stderr, func(p *os.Process) {
		select {
		case <-stderr.heard:
			fields := map[string]string{}
			for field := range strings.FieldsSeq(stderr.String()) {
				name, value, _ := strings.Cut(field, "=")
				fields[name] = value
			}
			use(fields["guarded"], fields["bare"], fields["report"])
		case <-time.After(generous):
			t.Error("it does not say where it listens")
		}
		_ = p.Signal(syscall.SIGTERM)
	}), cmd
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(body)
}

// The front as somebody uses it: two sides, a report, and an end that loses
// nothing.
func TestServe(t *testing.T) {
	t.Parallel()
	var collected atomic.Int64
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/traces" {
			collected.Add(1)
		}
	}))
	t.Cleanup(collector.Close)
	slow := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/base/slow" {
			close(slow)
			time.Sleep(time.Second)
		}
		_, _ = io.WriteString(w, "from "+r.URL.Path)
	}))
	t.Cleanup(upstream.Close)
	last := make(chan string, 1)
	got, cmd := runFront(t, upstream.URL+"/base",
		[]string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + collector.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_METRICS_EXPORTER=none"},
		func(guarded, bare, report string) {
			for range 3 {
				contains(t, "an answer", get(t, guarded+"a"), "from /base/a")
			}
			contains(t, "an answer", get(t, bare+"b"), "from /base/b")
			contains(t, "the report", get(t, report), `"client":"bare"`, `"client":"redoubt"`, `"arrivals":3`, `"amplification":1`)
			go func() { last <- get(t, guarded+"slow") }()
			<-slow // is under way when the front is asked to end
		},
		"--limit", "1m", "--attempt-timeout", "30s", "--useful-within", "30s", "--drain", "30s", "--json", "out.json", "--report", "r.html", "--hdr", "out.hlog")
	if got.code != 0 {
		t.Fatalf("exit code %d: %s", got.code, got.stderr)
	}
	if answer := <-last; answer != "from /base/slow" {
		t.Errorf("what was under way: %q", answer)
	}
	contains(t, "stdout", got.stdout, "front: what passed through the front", "useful answers", "100.0 %", "plots: r.html")
	contains(t, "JSON", read(t, cmd.Dir, "out.json"), `"offered":4`)
	contains(t, "the page", read(t, cmd.Dir, "r.html"), "what passed through the front")
	contains(t, "the log of histograms", read(t, cmd.Dir, "out.hlog"), "Tag=redoubt,")
	if collected.Load() == 0 {
		t.Error("no traces were exported")
	}
}

// Requests that do not end are cut off, and that is told.
func TestServeDrain(t *testing.T) {
	t.Parallel()
	stuck := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(stuck)
		<-r.Context().Done()
	}))
	t.Cleanup(upstream.Close)
	got, _ := runFront(t, upstream.URL, nil, func(_, bare, _ string) {
		go func() {
			if resp, err := http.Get(bare); err == nil {
				_ = resp.Body.Close()
			}
		}()
		<-stuck
	}, "--drain", "200ms")
	if got.code != 1 {
		t.Errorf("exit code %d", got.code)
	}
	contains(t, "stderr", got.stderr, "redoubt: requests were still under way after --drain, 200ms")
	contains(t, "stdout", got.stdout, "front: what passed through the front")
}

// A port that is taken, and mistakes, are told before anything is served.
func TestServeBadInput(t *testing.T) {
	t.Parallel()
	taken := httptest.NewServer(nil)
	t.Cleanup(taken.Close)
	for _, tt := range []struct {
		code int
		args []string
		want string
	}{
		{2, nil, `--upstream is "", must begin with http:// or https:// and a host`},
		{2, []string{"--upstream", "localhost:80"}, `--upstream is "localhost:80", must begin with http:// or https://`},
		{2, []string{"--upstream", "http://localhost", "--listen", "8080"}, `--listen is "8080", must be HOST:PORT`},
		{2, []string{"--upstream", "http://localhost", "--admin", "0.0.0.0:0"}, `--admin is "0.0.0.0:0", must be on this machine (localhost, 127.0.0.1, ::1) unless --expose is given`},
		{2, []string{"--upstream", "http://localhost", "--limit", "1s", "--attempt-timeout", "2s"}, "--attempt-timeout is 2s, must be at most --limit, 1s"},
		{2, []string{"--upstream", "http://localhost", "--hdr", "none/x"}, `--hdr is "none/x", must be in a directory that exists`},
		{2, []string{"--upstream", "http://localhost", "more"}, "unknown command"},
		{1, []string{"--upstream", "http://localhost", "--listen", strings.TrimPrefix(taken.URL, "http://")}, "--listen: listen tcp "},
	} {
		t.Run(fmt.Sprint(tt.args), func(t *testing.T) {
			t.Parallel()
			cmd := prepare(t)
			cmd.Args = append([]string{binary, "serve"}, tt.args...)
			got := finish(t, cmd, new(strings.Builder), nil)
			if got.code != tt.code || got.stdout != "" || !strings.Contains(got.stderr, tt.want) {
				t.Errorf("exit code %d, want %d; stdout %q, stderr %q, want %q", got.code, tt.code, got.stdout, got.stderr, tt.want)
			}
		})
	}
}
