package bench

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/PuerkitoBio/rehttp"
	backoff4 "github.com/cenkalti/backoff/v4"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	"github.com/gojek/heimdall/v7"
	heimdallhttp "github.com/gojek/heimdall/v7/httpclient"
	heimdallhystrix "github.com/gojek/heimdall/v7/hystrix"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/sony/gobreaker/v2"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
)

func BenchmarkHTTP(b *testing.B) { run(b, httpRows()) }

// httpRows compare what is added to a request over a base in memory, of which
// impl=bare is all there is. Every operation sends one GET and reads and closes
// the body.
func httpRows() []row {
	return []row{{bench: "HTTP", callee: deaf, subjects: []subject{
		{impl: "bare", wrap: transportCase(func(base http.RoundTripper) http.RoundTripper { return base })},
		{impl: "redoubt", wrap: transportCase(redoubtTransport)},
		{impl: "redoubt-retry-breaker", wrap: transportCase(redoubtUntimed)},
		{impl: "failsafehttp", wrap: transportCase(failsafeTransport)},
		{impl: "hand", wrap: transportCase(handTransport)},
		{impl: "client-timeout", wrap: clientTimeout},
		{impl: "otelhttp", wrap: transportCase(func(base http.RoundTripper) http.RoundTripper { return otelhttp.NewTransport(base) })},
		{impl: "retryablehttp", wrap: retryableClient},
		{impl: "rehttp", wrap: transportCase(rehttpTransport)},
		{impl: "heimdall", wrap: heimdallClient},
		{impl: "heimdall-hystrix", wrap: heimdallHystrixClient},
	}}}
}

const target = "http://billing.test/invoices"

// memory is a base that answers at once, out of memory, once call has
// succeeded. It looks at the request's context, as every base does.
type memory struct {
	call func(context.Context) error
}

func (m memory) RoundTrip(req *http.Request) (*http.Response, error) {
	select {
	case <-req.Context().Done():
		return nil, req.Context().Err()
	default:
	}
	if err := m.call(req.Context()); err != nil {
		return nil, err
	}
	return &http.Response{
		Status: "200 OK", StatusCode: http.StatusOK, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Body: io.NopCloser(strings.NewReader("ok")), ContentLength: 2, Request: req,
	}, nil
}

func transportCase(with func(base http.RoundTripper) http.RoundTripper) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		client := &http.Client{Transport: with(memory{call})}
		return doer(client.Do)
	}
}

// doer makes and sends a request.
func doer(do func(*http.Request) (*http.Response, error)) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, http.NoBody)
		if err != nil {
			return err
		}
		return finish(do(req))
	}
}

func finish(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	return err
}

func failsafeTransport(base http.RoundTripper) http.RoundTripper {
	return failsafehttp.NewRoundTripper(base,
		failsafetimeout.New[*http.Response](limit),
		failsafehttp.NewRetryPolicyBuilder().WithMaxAttempts(attempts).WithBackoff(defaultBase, time.Minute).
			AbortOnErrors(circuitbreaker.ErrOpen).Build(),
		circuitbreaker.NewBuilder[*http.Response]().
			HandleIf(func(r *http.Response, err error) bool {
				return err != nil || r.StatusCode >= http.StatusInternalServerError
			}).
			WithFailureRateThreshold(0.5, minCalls, window).WithDelay(cooldown).Build())
}

// handTransport is what a careful programmer writes: the limit holds until the
// body is closed.
func handTransport(base http.RoundTripper) http.RoundTripper {
	return &byHand{base: base, circuit: gobreaker.NewCircuitBreaker[*http.Response](ratioSettings)}
}

type byHand struct {
	base    http.RoundTripper
	circuit *gobreaker.CircuitBreaker[*http.Response]
}

func (h *byHand) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(req.Context(), limit)
	req = req.WithContext(ctx)
	waits := backoff4.WithContext(backoff4.WithMaxRetries(newBackoff4(defaultBase), attempts-1), ctx)
	resp, err := backoff4.RetryWithData(func() (*http.Response, error) {
		return h.circuit.Execute(func() (*http.Response, error) {
			resp, err := h.base.RoundTrip(req)
			if err == nil && resp.StatusCode >= http.StatusInternalServerError {
				_ = resp.Body.Close()
				return nil, errDown
			}
			return resp, err
		})
	}, waits)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = &cancelling{resp.Body, cancel}
	return resp, nil
}

type cancelling struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (c *cancelling) Close() error {
	defer c.cancel()
	return c.ReadCloser.Close()
}

func clientTimeout(call func(context.Context) error) func(context.Context) error {
	client := &http.Client{Transport: memory{call}, Timeout: limit}
	return doer(client.Do)
}

func retryableClient(call func(context.Context) error) func(context.Context) error {
	client := retryablehttp.NewClient()
	client.HTTPClient = &http.Client{Transport: memory{call}}
	client.RetryMax = attempts - 1
	client.Logger = nil
	return func(ctx context.Context) error {
		req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodGet, target, nil)
		if err != nil {
			return err
		}
		return finish(client.Do(req))
	}
}

func rehttpTransport(base http.RoundTripper) http.RoundTripper {
	return rehttp.NewTransport(base,
		rehttp.RetryAll(rehttp.RetryMaxRetries(attempts-1), rehttp.RetryStatuses(http.StatusServiceUnavailable)),
		rehttp.ExpJitterDelay(defaultBase, time.Minute))
}

// heimdall's timeout is that of http.Client.
func heimdallClient(call func(context.Context) error) func(context.Context) error {
	client := heimdallhttp.NewClient(
		heimdallhttp.WithHTTPClient(&http.Client{Transport: memory{call}, Timeout: limit}),
		heimdallhttp.WithRetryCount(attempts-1),
		heimdallhttp.WithRetrier(heimdall.NewRetrier(heimdall.NewExponentialBackoff(defaultBase, time.Minute, 2, defaultBase))))
	return doer(client.Do)
}

func heimdallHystrixClient(call func(context.Context) error) func(context.Context) error {
	client := heimdallhystrix.NewClient(
		heimdallhystrix.WithHTTPClient(&http.Client{Transport: memory{call}}),
		heimdallhystrix.WithCommandName("bench "+time.Now().String()),
		heimdallhystrix.WithHystrixTimeout(limit),
		heimdallhystrix.WithMaxConcurrentRequests(1000),
		heimdallhystrix.WithErrorPercentThreshold(50),
		heimdallhystrix.WithRequestVolumeThreshold(minCalls),
		heimdallhystrix.WithRetryCount(attempts-1),
		heimdallhystrix.WithRetrier(heimdall.NewRetrier(heimdall.NewExponentialBackoff(defaultBase, time.Minute, 2, defaultBase))))
	return doer(client.Do)
}
