package sdktest

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
)

func hedger(change ...func(*hedge.Config)) *hedge.Hedger {
	config := hedge.Config{Name: "ledger", Delay: time.Second, MaxExtra: 1}
	for _, c := range change {
		c(&config)
	}
	return hedge.New(config)
}

// delays is a server that answers its nth request with the nth status, after the
// nth delay, and notes which span each request says it comes from.
func delays(parents *[4]string, answers ...struct {
	after  time.Duration
	status int
},
) http.HandlerFunc {
	var requests atomic.Int32
	return func(w http.ResponseWriter, r *http.Request) {
		n := requests.Add(1) - 1
		parents[n] = r.Header.Get("Traceparent")
		select {
		case <-time.After(answers[n].after):
			w.WriteHeader(answers[n].status)
		case <-r.Context().Done():
		}
	}
}

type answerAfter = struct {
	after  time.Duration
	status int
}

// TestHedge_Spans holds the spans and events of hedged requests: each send has a
// span, and the one that lost is nobody's failure.
func TestHedge_Spans(t *testing.T) {
	for _, tt := range []struct {
		name    string
		answers []answerAfter
		layers  []redoubt.Layer
		config  func(*hedge.Config)
		want    string
	}{
		{
			name:    "hedge wins",
			answers: []answerAfter{{time.Hour, 200}, {time.Second, 200}},
			want: `
				#1 redoubt billing internal unset 0s-2s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   event redoubt.hedge at 1s: redoubt.hedge.ordinal=1 redoubt.hedge.result=issued redoubt.hedge.time=1 redoubt.layer.name=ledger
				   event redoubt.hedge at 2s: redoubt.hedge.ordinal=1 redoubt.hedge.result=won redoubt.hedge.time=1 redoubt.layer.name=ledger
				   #2 GET client unset 0s-2s
				      http.request.method=GET server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				   #3 GET client unset 1s-2s
				      http.request.method=GET http.request.resend_count=1 http.response.status_code=200 network.protocol.version=1.1 redoubt.hedge.ordinal=1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      link to #2
			`,
		},
		{
			name:    "first wins",
			answers: []answerAfter{{2 * time.Second, 200}, {time.Hour, 200}},
			want: `
				#1 redoubt billing internal unset 0s-2s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   event redoubt.hedge at 1s: redoubt.hedge.ordinal=1 redoubt.hedge.result=issued redoubt.hedge.time=1 redoubt.layer.name=ledger
				   event redoubt.hedge at 2s: redoubt.hedge.ordinal=1 redoubt.hedge.result=lost redoubt.hedge.time=1 redoubt.layer.name=ledger
				   #2 GET client unset 0s-2s
				      http.request.method=GET http.response.status_code=200 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				   #3 GET client unset 1s-2s
				      http.request.method=GET http.request.resend_count=1 redoubt.hedge.ordinal=1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      link to #2
			`,
		},
		{
			name:    "both fail, and a retry follows",
			answers: []answerAfter{{3 * time.Second, 503}, {time.Second, 500}, {0, 200}},
			layers:  []redoubt.Layer{retry.Policy{Backoff: waits(time.Second)}},
			want: `
				#1 redoubt billing internal unset 0s-4s
				   redoubt.attempts=2 redoubt.name=billing redoubt.outcome=success
				   event redoubt.hedge at 1s: redoubt.hedge.ordinal=1 redoubt.hedge.result=issued redoubt.hedge.time=1 redoubt.layer.name=ledger
				   event redoubt.hedge at 3s: redoubt.hedge.ordinal=1 redoubt.hedge.result=failed redoubt.hedge.time=2 redoubt.layer.name=ledger
				   event redoubt.retry at 3s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=503
				   #2 GET client error() 0s-3s
				      error.type=503 http.request.method=GET http.response.status_code=503 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				   #3 GET client error() 1s-3s
				      error.type=500 http.request.method=GET http.request.resend_count=1 http.response.status_code=500 network.protocol.version=1.1 redoubt.hedge.ordinal=1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      link to #2
				   #4 GET client unset 4s-4s
				      http.request.method=GET http.request.resend_count=2 http.response.status_code=200 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      link to #2
			`,
		},
		{
			name:    "first fails and the hedge wins",
			answers: []answerAfter{{2 * time.Second, 503}, {2 * time.Second, 200}},
			want: `
				#1 redoubt billing internal unset 0s-3s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   event redoubt.hedge at 1s: redoubt.hedge.ordinal=1 redoubt.hedge.result=issued redoubt.hedge.time=1 redoubt.layer.name=ledger
				   event redoubt.hedge at 3s: redoubt.hedge.ordinal=1 redoubt.hedge.result=won redoubt.hedge.time=2 redoubt.layer.name=ledger
				   #2 GET client error() 0s-3s
				      error.type=503 http.request.method=GET http.response.status_code=503 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				   #3 GET client unset 1s-3s
				      http.request.method=GET http.request.resend_count=1 http.response.status_code=200 network.protocol.version=1.1 redoubt.hedge.ordinal=1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      link to #2
			`,
		},
		{
			name:    "withheld",
			answers: []answerAfter{{2 * time.Second, 200}},
			config:  func(c *hedge.Config) { c.Withhold = func(context.Context) bool { return true } },
			want: `
				#1 redoubt billing internal unset 0s-2s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   event redoubt.hedge at 1s: redoubt.hedge.ordinal=1 redoubt.hedge.result=withheld redoubt.hedge.time=1 redoubt.layer.name=ledger redoubt.reason=rule
				   #2 GET client unset 0s-2s
				      http.request.method=GET http.response.status_code=200 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
			`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var parents [4]string
				server := memhttp.NewServer(t, delays(&parents, tt.answers...))
				s := newSDK()
				config := func(*hedge.Config) {}
				if tt.config != nil {
					config = tt.config
				}
				rt := s.edge(&hedge.Transport{Base: server.Transport, Hedger: hedger(config)}, tt.layers...)
				if err := fetch(t.Context(), t, rt, "GET", nil); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				same(t, "spans", s.spans(), tt.want)
				for i := range tt.answers {
					var want string
					for _, span := range s.recorder.Started() {
						if span.SpanKind() == trace.SpanKindClient && span.SpanContext().IsValid() {
							if want = "00-" + span.SpanContext().TraceID().String() + "-" + span.SpanContext().SpanID().String() + "-01"; parents[i] == want {
								break
							}
						}
					}
					if parents[i] != want {
						t.Errorf("request %d comes from %s, want a span of its own", i+1, parents[i])
					}
				}
			})
		})
	}
}

