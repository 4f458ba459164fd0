package hgcmd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

func TestHg_15_Revisions(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	f := before(t, "http://127.0.0.1:1", nil)
	for _, rev := range []string{
		strings.Repeat("f", 40), strings.Repeat("0", 40), "000000000000", "null", "", "-1", "--config=hooks.x=touch PWNED", ".", "a:b", "x\ny", "7",
	} {
		h.run("--rev="+rev, f.URL, "d").want(t, 2)
	}
	h.run("--branch", "", f.URL, "d").want(t, 2)
	h.run("--attempts", "0", "--rev", "tip", f.URL, "d").want(t, 2)
	untouched(t, h, f)
}

func TestHg_16_URLs(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	f := before(t, "http://127.0.0.1:1", nil)
	for _, url := range []string{
		"--config=alias.clone=!touch PWNED", "--config=hooks.pre-clone=touch PWNED", "--config=alias.pull=!touch PWNED",
		"ssh://-oProxyCommand=touch%20PWNED/x", "ssh://%2DoProxyCommand=touch%20PWNED/x", "ssh://h;touch%20PWNED/x",
		"bundle:x", "union:x+y", "static-http://h/x", "svn+ssh://h/x", "http://h/#b", "http://h/a\nb", "http://h:x/", "",
	} {
		for _, args := range [][]string{{url, "d"}, {"--", url, "d"}, {"--mirror=" + url, "--", f.URL, "d"}, {"--bundle=" + url, "--", f.URL, "d"}} {
			if len(args) == 4 && strings.HasPrefix(url, "http://h/#b") && strings.HasPrefix(args[0], "--bundle") {
				continue // the same refusal, worded otherwise
			}
			h.run(args...).want(t, 2)
		}
	}
	for _, dest := range []string{"", "/", h.dir + "/home", "..", "d\nx", ".hg"} {
		h.run("--", f.URL, dest).want(t, 2)
	}
	untouched(t, h, f)
}

