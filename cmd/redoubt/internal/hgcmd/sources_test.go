package hgcmd_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
)

// stale returns a server of a repository that lacks the newest revisions.
func stale(t testing.TB) *faulty {
	t.Helper()
	return before(t, serve(t, copyRepo(t, small(t), "5").dir).url, nil)
}

func stateOf(t testing.TB, res report.Result, url string) report.Source {
	t.Helper()
	for _, s := range res.Sources {
		if s.URL == url {
			return *s
		}
	}
	t.Fatalf("no source %s in the report", url)
	return report.Source{}
}

func TestHg_12_StaleMirrorAndBranch(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	mirror := stale(t)
	r := h.run("--json", "--branch", "default", "--mirror", mirror.URL, serve(t, src.dir).url, "d").want(t, 0)
	if got := r.json(t); got.Got != src.tip {
		t.Errorf("got %s, want the primary's tip %s", got.Got, src.tip)
	}
	wantCopy(t, h.path("d"), src.tip)
}

func TestHg_13_StaleMirrorAndHash(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	mirror := stale(t)
	primary := serve(t, src.dir).url
	got := h.run("--json", "--rev", src.tip, "--mirror", mirror.URL, primary, "d").want(t, 0).json(t)
	s := stateOf(t, got, mirror.URL)
	if s.State != "stale" || s.After != "closed" || got.Source != primary {
		t.Errorf("mirror %+v, source %s", s, got.Source)
	}
	if mirror.count("getbundle") > 0 {
		t.Error("pulled from a mirror that lacks the revision")
	}
}

func TestHg_14_UnrelatedAndEmptyMirrors(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	unrelated := before(t, serve(t, newRepo(t, filepath.Join(t.TempDir(), "other"), 2, 100, "x").dir).url, nil)
	none := filepath.Join(t.TempDir(), "none")
	hg(t, "init", none)
	empty := before(t, serve(t, none).url, nil)
	got := h.run("--json", "--rev", src.tip, "--expect-root", src.root,
		"--mirror", unrelated.URL, "--mirror", empty.URL, serve(t, src.dir).url, "d").want(t, 0).json(t)
	if a, b := stateOf(t, got, unrelated.URL).State, stateOf(t, got, empty.URL).State; a != "unrelated" || b != "empty" {
		t.Errorf("states %s, %s", a, b)
	}
	if unrelated.count("getbundle")+empty.count("getbundle") > 0 {
		t.Error("something was transferred")
	}
}

func TestHg_17_UnknownRevision(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	f := before(t, serve(t, src.dir).url, nil)
	mirror := stale(t)
	h.run("--rev", strings.Repeat("ab", 20), "--mirror", mirror.URL, f.URL, "d").want(t, 65)
	h.run("--rev", "no-such-tag", "--mirror", mirror.URL, f.URL, "d").want(t, 65)
	if mirror.count("batch") == 0 || f.count("batch") == 0 {
		t.Error("not all sources were asked")
	}
	if entries, _ := os.ReadDir(filepath.Dir(h.path("d"))); len(entries) != 0 {
		t.Errorf("left over: %v", entries)
	}
}

func TestHg_45_TagIsResolvedOnThePrimary(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	h.run("--rev", "V1", serve(t, src.dir).url, "d").want(t, 0)
	wantCopy(t, h.path("d"), src.node(t, "3"))
}

func TestHg_46_StaleOK(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	mirror := stale(t)
	primary := refusing(t)
	h.run("--branch", "default", "--attempts", "1", "--mirror", mirror.URL, primary, "d").want(t, 69)
	got := h.run("--json", "--stale-ok", "--branch", "default", "--attempts", "1", "--mirror", mirror.URL, primary, "d").want(t, 0).json(t)
	if !got.Stale || len(got.Warnings) == 0 {
		t.Errorf("the report does not say that it may be stale: %+v", got)
	}
	wantCopy(t, h.path("d"), small(t).node(t, "5"))
}

// files serves contents by path.
func files(t testing.TB, contents map[string][]byte) *faulty {
	t.Helper()
	return before(t, "http://127.0.0.1:1", func(w http.ResponseWriter, r *http.Request, _ string, _ int) bool {
		content, ok := contents[strings.TrimPrefix(r.URL.Path, "/")]
		switch {
		case !ok:
			http.NotFound(w, r)
		case bytes.HasPrefix(content, []byte("<html>")):
			w.Header().Set("Content-Type", "text/html")
			w.Write(content)
		default:
			http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
		}
		return true
	})
}

