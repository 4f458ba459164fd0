package telemetry

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"
)

// Providers that do nothing but count as ones that record, since their types are
// not OpenTelemetry's.
type (
	tracerProvider struct{ tracenoop.TracerProvider }
	meterProvider  struct{ metricnoop.MeterProvider }

	// uncomparable panics under ==, by its type.
	uncomparable struct {
		tracenoop.TracerProvider
		_ []string
	}
	// secretly panics under ==, though its type may be compared.
	secretly struct {
		tracenoop.TracerProvider
		field any
	}
)

func TestScopeIsBuiltOnce(t *testing.T) {
	tracer, meter := new(tracerProvider), new(meterProvider)
	pairs := []Providers{
		{Tracer: tracer},
		{Meter: meter},
		{Tracer: tracer, Meter: meter},
		{Tracer: tracerProvider{}, Meter: meterProvider{}},
		{Tracer: secretly{field: "comparable"}},
	}
	seen := map[*scope]bool{}
	for _, p := range pairs {
		s := scopeOf(p)
		if s == nil {
			t.Fatalf("scopeOf(%T, %T) = nil", p.Tracer, p.Meter)
		}
		if got := (s.tracer != nil); got != (p.Tracer != nil) {
			t.Errorf("scopeOf(%T, %T) has a tracer: %t", p.Tracer, p.Meter, got)
		}
		if got := (s.metrics != nil); got != (p.Meter != nil) {
			t.Errorf("scopeOf(%T, %T) has metrics: %t", p.Tracer, p.Meter, got)
		}
		if again := scopeOf(p); again != s {
			t.Errorf("scopeOf(%T, %T) was built twice", p.Tracer, p.Meter)
		}
		seen[s] = true
	}
	if len(seen) != len(pairs) {
		t.Errorf("%d scopes for %d pairs", len(seen), len(pairs))
	}
}

func TestScopesAreBounded(t *testing.T) {
	for i := range 10 * maxExplicit {
		if s := scopeOf(Providers{Tracer: secretly{field: i}}); s == nil {
			t.Fatal("scopeOf returned nil")
		}
		if n := len(explicit.scopes); n > maxExplicit {
			t.Fatalf("%d scopes are kept, want at most %d", n, maxExplicit)
		}
	}
}

func TestUncomparableProviders(t *testing.T) {
	for _, tracer := range []trace.TracerProvider{
		uncomparable{},
		secretly{field: []string{}},
		secretly{field: secretly{field: func() {}}},
	} {
		p := Providers{Tracer: tracer}
		for range 2 {
			if scopeOf(p) == nil {
				t.Errorf("scopeOf(%#v) = nil, want a scope", tracer)
			}
			ctx, call := Start(t.Context(), p, "billing")
			_, attempt := call.Attempt(ctx)
			attempt.End(ctx, nil, nil)
			call.End(ctx, nil, nil)
		}
	}
}

func TestUncomparableGlobalProvider(t *testing.T) {
	before := otel.GetTracerProvider()
	defer otel.SetTracerProvider(before)
	for _, p := range []trace.TracerProvider{uncomparable{}, secretly{field: []string{}}, tracerProvider{}, uncomparable{}} {
		otel.SetTracerProvider(p)
		for range 2 {
			if scopeOf(Providers{}) == nil {
				t.Errorf("scopeOf with the global %T = nil, want a scope", p)
			}
		}
	}
}

