package failover

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"slices"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A sending is one RoundTrip of Base and what remains of it: the response, and
// the context that has to last as long as that.
type sending struct {
	x *exchange

	// The context of the guard ends the sending until the headers arrive; its
	// own, which Base gets, is the request's from then on.
	guard    context.Context //nolint:containedctx // A sending is a part of a call.
	ctx      context.Context //nolint:containedctx // As above.
	cancel   context.CancelCauseFunc
	unfollow func() bool // of guard; reports whether it was in time
	watch    watch
	span     *telemetry.Send

	resp      *http.Response
	status    *StatusError // if resp is a failure
	delivered bool         // to the caller
}

// send sends the request once to the endpoint of guard. The sending that it
// returns has a response.
func (x *exchange) send(guard context.Context) (*sending, error) {
	s := x.begin(guard)
	returned := false
	defer func() {
		if !returned { // a panic, or a Goexit
			s.end(errPanicked)
			if s.resp != nil {
				_ = s.resp.Body.Close()
			}
		}
	}()
	err := s.roundTrip()
	returned = true
	if err != nil {
		return nil, s.fail(err)
	}
	return s, nil
}

func (x *exchange) begin(guard context.Context) *sending {
	s := &sending{x: x, guard: guard, unfollow: func() bool { return true }}
	life := x.req.Context()
	parent := guard
	follow := guard.Done() != life.Done()
	if follow {
		parent = &roundtrip.Graft{Context: life, Values: guard}
	}
	s.ctx, s.cancel = context.WithCancelCause(parent)
	if follow {
		s.unfollow = context.AfterFunc(guard, func() { s.cancel(context.Cause(guard)) })
	}
	s.ctx, s.span = x.call.Send(s.ctx, telemetry.Request{
		Method: x.req.Method,
		URL:    s.url(),
		Resend: x.call.Sends(),
		ByBase: x.t.SpansByBase,
	})
	s.ctx = context.WithValue(s.watch.trace(s.ctx), roundtrip.SendingKey{}, s)
	return s
}

// endpoint returns the base URL of the endpoint, or nil if the request goes to
// where it is meant for.
func (s *sending) endpoint() *url.URL {
	if s.x.away { // though perhaps within a call at one of them
		return nil
	}
	return s.x.t.routes.to[at(s.guard)]
}

func (s *sending) url() *url.URL {
	if to := s.endpoint(); to != nil {
		return rewritten(s.x.req.URL, to, s.x.rest)
	}
	return s.x.req.URL
}

// request returns the request that Base is to send.
func (s *sending) request() (*http.Request, error) {
	x := s.x
	out := x.req.WithContext(s.ctx)
	if to := s.endpoint(); to != nil {
		out.URL = s.url()
		if x.req.URL != nil && out.Host == x.req.URL.Host {
			out.Host = "" // that of the URL
		}
		if to.User != nil && out.Header["Authorization"] == nil {
			password, _ := to.User.Password()
			out.Header = cloneHeader(out.Header)
			out.SetBasicAuth(to.User.Username(), password)
		}
	}
	if !x.t.SpansByBase { // before there is a body to close if it panics
		telemetry.Inject(s.ctx, nil, &header{req: out})
	}
	body, err := x.body(s.ctx)
	if err != nil {
		return nil, err
	}
	x.uploading = &s.watch
	out.Body = s.watch.follow(body)
	if getBody := x.req.GetBody; getBody != nil && out.Body != body { // for net/http's own replays
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := getBody()
			return s.watch.follow(body), err
		}
	}
	return out, nil
}

// A header is a request's header that is the caller's until it is written to.
type header struct {
	req *http.Request
	own bool
}

func (h *header) Get(name string) string { return h.req.Header.Get(name) }
func (h *header) Keys() []string         { return slices.Collect(maps.Keys(h.req.Header)) }
func (h *header) Set(name, value string) {
	if !h.own {
		h.own, h.req.Header = true, cloneHeader(h.req.Header)
	}
	h.req.Header.Set(name, value)
}

func cloneHeader(h http.Header) http.Header {
	if h == nil {
		return make(http.Header)
	}
	return h.Clone()
}

// roundTrip has Base send the request, and takes the response into the custody
// of the request's own context.
func (s *sending) roundTrip() error {
	out, err := s.request()
	if err != nil {
		return &requestError{err: err}
	}
	s.Again()
	resp, err := s.x.t.base().RoundTrip(out)
	switch {
	case err != nil && resp != nil && resp.Body != nil:
		_ = resp.Body.Close()
		return err
	case err != nil:
		return err
	case resp == nil:
		return errNilResponse
	case resp.Body == nil:
		resp.Body = http.NoBody
	}
	s.resp = resp
	s.span.Responded(resp.StatusCode, resp.ProtoMajor, resp.ProtoMinor)
	if !s.streams() && s.x.t.failure(resp) {
		s.status = s.x.statusError(resp)
	}
	if !s.unfollow() {
		s.discard()
		return context.Cause(s.guard)
	}
	return nil
}

