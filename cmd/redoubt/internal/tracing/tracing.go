// Package tracing connects redoubt's commands to OpenTelemetry, as the standard
// environment variables say.
//
// Unless one of them names an exporter or an endpoint, nothing is exported and
// nothing is waited for: a command must not look for a collector that nobody
// has.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// flush is how long a command waits at its end for a collector that does not
// answer.
const flush = 3 * time.Second

// Start installs OpenTelemetry's SDK if the environment asks for it. stop sends
// what has been recorded and must be called before the program ends.
//
// The exporters are those of OTEL_TRACES_EXPORTER and OTEL_METRICS_EXPORTER; one
// that is not set is "otlp" if there is an OTEL_EXPORTER_OTLP_ENDPOINT, or the
// one for the signal, and else "none". The console is stderr, since stdout
// belongs to the commands. Trouble with exporting is told there too, once.
//
// The context that is returned continues the trace of TRACEPARENT and
// TRACESTATE, if they are set.
func Start(ctx context.Context, stderr io.Writer) (_ context.Context, stop func(), err error) {
	stop = func() {}
	ctx = propagation.TraceContext{}.Extract(ctx, environment{})
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return ctx, stop, nil
	}
	traces, metrics := exporter("TRACES"), exporter("METRICS")
	if traces == "none" && metrics == "none" {
		return ctx, stop, nil
	}
	var once sync.Once
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		once.Do(func() { fmt.Fprintf(stderr, "redoubt: telemetry: %v\n", err) })
	}))
	res, err := resource.New(ctx,
		resource.WithAttributes(semconv.ServiceName("redoubt")),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv()) // which may name the service otherwise
	if err != nil {
		otel.Handle(err)
	}
	var stops []func(context.Context) error
	if traces != "none" {
		spans, err := newSpanExporter(ctx, traces, stderr)
		if err != nil {
			return ctx, stop, fmt.Errorf("OTEL_TRACES_EXPORTER is %q: %w", traces, err)
		}
		provider := trace.NewTracerProvider(trace.WithBatcher(spans), trace.WithResource(res))
		otel.SetTracerProvider(provider)
		stops = append(stops, provider.Shutdown)
	}
	if metrics != "none" {
		reader, err := autoexport.NewMetricReader(ctx)
		if err != nil {
			return ctx, stop, fmt.Errorf("OTEL_METRICS_EXPORTER is %q: %w", metrics, err)
		}
		provider := metric.NewMeterProvider(metric.WithReader(reader), metric.WithResource(res))
		otel.SetMeterProvider(provider)
		stops = append(stops, provider.Shutdown)
	}
	return ctx, func() {
		ctx, cancel := context.WithTimeout(context.Background(), flush)
		defer cancel()
		var errs []error
		for _, stop := range stops {
			errs = append(errs, stop(ctx))
		}
		if err := errors.Join(errs...); err != nil {
			otel.Handle(err)
		}
	}, nil
}

func newSpanExporter(ctx context.Context, name string, stderr io.Writer) (trace.SpanExporter, error) {
	if name == "console" {
		return stdouttrace.New(stdouttrace.WithWriter(stderr))
	}
	return autoexport.NewSpanExporter(ctx)
}

// exporter returns the name of the exporter for a signal.
func exporter(signal string) string {
	if name := os.Getenv("OTEL_" + signal + "_EXPORTER"); name != "" {
		return name
	}
	if os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != "" || os.Getenv("OTEL_EXPORTER_OTLP_"+signal+"_ENDPOINT") != "" {
		return "otlp"
	}
	return "none"
}

// Environ returns the variables by which a child process continues ctx's trace,
// none if there is no trace.
func Environ(ctx context.Context) []string {
	carrier := make(propagation.MapCarrier)
	propagation.TraceContext{}.Inject(ctx, carrier)
	var env []string
	for key, value := range carrier {
		env = append(env, strings.ToUpper(key)+"="+value)
	}
	return env
}

// environment reads a trace context from the environment variables that
// OpenTelemetry's "Environment Variables as Context Propagation Carriers" names.
type environment struct{}

func (environment) Get(key string) string { return os.Getenv(strings.ToUpper(key)) }

func (environment) Set(string, string) {}

func (environment) Keys() []string { return []string{"traceparent", "tracestate"} }
