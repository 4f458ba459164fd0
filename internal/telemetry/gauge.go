package telemetry

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"sync"
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
// Breakers of the same name are told of as one group.
//
// The SDK collects with a lock held, so report must not use it.
func ObserveBreaker[B any](b *B, report func(*B) BreakerReport) {
	pointer := weak.Make(b)
	observe(b, func(s *snapshot) {
		if b := pointer.Value(); b != nil {
			s.addBreaker(report(b))
		}
	})
}

// ObserveBudget has OpenTelemetry ask balance about b at every collection, as
// ObserveBreaker does. Of budgets of the same name the lowest is told.
func ObserveBudget[B any](b *B, name string, balance func(*B) float64) {
	pointer := weak.Make(b)
	observe(b, func(s *snapshot) {
		if b := pointer.Value(); b != nil {
			s.addBudget(name, balance(b))
		}
	})
}

// LimitReport is what a limiter, or a group of limiters under one name, has to
// say when it is asked.
type LimitReport struct {
	Name     string
	Limit    int64 // the lowest among the limiters
	InFlight int64 // calls under way at all of them
	Waiting  int64 // calls that wait at any of them
}

// ObserveLimit has OpenTelemetry ask report about l at every collection, as
// ObserveBreaker does. Limiters of the same name are told of as one group.
func ObserveLimit[L any](l *L, report func(*L) LimitReport) {
	pointer := weak.Make(l)
	observe(l, func(s *snapshot) {
		if l := pointer.Value(); l != nil {
			s.addLimit(report(l))
		}
	})
}

// observed is all that is asked at a collection.
//
// It hangs on a single callback that is never unregistered: to unregister one
// per breaker, when the garbage collector finds it, can hang the program for
// good if it installs its SDK at that moment (OpenTelemetry 1.47 takes the locks
// of registration and meter in either order).
var observed struct {
	sync.Mutex
	asks     map[uint64]func(*snapshot)
	last     uint64 // key of asks
	provider metric.MeterProvider
}

func observe[T any](subject *T, ask func(*snapshot)) {
	observed.Lock()
	if observed.asks == nil {
		observed.asks = map[uint64]func(*snapshot){}
	}
	observed.last++
	id := observed.last
	observed.asks[id] = ask
	observed.Unlock()

	runtime.AddCleanup(subject, forget, id)
	hang()
}

func forget(id uint64) {
	observed.Lock()
	defer observed.Unlock()
	delete(observed.asks, id)
}

// hang registers collect with the global provider, which even before an SDK is
// installed will hand it on: breakers are commonly made earlier than that. A
// provider that comes after another, as in a test suite, gets it too; to the SDK
// that had it from its predecessor, it tells the same twice.
func hang() {
	provider := otel.GetMeterProvider()
	observed.Lock()
	done := observed.provider != nil && (!canCompareValue(provider) || observed.provider == provider)
	observed.provider = provider
	observed.Unlock()
	if done {
		return
	}
	// Without our lock, which collect takes while the SDK holds its own.
	if err := register(provider.Meter(Scope)); err != nil {
		otel.Handle(err)
	}
}

func register(meter metric.Meter) error {
	state, err := meter.Int64ObservableGauge(metricBreakerState, metric.WithUnit("{circuit}"),
		metric.WithDescription("Circuits in each state."))
	if err != nil {
		return err
	}
	ratio, err := meter.Float64ObservableGauge(metricFailureRatio, metric.WithUnit("1"),
		metric.WithDescription("Share of failures among the calls of the window."))
	if err != nil {
		return err
	}
	balance, err := meter.Float64ObservableGauge(metricBudgetBalance, metric.WithUnit("{retry}"),
		metric.WithDescription("Retries that the budget would grant at once."))
	if err != nil {
		return err
	}
	limits, err := newLimitGauges(meter)
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := takeSnapshot()
		for _, r := range s.breakers {
			name := attribute.String(keyLayerName, r.Name)
			o.ObserveInt64(state, r.Closed, set(name, attribute.String(keyBreakerState, "closed")))
			o.ObserveInt64(state, r.Open, set(name, attribute.String(keyBreakerState, "open")))
			o.ObserveInt64(state, r.HalfOpen, set(name, attribute.String(keyBreakerState, "half-open")))
			o.ObserveFloat64(ratio, r.FailureRatio, set(name))
		}
		for name, value := range s.budgets {
			o.ObserveFloat64(balance, value, set(attribute.String(keyLayerName, name)))
		}
		for _, r := range s.limits {
			limits.observe(o, r)
		}
		return nil
	}, state, ratio, balance, limits.current, limits.inFlight, limits.waiting)
	return err
}

type limitGauges struct{ current, inFlight, waiting metric.Int64ObservableGauge }

func newLimitGauges(meter metric.Meter) (limitGauges, error) {
	var g limitGauges
	for _, i := range []struct {
		gauge             *metric.Int64ObservableGauge
		name, description string
	}{
		{&g.current, metricLimitCurrent, "Calls that may run at once."},
		{&g.inFlight, metricLimitInFlight, "Calls that a limit lets run now."},
		{&g.waiting, metricLimitWaiting, "Calls that wait for their turn at a limit."},
	} {
		var err error
		*i.gauge, err = meter.Int64ObservableGauge(i.name, metric.WithUnit("{call}"), metric.WithDescription(i.description))
		if err != nil {
			return g, err
		}
	}
	return g, nil
}

func (g limitGauges) observe(o metric.Observer, r LimitReport) {
	name := set(attribute.String(keyLayerName, r.Name))
	o.ObserveInt64(g.current, r.Limit, name)
	o.ObserveInt64(g.inFlight, r.InFlight, name)
	o.ObserveInt64(g.waiting, r.Waiting, name)
}

// A snapshot is what all that is observed has to say at one moment, by name.
type snapshot struct {
	breakers map[string]BreakerReport
	budgets  map[string]float64
	limits   map[string]LimitReport
}

func takeSnapshot() *snapshot {
	observed.Lock()
	asks := slices.Collect(maps.Values(observed.asks))
	observed.Unlock()
	s := &snapshot{breakers: map[string]BreakerReport{}, budgets: map[string]float64{}, limits: map[string]LimitReport{}}
	for _, ask := range asks {
		ask(s)
	}
	return s
}

func (s *snapshot) addBreaker(r BreakerReport) {
	r.Name = valid(r.Name)
	others := s.breakers[r.Name]
	r.Closed += others.Closed
	r.Open += others.Open
	r.HalfOpen += others.HalfOpen
	r.FailureRatio = max(r.FailureRatio, others.FailureRatio)
	s.breakers[r.Name] = r
}

func (s *snapshot) addBudget(name string, balance float64) {
	name = valid(name)
	if other, ok := s.budgets[name]; ok {
		balance = min(balance, other)
	}
	s.budgets[name] = balance
}

func (s *snapshot) addLimit(r LimitReport) {
	r.Name = valid(r.Name)
	if others, ok := s.limits[r.Name]; ok {
		r.Limit = min(r.Limit, others.Limit)
		r.InFlight += others.InFlight
		r.Waiting += others.Waiting
	}
	s.limits[r.Name] = r
}
