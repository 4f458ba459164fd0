package telemetry

import (
	"context"
	"runtime"
	"weak"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// BreakerReport is what a breaker, or a group of breakers under one name, has
// to say when it is asked.
type BreakerReport struct {
	Name                   string
	Closed, Open, HalfOpen int64   // circuits in each state
	FailureRatio           float64 // the highest among the circuits
}

// ObserveBreaker has OpenTelemetry ask report about b at every collection. It
// does not keep b alive: once b is garbage, the question is no longer put.
//
// The instruments are registered with the global provider even before an SDK is
// installed, since breakers are commonly made earlier than that.
func ObserveBreaker[B any](b *B, report func(*B) BreakerReport) {
	meter := otel.GetMeterProvider().Meter(Scope)
	state, err := meter.Int64ObservableGauge(metricBreakerState, metric.WithUnit("{circuit}"),
		metric.WithDescription("Circuits in each state."))
	if err != nil {
		otel.Handle(err)
		return
	}
	ratio, err := meter.Float64ObservableGauge(metricFailureRatio, metric.WithUnit("1"),
		metric.WithDescription("Share of failures among the calls of the window."))
	if err != nil {
		otel.Handle(err)
		return
	}
	observe(b, meter, func(b *B, o metric.Observer) {
		r := report(b)
		name := attribute.String(keyLayerName, r.Name)
		o.ObserveInt64(state, r.Closed, metric.WithAttributes(name, attribute.String(keyBreakerState, "closed")))
		o.ObserveInt64(state, r.Open, metric.WithAttributes(name, attribute.String(keyBreakerState, "open")))
		o.ObserveInt64(state, r.HalfOpen, metric.WithAttributes(name, attribute.String(keyBreakerState, "half-open")))
		o.ObserveFloat64(ratio, r.FailureRatio, metric.WithAttributes(name))
	}, state, ratio)
}

// ObserveBudget has OpenTelemetry ask balance about b at every collection, and
// does not keep b alive.
func ObserveBudget[B any](b *B, name string, balance func(*B) float64) {
	meter := otel.GetMeterProvider().Meter(Scope)
	gauge, err := meter.Float64ObservableGauge(metricBudgetBalance, metric.WithUnit("{retry}"),
		metric.WithDescription("Retries that the budget would grant at once."))
	if err != nil {
		otel.Handle(err)
		return
	}
	opt := metric.WithAttributes(attribute.String(keyLayerName, name))
	observe(b, meter, func(b *B, o metric.Observer) {
		o.ObserveFloat64(gauge, balance(b), opt)
	}, gauge)
}

func observe[T any](subject *T, meter metric.Meter, ask func(*T, metric.Observer), instruments ...metric.Observable) {
	pointer := weak.Make(subject)
	registration, err := meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		if subject := pointer.Value(); subject != nil {
			ask(subject, o)
		}
		return nil
	}, instruments...)
	if err != nil {
		otel.Handle(err)
		return
	}
	runtime.AddCleanup(subject, func(r metric.Registration) {
		if err := r.Unregister(); err != nil {
			otel.Handle(err)
		}
	}, registration)
}
