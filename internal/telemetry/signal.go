package telemetry

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// A Link points to a span. The zero Link points nowhere.
type Link struct{ span trace.SpanContext }

// LastAttempt returns a link to the newest attempt of the call that ctx belongs
// to, or else to the span that ctx carries.
func LastAttempt(ctx context.Context) Link {
	if call := fromContext(ctx); call != nil && call.last.IsValid() {
		return Link{call.last}
	}
	return Link{trace.SpanContextFromContext(ctx)}
}

// SpanOf returns a link to the span that ctx carries. Unlike LastAttempt it may
// be kept for another goroutine.
func SpanOf(ctx context.Context) Link { return Link{trace.SpanContextFromContext(ctx)} }

// TraceID returns the trace of l in hexadecimal, or "" if l points nowhere.
func (l Link) TraceID() string {
	if !l.span.IsValid() {
		return ""
	}
	return l.span.TraceID().String()
}

func scopeFrom(ctx context.Context) *scope { return fromContext(ctx).scopeOrGlobal() }

func (c *Call) scopeOrGlobal() *scope {
	if c != nil {
		return c.scope
	}
	return scopeOf(Providers{})
}

// Silent reports whether nothing is recorded of what happens to the call that ctx
// belongs to.
func Silent(ctx context.Context) bool {
	return scopeFrom(ctx) == nil && eventSpan(ctx) == nil
}

// eventSpan returns the span that takes the events of ctx's call, or nil.
func eventSpan(ctx context.Context) trace.Span {
	span := trace.SpanFromContext(ctx)
	if call := fromContext(ctx); call != nil && call.span != nil {
		span = call.span
	}
	if !span.IsRecording() {
		return nil
	}
	return span
}

// A Rejection is a layer's refusal to run a call, or to run it again.
type Rejection struct {
	Layer  string // timeout, retry, breaker, limit
	Name   string // the layer's own, may be empty
	Reason string // low cardinality; becomes error.type
	Err    error  // what the caller gets; may be nil

	State      string // of a breaker
	Generation uint64
	Until      time.Time // when a wait may help, if known
	Because    Link      // to the span that caused the refusal

	Unenforced bool // shadow mode: the call ran all the same
}

// Reject records a refusal: a short span with an error status, linked to the
// span that caused it, and a count. A refusal that was not enforced is only
// counted.
func Reject(ctx context.Context, r Rejection) {
	s := scopeFrom(ctx)
	if s == nil {
		return
	}
	if m := s.metrics; m != nil {
		counter := m.rejections
		if r.Unenforced {
			counter = m.unenforced
		}
		attrs := []attribute.KeyValue{attribute.String(keyLayer, r.Layer), attribute.String(keyReason, r.Reason)}
		if r.Name != "" {
			attrs = append(attrs, attribute.String(keyLayerName, valid(r.Name)))
		}
		counter.Add(ctx, 1, setFor(ctx, attrs...))
	}
	if s.tracer != nil && !r.Unenforced {
		s.rejectionSpan(ctx, r)
	}
}

func (s *scope) rejectionSpan(ctx context.Context, r Rejection) {
	attrs := []attribute.KeyValue{
		attribute.String(keyLayer, r.Layer),
		attribute.String(keyReason, r.Reason),
		semconv.ErrorTypeKey.String(r.Reason),
	}
	if r.Name != "" {
		attrs = append(attrs, attribute.String(keyLayerName, valid(r.Name)))
	}
	if r.State != "" {
		attrs = append(attrs, attribute.String(keyBreakerState, r.State), attribute.Int64(keyGeneration, int64(r.Generation)))
	}
	if !r.Until.IsZero() {
		attrs = append(attrs, attribute.Float64(keyRetryAfter, max(time.Until(r.Until), 0).Seconds()))
	}
	opts := internalSpan(attrs...)
	if r.Because.span.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: r.Because.span}))
	}
	_, span := s.tracer.Start(ctx, spanShortCircuit, opts...)
	if span.IsRecording() {
		description := r.Reason
		if r.Err != nil {
			description = describe(r.Err)
		}
		span.SetStatus(codes.Error, description)
	}
	span.End()
}

