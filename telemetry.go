package redoubt

import (
	"context"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// Telemetry is a layer that names calls and says where their spans and metrics
// go. It belongs first in a [Stack]: it records what is inside of it, and
// changes nothing inside of a call that is recorded already.
//
// Without it, calls are named after the first layer that has a name and go to
// OpenTelemetry's global providers, which record nothing until the program
// installs an SDK. The zero Telemetry does the same. It has no memory and is safe
// for concurrent use.
//
// The gauges of breakers and budgets, which outlive calls, always go to the
// global MeterProvider, and so do the state changes of breakers that no call
// brought about, such as a forced one.
type Telemetry struct {
	// Name is the name of the calls. Use a fixed string, not one made of
	// users' data.
	Name string

	// TracerProvider makes the tracer. Nil means the global one.
	TracerProvider trace.TracerProvider

	// MeterProvider makes the meter. Nil means the global one.
	MeterProvider metric.MeterProvider
}

// Do runs call as one logical call, or as part of the one that it is in.
func (t Telemetry) Do(ctx context.Context, call func(context.Context) error) error {
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	if t.applies(ctx) {
		return t.record(ctx, t, call)
	}
	return call(ctx)
}

// applies reports whether a call that begins with ctx is to be recorded.
func (t Telemetry) applies(ctx context.Context) bool {
	return telemetry.Recording(t.providers()) && !telemetry.Active(ctx)
}

// Explain returns the [Facts] of t, for the functions [Explain] and [Check].
func (t Telemetry) Explain() explain.Facts {
	return explain.Facts{Name: t.Name, Does: "names the call in telemetry"}
}

func (t Telemetry) providers() telemetry.Providers {
	return telemetry.Providers{Tracer: t.TracerProvider, Meter: t.MeterProvider}
}

// record runs call inside of layer as one recorded call, each run of it being an
// attempt.
func (t Telemetry) record(ctx context.Context, layer Layer, call func(context.Context) error) (err error) {
	inside, recorded := telemetry.Start(ctx, t.providers(), nameOf(layer))
	err = errPanicked // what telemetry is told if a panic passes
	defer func() { recorded.End(inside, err, ctx.Err()) }()
	err = through(inside, layer, func(ctx context.Context) error {
		attemptCtx, attempt := recorded.Attempt(ctx)
		err := errPanicked
		defer func() { attempt.End(attemptCtx, err, ctx.Err()) }()
		err = call(attemptCtx)
		return err
	})
	return err
}

// telemetryOf returns the Telemetry that layer begins with.
func telemetryOf(layer Layer) Telemetry {
	switch l := layer.(type) {
	case Telemetry:
		return l
	case Stack:
		return l.telemetry()
	}
	return Telemetry{}
}

// telemetry returns the Telemetry that s begins with.
func (s Stack) telemetry() Telemetry {
	if len(s) > 0 {
		return telemetryOf(s[0])
	}
	return Telemetry{}
}
