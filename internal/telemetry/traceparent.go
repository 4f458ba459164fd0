package telemetry

import (
	"fmt"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// Traceparent returns l in the form of W3C Trace Context, so that it can be kept
// for another process, or "" if l points nowhere.
func (l Link) Traceparent() string {
	if !l.span.IsValid() {
		return ""
	}
	return fmt.Sprintf("00-%s-%s-%02x", l.span.TraceID(), l.span.SpanID(), byte(l.span.TraceFlags()))
}

// LinkTo returns the link that Traceparent wrote. What it can't have written
// points nowhere.
func LinkTo(traceparent string) Link {
	parts := strings.Split(traceparent, "-")
	if len(parts) != 4 || parts[0] != "00" {
		return Link{}
	}
	traceID, err := trace.TraceIDFromHex(parts[1])
	if err != nil {
		return Link{}
	}
	spanID, err := trace.SpanIDFromHex(parts[2])
	if err != nil {
		return Link{}
	}
	flags, err := strconv.ParseUint(parts[3], 16, 8)
	if err != nil {
		return Link{}
	}
	return Link{trace.NewSpanContext(trace.SpanContextConfig{
		TraceID:    traceID,
		SpanID:     spanID,
		TraceFlags: trace.TraceFlags(flags),
		Remote:     true,
	})}
}
