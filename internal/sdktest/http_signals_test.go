package sdktest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A trip is a function that is a RoundTripper.
type trip func(*http.Request) (*http.Response, error)

func (f trip) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer r.Body.Close()
	}
	return f(r)
}

// fails is a base that has this error for everybody.
func fails(err error) trip {
	return func(*http.Request) (*http.Response, error) { return nil, err }
}

// clientSpans returns the spans of kind CLIENT, and what their attribute says.
func (s *sdk) clientSpans(key string) []string {
	var values []string
	for _, span := range s.recorder.Ended() {
		if span.SpanKind() != trace.SpanKindClient {
			continue
		}
		value := "absent"
		for _, attr := range span.Attributes() {
			if string(attr.Key) == key {
				value = attr.Value.String()
			}
		}
		values = append(values, value)
	}
	return values
}

// Of every class of failure there is one word, whatever the error's text.
func TestTransport_137_ErrorTypes(t *testing.T) {
	for want, base := range map[string]http.RoundTripper{
		"connection_refused":   fails(&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}),
		"connection_reset":     fails(&net.OpError{Op: "read", Err: syscall.ECONNRESET}),
		"connection_closed":    fails(errors.New("http: server closed idle connection")),
		"connection_broken":    fails(errors.New("net/http: HTTP/1.x transport connection broken: write tcp 10.0.0.1:5: what?")),
		"connection_lost":      fails(errors.New("http2: client connection lost")),
		"http2_goaway":         fails(errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug=\"x\"")),
		"eof":                  fails(io.EOF),
		"unexpected_eof":       fails(io.ErrUnexpectedEOF),
		"dns":                  fails(&net.DNSError{Err: "no such host", Name: "example.com", IsNotFound: true}),
		"certificate":          fails(&tls.CertificateVerificationError{Err: errors.New("x509: whatever")}),
		"tls":                  fails(tls.AlertError(40)),
		"timeout":              fails(context.DeadlineExceeded),
		"invalid_request":      http.DefaultTransport, // the scheme is one that it doesn't know
		"_OTHER":               fails(fmt.Errorf("%T", struct{}{})),
		"panic":                trip(func(*http.Request) (*http.Response, error) { panic("broken") }),
		"http2_refused_stream": fails(streamError{1, 7, nil}),
		"request_body":         fails(errors.New("http2: Transport: cannot retry err [x] after Request.Body was written; define Request.GetBody to avoid this error")),
		"418":                  trip(func(r *http.Request) (*http.Response, error) { return &http.Response{StatusCode: 418}, nil }),
	} {
		t.Run(want, func(t *testing.T) {
			s := newSDK()
			rt := s.edge(base)
			req, _ := http.NewRequestWithContext(t.Context(), "GET", "gopher://example.com/path", nil)
			func() {
				defer func() { _ = recover() }()
				if resp, err := rt.RoundTrip(req); err == nil {
					resp.Body.Close()
				}
			}()
			if got := s.clientSpans("error.type"); !slices.Equal(got, []string{want}) {
				t.Errorf("error.type %q, want %q", got, want)
			}
			if text := s.metrics(t); !strings.Contains(text, "http.client.request.duration s {error.type="+want+" ") {
				t.Errorf("metrics:\n%swant http.client.request.duration with error.type %s", text, want)
			}
		})
	}
}

// streamError has the shape of net/http's own.
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (streamError) Error() string { return "stream error: stream ID 1; REFUSED_STREAM" }

// As does what net/http's own does by reflection.
func (e streamError) As(target any) bool {
	if fmt.Sprintf("%T", target) != "*redoubt.http2StreamError" {
		return false
	}
	setFields(target, e.StreamID, e.Code)
	return true
}

func TestTransport_139_TraceparentIsReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got [][]string
		n := 0
		server := memhttp.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header["Traceparent"])
			if n++; n < 3 {
				w.WriteHeader(503)
			}
		}))
		s := newSDK()
		rt := s.edge(server.Transport, retry.Policy{Backoff: retry.Constant(time.Second)})
		const stale = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://example.com/", nil)
		req.Header["Traceparent"] = []string{stale}
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		// The call is span 1 of trace 1, its attempts are 2, 3 and 4.
		for i, values := range got {
			want := fmt.Sprintf("00-%016x%016x-%016x-01", 0, 1, i+2)
			if !slices.Equal(values, []string{want}) {
				t.Errorf("attempt %d carries traceparent %q, want %s", i+1, values, want)
			}
		}
		if !slices.Equal(req.Header["Traceparent"], []string{stale}) || len(req.Header) != 1 {
			t.Errorf("the caller's header has become %v", req.Header)
		}
	})
}

