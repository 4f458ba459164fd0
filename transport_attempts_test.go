package redoubt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
)

func TestTransport_014_LocalErrorsAreNotRetried(t *testing.T) {
	for name, spoil := range map[string]func(*http.Request){
		"scheme": func(r *http.Request) { r.URL.Scheme = "gopher" },
		"header": func(r *http.Request) { r.Header["X-Bad\n"] = []string{"x"} },
		"value":  func(r *http.Request) { r.Header.Set("X", "a\nb") },
		"method": func(r *http.Request) { r.Method = "GE T" },
		"url":    func(r *http.Request) { r.URL = nil },
		"host":   func(r *http.Request) { r.URL.Host = "" },
	} {
		t.Run(name, func(t *testing.T) {
			trips := 0
			rt := &redoubt.Transport{Layer: atOnce(3), Base: trip(func(r *http.Request) (*http.Response, error) {
				trips++
				return http.DefaultTransport.RoundTrip(r)
			})}
			req := newRequest(t.Context(), t, "GET", nil)
			spoil(req)
			resp, err := rt.RoundTrip(req)
			if resp != nil || err == nil || trips != 1 {
				t.Errorf("%v, %v after %d trips, want an error after 1", resp, err, trips)
			}
		})
	}
}

// Nor do they tell anything about the server.
func TestTransport_014_LocalErrorsAreNobodysFailure(t *testing.T) {
	smallHeaders := []byte{0, 6, 0, 0, 2, 0} // SETTINGS_MAX_HEADER_LIST_SIZE is 512
	for _, tt := range []struct {
		name  string
		http2 bool
		spoil func(*http.Request)
	}{
		{"method", false, func(r *http.Request) { r.Method = "GE T" }},
		{"path", false, func(r *http.Request) { r.URL.Opaque = "/a\nb" }},
		{"trailer", false, func(r *http.Request) { r.Trailer = http.Header{"Content-Length": nil} }},
		{"path", true, func(r *http.Request) { r.URL.Opaque = "a" }},
		{"host", true, func(r *http.Request) { r.Host = "a b" }},
		{"upgrade", true, func(r *http.Request) { r.Header.Set("Upgrade", "echo") }},
		{"trailer", true, func(r *http.Request) { r.Trailer = http.Header{"Content-Length": nil} }},
		{"large header", true, func(r *http.Request) { r.Header.Set("X-Token", strings.Repeat("x", 1000)) }},
	} {
		t.Run(fmt.Sprintf("%s, HTTP/2 %v", tt.name, tt.http2), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var base http.RoundTripper = memhttp.NewServer(t, statuses(&log{}, 200)).Transport
				if tt.http2 {
					base = (&h2{settings: smallHeaders, serve: func(c *h2conn, stream uint32) { c.ok(stream, "") }}).transport(t)
				}
				br := oneFailure()
				rt := &redoubt.Transport{Base: base, Layer: redoubt.Stack{every(time.Second, 3), br}}
				send(t, rt, newRequest(t.Context(), t, "GET", nil)) // the settings are known
				req := newRequest(t.Context(), t, "PUT", &body{Reader: strings.NewReader("order")})
				tt.spoil(req)
				_, err := rt.RoundTrip(req)
				failure, ok := errors.AsType[*redoubt.SendError](err)
				if !ok || !failure.Rejected() || failure.Sent || failure.Retryable() || br.State() != breaker.Closed {
					t.Errorf("err = %v, breaker %v, want one that is not the server's", err, br.State())
				}
			})
		})
	}
}

func TestTransport_015_AttemptsAreTheMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trips := 0
		rt := &redoubt.Transport{Layer: every(time.Second, 4), Base: trip(func(r *http.Request) (*http.Response, error) {
			switch trips++; trips % 3 {
			case 0:
				return nil, syscall.ECONNRESET
			case 1:
				return answer(r, 503, "later"), nil
			default:
				return nil, io.EOF
			}
		})}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err != nil || resp.StatusCode != http.StatusServiceUnavailable || trips != 4 {
			t.Errorf("%v, %v after %d trips, want 503 after 4", resp, err, trips)
		}
	})
}

