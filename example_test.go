package redoubt_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// fetch is a remote call that works at the third attempt.
func fetch(ctx context.Context) (string, error) {
	if retry.Attempt(ctx) < 3 {
		return "", errors.New("connection reset")
	}
	return "invoice 42", nil
}

func ExampleDo() {
	stack := redoubt.Stack{
		timeout.Limit(10 * time.Second), // the whole call
		retry.Policy{MaxAttempts: 4, Backoff: retry.FullJitter(time.Millisecond, time.Second)},
		breaker.New(breaker.Config{Name: "billing"}), // one for all callers
		timeout.Limit(time.Second),                   // each attempt
	}
	invoice, err := redoubt.Do(context.Background(), stack, fetch)
	fmt.Println(invoice, err)
	// Output:
	// invoice 42 <nil>
}

// What to do instead, once all layers have given up, is plain Go: the caller
// knows which failures an older answer can stand in for.
func ExampleDo_fallback() {
	stack := redoubt.Stack{
		breaker.New(breaker.Config{Name: "rates", Consecutive: 1}),
		timeout.Limit(time.Second),
	}
	lastKnown := 1.09
	rate := func(ctx context.Context) (float64, error) {
		rate, err := redoubt.Do(ctx, stack, func(context.Context) (float64, error) {
			return 0, errors.New("connection refused")
		})
		if errors.Is(err, breaker.ErrOpen) {
			return lastKnown, nil
		}
		return rate, err
	}
	for range 2 {
		fmt.Println(rate(context.Background()))
	}
	// Output:
	// 0 connection refused
	// 1.09 <nil>
}

// The order of the layers matters.
func ExampleStack() {
	hang := func(ctx context.Context) error {
		fmt.Println("attempt", retry.Attempt(ctx))
		<-ctx.Done()
		return ctx.Err()
	}
	limit := timeout.Limit(20 * time.Millisecond)
	policy := retry.Policy{Backoff: retry.Constant(0)}

	fmt.Println("a limit for the whole call:")
	fmt.Println(redoubt.Stack{limit, policy}.Do(context.Background(), hang))

	fmt.Println("a limit for each attempt:")
	fmt.Println(redoubt.Stack{policy, limit}.Do(context.Background(), hang))
	// Output:
	// a limit for the whole call:
	// attempt 1
	// retry: gave up after 1 attempt (time is up): timeout: exceeded 20ms
	// a limit for each attempt:
	// attempt 1
	// attempt 2
	// attempt 3
	// retry: gave up after 3 attempts: timeout: exceeded 20ms
}

// A stack guards whatever makes calls with a context. This interceptor is one for
// the clients of google.golang.org/grpc, with fewer parameters.
func ExampleStack_interceptor() {
	stack := redoubt.Stack{
		retry.Policy{Backoff: retry.Constant(0)},
		timeout.Limit(time.Second),
	}
	type invoker func(ctx context.Context, method string, reply *string) error
	intercept := func(ctx context.Context, method string, reply *string, invoke invoker) error {
		return stack.Do(ctx, func(ctx context.Context) error {
			return invoke(ctx, method, reply)
		})
	}

	var reply string
	err := intercept(context.Background(), "/billing.Invoices/Get", &reply,
		func(ctx context.Context, _ string, reply *string) (err error) {
			*reply, err = fetch(ctx)
			return err
		})
	fmt.Println(reply, err)
	// Output: invoice 42 <nil>
}

func ExampleCheck() {
	stack := redoubt.Stack{
		timeout.Limit(time.Second),
		retry.Policy{MaxAttempts: -1},
		breaker.New(breaker.Config{Name: "billing", Window: time.Second, FailureRatio: 0.5}),
		timeout.Limit(5 * time.Second),
	}
	fmt.Println(redoubt.Check(stack))
	// Output:
	// retry: MaxAttempts is -1, must not be negative
	// redoubt: breaker "billing": Window 1s is not longer than the 5s that a call inside of it may take, so that calls that time out may never trip it
	// redoubt: timeout.Limit(5s) inside of timeout.Limit(1s) can never expire first
}

// A function is a layer. This one notes what passes through it.
func ExampleLayerFunc() {
	logged := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
		err := call(ctx)
		fmt.Printf("attempt %d: %v\n", retry.Attempt(ctx), err)
		return err
	})
	stack := redoubt.Stack{
		retry.Policy{Backoff: retry.Constant(0)},
		logged, // inside the retry: it sees every attempt
	}
	invoice, err := redoubt.Do(context.Background(), stack, fetch)
	fmt.Println(invoice, err)
	// Output:
	// attempt 1: connection reset
	// attempt 2: connection reset
	// attempt 3: <nil>
	// invoice 42 <nil>
}