func bundleOf(t testing.TB, r repo, args ...string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.hg")
	hg(t, append(append([]string{"-R", r.dir, "bundle", "-q"}, args...), file)...)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestHg_18_Bundles(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	good := bundleOf(t, src, "--all", "--type", "none-v2")
	corrupt := bytes.Clone(good)
	corrupt[len(corrupt)/2] ^= 0x55
	other := newRepo(t, filepath.Join(t.TempDir(), "other"), 2, 100, "x")
	f := files(t, map[string][]byte{
		"truncated.hg": good[:len(good)/2], "corrupt.hg": corrupt, "html.hg": []byte("<html>no"),
		"unrelated.hg": bundleOf(t, other, "--all"), "good.hg": good,
	})
	args := []string{"--json", "--rev", src.tip}
	for _, name := range []string{"missing.hg", "truncated.hg", "corrupt.hg", "html.hg", "unrelated.hg", "good.hg"} {
		args = append(args, "--bundle", f.URL+"/"+name)
	}
	got := h.run(append(args, serve(t, src.dir).url, "d")...).want(t, 0).json(t)
	if len(got.Bundles) != 6 {
		t.Fatalf("%d bundles in the report: %+v", len(got.Bundles), got.Bundles)
	}
	for _, b := range got.Bundles[:5] {
		if b.Used || b.Reason == "" {
			t.Errorf("%+v, want a reason", b)
		}
	}
	if !got.Bundles[5].Used {
		t.Errorf("the good one is not used: %+v", got.Bundles[5])
	}
	wantCopy(t, h.path("d"), src.tip)
	wantSound(t, h.path("d"))
	if drafts := hg(t, "-R", h.path("d"), "log", "-r", "draft()", "-T", "x"); drafts != "" {
		t.Errorf("%d drafts", len(drafts))
	}
}

func TestHg_19_WrongSum(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	good := bundleOf(t, src, "--all")
	f := files(t, map[string][]byte{"a.hg": good})
	url := serve(t, src.dir).url
	got := h.run("--json", "--rev", src.tip, "--bundle", f.URL+"/a.hg#sha256="+strings.Repeat("0", 64), url, "d").want(t, 0).json(t)
	if b := got.Bundles[0]; b.Used || !strings.Contains(b.Reason, "sha256") {
		t.Errorf("%+v", b)
	}
	right := fmt.Sprintf("%x", sha256.Sum256(good))
	got = h.run("--json", "--rev", src.tip, "--bundle", f.URL+"/a.hg#sha256="+right, url, "e").want(t, 0).json(t)
	if !got.Bundles[0].Used {
		t.Errorf("%+v", got.Bundles[0])
	}
}

func TestHg_20_BundleIsResumed(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), big(t)
	content := bundleOf(t, src, "--all", "--type", "none-v2")
	var mu sync.Mutex
	var ranges []string
	f := before(t, "http://127.0.0.1:1", func(w http.ResponseWriter, r *http.Request, _ string, _ int) bool {
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		mu.Unlock()
		w.Header().Set("ETag", `"x"`)
		http.ServeContent(&cutter{w, 5 << 20}, r, "", time.Time{}, bytes.NewReader(content))
		return true
	})
	got := h.run("--json", "--rev", src.tip, "--bundle", f.URL+"/big.hg", serve(t, src.dir).url, "d").want(t, 0).json(t)
	if b := got.Bundles[0]; !b.Used || b.Resumed < 3 || b.Bytes != int64(len(content)) {
		t.Errorf("%+v, of %d bytes; ranges %v", b, len(content), ranges)
	}
	wantCopy(t, h.path("d"), src.tip)
}

func TestHg_22_CloneBundles(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	src := copyRepo(t, small(t), "tip")
	f := files(t, map[string][]byte{"good.hg": bundleOf(t, src, "--all")})
	write(t, filepath.Join(src.dir, ".hg", "clonebundles.manifest"), strings.Join([]string{
		f.URL + "/missing.hg BUNDLESPEC=gzip-v2",
		"file:///etc/passwd BUNDLESPEC=gzip-v2",
		f.URL + "/good.hg BUNDLESPEC=gzip-v9",
		f.URL + "/good.hg BUNDLESPEC=gzip-v2 REQUIRESNI=true",
	}, "\n")+"\n")
	got := h.run("--json", "--rev", src.tip, serve(t, src.dir, "extensions.clonebundles=").url, "d").want(t, 0).json(t)
	if len(got.Bundles) != 2 || got.Bundles[0].Used || !got.Bundles[1].Used {
		t.Errorf("%+v", got.Bundles)
	}
	if f.count("/good.hg") != 1 {
		t.Errorf("requests: %v", f.commands())
	}
	wantCopy(t, h.path("d"), src.tip)
}

