package hgcmd_test

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
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

// What calls hgtool by its name need not change.
func TestHg_55_HgtoolByName(t *testing.T) {
	t.Parallel()
	src := small(t)
	primary := serve(t, src.dir).url
	for _, name := range []string{"hgtool", "hgtool.py"} {
		h := newHome(t, "HG_REV="+src.tip)
		cmd := h.command("--purge", primary, "d")
		if err := os.Symlink(cmd.Path, h.path(name)); err != nil {
			t.Fatal(err)
		}
		cmd.Path, cmd.Args = h.path(name), []string{h.path(name), "--purge", primary, "d"}
		r := finish(t.Context(), t, cmd, cmd.Args).want(t, 0)
		if want := "Got revision " + src.tip[:12] + "\n"; r.stdout != want {
			t.Errorf("%s: stdout %q, want %q", name, r.stdout, want)
		}
		wantCopy(t, h.path("d"), src.tip)
	}
}

// --noupdate makes the store ready and leaves DEST alone, whatever is there.
func TestHg_56_NoUpdate(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	primary := serve(t, src.dir)
	h.run("--noupdate", primary.url).want(t, 2)
	write(t, h.path("d/file"), "not ours")
	args := []string{"--noupdate", "--share-base", "base", "--rev", src.tip, primary.url}
	h.run(append(args[:4:4], strings.Repeat("ab", 20), primary.url, "d")...).want(t, 65)
	if r := h.run(append([]string{"--plan"}, args...)...).want(t, 0); !strings.Contains(r.stdout, "leave the working copy alone") {
		t.Errorf("plan:\n%s", r.stdout)
	}
	if r := h.run(append(args, "d")...).want(t, 0); r.stdout != src.tip+"\n" {
		t.Errorf("stdout %q", r.stdout)
	}
	if text, err := os.ReadFile(h.path("d/file")); err != nil || string(text) != "not ours" {
		t.Errorf("DEST: %q, %v", text, err)
	}
	wantAbsent(t, h.path("d.lock"))
	primary.stop()
	h.run(append([]string{"--verify", "store"}, args...)...).want(t, 0)
	h.run("--share-base", "base", "--rev", src.tip, primary.url, "e").want(t, 0)
	wantCopy(t, h.path("e"), src.tip)
}

// A damaged store doesn't pass --verify store, and --repair fetches it anew.
func TestHg_57_NoUpdateOfDamage(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	primary := serve(t, src.dir).url
	args := []string{"--noupdate", "--verify", "store", "--share-base", "base", "--rev", src.tip, primary}
	h.run(args...).want(t, 0)
	manifests, err := filepath.Glob(h.path("base/*/.hg/store/00manifest.i"))
	if err != nil || len(manifests) != 1 {
		t.Fatalf("%v, %v", manifests, err)
	}
	if err := os.Truncate(manifests[0], 100); err != nil {
		t.Fatal(err)
	}
	h.run(args...).want(t, 72)
	h.run(append([]string{"--repair"}, args...)...).want(t, 0)
	wantSound(t, filepath.Join(manifests[0], "../../.."))
}

// A plan honours circuits and leaves them as they are.
func TestHg_58_PlanLeavesCircuits(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	primary := serve(t, src.dir).url
	args := []string{"--rev", src.tip, "--mirror", refusing(t), "--breaker-failures", "1", primary, "d"}
	plan := h.run(append([]string{"--plan"}, args...)...).want(t, 0)
	if r := h.run("status").want(t, 0); strings.Contains(r.stdout, "open") {
		t.Errorf("after a plan:\n%s", r.stdout)
	}
	if !strings.Contains(plan.stdout, "skip ") {
		t.Errorf("plan:\n%s", plan.stdout)
	}
	run := h.run(args...).want(t, 0)
	if strings.Contains(run.stderr, "breaker=") || !strings.Contains(run.stderr, ": left alone for ") {
		t.Errorf("how a circuit that opens is told:\n%s", run.stderr)
	}
	if r := h.run("status").want(t, 0); !strings.Contains(r.stdout, "open") {
		t.Errorf("after a run:\n%s", r.stdout)
	}
}

// Who mistypes a server or a command is told.
func TestHg_59_Mistyped(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	if r := h.run("reset", "http://h.invalid").want(t, 0); !strings.Contains(r.stderr, "nothing was known of http://h.invalid") {
		t.Errorf("stderr %q", r.stderr)
	}
	if r := h.run("statsu").want(t, 2); !strings.Contains(r.stderr, `URL is "statsu", a path here`) {
		t.Errorf("stderr %q", r.stderr)
	}
}

// A number of seconds is a time, as hgtool and redo have it.
func TestHg_63_Seconds(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	h.run("--budget", "60", "--lock-wait", "0.5", "--rev", src.tip, serve(t, src.dir).url, "d").want(t, 0)
	for _, args := range [][]string{{"--budget", "0"}, {"--budget", "soon"}, {"--lock-wait", "-1"}} {
		if r := h.run(append(args, "http://h.invalid", "e")...).want(t, 2); !strings.Contains(r.stderr, "must ") {
			t.Errorf("%v: no rule in %q", args, r.stderr)
		}
	}
}

