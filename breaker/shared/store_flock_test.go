//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package shared

import (
	"context"
	"errors"
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

// A directory's group that may write to it may write to the files too, also under
// the usual umask, which used to shut it out of the locks and the values. Nobody
// else gets more than the umask leaves them.
func TestFileStoreModes(t *testing.T) {
	for _, tt := range []struct {
		dir, want fs.FileMode
		umask     int
	}{
		{0o700, 0o600, 0o077},
		{0o770, 0o660, 0o077},
		{0o775, 0o660, 0o077},
		{0o775, 0o664, 0o022},
		{0o755, 0o600, 0o077},
		{0o777, 0o664, 0o022},
		{0o777 | fs.ModeSticky, 0o664, 0o022},
	} {
		s := directory(t, tt.dir)
		for name, info := range swapUnder(t, s, tt.umask) {
			if info.Mode() != tt.want {
				t.Errorf("directory %v, umask %03o: %s is %v, want %v", tt.dir, tt.umask, name, info.Mode(), tt.want)
			}
		}
	}
}

// directory returns the store in a new directory, whose files have its group.
func directory(t *testing.T, mode fs.FileMode) *FileStore {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(dir, -1, os.Getegid()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, mode); err != nil {
		t.Fatal(err)
	}
	return NewFileStore(dir)
}

// swapUnder writes a value under a umask, and returns the lock and the value.
func swapUnder(t *testing.T, s *FileStore, umask int) map[string]fs.FileInfo {
	t.Helper()
	old := syscall.Umask(umask)
	_, err := s.CompareAndSwap(t.Context(), "a", nil, []byte("1"), 0)
	syscall.Umask(old)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(s.Dir())
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	files := map[string]fs.FileInfo{}
	for _, e := range entries {
		if files[e.Name()], err = e.Info(); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// Whoever may write to the directory could once have the mode of any file of ours
// widened by a link to it in a lock's place, and its text lost by one in the place
// of a value that is being written.
func TestFileStore_HardLink(t *testing.T) {
	for _, end := range []string{".lock", ".tmp"} {
		for _, text := range []string{"", "precious"} {
			s := directory(t, 0o770)
			precious := filepath.Join(filepath.Dir(s.Dir()), "precious")
			if err := os.WriteFile(precious, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chown(precious, -1, os.Getegid()); err != nil {
				t.Fatal(err)
			}
			if err := os.Link(precious, strings.TrimSuffix(s.path("a"), suffix)+end); err != nil {
				t.Fatal(err)
			}
			swapUnder(t, s, 0o077)
			if info, err := os.Stat(precious); err != nil || info.Mode() != 0o600 {
				t.Errorf("a link as %s makes %q %v, %v", end, text, info.Mode(), err)
			}
			if got, err := os.ReadFile(precious); string(got) != text || err != nil {
				t.Errorf("a link as %s makes %q %q, %v", end, text, got, err)
			}
		}
	}
}

// A file with a text may be another's even if the link was taken away again.
func TestFileStore_LockWithText(t *testing.T) {
	s := directory(t, 0o770)
	lock := strings.TrimSuffix(s.path("a"), suffix) + ".lock"
	if err := os.WriteFile(lock, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if info := swapUnder(t, s, 0o077)[filepath.Base(lock)]; info.Mode() != 0o600 {
		t.Errorf("the lock is %v", info.Mode())
	}
}

// groupOf is a directory as it would be if it belonged to another group.
type groupOf struct {
	fs.FileInfo
	stat syscall.Stat_t
}

func (g *groupOf) Sys() any { return &g.stat }

// Without the setgid bit files belong to the group of who makes them, on Linux,
// which once got the access meant for the directory's.
func TestFileStore_WrongGroup(t *testing.T) {
	s := directory(t, 0o770)
	info, err := os.Stat(s.Dir())
	if err != nil {
		t.Fatal(err)
	}
	other := &groupOf{info, *info.Sys().(*syscall.Stat_t)}
	for _, tt := range []struct {
		dir  fs.FileInfo
		want fs.FileMode
	}{{info, 0o660}, {other, 0o600}} {
		other.stat.Gid++
		f, err := os.CreateTemp(s.Dir(), "") // 0600, whatever the umask
		if err != nil {
			t.Fatal(err)
		}
		share(f, tt.dir)
		got, err := f.Stat()
		if err = errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
			t.Fatal(err)
		}
		if got.Mode() != tt.want {
			t.Errorf("%v, want %v", got.Mode(), tt.want)
		}
	}
	// Who is in another group, or root, can give the directory to it.
	groups, _ := os.Getgroups()
	for _, gid := range append(groups, 1) {
		_ = os.Chown(s.Dir(), -1, gid)
	}
	if info, err = os.Stat(s.Dir()); err != nil {
		t.Fatal(err)
	}
	for name, file := range swapUnder(t, s, 0o077) {
		want := fs.FileMode(0o600)
		if file.Sys().(*syscall.Stat_t).Gid == info.Sys().(*syscall.Stat_t).Gid {
			want = 0o660
		}
		if file.Mode() != want {
			t.Errorf("%s is %v, want %v", name, file.Mode(), want)
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