// untouched fails the test if anything was written or dialled.
func untouched(t *testing.T, h *home, f *faulty) {
	t.Helper()
	for _, sub := range []string{"work", "tmp", "home"} {
		if entries, _ := os.ReadDir(filepath.Join(h.dir, sub)); len(entries) != 0 {
			t.Errorf("%s is touched: %v", sub, entries)
		}
	}
	if n := len(f.commands()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

func TestHg_29_HooksOfTheDestination(t *testing.T) {
	t.Parallel()
	for _, pool := range []bool{false, true} {
		h, src := newHome(t), small(t)
		url := serve(t, src.dir).url
		args := []string{url, "d"}
		if pool {
			args = append([]string{"--share-base", h.path("pool")}, args...)
		}
		h.run(append([]string{"--rev", src.node(t, "3")}, args...)...).want(t, 0)
		pwned := h.path("PWNED")
		extension := h.path("x.py")
		write(t, extension, "open("+quoted(pwned)+", 'w')\n")
		evil := "[hooks]\nupdate = touch " + pwned + "\npreupdate = touch " + pwned + "\n[extensions]\nx = " + extension + "\n"
		repos := []string{h.path("d")}
		if pool {
			stores, _ := filepath.Glob(h.path("pool/*/.hg"))
			repos = append(repos, filepath.Dir(stores[0]))
		}
		for _, repo := range repos {
			write(t, filepath.Join(repo, ".hg", "hgrc"), evil)
			write(t, filepath.Join(repo, ".hg", "hgrc-not-shared"), evil)
		}
		h.run(append([]string{"--purge", "--rev", src.tip}, args...)...).want(t, 0)
		wantAbsent(t, pwned)
	}
}

func quoted(s string) string {
	return strconv.Quote(s)
}

func TestHg_36_Environment(t *testing.T) {
	t.Parallel()
	src := small(t)
	url := serve(t, src.dir).url
	old := filepath.Join(t.TempDir(), "hg")
	write(t, old, "#!/bin/sh\nif [ \"$1\" = version ]; then echo 3.2; exit 0; fi\nexec hg \"$@\"\n")
	os.Chmod(old, 0o755)
	fake := filepath.Join(t.TempDir(), "hg")
	write(t, fake, "#!/bin/sh\necho 'Fatal Python error: init failed' >&2\nexit 1\n")
	os.Chmod(fake, 0o755)

	h := newHome(t)
	for _, args := range [][]string{{"--hg", "/nowhere/hg"}, {"--hg", fake}} {
		r := h.run(append(args, "--rev", src.tip, url, "d")...).want(t, 78)
		if n := strings.Count(r.stderr, "\n"); n != 1 {
			t.Errorf("%d lines:\n%s", n, r.stderr)
		}
		wantAbsent(t, h.path("d"))
	}
	// What the user's environment does to hg does nothing to us.
	h = newHome(t, "HGRCPATH=/nowhere/hgrc", "HGPLAIN=", "LANGUAGE=de", "HGUSER=-", "HGENCODING=nonsense")
	h.run("--rev", src.tip, url, "d").want(t, 0)

	h = newHome(t)
	cmd := h.command("--rev", src.tip, url, "d")
	gone := filepath.Join(h.dir, "gone")
	os.Mkdir(gone, 0o755)
	script := "cd " + gone + " && rmdir " + gone + " && exec " + cmd.Path + " hg --rev " + src.tip + " " + url + " d"
	out, err := exec.Command("sh", "-c", script).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "working directory") {
		t.Errorf("without a working directory: %v\n%s", err, out)
	}
}

func TestHg_39_Compat(t *testing.T) {
	t.Parallel()
	src := small(t)
	primary := serve(t, src.dir).url
	mirror := stale(t)
	f := files(t, map[string][]byte{"b.hg": bundleOf(t, src, "--all")})
	h := newHome(t)
	props := h.path("props.json")
	want := src.node(t, "6")
	write(t, props, `{"sourcestamp": {"revision": "`+want+`", "branch": "default"}}`)
	args := []string{"-p", props, "--mirror", mirror.URL, "--bundle", f.URL + "/b.hg", "-s", h.path("base"), "--purge", primary, "d"}
	r := h.run(args...).want(t, 0)
	if !strings.HasSuffix(r.stdout, "Got revision "+want[:12]+"\n") {
		t.Errorf("stdout %q", r.stdout)
	}
	wantCopy(t, h.path("d"), want)
	if shared, _ := os.ReadFile(h.path("d/.hg/sharedpath")); !strings.HasPrefix(string(shared), h.path("base")) {
		t.Errorf("shares %s", shared)
	}

	// The environment comes before the properties, and a revision before a branch.
	write(t, h.path("d/untracked"), "x")
	older := src.node(t, "2")
	h.env = append(h.env, "HG_REV="+older, "HG_BRANCH=default", "PROPERTIES_FILE="+props, "HG_SHARE_BASE_DIR="+h.path("base"))
	r = h.run("--purge", "--check-outgoing", "--clone-by-revision", "-v", primary, "d").want(t, 0)
	if !strings.HasSuffix(r.stdout, "Got revision "+older[:12]+"\n") {
		t.Errorf("stdout %q", r.stdout)
	}
	wantCopy(t, h.path("d"), older)
	wantAbsent(t, h.path("d/untracked"))

	h = newHome(t, "HG_BRANCH=default")
	h.run("--compat", primary+"/", "d").want(t, 0)
	wantCopy(t, h.path("d"), src.tip)
	write(t, h.path("e/file"), "in the way")
	h.run("--compat", primary, "e").want(t, 0)
	wantCopy(t, h.path("e"), src.tip)
	local := h.run("--rev", src.tip, src.dir).want(t, 0)
	if !strings.HasSuffix(local.stdout, src.tip+"\n") {
		t.Errorf("stdout %q", local.stdout)
	}
	wantCopy(t, h.path("small"), src.tip)
}

func TestHg_40_Plan(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	primary := before(t, serve(t, src.dir).url, nil)
	mirror := stale(t)
	h.run("--rev", src.node(t, "2"), primary.URL, "d").want(t, 0)
	n, files := primary.count("getbundle"), snapshot(t, filepath.Join(h.dir, "work"))
	args := []string{"--json", "--rev", src.tip, "--mirror", mirror.URL, primary.URL}
	for _, dest := range []string{"d", "new"} {
		planned := h.run(append([]string{"--plan"}, append(args, dest)...)...).want(t, 0).json(t)
		if primary.count("getbundle")+mirror.count("getbundle") != n {
			t.Fatal("something was transferred")
		}
		if now := snapshot(t, filepath.Join(h.dir, "work")); now != files {
			t.Fatalf("files changed:\n%s\n%s", files, now)
		}
		if len(planned.Plan) < 3 || planned.Source != primary.URL || planned.Got != src.tip {
			t.Errorf("plan %+v", planned)
		}
	}
	for _, dest := range []string{"d", "new"} {
		done := h.run(append(args, dest)...).want(t, 0).json(t)
		if done.Source != primary.URL || done.Got != src.tip {
			t.Errorf("the run did otherwise: %+v", done)
		}
	}
	if r := h.run("--plan", "--rev", src.tip, primary.URL, "d").want(t, 0); !strings.Contains(r.stdout, "no network") {
		t.Errorf("plan of nothing:\n%s", r.stdout)
	}
}

func TestHg_41_Output(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	url := serve(t, src.dir).url
	r := h.run("--trace", "--output-props", "props.json", "--rev", src.tip, url, "d").want(t, 0)
	if r.stdout != src.tip+"\n" {
		t.Errorf("stdout %q", r.stdout)
	}
	for _, want := range []string{"capabilities", "getbundle", "batch", "first byte", "waiting for first bytes", "hg commands", "update", "phases:"} {
		if !strings.Contains(r.stderr, want) {
			t.Errorf("the trace lacks %q", want)
		}
	}
	if strings.Contains(r.stderr, "\x1b") {
		t.Error("escapes without a terminal")
	}
	props, _ := os.ReadFile(h.path("props.json"))
	if string(props) != `{"got_revision":"`+src.tip+`"}`+"\n" {
		t.Errorf("props %s", props)
	}
	if r := h.run("--help").want(t, 0); !strings.Contains(r.stdout, "Exit codes") || !strings.Contains(r.stdout, "--mirror") {
		t.Error("help lacks something")
	}
}
