package sdktest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
)

// mirrors has two endpoints, whose breakers open at the second failure.
func mirrors(t *testing.T, endpoints ...string) *failover.Failover {
	return failover.New(failover.Config{
		Name:      "mirrors",
		Endpoints: endpoints,
		Guard:     func(endpoint string) failover.Layer { return twice(t, endpoint) },
	})
}

// askA fails at endpoint a.
func askA(_ context.Context, endpoint string) (string, error) {
	time.Sleep(time.Second)
	if endpoint == "a" {
		return "", errDown
	}
	return endpoint, nil
}

// TestFailover_InStack: the stack records an attempt for each endpoint.
func TestFailover_InStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		stack := redoubt.Stack{s.telemetry("billing"), mirrors(t, "a", "b")}
		for range 3 {
			_ = do(t.Context(), stack, func(ctx context.Context) error {
				_, err := askA(ctx, failover.Endpoint(ctx))
				return err
			})
		}
		same(t, "spans", s.spans(), `
			#1 redoubt billing internal unset 0s-2s
			   redoubt.attempts=2 redoubt.name=billing redoubt.outcome=success
			   event redoubt.failover at 1s: redoubt.failover.from=a redoubt.failover.reason=_OTHER redoubt.failover.to=b redoubt.layer.name=mirrors
			   #2 attempt billing internal error(down) 0s-1s
			      error.type=_OTHER redoubt.attempt=1 redoubt.failover.endpoint=a redoubt.name=billing
			   #3 attempt billing internal unset 1s-2s
			      redoubt.attempt=2 redoubt.failover.endpoint=b redoubt.name=billing
			      link to #2
			#4 redoubt billing internal unset 2s-4s
			   redoubt.attempts=2 redoubt.name=billing redoubt.outcome=success
			   event redoubt.breaker.transition at 3s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=a redoubt.reason=consecutive
			   event redoubt.failover at 3s: redoubt.failover.from=a redoubt.failover.reason=_OTHER redoubt.failover.to=b redoubt.layer.name=mirrors
			   #5 attempt billing internal error(down) 2s-3s
			      error.type=_OTHER redoubt.attempt=1 redoubt.failover.endpoint=a redoubt.name=billing
			   #6 attempt billing internal unset 3s-4s
			      redoubt.attempt=2 redoubt.failover.endpoint=b redoubt.name=billing
			      link to #5
			#7 redoubt billing internal unset 4s-5s
			   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
			   event redoubt.failover at 4s: redoubt.failover.from=a redoubt.failover.reason=breaker_open redoubt.failover.to=b redoubt.layer.name=mirrors
			   #8 redoubt short-circuit internal error(breaker: a is open (2 failures in a row), last: down) 4s-4s
			      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=a redoubt.layer=breaker redoubt.reason=breaker_open redoubt.retry_after=4
			      link to #5
			   #9 attempt billing internal unset 4s-5s
			      redoubt.attempt=1 redoubt.failover.endpoint=b redoubt.name=billing
		`)
		same(t, "metrics", s.metrics(t), `
			redoubt.attempt.duration s {error.type=_OTHER redoubt.name=billing redoubt.outcome=failure} n 2 sum 2
			redoubt.attempt.duration s {redoubt.name=billing redoubt.outcome=success} n 3 sum 3
			redoubt.breaker.transitions {transition} {redoubt.breaker.from=closed redoubt.breaker.to=open redoubt.layer.name=a redoubt.reason=consecutive} sum 1
			redoubt.call.duration s {redoubt.name=billing redoubt.outcome=success} n 3 sum 5
			redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=false} sum 1
			redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=true} sum 2
			redoubt.failovers {failover} {redoubt.failover.reason=_OTHER redoubt.layer.name=mirrors redoubt.name=billing} sum 2
			redoubt.failovers {failover} {redoubt.failover.reason=breaker_open redoubt.layer.name=mirrors redoubt.name=billing} sum 1
			redoubt.rejections {rejection} {redoubt.layer.name=a redoubt.layer=breaker redoubt.name=billing redoubt.reason=breaker_open} sum 1
			redoubt.retry.attempts {attempt} {redoubt.name=billing} n 3 sum 5
		`)
	})
}