// tokens stands for a *rate.Limiter of golang.org/x/time/rate.
type tokens int

func (t *tokens) Wait(context.Context) error {
	if *t--; *t < 0 {
		return errors.New("rate: the next token would come after the deadline")
	}
	return nil
}

// A rate limit, to stay within a quota, is a layer of one function.
func ExampleLayerFunc_rateLimit() {
	limiter := tokens(2)
	quota := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
		if err := limiter.Wait(ctx); err != nil {
			return retry.Permanent(err) // the deadline comes before the next token
		}
		return call(ctx)
	})
	stack := redoubt.Stack{
		retry.Policy{Backoff: retry.Constant(0)},
		quota, // inside the retry: each attempt takes a token
	}
	_, err := redoubt.Do(context.Background(), stack, fetch)
	fmt.Println(err)
	// Output:
	// retry: gave up after 3 attempts (not to be retried): rate: the next token would come after the deadline
}

// What a stack does to a call, and what is wrong with it: each attempt may take
// as long as the whole call.
func ExampleExplain() {
	stack := redoubt.Stack{
		timeout.Limit(2 * time.Second),
		retry.Policy{MaxAttempts: 4, Budget: retry.NewBudget(retry.BudgetConfig{})},
		breaker.New(breaker.Config{Name: "billing"}),
		timeout.Limit(2 * time.Second),
	}
	fmt.Println(redoubt.Explain(stack))
	// Output:
	// timeout.Limit            2s                                                 bounds the whole call: all attempts, and the waits between
	// retry.Policy             4 attempts, waits of at most 7s                    repeats attempts, until the breaker inside refuses
	//                          on a budget
	// breaker.Breaker billing  opens at 50 % failures of 20 or more calls in 10s  judges each attempt
	//                          for 5s to 1m0s, then 1 probe                       once open, it ends the call
	// timeout.Limit            2s                                                 bounds each attempt
	//
	// longest call   2s
	// most attempts  4
	//
	// mistakes
	//   stack[3]: timeout.Limit(2s) inside of timeout.Limit(2s) can never expire first
	//
	// notes
	//   stack[1]: if attempts take the 2s that they may, retry.Policy does not come to all of its 4 attempts within timeout.Limit(2s)
	//   stack[2]: breaker "billing" is inside of the retry: it sees every attempt, and once it is open the call fails at once instead of trying on
}

// A layer of your own takes part by telling its facts.
func ExampleFacts() {
	stack := redoubt.Stack{timeout.Limit(time.Second), quota{perSecond: 50}}
	for _, layer := range redoubt.Explain(stack).Layers {
		fmt.Printf("%s: %s\n", layer.Type, layer.Place)
	}
	// Output:
	// timeout.Limit: bounds the call
	// redoubt_test.quota: lets 50 calls pass a second
}

type quota struct{ perSecond int }

func (q quota) Explain() redoubt.Facts {
	return redoubt.Facts{Name: "quota", Does: fmt.Sprintf("lets %d calls pass a second", q.perSecond)}
}

func (q quota) Do(ctx context.Context, call func(context.Context) error) error {
	return call(ctx) // it would wait here
}

