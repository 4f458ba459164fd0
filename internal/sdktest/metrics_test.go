package sdktest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// TestMetrics holds what is measured, with units and attributes. Gauges are in
// global_test.go.
func TestMetrics(t *testing.T) {
	tests := []struct {
		name string
		run  func(t *testing.T, s *sdk)
		want string
	}{
		{
			name: "success",
			run: func(t *testing.T, s *sdk) {
				stack := redoubt.Stack{s.telemetry("billing"), retry.Policy{}}
				for range 3 {
					do(t.Context(), stack, func(context.Context) error { time.Sleep(time.Second); return nil })
				}
			},
			want: `
				redoubt.attempt.duration s {redoubt.name=billing redoubt.outcome=success} n 3 sum 3
				redoubt.call.duration s {redoubt.name=billing redoubt.outcome=success} n 3 sum 3
				redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=false} sum 3
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 3 sum 3
			`,
		},
		{
			name: "rescued",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{Backoff: waits(time.Second, 0)}},
					script(errDown, unavailable{after: 5 * time.Nanosecond}))
			},
			want: `
				redoubt.attempt.duration s {error.type=503 redoubt.name=billing redoubt.outcome=failure} n 1 sum 0
				redoubt.attempt.duration s {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure} n 1 sum 0
				redoubt.attempt.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 0
				redoubt.call.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 1.000000005
				redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=true} sum 1
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 3
				redoubt.retry.delay s {redoubt.name=billing redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER} n 1 sum 1
				redoubt.retry.delay s {redoubt.name=billing redoubt.retry.delay_source=retry_after redoubt.retry.reason=503} n 1 sum 5e-09
			`,
		},
		{
			name: "attempts used up",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{MaxAttempts: 2, Backoff: waits(time.Second)}},
					script(errDown, unavailable{}))
			},
			want: `
				redoubt.attempt.duration s {error.type=503 redoubt.name=billing redoubt.outcome=failure} n 1 sum 0
				redoubt.attempt.duration s {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure} n 1 sum 0
				redoubt.call.duration s {error.type=503 redoubt.name=billing redoubt.outcome=failure} n 1 sum 1
				redoubt.calls {call} {error.type=503 redoubt.name=billing redoubt.outcome=failure redoubt.retried=true} sum 1
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 2
				redoubt.retry.delay s {redoubt.name=billing redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER} n 1 sum 1
				redoubt.retry.stops {call} {redoubt.name=billing redoubt.retry.stop_reason=attempts} sum 1
			`,
		},
		{
			name: "failed without a retry",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing")}, script(unavailable{}))
			},
			want: `
				redoubt.attempt.duration s {error.type=503 redoubt.name=billing redoubt.outcome=failure} n 1 sum 0
				redoubt.call.duration s {error.type=503 redoubt.name=billing redoubt.outcome=failure} n 1 sum 0
				redoubt.calls {call} {error.type=503 redoubt.name=billing redoubt.outcome=failure redoubt.retried=false} sum 1
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 1
			`,
		},
		{
			name: "cancelled",
			run: func(t *testing.T, s *sdk) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				do(ctx, redoubt.Stack{s.telemetry("billing"), retry.Policy{}}, hang)
			},
			want: `
				redoubt.attempt.duration s {redoubt.name=billing redoubt.outcome=cancelled} n 1 sum 1
				redoubt.call.duration s {redoubt.name=billing redoubt.outcome=cancelled} n 1 sum 1
				redoubt.calls {call} {redoubt.name=billing redoubt.outcome=cancelled redoubt.retried=false} sum 1
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 1
				redoubt.retry.stops {call} {redoubt.name=billing redoubt.retry.stop_reason=cancelled} sum 1
			`,
		},
		{
			name: "timed out",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), timeout.Limit(time.Second)}, hang)
			},
			want: `
				redoubt.attempt.duration s {error.type=timeout redoubt.name=billing redoubt.outcome=failure} n 1 sum 1
				redoubt.call.duration s {error.type=timeout redoubt.name=billing redoubt.outcome=failure} n 1 sum 1
				redoubt.calls {call} {error.type=timeout redoubt.name=billing redoubt.outcome=failure redoubt.retried=false} sum 1
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 1
				redoubt.timeouts {call} {redoubt.name=billing} sum 1
			`,
		},
		{
			name: "budget empty",
			run: func(t *testing.T, s *sdk) {
				budget := retry.NewBudget(retry.BudgetConfig{Burst: 1, MinPerSecond: retry.NoFloor})
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{Backoff: waits(0, 0), Budget: budget}},
					script(errDown, errDown))
			},
			want: `
				redoubt.attempt.duration s {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure} n 2 sum 0
				redoubt.call.duration s {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure} n 1 sum 0
				redoubt.calls {call} {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure redoubt.retried=true} sum 1
				redoubt.rejections {rejection} {redoubt.layer=retry redoubt.name=billing redoubt.reason=budget} sum 1
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 2
				redoubt.retry.delay s {redoubt.name=billing redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER} n 1 sum 0
				redoubt.retry.stops {call} {redoubt.name=billing redoubt.retry.stop_reason=budget} sum 1
			`,
		},
		{
			name: "refused by an open breaker and by one that is half-open",
			run: func(t *testing.T, s *sdk) {
				stack := redoubt.Stack{s.telemetry("billing"), twice(t, "circuit")}
				do(t.Context(), stack, script(errDown))
				do(t.Context(), stack, script(errDown))
				do(t.Context(), stack, succeed)
				time.Sleep(5 * time.Second)
				do(t.Context(), stack, func(context.Context) error {
					_ = do(t.Context(), stack, succeed)
					return nil
				})
			},
			want: `
				redoubt.attempt.duration s {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure} n 2 sum 0
				redoubt.attempt.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 0
				redoubt.breaker.transitions {transition} {redoubt.breaker.from=closed redoubt.breaker.to=open redoubt.layer.name=circuit redoubt.reason=consecutive} sum 1
				redoubt.breaker.transitions {transition} {redoubt.breaker.from=half-open redoubt.breaker.to=closed redoubt.layer.name=circuit redoubt.reason=probes_succeeded} sum 1
				redoubt.breaker.transitions {transition} {redoubt.breaker.from=open redoubt.breaker.to=half-open redoubt.layer.name=circuit redoubt.reason=cooldown} sum 1
				redoubt.call.duration s {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure} n 2 sum 0
				redoubt.call.duration s {error.type=breaker_half_open redoubt.name=billing redoubt.outcome=rejected} n 1 sum 0
				redoubt.call.duration s {error.type=breaker_open redoubt.name=billing redoubt.outcome=rejected} n 1 sum 0
				redoubt.call.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 0
				redoubt.calls {call} {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure redoubt.retried=false} sum 2
				redoubt.calls {call} {error.type=breaker_half_open redoubt.name=billing redoubt.outcome=rejected redoubt.retried=false} sum 1
				redoubt.calls {call} {error.type=breaker_open redoubt.name=billing redoubt.outcome=rejected redoubt.retried=false} sum 1
				redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=false} sum 1
				redoubt.rejections {rejection} {redoubt.layer.name=circuit redoubt.layer=breaker redoubt.name=billing redoubt.reason=breaker_half_open} sum 1
				redoubt.rejections {rejection} {redoubt.layer.name=circuit redoubt.layer=breaker redoubt.name=billing redoubt.reason=breaker_open} sum 1
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 5 sum 3
			`,
		},
		{
			name: "a shadow's refusals are not enforced",
			run: func(t *testing.T, s *sdk) {
				br := twice(t, "circuit", func(c *breaker.Config) { c.Shadow = true })
				stack := redoubt.Stack{s.telemetry("billing"), br}
				do(t.Context(), stack, script(errDown))
				do(t.Context(), stack, script(errDown))
				do(t.Context(), stack, succeed)
			},
			want: `
				redoubt.attempt.duration s {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure} n 2 sum 0
				redoubt.attempt.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 0
				redoubt.breaker.transitions {transition} {redoubt.breaker.from=closed redoubt.breaker.to=open redoubt.layer.name=circuit redoubt.reason=consecutive} sum 1
				redoubt.call.duration s {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure} n 2 sum 0
				redoubt.call.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 0
				redoubt.calls {call} {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure redoubt.retried=false} sum 2
				redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=false} sum 1
				redoubt.rejections.unenforced {rejection} {redoubt.layer.name=circuit redoubt.layer=breaker redoubt.name=billing redoubt.reason=breaker_open} sum 1
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 3 sum 3
			`,
		},
		{
			name: "a retry inside of another",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{Backoff: waits(0)}, retry.Policy{}},
					script(errDown))
			},
			want: `
				redoubt.attempt.duration s {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure} n 1 sum 0
				redoubt.attempt.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 0
				redoubt.call.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 0
				redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=true} sum 1
				redoubt.rejections {rejection} {redoubt.layer=retry redoubt.name=billing redoubt.reason=nested_retry} sum 1
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 2
				redoubt.retry.delay s {redoubt.name=billing redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER} n 1 sum 0
			`,
		},
		{
			name: "panic",
			run: func(t *testing.T, s *sdk) {
				defer func() { _ = recover() }()
				do(t.Context(), redoubt.Stack{s.telemetry("billing")}, func(context.Context) error { panic("boom") })
			},
			want: `
				redoubt.attempt.duration s {error.type=panic redoubt.name=billing redoubt.outcome=failure} n 1 sum 0
				redoubt.call.duration s {error.type=panic redoubt.name=billing redoubt.outcome=failure} n 1 sum 0
				redoubt.calls {call} {error.type=panic redoubt.name=billing redoubt.outcome=failure redoubt.retried=false} sum 1
				redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 1
			`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				tt.run(t, s)
				same(t, "metrics", s.metrics(t), tt.want)
			})
		})
	}
}