// TestFailover_Alone: without a stack the list records the attempts itself.
func TestFailover_Alone(t *testing.T) {
	if !inChild(t) {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		s.install()
		f := mirrors(t, "a", "b")
		_, _ = failover.Do(t.Context(), f, askA)
		_, err := failover.Do(t.Context(), failover.New(failover.Config{
			Name: "poor", Endpoints: []string{"a", "c"}, Budget: broke{},
		}), askA)
		if failed, ok := errors.AsType[*failover.Error](err); !ok || failed.Stop != failover.StopBudget {
			t.Error(err)
		}
		same(t, "spans", s.spans(), `
			#1 redoubt mirrors internal unset 0s-2s
			   redoubt.attempts=2 redoubt.name=mirrors redoubt.outcome=success
			   event redoubt.failover at 1s: redoubt.failover.from=a redoubt.failover.reason=_OTHER redoubt.failover.to=b redoubt.layer.name=mirrors
			   #2 attempt mirrors internal error(down) 0s-1s
			      error.type=_OTHER redoubt.attempt=1 redoubt.failover.endpoint=a redoubt.name=mirrors
			   #3 attempt mirrors internal unset 1s-2s
			      redoubt.attempt=2 redoubt.failover.endpoint=b redoubt.name=mirrors
			      link to #2
			#4 redoubt poor internal error(failover: poor: budget is empty: a: down; c: skipped: budget is empty) 2s-3s
			   error.type=_OTHER redoubt.attempts=1 redoubt.name=poor redoubt.outcome=failure
			   #5 attempt poor internal error(down) 2s-3s
			      error.type=_OTHER redoubt.attempt=1 redoubt.failover.endpoint=a redoubt.name=poor
			   #6 redoubt short-circuit internal error(failover: poor: budget is empty: a: down; c: skipped: budget is empty) 3s-3s
			      error.type=budget redoubt.layer.name=poor redoubt.layer=failover redoubt.reason=budget
			      link to #5
		`)
	})
}

// broke is a budget that grants nothing.
type broke struct{}

func (broke) Withdraw() bool { return false }
func (broke) Deposit()       {}

// unreachable is a network on which nobody listens at a host.
func unreachable(server *memhttp.Server, host string) {
	dial := server.Transport.DialContext
	server.Transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if address == host {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return dial(ctx, network, address)
	}
}

