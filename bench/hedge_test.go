package bench

import (
	"context"
	"net/http"
	"testing"

	"github.com/cristalhq/hedgedhttp"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	"github.com/failsafe-go/failsafe-go/hedgepolicy"

	"github.com/redoubt-go/redoubt/hedge"
)

func BenchmarkHedge(b *testing.B)     { run(b, hedgeRows()) }
func BenchmarkHedgeHTTP(b *testing.B) { run(b, hedgeRows()) }

// hedgeRows compare a success before any hedge is due, which is what 95 % of all
// calls are. Each first attempt is on a goroutine of its own, since nobody waits
// for the one that loses; impl=floor does only that, and impl=bare not even it.
func hedgeRows() []row {
	return []row{
		{bench: "Hedge", callee: deaf, subjects: []subject{
			{impl: "redoubt", wrap: redoubtHedge(hedge.Config{Delay: limit})},
			{impl: "redoubt-unknown", wrap: redoubtHedge(hedge.Config{Percentile: 0.999, MinSamples: 1 << 30})},
			{impl: "failsafe", wrap: failsafeHedge},
			{impl: "floor", wrap: hedgeFloor},
			{impl: "bare", wrap: func(call func(context.Context) error) func(context.Context) error { return call }},
		}},
		{bench: "HedgeHTTP", callee: deaf, subjects: []subject{
			{impl: "redoubt", wrap: transportCase(redoubtHedgeTransport)},
			{impl: "failsafehttp", wrap: transportCase(failsafeHedgeTransport)},
			{impl: "hedgedhttp", wrap: transportCase(hedgedhttpTransport)},
			{impl: "bare", wrap: transportCase(func(base http.RoundTripper) http.RoundTripper { return base })},
		}},
	}
}

// redoubtHedge hedges as config says; one without a delay yet makes each call
// alone, and learns from it.
func redoubtHedge(config hedge.Config) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		hedged := hedge.Func(hedge.New(config), func(ctx context.Context) (struct{}, error) { return struct{}{}, call(ctx) })
		return func(ctx context.Context) error {
			_, err := hedged(ctx)
			return err
		}
	}
}

func failsafeHedge(call func(context.Context) error) func(context.Context) error {
	return failsafeCall(failsafe.With[any](hedgepolicy.NewWithDelay[any](limit)), call)
}

func hedgeFloor(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		result := make(chan error, 1)
		go func() { result <- call(ctx) }()
		return <-result
	}
}

func redoubtHedgeTransport(base http.RoundTripper) http.RoundTripper {
	return &hedge.Transport{Base: base, Hedger: hedge.New(hedge.Config{Delay: limit})}
}

func failsafeHedgeTransport(base http.RoundTripper) http.RoundTripper {
	return failsafehttp.NewRoundTripper(base, hedgepolicy.NewWithDelay[*http.Response](limit))
}

func hedgedhttpTransport(base http.RoundTripper) http.RoundTripper {
	rt, err := hedgedhttp.New(hedgedhttp.Config{Transport: base, Delay: limit, Upto: 2})
	if err != nil {
		panic(err)
	}
	return rt
}