// TestHedge_FunctionSpans holds those of hedged functions, and all that is
// counted.
func TestHedge_FunctionSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		var runs atomic.Int32
		call := hedge.Func(hedger(), func(ctx context.Context) (int, error) {
			n := runs.Add(1)
			after := []time.Duration{time.Hour, time.Second, 2 * time.Second, 9 * time.Second, 2 * time.Second, 500 * time.Millisecond, 3 * time.Second}[n-1]
			select {
			case <-time.After(after):
			case <-ctx.Done():
				return 0, ctx.Err()
			}
			if n == 6 {
				return 0, errDown
			}
			return int(n), nil
		})
		stack := redoubt.Stack{s.telemetry("billing")}
		for range 3 {
			_, _ = redoubt.Do(t.Context(), stack, call)
		}
		withheld := hedge.Func(hedger(func(c *hedge.Config) { c.MaxExtra = 0.5 }), func(context.Context) (int, error) {
			time.Sleep(2 * time.Second)
			return 0, nil
		})
		_, _ = redoubt.Do(t.Context(), stack, withheld)
		same(t, "spans", s.spans(), `
			#1 redoubt billing internal unset 0s-2s
			   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
			   event redoubt.hedge at 1s: redoubt.hedge.ordinal=1 redoubt.hedge.result=issued redoubt.hedge.time=1 redoubt.layer.name=ledger
			   event redoubt.hedge at 2s: redoubt.hedge.ordinal=1 redoubt.hedge.result=won redoubt.hedge.time=1 redoubt.layer.name=ledger
			   #2 attempt billing internal unset 0s-2s
			      redoubt.attempt=1 redoubt.name=billing
			      #3 hedge billing internal unset 1s-2s
			         redoubt.hedge.ordinal=1 redoubt.name=billing
			         link to #2
			#4 redoubt billing internal unset 2s-4s
			   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
			   event redoubt.hedge at 3s: redoubt.hedge.ordinal=1 redoubt.hedge.result=issued redoubt.hedge.time=1 redoubt.layer.name=ledger
			   event redoubt.hedge at 4s: redoubt.hedge.ordinal=1 redoubt.hedge.result=lost redoubt.hedge.time=1 redoubt.layer.name=ledger
			   #5 attempt billing internal unset 2s-4s
			      redoubt.attempt=1 redoubt.name=billing
			      #6 hedge billing internal unset 3s-4s
			         redoubt.hedge.ordinal=1 redoubt.name=billing
			         link to #5
			#7 redoubt billing internal unset 4s-6s
			   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
			   event redoubt.hedge at 5s: redoubt.hedge.ordinal=1 redoubt.hedge.result=issued redoubt.hedge.time=1 redoubt.layer.name=ledger
			   event redoubt.hedge at 6s: redoubt.hedge.ordinal=1 redoubt.hedge.result=failed redoubt.hedge.time=1 redoubt.layer.name=ledger
			   #8 attempt billing internal unset 4s-6s
			      redoubt.attempt=1 redoubt.name=billing
			      #9 hedge billing internal error(down) 5s-6s
			         error.type=_OTHER redoubt.hedge.ordinal=1 redoubt.name=billing
			         link to #8
			#10 redoubt billing internal unset 6s-8s
			   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
			   event redoubt.hedge at 7s: redoubt.hedge.ordinal=1 redoubt.hedge.result=withheld redoubt.hedge.time=1 redoubt.layer.name=ledger redoubt.reason=max_extra
			   #11 attempt billing internal unset 6s-8s
			      redoubt.attempt=1 redoubt.name=billing
		`)
		same(t, "metrics", s.metrics(t), `
			redoubt.attempt.duration s {redoubt.name=billing redoubt.outcome=success} n 4 sum 8
			redoubt.call.duration s {redoubt.name=billing redoubt.outcome=success} n 4 sum 8
			redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=false} sum 4
			redoubt.hedges {hedge} {redoubt.hedge.result=failed redoubt.layer.name=ledger redoubt.name=billing} sum 1
			redoubt.hedges {hedge} {redoubt.hedge.result=issued redoubt.layer.name=ledger redoubt.name=billing} sum 3
			redoubt.hedges {hedge} {redoubt.hedge.result=lost redoubt.layer.name=ledger redoubt.name=billing} sum 1
			redoubt.hedges {hedge} {redoubt.hedge.result=withheld redoubt.layer.name=ledger redoubt.name=billing redoubt.reason=max_extra} sum 1
			redoubt.hedges {hedge} {redoubt.hedge.result=won redoubt.layer.name=ledger redoubt.name=billing} sum 1
			redoubt.retry.attempts {attempt} {redoubt.name=billing} n 4 sum 4
		`)
	})
}

