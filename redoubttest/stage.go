package redoubttest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/memhttp"
)

// A stage is where a transport performs: before a server in memory, with a
// watch on what passes between the two.
type stage struct {
	ctx    context.Context //nolint:containedctx // Of the bubble, which lasts as long.
	r      reporter
	wrap   func(http.RoundTripper) http.RoundTripper
	server *memhttp.Server
	rt     http.RoundTripper

	mu        sync.Mutex
	handler   func(got *receipt, w http.ResponseWriter, r *http.Request)
	instead   func(n int, r *http.Request) (*http.Response, error, bool)
	received  []*receipt
	trips     int           // of base
	last      http.Response // of base
	given     []*givenBody
	responses []*heldBody
	unchanged []func()
}

// A receipt is a request as the server got it.
type receipt struct {
	n      int // from 1
	method string
	header http.Header
	length int64
	body   string // as far as it was read
}

func newStage(t *testing.T, r reporter, wrap func(http.RoundTripper) http.RoundTripper) *stage {
	s := &stage{ctx: t.Context(), r: r, wrap: wrap}
	s.server = memhttp.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.mu.Lock()
		got := &receipt{n: len(s.received) + 1, method: req.Method, header: req.Header, length: req.ContentLength}
		s.received = append(s.received, got)
		handler := s.handler
		s.mu.Unlock()
		if handler != nil {
			handler(got, w, req)
		}
	}))
	s.fresh()
	return s
}

// fresh puts a new transport in the place of the old one.
func (s *stage) fresh() {
	s.rt = s.wrap(base{s})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received = nil
	s.trips = 0
}

// serve has the server answer by handler. What a transport that breaks the law
// has left running may still be asking for the one before.
func (s *stage) serve(handler func(got *receipt, w http.ResponseWriter, r *http.Request)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = handler
}

// intercept has instead answer in place of the server where it reports true. Nil
// is nothing.
func (s *stage) intercept(instead func(n int, r *http.Request) (*http.Response, error, bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.instead = instead
}

// answers has the server read each request's body and answer with these
// statuses, the last of them for ever.
func (s *stage) answers(statuses ...int) {
	s.serve(func(got *receipt, w http.ResponseWriter, r *http.Request) {
		s.take(got, r)
		w.WriteHeader(statuses[min(got.n, len(statuses))-1])
	})
}

// take reads the body of the request into its receipt.
func (s *stage) take(got *receipt, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	got.body = string(body)
}

// receipts returns what the server got so far.
func (s *stage) receipts() []receipt {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []receipt
	for _, got := range s.received {
		all = append(all, *got)
	}
	return all
}

// sent returns how many requests base was asked to send.
func (s *stage) sent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.trips
}

// answered returns base's last response, without its body.
func (s *stage) answered() http.Response {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// base is what the transport sends requests through.
type base struct{ s *stage }

func (b base) RoundTrip(req *http.Request) (*http.Response, error) {
	s := b.s
	s.mu.Lock()
	s.trips++
	n, instead := s.trips, s.instead
	s.mu.Unlock()
	if instead != nil {
		if resp, err, ok := instead(n, req); ok {
			return resp, err
		}
	}
	resp, err := s.server.Transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = *resp
	s.last.Body, s.last.Header = nil, resp.Header.Clone()
	if resp.Body != http.NoBody {
		resp.Body = s.hold(resp.Body)
	}
	return resp, nil
}

func (b base) CloseIdleConnections() { b.s.server.Transport.CloseIdleConnections() }

// A heldBody is a response body that knows whether it was closed.
type heldBody struct {
	io.ReadCloser

	mu     sync.Mutex
	closed bool
}

func (b *heldBody) Close() error {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	return b.ReadCloser.Close()
}

func (b *heldBody) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// A heldConn is a heldBody after 101.
type heldConn struct {
	*heldBody
	io.Writer

	closeWrite func() error
}

func (c heldConn) CloseWrite() error { return c.closeWrite() }

// hold returns body, watched. Its caller holds mu.
func (s *stage) hold(body io.ReadCloser) io.ReadCloser {
	held := &heldBody{ReadCloser: body}
	s.responses = append(s.responses, held)
	conn, ok := body.(interface {
		io.Writer
		CloseWrite() error
	})
	if ok {
		return heldConn{held, conn, conn.CloseWrite}
	}
	return held
}

// A givenBody is a request body that knows whether it was closed. It can be
// sought, which is no reason to do so.
type givenBody struct {
	*strings.Reader

	mu     sync.Mutex
	closed bool
}

func (b *givenBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Reader.Read(p)
}

func (b *givenBody) Seek(offset int64, whence int) (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Reader.Seek(offset, whence)
}

func (b *givenBody) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, struct{ io.Reader }{b})
}

func (b *givenBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

func (b *givenBody) isClosed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.closed
}

