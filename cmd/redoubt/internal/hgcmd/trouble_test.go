package hgcmd_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A mirror that wants a password is passed over, as others may not. A primary
// that does is for people to see to: asking again can't help.
func TestHg_50_Unauthorized(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	open := serve(t, src.dir).url
	locked := before(t, open, status(http.StatusUnauthorized))
	got := h.run("--json", "--rev", src.tip, "--mirror", locked.URL, open, "d").want(t, 0).json(t)
	if s := stateOf(t, got, locked.URL); s.State != "unauthorized" {
		t.Errorf("the mirror is %+v", s)
	}
	for _, flags := range [][]string{{"--rev", src.tip}, {"--branch", "default"}} {
		r := h.run(append(flags, locked.URL, "e")...).want(t, 2)
		if !strings.Contains(r.stderr, ".netrc") {
			t.Errorf("no word of .netrc")
		}
	}
	wantAbsent(t, h.path("e"))
	if n := len(locked.commands()); n != 3 {
		t.Errorf("%d requests in three runs: %v", n, locked.commands())
	}
}

// A server all of whose answers break off is ill, however good their headers.
func TestHg_51_CutBodiesOpenTheCircuit(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	primary := serve(t, src.dir).url
	cutting := before(t, primary, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool {
		w.Header().Set("Content-Type", "application/mercurial-0.1")
		w.Header().Set("Content-Length", "500")
		w.Write([]byte("lookup"))
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	for i, dest := range []string{"a", "b", "c"} {
		got := h.run("--json", "--rev", src.tip, "--mirror", cutting.URL, primary, dest).want(t, 0).json(t)
		if s := stateOf(t, got, cutting.URL); i == 2 && s.Before != "open" {
			t.Errorf("third run: %+v", s)
		}
	}
	if n := len(cutting.commands()); n != 5 {
		t.Errorf("%d requests, want 5 that open the circuit", n)
	}
}

// What a killed run left in TMPDIR is removed by the next.
func TestHg_52_TemporaryFiles(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	hole := blackHole(t)
	cmd := h.command("--rev", src.tip, "http://"+hole.Addr().String(), "d")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 {
		if hole.conns.Load() > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	cmd.Process.Kill()
	cmd.Wait()
	h.run("--rev", src.tip, serve(t, src.dir).url, "d").want(t, 0)
	left, err := os.ReadDir(filepath.Join(h.dir, "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}

func TestHg_53_Spans(t *testing.T) {
	t.Parallel()
	h, src := newHome(t, "OTEL_TRACES_EXPORTER=console"), small(t)
	url := serve(t, src.dir).url
	r := h.run("--rev", src.tip, strings.Replace(url, "://", "://bob:s3cr3t@", 1), "d").want(t, 0)
	for _, name := range []string{"checkout", "redoubt hg", "GET", "hg pull", "hg update", "hg identify"} {
		if !strings.Contains(r.stderr, `"Name":"`+name+`"`) {
			t.Errorf("no span %q", name)
		}
	}
	if traces := strings.Count(r.stderr, `"Parent":{"TraceID":"00000000000000000000000000000000"`); traces != 1 {
		t.Errorf("%d traces, want 1", traces)
	}
	if strings.Contains(r.stderr, "s3cr3t") {
		t.Error("the password shows in the spans")
	}
}

// A mirror that is another repository, or none, is not asked again at once.
func TestHg_54_Memory(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	primary := serve(t, src.dir).url
	missing := before(t, primary, status(http.StatusNotFound))
	run := func(dest string) (state string) {
		got := h.run("--json", "--rev", src.tip, "--mirror", missing.URL, primary, dest).want(t, 0).json(t)
		return stateOf(t, got, missing.URL).State
	}
	first, second := run("a"), run("b")
	if n := len(missing.commands()); n != 1 || first != "foreign" || second != "remembered" {
		t.Errorf("%d requests, then %s and %s", n, first, second)
	}
	if r := h.run("status").want(t, 0); !strings.Contains(r.stdout, missing.URL) {
		t.Errorf("status:\n%s", r.stdout)
	}
	h.run("reset", missing.URL).want(t, 0)
	if again := run("c"); again != "foreign" || len(missing.commands()) != 2 {
		t.Errorf("after reset: %s, %d requests", again, len(missing.commands()))
	}
}
