package redoubt

import (
	"errors"
	"io"
	"net/http"
	"reflect"
	"sync"
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
	t := reflect.TypeOf(req.Body)
	return t == nopCloser || t == nopCloserWriterTo
}

var (
	nopCloser         = reflect.TypeOf(io.NopCloser(nil))
	nopCloserWriterTo = reflect.TypeOf(io.NopCloser(struct {
		io.Reader
		io.WriterTo
	}{}))
)

// hasBody reports whether req has a body that might not be empty.
func hasBody(req *http.Request) bool {
	return req.Body != nil && req.Body != http.NoBody
}

// A watchedBody tells progress of its Reads.
type watchedBody struct {
	io.ReadCloser

	progress *progress
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.progress.bodyRead()
	n, err := b.ReadCloser.Read(p)
	b.progress.bodyGave(err)
	return n, err
}

// A replay is a request body without GetBody that several attempts read: each
// through a reader of its own, since net/http may read the body of an attempt
// that is over. What one reader has read of it is kept for the others, up to a
// limit; beyond that only the reader that is the farthest goes on.
type replay struct {
	body  io.ReadCloser
	limit int64
	turn  chan struct{} // held by whoever reads body; a mutex would not do in a synctest bubble

	mu    sync.Mutex
	kept  []byte
	read  int64 // bytes read of body
	err   error // after the last of them
	busy  bool  // somebody reads
	users int   // the call, and readers not closed
}

func newReplay(body io.ReadCloser, limit int64) *replay {
	return &replay{body: body, limit: limit, turn: make(chan struct{}, 1), users: 1}
}

// rewindable reports whether a new reader would get all of the body.
func (r *replay) rewindable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.read == int64(len(r.kept)) && (!r.busy || r.limit > 0)
}

// reader returns a new reader from the body's beginning.
func (r *replay) reader() io.ReadCloser {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.users++
	return &replayReader{replay: r}
}

// release gives up one use of the body, and closes it with the last.
func (r *replay) release() error {
	r.mu.Lock()
	r.users--
	last := r.users == 0
	r.mu.Unlock()
	if !last {
		return nil
	}
	return r.body.Close()
}

// readAt reads what follows the first off bytes.
func (r *replay) readAt(p []byte, off int64) (int, error) {
	r.turn <- struct{}{}
	defer func() { <-r.turn }()
	if n, err, ok := r.known(p, off); ok {
		return n, err
	}
	n, err := r.body.Read(p)
	r.learn(p[:n], err)
	return n, err
}

// known serves a Read from what was read before, if it can.
func (r *replay) known(p []byte, off int64) (int, error, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case off < r.read && int64(len(r.kept)) < r.read:
		return 0, errRewind, true
	case off < r.read:
		return copy(p, r.kept[off:]), nil, true
	case r.err != nil:
		return 0, r.err, true
	}
	r.busy = true
	return 0, nil, false
}

func (r *replay) learn(p []byte, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.busy = false
	r.err = err
	if r.read == int64(len(r.kept)) && r.read+int64(len(p)) <= r.limit {
		r.kept = append(r.kept, p...)
	} else if len(p) > 0 {
		r.kept = nil
	}
	r.read += int64(len(p))
}

// A replayReader is one attempt's view of a replay.
type replayReader struct {
	replay *replay
	off    int64
	once   sync.Once
	mu     sync.Mutex
	closed bool
}

func (r *replayReader) Read(p []byte) (int, error) {
	r.mu.Lock()
	closed := r.closed
	r.mu.Unlock()
	if closed {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := r.replay.readAt(p, r.off)
	r.off += int64(n)
	return n, err
}

func (r *replayReader) Close() (err error) {
	r.once.Do(func() {
		r.mu.Lock()
		r.closed = true
		r.mu.Unlock()
		err = r.replay.release()
	})
	return err
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
