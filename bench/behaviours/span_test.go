package behaviours

import (
	"fmt"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

var spanProbes = []probe{
	{number: "135", behaviour: "the client spans of a call are numbered by `http.request.resend_count`", run: numberedSpans},
	{number: "144", behaviour: "… and end, also that of an attempt that was retried", run: endedSpans},
}

// resends makes a call of three attempts and returns http.request.resend_count
// of their spans, in order.
func resends(x *trial) ([]string, error) {
	spans := tracetest.NewSpanRecorder()
	s := x.serve(statuses(503, 503, 200))
	c := x.client(settings{base: s.base, spans: sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))})
	resp, err := c.Do(s.request(x, "GET", nil))
	if err := s.wants(200, 3, resp, err); err != nil {
		return nil, err
	}
	time.Sleep(100 * time.Millisecond)
	var counts []string
	for _, span := range spans.Ended() {
		if span.SpanKind() != trace.SpanKindClient {
			continue
		}
		set := attribute.NewSet(span.Attributes()...)
		count, _ := set.Value("http.request.resend_count")
		counts = append(counts, count.String())
	}
	return counts, nil
}

func numberedSpans(x *trial) error {
	counts, err := resends(x)
	if got := strings.Join(counts, ","); err == nil && got != ",1,2" {
		err = fmt.Errorf("resend counts %q", got)
	}
	return err
}

func endedSpans(x *trial) error {
	counts, err := resends(x)
	if err == nil && len(counts) != 3 {
		err = fmt.Errorf("%d client spans for 3 attempts", len(counts))
	}
	return err
}
