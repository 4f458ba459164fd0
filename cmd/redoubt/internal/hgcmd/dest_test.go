package hgcmd_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestHg_24_Refuse(t *testing.T) {
	t.Parallel()
	src := small(t)
	url := serve(t, src.dir).url
	tests := []struct {
		name, flag string
		spoil      func(t *testing.T, d string)
	}{
		{"uncommitted change", "--discard-changes", func(t *testing.T, d string) {
			t.Helper()
			write(t, filepath.Join(d, "f0"), "mine")
		}},
		{"added file", "--discard-changes", func(t *testing.T, d string) {
			t.Helper()
			write(t, filepath.Join(d, "mine"), "mine")
			hg(t, "-R", d, "add", "-q", filepath.Join(d, "mine"))
		}},
		{"untracked file in the way", "--discard-changes", func(t *testing.T, d string) {
			t.Helper()
			write(t, filepath.Join(d, "f9"), "mine")
		}},
		{"local commit", "--discard-commits", func(t *testing.T, d string) {
			t.Helper()
			write(t, filepath.Join(d, "mine"), "mine")
			hg(t, "-R", d, "commit", "-q", "-A", "-m", "mine")
		}},
		{"no repository", "--replace", func(t *testing.T, d string) {
			t.Helper()
			os.RemoveAll(d)
			write(t, filepath.Join(d, "mine"), "mine")
		}},
		{"file", "--replace", func(t *testing.T, d string) {
			t.Helper()
			os.RemoveAll(d)
			write(t, d, "mine")
		}},
		{"another repository", "--replace", func(t *testing.T, d string) {
			t.Helper()
			os.RemoveAll(d)
			newRepo(t, d, 1, 100, "x")
			hg(t, "-R", d, "phase", "--public", "0")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			d := h.path("d")
			h.run("--rev", src.node(t, "3"), url, "d").want(t, 0)
			tt.spoil(t, d)
			files := workFiles(t, d)
			r := h.run("--rev", src.tip, url, "d").want(t, 73)
			if now := workFiles(t, d); now != files {
				t.Errorf("changed:\n%s\n%s", files, now)
			}
			if !strings.Contains(r.stderr, tt.flag) {
				t.Errorf("%s is not told of", tt.flag)
			}
			h.run("--rev", src.tip, tt.flag, url, "d").want(t, 0)
			wantCopy(t, d, src.tip)
			wantSound(t, d)
		})
	}
}

// workFiles returns what snapshot does, but for hg's own files.
func workFiles(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(snapshot(t, dir)) {
		name, _, _ := strings.Cut(line, " ")
		if !strings.Contains(line, "/.hg/") && !strings.HasSuffix(name, "/.hg") && name != dir {
			b.WriteString(line)
		}
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return snapshot(t, dir)
	}
	return b.String()
}

func TestHg_25_Purge(t *testing.T) {
	t.Parallel()
	h := newHome(t)
	src := copyRepo(t, small(t), "tip")
	hg(t, "-R", src.dir, "update", "-q")
	write(t, filepath.Join(src.dir, ".hgignore"), "syntax: glob\n*.o\n")
	hg(t, "-R", src.dir, "commit", "-q", "-A", "-m", "ignore")
	src = newest(t, src.dir)
	url := serve(t, src.dir).url
	d := h.path("d")
	h.run("--rev", src.tip, url, "d").want(t, 0)
	write(t, filepath.Join(d, "untracked"), "x")
	write(t, filepath.Join(d, "dir/ignored.o"), "x")
	os.MkdirAll(filepath.Join(d, "empty/er"), 0o755)
	newRepo(t, filepath.Join(d, "nested"), 1, 100, "n")
	os.Remove(filepath.Join(d, "f1"))
	write(t, filepath.Join(d, "f1/in/a/directory"), "x")

	got := h.run("--json", "--purge", "--rev", src.tip, url, "d").want(t, 0).json(t)
	wantCopy(t, d, src.tip)
	out, err := exec.Command("find", d, "-mindepth", "1", "(", "-name", ".hg", "-o", "-name", "nested", ")", "-prune", "-o", "-print").Output()
	if err != nil {
		t.Fatal(err)
	}
	tracked := hg(t, "-R", d, "manifest")
	for name := range strings.Lines(string(out)) {
		rel, _ := filepath.Rel(d, strings.TrimSpace(name))
		if !strings.Contains("\n"+tracked+"\n", "\n"+rel+"\n") {
			t.Errorf("left: %s", rel)
		}
	}
	if len(got.Warnings) == 0 || !strings.Contains(got.Warnings[0], "nested") {
		t.Errorf("the nested repository is not reported: %v", got.Warnings)
	}
}

func TestHg_26_UntrackedFilesStay(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	url := serve(t, src.dir).url
	d := h.path("d")
	h.run("--rev", src.node(t, "3"), url, "d").want(t, 0)
	write(t, filepath.Join(d, "build/output"), "precious")
	os.Remove(filepath.Join(d, "f0")) // brought back, as nothing is lost by it
	h.run("--rev", src.tip, url, "d").want(t, 0)
	wantCopy(t, d, src.tip)
	if text, _ := os.ReadFile(filepath.Join(d, "build/output")); string(text) != "precious" {
		t.Error("an untracked file is gone")
	}
	h.run("--swap", "--rev", src.node(t, "4"), url, "d").want(t, 0)
	wantCopy(t, d, src.node(t, "4"))
	wantSound(t, d)
}

