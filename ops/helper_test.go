package ops

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
)

var errDown = errors.New("connection refused")

func refuse(context.Context) error { return errDown }

func succeed(context.Context) error { return nil }

func anybody(*http.Request) error { return nil }

// newBreaker returns one that opens at the second failure in a row, for exactly
// ten seconds.
func newBreaker(name string) *breaker.Breaker {
	return breaker.New(breaker.Config{Name: name, Consecutive: 2, Cooldown: 10 * time.Second, Jitter: breaker.NoJitter})
}

func trip(ctx context.Context, b *breaker.Breaker) {
	for range 2 {
		_ = b.Do(ctx, refuse)
	}
}

type tenantKey struct{}

func tenant(ctx context.Context) string {
	key, _ := ctx.Value(tenantKey{}).(string)
	return key
}

func as(ctx context.Context, key string) context.Context {
	return context.WithValue(ctx, tenantKey{}, key)
}

// newGroup returns a group of breakers by tenant.
func newGroup(limit int) *breaker.Group {
	return breaker.NewGroup(breaker.GroupConfig{
		Breaker: breaker.Config{Name: "tenants", Consecutive: 2, Cooldown: 10 * time.Second, Jitter: breaker.NoJitter},
		Key:     tenant,
		Max:     limit,
	})
}

// traced is a context with a span of a fixed trace.
func traced(ctx context.Context) context.Context {
	return trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{0x4b, 0xf9, 0x2f, 15: 0x36},
		SpanID:  trace.SpanID{7: 1},
	}))
}

func newView(t *testing.T, config Config) *View {
	t.Helper()
	v := New(config)
	if err := v.Check(); err != nil {
		t.Fatal(err)
	}
	return v
}

// get returns the answer to a request for a snapshot.
func get(t *testing.T, v *View, target string) Snapshot {
	t.Helper()
	w := httptest.NewRecorder()
	v.ServeHTTP(w, httptest.NewRequest(http.MethodGet, target, http.NoBody))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%s: %d %s %s", target, w.Code, w.Header(), w.Body)
	}
	var s Snapshot
	if err := json.Unmarshal(w.Body.Bytes(), &s); err != nil {
		t.Fatalf("%s: %v", target, err)
	}
	return s
}

// ids are those of rows.
func ids(rows []Circuit) string {
	var all []string
	for _, row := range rows {
		all = append(all, row.ID)
	}
	return strings.Join(all, " ")
}

// A watch is a client that is told of events.
type watch struct {
	resp *http.Response
	body *bufio.Reader
}

func startWatch(ctx context.Context, t *testing.T, s *memhttp.Server, target string) *watch {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://ops.example"+target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := s.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	return &watch{resp, bufio.NewReader(resp.Body)}
}

// next waits for an event.
func (w *watch) next(t *testing.T) (event string, data Change) {
	t.Helper()
	event, data, err := w.read()
	if err != nil {
		t.Fatal(err)
	}
	return event, data
}

func (w *watch) read() (event string, data Change, err error) {
	for {
		line, err := w.body.ReadString('\n')
		if err != nil {
			return event, data, err
		}
		line = strings.TrimSuffix(line, "\n")
		switch field, value, _ := strings.Cut(line, ": "); field {
		case "event":
			event = value
		case "data":
			if err := json.Unmarshal([]byte(value), &data); err != nil {
				return event, data, err
			}
		case "":
			return event, data, nil
		default:
			return event, data, errors.New("unexpected line " + line)
		}
	}
}