func TestTransport_141_Metrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memhttp.NewServer(t, answers(503, 200))
		s := newSDK()
		rt := s.edge(server.Transport, retry.Policy{Backoff: retry.Constant(time.Second)})
		if err := fetch(t.Context(), t, rt, "GET", nil); err != nil {
			t.Fatal(err)
		}
		rt.Base = fails(syscall.ECONNREFUSED)
		_ = fetch(t.Context(), t, rt, "POST", strings.NewReader("order"))
		same(t, "metrics", s.metrics(t), `
			http.client.request.duration s {error.type=503 http.request.method=GET http.response.status_code=503 network.protocol.version=1.1 server.address=example.com server.port=80} n 1 sum 0
			http.client.request.duration s {error.type=connection_refused http.request.method=POST server.address=example.com server.port=80} n 3 sum 0
			http.client.request.duration s {http.request.method=GET http.response.status_code=200 network.protocol.version=1.1 server.address=example.com server.port=80} n 1 sum 0
			redoubt.call.duration s {error.type=connection_refused redoubt.name=billing redoubt.outcome=failure} n 1 sum 2
			redoubt.call.duration s {redoubt.name=billing redoubt.outcome=success} n 1 sum 1
			redoubt.calls {call} {error.type=connection_refused redoubt.name=billing redoubt.outcome=failure redoubt.retried=true} sum 1
			redoubt.calls {call} {redoubt.name=billing redoubt.outcome=success redoubt.retried=true} sum 1
			redoubt.retry.attempts {attempt} {redoubt.name=billing} n 2 sum 5
			redoubt.retry.delay s {redoubt.name=billing redoubt.retry.delay_source=backoff redoubt.retry.reason=503} n 1 sum 1
			redoubt.retry.delay s {redoubt.name=billing redoubt.retry.delay_source=backoff redoubt.retry.reason=connection_refused} n 2 sum 2
			redoubt.retry.stops {call} {redoubt.name=billing redoubt.retry.stop_reason=attempts} sum 1
		`)
	})
}

// What is secret in a URL, or in a header, is in none of our signals.
func TestTransport_143_SecretsStayOut(t *testing.T) {
	for name, base := range map[string]func(server *memhttp.Server) http.RoundTripper{
		"503":       func(server *memhttp.Server) http.RoundTripper { return server.Transport },
		"refused":   func(*memhttp.Server) http.RoundTripper { return &http.Transport{DialContext: refuse} },
		"url.Error": func(*memhttp.Server) http.RoundTripper { return trip(spoken) },
		"proxy with a password": func(*memhttp.Server) http.RoundTripper {
			return &http.Transport{
				Proxy:       http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy", User: url.UserPassword("user", "hunter2")}),
				DialContext: refuse,
			}
		},
		"another client within": func(server *memhttp.Server) http.RoundTripper {
			return trip(func(r *http.Request) (*http.Response, error) {
				server.Close()
				again := r.Clone(r.Context())
				return (&http.Client{Transport: server.Transport}).Do(again)
			})
		},
		"hang": func(*memhttp.Server) http.RoundTripper {
			return trip(func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, r.Context().Err()
			})
		},
		"panic": func(*memhttp.Server) http.RoundTripper {
			return trip(func(*http.Request) (*http.Response, error) { panic("broken") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := memhttp.NewServer(t, answers(503))
				var logs bytes.Buffer
				logger := slog.New(slog.NewTextHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
				s := newSDK()
				rt := s.edge(base(server),
					timeout.Limit(time.Hour),
					retry.Policy{Backoff: retry.Constant(time.Second), Logger: logger},
					breaker.New(breaker.Config{Name: "billing", Consecutive: 3, Logger: logger}))
				rt.HeaderTimeout = time.Second
				var texts []string
				for range 3 {
					func() {
						defer func() { _ = recover() }()
						if err := fetch(t.Context(), t, rt, "PUT", strings.NewReader("x"), "Authorization", "Bearer hunter2"); err != nil {
							texts = append(texts, err.Error(), fmt.Sprintf("%+v", err))
						}
					}()
				}
				texts = append(texts, s.spans(), s.metrics(t), logs.String())
				for _, text := range texts {
					if strings.Contains(text, "hunter2") || strings.Contains(text, "user:") {
						t.Errorf("a secret is in:\n%s", text)
					}
				}
				if !strings.Contains(s.spans(), "url.full=http://example.com/path?token=REDACTED") {
					t.Errorf("the URL without its secrets is not in:\n%s", s.spans())
				}
			})
		})
	}
}

func refuse(context.Context, string, string) (net.Conn, error) {
	return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}
}

// spoken is a base whose errors say everything that they know.
func spoken(r *http.Request) (*http.Response, error) {
	return nil, &url.Error{Op: "Put", URL: r.URL.String(), Err: syscall.ECONNRESET}
}

