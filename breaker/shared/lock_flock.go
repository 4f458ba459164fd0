//go:build darwin || dragonfly || freebsd || illumos || linux || netbsd || openbsd

package shared

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// careful are flags with which to open files in a directory that others may
// write to: no symbolic link is followed, and no named pipe waited for.
const careful = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// lock takes the lock of a file, for as long as this process lives at most. The
// file stays, since removing it would let two processes hold two files of one
// name.
func lock(ctx context.Context, path string, dir fs.FileInfo) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|careful, modeIn(dir))
	if err != nil {
		return nil, err
	}
	share(f, dir)
	err = await(ctx, path, func() (bool, error) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
			return false, nil
		}
		if err != nil {
			return false, &fs.PathError{Op: "flock", Path: path, Err: err}
		}
		return true, nil
	})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil // which gives the lock back
}