// TestBuckets holds that durations have the buckets of the HTTP conventions, and
// attempts small whole ones.
func TestBuckets(t *testing.T) {
	s := newSDK()
	do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{Backoff: waits(0)}}, script(errDown))
	var data metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	seconds := "[0.005 0.01 0.025 0.05 0.075 0.1 0.25 0.5 0.75 1 2.5 5 7.5 10]"
	want := map[string]string{
		"redoubt.call.duration":    seconds,
		"redoubt.attempt.duration": seconds,
		"redoubt.retry.delay":      seconds,
		"redoubt.retry.attempts":   "[0 1 2 3 4 5 8 13]",
	}
	for _, m := range data.ScopeMetrics[0].Metrics {
		var got string
		switch d := m.Data.(type) {
		case metricdata.Histogram[float64]:
			got = fmt.Sprint(d.DataPoints[0].Bounds)
		case metricdata.Histogram[int64]:
			got = fmt.Sprint(d.DataPoints[0].Bounds)
		default:
			continue
		}
		if got != want[m.Name] {
			t.Errorf("%s has the bounds %s, want %s", m.Name, got, want[m.Name])
		}
		delete(want, m.Name)
	}
	for name := range want {
		t.Errorf("no histogram %s", name)
	}
}

// TestExemplars holds that a duration points to the span that took so long,
// rather than to its parent.
func TestExemplars(t *testing.T) {
	s := newSDK()
	do(t.Context(), redoubt.Stack{s.telemetry("billing")}, succeed)
	var data metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, m := range data.ScopeMetrics[0].Metrics {
		if d, ok := m.Data.(metricdata.Histogram[float64]); ok {
			for _, e := range d.DataPoints[0].Exemplars {
				got[m.Name] = fmt.Sprintf("%x", e.SpanID)
			}
		}
	}
	want := map[string]string{}
	for _, span := range s.recorder.Ended() {
		metric := "redoubt.call.duration"
		if strings.HasPrefix(span.Name(), "attempt") {
			metric = "redoubt.attempt.duration"
		}
		want[metric] = span.SpanContext().SpanID().String()
	}
	for metric, id := range want {
		if got[metric] != id {
			t.Errorf("%s has an exemplar of span %q, want %q", metric, got[metric], id)
		}
	}
}