// give returns a request body that has to be closed in the end.
func (s *stage) give(content string) *givenBody {
	b := &givenBody{Reader: strings.NewReader(content)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given = append(s.given, b)
	return b
}

// request returns a request without a body.
func (s *stage) request(ctx context.Context, method string) *http.Request {
	req, err := http.NewRequestWithContext(ctx, method, "http://any.host/path?q=1", nil)
	if err != nil {
		panic(err) // a mistake in this package
	}
	req.Header = http.Header{"X-Many": {"b", "a"}}
	return req
}

// upload returns a request with a body, which can be had again only if that is
// said.
func (s *stage) upload(ctx context.Context, method, content string, again bool) *http.Request {
	req := s.request(ctx, method)
	req.Body = s.give(content)
	req.ContentLength = int64(len(content))
	if again {
		req.GetBody = func() (io.ReadCloser, error) { return s.give(content), nil }
	}
	return req
}

// trip has the transport send req and reports whatever is wrong with any
// RoundTrip at all.
func (s *stage) trip(req *http.Request) (*http.Response, error) {
	s.r.Helper()
	resp, end := s.observe(req)
	switch {
	case end.stuck:
		s.r.Errorf("RoundTrip has not returned, long after the context ended or the server answered")
	case !end.returned:
		s.r.Errorf("RoundTrip %v", end)
	}
	return resp, end.err
}

// observe has the transport send req, and reports what is wrong if it returns.
func (s *stage) observe(req *http.Request) (*http.Response, ending) {
	s.r.Helper()
	check := s.freeze(req)
	var resp *http.Response
	end := await(func() (err error) {
		resp, err = s.rt.RoundTrip(req)
		return err
	})
	check()
	s.mu.Lock()
	s.unchanged = append(s.unchanged, check)
	s.mu.Unlock()
	if !end.returned {
		end.err = errCutShort
		return nil, end
	}
	switch {
	case resp != nil && end.err != nil:
		s.r.Errorf("RoundTrip returned a response and an error: %d, %v", resp.StatusCode, end.err)
		if resp.Body != nil {
			_ = resp.Body.Close()
		}
		resp = nil
	case resp == nil && end.err == nil:
		s.r.Errorf("RoundTrip returned neither a response nor an error")
		end.err = errCutShort
	case resp != nil && resp.Body == nil:
		s.r.Errorf("RoundTrip returned a response with a nil Body")
		resp.Body = http.NoBody
	}
	return resp, end
}

// freeze returns a function that reports what is no longer as it was in req.
func (s *stage) freeze(req *http.Request) func() {
	before, header, address := *req, req.Header.Clone(), *req.URL
	getBody := reflect.ValueOf(req.GetBody).Pointer()
	return func() {
		s.r.Helper()
		for _, field := range []struct {
			name string
			same bool
		}{
			{"Method", req.Method == before.Method},
			{"URL", req.URL == before.URL && *req.URL == address},
			{"Header", reflect.DeepEqual(req.Header, header)},
			{"Body", req.Body == before.Body},
			{"GetBody", reflect.ValueOf(req.GetBody).Pointer() == getBody},
			{"ContentLength", req.ContentLength == before.ContentLength},
			{"TransferEncoding", reflect.DeepEqual(req.TransferEncoding, before.TransferEncoding)},
			{"Close", req.Close == before.Close},
			{"Host", req.Host == before.Host},
			{"Context", req.Context() == before.Context()},
		} {
			if !field.same {
				s.r.Errorf("the transport changed the request's %s", field.name)
			}
		}
	}
}

// ok has the transport send req, and returns the response with its body, both
// to be as the server made them.
func (s *stage) ok(req *http.Request) (*http.Response, string) {
	s.r.Helper()
	resp, err := s.trip(req)
	if err != nil {
		s.r.Errorf("RoundTrip of a fresh transport: %v", err)
		return nil, ""
	}
	return resp, s.read(resp)
}

// read reads the response body to its end and closes it.
func (s *stage) read(resp *http.Response) string {
	s.r.Helper()
	var body []byte
	end := await(func() (err error) {
		body, err = io.ReadAll(resp.Body)
		return err
	})
	if !end.ok() {
		s.r.Errorf("reading the response body: Read %v", end)
	}
	if err := resp.Body.Close(); err != nil {
		s.r.Errorf("closing the response body: %v", err)
	}
	return string(body)
}

// readError reads the response body to its end, and returns which that is.
func (s *stage) readError(resp *http.Response) error {
	s.r.Helper()
	end := await(func() error {
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	})
	if !end.returned {
		s.r.Errorf("reading the response body: Read %v", end)
	}
	return end.err
}

// drop closes whatever RoundTrip returned.
func (*stage) drop(resp *http.Response, _ error) {
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
}

// settle reports what is left a while after the last response was closed.
func (s *stage) settle() {
	s.r.Helper()
	time.Sleep(anHour)
	s.mu.Lock()
	unchanged, given, responses := s.unchanged, s.given, s.responses
	s.mu.Unlock()
	for _, check := range unchanged {
		check()
	}
	for _, b := range given {
		if !b.isClosed() {
			s.r.Errorf("the request body was not closed")
			break
		}
	}
	for _, b := range responses {
		if !b.isClosed() {
			s.r.Errorf("a response body of base was not closed")
			break
		}
	}
	s.server.Transport.CloseIdleConnections()
	time.Sleep(time.Second)
	synctest.Wait()
	if open := s.server.Open(); open > 0 {
		s.r.Errorf("%d connections are still in use", open)
	}
}

// recovers reports it if a request fails even after an hour.
func (s *stage) recovers() {
	s.r.Helper()
	if s.r.Failed() {
		return
	}
	s.intercept(nil)
	s.answers(http.StatusOK)
	time.Sleep(anHour)
	resp, err := s.trip(s.request(s.ctx, http.MethodGet))
	if err != nil || resp.StatusCode != http.StatusOK {
		s.r.Errorf("an hour later RoundTrip failed: %v", errors.Join(err, statusError(resp)))
	}
	s.drop(resp, err)
}

func statusError(resp *http.Response) error {
	if resp == nil {
		return nil
	}
	return errors.New(resp.Status)
}
