package failover

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// An exchange is one run of Transport.RoundTrip. The law of layers makes it a
// matter of one goroutine at a time.
type exchange struct {
	t    *Transport
	req  *http.Request   // the caller's, never changed
	ctx  context.Context //nolint:containedctx // An exchange is a call.
	rest string          // of the path, below the base
	away bool            // the request is not for the endpoints
	call *telemetry.Call

	uploaded  io.ReadCloser // the body that Base was handed last, the caller's own or one of GetBody
	uploading *watch        // of the send that had it
	last      *sending      // the one whose response is held, if any
	lastErr   error
	unsafe    bool // the request may not be sent any more
	bad       bool // the request itself is
	unsent    bool // the last time no connection was had
}

func newExchange(ctx context.Context, t *Transport, req *http.Request) *exchange {
	return &exchange{t: t, req: req, ctx: ctx}
}

func (x *exchange) run() (*http.Response, error) {
	returned := false
	defer func() {
		if !returned { // a panic, or a Goexit
			x.drop()
		}
		if x.uploaded == nil {
			roundtrip.CloseBody(x.req)
		}
	}()
	err := x.record()
	returned = true
	return x.result(err)
}

// record runs the exchange as one recorded call, if anybody listens, or as part
// of the one of a redoubt.Transport that left the spans to us.
func (x *exchange) record() (err error) {
	ctx := x.ctx
	if !x.t.SpansByBase {
		ctx, x.call = telemetry.Inherit(ctx)
	}
	if x.call != nil || !telemetry.Recording(telemetry.Providers{}) {
		return x.through(ctx)
	}
	ctx, x.call = telemetry.Start(ctx, telemetry.Providers{}, x.t.Failover.config.Name)
	err = errPanicked // what telemetry is told if a panic passes
	defer func() { x.call.End(ctx, err, x.ctx.Err()) }()
	err = x.through(ctx)
	return err
}

// through sends the request to the endpoints, or else to where it is meant for.
func (x *exchange) through(ctx context.Context) error {
	rest, ok := below(x.t.routes.from, x.req.URL)
	if !ok {
		x.away = true
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return x.attempt(ctx)
	}
	x.rest = rest
	p := newPass(ctx, x.t.Failover, x.attempt)
	p.judge = x.judge
	return p.run()
}

// judge says whether another endpoint may get the request, and whether it could
// help.
func (x *exchange) judge(a *answer) {
	a.unsafe = x.unsafe
	switch status, ok := errors.AsType[*StatusError](a.err); {
	case x.bad:
		a.final = true
	case x.unsent: // then the error is about the way to the endpoint
	case ok && x.last != nil && status == x.last.status && x.t.Failover.config.TryNext == nil:
	default:
		a.final = !x.t.Failover.tryNext(a.err)
	}
}

// result turns the verdict on the call into RoundTrip's results.
func (x *exchange) result(err error) (*http.Response, error) {
	switch s := x.last; {
	case s == nil && err == nil:
		return nil, errNoResponse
	case s == nil:
		return nil, err
	case err == nil, s.status != nil && x.ctx.Err() == nil:
		return s.deliver(), nil
	}
	x.drop()
	return nil, err
}

// attempt sends the request to the endpoint of ctx.
func (x *exchange) attempt(ctx context.Context) error {
	if x.unsafe { // a guard asks for what must not be: it gets the last result once more
		return x.lastErr
	}
	x.drop()
	s, err := x.send(ctx)
	if err != nil {
		x.lastErr = err
		return err
	}
	x.last, x.lastErr, x.unsent = s, nil, false
	x.unsafe = !x.repeatable() || !x.rewindable()
	if s.status != nil {
		x.lastErr = s.status
	}
	return x.lastErr
}

// repeatable reports whether the request may be sent again although a server may
// have acted on it.
func (x *exchange) repeatable() bool {
	wish := roundtrip.WishOf(x.req.Context())
	return !wish.Once && (wish.Twice || roundtrip.Idempotent(x.req))
}

// rewindable reports whether another attempt would have the whole request body.
func (x *exchange) rewindable() bool { return !roundtrip.HasBody(x.req) || x.req.GetBody != nil }

// body returns the request body for the next attempt, which has ctx.
func (x *exchange) body(ctx context.Context) (io.ReadCloser, error) {
	if x.uploaded == nil || !roundtrip.HasBody(x.req) {
		x.uploaded = x.req.Body
		return x.uploaded, nil
	}
	body, err := x.uploading.upload.HandOver(ctx, x.uploaded, x.req.GetBody) // or else the request is unsafe
	if body != nil {
		x.uploaded = body
	}
	return body, err
}

// drop gives up the response that is held, since another attempt follows, or
// none.
func (x *exchange) drop() {
	if s := x.last; s != nil {
		x.last = nil
		s.drain()
	}
}

// statusError makes the error for guards of a response that is a failure.
func (x *exchange) statusError(resp *http.Response) *StatusError {
	after, _ := roundtrip.RetryAfter(resp.Header.Get("Retry-After"), resp.Header.Get("Date"), time.Now())
	return &StatusError{
		StatusCode: resp.StatusCode,
		retryable:  x.repeatable() && x.rewindable(),
		retryAfter: after,
	}
}