// streams reports whether the response is the beginning of something else.
func (s *sending) streams() bool {
	return s.resp.StatusCode == http.StatusSwitchingProtocols || s.x.req.Method == http.MethodConnect
}

// fail ends the sending without a response and makes the error for the guard.
func (s *sending) fail(err error) error {
	x := s.x
	select {
	case <-x.req.Cancel: //nolint:staticcheck // Deprecated, and in use by http.Client.
		<-x.ctx.Done() // net/http looks at it too, and was quicker
	default:
	}
	err = roundtrip.WithoutURL(err)
	x.unsent = s.resp == nil && (s.watch.unsent(err) || says.Rejected(err))
	switch {
	case x.ctx.Err() != nil:
		if !errors.Is(err, x.ctx.Err()) {
			err = errors.Join(context.Cause(x.ctx), err)
		}
	case s.watch.bodyFailed(err):
		err, x.bad = &requestError{err: err}, true
	case roundtrip.Invalid(err.Error()):
		err, x.bad = &requestError{err: err, local: true}, true
	}
	_, isRequest := errors.AsType[*requestError](err)
	x.bad = x.bad || isRequest
	x.unsafe = !x.rewindable() || !x.unsent && !x.repeatable()
	s.end(err)
	return err
}

// deliver returns the response for the caller.
func (s *sending) deliver() *http.Response {
	resp := s.resp
	resp.Request = s.x.req
	s.delivered = true
	switch {
	case s.streams():
		s.span.End(nil, false) // not with a connection that may last for days
		resp.Body = newUpgraded(resp.Body, s)
	case resp.Body == http.NoBody:
		s.end(nil)
	default:
		resp.Body = &responseBody{inner: resp.Body, sending: s}
	}
	return resp
}

// What is read of a response that nobody wants, in order to give its connection
// back.
const (
	maxDrain      = 64 << 10
	drainPatience = 50 * time.Millisecond
)

// drain gives up the response, but not its connection if that is cheap.
func (s *sending) drain() {
	if s.streams() || s.resp.ContentLength > maxDrain || s.resp.Body == http.NoBody || s.ctx.Err() != nil {
		s.discard()
		return
	}
	drained := make(chan struct{})
	var panicked any // what the body panicked with, for the goroutine of the caller
	go func() {
		defer close(drained)
		defer func() { panicked = recover() }()
		defer func() { _ = s.resp.Body.Close() }()
		_, _ = io.CopyN(io.Discard, s.resp.Body, maxDrain)
	}()
	patience := time.NewTimer(drainPatience)
	defer patience.Stop()
	select {
	case <-drained:
		if panicked != nil {
			s.end(errPanicked)
			panic(panicked)
		}
	case <-patience.C: // then the end of the context ends the reading
	}
	s.end(nil)
}

// discard gives up the response. Ending the context first is what frees a Read
// that is under way.
func (s *sending) discard() {
	s.cancel(errDiscarded)
	_ = s.resp.Body.Close()
	s.end(nil)
}

// end ends the sending with its body, or with the error in its place.
func (s *sending) end(err error) {
	s.unfollow()
	if err == io.EOF { //nolint:errorlint // A body ends with it unwrapped.
		err = nil
	}
	s.span.End(err, s.cancelled())
	s.cancel(errDone)
}

// cancelled reports whether the caller lost interest. The exchange's context ends
// with the exchange, and means nothing from then on.
func (s *sending) cancelled() bool {
	ctx := s.x.ctx
	if s.delivered {
		ctx = s.x.req.Context()
	}
	return errors.Is(ctx.Err(), context.Canceled) && !says.TimedOut(context.Cause(ctx))
}

// A watch follows a send through package net/http. Its methods are called from
// net/http's goroutines too.
type watch struct {
	wanted   atomic.Bool           // net/http told of its wish for a connection
	had      atomic.Bool           // and of having one
	bodyErr  atomic.Pointer[error] // of a Read of the caller's body
	closeErr atomic.Pointer[error] // of its Close
	upload   roundtrip.Upload
}

// bodyFailed reports whether the request body may be why the send ended with err.
func (w *watch) bodyFailed(err error) bool {
	closeErr := w.closeErr.Load()
	return w.bodyErr.Load() != nil || closeErr != nil && errors.Is(err, *closeErr)
}

func (w *watch) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) { w.wanted.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { w.had.Store(true) },
	})
}

// hedged tells the watch that the request is sent a second time, by a send that
// it does not follow: from now on nothing is certain.
func (w *watch) hedged() {
	w.had.Store(true)
	w.wanted.Store(true)
}

// unsent reports whether it is certain that no server has seen the request. If
// Base does not tell of its progress, a failure to connect has to do.
func (w *watch) unsent(err error) bool {
	if w.wanted.Load() {
		return !w.had.Load()
	}
	return roundtrip.NeverConnected(err)
}

// follow returns body such that w learns of its errors.
func (w *watch) follow(body io.ReadCloser) io.ReadCloser {
	if body == nil || body == http.NoBody {
		return body
	}
	return &requestBody{ReadCloser: body, watch: w}
}
