package hgcmd_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// Repositories that began as one share a store, whatever their URLs.
func TestHg_60_StoreOfTheRoot(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	older := copyRepo(t, src, "5")
	one, other := serve(t, older.dir), serve(t, src.dir)
	base := h.path("base")

	h.run("--plan", "--share-base", base, "--rev", older.tip, one.url, "d").want(t, 0)
	wantAbsent(t, base)
	h.run("--share-base", base, "--rev", older.tip, one.url, "d").want(t, 0)
	got := h.run("--json", "--share-base", base, "--rev", older.tip, other.url, "e").want(t, 0).json(t)
	if got.Steps != 0 {
		t.Errorf("got %d pulls of what the store has, want 0", got.Steps)
	}
	h.run("--share-base", base, "--branch", "default", other.url, "e").want(t, 0)
	wantCopy(t, h.path("e"), src.tip)
	wantCopy(t, h.path("d"), older.tip)
	for _, dest := range []string{"d", "e"} {
		shared, err := os.ReadFile(filepath.Join(h.path(dest), ".hg", "sharedpath"))
		if want := filepath.Join(base, src.root, ".hg"); err != nil || strings.TrimSpace(string(shared)) != want {
			t.Errorf("%s shares %q, %v; want %q", dest, shared, err, want)
		}
	}

	one.stop()
	other.stop()
	h.run("--share-base", base, "--rev", older.tip, other.url, "e").want(t, 0)
	h.run("--share-base", base, "--rev", src.tip, "--expect-root", src.root, "http://never.invalid/seen", "f").want(t, 0)
}

// hg notes where a link to the share base leads, and the next run finds the
// store that it made.
func TestHg_61_LinkToTheShareBase(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	url := serve(t, src.dir).url
	if err := os.MkdirAll(h.path("disk/base"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("disk", h.path("link")); err != nil {
		t.Fatal(err)
	}
	for _, rev := range []string{"3", "5"} {
		h.run("--share-base", "link/base", "--rev", src.node(t, rev), url, "d").want(t, 0)
	}
}

// A repository that was replaced by another at the same URL is refused, and
// --replace, whose help says so, is followed. The old store stays for others.
func TestHg_62_AnotherRepositoryAtTheURL(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	moved := newRepo(t, filepath.Join(t.TempDir(), "new"), 2, 100, "n")
	old, now := serve(t, src.dir), serve(t, moved.dir)
	var target atomic.Pointer[string]
	target.Store(&old.url)
	moving := proxyTo(t, &target)
	base := h.path("base")
	h.run("--share-base", base, "--branch", "default", moving, "d").want(t, 0)
	h.run("--share-base", base, "--branch", "default", moving, "e").want(t, 0)
	target.Store(&now.url)

	r := h.run("--share-base", base, "--branch", "default", moving, "d").want(t, 73)
	if !strings.Contains(r.stderr, "--replace") {
		t.Errorf("no word of --replace")
	}
	wantCopy(t, h.path("d"), src.tip)
	h.run("--share-base", base, "--replace", "--branch", "default", moving, "d").want(t, 0)
	wantCopy(t, h.path("d"), moved.tip)
	wantSound(t, h.path("e"))

	// Without a share base DEST would go on with the store that it shares.
	h.run("--branch", "default", moving, "e").want(t, 73)
	h.run("--replace", "--branch", "default", moving, "e").want(t, 0)
	wantCopy(t, h.path("e"), moved.tip)
}

// proxyTo returns the URL of a server that passes on to what target is then.
func proxyTo(t testing.TB, target *atomic.Pointer[string]) string {
	t.Helper()
	return before(t, *target.Load(), func(w http.ResponseWriter, r *http.Request, _ string, _ int) bool {
		newFaulty(t, *target.Load(), nil).Config.Handler.ServeHTTP(w, r)
		return true
	}).URL
}
