package sdktest

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/timeout"
)

// TestSignals holds that a call leaves its spans, ended, and its metrics with
// an SDK that was given by hand.
func TestSignals(t *testing.T) {
	recorder := tracetest.NewSpanRecorder()
	reader := metric.NewManualReader()
	stack := redoubt.Stack{
		redoubt.Telemetry{
			Name:           "billing",
			TracerProvider: trace.NewTracerProvider(trace.WithSpanProcessor(recorder)),
			MeterProvider:  metric.NewMeterProvider(metric.WithReader(reader)),
		},
		timeout.Limit(time.Minute),
	}

	errDown := errors.New("down")
	_, err := redoubt.Do(t.Context(), stack, func(context.Context) (int, error) { return 0, errDown })
	if !errors.Is(err, errDown) {
		t.Errorf("err = %v, want %v", err, errDown)
	}

	var spans []string
	for _, span := range recorder.Ended() {
		spans = append(spans, span.Name())
		if got := span.Status().Code; got != codes.Error {
			t.Errorf("span %q has status %v, want %v", span.Name(), got, codes.Error)
		}
	}
	if want := []string{"attempt billing", "redoubt billing"}; !slices.Equal(spans, want) {
		t.Errorf("spans ended: %q, want %q", spans, want)
	}
	if started := len(recorder.Started()); started != len(spans) {
		t.Errorf("%d spans started, %d ended", started, len(spans))
	}

	var data metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	var metrics []string
	for _, scope := range data.ScopeMetrics {
		for _, m := range scope.Metrics {
			metrics = append(metrics, m.Name)
		}
	}
	for _, want := range []string{"redoubt.call.duration", "redoubt.attempt.duration"} {
		if !slices.Contains(metrics, want) {
			t.Errorf("no metric %s among %q", want, metrics)
		}
	}
}
