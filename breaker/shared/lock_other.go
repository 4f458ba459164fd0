//go:build !(darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd)

package shared

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"
)

const careful = 0

// stale is the age at which a lock was left behind by a process that died. A
// lock is held for some milliseconds.
const stale = 10 * time.Second

// lock makes a file that must not exist. That is all that can be relied on
// everywhere.
func lock(ctx context.Context, path string, dir fs.FileInfo) (unlock func() error, err error) {
	err = await(ctx, path, func() (bool, error) {
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, modeIn(dir))
		if err == nil {
			return true, f.Close()
		}
		info, statErr := os.Stat(path)
		if statErr == nil && time.Since(info.ModTime()) > stale {
			_ = os.Remove(path)
			return false, nil
		}
		if errors.Is(err, fs.ErrExist) || statErr == nil { // Windows has other errors for it too
			return false, nil
		}
		return false, err
	})
	if err != nil {
		return nil, err
	}
	return func() error { return os.Remove(path) }, nil
}
