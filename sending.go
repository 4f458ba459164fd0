package redoubt

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A sending is one RoundTrip of Base and what remains of it: the response, and
// the context that has to last as long as that.
type sending struct {
	x *exchange

	// The context of the layers ends the sending until the headers arrive;
	// its own, which Base gets, is the request's from then on.
	layers   context.Context //nolint:containedctx // A sending is a part of a call.
	ctx      context.Context //nolint:containedctx // As above.
	graft    graft           // that ctx derives from
	cancel   context.CancelCauseFunc
	unfollow func() bool // of layers, if watch can't do it; reports whether it was in time
	progress progress
	header   header
	span     *telemetry.Send

	unprepared *http.Request // what Prepare got, if there is one
	prepared   *http.Request // what it made of that
	replaced   bool          // with another body

	free   bool // from the layers' context
	resp   *http.Response
	status *StatusError // if resp is a failure
	peeked *peekedBody  // of resp
	body   responseBody
	ended  bool // nothing of the response is still to come
}

// send sends the request once. The sending that it returns has a response.
func (x *exchange) send(layers context.Context) (*sending, error) {
	s := x.begin(layers)
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

func (x *exchange) begin(layers context.Context) *sending {
	s := &x.first
	if x.sends > 0 {
		s = new(sending)
	}
	s.x, s.layers = x, layers
	s.graft = graft{roundtrip.Graft{Context: x.req.Context(), Values: layers}, &s.progress}
	s.ctx, s.cancel = context.WithCancelCause(&s.graft)
	limit := x.t.HeaderTimeout
	if x.overrides.patient {
		limit = 0
	}
	s.progress.begin(s, limit)
	s.follow()
	s.ctx, s.span = x.call.Send(s.ctx, telemetry.Request{
		Method: x.req.Method,
		URL:    x.req.URL,
		Resend: x.sends,
		ByBase: x.t.SpansByBase,
	})
	s.progress.span = s.span
	x.sends++
	return s
}

// follow has the sending end with the layers' context. Where all that may end
// that is known, there is no need to derive from it, and to have it arm a timer of
// its own: 10 allocations less with a timeout among the layers.
func (s *sending) follow() {
	if s.x.req.Cancel == nil { //nolint:staticcheck // Deprecated, and in use by http.Client.
		if end, known := endOf(s.layers, &s.x.root); known {
			if !end.IsZero() {
				s.progress.follow(end)
			}
			return
		}
	}
	if s.layers.Done() != s.x.req.Context().Done() {
		s.unfollow = context.AfterFunc(s.layers, func() { s.cancel(context.Cause(s.layers)) })
	}
}

// release ends that, and reports whether it was in time.
func (s *sending) release() bool {
	if s.unfollow != nil {
		return s.unfollow()
	}
	return s.progress.left() == nil
}

// interrupted returns why the layers have ended the sending, if they have.
func (s *sending) interrupted() error {
	if err := s.progress.left(); err != nil {
		return err
	}
	if s.layers.Err() != nil {
		return context.Cause(s.layers)
	}
	return nil
}

// overdue returns the error of what takes too long. It runs with the progress's
// mutex held.
func (s *sending) overdue(what int) error {
	switch what {
	case noProgress:
		return &TimeoutError{Phase: s.progress.phase, Limit: s.progress.limit}
	case noData:
		return &TimeoutError{Phase: PhaseBody, Limit: s.body.limit}
	}
	if cause := context.Cause(s.layers); cause != nil {
		return cause
	}
	return context.DeadlineExceeded // in a moment, by the layers' own clock
}

// roundTrip has Base send the request, and takes the response into the custody
// of the request's own context.
func (s *sending) roundTrip() error {
	out, err := s.request()
	if err != nil {
		return err
	}
	s.progress.hand()
	resp, err := s.x.base().RoundTrip(out)
	if err != nil {
		if resp != nil && resp.Body != nil {
			_ = resp.Body.Close()
		}
		return err
	}
	if resp == nil {
		return errNilResponse
	}
	if resp.Body == nil {
		resp.Body = http.NoBody
	}
	s.resp = resp
	if expired := s.progress.stop(); expired != nil {
		s.discard()
		return expired
	}
	s.span.Responded(resp.StatusCode, resp.ProtoMajor, resp.ProtoMinor)
	s.status = s.x.judge(resp)
	if s.status == nil {
		if err := s.buffer(); err != nil {
			return err
		}
	}
	if !s.ended && !s.release() {
		s.discard()
		return s.interrupted()
	}
	s.free = true
	return nil
}

// fail ends the sending without a response and makes the error for the layers.
func (s *sending) fail(err error) error {
	x := s.x
	select {
	case <-x.req.Cancel: //nolint:staticcheck // Deprecated, and in use by http.Client.
		<-x.ctx.Done() // net/http looks at it too, and was quicker
	default:
	}
	expired, cause := s.progress.stop(), s.interrupted()
	phase, bodyErr := s.progress.state(err)
	handed := s.progress.handed
	unsent := !handed || s.progress.unsent(err)
	err = schemeMismatch(roundtrip.WithoutURL(err))
	if x.unrepeated() {
		err = forbidden(err)
	}

	var f fault
	switch {
	case x.ctx.Err() != nil:
		f = fault{class: telemetry.ErrorType(x.ctx.Err()), ours: true}
		if !errors.Is(err, x.ctx.Err()) {
			err = ended(x.ctx)
		}
	case context.Cause(s.ctx) == errEndless: //nolint:errorlint // Ours is never wrapped.
		err, x.redialled = errEndless, true
		f = fault{class: "http2_stream_error", passing: true}
	case expired != nil:
		err = expired
		f = fault{class: "timeout", passing: true}
	case cause != nil:
		err = &interruptedError{phase: phase, cause: cause}
		f = fault{class: telemetry.ErrorType(cause), passing: says.TimedOut(cause)}
	case !handed:
		f, _ = ownFault(err)
		f.local = true
	default:
		f = faultOf(err, bodyErr)
	}
	x.fresh = x.fresh || f.class == "timeout" && !unsent // there was a connection

	safe := (x.idempotent || unsent || f.untouched || f.local) && !x.overrides.once && x.rewindable()
	x.unsafe = !safe
	failure := &SendError{
		Err:       err,
		Sent:      !unsent && !f.untouched && !f.local,
		fault:     f,
		retryable: safe && f.passing && x.ctx.Err() == nil,
	}
	s.end(failure)
	return failure
}

// deliver returns the response for the caller.
func (s *sending) deliver() *http.Response {
	resp := s.resp
	resp.Request = s.x.req
	switch {
	case s.ended:
	case resp.Body == http.NoBody:
		s.end(nil)
	case resp.StatusCode == http.StatusSwitchingProtocols, s.x.req.Method == http.MethodConnect:
		s.span.End(nil, false) // not with a connection that may last for days
		resp.Body = newUpgraded(resp.Body, s)
	default:
		resp.Body = s.guard(resp.Body)
	}
	return resp
}

// guard returns body such that it ends the sending.
func (s *sending) guard(body io.ReadCloser) io.ReadCloser {
	limit := s.x.t.stallTimeout()
	if s.x.overrides.patient {
		limit = 0
	}
	s.body = responseBody{inner: body, sending: s, limit: limit}
	return &s.body
}

// buffer reads the beginning of the body, or all of it, as part of the attempt.
func (s *sending) buffer() error {
	limit, resp := s.x.t.MaxResponseBuffer, s.resp
	if limit == 0 || resp.Body == http.NoBody || resp.ContentLength > limit || s.streams() {
		return nil
	}
	guarded := s.guard(resp.Body)
	data, err := io.ReadAll(io.LimitReader(guarded, limit))
	if err != nil {
		_ = guarded.Close()
		return err
	}
	read := &peekedBody{inner: resp.Body, filled: closedChan, buf: data}
	if s.ended || int64(len(data)) < limit {
		read.err = io.EOF
	}
	resp.Body = read
	return nil
}

// streams reports whether the response is one that comes as it happens.
func (s *sending) streams() bool {
	if s.resp.StatusCode == http.StatusSwitchingProtocols || s.x.req.Method == http.MethodConnect {
		return true
	}
	kind := s.resp.Header.Get("Content-Type")
	return strings.HasPrefix(kind, "text/event-stream") ||
		strings.HasPrefix(kind, "application/grpc") || strings.HasPrefix(kind, "application/connect+")
}

// drain reads the failed response ahead, so that its connection is free while
// the next attempt is waited for.
func (s *sending) drain() {
	limit, resp := s.x.t.maxDrain(), s.resp
	if s.ended || resp.Body == http.NoBody {
		s.end(nil)
		return
	}
	if limit == 0 || resp.ContentLength > limit {
		return
	}
	s.peeked = peek(resp.Body, limit)
	resp.Body = s.peeked
	if s.peeked.complete() {
		_ = s.peeked.Close()
		err := s.peeked.err
		if err == io.EOF { //nolint:errorlint // A body ends with it unwrapped.
			err = nil
		}
		s.end(err)
	}
}

// discard gives up the response. Ending the context first is what frees a Read
// that is under way.
func (s *sending) discard() {
	s.cancel(errDiscarded)
	_ = s.resp.Body.Close()
	s.end(nil)
}

// bodyError returns what the caller is told when a Read of the body fails: the
// reason for which the sending was ended, if it was, and not what the connection
// made of it.
func (s *sending) bodyError(err error) error {
	if err == io.EOF { //nolint:errorlint // A body ends with it unwrapped.
		return err
	}
	if ctx := s.x.req.Context(); ctx.Err() != nil {
		return ended(ctx)
	}
	if errors.Is(err, errDone) { // of a Close, which a Transport within takes for its caller's cancellation
		return errDone
	}
	if stalled, ok := errors.AsType[*TimeoutError](context.Cause(s.ctx)); ok {
		return stalled
	}
	return err
}

// end ends the sending with its body, or with the error in its place.
func (s *sending) end(err error) {
	if !s.progress.finish() {
		return
	}
	s.ended = true
	if s.unfollow != nil {
		s.unfollow()
	}
	if err == io.EOF { //nolint:errorlint // A body ends with it unwrapped.
		err = nil
	}
	if s.span != nil {
		s.span.End(err, s.cancelled())
	}
	s.cancel(errDone)
}

// cancelled reports whether somebody outside lost interest. The layers' contexts
// end when they return, and mean nothing from then on.
func (s *sending) cancelled() bool {
	if s.free {
		return gone(s.x.req.Context())
	}
	return gone(s.x.ctx) || gone(s.layers)
}

func gone(ctx context.Context) bool {
	return errors.Is(ctx.Err(), context.Canceled) && !says.TimedOut(context.Cause(ctx))
}

var closedChan = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()
