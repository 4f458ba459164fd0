package telemetry

import (
	"context"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// A Request is what a Send begins with.
type Request struct {
	Method string
	URL    *url.URL // may be nil
	Resend int      // how many times it was sent before
	ByBase bool     // somebody further in makes the span
	Hedge  int      // which hedge of its attempt it is, from 1; 0 is none
}

// A Send is one request on the wire: a CLIENT span and a duration, after
// OpenTelemetry's conventions for HTTP. Its methods accept a nil receiver.
type Send struct {
	outside callContext
	call    *Call
	span    trace.Span // nil if nobody records spans
	start   time.Time
	key     sendKey
	replays int
	ended   bool
}

// sendKey is what tells durations apart.
type sendKey struct {
	method, address string
	port            int
	status          int
	protocol        string
	errorType       string
}

// Send begins a send and returns the context for it. Unless it is a hedge it is an
// attempt of c. The send must be ended.
func (c *Call) Send(ctx context.Context, r Request) (context.Context, *Send) {
	if r.ByBase {
		inherited := c
		if r.Hedge > 0 { // others are under way, and a Call is for one at a time
			inherited = nil
		}
		ctx = &resendContext{Context: ctx, resend: r.Resend, call: inherited}
	}
	if c == nil {
		return ctx, nil
	}
	if r.Hedge == 0 {
		c.attempts++
	}
	if r.ByBase {
		return &callContext{Context: ctx, attemptOf: c}, nil
	}
	if r.Hedge > 0 {
		c.hedges++
	}
	s := &Send{call: c, start: time.Now(), key: sendKey{method: knownMethod(r.Method)}}
	if r.URL != nil {
		s.key.address, s.key.port = serverOf(r.URL)
	}
	if c.scope.tracer != nil {
		ctx = c.spanned(ctx, r.Hedge > 0)
		ctx, s.span = c.scope.tracer.Start(ctx, spanName(s.key.method), s.startOptions(r)...)
		if r.Hedge == 0 {
			c.last = s.span.SpanContext()
		}
	}
	s.outside = callContext{Context: ctx, attemptOf: c}
	return &s.outside, s
}

// spanned returns the context of a span to come. That of a hedge carries the span
// of the attempt, and shall be a child of the call's like that one.
func (c *Call) spanned(ctx context.Context, hedge bool) context.Context {
	if !hedge || c.span == nil {
		return ctx
	}
	return trace.ContextWithSpan(ctx, c.span)
}

func (s *Send) startOptions(r Request) []trace.SpanStartOption {
	attrs := make([]attribute.KeyValue, 0, 8)
	attrs = append(attrs, semconv.HTTPRequestMethodKey.String(s.key.method))
	if s.key.method == otherMethod {
		attrs = append(attrs, semconv.HTTPRequestMethodOriginal(r.Method))
	}
	if r.URL != nil {
		attrs = append(attrs, semconv.ServerAddress(s.key.address), semconv.ServerPort(s.key.port), semconv.URLFull(redact(r.URL)))
	}
	if r.Resend > 0 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(r.Resend))
	}
	if r.Hedge > 0 {
		attrs = append(attrs, attribute.Int(keyHedgeOrdinal, r.Hedge))
	}
	opts := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attrs...)}
	if s.call.last.IsValid() {
		opts = append(opts, trace.WithLinks(trace.Link{SpanContext: s.call.last}))
	}
	return opts
}

// Responded records that the response's headers have arrived.
func (s *Send) Responded(status, major, minor int) {
	if s == nil {
		return
	}
	s.key.status = status
	s.key.protocol = protocolVersion(major, minor)
	if s.span == nil || !s.span.IsRecording() {
		return
	}
	s.span.SetAttributes(semconv.HTTPResponseStatusCode(status), semconv.NetworkProtocolVersion(s.key.protocol))
}

// Replayed records that package net/http sends the request again, on its own.
func (s *Send) Replayed(reused bool) {
	if s == nil || s.span == nil {
		return
	}
	s.replays++
	s.span.AddEvent(eventReplay, trace.WithAttributes(attribute.Bool(keyConnReused, reused)))
	s.span.SetAttributes(attribute.Int(keyReplays, s.replays))
}

// Continued records how long the request's body was held back for the server's
// leave, and whether that was given.
func (s *Send) Continued(waited time.Duration, granted bool) {
	if s == nil || s.span == nil {
		return
	}
	s.span.AddEvent(eventContinue, trace.WithAttributes(
		attribute.Float64(keyContinueWait, waited.Seconds()),
		attribute.Bool(keyContinueGranted, granted)))
}

