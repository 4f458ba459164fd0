package telemetry

import (
	"reflect"
	"strings"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Providers say where signals go. A nil field stands for OpenTelemetry's global
// provider.
type Providers struct {
	Tracer trace.TracerProvider
	Meter  metric.MeterProvider
}

// A scope is what was made, once, of a pair of providers.
type scope struct {
	tracer  trace.Tracer // nil if nobody records spans
	metrics *instruments // nil if nobody records metrics
}

type builtScope struct {
	from  Providers
	scope *scope // nil if nobody records anything
}

// global is the scope of the global providers as last seen. They can change
// once, when the program installs its SDK.
var global atomic.Pointer[builtScope]

// scopeOf returns the scope of p, or nil if nobody records anything.
func scopeOf(p Providers) *scope {
	if p.Tracer != nil || p.Meter != nil {
		return explicitScope(p)
	}
	return globalScope()
}

func globalScope() *scope {
	tracer, meter := otel.GetTracerProvider(), otel.GetMeterProvider()
	if built := global.Load(); built != nil && built.from.Tracer == tracer && built.from.Meter == meter {
		return built.scope
	}
	return newGlobalScope(Providers{Tracer: tracer, Meter: meter})
}

func newGlobalScope(now Providers) *scope {
	s := newScope(now)
	if canCompare(now) {
		global.Store(&builtScope{from: now, scope: s})
	}
	return s
}

// maxExplicit bounds the scopes remembered for providers given by hand. A
// program has one pair; a test suite may have many, and must not keep them all.
const maxExplicit = 64

var explicit struct {
	sync.RWMutex
	scopes map[Providers]*scope
}

func explicitScope(p Providers) *scope {
	if p.Tracer == nil || placeholder(p.Tracer) {
		p.Tracer = otel.GetTracerProvider()
	}
	if p.Meter == nil || placeholder(p.Meter) {
		p.Meter = otel.GetMeterProvider()
	}
	if !records(p.Tracer) {
		p.Tracer = nil
	}
	if !records(p.Meter) {
		p.Meter = nil
	}
	if p.Tracer == nil && p.Meter == nil {
		return nil
	}
	if !canCompare(p) {
		return newScope(p)
	}
	explicit.RLock()
	s, ok := explicit.scopes[p]
	explicit.RUnlock()
	if ok {
		return s
	}
	s = newScope(p)
	explicit.Lock()
	defer explicit.Unlock()
	if explicit.scopes == nil || len(explicit.scopes) >= maxExplicit {
		explicit.scopes = make(map[Providers]*scope)
	}
	explicit.scopes[p] = s
	return s
}

func newScope(p Providers) *scope {
	var s scope
	if records(p.Tracer) {
		s.tracer = p.Tracer.Tracer(Scope)
	}
	if records(p.Meter) {
		s.metrics = newInstruments(p.Meter.Meter(Scope))
	}
	if s.tracer == nil && s.metrics == nil {
		return nil
	}
	return &s
}

// canCompare reports whether the providers may be compared with ==. A provider
// is an interface, so that a struct that holds a slice would panic, and so would
// one that holds an interface that does. Hence the look at the values, not only
// at their types.
func canCompare(p Providers) bool {
	return canCompareValue(p.Tracer) && canCompareValue(p.Meter)
}

func canCompareValue(provider any) bool {
	v := reflect.ValueOf(provider)
	return !v.IsValid() || v.Kind() == reflect.Pointer || v.Comparable() // which allocates even for a pointer
}

// records reports whether a provider may record anything: OpenTelemetry's own
// placeholder, which stands in until an SDK is installed, and its no-op
// providers never do.
func records(provider any) bool {
	return provider != nil && !placeholder(provider) && !strings.HasSuffix(packageOf(provider), "/noop")
}

// placeholder reports whether a provider is OpenTelemetry's stand-in for the SDK
// to come. A program that asks for the global provider before it installs the
// SDK gets it, and may go on to use it afterwards.
func placeholder(provider any) bool {
	return packageOf(provider) == "go.opentelemetry.io/otel/internal/global"
}

// packageOf returns the path of the package that has provider's type. The types
// in question are unexported or many.
func packageOf(provider any) string {
	t := reflect.TypeOf(provider)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.PkgPath()
}
