package sdktest

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
)

// An sdk is OpenTelemetry's SDK, with ids that count up from 1.
type sdk struct {
	recorder *tracetest.SpanRecorder
	reader   *sdkmetric.ManualReader
	tracer   *sdktrace.TracerProvider
	meter    *sdkmetric.MeterProvider
}

func newSDK() *sdk {
	s := &sdk{
		recorder: tracetest.NewSpanRecorder(),
		// Each collection tells what is new since the one before.
		reader: sdkmetric.NewManualReader(sdkmetric.WithTemporalitySelector(sdkmetric.DeltaTemporalitySelector)),
	}
	s.tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(s.recorder), sdktrace.WithIDGenerator(&ids{}))
	s.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.reader))
	return s
}

// install makes s the global SDK of this process.
func (s *sdk) install() {
	otel.SetTracerProvider(s.tracer)
	otel.SetMeterProvider(s.meter)
}

// telemetry is the layer that sends signals to s.
func (s *sdk) telemetry(name string) redoubt.Telemetry {
	return redoubt.Telemetry{Name: name, TracerProvider: s.tracer, MeterProvider: s.meter}
}

type ids struct{ traces, spans atomic.Uint64 }

func (g *ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	var id trace.TraceID
	binary.BigEndian.PutUint64(id[8:], g.traces.Add(1))
	return id, g.NewSpanID(ctx, id)
}

func (g *ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], g.spans.Add(1))
	return id
}

// spans prints all spans as trees, in the order in which they began. Spans are
// numbered, so that links can be told; times count from the first span on. A
// span that has not ended says so.
func (s *sdk) spans() string {
	started := s.recorder.Started()
	if len(started) == 0 {
		return ""
	}
	p := spanPrinter{begin: started[0].StartTime(), ended: map[trace.SpanID]sdktrace.ReadOnlySpan{}}
	for _, span := range s.recorder.Ended() {
		p.ended[span.SpanContext().SpanID()] = span
	}
	for _, span := range started {
		p.order = append(p.order, span.SpanContext().SpanID())
		p.spans = append(p.spans, span)
	}
	p.print(trace.SpanID{}, "")
	return p.text.String()
}

type spanPrinter struct {
	begin time.Time
	order []trace.SpanID
	spans []sdktrace.ReadWriteSpan
	ended map[trace.SpanID]sdktrace.ReadOnlySpan
	text  strings.Builder
}

func (p *spanPrinter) print(parent trace.SpanID, indent string) {
	for i, started := range p.spans {
		known := slices.Contains(p.order, started.Parent().SpanID())
		if started.Parent().SpanID() != parent && (known || parent.IsValid()) {
			continue
		}
		id := started.SpanContext().SpanID()
		line := func(format string, args ...any) { fmt.Fprintf(&p.text, indent+format+"\n", args...) }
		span, ok := p.ended[id]
		if !ok {
			line("#%d %s NOT ENDED", i+1, started.Name())
			continue
		}
		line("#%d %s %v %s %v-%v", i+1, span.Name(), span.SpanKind(), status(span),
			span.StartTime().Sub(p.begin), span.EndTime().Sub(p.begin))
		if attrs := attributes(span.Attributes()); attrs != "" {
			line("   %s", attrs)
		}
		for _, event := range span.Events() {
			line("   event %s at %v: %s", event.Name, event.Time.Sub(p.begin), attributes(event.Attributes))
		}
		for _, link := range span.Links() {
			line("   link to %s", p.number(link.SpanContext))
		}
		p.print(id, indent+"   ")
	}
}

func (p *spanPrinter) number(c trace.SpanContext) string {
	i := slices.Index(p.order, c.SpanID())
	if i < 0 || p.spans[i].SpanContext().TraceID() != c.TraceID() {
		return "nowhere"
	}
	return fmt.Sprintf("#%d", i+1)
}

func status(span sdktrace.ReadOnlySpan) string {
	s := span.Status()
	if s.Code == codes.Unset && s.Description == "" {
		return "unset"
	}
	return fmt.Sprintf("%s(%s)", strings.ToLower(s.Code.String()), s.Description)
}

func attributes(attrs []attribute.KeyValue) string {
	var texts []string
	for _, attr := range attrs {
		texts = append(texts, fmt.Sprintf("%s=%s", attr.Key, attr.Value.String()))
	}
	slices.Sort(texts)
	return strings.Join(texts, " ")
}