// Retried records that a failed attempt will be followed by another after
// delay. source says who chose the delay.
func Retried(ctx context.Context, err error, delay time.Duration, source string) {
	s, span := scopeFrom(ctx), eventSpan(ctx)
	if s == nil && span == nil {
		return
	}
	reason := ErrorType(err)
	if span != nil {
		span.AddEvent(eventRetry, trace.WithAttributes(
			attribute.String(keyRetryReason, reason),
			attribute.Float64(keyRetryDelay, delay.Seconds()),
			attribute.String(keyRetrySource, source)))
	}
	if s != nil && s.metrics != nil {
		s.metrics.retryDelay.Record(ctx, delay.Seconds(), setFor(ctx,
			attribute.String(keyRetryReason, reason),
			attribute.String(keyRetrySource, source)))
	}
}

// Stopped records why the retry layer made no further attempt.
func Stopped(ctx context.Context, reason string) {
	call := fromContext(ctx)
	if s := call.scopeOrGlobal(); s != nil && s.metrics != nil {
		s.metrics.stops.Add(ctx, 1, setFor(ctx, attribute.String(keyStopReason, reason)))
	}
	if call != nil {
		call.stop = reason
	} else if span := trace.SpanFromContext(ctx); span.IsRecording() {
		span.SetAttributes(attribute.String(keyStopReason, reason))
	}
}

// TimedOut records that a time limit cut a call short.
func TimedOut(ctx context.Context, limit time.Duration) {
	if span := eventSpan(ctx); span != nil {
		span.AddEvent(eventTimeout, trace.WithAttributes(attribute.Float64(keyLimit, limit.Seconds())))
	}
	if s := scopeFrom(ctx); s != nil && s.metrics != nil {
		// The limit is not among the attributes: it may be computed for each call.
		s.metrics.timeouts.Add(ctx, 1, setFor(ctx))
	}
}

// Waited records that a call waited for its turn at the limit name, and why it
// did not get it, "" if it did.
func Waited(ctx context.Context, name string, wait time.Duration, errorType string) {
	s, span := scopeFrom(ctx), eventSpan(ctx)
	if s == nil && span == nil {
		return
	}
	attrs := []attribute.KeyValue{attribute.String(keyLayerName, valid(name))}
	if errorType != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(errorType))
	}
	if span != nil {
		took := attribute.Float64(keyLimitWait, wait.Seconds())
		span.AddEvent(eventLimitWait, trace.WithAttributes(append(slices.Clip(attrs), took)...))
	}
	if s != nil && s.metrics != nil {
		s.metrics.limitWait.Record(ctx, wait.Seconds(), setFor(ctx, attrs...))
	}
}

// setFor is the set of attrs and the name of the call that ctx belongs to.
func setFor(ctx context.Context, attrs ...attribute.KeyValue) metric.MeasurementOption {
	if call := fromContext(ctx); call != nil {
		attrs = append(attrs, attribute.String(keyName, call.name))
	}
	return set(attrs...)
}

// A Transition is a state change of a breaker.
type Transition struct {
	Name       string
	From, To   string
	Reason     string
	Generation uint64
}

// Transitioned records a state change. It goes to the span of the call that
// brought it about, if there is one.
func Transitioned(ctx context.Context, t Transition) {
	attrs := []attribute.KeyValue{
		attribute.String(keyLayerName, valid(t.Name)),
		attribute.String(keyBreakerFrom, t.From),
		attribute.String(keyBreakerTo, t.To),
		attribute.String(keyReason, t.Reason),
	}
	if span := eventSpan(ctx); span != nil {
		generation := attribute.Int64(keyGeneration, int64(t.Generation))
		span.AddEvent(eventTransition, trace.WithAttributes(append(attrs, generation)...))
	}
	if s := scopeFrom(ctx); s != nil && s.metrics != nil {
		s.metrics.transitions.Add(ctx, 1, set(attrs...))
	}
}
