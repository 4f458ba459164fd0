package telemetry

import (
	"context"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/trace"
)

// Log writes one record to logger, with err and the trace of span attached. A
// nil logger writes nothing.
func Log(ctx context.Context, logger *slog.Logger, level slog.Level, message string, span Link, err error, attrs ...slog.Attr) {
	if logger == nil || !logger.Enabled(ctx, level) {
		return
	}
	if err != nil {
		attrs = append(attrs, slog.String("error", fmt.Sprint(err))) // which survives an Error that panics
	}
	if !span.span.IsValid() {
		span.span = trace.SpanContextFromContext(ctx)
	}
	if span.span.IsValid() {
		attrs = append(attrs,
			slog.String("trace_id", span.span.TraceID().String()),
			slog.String("span_id", span.span.SpanID().String()))
	}
	logger.LogAttrs(ctx, level, message, attrs...)
}
