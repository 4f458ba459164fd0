package sdktest

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/telemetry"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// never is an SDK whose sampler drops every span.
func never() *sdktrace.TracerProvider {
	return sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample()))
}

func allocs(t *testing.T, layer redoubt.Layer) float64 {
	t.Helper()
	ctx := context.Background()
	fn := func(context.Context) (int, error) { return 1, nil }
	return testing.AllocsPerRun(1000, func() { redoubt.Do(ctx, layer, fn) })
}

// byHand is redoubt.Do without telemetry: the closure and the result are what
// every edge with typed results allocates.
//
//go:noinline
func byHand[T any](ctx context.Context, layer redoubt.Layer, fn func(context.Context) (T, error)) (T, error) {
	var result T
	err := layer.Do(ctx, func(ctx context.Context) error {
		var err error
		result, err = fn(ctx)
		return err
	})
	return result, err
}

// bare is a layer that does nothing.
type bare struct{}

func (bare) Do(ctx context.Context, call func(context.Context) error) error { return call(ctx) }

// TestNoCost holds that telemetry allocates nothing as long as nobody listens.
func TestNoCost(t *testing.T) {
	fn := func(context.Context) (int, error) { return 1, nil }
	want := testing.AllocsPerRun(1000, func() { byHand(context.Background(), bare{}, fn) })
	if got := allocs(t, bare{}); got != want {
		t.Errorf("redoubt.Do allocates %v times, by hand it is %v", got, want)
	}

	// A stack of layers has closures of its own; the Telemetry is one layer.
	without := allocs(t, redoubt.Stack{bare{}, bare{}})
	silent := map[string]redoubt.Telemetry{
		"no SDK":           {Name: "billing"},
		"no-op providers":  {Name: "billing", TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()},
		"no-op by pointer": {Name: "billing", TracerProvider: new(tracenoop.TracerProvider), MeterProvider: new(metricnoop.MeterProvider)},
	}
	for name, layer := range silent {
		if telemetry.Recording(telemetry.Providers{Tracer: layer.TracerProvider, Meter: layer.MeterProvider}) {
			t.Errorf("%s: counts as somebody who listens", name)
		}
		if got := allocs(t, redoubt.Stack{layer, bare{}}); got != without {
			t.Errorf("%s: %v allocations, want %v as without telemetry", name, got, without)
		}
	}
}

// TestRefusalCosts holds that a refusal allocates nothing as long as nobody
// listens.
func TestRefusalCosts(t *testing.T) {
	br := breaker.New(breaker.Config{Name: "billing"})
	br.ForceOpen()
	ctx := context.Background()
	if got := testing.AllocsPerRun(1000, func() { br.Do(ctx, succeed) }); got != 0 {
		t.Errorf("%v allocations, want 0", got)
	}
}

// TestUnsampled holds what a call costs with an SDK that samples no span: what
// the SDK itself allocates for two spans, and three for the call, its attempt and
// the closure that begins attempts. Metrics add nothing to that, nor do layers.
func TestUnsampled(t *testing.T) {
	const ours = 3
	tp := never()
	tracer := tp.Tracer("billing")
	options := []trace.SpanStartOption{
		trace.WithSpanKind(trace.SpanKindInternal),
		trace.WithAttributes(attribute.String("name", "billing")),
	}
	ofSDK := 2 * testing.AllocsPerRun(1000, func() {
		_, span := tracer.Start(context.Background(), "call", options...)
		span.End()
	})

	br := breaker.New(breaker.Config{Name: "billing"})
	stacks := map[string]redoubt.Stack{
		"bare":  {bare{}},
		"whole": {timeout.Limit(time.Minute), retry.Policy{}, br, timeout.Limit(time.Second)},
	}
	s := newSDK()
	meters := map[string]metric.MeterProvider{"spans": metricnoop.NewMeterProvider(), "spans and metrics": s.meter}
	for name, stack := range stacks {
		silent := redoubt.Telemetry{Name: "billing", TracerProvider: tracenoop.NewTracerProvider(), MeterProvider: metricnoop.NewMeterProvider()}
		without := allocs(t, append(redoubt.Stack{silent}, stack...))
		for what, meter := range meters {
			recording := redoubt.Telemetry{Name: "billing", TracerProvider: tp, MeterProvider: meter}
			got := allocs(t, append(redoubt.Stack{recording}, stack...))
			t.Logf("%s stack, %s: %v allocations, %v without telemetry, %v of the SDK", name, what, got, without, ofSDK)
			if most := without + ofSDK + ours; got > most {
				t.Errorf("%s stack, %s: %v allocations, want at most %v", name, what, got, most)
			}
		}
	}
}

// TestUnsampledText holds that nobody writes the text of an error for a span
// that is not recorded.
func TestUnsampledText(t *testing.T) {
	err := &told{}
	telemetry := redoubt.Telemetry{Name: "billing", TracerProvider: never(), MeterProvider: metricnoop.NewMeterProvider()}
	budget := retry.NewBudget(retry.BudgetConfig{Burst: 1, MinPerSecond: retry.NoFloor})
	stack := redoubt.Stack{
		telemetry,
		retry.Policy{Backoff: waits(0, 0), Budget: budget},
		breaker.New(breaker.Config{Name: "billing", Consecutive: 1}),
		timeout.Limit(time.Second),
	}
	do(t.Context(), stack, func(context.Context) error { return err })
	do(t.Context(), stack, succeed)
	if err.times != 0 {
		t.Errorf("the text was asked for %d times, want never", err.times)
	}
}

type told struct{ times int }

func (e *told) Error() string {
	e.times++
	return "told"
}