// TestText holds that the text of errors stands in the status of spans and
// nowhere else, bounded, and as valid UTF-8.
func TestText(t *testing.T) {
	const secret = "account 4711"
	tests := []struct {
		name string
		err  error
		want string // the attempt's status
	}{
		{"plain", errors.New(secret), secret},
		{"not UTF-8", errors.New(secret + " \xff\xfe!"), secret + " ?!"},
		{"long", errors.New(secret + strings.Repeat("€", 1000)), secret + strings.Repeat("€", 336) + "…"},
		{"class that is not UTF-8", classed{"a\xffb", secret}, secret},
		{"class that is empty", classed{"", secret}, secret},
		{"Error panics", (*broken)(nil), "<nil>"},
		{"Error panics with a value", &broken{}, "%!v(PANIC=Error method: broken)"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSDK()
			do(t.Context(), redoubt.Stack{s.telemetry("billing"), twice(t, "circuit"), retry.Policy{MaxAttempts: 2, Backoff: waits(0)}},
				script(tt.err, tt.err))
			for _, span := range s.recorder.Ended() {
				if strings.HasPrefix(span.Name(), "attempt") && status(span) != "error("+tt.want+")" {
					t.Errorf("status of %q is %s, want error(%s)", span.Name(), status(span), tt.want)
				}
				if got := span.Status().Description; len(got) > 1024 {
					t.Errorf("the description of %q has %d bytes, want at most 1024", span.Name(), len(got))
				}
				texts := attributes(span.Attributes())
				for _, event := range span.Events() {
					texts += " " + attributes(event.Attributes)
				}
				if strings.Contains(texts, "4711") || strings.Contains(texts, "\xff") {
					t.Errorf("attributes of %q: %s", span.Name(), texts)
				}
				if !strings.Contains(texts, "error.type=") || strings.Contains(texts, "error.type= ") {
					t.Errorf("no error.type among the attributes of %q: %s", span.Name(), texts)
				}
			}
			if metrics := s.metrics(t); strings.Contains(metrics, "4711") || strings.Contains(metrics, "\xff") {
				t.Errorf("metrics: %s", metrics)
			}
		})
	}
}

type classed struct{ class, text string }

func (c classed) Error() string     { return c.text }
func (c classed) ErrorType() string { return c.class }

type broken struct{ text string }

func (b *broken) Error() string {
	if b.text == "" { // panics if b is nil
		panic("broken")
	}
	return b.text
}

// TestNames holds that calls of many names are all measured, though only a
// bounded number of names is remembered.
func TestNames(t *testing.T) {
	s := newSDK()
	s.reader = sdkmetric.NewManualReader()
	s.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader), sdkmetric.WithCardinalityLimit(0))
	const n = 1500
	for i := range n {
		do(t.Context(), redoubt.Stack{s.telemetry(fmt.Sprint("name ", i))}, succeed)
	}
	got := strings.Count(s.metrics(t), "redoubt.calls {call} {redoubt.name=name ")
	if got != n {
		t.Errorf("calls of %d names were counted, want %d", got, n)
	}
}
