package bench

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// BenchmarkPromptness reports how long after its caller's cancellation a call
// returns, as a distribution: what=wait cancels the wait between two attempts,
// what=call the call itself, and what=http a request over loopback to a server
// that does not answer. impl=floor is a goroutine that waits for nothing but its
// context, or net/http alone.
func BenchmarkPromptness(b *testing.B) {
	for _, s := range promptness(b) {
		b.Run(s.name, func(b *testing.B) {
			took := make([]time.Duration, 0, b.N)
			op := s.wrap(s.callee)
			for range b.N {
				took = append(took, cancelled(op))
			}
			reportDistribution(b, took)
			b.ReportMetric(0, "ns/op")
		})
	}
}

type prompt struct {
	name   string
	wrap   wrapper
	callee func(context.Context) error
}

func promptness(tb testing.TB) []prompt {
	tb.Helper()
	silent := silentServer(tb)
	return []prompt{
		{"impl=redoubt/what=wait", patientStack, failing},
		{"impl=failsafe/what=wait", func(call func(context.Context) error) func(context.Context) error {
			return failsafeCall(failsafe.With[any](failsafeRetryPolicy(time.Minute/2)), call)
		}, failing},
		{"impl=floor/what=wait", waiting, failing},
		{"impl=redoubt/what=call", patientStack, hanging},
		{"impl=floor/what=call", func(call func(context.Context) error) func(context.Context) error { return call }, hanging},
		{"impl=redoubt/what=http", patientClient(redoubtTransport(silent())), nil},
		{"impl=floor/what=http", patientClient(silent()), nil},
	}
}

func TestPromptness(t *testing.T) {
	for _, s := range promptness(t) {
		op := s.wrap(s.callee)
		var took []time.Duration
		for range 5 {
			took = append(took, cancelled(op))
		}
		// Once in five, since the machine may be busy with something else.
		if got := slices.Min(took); got > time.Second {
			t.Errorf("%s: returned %v after cancellation", s.name, got)
		}
	}
}

func failing(context.Context) error { return errDown }

func hanging(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func patientStack(call func(context.Context) error) func(context.Context) error {
	stack := redoubt.Stack{
		timeout.Limit(time.Hour),
		retry.Policy{MaxAttempts: attempts, Backoff: retry.Constant(time.Minute)},
		breaker.New(breaker.Config{Name: "bench", Consecutive: 1 << 30}),
	}
	return func(ctx context.Context) error { return stack.Do(ctx, call) }
}

// silentServer returns what makes a base that reaches nothing but a server on
// loopback that does not answer.
func silentServer(tb testing.TB) func() http.RoundTripper {
	tb.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}))
	tb.Cleanup(server.Close)
	address := server.Listener.Addr()
	return func() http.RoundTripper {
		base := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, address.Network(), address.String())
		}}
		tb.Cleanup(base.CloseIdleConnections)
		return base
	}
}

// patientClient makes requests through base.
func patientClient(base http.RoundTripper) wrapper {
	return func(func(context.Context) error) func(context.Context) error {
		return doer((&http.Client{Transport: base}).Do)
	}
}

func waiting(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		_ = call(ctx)
		<-ctx.Done()
		return ctx.Err()
	}
}

// cancelled returns how long op takes to return once it is cancelled, when it
// has been given the time to fall asleep.
func cancelled(op func(context.Context) error) time.Duration {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	returned := make(chan time.Time)
	go func() {
		_ = op(ctx)
		returned <- time.Now()
	}()
	time.Sleep(50 * time.Microsecond)
	start := time.Now()
	cancel()
	return (<-returned).Sub(start)
}

// reportDistribution reports what a mean would hide.
func reportDistribution(b *testing.B, took []time.Duration) {
	b.Helper()
	slices.Sort(took)
	percentile := func(p float64) float64 { return float64(took[int(p*float64(len(took)-1))]) }
	b.ReportMetric(percentile(.50), "p50-ns")
	b.ReportMetric(percentile(.90), "p90-ns")
	b.ReportMetric(percentile(.99), "p99-ns")
	b.ReportMetric(percentile(1), "max-ns")
}