// metrics prints all that was measured since the collection before: a line for
// each point, with the unit, sorted. Of a histogram it prints the number of
// values and their sum.
func (s *sdk) metrics(t *testing.T) string {
	t.Helper()
	var data metricdata.ResourceMetrics
	if err := s.reader.Collect(t.Context(), &data); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, scope := range data.ScopeMetrics {
		if scope.Scope.Name != "github.com/redoubt-go/redoubt" {
			t.Errorf("scope %q", scope.Scope.Name)
		}
		for _, m := range scope.Metrics {
			for _, point := range points(t, m.Data) {
				lines = append(lines, fmt.Sprintf("%s %s %s\n", m.Name, m.Unit, point))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func points(t *testing.T, data metricdata.Aggregation) []string {
	t.Helper()
	switch d := data.(type) {
	case metricdata.Sum[int64]:
		if !d.IsMonotonic {
			t.Errorf("a sum that can fall: %v", d)
		}
		return each(d.DataPoints, func(p metricdata.DataPoint[int64]) (attribute.Set, string) {
			return p.Attributes, fmt.Sprintf("sum %d", p.Value)
		})
	case metricdata.Gauge[int64]:
		return each(d.DataPoints, func(p metricdata.DataPoint[int64]) (attribute.Set, string) {
			return p.Attributes, fmt.Sprintf("gauge %d", p.Value)
		})
	case metricdata.Gauge[float64]:
		return each(d.DataPoints, func(p metricdata.DataPoint[float64]) (attribute.Set, string) {
			return p.Attributes, fmt.Sprintf("gauge %g", p.Value)
		})
	case metricdata.Histogram[int64]:
		return each(d.DataPoints, func(p metricdata.HistogramDataPoint[int64]) (attribute.Set, string) {
			return p.Attributes, fmt.Sprintf("n %d sum %d", p.Count, p.Sum)
		})
	case metricdata.Histogram[float64]:
		return each(d.DataPoints, func(p metricdata.HistogramDataPoint[float64]) (attribute.Set, string) {
			return p.Attributes, fmt.Sprintf("n %d sum %g", p.Count, p.Sum)
		})
	default:
		t.Fatalf("unexpected %T", data)
		return nil
	}
}

func each[P any](points []P, of func(P) (attribute.Set, string)) []string {
	var texts []string
	for _, p := range points {
		set, value := of(p)
		texts = append(texts, fmt.Sprintf("{%s} %s", attributes(set.ToSlice()), value))
	}
	return texts
}

// same compares texts of many lines; want is indented as the test's code is.
func same(t *testing.T, what, got, want string) {
	t.Helper()
	want = dedent(want)
	if got == want {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	var diff strings.Builder
	for i := range max(len(gotLines), len(wantLines)) {
		g, w := line(gotLines, i), line(wantLines, i)
		if g == w {
			continue
		}
		fmt.Fprintf(&diff, "line %d:\n  got  %s\n  want %s\n", i+1, g, w)
	}
	t.Errorf("%s differ:\n%sgot all:\n%s", what, diff.String(), got)
}

func line(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(none)"
}

// dedent takes away the first line, if empty, and the tabs that each line
// begins with.
func dedent(s string) string {
	var lines []string
	for l := range strings.SplitSeq(strings.TrimPrefix(s, "\n"), "\n") {
		lines = append(lines, strings.TrimLeft(l, "\t"))
	}
	return strings.Join(lines, "\n")
}

// inChild reports whether this is a process that has been started for the
// running test alone, and starts one if not. OpenTelemetry's global providers
// can be set only once.
func inChild(t *testing.T) bool {
	t.Helper()
	const variable = "REDOUBT_SDKTEST_CHILD"
	if os.Getenv(variable) == t.Name() {
		return true
	}
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.count=1", "-test.timeout=1m")
	// The race detector sleeps before it exits, a second unless told otherwise.
	cmd.Env = append(os.Environ(), variable+"="+t.Name(), "GORACE=atexit_sleep_ms=10")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "PASS") {
		t.Errorf("%v\n%s", err, out)
	}
	return false
}

// do runs fn inside of the layers and returns its error.
func do(ctx context.Context, layer redoubt.Layer, fn func(context.Context) error) error {
	_, err := redoubt.Do(ctx, layer, func(ctx context.Context) (struct{}, error) { return struct{}{}, fn(ctx) })
	return err
}

// script is a function that meets one end after the other, and then succeeds.
func script(ends ...error) func(context.Context) error {
	return func(context.Context) error {
		if len(ends) == 0 {
			return nil
		}
		err := ends[0]
		ends = ends[1:]
		return err
	}
}

// waits makes a sequence of waits.
func waits(ds ...time.Duration) func() backoff.BackOff {
	return func() backoff.BackOff { return &sequence{ds} }
}

type sequence struct{ left []time.Duration }

func (s *sequence) Reset() {}

func (s *sequence) NextBackOff() time.Duration {
	if len(s.left) == 0 {
		return backoff.Stop
	}
	d := s.left[0]
	s.left = s.left[1:]
	return d
}

func succeed(context.Context) error { return nil }

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

// unavailable is an error as the HTTP edge would make of a 503.
type unavailable struct{ after time.Duration }

func (unavailable) Error() string                       { return "503 Service Unavailable" }
func (unavailable) ErrorType() string                   { return "503" }
func (e unavailable) RetryAfter() (time.Duration, bool) { return e.after, e.after > 0 }

// twice opens at the second failure, for exactly 5 s. It is closed when the test
// ends, so that it has nothing to say to another's collection.
func twice(t *testing.T, name string, change ...func(*breaker.Config)) *breaker.Breaker {
	t.Helper()
	config := breaker.Config{Name: name, Consecutive: 2, Cooldown: 5 * time.Second, Jitter: breaker.NoJitter}
	for _, f := range change {
		f(&config)
	}
	br := breaker.New(config)
	if err := br.Check(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(br.Reset)
	return br
}
