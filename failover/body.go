package failover

import (
	"io"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
)

// A requestBody tells whether reading it failed. It gives nothing to a send that
// another has followed.
type requestBody struct {
	io.ReadCloser

	watch  *watch
	closed atomic.Bool
}

func (b *requestBody) Read(p []byte) (int, error) {
	if !b.watch.upload.Begin() {
		return 0, http.ErrBodyReadAfterClose
	}
	defer b.watch.upload.End()
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && !b.closed.Load() {
		b.watch.bodyErr.CompareAndSwap(nil, &err)
	}
	return n, err
}

// Close closes the body, whose Reads may fail from then on.
func (b *requestBody) Close() error {
	b.closed.Store(true)
	err := b.ReadCloser.Close()
	if err != nil {
		b.watch.closeErr.CompareAndSwap(nil, &err)
	}
	return err
}

// A responseBody is the body that the caller reads. It ends the sending.
type responseBody struct {
	inner   io.ReadCloser
	sending *sending
	once    sync.Once
}

func (b *responseBody) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	if err != nil {
		b.end(err)
	}
	return n, err
}

// Close closes the inner body before it ends the sending's context, to which
// net/http would react by closing the connection.
func (b *responseBody) Close() error {
	err := b.inner.Close()
	b.end(nil)
	return err
}

func (b *responseBody) end(err error) { b.once.Do(func() { b.sending.end(err) }) }

// newUpgraded returns the body after 101 or CONNECT, the caller's own connection,
// such that it ends s.
func newUpgraded(body io.ReadCloser, s *sending) io.ReadCloser {
	conn, ok := body.(io.ReadWriteCloser)
	if !ok {
		return &responseBody{inner: body, sending: s}
	}
	return roundtrip.Upgraded(conn, func() { s.end(nil) })
}