// A redirect carries secrets in Location. The layer sees two requests, and the
// spans of the second have its own URL, redacted.
func TestTransport_143_Redirects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memhttp.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/path" {
				http.Redirect(w, r, "http://user:hunter2@elsewhere.example/login?code=hunter2", http.StatusFound)
				return
			}
			w.WriteHeader(503)
		}))
		s := newSDK()
		client := &http.Client{Transport: s.edge(server.Transport, retry.Policy{MaxAttempts: 1})}
		resp, err := client.Get("http://example.com/path?token=hunter2")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		want := []string{"http://example.com/path?token=REDACTED", "http://elsewhere.example/login?code=REDACTED"}
		if got := s.clientSpans("url.full"); !slices.Equal(got, want) || strings.Contains(s.spans(), "hunter2") {
			t.Errorf("url.full %q, want %q in\n%s", got, want, s.spans())
		}
	})
}

// instrumented returns otelhttp around base.
func (s *sdk) instrumented(base http.RoundTripper) http.RoundTripper {
	return otelhttp.NewTransport(base,
		otelhttp.WithTracerProvider(s.tracer), otelhttp.WithPropagators(propagation.TraceContext{}),
		otelhttp.WithMeterProvider(newSDK().meter), // its metrics are its own
		otelhttp.WithClientTrace(redoubt.ClientTrace))
}

// otelhttp makes the spans of the attempts. It knows how many there were, and
// each of them ends. What they say of the URL is its business.
func TestTransport_135_OtelhttpAsBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memhttp.NewServer(t, answers(503, 503, 200))
		s := newSDK()
		rt := s.edge(s.instrumented(server.Transport), retry.Policy{Backoff: retry.Constant(time.Second)})
		rt.SpansByBase = true
		if err := fetch(t.Context(), t, rt, "GET", nil); err != nil {
			t.Fatal(err)
		}
		if got, want := s.clientSpans("http.request.resend_count"), []string{"absent", "1", "2"}; !slices.Equal(got, want) {
			t.Errorf("http.request.resend_count %q, want %q in\n%s", got, want, s.spans())
		}
		if text := s.spans(); strings.Contains(text, "NOT ENDED") || !strings.Contains(text, "redoubt.attempts=3") {
			t.Errorf("spans:\n%s", text)
		}
		if text := s.metrics(t); strings.Contains(text, "http.client.request.duration") {
			t.Errorf("the duration of otelhttp's requests is measured twice:\n%s", text)
		}
	})
}

// Without SpansByBase both make spans, one within the other, and the server sees
// the inner.
func TestTransport_139_OtelhttpWithin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var got []string
		server := memhttp.NewServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header["Traceparent"] }))
		s := newSDK()
		if err := fetch(t.Context(), t, s.edge(s.instrumented(server.Transport)), "GET", nil); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("00-%016x%016x-%016x-01", 0, 1, 3); !slices.Equal(got, []string{want}) {
			t.Errorf("traceparent %q, want %s in\n%s", got, want, s.spans())
		}
	})
}

// And otelhttp around us: the call is its child.
func TestTransport_136_OtelhttpAround(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := memhttp.NewServer(t, answers(200))
		s := newSDK()
		if err := fetch(t.Context(), t, s.instrumented(s.edge(server.Transport)), "GET", nil); err != nil {
			t.Fatal(err)
		}
		var kinds []string
		for _, span := range s.recorder.Started() {
			kinds = append(kinds, span.SpanKind().String())
		}
		if want := []string{"client", "internal", "client"}; !slices.Equal(kinds, want) || strings.Contains(s.spans(), "NOT ENDED") {
			t.Errorf("kinds %q, want %q in\n%s", kinds, want, s.spans())
		}
	})
}

// A discarded response whose body does not end still ends its span.
func TestTransport_144_DiscardedResponses(t *testing.T) {
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n > 2 {
			return
		}
		w.WriteHeader(503)
		for r.Context().Err() == nil {
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	for name, byBase := range map[string]bool{"ours": false, "otelhttp's": true} {
		t.Run(name, func(t *testing.T) {
			n = 0
			s := newSDK()
			base := http.RoundTripper(&http.Transport{})
			if byBase {
				base = s.instrumented(base)
			}
			rt := s.edge(base, retry.Policy{Backoff: retry.Constant(time.Millisecond)})
			rt.SpansByBase = byBase
			req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
			resp, err := rt.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := s.clientSpans("http.response.status_code"); !slices.Equal(got, []string{"503", "503", "200"}) {
				t.Errorf("spans that ended have statuses %q in\n%s", got, s.spans())
			}
			rt.CloseIdleConnections()
		})
	}
}

func setFields(target any, stream, code uint32) {
	v := reflect.ValueOf(target).Elem()
	v.FieldByName("StreamID").SetUint(uint64(stream))
	v.FieldByName("Code").SetUint(uint64(code))
}