// A client whose first request meets a server that is restarting.
func ExampleNewClient() {
	server := redoubttest.NewDependency(redoubttest.MustParse("503 retry-after=0, ok"))
	client := redoubt.NewClient("billing", func(c *redoubt.ClientConfig) {
		c.Retry.Backoff = retry.FullJitter(time.Millisecond, time.Second)
		c.Transport.HeaderTimeout = 2 * time.Second
		c.Transport.Base = server // in place of the network
	})
	resp, err := client.Get("https://billing.example/invoices/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, "after", server.Count(), "requests")
	// Output:
	// 200 OK after 2 requests
}

// A client that is there already keeps its transport: that becomes the Base. A
// response that stays bad is the caller's, as without layers.
func ExampleTransport() {
	server := redoubttest.NewDependency(redoubttest.MustParse("503"))
	existing := &http.Client{Transport: server}

	existing.Transport = &redoubt.Transport{
		Base: existing.Transport,
		Layer: redoubt.Stack{
			retry.Policy{Backoff: retry.Constant(time.Millisecond)},
			timeout.Limit(time.Second),
		},
	}
	resp, err := existing.Get("https://billing.example/invoices/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, "after", server.Count(), "requests")
	// Output:
	// 503 Service Unavailable after 3 requests
}

// A reverse proxy whose upstream is down: it answers for it at once, and says when
// to come back. Streams of events and long polls that pass through it want
// WithoutTimeouts in the context of their requests.
func ExampleTransport_reverseProxy() {
	upstream := redoubttest.NewDependency(redoubttest.MustParse("refused"))
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "https", Host: "billing.example"})
		},
		Transport: &redoubt.Transport{
			Base: upstream,
			Layer: redoubt.Stack{
				retry.Policy{Backoff: retry.Constant(time.Millisecond)},
				breaker.New(breaker.Config{Name: "billing", Consecutive: 3, Cooldown: time.Minute}),
			},
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			open, ok := errors.AsType[*breaker.OpenError](err)
			if !ok {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			if after, ok := open.RetryAfter(); ok {
				w.Header().Set("Retry-After", strconv.Itoa(int(after.Seconds())+1))
			}
			w.WriteHeader(http.StatusServiceUnavailable)
		},
	}
	for range 2 {
		w := httptest.NewRecorder()
		proxy.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/invoices/42", nil))
		fmt.Println(w.Code, "after", upstream.Count(), "requests; retry later:", w.Header().Get("Retry-After") != "")
	}
	// Output:
	// 502 after 3 requests; retry later: false
	// 503 after 3 requests; retry later: true
}

// A POST is sent once, unless its sender says that to send it again is harmless.
func ExampleWithIdempotent() {
	server := redoubttest.NewDependency(redoubttest.MustParse("503, 503, ok"))
	client := &http.Client{Transport: &redoubt.Transport{
		Base:  server,
		Layer: retry.Policy{Backoff: retry.Constant(time.Millisecond)},
	}}
	send := func(ctx context.Context) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://billing.example/recount", nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp, err := client.Do(req)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer resp.Body.Close()
		fmt.Println(resp.Status, "requests so far:", server.Count())
	}
	send(context.Background())
	send(redoubt.WithIdempotent(context.Background()))
	// Output:
	// 503 Service Unavailable requests so far: 1
	// 200 OK requests so far: 3
}

// What layers see of a failed response is a StatusError. Here a 500 is final,
// since this service answers so whenever the same request comes again.
func ExampleStatusError() {
	server := redoubttest.NewDependency(redoubttest.MustParse("503, 500"))
	client := &http.Client{Transport: &redoubt.Transport{
		Base: server,
		Layer: retry.Policy{
			Backoff: retry.Constant(0),
			Retryable: func(err error) bool {
				status, ok := errors.AsType[*redoubt.StatusError](err)
				return !ok || status.StatusCode != http.StatusInternalServerError
			},
		},
	}}
	resp, err := client.Get("https://billing.example/invoices/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, "after", server.Count(), "requests")
	// Output:
	// 500 Internal Server Error after 2 requests
}

// A SendError tells whether the server can have acted on the request.
func ExampleSendError() {
	server := redoubttest.NewDependency(redoubttest.MustParse("refused, reset"))
	client := &http.Client{Transport: &redoubt.Transport{Base: server}}
	for range 2 {
		_, err := client.Post("https://billing.example/charges", "text/plain", http.NoBody)
		if failed, ok := errors.AsType[*redoubt.SendError](err); ok {
			fmt.Printf("may have been carried out: %t, may be sent again: %t\n", failed.Sent, failed.Retryable())
		}
	}
	// Output:
	// may have been carried out: false, may be sent again: true
	// may have been carried out: true, may be sent again: false
}

// A server that accepts the request and never answers.
func ExampleTimeoutError() {
	server := redoubttest.NewDependency(redoubttest.MustParse("hang"))
	client := &http.Client{Transport: &redoubt.Transport{Base: server, HeaderTimeout: 10 * time.Millisecond}}
	_, err := client.Get("https://billing.example/invoices/42")
	if silent, ok := errors.AsType[*redoubt.TimeoutError](err); ok {
		fmt.Println(silent.Limit, errors.Is(err, context.DeadlineExceeded))
	}
	// Output:
	// 10ms true
}

// A service that has just stored an object may answer 404 for a while.
func ExampleFailureStatus() {
	server := redoubttest.NewDependency(redoubttest.MustParse("404, 503, ok"))
	client := &http.Client{Transport: &redoubt.Transport{
		Base:  server,
		Layer: retry.Policy{Backoff: retry.Constant(0)},
		Failure: func(resp *http.Response) bool {
			return resp.StatusCode == http.StatusNotFound || redoubt.FailureStatus(resp.StatusCode)
		},
	}}
	resp, err := client.Get("https://storage.example/objects/7")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status, "after", server.Count(), "requests")
	// Output:
	// 200 OK after 3 requests
}

