package bench

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

// BenchmarkLoopback reports the time that one GET takes from a server on the
// same machine, as a distribution. Differences below 5 % are noise here; what is
// added to a request is measured by BenchmarkHTTP.
func BenchmarkLoopback(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok")
	}))
	defer server.Close()
	for _, s := range []struct {
		name   string
		client *http.Client
	}{
		{"impl=bare", &http.Client{Transport: &http.Transport{}}},
		{"impl=redoubt", &http.Client{Transport: redoubtTransport(&http.Transport{})}},
		{"impl=failsafehttp", &http.Client{Transport: failsafeTransport(&http.Transport{})}},
		{"impl=client-timeout", &http.Client{Transport: &http.Transport{}, Timeout: limit}},
		{"impl=otelhttp", &http.Client{Transport: otelhttp.NewTransport(&http.Transport{})}},
	} {
		b.Run(s.name, func(b *testing.B) {
			defer s.client.CloseIdleConnections()
			get := func(ctx context.Context) error {
				req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, http.NoBody)
				if err != nil {
					return err
				}
				return finish(s.client.Do(req))
			}
			if err := get(b.Context()); err != nil { // which also dials
				b.Fatal(err)
			}
			took := make([]time.Duration, 0, 1<<14)
			b.ReportAllocs()
			cpu := cpuTime()
			for b.Loop() {
				start := time.Now()
				if err := get(b.Context()); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start))
			}
			reportCPU(b, cpu)
			reportDistribution(b, took)
		})
	}
}
