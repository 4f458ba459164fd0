package behaviours

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/PuerkitoBio/rehttp"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/budget"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/failsafe-go/failsafe-go/failsafehttp"
	failsafetimeout "github.com/failsafe-go/failsafe-go/timeout"
	"github.com/gojek/heimdall/v7"
	heimdallhttp "github.com/gojek/heimdall/v7/httpclient"
	"github.com/gojek/heimdall/v7/hystrix"
	"github.com/hashicorp/go-retryablehttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
)

// A client sends requests as http.Client does, with retries.
type client interface {
	Do(*http.Request) (*http.Response, error)
}

// Settings are what a probe wants of a client.
type settings struct {
	base     http.RoundTripper
	attempts int           // in total
	wait     time.Duration // between two attempts
	limit    time.Duration // of an attempt; 0 is none
	breaker  bool          // opened by three failures, for a second
	budget   bool          // enough for one retry
	spans    trace.TracerProvider
}

// A feature is what not every library has.
type feature uint

const (
	breakers       feature = 1 << iota
	budgets                // for retries
	standardClient         // the client is an http.Client
)

// A library is one way to send requests. Each is set up as its documentation
// recommends, in the same way for every probe, with its retries on, and with
// whatever option of its own speaks for it.
type library struct {
	name   string
	module string // where its version is found
	client func(settings) client
	has    feature
}

var libraries = []library{
	{"redoubt", "", redoubtClient, breakers | budgets | standardClient},
	{"go-retryablehttp", "github.com/hashicorp/go-retryablehttp", retryableClient, standardClient},
	{"failsafehttp", "github.com/failsafe-go/failsafe-go", failsafeClient, breakers | budgets | standardClient},
	{"rehttp", "github.com/PuerkitoBio/rehttp", rehttpClient, standardClient},
	{"heimdall", "github.com/gojek/heimdall/v7", heimdallClient, breakers},
	{"azcore", "github.com/Azure/azure-sdk-for-go/sdk/azcore", azcoreClient, 0},
}

func redoubtClient(s settings) client {
	return redoubt.NewClient("probe", func(c *redoubt.ClientConfig) {
		c.Retry.MaxAttempts = s.attempts
		c.Retry.Backoff = retry.Constant(s.wait)
		c.Transport.Base = s.base
		c.Transport.TracerProvider = s.spans
		if s.limit > 0 {
			c.Transport.HeaderTimeout, c.Transport.StallTimeout = s.limit, s.limit
		}
		if s.breaker {
			c.Breaker.Consecutive, c.Breaker.Cooldown, c.Breaker.Jitter = 3, time.Second, breaker.NoJitter
		}
		if s.budget {
			c.Budget.Burst, c.Budget.MinPerSecond = 1, retry.NoFloor
		}
	})
}

// otherBase is the base for libraries that make no spans of their own.
func (s settings) otherBase() http.RoundTripper {
	if s.spans == nil {
		return s.base
	}
	return otelhttp.NewTransport(s.base, otelhttp.WithTracerProvider(s.spans))
}

// The one limit of an attempt that go-retryablehttp has is the Timeout of the
// http.Client that it sends through.
func retryableClient(s settings) client {
	c := retryablehttp.NewClient()
	c.HTTPClient = &http.Client{Transport: s.otherBase(), Timeout: s.limit}
	c.RetryMax = s.attempts - 1
	c.RetryWaitMin, c.RetryWaitMax = s.wait, s.wait
	c.ErrorHandler = retryablehttp.PassthroughErrorHandler
	c.Logger = nil
	return c.StandardClient()
}

func failsafeClient(s settings) client {
	retries := failsafehttp.NewRetryPolicyBuilder().
		WithMaxAttempts(s.attempts).WithDelay(s.wait).ReturnLastFailure().
		AbortOnErrors(circuitbreaker.ErrOpen)
	if s.budget {
		retries.WithBudget(budget.NewBuilder().WithMinConcurrency(1).WithMaxRate(0.01).Build())
	}
	policies := []failsafe.Policy[*http.Response]{retries.Build()}
	if s.breaker {
		policies = append(policies, circuitbreaker.NewBuilder[*http.Response]().
			HandleIf(func(resp *http.Response, err error) bool {
				return err != nil && !errors.Is(err, context.Canceled) || resp != nil && resp.StatusCode >= 500
			}).
			WithFailureThreshold(3).WithDelay(time.Second).Build())
	}
	if s.limit > 0 {
		policies = append(policies, failsafetimeout.New[*http.Response](s.limit))
	}
	return &http.Client{Transport: failsafehttp.NewRoundTripper(s.otherBase(), policies...)}
}

// Of rehttp's conditions those are used that it has ready: its own example's for
// errors, the statuses that the others retry, and only idempotent methods. To
// retry every error instead would win it probe 003 and cost it 092 to 094.
func rehttpClient(s settings) client {
	rt := rehttp.NewTransport(s.otherBase(),
		rehttp.RetryAll(
			rehttp.RetryMaxRetries(s.attempts-1),
			rehttp.RetryHTTPMethods("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"),
			rehttp.RetryAny(
				rehttp.RetryStatuses(408, 429, 500, 502, 503, 504),
				rehttp.RetryTemporaryErr(),
				rehttp.RetryTimeoutErr())),
		rehttp.ConstDelay(s.wait))
	rt.PerAttemptTimeout = s.limit
	return &http.Client{Transport: rt}
}

// The one limit of an attempt that heimdall has is the Timeout of the
// http.Client that it sends through; WithHTTPTimeout sets it in one without a
// Transport.
func heimdallClient(s settings) client {
	inner := &http.Client{Transport: s.otherBase(), Timeout: s.limit}
	retries := heimdall.NewRetrier(heimdall.NewConstantBackoff(s.wait, 0))
	if !s.breaker {
		return heimdallhttp.NewClient(
			heimdallhttp.WithHTTPClient(inner),
			heimdallhttp.WithRetryCount(s.attempts-1),
			heimdallhttp.WithRetrier(retries))
	}
	return hystrix.NewClient(
		hystrix.WithHTTPClient(inner),
		hystrix.WithCommandName("probe "+time.Now().String()),
		hystrix.WithHystrixTimeout(30*time.Second),
		hystrix.WithRequestVolumeThreshold(3),
		hystrix.WithErrorPercentThreshold(50),
		hystrix.WithSleepWindow(1000),
		hystrix.WithRetryCount(s.attempts-1),
		hystrix.WithRetrier(retries))
}

func azcoreClient(s settings) client {
	return azcorePipeline{runtime.NewPipeline("probe", "v1.0.0", runtime.PipelineOptions{}, &policy.ClientOptions{
		Transport: &http.Client{Transport: s.otherBase()},
		Retry: policy.RetryOptions{
			MaxRetries: int32(s.attempts) - 1,
			RetryDelay: s.wait,
			TryTimeout: s.limit,
		},
	})}
}

// An azcorePipeline sends requests that are not made by azcore. Bodies of
// responses are streamed, as the other libraries do.
type azcorePipeline struct {
	pipeline runtime.Pipeline
}

func (p azcorePipeline) Do(r *http.Request) (*http.Response, error) {
	req, err := runtime.NewRequestFromRequest(r)
	if err != nil {
		return nil, err
	}
	runtime.SkipBodyDownload(req)
	return p.pipeline.Do(req)
}
