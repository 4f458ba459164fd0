//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package shared

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

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

// Files are as accessible as their directory, also under the usual umask, which
// used to shut the directory's group out of the locks and the values.
func TestFileStoreModes(t *testing.T) {
	for _, mode := range []fs.FileMode{0o700, 0o770} {
		dir := filepath.Join(t.TempDir(), fmt.Sprint(mode))
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		old := syscall.Umask(0o077)
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

func TestFileStoreTraps_Pipe(t *testing.T) {
	checkTrap(t, func(path, _, _ string) error { return syscall.Mkfifo(path, 0o600) })
}

// Values that can't be had are an error and not an empty directory.
func TestFileStore_Values(t *testing.T) {
	s := NewFileStore(t.TempDir())
	for _, key := range []string{"a", "b"} {
		if swapped, err := s.CompareAndSwap(t.Context(), key, nil, []byte("1"), 0); !swapped || err != nil {
			t.Fatal(swapped, err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	check := func(ctx context.Context, s *FileStore, want error) {
		t.Helper()
		var errs []error
		for _, err := range s.Values(ctx) {
			errs = append(errs, err)
		}
		if len(errs) != 1 || !errors.Is(errs[0], want) {
			t.Errorf("errors %v, want one, %v", errs, want)
		}
	}
	check(ended, s, context.Canceled)
	check(t.Context(), NewFileStore(s.path("a")), syscall.ENOTDIR) // not a directory
}

// A value that can't be written to its end, since the disk is full, leaves the one
// before as it was. The binary runs itself as a process whose files hold two bytes.
func TestFileStore_FullDisk(t *testing.T) {
	if dir := os.Getenv("SHARED_TEST_FULL"); dir != "" {
		overfill(t, dir)
		return
	}
	s := NewFileStore(t.TempDir())
	if swapped, err := s.CompareAndSwap(t.Context(), "a", nil, []byte("old"), 0); !swapped || err != nil {
		t.Fatal(swapped, err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFileStore_FullDisk$")
	cmd.Env = append(os.Environ(), "SHARED_TEST_FULL="+s.Dir())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if got, err := s.Load(t.Context(), "a"); string(got) != "old" || err != nil {
		t.Errorf("Load = %q, %v; want the value before", got, err)
	}
	if swapped, err := s.CompareAndSwap(t.Context(), "a", []byte("old"), []byte("new"), 0); !swapped || err != nil {
		t.Errorf("CompareAndSwap with room again: %v, %v", swapped, err)
	}
}

func overfill(t *testing.T, dir string) {
	signal.Ignore(syscall.SIGXFSZ)
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: 2, Max: 2}); err != nil {
		t.Fatal(err)
	}
	if swapped, err := NewFileStore(dir).CompareAndSwap(t.Context(), "a", []byte("old"), []byte("new"), 0); swapped || !errors.Is(err, syscall.EFBIG) {
		t.Errorf("CompareAndSwap on a full disk: %v, %v", swapped, err)
	}
}
