package telemetry

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoubt-go/redoubt/internal/says"
)

// A Call is one logical call on its way through the layers: one INTERNAL span
// with everything that befell it. Its methods accept a nil receiver. It is used
// by one goroutine at a time, which is what the law of layers promises.
type Call struct {
	*named

	inside callContext
	scope  *scope
	span   trace.Span // nil if nobody records spans
	start  time.Time

	attempts int
	hedges   int    // beside them, as far as they have spans
	endpoint string // of the next attempts; "" if there is no choice
	stop     string
	last     trace.SpanContext // the newest attempt's
	lastErr  error             // the newest attempt's, once it has ended
}

// callContext carries a Call, or hides the one above it if call is nil.
type callContext struct {
	context.Context
	call      *Call
	attemptOf *Call // if the context is an attempt's
}

type (
	callKey      struct{}
	attemptOfKey struct{}
)

func (c *callContext) Value(key any) any {
	switch key {
	case callKey{}:
		return c.call
	case attemptOfKey{}:
		return c.attemptOf
	}
	return c.Context.Value(key)
}

func fromContext(ctx context.Context) *Call {
	call, _ := ctx.Value(callKey{}).(*Call)
	return call
}

// Recording reports whether a call begun with p would be recorded.
func Recording(p Providers) bool { return scopeOf(p) != nil }

// RecordingGlobally is Recording of the global providers. It is all that a call
// costs while no SDK is installed.
func RecordingGlobally() bool { return globalScope() != nil }

// Active reports whether ctx is inside a recorded call's layers, rather than
// inside its attempts or outside of any call.
func Active(ctx context.Context) bool { return fromContext(ctx) != nil }

// Start begins the call name and returns the context for its layers. The call
// must be ended. Start returns ctx and nil if nobody listens.
func Start(ctx context.Context, p Providers, name string) (context.Context, *Call) {
	s := scopeOf(p)
	if s == nil {
		return ctx, nil
	}
	call := &Call{named: namedOf(name), scope: s, start: time.Now()}
	if s.tracer != nil {
		ctx, call.span = s.tracer.Start(ctx, call.callSpan, call.callOptions...)
	}
	call.inside = callContext{Context: ctx, call: call}
	return &call.inside, call
}

// End ends the call with the error that the caller gets. ctx is the context that
// Start returned, so that exemplars point to the call, and callerErr is the
// caller's own context's error at that moment.
func (c *Call) End(ctx context.Context, err, callerErr error) {
	if c == nil {
		return
	}
	outcome := c.outcome(err, callerErr)
	errorType := ""
	if outcome == outcomeFailure || outcome == outcomeRejected {
		errorType = ErrorType(err)
	}
	c.endMetrics(ctx, outcome, errorType)
	c.endSpan(outcome, errorType, err)
}

func (c *Call) endMetrics(ctx context.Context, outcome, errorType string) {
	m := c.scope.metrics
	if m == nil {
		return
	}
	took := time.Since(c.start).Seconds()
	retried := c.attempts > 1
	m.attempts.Record(ctx, int64(c.attempts), c.attemptsSet...)
	if outcome == outcomeSuccess {
		m.callDuration.Record(ctx, took, c.durationSet...)
		calls := c.callsSets[0]
		if retried {
			calls = c.callsSets[1]
		}
		m.calls.Add(ctx, 1, calls...)
		return
	}
	m.callDuration.Record(ctx, took, failureSet(c.name, outcome, errorType))
	m.calls.Add(ctx, 1, failureSet(c.name, outcome, errorType, attribute.Bool(keyRetried, retried)))
}

func (c *Call) endSpan(outcome, errorType string, err error) {
	if c.span == nil {
		return
	}
	if c.span.IsRecording() {
		c.span.SetAttributes(attribute.String(keyOutcome, outcome), attribute.Int(keyAttempts, c.attempts))
		if c.stop != "" && outcome != outcomeSuccess { // else a layer further out made it good
			c.span.SetAttributes(attribute.String(keyStopReason, c.stop))
		}
		fail(c.span, errorType, err)
	}
	c.span.End()
}

