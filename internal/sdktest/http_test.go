package sdktest

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/propagation"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// edge returns a Transport that sends its signals to s.
func (s *sdk) edge(base http.RoundTripper, layers ...redoubt.Layer) *redoubt.Transport {
	return &redoubt.Transport{
		Base: base, Name: "billing", Layer: redoubt.Stack(layers),
		TracerProvider: s.tracer, MeterProvider: s.meter, Propagator: propagation.TraceContext{},
	}
}

// answers is a server that answers with these statuses, the last for ever.
func answers(statuses ...int) http.HandlerFunc {
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		n++
		w.WriteHeader(statuses[min(n, len(statuses))-1])
		_, _ = io.WriteString(w, "answer")
	}
}

// fetch sends a request and reads what comes.
func fetch(ctx context.Context, t *testing.T, rt http.RoundTripper, method string, body io.Reader, header ...string) error {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://user:hunter2@example.com/path?token=hunter2", body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	return err
}

// TestTransport_Spans holds the spans of requests, with those of the layers
// around them.
func TestTransport_Spans(t *testing.T) {
	everySecond := retry.Policy{Backoff: waits(time.Second, 2*time.Second)}
	for _, tt := range []struct {
		name    string
		handler http.HandlerFunc
		run     func(t *testing.T, s *sdk, server *memhttp.Server)
		want    string
	}{
		{
			name:    "135, 136, 142 and 144: one span per attempt",
			handler: answers(503, 503, 200),
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				fetch(t.Context(), t, s.edge(server.Transport, timeout.Limit(time.Minute), everySecond), "GET", nil)
			},
			want: `
				#1 redoubt billing internal unset 0s-3s
				   redoubt.attempts=3 redoubt.name=billing redoubt.outcome=success
				   event redoubt.retry at 0s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=503
				   event redoubt.retry at 1s: redoubt.retry.delay=2 redoubt.retry.delay_source=backoff redoubt.retry.reason=503
				   #2 GET client error() 0s-0s
				      error.type=503 http.request.method=GET http.response.status_code=503 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				   #3 GET client error() 1s-1s
				      error.type=503 http.request.method=GET http.request.resend_count=1 http.response.status_code=503 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      link to #2
				   #4 GET client unset 3s-3s
				      http.request.method=GET http.request.resend_count=2 http.response.status_code=200 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      link to #3
			`,
		},
		{
			name: "142: the server says when",
			handler: func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(429)
			},
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				fetch(t.Context(), t, s.edge(server.Transport, everySecond), "GET", nil)
			},
			want: `
				#1 redoubt billing internal error(retry: gave up after 1 attempt (must wait too long): GET http://example.com/path: 429 Too Many Requests) 0s-0s
				   error.type=429 redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=retry_after
				   #2 GET client error() 0s-0s
				      error.type=429 http.request.method=GET http.response.status_code=429 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				   #3 redoubt short-circuit internal error(retry: gave up after 1 attempt (must wait too long): GET http://example.com/path: 429 Too Many Requests) 0s-0s
				      error.type=retry_after redoubt.layer=retry redoubt.reason=retry_after
				      link to #2
			`,
		},
		{
			name:    "138: cancellation before headers",
			handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				fetch(ctx, t, s.edge(server.Transport, everySecond), "GET", nil)
			},
			want: `
				#1 redoubt billing internal unset 0s-1s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=cancelled redoubt.retry.stop_reason=cancelled
				   #2 GET client unset 0s-1s
				      http.request.method=GET server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
			`,
		},
		{
			name: "138: cancellation in the body",
			handler: func(w http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(w).Flush()
				<-r.Context().Done()
			},
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				fetch(ctx, t, s.edge(server.Transport, everySecond), "GET", nil)
			},
			want: `
				#1 redoubt billing internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   #2 GET client unset 0s-1s
				      http.request.method=GET http.response.status_code=200 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
			`,
		},
		{
			name:    "138: the caller's deadline is an error",
			handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				fetch(ctx, t, s.edge(server.Transport, everySecond), "GET", nil)
			},
			want: `
				#1 redoubt billing internal error(retry: gave up after 1 attempt (time is up): context deadline exceeded) 0s-1s
				   error.type=timeout redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=cancelled
				   #2 GET client error(context deadline exceeded) 0s-1s
				      error.type=timeout http.request.method=GET server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
			`,
		},
		{
			name: "140: a replay of net/http's own",
			handler: func() http.HandlerFunc {
				n := 0
				return func(http.ResponseWriter, *http.Request) {
					if n++; n == 2 {
						panic(http.ErrAbortHandler)
					}
				}
			}(),
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				rt := s.edge(server.Transport)
				fetch(t.Context(), t, rt, "GET", nil)
				time.Sleep(time.Second)
				fetch(t.Context(), t, rt, "GET", nil)
			},
			want: `
				#1 redoubt billing internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   #2 GET client unset 0s-0s
				      http.request.method=GET http.response.status_code=200 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				#3 redoubt billing internal unset 1s-1s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   #4 GET client unset 1s-1s
				      http.request.method=GET http.response.status_code=200 network.protocol.version=1.1 redoubt.http.replays=1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      event redoubt.http.replay at 1s: redoubt.http.connection_reused=false
			`,
		},
		{
			name: "123: leave that never comes",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				conn, stream, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.CopyN(io.Discard, stream, 5)
				_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
			},
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				server.Transport.ExpectContinueTimeout = time.Second
				fetch(t.Context(), t, s.edge(server.Transport), "POST", strings.NewReader("order"), "Expect", "100-continue")
			},
			want: `
				#1 redoubt billing internal unset 0s-1s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   #2 POST client unset 0s-1s
				      http.request.method=POST http.response.status_code=204 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      event redoubt.http.continue at 1s: redoubt.http.continue.granted=false redoubt.http.continue.wait=1
			`,
		},
		{
			name:    "123: leave that comes",
			handler: answers(204),
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				server.Transport.ExpectContinueTimeout = time.Second
				fetch(t.Context(), t, s.edge(server.Transport), "POST", strings.NewReader("order"), "Expect", "100-continue")
			},
			want: `
				#1 redoubt billing internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   #2 POST client unset 0s-0s
				      http.request.method=POST http.response.status_code=204 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      event redoubt.http.continue at 0s: redoubt.http.continue.granted=true redoubt.http.continue.wait=0
			`,
		},
		{
			name: "124: a connection that goes on after its span",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				conn, _, err := http.NewResponseController(w).Hijack()
				if err != nil {
					return
				}
				defer conn.Close()
				_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				time.Sleep(time.Hour)
			},
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				fetch(t.Context(), t, s.edge(server.Transport, everySecond), "GET", nil, "Connection", "Upgrade", "Upgrade", "echo")
			},
			want: `
				#1 redoubt billing internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   #2 GET client unset 0s-0s
				      http.request.method=GET http.response.status_code=101 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
			`,
		},
		{
			name:    "an attempt's limit",
			handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				rt := s.edge(server.Transport, retry.Policy{MaxAttempts: 2, Backoff: waits(time.Second)})
				rt.HeaderTimeout = 5 * time.Second
				fetch(t.Context(), t, rt, "GET", nil)
			},
			want: `
				#1 redoubt billing internal error(retry: gave up after 2 attempts: redoubt: no response headers within 5s) 0s-11s
				   error.type=timeout redoubt.attempts=2 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=attempts
				   event redoubt.retry at 5s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=timeout
				   #2 GET client error(redoubt: no response headers within 5s) 0s-5s
				      error.type=timeout http.request.method=GET server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				   #3 GET client error(redoubt: no response headers within 5s) 6s-11s
				      error.type=timeout http.request.method=GET http.request.resend_count=1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
				      link to #2
			`,
		},
		{
			name: "a body that breaks off",
			handler: func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "100")
				_, _ = io.WriteString(w, "begin")
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			},
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				fetch(t.Context(), t, s.edge(server.Transport, everySecond), "GET", nil)
			},
			want: `
				#1 redoubt billing internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   #2 GET client error(unexpected EOF) 0s-0s
				      error.type=unexpected_eof http.request.method=GET http.response.status_code=200 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
			`,
		},
		{
			name:    "a caller that is gone already",
			handler: answers(200),
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				fetch(ctx, t, s.edge(server.Transport, everySecond), "GET", nil)
			},
			want: `
				#1 redoubt billing internal unset 0s-0s
				   redoubt.attempts=0 redoubt.name=billing redoubt.outcome=cancelled
			`,
		},
		{
			name:    "a field that makes no sense",
			handler: answers(200),
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				rt := s.edge(server.Transport, everySecond)
				rt.HeaderTimeout = -1
				fetch(t.Context(), t, rt, "GET", nil)
			},
			want: `
				#1 redoubt billing internal error(redoubt: Transport: HeaderTimeout is -1ns, must not be negative) 0s-0s
				   error.type=_OTHER redoubt.attempts=0 redoubt.name=billing redoubt.outcome=failure
			`,
		},
		{
			name:    "a method that nobody knows",
			handler: answers(400),
			run: func(t *testing.T, s *sdk, server *memhttp.Server) {
				fetch(t.Context(), t, s.edge(server.Transport, everySecond), "BREW", nil)
			},
			want: `
				#1 redoubt billing internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   #2 HTTP client error() 0s-0s
				      error.type=400 http.request.method=_OTHER http.request.method_original=BREW http.response.status_code=400 network.protocol.version=1.1 server.address=example.com server.port=80 url.full=http://example.com/path?token=REDACTED
			`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				tt.run(t, s, memhttp.NewServer(t, tt.handler))
				same(t, "spans", s.spans(), tt.want)
			})
		})
	}
}