func TestRecords(t *testing.T) {
	tests := []struct {
		provider any
		want     bool
	}{
		{nil, false},
		{otel.GetMeterProvider(), false}, // the placeholder
		{tracenoop.NewTracerProvider(), false},
		{new(tracenoop.TracerProvider), false},
		{metricnoop.NewMeterProvider(), false},
		{tracerProvider{}, true},
		{new(meterProvider), true},
		{(*tracerProvider)(nil), true}, // the program's mistake, not ours to hide
		{struct{ trace.TracerProvider }{}, true},
	}
	for _, tt := range tests {
		if got := records(tt.provider); got != tt.want {
			t.Errorf("records(%T) = %t, want %t", tt.provider, got, tt.want)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	for _, p := range []Providers{
		{},
		{Tracer: tracenoop.NewTracerProvider()},
		{Meter: metricnoop.NewMeterProvider()},
		{Tracer: tracenoop.NewTracerProvider(), Meter: metricnoop.NewMeterProvider()},
	} {
		if Recording(p) {
			t.Errorf("Recording(%T, %T) = true, want false", p.Tracer, p.Meter)
		}
		ctx := t.Context()
		inside, call := Start(ctx, p, "billing")
		if inside != ctx || call != nil {
			t.Errorf("Start(%T, %T) began a call", p.Tracer, p.Meter)
		}
	}
}

// TestNil holds that whoever got a nil *Call can go on as if it were one.
func TestNil(t *testing.T) {
	var call *Call
	ctx, attempt := call.Attempt(t.Context())
	if ctx != t.Context() || attempt != nil {
		t.Errorf("Attempt = %v, %v, want the same context and nil", ctx, attempt)
	}
	attempt.End(ctx, errors.New("down"), nil)
	call.End(ctx, errors.New("down"), nil)

	// The signals have no use for a call either.
	Reject(ctx, Rejection{Layer: "retry", Reason: "budget"})
	Retried(ctx, errors.New("down"), time.Second, "backoff")
	Stopped(ctx, "attempts")
	TimedOut(ctx, time.Second)
	Transitioned(ctx, Transition{Name: "billing"})
	Log(ctx, nil, 0, "nothing", LastAttempt(ctx), nil)
	if Active(ctx) {
		t.Error("Active = true, want false")
	}
	if got := SpanOf(ctx).TraceID(); got != "" {
		t.Errorf("TraceID = %q, want none", got)
	}
}

// TestActive holds that an attempt hides the call that it is part of.
func TestActive(t *testing.T) {
	inside, call := Start(t.Context(), Providers{Tracer: tracerProvider{}}, "billing")
	outside, attempt := call.Attempt(inside)
	within, second := Start(outside, Providers{Tracer: tracerProvider{}}, "ledger")
	check := func(where string, ctx context.Context, want *Call) {
		t.Helper()
		if got := fromContext(ctx); got != want {
			t.Errorf("%s: call %p, want %p", where, got, want)
		}
	}
	check("before", t.Context(), nil)
	check("in the layers", inside, call)
	check("in the attempt", outside, nil)
	check("in the call within the attempt", within, second)
	second.End(within, nil, nil)
	attempt.End(outside, nil, nil)
	call.End(inside, nil, nil)
}

// TestNamesAreBounded holds that calls named after users' data fill no memory.
func TestNamesAreBounded(t *testing.T) {
	defer func(known map[string]*named) { names.known = known }(names.known)
	names.known = nil
	for i := range 2 * maxNames {
		name := fmt.Sprint("account ", i)
		if got := namedOf(name).name; got != name {
			t.Fatalf("namedOf(%q) is about %q", name, got)
		}
	}
	if n := len(names.known); n != maxNames {
		t.Errorf("%d names are kept, want %d", n, maxNames)
	}
	// A name that comes late is kept too: it may be the one that matters.
	if a, b := namedOf("billing"), namedOf("billing"); a != b {
		t.Error("a name that is kept was made twice")
	}
	if got, want := namedOf("a\xff").callSpan, "redoubt a?"; got != want {
		t.Errorf("the span of a name that is not UTF-8 is %q, want %q", got, want)
	}
}

// An instrument that can't be made is replaced by one that does nothing.
type stubborn struct{ metricnoop.MeterProvider }

func (stubborn) Meter(string, ...metric.MeterOption) metric.Meter { return stubbornMeter{} }

type stubbornMeter struct{ metricnoop.Meter }

var errStubborn = errors.New("no instruments")

func (stubbornMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return nil, errStubborn
}

func (stubbornMeter) Int64Histogram(string, ...metric.Int64HistogramOption) (metric.Int64Histogram, error) {
	return nil, errStubborn
}

func (stubbornMeter) Float64Histogram(string, ...metric.Float64HistogramOption) (metric.Float64Histogram, error) {
	return nil, errStubborn
}

func TestInstrumentsThatFail(t *testing.T) {
	told := 0
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) { told++ }))
	defer otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	ctx, call := Start(t.Context(), Providers{Meter: stubborn{}}, "billing")
	Retried(ctx, errors.New("down"), time.Second, "backoff")
	Stopped(ctx, "attempts")
	TimedOut(ctx, time.Second)
	Reject(ctx, Rejection{Layer: "retry", Reason: "budget"})
	Transitioned(ctx, Transition{Name: "billing"})
	attemptCtx, attempt := call.Attempt(ctx)
	attempt.End(attemptCtx, nil, nil)
	call.End(ctx, errors.New("down"), nil)
	if told == 0 {
		t.Error("OpenTelemetry's error handler was not told")
	}
}
