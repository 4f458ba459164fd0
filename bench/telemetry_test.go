package bench

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	nometrics "go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	notraces "go.opentelemetry.io/otel/trace/noop"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/telemetry"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

func BenchmarkTelemetry(b *testing.B) { run(b, telemetryRows()) }

// telemetryRows compare our two spans for a call and its attempt, and our
// metrics, with the same written by hand as documentation shows it; and, with
// no SDK, the stack with one that does the same but knows nothing of telemetry.
func telemetryRows() []row {
	sampled := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()))
	sampled.RegisterSpanProcessor(nowhere{})
	unsampled := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
	unsampled.RegisterSpanProcessor(nowhere{})
	metrics := sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader()))

	compare := func(sdk string, tracer trace.TracerProvider, meter metric.MeterProvider) row {
		return row{bench: "Telemetry", keys: "sdk=" + sdk, callee: deaf, subjects: []subject{
			{impl: "redoubt", wrap: redoubtTelemetry(tracer, meter)},
			{impl: "naive", wrap: naiveTelemetry(tracer, meter)},
		}}
	}
	return []row{
		{bench: "Telemetry", keys: "sdk=none", callee: deaf, subjects: []subject{
			{impl: "redoubt", wrap: redoubtStack},
			{impl: "without", wrap: plainStack},
			{impl: "check", wrap: checkOnly},
			{impl: "bare", wrap: func(call func(context.Context) error) func(context.Context) error { return call }},
		}},
		compare("unsampled", unsampled, nometrics.NewMeterProvider()),
		compare("sampled", sampled, nometrics.NewMeterProvider()),
		compare("metrics", notraces.NewTracerProvider(), metrics),
	}
}

// nowhere makes an SDK record, and sends nothing.
type nowhere struct{}

func (nowhere) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (nowhere) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (nowhere) Shutdown(context.Context) error                  { return nil }
func (nowhere) ForceFlush(context.Context) error                { return nil }

// plain is redoubt.Stack without telemetry: it checks what that checks, and asks
// an open breaker first, too.
type plain []redoubt.Layer

func (p plain) Do(ctx context.Context, call func(context.Context) error) error {
	if ctx == nil || call == nil {
		return errAny
	}
	for _, layer := range p {
		switch l := layer.(type) {
		case nil:
			return errAny
		case redoubt.LayerFunc:
			if l == nil {
				return errAny
			}
		case *breaker.Breaker:
			if err := l.Refusal(); err != nil {
				return err
			}
		}
	}
	return p.do(ctx, call)
}

func (p plain) do(ctx context.Context, call func(context.Context) error) error {
	if len(p) == 1 {
		return p[0].Do(ctx, call)
	}
	inside := func(ctx context.Context) error { return p[1:].do(ctx, call) }
	switch layer := p[0].(type) {
	case timeout.Limit:
		return layer.Do(ctx, inside)
	case retry.Policy:
		return layer.Do(ctx, inside)
	default:
		panic("not in the stack that is measured")
	}
}

func plainStack(call func(context.Context) error) func(context.Context) error {
	stack := plain(newStack())
	return func(ctx context.Context) error { return stack.Do(ctx, call) }
}

// checkOnly does all that a stack does for telemetry while there is no SDK.
func checkOnly(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if telemetry.RecordingGlobally() {
			return errAny
		}
		return call(ctx)
	}
}

func redoubtTelemetry(tracer trace.TracerProvider, meter metric.MeterProvider) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		stack := redoubt.Stack{redoubt.Telemetry{Name: "billing", TracerProvider: tracer, MeterProvider: meter}}
		return func(ctx context.Context) error { return stack.Do(ctx, call) }
	}
}

// naiveTelemetry does what redoubt.Telemetry does as one would by hand.
func naiveTelemetry(tracers trace.TracerProvider, meters metric.MeterProvider) wrapper {
	const scope = "github.com/redoubt-go/redoubt/bench"
	return func(call func(context.Context) error) func(context.Context) error {
		meter := meters.Meter(scope)
		callDuration, _ := meter.Float64Histogram("call.duration")
		attemptDuration, _ := meter.Float64Histogram("attempt.duration")
		calls, _ := meter.Int64Counter("calls")
		attempts, _ := meter.Int64Histogram("attempts")
		name := attribute.String("redoubt.name", "billing")

		attempt := func(ctx context.Context, ordinal int) error {
			ctx, span := tracers.Tracer(scope).Start(ctx, "attempt billing",
				trace.WithSpanKind(trace.SpanKindInternal),
				trace.WithAttributes(name, attribute.Int("redoubt.attempt", ordinal)))
			defer span.End()
			start := time.Now()
			err := call(ctx)
			attemptDuration.Record(ctx, time.Since(start).Seconds(),
				metric.WithAttributes(name, attribute.String("redoubt.outcome", outcome(err))))
			if err != nil {
				span.SetStatus(codes.Error, err.Error())
			}
			return err
		}
		return func(ctx context.Context) error {
			ctx, span := tracers.Tracer(scope).Start(ctx, "redoubt billing",
				trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(name))
			defer span.End()
			start := time.Now()
			err := attempt(ctx, 1)
			result := attribute.String("redoubt.outcome", outcome(err))
			callDuration.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(name, result))
			attempts.Record(ctx, 1, metric.WithAttributes(name))
			calls.Add(ctx, 1, metric.WithAttributes(name, result, attribute.Bool("redoubt.retried", false)))
			span.SetAttributes(result, attribute.Int("redoubt.attempts", 1))
			if err != nil {
				span.SetStatus(codes.Error, err.Error())
			}
			return err
		}
	}
}

func outcome(err error) string {
	if err != nil {
		return "failure"
	}
	return "success"
}