func TestTransport_016_NestedRetriesDoNotMultiply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trips := 0
		inner := &redoubt.Transport{Layer: every(time.Second, 5), Base: trip(func(r *http.Request) (*http.Response, error) {
			trips++
			return answer(r, 503, ""), nil
		})}
		outer := &redoubt.Transport{Layer: every(time.Second, 3), Base: inner}
		if resp := send(t, outer, newRequest(t.Context(), t, "GET", nil)); resp.StatusCode != http.StatusServiceUnavailable || trips != 3 {
			t.Errorf("status %d after %d trips, want 3", resp.StatusCode, trips)
		}
	})
}

func TestTransport_017_EmptyBudget(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503), func(t *testing.T, s *memhttp.Server) {
		budget := retry.NewBudget(retry.BudgetConfig{Burst: 1, MinPerSecond: retry.NoFloor})
		rt := &redoubt.Transport{Base: s.Transport, Layer: retry.Policy{Backoff: retry.Constant(time.Minute), Budget: budget}}
		if !budget.Withdraw() {
			t.Fatal("budget is empty from the start")
		}
		start := time.Now()
		resp := send(t, rt, newRequest(t.Context(), t, "GET", nil))
		if resp.StatusCode != http.StatusServiceUnavailable || l.count() != 1 || time.Since(start) != 0 {
			t.Errorf("status %d after %d requests and %v, want the 503 at once", resp.StatusCode, l.count(), time.Since(start))
		}
	})
}

func TestTransport_018_BodyThatCannotBeReadAgain(t *testing.T) {
	for _, read := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			trips := 0
			rt := &redoubt.Transport{Layer: every(time.Second, 3), Base: trip(func(r *http.Request) (*http.Response, error) {
				trips++
				if read {
					_, _ = r.Body.Read(make([]byte, 1))
				}
				return nil, syscall.ECONNRESET
			})}
			content := &body{Reader: strings.NewReader("query")}
			_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", content))
			want := 3
			if read {
				want = 1
			}
			if err == nil || trips != want || content.closes.Load() != 1 {
				t.Errorf("body read: %v: %d trips, want %d; closed %d times", read, trips, want, content.closes.Load())
			}
		})
	}
}

func TestTransport_019_MethodsAreCaseSensitive(t *testing.T) {
	for method, want := range map[string]int{"": 2, "GET": 2, "get": 1, "put": 1} {
		var l log
		bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			req := newRequest(t.Context(), t, "GET", nil)
			req.Method = method
			if send(t, rt, req); l.count() != want {
				t.Errorf("%q: %d requests, want %d", method, l.count(), want)
			}
		})
	}
}

func TestTransport_RejectedStatusesByOption(t *testing.T) {
	for status, want := range map[int]int{429: 2, 503: 2, 500: 1} {
		var l log
		bubble(t, statuses(&l, status, 200), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), RetryRejected: []int{429, 503}}
			send(t, rt, newRequest(t.Context(), t, "POST", strings.NewReader("order")))
			if l.count() != want {
				t.Errorf("%d: %d requests, want %d", status, l.count(), want)
			}
		})
	}
}

// A layer that repeats whatever fails must not make us send an order twice.
func TestTransport_LayersCannotForceAnUnsafeResend(t *testing.T) {
	var l log
	stubborn := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
		first := call(ctx)
		for range 2 {
			if err := call(ctx); err != first {
				t.Errorf("asked again: %v, want the last result, %v", err, first)
			}
		}
		return first
	})
	bubble(t, statuses(&l, 503), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: stubborn}
		resp := send(t, rt, newRequest(t.Context(), t, "POST", strings.NewReader("order")))
		if resp.StatusCode != http.StatusServiceUnavailable || l.count() != 1 {
			t.Errorf("status %d after %d requests, want 503 after 1", resp.StatusCode, l.count())
		}
	})
}
