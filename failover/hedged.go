package failover

import (
	"context"
	"net/http"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// Again is told of what is sent within.
func (s *sending) Again() {
	if further := roundtrip.SendingOf(s.guard); further != nil {
		further.Again()
	}
}

// Hedge begins a send of the request beside this one, to the same endpoint and
// with a span of its own.
func (s *sending) Hedge(out *http.Request, ordinal int) (*http.Request, roundtrip.Hedge, error) {
	if s.resp != nil { // the request is another
		return out, nil, nil
	}
	s.watch.hedged()
	var outer roundtrip.Hedge
	if further := roundtrip.SendingOf(s.guard); further != nil {
		var err error
		if out, outer, err = further.Hedge(out, ordinal); err != nil {
			return nil, nil, err
		}
	}
	x := s.x
	ctx, span := x.call.Send(out.Context(), telemetry.Request{
		Method: x.req.Method,
		URL:    out.URL,
		Resend: x.call.Sends(),
		Hedge:  ordinal,
		ByBase: x.t.SpansByBase,
	})
	out = out.WithContext(ctx)
	if !x.t.SpansByBase {
		telemetry.Inject(ctx, nil, &header{req: out, own: out.Header != nil})
	}
	return out, &hedged{s, span, outer}, nil
}

// A hedged is a send that package hedge makes beside a sending.
type hedged struct {
	sending *sending
	span    *telemetry.Send
	outer   roundtrip.Hedge // of whoever is further out; may be nil
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
	if h.outer != nil {
		h.outer.Won(resp, err)
	}
}

// Lost ends the hedge, which is nobody's failure.
func (h *hedged) Lost() {
	h.span.End(context.Canceled, true)
	if h.outer != nil {
		h.outer.Lost()
	}
}

// Failed ends the hedge with its failure.
func (h *hedged) Failed(resp *http.Response, err error) {
	endFailed(h.span, resp, err)
	if h.outer != nil {
		h.outer.Failed(resp, err)
	}
}

func endFailed(span *telemetry.Send, resp *http.Response, err error) {
	if err == nil {
		span.Responded(resp.StatusCode, resp.ProtoMajor, resp.ProtoMinor)
	}
	span.End(err, false)
}
