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
	now := Providers{Tracer: otel.GetTracerProvider(), Meter: otel.GetMeterProvider()}
	if built := global.Load(); built != nil && built.from == now {
		return built.scope
	}
	s := newScope(now)
	if comparable(now) {
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
	if p.Tracer == nil {
		p.Tracer = otel.GetTracerProvider()
	}
	if p.Meter == nil {
		p.Meter = otel.GetMeterProvider()
	}
	if !comparable(p) {
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

// comparable reports whether the providers may be compared with ==. A provider
// is an interface, so that a struct that holds a slice would panic.
func comparable(p Providers) bool {
	return reflect.TypeOf(p.Tracer).Comparable() && reflect.TypeOf(p.Meter).Comparable()
}

// records reports whether a provider may record anything: OpenTelemetry's own
// placeholder, which stands in until an SDK is installed, and its no-op
// providers never do. Their types are unexported or many, hence the look at the
// package.
func records(provider any) bool {
	t := reflect.TypeOf(provider)
	if t == nil {
		return false
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	path := t.PkgPath()
	return path != "go.opentelemetry.io/otel/internal/global" && !strings.HasSuffix(path, "/noop")
}
