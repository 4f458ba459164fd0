//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package shared

import (
	"context"
	"fmt"
	"io/fs"
	"os"
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

func TestFileStoreTraps_Pipe(t *testing.T) {
	checkTrap(t, func(path, _, _ string) error { return syscall.Mkfifo(path, 0o600) })
}