// TestFailover_AsBase: one attempt of a Transport becomes several sends, and each
// has a span in the Transport's call.
func TestFailover_AsBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		server := memhttp.NewServer(t, answers(503, 503, 200))
		unreachable(server, "b.test:80")
		rt := s.edge(&failover.Transport{
			Base:     server.Transport,
			Failover: mirrors(t, "http://example.com", "http://b.test/base"),
		}, retry.Policy{Backoff: waits(time.Second, time.Second)})
		rt.SpansByBase = true
		if err := fetch(t.Context(), t, rt, "GET", nil); !errors.Is(err, breaker.ErrOpen) {
			t.Error(err)
		}
		same(t, "spans", s.spans(), `
			#1 redoubt billing internal error(retry: gave up after 3 attempts: failover: mirrors: no endpoint takes calls: http://example.com: skipped for another 4s: breaker: http://example.com is open (2 failures in a row), last: failover: status 503 Service Unavailable; http://b.test/base: skipped for another 4s: breaker: http://b.test/base is open (2 failures in a row), last: dial tcp: connection refused) 0s-2s
			   error.type=no_endpoint redoubt.attempts=4 redoubt.name=billing redoubt.outcome=rejected redoubt.retry.stop_reason=permanent
			   event redoubt.failover at 0s: redoubt.failover.from=http://example.com redoubt.failover.reason=503 redoubt.failover.to=http://b.test/base redoubt.layer.name=mirrors
			   event redoubt.retry at 0s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=connection_refused
			   event redoubt.breaker.transition at 1s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=http://example.com redoubt.reason=consecutive
			   event redoubt.failover at 1s: redoubt.failover.from=http://example.com redoubt.failover.reason=503 redoubt.failover.to=http://b.test/base redoubt.layer.name=mirrors
			   event redoubt.breaker.transition at 1s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=http://b.test/base redoubt.reason=consecutive
			   event redoubt.retry at 1s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=connection_refused
			   #2 GET client error() 0s-0s
			      error.type=503 http.request.method=GET http.response.status_code=503 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
			   #3 GET client error(dial tcp: connection refused) 0s-0s
			      error.type=connection_refused http.request.method=GET http.request.resend_count=1 server.address=b.test server.port=80 url.full=http://b.test/base/path?token=REDACTED
			      link to #2
			   #4 GET client error() 1s-1s
			      error.type=503 http.request.method=GET http.request.resend_count=2 http.response.status_code=503 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
			      link to #3
			   #5 GET client error(dial tcp: connection refused) 1s-1s
			      error.type=connection_refused http.request.method=GET http.request.resend_count=3 server.address=b.test server.port=80 url.full=http://b.test/base/path?token=REDACTED
			      link to #4
			   #6 redoubt short-circuit internal error(breaker: http://example.com is open (2 failures in a row), last: failover: status 503 Service Unavailable) 2s-2s
			      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=http://example.com redoubt.layer=breaker redoubt.reason=breaker_open redoubt.retry_after=4
			      link to #4
			   #7 redoubt short-circuit internal error(breaker: http://b.test/base is open (2 failures in a row), last: dial tcp: connection refused) 2s-2s
			      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=http://b.test/base redoubt.layer=breaker redoubt.reason=breaker_open redoubt.retry_after=4
			      link to #5
			   #8 redoubt short-circuit internal error(failover: mirrors: no endpoint takes calls: http://example.com: skipped for another 4s: breaker: http://example.com is open (2 failures in a row), last: failover: status 503 Service Unavailable; http://b.test/base: skipped for another 4s: breaker: http://b.test/base is open (2 failures in a row), last: dial tcp: connection refused) 2s-2s
			      error.type=no_endpoint redoubt.layer.name=mirrors redoubt.layer=failover redoubt.reason=no_endpoint
			      link to #5
		`)
		same(t, "metrics", s.metrics(t), `
			http.client.request.duration s {error.type=503 http.request.method=GET http.response.status_code=503 network.protocol.version=1.1 server.address=example.com server.port=80} n 2 sum 0
			http.client.request.duration s {error.type=connection_refused http.request.method=GET server.address=b.test server.port=80} n 2 sum 0
			redoubt.breaker.transitions {transition} {redoubt.breaker.from=closed redoubt.breaker.to=open redoubt.layer.name=http://b.test/base redoubt.reason=consecutive} sum 1
			redoubt.breaker.transitions {transition} {redoubt.breaker.from=closed redoubt.breaker.to=open redoubt.layer.name=http://example.com redoubt.reason=consecutive} sum 1
			redoubt.call.duration s {error.type=no_endpoint redoubt.name=billing redoubt.outcome=rejected} n 1 sum 2
			redoubt.calls {call} {error.type=no_endpoint redoubt.name=billing redoubt.outcome=rejected redoubt.retried=true} sum 1
			redoubt.failovers {failover} {redoubt.failover.reason=503 redoubt.layer.name=mirrors redoubt.name=billing} sum 2
			redoubt.rejections {rejection} {redoubt.layer.name=http://b.test/base redoubt.layer=breaker redoubt.name=billing redoubt.reason=breaker_open} sum 1
			redoubt.rejections {rejection} {redoubt.layer.name=http://example.com redoubt.layer=breaker redoubt.name=billing redoubt.reason=breaker_open} sum 1
			redoubt.rejections {rejection} {redoubt.layer.name=mirrors redoubt.layer=failover redoubt.name=billing redoubt.reason=no_endpoint} sum 1
			redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 4
			redoubt.retry.delay s {redoubt.name=billing redoubt.retry.delay_source=backoff redoubt.retry.reason=connection_refused} n 2 sum 2
			redoubt.retry.stops {call} {redoubt.name=billing redoubt.retry.stop_reason=permanent} sum 1
		`)
	})
}

// TestFailover_TransportAlone: a span for each send, and the server is told which.
func TestFailover_TransportAlone(t *testing.T) {
	if !inChild(t) {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		s.install()
		otel.SetTextMapPropagator(propagation.TraceContext{})
		var parents []string
		server := memhttp.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			parents = append(parents, r.Header.Get("Traceparent"))
			if r.Host == "example.com" {
				w.WriteHeader(http.StatusBadGateway)
			}
			_, _ = io.WriteString(w, "answer")
		}))
		rt := &failover.Transport{Base: server.Transport, Failover: mirrors(t, "http://example.com", "http://b.test/base")}
		if err := fetch(t.Context(), t, rt, "GET", nil); err != nil {
			t.Error(err)
		}
		if len(parents) != 2 || parents[0] == parents[1] {
			t.Errorf("the servers were told of spans %v, want two", parents)
		}
		same(t, "spans", s.spans(), `
			#1 redoubt mirrors internal unset 0s-0s
			   redoubt.attempts=2 redoubt.name=mirrors redoubt.outcome=success
			   event redoubt.failover at 0s: redoubt.failover.from=http://example.com redoubt.failover.reason=502 redoubt.failover.to=http://b.test/base redoubt.layer.name=mirrors
			   #2 GET client error() 0s-0s
			      error.type=502 http.request.method=GET http.response.status_code=502 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
			   #3 GET client unset 0s-0s
			      http.request.method=GET http.request.resend_count=1 http.response.status_code=200 network.protocol.version=1.1 server.address=b.test server.port=80 url.full=http://b.test/base/path?token=REDACTED
			      link to #2
		`)
	})
}

