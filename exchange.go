package redoubt

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// An exchange is one run of Transport.RoundTrip. The law of layers makes it a
// matter of one goroutine at a time.
type exchange struct {
	t         *Transport
	req       *http.Request // the caller's, never changed
	overrides overrides

	// ctx is the caller's, ended by Request.Cancel too, and root is the same
	// for the layers.
	ctx  context.Context //nolint:containedctx // An exchange is a call.
	root hostContext

	idempotent  bool
	replay      *replay       // of a request body without GetBody
	uploaded    io.ReadCloser // the body that Base was handed last, the caller's own or one of GetBody
	uploading   *progress     // of the send that had it
	sends       int
	fresh       bool              // the next attempt wants a new connection
	misdirected bool              // 421 was seen
	apart       http.RoundTripper // after that, in place of Base; nil if there can be none
	unexpecting bool              // 417 was seen
	redialled   bool              // by net/http, in an attempt, more often than it may
	unsafe      bool              // the request may not be sent any more
	lastErr     error
	earlier     []string

	call  *telemetry.Call
	last  *sending // the one whose response is held, if any
	first sending  // of the first attempt, so that it is no allocation of its own
}

func newExchange(ctx context.Context, t *Transport, req *http.Request) *exchange {
	x := &exchange{t: t, req: req, ctx: ctx, overrides: overridesOf(ctx)}
	x.root.Context, x.root.req = ctx, req //nolint:fatcontext // It is nested once.
	x.idempotent = idempotent(req, x.overrides)
	return x
}

func (x *exchange) run() (*http.Response, error) {
	if roundtrip.HasBody(x.req) && x.req.GetBody == nil {
		x.replay = newReplay(x.req.Body, x.t.MaxRequestBuffer)
	}
	returned := false
	defer func() {
		if !returned { // a panic, or a Goexit
			x.drop()
		}
		x.closeRequestBody()
	}()
	err := x.record()
	returned = true
	return x.result(err)
}

// record runs the exchange as one recorded call, if anybody listens.
func (x *exchange) record() (err error) {
	layer, err := x.layer()
	if err != nil {
		return err
	}
	listeners := x.t.providers(layer)
	if !telemetry.Recording(listeners) {
		return x.through(&x.root, layer)
	}
	var ctx context.Context
	ctx, x.call = telemetry.Start(&x.root, listeners, x.t.name(layer))
	err = errPanicked // what telemetry is told if a panic passes
	defer func() { x.call.End(ctx, err, x.ctx.Err()) }()
	err = x.through(ctx, layer)
	return err
}

// through runs the attempts inside of layer, unless none can succeed.
func (x *exchange) through(ctx context.Context, layer Layer) error {
	if err := x.t.checkFields(); err != nil {
		return err
	}
	if x.ctx.Err() != nil {
		return x.failed(nil)
	}
	return through(ctx, layer, x.attempt)
}

// layer returns the layer for this request.
func (x *exchange) layer() (Layer, error) {
	layer := x.t.Layer
	if x.overrides.layered {
		layer = x.overrides.layer
	}
	if layer == nil {
		return Stack(nil), nil
	}
	return layer, checkNil(layer)
}

// result turns the layers' verdict into RoundTrip's results.
func (x *exchange) result(err error) (*http.Response, error) {
	s := x.last
	switch {
	case s == nil && err == nil:
		return nil, x.failed(errNoResponse)
	case s == nil:
		return nil, x.failed(err)
	case err == nil, s.status != nil && x.ctx.Err() == nil:
		return s.deliver(), nil
	}
	x.drop()
	return nil, x.failed(err)
}

// attempt is the call that the layers run.
func (x *exchange) attempt(ctx context.Context) error {
	if x.unsafe { // a layer asks for what must not be: it gets the last result once more
		return x.lastErr
	}
	whole := x.dropUnlessWhole()
	x.remember(x.lastErr)
	s, err := x.send(ctx)
	if err == nil && x.expectationFailed(s.resp) {
		x.unexpecting, x.last = true, s
		s.drain()
		x.drop()
		s, err = x.send(ctx)
	}
	if err != nil {
		if whole != nil && (refusedByBase(err) || errors.Is(err, roundtrip.ErrBeingRead)) {
			x.last = whole // the server's last word
		}
		x.lastErr = err
		return err
	}
	x.last = s
	x.lastErr = nil
	x.unsafe = !x.idempotent || x.overrides.once || !x.rewindable()
	if s.status == nil {
		return nil
	}
	x.lastErr = s.status
	if s.status.retryable {
		x.unsafe = false
		if s.status.StatusCode != http.StatusMisdirectedRequest {
			s.drain()
		}
	}
	return s.status
}

// refusedByBase reports whether Base has layers of its own and they refused the
// request.
func refusedByBase(err error) bool {
	failed, ok := errors.AsType[*SendError](err)
	return ok && says.Rejected(failed.Err)
}

