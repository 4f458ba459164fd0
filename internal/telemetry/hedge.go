package telemetry

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// What becomes of a hedge.
const (
	HedgeIssued   = "issued"
	HedgeWithheld = "withheld" // it was due, and something spoke against it
	HedgeWon      = "won"
	HedgeLost     = "lost"     // given up, since there was a result or no caller any more
	HedgeFailed   = "failed"   // of itself
	HedgePanicked = "panicked" // when there was nobody left to be told
)

// A HedgeEvent is what became of a hedge.
type HedgeEvent struct {
	Name    string // the hedger's, may be empty
	Result  string
	Reason  string        // of a hedge that was withheld
	Ordinal int           // of the hedge within its attempt, from 1
	Time    time.Duration // the delay before the hedge was due, or how long it took
}

// Hedged records what became of a hedge: a count, and an event on the span of
// the call.
func Hedged(ctx context.Context, e HedgeEvent) {
	call := hedgedCall(ctx)
	attrs := []attribute.KeyValue{attribute.String(keyHedgeResult, e.Result)}
	if e.Name != "" {
		attrs = append(attrs, attribute.String(keyLayerName, valid(e.Name)))
	}
	if e.Reason != "" {
		attrs = append(attrs, attribute.String(keyReason, e.Reason))
	}
	span, s := trace.SpanFromContext(ctx), scopeFrom(ctx)
	if call != nil {
		s = call.scope
		if call.span != nil {
			span = call.span
		}
	}
	if span.IsRecording() {
		span.AddEvent(eventHedge, trace.WithAttributes(append(slices.Clip(attrs),
			attribute.Int(keyHedgeOrdinal, e.Ordinal),
			attribute.Float64(keyHedgeTime, e.Time.Seconds()))...))
	}
	if s == nil || s.metrics == nil {
		return
	}
	if call != nil {
		attrs = append(attrs, attribute.String(keyName, call.name))
	}
	s.metrics.hedges.Add(ctx, 1, set(attrs...))
}

// hedgedCall returns the call that ctx belongs to, be it to an attempt or to the
// layers. Attempts hide it from fromContext.
func hedgedCall(ctx context.Context) *Call {
	if call := fromContext(ctx); call != nil {
		return call
	}
	call, _ := ctx.Value(attemptOfKey{}).(*Call)
	return call
}

// A HedgeSpan is a hedge of a function. Its methods accept a nil receiver.
type HedgeSpan struct{ span trace.Span }

// HedgeAttempt begins a hedge within an attempt of a function: an INTERNAL span
// that links to the attempt. It returns nil outside of a recorded call.
func HedgeAttempt(ctx context.Context, ordinal int) (context.Context, *HedgeSpan) {
	call := hedgedCall(ctx)
	if call == nil || call.scope.tracer == nil {
		return ctx, nil
	}
	opts := internalSpan(attribute.String(keyName, call.name), attribute.Int(keyHedgeOrdinal, ordinal))
	opts = append(opts, trace.WithLinks(trace.Link{SpanContext: trace.SpanContextFromContext(ctx)}))
	ctx, span := call.scope.tracer.Start(ctx, spanHedgePrefix+call.name, opts...)
	return ctx, &HedgeSpan{span}
}

// End ends the hedge, with its error if it failed of itself.
func (h *HedgeSpan) End(err error) {
	if h == nil {
		return
	}
	if err != nil && h.span.IsRecording() {
		fail(h.span, ErrorType(err), err)
	}
	h.span.End()
}