// TestFailover_PanicInThePropagator comes before there is anybody to close the body.
func TestFailover_PanicInThePropagator(t *testing.T) {
	if !inChild(t) {
		return
	}
	otel.SetTextMapPropagator(brokenPropagator{})
	content := &closedBody{Reader: strings.NewReader("order")}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://example.com/path", content)
	if err != nil {
		t.Fatal(err)
	}
	func() {
		defer func() {
			if r := recover(); r != "broken" {
				t.Errorf("recovered %v", r)
			}
		}()
		resp, err := (&failover.Transport{Failover: mirrors(t, "http://example.com", "http://b.test")}).RoundTrip(req)
		t.Errorf("%v, %v, want a panic", resp, err)
	}()
	if content.closes != 1 {
		t.Errorf("the request body was closed %d times, want once", content.closes)
	}
}

type brokenPropagator struct{ propagation.TraceContext }

func (brokenPropagator) Inject(context.Context, propagation.TextMapCarrier) { panic("broken") }

type closedBody struct {
	io.Reader
	closes int
}

func (b *closedBody) Close() error {
	b.closes++
	return nil
}

// hedgedMirrors are two endpoints, the second of which is slow, with hedges below.
func hedgedMirrors(t *testing.T, parents *[4]string) *failover.Transport {
	server := memhttp.NewServer(t, delays(parents, answerAfter{0, 503}, answerAfter{time.Hour, 200}, answerAfter{time.Second, 200}))
	return &failover.Transport{
		Base:     &hedge.Transport{Base: server.Transport, Hedger: hedger()},
		Failover: mirrors(t, "http://example.com", "http://b.test/base"),
	}
}

// hedgedMirrorsSpans are those of a request to hedgedMirrors.
const hedgedMirrorsSpans = `
	#1 redoubt %s internal unset 0s-2s
	   redoubt.attempts=2 redoubt.name=%[1]s redoubt.outcome=success
	   event redoubt.failover at 0s: redoubt.failover.from=http://example.com redoubt.failover.reason=503 redoubt.failover.to=http://b.test/base redoubt.layer.name=mirrors
	   event redoubt.hedge at 1s: redoubt.hedge.ordinal=1 redoubt.hedge.result=issued redoubt.hedge.time=1 redoubt.layer.name=ledger
	   event redoubt.hedge at 2s: redoubt.hedge.ordinal=1 redoubt.hedge.result=won redoubt.hedge.time=1 redoubt.layer.name=ledger
	   #2 GET client error() 0s-0s
	      error.type=503 http.request.method=GET http.response.status_code=503 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
	   #3 GET client unset 0s-2s
	      http.request.method=GET http.request.resend_count=1 server.address=b.test server.port=80 url.full=http://b.test/base/path?token=REDACTED
	      link to #2
	   #4 GET client unset 1s-2s
	      http.request.method=GET http.request.resend_count=2 http.response.status_code=200 network.protocol.version=1.1 redoubt.hedge.ordinal=1 server.address=b.test server.port=80 url.full=http://b.test/base/path?token=REDACTED
	      link to #3
`

// TestFailover_OverHedge: a hedge of what is sent to an endpoint had no span of
// its own, and went out as if it were the first send.
func TestFailover_OverHedge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		var parents [4]string
		rt := s.edge(hedgedMirrors(t, &parents))
		rt.SpansByBase = true
		if err := fetch(t.Context(), t, rt, "GET", nil); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		same(t, "spans", s.spans(), fmt.Sprintf(hedgedMirrorsSpans, "billing"))
	})
}

// TestFailover_OverHedgeAlone: likewise without a Transport around it, and the
// server is told which span each send has.
func TestFailover_OverHedgeAlone(t *testing.T) {
	if !inChild(t) {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		s.install()
		otel.SetTextMapPropagator(propagation.TraceContext{})
		var parents [4]string
		rt := hedgedMirrors(t, &parents)
		if err := fetch(t.Context(), t, rt, "GET", nil); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		same(t, "spans", s.spans(), fmt.Sprintf(hedgedMirrorsSpans, "mirrors"))
		if parents[0] == parents[1] || parents[1] == parents[2] || parents[0] == "" {
			t.Errorf("the servers were told of spans %q, want three", parents)
		}
	})
}
