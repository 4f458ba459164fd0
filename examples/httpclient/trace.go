package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// recorder keeps the spans of the run, so that some can be shown at its end. A
// real program has an exporter in its place.
type recorder struct {
	mu     sync.Mutex
	traces map[trace.TraceID][]sdk.ReadOnlySpan
	roots  []sdk.ReadOnlySpan
}

func (r *recorder) OnStart(context.Context, sdk.ReadWriteSpan) {}

func (r *recorder) OnEnd(span sdk.ReadOnlySpan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := span.SpanContext().TraceID()
	if r.traces == nil {
		r.traces = map[trace.TraceID][]sdk.ReadOnlySpan{}
	}
	r.traces[id] = append(r.traces[id], span)
	if !span.Parent().IsValid() {
		r.roots = append(r.roots, span)
	}
}

func (r *recorder) Shutdown(context.Context) error   { return nil }
func (r *recorder) ForceFlush(context.Context) error { return nil }

// first returns the first call that matches.
func (r *recorder) first(match func(sdk.ReadOnlySpan) bool) (sdk.ReadOnlySpan, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, root := range r.roots {
		if match(root) {
			return root, true
		}
	}
	return nil, false
}

type attributes map[attribute.Key]attribute.Value

func attributesOf(span sdk.ReadOnlySpan) attributes {
	all := attributes{}
	for _, kv := range span.Attributes() {
		all[kv.Key] = kv.Value
	}
	return all
}

func rescued(root sdk.ReadOnlySpan) bool {
	a := attributesOf(root)
	return a["redoubt.outcome"].AsString() == "success" && a["redoubt.attempts"].AsInt64() > 1
}

// refused matches a call of which no attempt was made.
func refused(root sdk.ReadOnlySpan) bool {
	a := attributesOf(root)
	return a["redoubt.outcome"].AsString() == "rejected" && a["redoubt.attempts"].AsInt64() == 0 && len(root.Events()) == 0
}

func exhausted(root sdk.ReadOnlySpan) bool {
	a := attributesOf(root)
	return a["redoubt.retry.stop_reason"].AsString() == "attempts" && a["redoubt.outcome"].AsString() == "failure"
}

// printTree prints a call with its attempts, refusals and events.
func (r *recorder) printTree(out io.Writer, root sdk.ReadOnlySpan) {
	r.mu.Lock()
	defer r.mu.Unlock()
	spans := slices.Clone(r.traces[root.SpanContext().TraceID()])
	slices.SortStableFunc(spans, func(a, b sdk.ReadOnlySpan) int { return a.StartTime().Compare(b.StartTime()) })
	printSpan(out, spans, root, root.StartTime(), 1)
}

func printSpan(out io.Writer, spans []sdk.ReadOnlySpan, span sdk.ReadOnlySpan, zero time.Time, depth int) {
	indent := strings.Repeat("  ", depth)
	fmt.Fprintf(out, "%s%s  %s  +%s, took %s\n", indent, span.Name(), span.SpanKind(),
		brief(span.StartTime().Sub(zero)), brief(span.EndTime().Sub(span.StartTime())))
	if span.Status().Code == codes.Error && span.Status().Description != "" {
		fmt.Fprintf(out, "%s  | error: %s\n", indent, span.Status().Description)
	}
	for _, line := range interesting(span) {
		fmt.Fprintf(out, "%s  | %s\n", indent, line)
	}
	for _, link := range span.Links() {
		fmt.Fprintf(out, "%s  | linked to span %s\n", indent, link.SpanContext.SpanID())
	}
	for _, event := range span.Events() {
		fmt.Fprintf(out, "%s  * %s %s\n", indent, event.Name, join(event.Attributes))
	}
	for _, child := range spans {
		if child.Parent().SpanID() == span.SpanContext().SpanID() {
			printSpan(out, spans, child, zero, depth+1)
		}
	}
}

func interesting(span sdk.ReadOnlySpan) []string {
	kvs := slices.Clone(span.Attributes())
	slices.SortFunc(kvs, func(a, b attribute.KeyValue) int { return cmp.Compare(a.Key, b.Key) })
	if len(kvs) == 0 {
		return nil
	}
	var lines []string
	for chunk := range slices.Chunk(kvs, 3) {
		lines = append(lines, join(chunk))
	}
	return lines
}

func join(kvs []attribute.KeyValue) string {
	var parts []string
	for _, kv := range kvs {
		parts = append(parts, fmt.Sprintf("%s=%s", kv.Key, kv.Value.String()))
	}
	return strings.Join(parts, " ")
}

func brief(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
