package redoubt

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
)

// A watchedPipe is a request body whose producer a test is.
type watchedPipe struct {
	io.Reader

	closes int
	err    error // of Close
	free   func()
}

func (b *watchedPipe) Close() error {
	b.closes++
	if b.free != nil {
		b.free()
	}
	return b.err
}

// pipe returns a body and what writes to it.
func pipe() (*watchedPipe, *io.PipeWriter) {
	r, w := io.Pipe()
	return &watchedPipe{Reader: r, free: func() { _ = r.Close() }}, w
}

// readLater starts a Read and returns a function that waits for its result.
func readLater(r io.Reader) (got func() (string, error)) {
	type result struct {
		text string
		err  error
	}
	done := make(chan result, 1)
	go func() {
		p := make([]byte, 64)
		n, err := r.Read(p)
		done <- result{string(p[:n]), err}
	}()
	synctest.Wait()
	return func() (string, error) {
		res := <-done
		return res.text, res.err
	}
}

// What one reader has read is there for the next, the body's end as well: no Read
// of the body follows it.
func TestReplay_EveryReaderHasAll(t *testing.T) {
	broken := errors.New("disk on fire")
	for _, end := range []error{io.EOF, broken} {
		reads := 0
		r := newReplay(io.NopCloser(iotest.OneByteReader(readerFunc(func(p []byte) (int, error) {
			if reads++; reads > 5 {
				return 0, errors.New("read after the end")
			}
			if reads == 5 {
				return 0, end
			}
			return copy(p, "a"), nil
		}))), 4)
		first, second := r.reader(t.Context()), r.reader(t.Context())
		_, _ = io.ReadFull(first, make([]byte, 2))
		for i, reader := range []io.Reader{second, first, second} {
			text, err := io.ReadAll(reader)
			if want := []string{"aaaa", "aa", ""}[i]; string(text) != want || end != io.EOF && err != end || end == io.EOF && err != nil {
				t.Errorf("reader %d: %q, %v; want %q and %v", i, text, err, want, end)
			}
		}
		if !r.rewindable() {
			t.Errorf("all of the body was kept, and it can't be sent again")
		}
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Beyond the limit the farthest reader goes on alone, and nothing is kept.
func TestReplay_BeyondTheLimit(t *testing.T) {
	r := newReplay(io.NopCloser(strings.NewReader("0123456789")), 5)
	first, second := r.reader(t.Context()), r.reader(t.Context())
	_, _ = io.ReadFull(first, make([]byte, 5))
	if !r.rewindable() {
		t.Error("what is as long as the limit was not kept")
	}
	_, _ = io.ReadFull(first, make([]byte, 1))
	if r.rewindable() || r.kept != nil {
		t.Errorf("%q is kept beyond the limit", r.kept)
	}
	if n, err := second.Read(make([]byte, 1)); n != 0 || err != errRewind {
		t.Errorf("another reader got %d, %v; want errRewind", n, err)
	}
	if rest, err := io.ReadAll(first); string(rest) != "6789" || err != nil {
		t.Errorf("the first got %q, %v; want the rest", rest, err)
	}
	if r.rewindable() {
		t.Error("the body's end made it whole")
	}
}

// A Read that nobody knows the outcome of: if it may be kept, the body can be sent
// again meanwhile.
func TestReplay_ReadUnderWay(t *testing.T) {
	for _, limit := range []int64{0, 5} {
		synctest.Test(t, func(t *testing.T) {
			body, w := pipe()
			r := newReplay(body, limit)
			first := r.reader(t.Context())
			got := readLater(first)
			if again := r.rewindable(); again != (limit > 0) {
				t.Errorf("limit %d: rewindable %v", limit, again)
			}
			_ = first.Close()
			if closed := body.closes > 0; closed != (limit == 0) {
				t.Fatalf("limit %d: closed %v, want that if nobody can go on with it", limit, closed)
			}
			if limit > 0 {
				second := readLater(r.reader(t.Context()))
				_, _ = io.WriteString(w, "hello")
				if text, err := second(); text != "hello" || err != nil {
					t.Errorf("the next attempt got %q, %v", text, err)
				}
			}
			if text, err := got(); text != "" || err != http.ErrBodyReadAfterClose {
				t.Errorf("limit %d: the Read gave %q, %v; want ErrBodyReadAfterClose alone", limit, text, err)
			}
			if n, err := first.Read(make([]byte, 1)); n != 0 || err != http.ErrBodyReadAfterClose {
				t.Errorf("limit %d: after Close %d, %v", limit, n, err)
			}
			if r.rewindable() == (limit == 0) {
				t.Errorf("limit %d: rewindable %v at last", limit, r.rewindable())
			}
			if err := r.release(nil); err != nil || body.closes > 1 {
				t.Errorf("limit %d: %v, closed %d times", limit, err, body.closes)
			}
			_ = body.Close()
		})
	}
}

// A reader that waits for another's Read is free as soon as it is closed.
func TestReplay_WaitingReaderIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		body, w := pipe()
		r := newReplay(body, 5)
		first, second := r.reader(t.Context()), r.reader(t.Context())
		reading, waiting := readLater(first), readLater(second)
		_ = second.Close()
		if text, err := waiting(); text != "" || err != http.ErrBodyReadAfterClose || body.closes != 0 {
			t.Errorf("%q, %v, body closed %d times; want ErrBodyReadAfterClose and none", text, err, body.closes)
		}
		_, _ = io.WriteString(w, "x")
		if text, err := reading(); text != "x" || err != nil {
			t.Errorf("the other got %q, %v", text, err)
		}
	})
}