// expectationFailed reports whether the request should be sent again at once
// without its header Expect. It is the same attempt: its body was not sent.
//
// Source: RFC 9110, section 10.1.1.
func (x *exchange) expectationFailed(resp *http.Response) bool {
	return resp.StatusCode == http.StatusExpectationFailed && expectsContinue(x.req) &&
		!x.unexpecting && !x.overrides.once && x.rewindable()
}

// dropUnlessWhole gives up the response that is held, but returns it if all of it
// was read ahead, so that it takes no connection.
func (x *exchange) dropUnlessWhole() *sending {
	held := x.last
	whole := held != nil && held.status != nil && held.ended
	x.drop()
	if !whole {
		return nil
	}
	return held
}

// drop gives up the response that is held, since another attempt follows, or
// none.
func (x *exchange) drop() {
	if x.last == nil {
		return
	}
	s := x.last
	unread := s.resp.Body != http.NoBody
	s.discard()
	x.last = nil
	if s.resp.StatusCode == http.StatusMisdirectedRequest && !x.misdirected {
		x.misdirected = true
		x.avoidConn(unread && s.resp.ProtoMajor == 1)
	}
}

// avoidConn has the next attempt get another connection than the one that brought
// 421, which remains good for other requests. One of HTTP/1 is closed already if
// its response was not read.
//
// Source: RFC 9110, section 15.5.20.
func (x *exchange) avoidConn(closed bool) {
	if x.apart = apart(x.t.base()); x.apart != nil {
		return
	}
	x.fresh = true
	if !closed {
		x.t.CloseIdleConnections() // nothing narrower works through a Base of another type
	}
}

// apart returns a copy of base that shares no connection with it and keeps none,
// or nil if there can be none.
func apart(base http.RoundTripper) http.RoundTripper {
	original, ok := base.(*http.Transport)
	if !ok {
		return nil
	}
	t := original.Clone()
	if len(t.TLSNextProto) > 0 { // an HTTP/2 of the user's, with its own connections
		return nil
	}
	if original.TLSNextProto["h2"] != nil { // net/http's, which a copy does not have by itself
		t.ForceAttemptHTTP2 = true
	}
	t.DisableKeepAlives = true
	t.IdleConnTimeout = time.Minute // for one of HTTP/2 that came too late to be used
	return t
}

// base returns what sends the next attempt.
func (x *exchange) base() http.RoundTripper {
	if x.apart != nil {
		return x.apart
	}
	return x.t.base()
}

// unrepeated reports whether net/http is kept from sending the request again on
// its own: at the caller's wish, or since it would do so without a pause and
// without a word on what the server said.
func (x *exchange) unrepeated() bool { return x.overrides.once || x.redialled }

// mostDialled is how many new connections the next attempt may use up. What
// net/http can't be kept from sending again, such as a PUT without a body, has one
// once it is known to be redialled.
func (x *exchange) mostDialled() int {
	if x.redialled {
		return 1
	}
	return maxDialled
}

// rewindable reports whether another attempt would have the whole request body.
func (x *exchange) rewindable() bool {
	return !roundtrip.HasBody(x.req) || x.req.GetBody != nil || x.replay.rewindable()
}

// body returns the request body for the next attempt, and GetBody for net/http's
// own replays. The attempt has ctx.
func (x *exchange) body(ctx context.Context) (io.ReadCloser, func() (io.ReadCloser, error), error) {
	if !roundtrip.HasBody(x.req) {
		return x.req.Body, x.req.GetBody, nil
	}
	if x.replay == nil {
		return x.bodyAgain(ctx)
	}
	if !x.replay.rewindable() {
		return nil, nil, errRewind
	}
	getBody := func() (io.ReadCloser, error) {
		if !x.replay.rewindable() {
			return nil, errRewind
		}
		return x.replay.reader(ctx), nil
	}
	if x.t.MaxRequestBuffer == 0 {
		return x.replay.reader(ctx), nil, nil
	}
	return x.replay.reader(ctx), getBody, nil
}

func (x *exchange) bodyAgain(ctx context.Context) (io.ReadCloser, func() (io.ReadCloser, error), error) {
	if x.uploaded == nil {
		x.uploaded = x.req.Body
		return x.uploaded, x.req.GetBody, nil
	}
	body, err := x.uploading.upload.HandOver(ctx, x.uploaded, x.req.GetBody)
	if body != nil {
		x.uploaded = body
	}
	return body, x.req.GetBody, err
}

// closeRequestBody closes what no attempt will close: attempts close their own.
func (x *exchange) closeRequestBody() {
	switch {
	case x.replay != nil:
		_ = x.replay.release(nil)
	case x.uploaded == nil:
		roundtrip.CloseBody(x.req)
	}
}
