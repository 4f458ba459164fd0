package redoubttest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

var errBodyClosed = errors.New("redoubttest: read on closed response body")

// RoundTrip is one call of the dependency over HTTP. It reads the request body
// to its end before it answers, unless the step is "refused", and closes it on
// every path.
//
// If the request's context ends first, RoundTrip returns the context's cause;
// as in package net/http, the response body fails too once the context has
// ended. "truncated" is a response, and its body ends with
// [io.ErrUnexpectedEOF].
func (d *Dependency) RoundTrip(req *http.Request) (*http.Response, error) {
	c, s := d.begin(req)
	defer d.end(c)
	closeBody := bodyCloser(req)
	defer closeBody()

	ctx := req.Context()
	if err := d.receive(ctx, c, s, req.Body, closeBody); err != nil {
		return nil, cause(ctx, err)
	}
	if err := sleep(ctx, s.wait); err != nil {
		return nil, cause(ctx, err)
	}
	if !s.outcome.responds() {
		return nil, cause(ctx, s.fail(ctx))
	}
	return d.respond(req, c, s), nil
}

// cause returns why ctx ended if it has, and err otherwise.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// bodyCloser returns a function that closes the request body once.
func bodyCloser(req *http.Request) func() {
	if req.Body == nil {
		return func() {}
	}
	return sync.OnceFunc(func() { _ = req.Body.Close() })
}

// receive reads the request body. A Read that waits for its producer is ended
// by closing the body when ctx ends.
func (d *Dependency) receive(ctx context.Context, c *Call, s step, body io.Reader, closeBody func()) error {
	if err := ctx.Err(); err != nil || body == nil || s.outcome == outcomeRefused {
		return err
	}
	stop := context.AfterFunc(ctx, closeBody)
	defer stop()
	_, err := io.Copy(recorder{d, c}, body)
	return err
}

// A recorder writes down the body of a request.
type recorder struct {
	dep  *Dependency
	call *Call
}

func (r recorder) Write(p []byte) (int, error) {
	r.dep.note(func() { r.call.Body = append(r.call.Body, p...) })
	return len(p), nil
}

func (d *Dependency) respond(req *http.Request, c *Call, s step) *http.Response {
	d.note(func() { c.StatusCode = s.status })
	text := s.text()
	resp := &http.Response{
		Status:        strings.TrimSpace(strconv.Itoa(s.status) + " " + http.StatusText(s.status)),
		StatusCode:    s.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        s.header(time.Now()),
		ContentLength: int64(len(text)),
		Request:       req,
	}
	end := io.EOF
	if s.outcome == outcomeTruncated {
		text = text[:len(text)/2]
		end = io.ErrUnexpectedEOF
	}
	if req.Method == http.MethodHead {
		text = ""
		end = io.EOF
	}
	resp.Body = &responseBody{ctx: req.Context(), dep: d, call: c, rest: strings.NewReader(text), end: end}
	return resp
}

// text returns the whole body of the step's response.
func (s step) text() string {
	switch {
	case s.status == http.StatusNoContent || s.status == http.StatusNotModified:
		return ""
	case s.body >= 0:
		return strings.Repeat("x", s.body)
	}
	return http.StatusText(s.status) + "\n"
}

// A responseBody fails once the request's context has ended, as the body of a
// real connection does.
type responseBody struct {
	ctx  context.Context
	dep  *Dependency
	call *Call
	end  error // after the last byte

	mu     sync.Mutex
	rest   *strings.Reader
	closed bool
}

func (b *responseBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, errBodyClosed
	}
	if b.ctx.Err() != nil {
		return 0, context.Cause(b.ctx)
	}
	n, err := b.rest.Read(p)
	if err == nil {
		return n, nil
	}
	if b.end == io.EOF { //nolint:errorlint // It is ours, unwrapped.
		b.dep.note(func() { b.call.BodyEOF = true })
	}
	return 0, b.end
}

func (b *responseBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.dep.note(func() { b.call.BodyClosed = true })
	return nil
}
