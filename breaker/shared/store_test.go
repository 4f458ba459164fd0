package shared

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func stores(t *testing.T) map[string]Store {
	t.Helper()
	return map[string]Store{
		"memory": new(memory),
		"file":   NewFileStore(filepath.Join(t.TempDir(), "made", "when", "needed")),
	}
}

func TestStore(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			load := func(key, want string) {
				t.Helper()
				got, err := s.Load(ctx, key)
				if err != nil || string(got) != want || (want == "") != (got == nil) {
					t.Errorf("Load(%q) = %q, %v; want %q", key, got, err, want)
				}
			}
			swap := func(key string, old, value []byte, want bool) {
				t.Helper()
				got, err := s.CompareAndSwap(ctx, key, old, value, time.Hour)
				if err != nil || got != want {
					t.Errorf("CompareAndSwap(%q, %q, %q) = %v, %v; want %v", key, old, value, got, err, want)
				}
			}
			values := func(want int) {
				t.Helper()
				n := 0
				for _, err := range s.Values(ctx) {
					if err != nil {
						t.Error(err)
					}
					n++
				}
				if n != want {
					t.Errorf("%d values, want %d", n, want)
				}
			}
			values(0)
			load("a", "")
			swap("a", []byte("x"), []byte("y"), false)
			swap("a", nil, []byte("1"), true)
			swap("a", nil, []byte("2"), false)
			load("a", "1")
			swap("a", []byte("1"), []byte("2"), true)
			swap("../../b", nil, []byte("3"), true) // a key is no path
			load("../../b", "3")
			load("a", "2")
			values(2)
			swap("a", []byte("1"), nil, false)
			swap("a", []byte("2"), nil, true)
			swap("a", nil, nil, true)
			load("a", "")
			values(1)
		})
	}
}

// Adding one is the test of a compare-and-swap: none may be lost.
func TestStoreConcurrent(t *testing.T) {
	for name, s := range stores(t) {
		t.Run(name, func(t *testing.T) {
			const workers, each = 4, 25
			var wg sync.WaitGroup
			for range workers {
				wg.Go(func() {
					for range each {
						if err := increment(t.Context(), s); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			got, err := s.Load(t.Context(), "n")
			if err != nil || string(got) != strconv.Itoa(workers*each) {
				t.Errorf("n = %s, %v; want %d", got, err, workers*each)
			}
		})
	}
}

func increment(ctx context.Context, s Store) error {
	for {
		old, err := s.Load(ctx, "n")
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(old))
		swapped, err := s.CompareAndSwap(ctx, "n", old, []byte(strconv.Itoa(n+1)), time.Hour)
		if err != nil || swapped {
			return err
		}
	}
}

func TestFileStoreWaitsNoLongerThanContext(t *testing.T) {
	s := NewFileStore(t.TempDir())
	if _, err := s.CompareAndSwap(t.Context(), "a", nil, []byte("1"), 0); err != nil {
		t.Fatal(err)
	}
	locks, err := filepath.Glob(filepath.Join(s.Dir(), "*.lock"))
	if err != nil || len(locks) != 1 {
		t.Fatal(locks, err)
	}
	f, err := os.Open(locks[0])
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if swapped, err := s.CompareAndSwap(ctx, "a", []byte("1"), []byte("2"), 0); swapped || !isDeadline(err) {
		t.Errorf("CompareAndSwap under another's lock: %v, %v", swapped, err)
	}
}

func isDeadline(err error) bool {
	return err != nil && strings.Contains(err.Error(), "deadline")
}

func TestFileStoreModes(t *testing.T) {
	for _, mode := range []fs.FileMode{0o700, 0o770} {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(mode))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		old := syscall.Umask(0)
		_, err := NewFileStore(dir).CompareAndSwap(t.Context(), "a", nil, []byte("1"), 0)
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		files, err := os.ReadDir(dir)
		if err != nil || len(files) != 2 {
			t.Fatal(files, err)
		}
		for _, f := range files {
			if info, err := f.Info(); err != nil || info.Mode() != mode&0o666 {
				t.Errorf("directory %v: %s is %v, %v", mode, f.Name(), info.Mode(), err)
			}
		}
	}
}

// A directory that others may write to must not be a trap.
func TestFileStoreTraps(t *testing.T) {
	s := NewFileStore(t.TempDir())
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := s.path("a")
	base := path[:len(path)-len(suffix)]
	for _, trap := range []struct {
		name string
		set  func() error
	}{
		{"link as value", func() error { return os.Symlink(precious, path) }},
		{"link as temp", func() error { return os.Symlink(precious, base+".tmp") }},
		{"link as lock", func() error { return os.Symlink(precious, base+".lock") }},
		{"pipe as value", func() error { return syscall.Mkfifo(path, 0o600) }},
		{"directory as value", func() error { return os.Mkdir(path, 0o700) }},
	} {
		t.Run(trap.name, func(t *testing.T) {
			if err := trap.set(); err != nil {
				t.Fatal(err)
			}
			if swapped, err := s.CompareAndSwap(t.Context(), "a", nil, []byte("1"), 0); swapped || err == nil {
				t.Errorf("CompareAndSwap = %v, %v; want an error", swapped, err)
			}
			if got, err := os.ReadFile(precious); string(got) != "precious" {
				t.Fatalf("precious is %q, %v", got, err)
			}
			for _, f := range []string{path, base + ".tmp", base + ".lock"} {
				os.Remove(f)
			}
		})
	}
}
