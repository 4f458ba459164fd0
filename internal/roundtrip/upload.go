package roundtrip

import (
	"context"
	"errors"
	"io"
	"reflect"
	"sync"
	"time"
)

// ErrBeingRead says that a request can't be sent again since its one body is in
// use.
var ErrBeingRead = errors.New("redoubt: request body is still being read by an earlier send, and GetBody returns no other")

// handOverPatience is how long the next send waits for a Read that is under way.
const handOverPatience = 50 * time.Millisecond

// An Upload follows the Reads of a request body by one send. Package net/http may
// go on with an upload after RoundTrip has returned, and GetBody may do no more
// than rewind what it gave out before: the Reads of one send would take what belongs
// to the next. The zero value is ready to use.
type Upload struct {
	mu    sync.Mutex
	reads int           // under way
	over  bool          // another send has the body
	idle  chan struct{} // closed with the last Read; nil if nobody waits for that
}

// Begin reports whether the body is still the send's to read. If it is, End must
// follow the Read.
func (u *Upload) Begin() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.over {
		return false
	}
	u.reads++
	return true
}

// End says that a Read has returned.
func (u *Upload) End() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reads--
	if u.reads == 0 && u.idle != nil {
		close(u.idle)
		u.idle = nil
	}
}

// HandOver returns another body in place of body, by getBody. No Read begins any
// more, and those under way are waited for, since what they return must not come
// from the new body. One that waits for its producer is left alone, unless body is
// all there is: then the error is ErrBeingRead.
func (u *Upload) HandOver(ctx context.Context, body io.ReadCloser, getBody func() (io.ReadCloser, error)) (io.ReadCloser, error) {
	over := u.wait(ctx, u.supersede())
	again, err := getBody()
	if err == nil && !over && same(again, body) {
		return nil, ErrBeingRead // and not closed, since it isn't the caller's to close
	}
	return again, err
}

// supersede lets no further Read begin. It returns what is closed with the last of
// those under way, nil if none is.
func (u *Upload) supersede() <-chan struct{} {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.over = true
	if u.reads > 0 && u.idle == nil {
		u.idle = make(chan struct{})
	}
	return u.idle
}

func (u *Upload) wait(ctx context.Context, idle <-chan struct{}) bool {
	if idle == nil {
		return true
	}
	timer := time.NewTimer(handOverPatience)
	defer timer.Stop()
	select {
	case <-idle:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

func same(a, b io.ReadCloser) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}
