package telemetry

import (
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// durationBuckets are the bucket boundaries that the HTTP conventions advise
// for http.client.request.duration, in seconds.
var durationBuckets = []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}

type instruments struct {
	callDuration    metric.Float64Histogram
	attemptDuration metric.Float64Histogram
	calls           metric.Int64Counter
	attempts        metric.Int64Histogram
	retryDelay      metric.Float64Histogram
	stops           metric.Int64Counter
	timeouts        metric.Int64Counter
	rejections      metric.Int64Counter
	unenforced      metric.Int64Counter
	transitions     metric.Int64Counter
	failovers       metric.Int64Counter
	sendDuration    metric.Float64Histogram
	limitWait       metric.Float64Histogram
	hedges          metric.Int64Counter
}

func newInstruments(meter metric.Meter) *instruments {
	m := new(instruments)
	seconds := []metric.Float64HistogramOption{metric.WithUnit("s"), metric.WithExplicitBucketBoundaries(durationBuckets...)}
	m.callDuration = float64Histogram(meter, metricCallDuration, "Duration of a logical call, waits included.", seconds)
	m.attemptDuration = float64Histogram(meter, metricAttemptDuration, "Duration of one attempt of a call.", seconds)
	m.retryDelay = float64Histogram(meter, metricRetryDelay, "Wait before a further attempt.", seconds)
	m.sendDuration = float64Histogram(meter, metricSendDuration, "Duration of HTTP client requests.", seconds)
	m.limitWait = float64Histogram(meter, metricLimitWait, "Time that a call waited for its turn at a limit.", seconds)
	m.calls = int64Counter(meter, metricCalls, "{call}", "Logical calls, by outcome and by whether they were retried.")
	m.stops = int64Counter(meter, metricStops, "{call}", "Calls that the retry layer did not repeat, or not again, by reason.")
	m.timeouts = int64Counter(meter, metricTimeouts, "{call}", "Calls that a time limit cut short.")
	m.rejections = int64Counter(meter, metricRejections, "{rejection}", "Calls and retries that a layer refused.")
	m.unenforced = int64Counter(meter, metricUnenforced, "{rejection}", "Calls that a layer in shadow mode would have refused.")
	m.transitions = int64Counter(meter, metricTransitions, "{transition}", "State changes of circuit breakers.")
	m.hedges = int64Counter(meter, metricHedges, "{hedge}", "Hedges, by what became of them.")
	m.failovers = int64Counter(meter, metricFailovers, "{failover}", "Calls that went on with another endpoint, by the reason for leaving the one before.")
	var err error
	m.attempts, err = meter.Int64Histogram(metricAttempts, metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts made for one logical call."),
		metric.WithExplicitBucketBoundaries(0, 1, 2, 3, 4, 5, 8, 13))
	if err != nil {
		otel.Handle(err)
		m.attempts = noop.Int64Histogram{}
	}
	return m
}

func float64Histogram(meter metric.Meter, name, description string, opts []metric.Float64HistogramOption) metric.Float64Histogram {
	h, err := meter.Float64Histogram(name, append(slices.Clip(opts), metric.WithDescription(description))...)
	if err != nil {
		otel.Handle(err)
		return noop.Float64Histogram{}
	}
	return h
}

func int64Counter(meter metric.Meter, name, unit, description string) metric.Int64Counter {
	c, err := meter.Int64Counter(name, metric.WithUnit(unit), metric.WithDescription(description))
	if err != nil {
		otel.Handle(err)
		return noop.Int64Counter{}
	}
	return c
}

// failureSet is the attribute set of a call or attempt that did not succeed.
func failureSet(name, outcome, errorType string, more ...attribute.KeyValue) metric.MeasurementOption {
	attrs := append(more, attribute.String(keyName, name), attribute.String(keyOutcome, outcome))
	if errorType != "" {
		attrs = append(attrs, semconv.ErrorTypeKey.String(errorType))
	}
	return set(attrs...)
}