// fail marks a span as failed, unless errorType is empty.
func fail(span trace.Span, errorType string, err error) {
	if errorType == "" {
		return
	}
	span.SetAttributes(semconv.ErrorTypeKey.String(errorType))
	span.SetStatus(codes.Error, describe(err))
}

// outcome judges cancellation by the caller's context, never by the error: a
// callee may well return context.Canceled of its own. A refusal that the callee
// met with in turn is a failure of the callee.
func (c *Call) outcome(err, callerErr error) string {
	switch {
	case err == nil:
		return outcomeSuccess
	case errors.Is(callerErr, context.Canceled) && ErrorType(err) != typePanic:
		return outcomeCancelled
	case says.Rejected(err) && (c.lastErr == nil || !errors.Is(err, c.lastErr)):
		return outcomeRejected
	default:
		return outcomeFailure
	}
}

// An Attempt is one run of the innermost function. Its methods accept a nil
// receiver.
type Attempt struct {
	outside callContext
	call    *Call
	span    trace.Span
	start   time.Time
}

// Attempt begins an attempt as an INTERNAL span that links to the attempt
// before it, and returns the context for the function. The attempt must be
// ended.
func (c *Call) Attempt(ctx context.Context) (context.Context, *Attempt) {
	if c == nil {
		return ctx, nil
	}
	c.attempts++
	a := &Attempt{call: c, start: time.Now()}
	if c.scope.tracer != nil {
		opts := c.attemptOptions
		if c.attempts > 1 || c.endpoint != "" {
			opts = c.furtherOptions()
		}
		if c.last.IsValid() {
			opts = append(opts, trace.WithLinks(trace.Link{SpanContext: c.last}))
		}
		ctx, a.span = c.scope.tracer.Start(ctx, c.attemptSpan, opts...)
		c.last = a.span.SpanContext()
	}
	a.outside = callContext{Context: ctx, attemptOf: c}
	return &a.outside, a
}

// furtherOptions are those of an attempt that is not like every first one.
func (c *Call) furtherOptions() []trace.SpanStartOption {
	attrs := []attribute.KeyValue{attribute.String(keyName, c.name), attribute.Int(keyAttempt, c.attempts)}
	if c.endpoint != "" {
		attrs = append(attrs, attribute.String(keyEndpoint, c.endpoint))
	}
	return internalSpan(attrs...)
}

// End ends the attempt with the function's error. ctx is the context that
// Attempt returned, and attemptErr is the error of the context that the attempt
// ran on. A caller that went away is nobody's failure.
func (a *Attempt) End(ctx context.Context, err, attemptErr error) {
	if a == nil {
		return
	}
	a.call.lastErr = err
	outcome, errorType := attemptOutcome(err, attemptErr)
	if m := a.call.scope.metrics; m != nil {
		took := time.Since(a.start).Seconds()
		if outcome == outcomeSuccess {
			m.attemptDuration.Record(ctx, took, a.call.durationSet...)
		} else {
			m.attemptDuration.Record(ctx, took, failureSet(a.call.name, outcome, errorType))
		}
	}
	if a.span == nil {
		return
	}
	if a.span.IsRecording() {
		fail(a.span, errorType, err)
	}
	a.span.End()
}

func attemptOutcome(err, attemptErr error) (outcome, errorType string) {
	if err == nil {
		return outcomeSuccess, ""
	}
	errorType = ErrorType(err)
	switch {
	case errorType == typePanic:
		return outcomeFailure, errorType
	case errors.Is(attemptErr, context.Canceled):
		return outcomeCancelled, ""
	case errors.Is(attemptErr, context.DeadlineExceeded):
		return outcomeFailure, typeTimeout
	default:
		return outcomeFailure, errorType
	}
}
