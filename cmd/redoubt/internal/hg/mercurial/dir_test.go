package mercurial

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestSweep(t *testing.T) {
	parent := t.TempDir()
	t.Setenv("TMPDIR", parent)
	held, lock, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	left, dropped, err := makeDir()
	if err != nil {
		t.Fatal(err)
	}
	dropped.Close() // as the system does when a process dies
	mkdir := func(name string) string {
		dir := filepath.Join(parent, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	begun, old, other := mkdir(dirPrefix+"begun"), mkdir(dirPrefix+"old"), mkdir("redoubt-other")
	long := time.Now().Add(-time.Hour)
	if err := os.Chtimes(old, long, long); err != nil {
		t.Fatal(err)
	}
	sweep(parent)
	for dir, want := range map[string]bool{held: true, left: false, begun: true, old: false, other: true} {
		if _, err := os.Stat(dir); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %t", filepath.Base(dir), err, want)
		}
	}
}