// Prepare runs before each attempt, so that none goes out with a token that has
// expired while the call waited.
func ExampleTransport_prepare() {
	server := redoubttest.NewDependency(redoubttest.MustParse("503, ok"))
	issued := 0
	client := &http.Client{Transport: &redoubt.Transport{
		Base:  server,
		Layer: retry.Policy{Backoff: retry.Constant(0)},
		Prepare: func(req *http.Request) error {
			issued++
			req.Header.Set("Authorization", fmt.Sprintf("Bearer token-%d", issued))
			return nil
		},
	}}
	resp, err := client.Get("https://billing.example/invoices/42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	for _, call := range server.Calls() {
		fmt.Println(call.Header.Get("Authorization"), call.StatusCode)
	}
	// Output:
	// Bearer token-1 503
	// Bearer token-2 200
}

// Host keeps servers apart: the failures of one do not refuse requests to
// another.
func ExampleHost() {
	server := redoubttest.NewDependency(redoubttest.MustParse("reset, ok"))
	client := &http.Client{Transport: &redoubt.Transport{
		Base: server,
		Layer: breaker.NewGroup(breaker.GroupConfig{
			Breaker: breaker.Config{Name: "mirrors", Consecutive: 1},
			Key:     redoubt.Host,
		}),
	}}
	for _, url := range []string{"https://a.example/", "https://a.example/", "https://b.example/"} {
		resp, err := client.Get(url)
		if err != nil {
			fmt.Println(url, "refused by the breaker:", errors.Is(err, breaker.ErrOpen))
			continue
		}
		defer resp.Body.Close()
		fmt.Println(url, resp.Status)
	}
	// Output:
	// https://a.example/ refused by the breaker: false
	// https://a.example/ refused by the breaker: true
	// https://b.example/ 200 OK
}

// get sends a request with ctx and prints what becomes of it.
func get(ctx context.Context, client *http.Client) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://billing.example/invoices/42", http.NoBody)
	if err != nil {
		fmt.Println(err)
		return
	}
	resp, err := client.Do(req)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	fmt.Println(resp.Status)
}

// A health check wants to know how the server is now, not after two retries.
func ExampleWithoutRetry() {
	server := redoubttest.NewDependency(redoubttest.MustParse("503, ok"))
	client := &http.Client{Transport: &redoubt.Transport{
		Base:  server,
		Layer: retry.Policy{Backoff: retry.Constant(0)},
	}}
	get(redoubt.WithoutRetry(context.Background()), client)
	// Output: 503 Service Unavailable
}

// One request has layers of its own, here more attempts than the others.
func ExampleWithLayer() {
	server := redoubttest.NewDependency(redoubttest.MustParse("4*503, ok"))
	client := &http.Client{Transport: &redoubt.Transport{
		Base:  server,
		Layer: retry.Policy{Backoff: retry.Constant(0)},
	}}
	patient := retry.Policy{MaxAttempts: 5, Backoff: retry.Constant(0)}
	get(redoubt.WithLayer(context.Background(), patient), client)
	// Output: 200 OK
}

// A long poll is meant to be silent for a while.
func ExampleWithoutTimeouts() {
	server := redoubttest.NewDependency(redoubttest.MustParse("slow 20ms"))
	client := &http.Client{Transport: &redoubt.Transport{Base: server, HeaderTimeout: time.Millisecond}}
	get(redoubt.WithoutTimeouts(context.Background()), client)
	// Output: 200 OK
}

// A spanPrinter stands for the TracerProvider of an SDK.
type spanPrinter struct{ noop.TracerProvider }

func (spanPrinter) Tracer(string, ...trace.TracerOption) trace.Tracer { return namePrinter{} }

type namePrinter struct{ noop.Tracer }

func (namePrinter) Start(ctx context.Context, name string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	fmt.Println("span:", name)
	return ctx, noop.Span{}
}

// As the first layer Telemetry names the call and says where its spans go. The
// spans are one for the call and one for each attempt.
func ExampleTelemetry() {
	stack := redoubt.Stack{
		redoubt.Telemetry{Name: "billing", TracerProvider: spanPrinter{}},
		retry.Policy{Backoff: retry.Constant(0)},
	}
	invoice, err := redoubt.Do(context.Background(), stack, fetch)
	fmt.Println(invoice, err)
	// Output:
	// span: redoubt billing
	// span: attempt billing
	// span: attempt billing
	// span: attempt billing
	// invoice 42 <nil>
}
