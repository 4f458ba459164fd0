package redoubt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
)

// smallBody is what the buffers of a connection commonly take at once: a body
// in memory that is not larger is handed to net/http as it is, so that net/http
// can send it in one packet with the header.
const smallBody = 64 << 10

// inMemory reports whether req has a small body made by http.NewRequest.
func inMemory(req *http.Request) bool {
	if req.GetBody == nil || req.ContentLength <= 0 || req.ContentLength > smallBody {
		return false
	}
	if t := reflect.TypeOf(req.Body); t != nopCloser && t != nopCloserWriterTo {
		return false
	}
	switch reflect.ValueOf(req.Body).Field(0).Interface().(type) {
	case *bytes.Buffer, *bytes.Reader, *strings.Reader:
		return true
	}
	return false // such as a file, which the user's own GetBody may rewind
}

var (
	nopCloser         = reflect.TypeOf(io.NopCloser(nil))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(struct {
		io.Reader
		io.WriterTo
	}{}))
)

// A watchedBody tells progress of its Reads, but not of an error that comes of its
// having been closed.
type watchedBody struct {
	io.ReadCloser

	progress *progress
	closed   atomic.Bool
}

func (b *watchedBody) Read(p []byte) (int, error) {
	if !b.progress.upload.Begin() {
		return 0, http.ErrBodyReadAfterClose
	}
	defer b.progress.upload.End()
	b.progress.bodyRead()
	n, err := b.ReadCloser.Read(p)
	if b.closed.Load() {
		b.progress.bodyGave(nil)
	} else {
		b.progress.bodyGave(err)
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.closed.Store(true)
	err := b.ReadCloser.Close()
	if err != nil {
		b.progress.note(func() { b.progress.closeErr = err })
	}
	return err
}

// A replay is a request body without GetBody that several attempts read: each
// through a reader of its own, since net/http may read the body of an attempt
// that is over. What one reader has read of it is kept for the others, up to a
// limit; beyond that only the reader that is the farthest goes on.
type replay struct {
	body  io.ReadCloser
	limit int64
	turn  chan struct{} // held by whoever reads body; a mutex would not do in a synctest bubble

	mu     sync.Mutex
	kept   []byte
	read   int64 // bytes read of body
	err    error // after the last of them
	active *replayReader
	last   *replayReader // that was active
	shut   bool          // body is closed
	users  int           // the call, and readers not closed
}

func newReplay(body io.ReadCloser, limit int64) *replay {
	return &replay{body: body, limit: limit, turn: make(chan struct{}, 1), users: 1}
}

// rewindable reports whether a new reader would get all of the body.
func (r *replay) rewindable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.whole()
}

func (r *replay) whole() bool {
	return !r.shut && r.read == int64(len(r.kept)) && (r.active == nil || r.limit > 0)
}

// reader returns a new reader from the body's beginning, for the attempt that
// has ctx.
func (r *replay) reader(ctx context.Context) io.ReadCloser {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users++
	reader := &replayReader{replay: r, gone: make(chan struct{})}
	reader.forget = context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); cause != errDone && cause != errDiscarded { //nolint:errorlint // Ours are never wrapped.
			reader.leave(true)
		}
	})
	return reader
}

// release gives up one use of the body, that of reader or, if it is nil, of the call.
// It closes the body with the last that could go on with it.
func (r *replay) release(reader *replayReader) error {
	r.mu.Lock()
	r.users--
	alone := reader != nil && reader == r.last && r.active == nil && !r.whole()
	last := !r.shut && (r.users == 0 || alone)
	r.shut = r.shut || last
	r.mu.Unlock()
	if !last {
		return nil
	}
	return r.body.Close()
}

// known serves a Read from what was read before, if it can.
func (r *replay) known(p []byte, off int64) (int, error, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.knownLocked(p, off)
}

func (r *replay) knownLocked(p []byte, off int64) (int, error, bool) {
	switch {
	case off < r.read && int64(len(r.kept)) < r.read:
		return 0, errRewind, true
	case off < r.read:
		return copy(p, r.kept[off:]), nil, true
	}
	return 0, r.err, r.err != nil
}

// begin is known for the reader whose turn it is. If that can't be served, it
// goes on to read the body.
func (r *replay) begin(p []byte, reader *replayReader) (int, error, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reader.closed {
		return 0, http.ErrBodyReadAfterClose, true
	}
	n, err, ok := r.knownLocked(p, reader.off)
	if !ok {
		r.active, r.last = reader, reader
	}
	return n, err, ok
}

func (r *replay) learn(p []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active = nil
	r.err = err
	r.read += int64(len(p))
	if r.read <= r.limit {
		r.kept = append(r.kept, p...)
	} else {
		r.kept = nil
	}
}

// A replayReader is one attempt's view of a replay.
type replayReader struct {
	replay *replay
	off    int64
	forget func() bool // the attempt's context

	once   sync.Once
	gone   chan struct{}
	closed bool // gone; guarded by the replay's mutex
}

func (r *replayReader) Read(p []byte) (int, error) {
	n, err := r.read(p)
	r.off += int64(n)
	return n, err
}

func (r *replayReader) read(p []byte) (int, error) {
	select {
	case <-r.gone:
		return 0, http.ErrBodyReadAfterClose
	default:
	}
	if n, err, ok := r.replay.known(p, r.off); ok {
		return n, err
	}
	select {
	case r.replay.turn <- struct{}{}:
	case <-r.gone:
		return 0, http.ErrBodyReadAfterClose
	}
	defer func() { <-r.replay.turn }()
	if n, err, ok := r.replay.begin(p, r); ok {
		return n, err
	}
	n, err := r.replay.body.Read(p)
	r.replay.learn(p[:n], err)
	select {
	case <-r.gone:
		return 0, http.ErrBodyReadAfterClose
	default:
		return n, err
	}
}

// Close frees a Read that is under way, unless another attempt can go on with the
// body: to close that is all that frees it.
func (r *replayReader) Close() error {
	if !r.leave(false) {
		r.forget()
	}
	var err error
	r.once.Do(func() { err = r.replay.release(r) })
	return err
}

// leave lets no further Read begin, and frees the one that is under way, if it
// has to. It reports whether one still is.
func (r *replayReader) leave(must bool) bool {
	body := r.replay
	body.mu.Lock()
	if !r.closed {
		r.closed = true
		close(r.gone)
	}
	active := body.active == r
	cut := active && !body.shut && (must || !body.whole())
	body.shut = body.shut || cut
	body.mu.Unlock()
	if cut {
		_ = body.body.Close()
	}
	return active && !cut
}

// A lookBody is what Transport.Prepare finds in Body: it opens a body of its own
// once it is read.
type lookBody struct {
	open func() (io.ReadCloser, error)
	body io.ReadCloser
}

func (b *lookBody) Read(p []byte) (int, error) {
	if b.body == nil {
		body, err := b.open()
		if err != nil {
			return 0, err
		}
		b.body = body
	}
	return b.body.Read(p)
}

func (b *lookBody) Close() error {
	if b.body == nil {
		return nil
	}
	return b.body.Close()
}

var errLook = errors.New("redoubt: Prepare can't look at a request body that can't be read twice; set GetBody or Transport.MaxRequestBuffer")

// emptyBody is a body that net/http does not know to be empty, so that it will
// not send the request again on its own.
type emptyBody struct{}

func (emptyBody) Read([]byte) (int, error) { return 0, io.EOF }
func (emptyBody) Close() error             { return nil }