// TestHedge_LatePanic: a panic that nobody can be told of is counted.
func TestHedge_LatePanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		var runs atomic.Int32
		call := hedge.Func(hedger(), func(context.Context) (int, error) {
			if runs.Add(1) == 1 {
				time.Sleep(time.Hour)
				panic("late")
			}
			return 1, nil
		})
		_, _ = redoubt.Do(t.Context(), redoubt.Stack{s.telemetry("billing")}, call)
		time.Sleep(2 * time.Hour)
		same(t, "metrics", s.metrics(t), `
			redoubt.attempt.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 1
			redoubt.call.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 1
			redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=false} sum 1
			redoubt.hedges {hedge} {redoubt.hedge.result=issued redoubt.layer.name=ledger redoubt.name=billing} sum 1
			redoubt.hedges {hedge} {redoubt.hedge.result=panicked redoubt.layer.name=ledger redoubt.name=billing} sum 1
			redoubt.hedges {hedge} {redoubt.hedge.result=won redoubt.layer.name=ledger redoubt.name=billing} sum 1
			redoubt.retry.attempts {attempt} {redoubt.name=billing} n 1 sum 1
		`)
	})
}

// TestHedge_OverFailover: beside one another, sends that become several in turn do
// not share the call of the Transport around them. The race detector watches.
func TestHedge_OverFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		server := memhttp.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(10 * time.Millisecond)
			if r.Host == "example.com" {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		list := failover.New(failover.Config{Name: "mirrors", Endpoints: []string{"http://example.com", "http://b.test"}})
		quick := hedger(func(c *hedge.Config) { c.Delay, c.Hedges = time.Nanosecond, 3 })
		rt := s.edge(&hedge.Transport{
			Base:   &failover.Transport{Base: server.Transport, Failover: list},
			Hedger: quick,
		})
		rt.SpansByBase = true
		for range 20 {
			if err := fetch(t.Context(), t, rt, "GET", nil); err != nil {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute)
		for _, span := range s.recorder.Ended() {
			if span.Name() != "redoubt billing" {
				continue
			}
			for _, attr := range span.Attributes() {
				if attr.Key == "redoubt.attempts" && attr.Value.AsInt64() != 1 {
					t.Errorf("a call of %d attempts, want 1", attr.Value.AsInt64())
				}
			}
		}
	})
}