func TestHg_27_Repair(t *testing.T) {
	t.Parallel()
	src := small(t)
	url := serve(t, src.dir).url
	file := func(store string, names ...string) string {
		return filepath.Join(append([]string{store, ".hg", "store"}, names...)...)
	}
	edit := func(t *testing.T, path string, change func([]byte) []byte) {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, change(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		quiet bool // it is repaired without being asked, as nothing is lost
		spoil func(t *testing.T, d, store string)
	}{
		{"store deleted", true, func(_ *testing.T, _, store string) { os.RemoveAll(store) }},
		{"store emptied", true, func(t *testing.T, _, store string) {
			t.Helper()
			os.RemoveAll(store)
			os.Mkdir(store, 0o755)
		}},
		{"changelog flipped", false, func(t *testing.T, _, store string) {
			t.Helper()
			edit(t, file(store, "00changelog.i"), func(b []byte) []byte {
				b[len(b)-10] ^= 0x55
				return b
			})
		}},
		{"manifest truncated", false, func(t *testing.T, _, store string) {
			t.Helper()
			edit(t, file(store, "00manifest.i"), func(b []byte) []byte { return b[:len(b)-7] })
		}},
		{"filelog lost", false, func(t *testing.T, _, store string) {
			t.Helper()
			os.Remove(file(store, "data", "f2.i"))
		}},
		{"dirstate garbage", false, func(t *testing.T, d, _ string) {
			t.Helper()
			write(t, filepath.Join(d, ".hg", "dirstate"), "garbage that is longer than forty bytes, and no dirstate at all")
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := newHome(t)
			base := h.path("pool")
			h.run("--share-base", base, "--rev", src.node(t, "3"), url, "d").want(t, 0)
			stores, _ := filepath.Glob(filepath.Join(base, "*", ".hg"))
			tt.spoil(t, h.path("d"), filepath.Dir(stores[0]))
			args := []string{"--json", "--share-base", base, "--verify", "store", "--rev", src.tip, url, "d"}
			if !tt.quiet {
				h.run(args...).want(t, 72)
				args = append([]string{"--repair"}, args...)
			}
			got := h.run(args...).want(t, 0).json(t)
			wantCopy(t, h.path("d"), src.tip)
			wantSound(t, h.path("d"))
			if !tt.quiet && len(got.Repaired) == 0 {
				t.Error("the report does not say what was rebuilt")
			}
		})
	}
	t.Run("own store", func(t *testing.T) {
		t.Parallel()
		h := newHome(t)
		d := h.path("d")
		h.run("--rev", src.node(t, "3"), url, "d").want(t, 0)
		write(t, filepath.Join(d, "untracked"), "precious")
		edit(t, file(d, "00manifest.i"), func(b []byte) []byte { return b[:len(b)-7] })
		h.run("--rev", src.tip, url, "d").want(t, 72)
		h.run("--repair", "--rev", src.tip, url, "d").want(t, 0)
		wantCopy(t, d, src.tip)
		wantSound(t, d)
		if _, err := os.Stat(filepath.Join(d, "untracked")); err != nil {
			t.Error("an untracked file is gone")
		}
	})
}

func TestHg_42_ForeignLock(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	url := serve(t, src.dir).url
	for i, args := range [][]string{{}, {"--share-base", h.path("pool")}} {
		d := fmt.Sprint("d", i)
		h.run(append(args, "--rev", src.node(t, "3"), url, d)...).want(t, 0)
		store := h.path(d)
		if len(args) > 0 {
			stores, _ := filepath.Glob(h.path("pool/*/.hg"))
			store = filepath.Dir(stores[0])
		}
		if err := os.Symlink("elsewhere/deadbeef:1", filepath.Join(store, ".hg/store/lock")); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("elsewhere/deadbeef:1", filepath.Join(h.path(d), ".hg/wlock")); err != nil {
			t.Fatal(err)
		}
		// A pull of another revision needs the store's lock.
		hg(t, "-R", src.dir, "id")
		got := h.run(append(args, "--json", "--lock-wait", "3s", "--rev", src.tip, url, d)...).want(t, 0).json(t)
		if len(got.Repaired) == 0 {
			t.Error("the report does not speak of locks")
		}
	}
}

// An edit that keeps size and time is invisible to hg, unless it is asked to
// read every file.
func TestHg_49_InvisibleEdit(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	url := serve(t, src.dir).url
	h.run("--rev", src.tip, url, "d").want(t, 0)
	file := h.path("d/f1")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	os.Chtimes(file, old, old)
	h.run("--verify", "files", "--rev", src.tip, url, "d").want(t, 0)
	write(t, file, strings.Repeat("x", int(info.Size())))
	os.Chtimes(file, old, old)
	h.run("--verify", "files", "--rev", src.tip, url, "d").want(t, 73)
	h.run("--verify", "files", "--discard-changes", "--rev", src.tip, url, "d").want(t, 0)
	if text, _ := os.ReadFile(file); strings.HasPrefix(string(text), "xxxx") {
		t.Error("the edit is still there")
	}
}
