package mercurial

import (
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

const (
	dirPrefix = "redoubt-hgrc-"
	dirLock   = "lock"

	// young is how long a directory may be without its lock.
	young = time.Minute
)

// makeDir makes a directory for a run of ours, and removes those of runs that
// were killed. The lock in it is dropped by the system when its holder dies.
func makeDir() (string, *flock.Flock, error) {
	sweep(os.TempDir())
	for {
		dir, err := os.MkdirTemp("", dirPrefix)
		if err != nil {
			return "", nil, err
		}
		held := flock.New(filepath.Join(dir, dirLock))
		ok, err := held.TryLock()
		if _, gone := os.Lstat(held.Path()); ok && gone == nil {
			return dir, held, nil
		}
		_ = held.Close()
		_ = os.RemoveAll(dir)
		if err != nil {
			return "", nil, err
		}
		// Somebody swept it away between two of our steps.
	}
}

// sweep removes directories of ours that nobody holds. Whatever fails is left to
// the next run, or to those whose it is.
func sweep(parent string) {
	found, _ := filepath.Glob(filepath.Join(parent, dirPrefix+"*"))
	for _, dir := range found {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() {
			continue
		}
		if _, err := os.Lstat(filepath.Join(dir, dirLock)); err != nil && time.Since(info.ModTime()) < young {
			continue // it is being made
		}
		held := flock.New(filepath.Join(dir, dirLock))
		if ok, err := held.TryLock(); ok && err == nil {
			_ = os.RemoveAll(dir)
		}
		_ = held.Close()
	}
}
