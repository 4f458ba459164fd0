package shared

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
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
			for range s.Values(ctx) {
				break
			}
			swap("a", []byte("1"), nil, false)
			swap("a", []byte("2"), nil, true)
			swap("a", nil, nil, true)
			load("a", "")
			values(1)
		})
	}
}

// The name of a key's file is part of the format: processes of two releases share
// their circuits.
func TestFileStore_Path(t *testing.T) {
	want := filepath.Join("dir", "ca978112ca1bbdcafac231b39a23dc4d.v1.json")
	if got := NewFileStore("dir").path("a"); got != want {
		t.Errorf("path = %s, want %s", got, want)
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

// A directory that others may write to must not be a trap.
func TestFileStoreTraps(t *testing.T) {
	for _, trap := range []struct {
		name string
		set  func(path, base, precious string) error
	}{
		{"link as value", func(path, _, precious string) error { return os.Symlink(precious, path) }},
		{"directory as temp", func(_, base, _ string) error { return os.MkdirAll(base+".tmp/full", 0o700) }},
		{"link as lock", func(_, base, precious string) error { return os.Symlink(precious, base+".lock") }},
		{"directory as value", func(path, _, _ string) error { return os.Mkdir(path, 0o700) }},
	} {
		t.Run(trap.name, func(t *testing.T) { checkTrap(t, trap.set) })
	}
}

// A link in the place of a value that is being written is taken away, and what it
// leads to stays.
func TestFileStoreTraps_LinkAsTemp(t *testing.T) {
	s := NewFileStore(t.TempDir())
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(precious, strings.TrimSuffix(s.path("a"), suffix)+".tmp"); err != nil {
		t.Fatal(err)
	}
	if swapped, err := s.CompareAndSwap(t.Context(), "a", nil, []byte("1"), 0); !swapped || err != nil {
		t.Errorf("CompareAndSwap = %v, %v", swapped, err)
	}
	if got, err := os.ReadFile(precious); string(got) != "precious" {
		t.Fatalf("precious is %q, %v", got, err)
	}
	if got, err := s.Load(t.Context(), "a"); string(got) != "1" || err != nil {
		t.Errorf("Load = %q, %v", got, err)
	}
}

// checkTrap holds that nothing is written where set has put something in the way.
func checkTrap(t *testing.T, set func(path, base, precious string) error) {
	t.Helper()
	s := NewFileStore(t.TempDir())
	precious := filepath.Join(t.TempDir(), "precious")
	if err := os.WriteFile(precious, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	path := s.path("a")
	if err := set(path, path[:len(path)-len(suffix)], precious); err != nil {
		t.Fatal(err)
	}
	if swapped, err := s.CompareAndSwap(t.Context(), "a", nil, []byte("1"), 0); swapped || err == nil {
		t.Errorf("CompareAndSwap = %v, %v; want an error", swapped, err)
	}
	if got, err := os.ReadFile(precious); string(got) != "precious" {
		t.Fatalf("precious is %q, %v", got, err)
	}
}
