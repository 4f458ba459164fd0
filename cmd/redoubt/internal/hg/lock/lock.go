// Package lock keeps runs of redoubt hg out of each other's way, by flock on
// files that lie beside the thing they stand for.
//
// The system drops such a lock when its holder dies, however it dies, in
// whatever container. So nobody has to guess whether a lock is stale, which is
// what cost others their neighbours' repositories.
package lock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// A Mode is who may hold a lock at the same time.
type Mode int

// The modes.
const (
	Shared    Mode = iota // any number of Shared
	Exclusive             // nobody else
)

// poll is how often a lock that is taken is tried again.
const poll = 20 * time.Millisecond

// A Holder is who holds a lock, as it says itself.
type Holder struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Start time.Time `json:"start"`
	What  string    `json:"what"`          // without secrets
	Run   string    `json:"run,omitempty"` // marks the environment of its children
}

// String says who that is, for a message about waiting.
func (h Holder) String() string {
	if h.PID == 0 {
		return "somebody"
	}
	return fmt.Sprintf("process %d on %s since %s (%s)", h.PID, h.Host, h.Start.Format(time.TimeOnly), h.What)
}

// A BusyError says that a lock was not to be had in time.
type BusyError struct {
	Path   string
	Holder Holder
	Wait   time.Duration
}

// Error names the lock and its holder.
func (e *BusyError) Error() string {
	return fmt.Sprintf("lock: %s is still held by %v after %v", e.Path, e.Holder, e.Wait)
}

// A Lock is held until it is released. It is for one goroutine.
type Lock struct {
	path   string
	file   *flock.Flock
	mode   Mode
	remove bool

	// Left is who held the lock last and died with it, if it was Exclusive.
	Left Holder
}

// Request is what is wanted.
type Request struct {
	Path    string
	Mode    Mode
	Wait    time.Duration
	Self    Holder
	Waiting func(Holder) // told once, if there is somebody to wait for

	// Remove removes the file when an Exclusive lock is released, which is
	// for locks beside what belongs to the user.
	Remove bool
}

// Acquire takes a lock. If it can't be had within r.Wait, the error is a
// *BusyError; if ctx ends first, ctx's cause.
func Acquire(ctx context.Context, r Request) (*Lock, error) {
	deadline := time.Now().Add(r.Wait)
	told := false
	for {
		l, err := try(r)
		if l != nil || err != nil {
			return l, err
		}
		if !told && r.Waiting != nil {
			r.Waiting(read(r.Path))
		}
		told = true
		if !time.Now().Before(deadline) {
			return nil, &BusyError{Path: r.Path, Holder: read(r.Path), Wait: r.Wait}
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(min(poll, max(time.Until(deadline), time.Millisecond))):
		}
	}
}

// try takes the lock if it is free. It returns nil and no error if it is not, or
// if the file was removed while we got hold of it.
func try(r Request) (*Lock, error) {
	file := flock.New(r.Path)
	take := file.TryLock
	if r.Mode == Shared {
		take = file.TryRLock
	}
	ok, err := take()
	if err != nil || !ok {
		_ = file.Close()
		return nil, wrap(r.Path, err)
	}
	if !same(file, r.Path) {
		_ = file.Close()
		return nil, nil
	}
	l := &Lock{path: r.Path, file: file, mode: r.Mode, remove: r.Remove}
	if r.Mode == Exclusive {
		l.Left = read(r.Path)
		err = write(r.Path, r.Self)
	}
	if err != nil {
		_ = file.Close()
		return nil, wrap(r.Path, err)
	}
	return l, nil
}

func wrap(path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("lock: %s: %w", path, err)
}

// same reports whether file is still what path names: the one who held the lock
// before us may have removed it.
func same(file *flock.Flock, path string) bool {
	ours, err1 := file.Stat()
	theirs, err2 := os.Stat(path)
	return err1 == nil && err2 == nil && os.SameFile(ours, theirs)
}

// Release gives the lock back. A nil lock, and one that was released, have
// nothing to give.
func (l *Lock) Release() {
	if l == nil || l.file == nil {
		return
	}
	if l.mode == Exclusive {
		if l.remove {
			_ = os.Remove(l.path)
		} else {
			_ = os.Truncate(l.path, 0)
		}
	}
	_ = l.file.Close()
	l.file = nil
}

func read(path string) Holder {
	var h Holder
	text, err := os.ReadFile(path)
	if err != nil || json.Unmarshal(text, &h) != nil {
		return Holder{}
	}
	return h
}

// write puts our name into the file, in place: it must stay the file that is
// locked.
func write(path string, self Holder) error {
	text, err := json.Marshal(self)
	if err != nil {
		return err
	}
	err = os.WriteFile(path, append(text, '\n'), 0o666)
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return nil // another user's file, or no room: the lock holds all the same
	default:
		return err
	}
}
