package redoubt

import (
	"context"
	"net/http"
	"slices"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// Again is told that Base sends the request once more by a rule of its own.
func (s *sending) Again() { s.progress.again() }

// Hedge begins a send of the request beside this one, with a span of its own. It
// does not take part in the progress: that is about the first send, and from now
// on knows that it is not all there is.
func (s *sending) Hedge(out *http.Request, ordinal int) (*http.Request, roundtrip.Hedge, error) {
	if !s.progress.handed || s.resp != nil { // the request is another, such as one for a token
		return out, nil, nil
	}
	s.progress.note(func() { s.progress.hedged = true })
	x, ctx := s.x, out.Context()
	ctx, span := x.call.Send(&untracedContext{ctx, s.layers}, telemetry.Request{
		Method: x.req.Method,
		URL:    x.req.URL,
		Resend: x.sends,
		Hedge:  ordinal,
		ByBase: x.t.SpansByBase,
	})
	x.sends++
	out = out.WithContext(ctx)
	s.unprepare(out)
	s.mark(ctx, &header{req: out, own: out.Header != nil})
	err := s.unreplace(out)
	if err == nil {
		err = s.prepare(out)
	}
	if err != nil {
		span.End(err, false)
		return nil, nil, err
	}
	return out, &hedged{s, span}, nil
}

// unreplace gives out the body that Prepare found, if it replaced that.
func (s *sending) unreplace(out *http.Request) (err error) {
	if !s.replaced || s.unprepared.GetBody == nil {
		return nil
	}
	roundtrip.CloseBody(out)
	out.GetBody = s.unprepared.GetBody
	out.Body, err = out.GetBody()
	return err
}

// unprepare takes back what Prepare made of the first send, so that it finds in
// out what it found there. What RoundTrippers between have changed since stays.
func (s *sending) unprepare(out *http.Request) {
	before, after := s.unprepared, s.prepared
	if before == nil {
		return
	}
	if out.Method == after.Method {
		out.Method = before.Method
	}
	if out.Host == after.Host {
		out.Host = before.Host
	}
	if out.ContentLength == after.ContentLength {
		out.ContentLength = before.ContentLength
	}
	if out.URL != nil && after.URL != nil && before.URL != nil && out.URL.String() == after.URL.String() {
		out.URL = cloneURL(before.URL)
	}
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	for _, header := range []http.Header{before.Header, after.Header} {
		for name := range header {
			if !slices.Equal(out.Header[name], after.Header[name]) {
				continue
			}
			if values, ok := before.Header[name]; ok {
				out.Header[name] = slices.Clone(values)
			} else {
				delete(out.Header, name)
			}
		}
	}
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
