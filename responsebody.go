package redoubt

import (
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
)

// A responseBody is the body that the caller reads. It bounds how long a Read
// may wait, and ends the sending with the body.
type responseBody struct {
	inner   io.ReadCloser
	sending *sending
	limit   time.Duration // of a Read; 0 is none
	ended   bool
	closed  atomic.Bool
}

func (b *responseBody) Read(p []byte) (int, error) {
	closed := b.closed.Load()
	if b.ended && !closed { // the end is final, though a Base may look at the context, which has ended with it
		return 0, io.EOF
	}
	if b.limit > 0 {
		b.sending.progress.reading(b.limit)
	}
	n, err := b.inner.Read(p)
	if b.limit > 0 {
		b.sending.progress.gave()
	}
	if err != nil {
		b.ended = err == io.EOF //nolint:errorlint // Only EOF itself is the end.
		if !closed {            // or else Base knows best, whatever ended meanwhile
			err = b.sending.bodyError(err)
		}
		b.sending.end(err)
	}
	return n, err
}

// Close closes the inner body before it ends the sending's context, to which
// net/http would react by closing the connection.
func (b *responseBody) Close() error {
	b.closed.Store(true)
	err := b.inner.Close()
	b.sending.end(nil)
	return err
}

// newUpgraded returns the body after 101 or CONNECT, the caller's own connection,
// such that it ends s.
func newUpgraded(body io.ReadCloser, s *sending) io.ReadCloser {
	conn, ok := body.(io.ReadWriteCloser)
	if !ok {
		return &responseBody{inner: body, sending: s}
	}
	return roundtrip.Upgraded(conn, func() { s.end(nil) })
}

// drainPatience is how long a failed response may take to be read ahead.
const drainPatience = 50 * time.Millisecond

// A peekedBody is a body whose beginning a goroutine reads ahead. If that
// reaches the end, its connection is free already; if it does not in time, the
// caller can still have all of it.
type peekedBody struct {
	inner  io.ReadCloser
	enough atomic.Bool
	filled chan struct{} // closed when the goroutine is done

	buf      []byte // once filled
	err      error  // after buf, nil if there is more
	panicked any    // what inner panicked with, for the goroutine of a caller

	mu      sync.Mutex
	filling bool
	closed  bool
}

// peek reads up to limit bytes ahead, and waits at most drainPatience for them.
func peek(body io.ReadCloser, limit int64) *peekedBody {
	b := &peekedBody{inner: body, filled: make(chan struct{}), filling: true}
	go b.fill(limit)
	timer := time.NewTimer(drainPatience)
	defer timer.Stop()
	select {
	case <-b.filled:
		b.rethrow()
	case <-timer.C:
		b.enough.Store(true)
	}
	return b
}

func (b *peekedBody) fill(limit int64) {
	defer b.finish()
	chunk := make([]byte, min(limit, 4<<10))
	for int64(len(b.buf)) < limit && b.err == nil && !b.enough.Load() {
		n, err := b.inner.Read(chunk[:min(int64(len(chunk)), limit-int64(len(b.buf)))])
		b.buf = append(b.buf, chunk[:n]...)
		b.err = err
	}
}

// finish is how fill ends, also if inner panics.
func (b *peekedBody) finish() {
	b.panicked = recover()
	defer close(b.filled)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.filling = false
	if b.closed {
		_ = b.inner.Close()
	}
}

func (b *peekedBody) rethrow() {
	if b.panicked != nil {
		panic(b.panicked)
	}
}

// complete reports whether the body was read to its end, good or bad.
func (b *peekedBody) complete() bool {
	select {
	case <-b.filled:
		return b.err != nil
	default:
		return false
	}
}

func (b *peekedBody) Read(p []byte) (int, error) {
	<-b.filled
	if len(b.buf) > 0 {
		n := copy(p, b.buf)
		b.buf = b.buf[n:]
		return n, nil
	}
	b.rethrow()
	if b.err != nil {
		return 0, b.err
	}
	return b.inner.Read(p)
}

// Close closes the inner body, but never while a Read of it is under way: that
// Read's end then does it, which whoever closes early brings about by ending
// the sending's context.
func (b *peekedBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	if b.filling {
		return nil
	}
	return b.inner.Close()
}