func TestHg_30_BreakerIsShared(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	primary := serve(t, src.dir).url
	mirror := slammer(t)
	url := "http://" + mirror.Addr().String()
	args := func(dest string) []string {
		return []string{"--json", "--attempts", "1", "--breaker-cooldown", "1h", "--rev", src.tip, "--mirror", url, primary, dest}
	}
	for i := range 5 {
		got := h.run(args(fmt.Sprint("d", i))...).want(t, 0).json(t)
		if s := stateOf(t, got, url); s.State != "unavailable" {
			t.Errorf("run %d: %+v", i, s)
		}
	}
	if n := mirror.conns.Load(); n != 5 {
		t.Fatalf("dialled %d times by 5 processes", n)
	}
	got := h.run(args("d5")...).want(t, 0).json(t)
	if s := stateOf(t, got, url); s.State != "open" || s.Before != "open" || got.Source != primary {
		t.Errorf("sixth: %+v from %s", s, got.Source)
	}
	if n := mirror.conns.Load(); n != 5 {
		t.Errorf("the sixth dialled")
	}

	if r := h.run("status").want(t, 0); !strings.Contains(r.stdout, url) || !strings.Contains(r.stdout, "open") {
		t.Errorf("status:\n%s", r.stdout)
	}
	h.passCooldowns()
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			if r := h.run(args(fmt.Sprint("e", i))...); r.exit != 0 {
				t.Errorf("exit %d", r.exit)
			}
		})
	}
	all.Wait()
	if n := mirror.conns.Load(); n != 6 {
		t.Errorf("%d of 4 probed, want 1", n-5)
	}
	h.run("reset", url).want(t, 0)
	if r := h.run("status").want(t, 0); strings.Contains(r.stdout, url) {
		t.Errorf("after reset:\n%s", r.stdout)
	}
}

func TestHg_35_AllOpen(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	l := slammer(t)
	url := "http://" + l.Addr().String()
	h.run("--attempts", "1", "--breaker-failures", "1", "--rev", src.tip, url, "d").want(t, 69)
	r := h.run("--attempts", "1", "--breaker-failures", "1", "--rev", src.tip, url, "d").want(t, 75)
	if l.conns.Load() != 1 || !strings.Contains(r.stderr, url) {
		t.Errorf("dialled %d times", l.conns.Load())
	}
}

func TestHg_37_Fastest(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	s := serve(t, src.dir)
	slow := before(t, s.url, func(http.ResponseWriter, *http.Request, string, int) bool {
		time.Sleep(300 * time.Millisecond)
		return false
	})
	fast := before(t, s.url, nil)
	got := h.run("--json", "--prefer", "fastest", "--rev", src.tip, "--mirror", slow.URL, "--mirror", fast.URL, s.url, "d").want(t, 0).json(t)
	if got.Source != fast.URL {
		t.Errorf("source %s, want %s", got.Source, fast.URL)
	}
}

// A password must show nowhere: not in what is printed or written, not in the
// list of processes.
func TestHg_38_Secrets(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	s := serve(t, src.dir)
	var once sync.Once
	shown := ""
	locked := before(t, s.url, func(w http.ResponseWriter, r *http.Request, _ string, _ int) bool {
		if user, password, _ := r.BasicAuth(); user != "bob" || password != "s3cr3t" {
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		once.Do(func() { shown = strings.Join(h.alive(), "\n") })
		return false
	})
	secret := func(url string) string { return strings.Replace(url, "://", "://bob:s3cr3t@", 1) }
	r := h.run("-v", "--trace", "--json", "--rev", src.tip, "--mirror", secret(refusing(t)), secret(locked.URL), "d").want(t, 0)
	files := snapshot(t, h.dir)
	for name, text := range map[string]string{"output": r.stdout + r.stderr, "processes": shown, "files": files + fmt.Sprintf("%x", files)} {
		if strings.Contains(text, "s3cr3t") || strings.Contains(text, fmt.Sprintf("%x", "s3cr3t")) {
			t.Errorf("the password shows in the %s", name)
		}
	}
	if !slices.ContainsFunc(strings.Split(shown, "\n"), func(l string) bool { return strings.Contains(l, "redoubt hg") }) {
		t.Errorf("the processes were not seen: %q", shown)
	}
	for _, args := range [][]string{{secret("http://h/x?y=s3cr3t")}, {"ssh://bob:s3cr3t@h/x"}, {secret("http://h/#s3cr3t"), "d"}, {"--direct", secret(s.url), "e"}} {
		r := h.run(args...).want(t, 2)
		if strings.Contains(r.stderr, "s3cr3t") {
			t.Errorf("%v: the password shows: %s", args, r.stderr)
		}
	}

	write(t, filepath.Join(h.dir, "home", ".netrc"), "machine 127.0.0.1 login bob password s3cr3t\n")
	h.run("--rev", src.tip, locked.URL, "n").want(t, 0)
}
