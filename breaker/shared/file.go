package shared

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// A FileStore is a [Store] in a directory: a small file for each key. It is
// safe for concurrent use, by any number of processes.
//
// Values are replaced by renaming, under a lock that belongs to the process
// (flock where there is such a thing) and is held for the replacement alone, so
// that no reader sees half a value and no writer that is killed leaves a lock.
// Files are at most as accessible as the directory. Its group, if that may write
// to it, may write to the files too, whatever the umask: give it to a group, with
// the setgid bit so that the files belong to the same, and its members share their
// circuits. What others may do the umask decides. Nothing is flushed to disk; after
// a power failure a circuit may be closed that was open.
type FileStore struct {
	dir    string
	warned atomic.Bool
}

// NewFileStore returns a store in dir. It does nothing yet: the first value that
// is written makes the directory, for this user alone.
func NewFileStore(dir string) *FileStore { return &FileStore{dir: dir} }

// Dir returns the directory.
func (s *FileStore) Dir() string { return s.dir }

// suffix tells values from other files. The number is that of the format, so
// that a later one can live next to this one.
const suffix = ".v1.json"

// path returns the file of a key.
func (s *FileStore) path(key string) string {
	sum := sha256.Sum256([]byte(key))
	return filepath.Join(s.dir, hex.EncodeToString(sum[:16])+suffix)
}

// Load returns the value of key, nil if there is none.
func (s *FileStore) Load(_ context.Context, key string) ([]byte, error) {
	return s.read(s.path(key))
}

func (s *FileStore) read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|careful, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // It was only read.
	if info, err := f.Stat(); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("breaker/shared: %s is not a regular file", path)
	}
	// One byte more than a value may have shows that this one has too many.
	return io.ReadAll(io.LimitReader(f, maxRecord+1))
}

// CompareAndSwap replaces the value of key by value if it is old, and reports
// whether it did. A value lasts until it is replaced.
func (s *FileStore) CompareAndSwap(ctx context.Context, key string, old, value []byte, _ time.Duration) (swapped bool, err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return false, err
	}
	dir, err := os.Stat(s.dir)
	if err != nil {
		return false, err
	}
	path := s.path(key)
	unlock, err := lock(ctx, strings.TrimSuffix(path, suffix)+".lock", dir)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	current, err := s.read(path)
	if err != nil {
		return false, err
	}
	if !bytes.Equal(current, old) {
		return false, nil
	}
	if value == nil {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err == nil, err
	}
	return replace(path, value, dir)
}

// replace writes a value next to its place and moves it there. Only who holds
// the lock does so: what a writer that was killed left behind is removed. It is
// not written to, since it may be a link that somebody else made.
func replace(path string, value []byte, dir fs.FileInfo) (bool, error) {
	temp := strings.TrimSuffix(path, suffix) + ".tmp"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, modeIn(dir))
	if err != nil {
		return false, err
	}
	share(f, dir)
	_, err = f.Write(value)
	if err = errors.Join(err, f.Close()); err != nil {
		return false, err
	}
	err = os.Rename(temp, path)
	return err == nil, err
}

// modeIn is the mode of new files in a directory, before the umask: those who may
// use the directory may use them.
func modeIn(dir fs.FileInfo) fs.FileMode { return dir.Mode().Perm()&0o666 | 0o600 }

// Values returns all values. A directory that does not exist has none.
func (s *FileStore) Values(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		entries, err := os.ReadDir(s.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(nil, err)
			return
		}
		for _, entry := range entries {
			if !strings.HasSuffix(entry.Name(), suffix) {
				continue
			}
			value, err := s.read(filepath.Join(s.dir, entry.Name()))
			if err == nil {
				err = ctx.Err()
			}
			if !yield(value, err) || ctx.Err() != nil {
				return
			}
		}
	}
}

// firstWarning reports whether nobody was warned yet that the store can't be
// used: a program with ten breakers in one directory has one thing to say.
func (s *FileStore) firstWarning() bool { return s.warned.CompareAndSwap(false, true) }

// The waits between two tries to get a lock.
const (
	firstPause = 500 * time.Microsecond
	longPause  = 20 * time.Millisecond
)

// await calls try until it reports true or an error, or ctx ends.
func await(ctx context.Context, path string, try func() (bool, error)) error {
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		if done, err := try(); done || err != nil {
			return err
		}
		timer := time.NewTimer(pause/2 + rand.N(pause))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("breaker/shared: waiting for %s: %w", path, context.Cause(ctx))
		}
	}
}