// Who leaves a comma in a list of URLs is told without the passwords.
func TestHg_64_SecretInAnOperandTooMany(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	if r := h.run("http://h.invalid", "d", "https://bob:s3cr3t@h.invalid/x?s3cr3t").want(t, 2); strings.Contains(r.stderr, "s3cr3t") {
		t.Errorf("the password shows: %s", r.stderr)
	}
}

// A file that may not grow is no fault of the source, and no retry helps.
func TestHg_65_FileTooLarge(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), big(t)
	url := serve(t, src.dir).url
	for _, args := range [][]string{{}, {"--share-base", h.path("pool")}} {
		args = append(args, "--rev", src.tip, url, "d")
		cmd := exec.Command("sh", append([]string{"-c", `ulimit -f 100; exec "$@"`, "sh", binary, "hg"}, args...)...)
		cmd.Dir, cmd.Env = h.path("."), h.env
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		r := finish(ctx, t, cmd, args).want(t, 74)
		cancel()
		if n := strings.Count(r.stderr, ": pulling "); n != 1 {
			t.Errorf("%v: %d pulls", args, n)
		}
		left, _ := filepath.Glob(h.path("d*"))
		if len(left) != 0 {
			t.Errorf("%v: left %v", args, left)
		}
	}
}

// With --user-config hg finds what it would find by itself.
func TestHg_67_UserConfig(t *testing.T) {
	t.Parallel()
	src := small(t)
	bin := t.TempDir()
	write(t, filepath.Join(bin, "wrapper"), sshWrapper)
	os.Chmod(filepath.Join(bin, "wrapper"), 0o755)
	rc := "[ui]\nssh = " + filepath.Join(bin, "wrapper") + "\n"
	url := "ssh://good/" + src.dir

	named := newHome(t, "HGRCPATH="+filepath.Join(bin, "named.rc"))
	write(t, filepath.Join(bin, "named.rc"), rc)
	named.run("--user-config", "--rev", src.tip, url, "d").want(t, 0)

	xdg := newHome(t, "XDG_CONFIG_HOME="+filepath.Join(bin, "config"))
	for i, v := range xdg.env {
		if strings.HasPrefix(v, "HGRCPATH=") {
			xdg.env[i] = "REDOUBT_TEST_UNUSED="
		}
	}
	if err := os.MkdirAll(filepath.Join(bin, "config", "hg"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(bin, "config", "hg", "hgrc"), rc)
	xdg.run("--user-config", "--rev", src.tip, url, "d").want(t, 0)
}

// A server that will have no TLS with us has none with the next attempt either.
func TestHg_68_RefusedTLS(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	plain := serve(t, src.dir).url
	old := httptest.NewUnstartedServer(http.NotFoundHandler())
	old.Config.ErrorLog = quiet
	old.TLS = &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}
	old.StartTLS()
	t.Cleanup(old.Close)
	for url, want := range map[string]string{
		old.URL: "protocol version",
		strings.Replace(plain, "http:", "https:", 1): "speaks no TLS",
	} {
		r := h.run("--rev", src.tip, url, "d").want(t, 69)
		if n := strings.Count(r.stderr, ": attempt "); n != 1 || !strings.Contains(r.stderr, want) || !strings.Contains(r.stderr, "not to be retried") {
			t.Errorf("%s: got %d attempts, want 1, and %q", url, n, want)
		}
	}
}

// An ssh server has no use for ~/.netrc.
func TestHg_69_SSHKeyDenied(t *testing.T) {
	t.Parallel()
	bin := t.TempDir()
	write(t, filepath.Join(bin, "ssh"), sshWrapper)
	os.Chmod(filepath.Join(bin, "ssh"), 0o755)
	h := newHome(t, "PATH="+bin+":"+os.Getenv("PATH"))
	for _, flag := range []string{"--rev=" + strings.Repeat("ab", 20), "--branch=default"} {
		if r := h.run(flag, "ssh://denied/x", "d").want(t, 2); strings.Contains(r.stderr, ".netrc") || !strings.Contains(r.stderr, "ssh key") {
			t.Errorf("%s: stderr %q", flag, r.stderr)
		}
	}
}

// "hg serve" that has just been started and is asked by several at once may fail
// to load its own modules, and says so like "unknown revision". That was taken for
// an empty repository, and 65, "no source has the revision".
func TestHg_70_ServerFailsInside(t *testing.T) {
	t.Parallel()
	src := small(t)
	broken := func(times int) *faulty {
		return before(t, serve(t, src.dir).url, on("batch", times, func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool {
			w.Header().Set("Content-Type", "application/mercurial-0.1")
			const said = "0 module 'mercurial.changelog' has no attribute 'changelog'\n"
			io.WriteString(w, said+";"+said)
			return true
		}))
	}
	for _, pool := range []bool{false, true} {
		h := newHome(t)
		args := []string{"--rev", src.tip, broken(2).URL, "d"}
		if pool {
			args = append([]string{"--share-base", "pool"}, args...)
		}
		h.run(args...).want(t, 0)
		wantCopy(t, h.path("d"), src.tip)
	}
	r := newHome(t).run("--attempts", "2", "--rev", src.tip, broken(0).URL, "d").want(t, 69)
	if !strings.Contains(r.stderr, "the server failed: ") {
		t.Errorf("stderr %q", r.stderr)
	}
}
