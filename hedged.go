package redoubt

import (
	"context"
	"net/http"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// Hedge begins a send of the request beside this one, with a span of its own. It
// does not take part in the progress: that is about the first send, and from now
// on knows that it is not all there is.
func (s *sending) Hedge(ctx context.Context, ordinal int, h http.Header) (context.Context, roundtrip.Hedge) {
	if !s.handed || s.resp != nil { // the request is another, such as one for a token
		return ctx, nil
	}
	s.progress.note(func() { s.progress.hedged = true })
	x := s.x
	ctx, span := x.call.Send(&untracedContext{ctx, s.layers}, telemetry.Request{
		Method: x.req.Method,
		URL:    x.req.URL,
		Resend: x.sends,
		Hedge:  ordinal,
		ByBase: x.t.SpansByBase,
	})
	x.sends++
	s.mark(ctx, &header{req: &http.Request{Header: h}, own: true})
	return ctx, &hedged{s, span}
}

// A hedged is a send that package hedge makes beside a sending.
type hedged struct {
	sending *sending
	span    *telemetry.Send
}

// Won has the sending go on as the hedge, whose response it gets.
func (h *hedged) Won(resp *http.Response, err error) {
	s := h.sending
	if resp == nil && err == nil {
		s.span.End(context.Canceled, true)
	} else {
		endFailed(s.span, resp, err)
	}
	s.span = h.span
}

// Lost ends the hedge, which is nobody's failure.
func (h *hedged) Lost() { h.span.End(context.Canceled, true) }

// Failed ends the hedge with its failure.
func (h *hedged) Failed(resp *http.Response, err error) { endFailed(h.span, resp, err) }

func endFailed(span *telemetry.Send, resp *http.Response, err error) {
	if err == nil {
		span.Responded(resp.StatusCode, resp.ProtoMajor, resp.ProtoMinor)
	}
	span.End(err, false)
}

// An untracedContext has the httptrace of another context.
type untracedContext struct {
	context.Context

	traced context.Context //nolint:containedctx // It is a context.
}

func (c *untracedContext) Value(key any) any {
	if key == traceKey {
		return c.traced.Value(key)
	}
	return c.Context.Value(key)
}
