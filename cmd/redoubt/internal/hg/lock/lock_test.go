package lock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestExclusive(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	self := Holder{PID: 7, Host: "h", What: "test"}
	first, err := Acquire(t.Context(), Request{Path: path, Mode: Exclusive, Self: self})
	if err != nil {
		t.Fatal(err)
	}
	waited := false
	_, err = Acquire(t.Context(), Request{Path: path, Mode: Shared, Wait: 50 * time.Millisecond, Waiting: func(h Holder) { waited = h.PID == 7 }})
	if busy, ok := errors.AsType[*BusyError](err); !ok || busy.Holder.PID != 7 || !waited {
		t.Fatalf("%v, told who: %v", err, waited)
	}
	first.Release()
	for range 2 {
		if _, err := Acquire(t.Context(), Request{Path: path, Mode: Shared}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestContextEnds(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	if _, err := Acquire(t.Context(), Request{Path: path, Mode: Exclusive}); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	if _, err := Acquire(ctx, Request{Path: path, Mode: Shared, Wait: time.Minute}); !errors.Is(err, cause) {
		t.Fatalf("err = %v", err)
	}
}

// A lock whose file is removed on release must not be held by two: by one who
// had opened the file before, and by another who made it anew.
func TestRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.lock")
	var inside, most atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				l, err := Acquire(t.Context(), Request{Path: path, Mode: Exclusive, Wait: time.Minute, Remove: true})
				if err != nil {
					t.Error(err)
					return
				}
				if n := inside.Add(1); n > 1 {
					most.Store(n)
				}
				time.Sleep(time.Millisecond)
				inside.Add(-1)
				l.Release()
			}
		})
	}
	all.Wait()
	if most.Load() > 1 {
		t.Errorf("%d held it at once", most.Load())
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file is left: %v", err)
	}
}