// Whose attempt was cancelled does not leave a Read behind, even of a body that
// others could go on with, nor after Close; an attempt that is done with does.
func TestReplay_ContextEnds(t *testing.T) {
	for _, cause := range []error{errDone, errDiscarded, context.Canceled} {
		for _, closed := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				body, w := pipe()
				r := newReplay(body, 5)
				ctx, cancel := context.WithCancelCause(t.Context())
				reader := r.reader(ctx)
				got := readLater(reader)
				if closed {
					_ = reader.Close()
				}
				cancel(cause)
				synctest.Wait()
				freed := cause == context.Canceled
				if (body.closes == 1) != freed {
					t.Errorf("%v, closed before %v: body closed %d times", cause, closed, body.closes)
				}
				if !freed {
					_, _ = io.WriteString(w, "x")
				}
				text, err := got()
				if alive := !freed && !closed; alive != (text == "x") || alive != (err == nil) {
					t.Errorf("%v, closed before %v: Read gave %q, %v", cause, closed, text, err)
				}
				if r.rewindable() == freed {
					t.Errorf("%v: rewindable %v", cause, !freed)
				}
				_, _ = reader.Close(), body.Close()
			})
		}
	}
}

// The body is closed once, with the last who has a use for it, who is told how
// that went.
func TestReplay_ClosedWithTheLast(t *testing.T) {
	broken := errors.New("broken")
	body := &watchedPipe{Reader: strings.NewReader("x"), err: broken}
	r := newReplay(body, 5)
	first, second := r.reader(t.Context()), r.reader(t.Context())
	for range 2 {
		if err := first.Close(); err != nil || body.closes != 0 {
			t.Fatalf("%v, closed %d times with two users left", err, body.closes)
		}
	}
	if err := r.release(nil); err != nil || body.closes != 0 {
		t.Fatalf("%v, closed %d times with one user left", err, body.closes)
	}
	if err := second.Close(); err != broken || body.closes != 1 || r.rewindable() {
		t.Errorf("%v, closed %d times, rewindable %v; want the body's error, once and not", err, body.closes, r.rewindable())
	}
}

// Only what net/http can send in one packet with the header goes to it as it is.
func TestInMemory(t *testing.T) {
	bodies := map[string]struct {
		make func() io.Reader
		size int64
		want bool
	}{
		"bytes":      {func() io.Reader { return bytes.NewReader(make([]byte, 9)) }, 9, true},
		"buffer":     {func() io.Reader { return bytes.NewBuffer(make([]byte, 9)) }, 9, true},
		"largest":    {func() io.Reader { return bytes.NewReader(make([]byte, smallBody)) }, smallBody, true},
		"too large":  {func() io.Reader { return bytes.NewReader(make([]byte, smallBody+1)) }, smallBody + 1, false},
		"one byte":   {func() io.Reader { return strings.NewReader("x") }, 1, true},
		"none":       {func() io.Reader { return strings.NewReader("") }, 0, false},
		"unknown":    {func() io.Reader { return strings.NewReader("x") }, -1, false},
		"not rewind": {func() io.Reader { return io.MultiReader(strings.NewReader("x")) }, 1, false},
	}
	for name, tt := range bodies {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://example.com", tt.make())
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = tt.size
		if got := inMemory(req); got != tt.want {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
		if req.GetBody == nil {
			continue
		}
		req.Body = struct{ io.ReadCloser }{req.Body}
		if inMemory(req) {
			t.Errorf("%s: what wraps a body in memory may be slow", name)
		}
	}
}
