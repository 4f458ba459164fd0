package stackfile

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt"
)

// A Live is a layer, and an [http.RoundTripper], that does as a file says, also
// after the file has changed: see [Live.Reload]. It is safe for concurrent use.
// Make one with [Open].
type Live struct {
	path    string
	options Options
	current atomic.Pointer[running]
	mu      sync.Mutex // one reload at a time
}

// A running is what a Live is at a time. It does not change.
type running struct {
	text      []byte
	file      *File
	stack     redoubt.Stack
	transport *redoubt.Transport
	parts     map[part]kept
}

// Open reads the file at path. It fails if the file can't be read or parsed, and
// if the stack has mistakes that [File.Check] finds.
func Open(path string, options Options) (*Live, error) {
	l := &Live{path: path, options: options}
	if _, err := l.Reload(); err != nil {
		return nil, err
	}
	return l, nil
}

// Reload reads the file again and goes on as it says now. Calls under way end on
// the stack on which they began. If the file can't be used, nothing changes and
// the error says why.
//
// Breakers, budgets, limits and hedges go on with what they know if their own block says
// what it said before, whatever else has changed: they are known by kind and
// name. Order, comments and the way in which a value is written do not matter. A
// block that has changed gets a fresh one: a breaker is closed again, a budget
// full. Connections are not touched.
func (l *Live) Reload() (Changes, error) {
	if l == nil || l.path == "" {
		return Changes{}, errZero
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := readFile(l.path)
	if err != nil {
		return Changes{}, err
	}
	return l.use(text)
}

func (l *Live) use(text []byte) (Changes, error) {
	file, err := Parse(l.path, text)
	if err != nil {
		return Changes{}, err
	}
	if err := file.Check(); err != nil {
		return Changes{}, err
	}
	m := newMemory()
	if before := l.current.Load(); before != nil {
		m.before = before.parts
	}
	r := &running{text: text, file: file, stack: file.build(m, l.options)}
	r.transport = file.around(r.stack, m, l.options)
	if err := r.transport.Check(); err != nil { // what the options made of it
		return Changes{}, &Error{File: l.path, Err: err}
	}
	r.parts = m.now
	m.use()
	l.current.Store(r)
	return m.changes(), nil
}

// Watch looks at the file every so often, until ctx ends, and reloads when its
// content has changed. After each reload that was tried, told, if not nil, is
// called with what [Live.Reload] returned; of the same failure in a row it is
// told once. Watch blocks and returns why ctx ended; every must be
// positive, or Watch returns an error at once.
//
// It compares the content rather than times: two changes within the tick of a
// file system's clock are two changes.
func (l *Live) Watch(ctx context.Context, every time.Duration, told func(Changes, error)) error {
	if l == nil || l.path == "" {
		return errZero
	}
	if every <= 0 {
		return misuse(fmt.Sprintf("stackfile: Watch: every is %v, must be positive", every))
	}
	if told == nil {
		told = func(Changes, error) {}
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	failure := ""
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-ticker.C:
		}
		changes, changed, err := l.look()
		switch {
		case err == nil && !changed:
			failure = ""
		case err == nil || err.Error() != failure:
			failure = ""
			if err != nil {
				failure = err.Error()
			}
			told(changes, err)
		}
	}
}

// look reloads if the content has changed.
func (l *Live) look() (changes Changes, changed bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	text, err := readFile(l.path)
	if err != nil {
		return Changes{}, false, err
	}
	if r := l.current.Load(); r != nil && bytes.Equal(text, r.text) {
		return Changes{}, false, nil
	}
	changes, err = l.use(text)
	return changes, err == nil, err
}

// Do runs call inside of the file's stack, as it is when the call begins.
func (l *Live) Do(ctx context.Context, call func(context.Context) error) error {
	if err := l.Check(); err != nil {
		return err
	}
	return l.current.Load().stack.Do(ctx, call)
}

// RoundTrip sends req through the file's stack and its http part, as they are
// when the request begins.
func (l *Live) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := l.Check(); err != nil {
		if req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	return l.current.Load().transport.RoundTrip(req)
}

// CloseIdleConnections closes those of the Transport's Base, if that can.
func (l *Live) CloseIdleConnections() {
	if l.Check() == nil {
		l.current.Load().transport.CloseIdleConnections()
	}
}

// Unwrap returns the Transport that sends requests as the file says now.
func (l *Live) Unwrap() http.RoundTripper {
	if l.Check() != nil {
		return nil
	}
	return l.current.Load().transport
}

// File returns what the file says, as it was last read without an error.
func (l *Live) File() *File {
	if l.Check() != nil {
		return nil
	}
	return l.current.Load().file
}

// Layers returns the stack as it is now, for [redoubt.Explain] and for looking at
// its breakers.
func (l *Live) Layers() redoubt.Stack {
	if l.Check() != nil {
		return nil
	}
	return l.current.Load().stack
}

// Name returns the name of the calls, or "" if the file gives none.
func (l *Live) Name() string {
	if f := l.File(); f != nil {
		return f.Name()
	}
	return ""
}

// Check reports that l was not made with [Open].
func (l *Live) Check() error {
	if l == nil || l.current.Load() == nil {
		return errZero
	}
	return nil
}