// End ends the send with its response body, or with the error in place of a
// response. A caller that went away is nobody's failure. Only the first End
// counts.
func (s *Send) End(err error, cancelled bool) {
	if s == nil || s.ended {
		return
	}
	s.ended = true
	switch {
	case cancelled && err != nil:
	case err != nil:
		s.key.errorType = ErrorType(err)
	case s.key.status >= 400:
		s.key.errorType = strconv.Itoa(s.key.status)
	}
	if s.key.status == 0 {
		s.call.lastErr = err
	}
	if m := s.call.scope.metrics; m != nil {
		m.sendDuration.Record(s.outside.Context, time.Since(s.start).Seconds(), setOf(s.key))
	}
	if s.span == nil {
		return
	}
	if s.key.errorType != "" && s.span.IsRecording() {
		s.span.SetAttributes(semconv.ErrorTypeKey.String(s.key.errorType))
		description := "" // the conventions want none that repeats the status
		if err != nil {
			description = describe(err)
		}
		s.span.SetStatus(codes.Error, description)
	}
	s.span.End()
}

// sendSets are the attribute sets made so far. Hosts may be many, hence the
// bound: others are recorded too, only slower.
var sendSets struct {
	sync.RWMutex
	known map[sendKey]metric.MeasurementOption
}

func setOf(key sendKey) metric.MeasurementOption {
	sendSets.RLock()
	option := sendSets.known[key]
	sendSets.RUnlock()
	if option != nil {
		return option
	}
	option = set(key.attributes()...)
	sendSets.Lock()
	defer sendSets.Unlock()
	if sendSets.known == nil {
		sendSets.known = map[sendKey]metric.MeasurementOption{}
	}
	if len(sendSets.known) < maxNames {
		sendSets.known[key] = option
	}
	return option
}

// attributes are those that the conventions have for http.client.request.duration.
func (k sendKey) attributes() []attribute.KeyValue {
	attrs := []attribute.KeyValue{
		semconv.HTTPRequestMethodKey.String(k.method),
		semconv.ServerAddress(k.address),
		semconv.ServerPort(k.port),
	}
	if k.status != 0 {
		attrs = append(attrs, semconv.HTTPResponseStatusCode(k.status), semconv.NetworkProtocolVersion(k.protocol))
	}
	if k.errorType != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(k.errorType))
	}
	return attrs
}

// Inject writes the span and the baggage of ctx to a carrier. A nil propagator
// stands for the global one.
func Inject(ctx context.Context, p propagation.TextMapPropagator, carrier propagation.TextMapCarrier) {
	if p == nil {
		p = otel.GetTextMapPropagator()
	}
	p.Inject(ctx, carrier)
}

// resendContext tells ClientTrace how many times the request was sent before.
type resendContext struct {
	context.Context
	resend int
	call   *Call // that the attempt belongs to, for Inherit; may be nil
}

type resendKey struct{}

func (c *resendContext) Value(key any) any {
	if key == (resendKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// ClientTrace sets http.request.resend_count on the span of ctx, which somebody
// else made, and returns a trace that does nothing further.
func ClientTrace(ctx context.Context) *httptrace.ClientTrace {
	if c, ok := ctx.Value(resendKey{}).(*resendContext); ok && c.resend > 0 {
		trace.SpanFromContext(ctx).SetAttributes(semconv.HTTPRequestResendCount(c.resend))
	}
	return new(httptrace.ClientTrace)
}

// otherMethod is the conventions' word for a method that they do not know.
const otherMethod = "_OTHER"

func knownMethod(method string) string {
	switch method {
	case "":
		return "GET"
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return method
	}
	return otherMethod
}

// spanName follows the conventions: the method, since a template of the path is
// not known.
func spanName(method string) string {
	if method == otherMethod {
		return "HTTP"
	}
	return method
}

func serverOf(u *url.URL) (address string, port int) {
	if p, err := strconv.Atoi(u.Port()); err == nil {
		return u.Hostname(), p
	}
	if u.Scheme == "https" {
		return u.Hostname(), 443
	}
	return u.Hostname(), 80
}

func protocolVersion(major, minor int) string {
	switch {
	case major >= 2 && minor == 0:
		return strconv.Itoa(major)
	case major == 1 && minor == 1:
		return "1.1"
	}
	return strconv.Itoa(major) + "." + strconv.Itoa(minor)
}

const redacted = "REDACTED"

// redact returns u without its user, its fragment and the values of its query.
func redact(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Opaque: redactOpaque(u.Opaque), Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: redactQuery(u.RawQuery)}).String()
}

// redactOpaque does the same to an opaque part, which may be all of a URL but its
// scheme.
func redactOpaque(opaque string) string {
	opaque, _, _ = strings.Cut(opaque, "#")
	opaque, query, asked := strings.Cut(opaque, "?")
	slashes := ""
	if rest, ok := strings.CutPrefix(opaque, "//"); ok {
		slashes, opaque = "//", rest
	}
	authority, path, more := strings.Cut(opaque, "/")
	opaque = slashes + authority[strings.LastIndexByte(authority, '@')+1:]
	if more {
		opaque += "/" + path
	}
	if asked {
		opaque += "?" + redactQuery(query)
	}
	return opaque
}

func redactQuery(query string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	for pair := range strings.SplitSeq(query, "&") {
		if b.Len() > 0 {
			b.WriteByte('&')
		}
		if name, _, ok := strings.Cut(pair, "="); ok {
			b.WriteString(name)
			b.WriteByte('=')
		}
		b.WriteString(redacted)
	}
	return b.String()
}
