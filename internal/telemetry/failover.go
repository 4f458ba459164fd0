package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// A Failover is the step of a call from one endpoint to another.
type Failover struct {
	Name     string // of the list of endpoints
	From, To string
	Err      error // what From answered
}

// FailedOver records that a call goes on with another endpoint.
func FailedOver(ctx context.Context, f Failover) {
	s, span := scopeFrom(ctx), eventSpan(ctx)
	if s == nil && span == nil {
		return
	}
	reason := attribute.String(keyFailoverReason, ErrorType(f.Err))
	if span != nil {
		span.AddEvent(eventFailover, trace.WithAttributes(reason,
			attribute.String(keyLayerName, valid(f.Name)),
			attribute.String(keyFailoverFrom, valid(f.From)),
			attribute.String(keyFailoverTo, valid(f.To))))
	}
	if s != nil && s.metrics != nil {
		// Not the endpoints: they may be many, and they are in the event.
		s.metrics.failovers.Add(ctx, 1, setFor(ctx, reason, attribute.String(keyLayerName, valid(f.Name))))
	}
}

// Ask names the endpoint of the attempts to come of the call that ctx belongs
// to.
func Ask(ctx context.Context, endpoint string) {
	if call := fromContext(ctx); call != nil {
		call.endpoint = valid(endpoint)
	}
}

// Inherit returns the call, if ctx is that of an attempt which left the spans to
// whoever sends the request, so that what would be one send can be several. It
// must be asked once for an attempt, by the goroutine that makes it.
func Inherit(ctx context.Context) (context.Context, *Call) {
	c, ok := ctx.Value(resendKey{}).(*resendContext)
	if !ok || c.call == nil {
		return ctx, nil
	}
	call := c.call
	call.attempts-- // each send will count itself
	return &callContext{Context: ctx, call: call}, call
}

// Beside returns the context for a send beside which others may be made at the
// same time, so that none of them inherits the call: each that makes several of one
// begins a call of its own.
func Beside(ctx context.Context) context.Context {
	c, ok := ctx.Value(resendKey{}).(*resendContext)
	if !ok || c.call == nil {
		return ctx
	}
	return &resendContext{Context: ctx, resend: c.resend}
}

// Sends returns how many attempts c has had, and hedges of them that had spans.
func (c *Call) Sends() int {
	if c == nil {
		return 0
	}
	return c.attempts + c.hedges
}
