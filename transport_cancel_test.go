package redoubt_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
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

func TestTransport_073_083_CancelDuringBackoff(t *testing.T) {
	why := errors.New("operator pressed the button")
	for name, first := range map[string]trip{
		"after a response": func(r *http.Request) (*http.Response, error) { return answer(r, 503, "x"), nil },
		"after an error":   func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancelCause(t.Context())
				time.AfterFunc(time.Second, func() { cancel(why) })
				start := time.Now()
				rt := &redoubt.Transport{Base: first, Layer: every(time.Hour, 3)}
				resp, err := rt.RoundTrip(newRequest(ctx, t, "GET", nil))
				if took := time.Since(start); resp != nil || took != time.Second {
					t.Errorf("%v after %v, want an error after 1s", resp, took)
				}
				var status *redoubt.StatusError
				last := errors.Is(err, syscall.ECONNRESET) || errors.As(err, &status)
				if !errors.Is(err, context.Canceled) || !errors.Is(err, why) || !last {
					t.Errorf("err = %v, want cancellation, its cause and the last attempt's error", err)
				}
				var timeout interface{ Timeout() bool }
				if errors.As(err, &timeout) && timeout.Timeout() {
					t.Errorf("err = %v says Timeout", err)
				}
			})
		})
	}
}

func TestTransport_074_DeadlineBeforeTheNextAttempt(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503), func(t *testing.T, s *memhttp.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		resp := send(t, &redoubt.Transport{Base: s.Transport, Layer: every(time.Minute, 3)}, newRequest(ctx, t, "GET", nil))
		if resp.StatusCode != 503 || time.Since(start) != 0 {
			t.Errorf("status %d after %v, want the 503 at once", resp.StatusCode, time.Since(start))
		}
	})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		rt := &redoubt.Transport{Layer: every(time.Minute, 3), Base: trip(func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET })}
		start := time.Now()
		_, err := rt.RoundTrip(newRequest(ctx, t, "GET", nil))
		var gaveUp *retry.Error
		if !errors.Is(err, syscall.ECONNRESET) || !errors.As(err, &gaveUp) || gaveUp.Stop != retry.StopDeadline || time.Since(start) != 0 {
			t.Errorf("err = %v after %v", err, time.Since(start))
		}
	})
}

func TestTransport_075_ClientTimeout(t *testing.T) {
	for name, tt := range map[string]struct {
		handler func(*log) http.HandlerFunc
		backoff time.Duration
	}{
		"in an attempt": {func(*log) http.HandlerFunc {
			return func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}, time.Second},
		"between two attempts": {func(l *log) http.HandlerFunc { return statuses(l, 503) }, 700 * time.Millisecond},
	} {
		for range 20 {
			var l log
			bubble(t, tt.handler(&l), func(t *testing.T, s *memhttp.Server) {
				// The layer hides the deadline, so that the sleep itself is interrupted.
				hide := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
					return every(tt.backoff, 3).Do(undated{ctx}, call)
				})
				client := &http.Client{Transport: &redoubt.Transport{Base: s.Transport, Layer: hide}, Timeout: time.Second}
				start := time.Now()
				resp, err := client.Get("http://example.com/")
				var outer *url.Error
				if resp != nil || !errors.As(err, &outer) || !outer.Timeout() || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
					t.Errorf("%s: %v, %v after %v, want a timeout after 1s", name, resp, err, time.Since(start))
				}
			})
		}
	}
}

// undated is a context that does not tell its deadline.
type undated struct {
	context.Context
}

func (undated) Deadline() (time.Time, bool) { return time.Time{}, false }

func TestTransport_076_RequestCancel(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503), func(t *testing.T, s *memhttp.Server) {
		cancel := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(cancel) })
		req := newRequest(t.Context(), t, "GET", nil)
		req.Cancel = cancel //nolint:staticcheck // Deprecated, and still in use.
		start := time.Now()
		_, err := (&redoubt.Transport{Base: s.Transport, Layer: every(time.Hour, 3)}).RoundTrip(req)
		if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("err = %v after %v, want cancellation after 1s", err, time.Since(start))
		}
	})
}

// A layer that lets its call outlive the caller gets an error all the same, since
// net/http looks at Request.Cancel by itself.
func TestTransport_076_RequestCancelPastADetachedLayer(t *testing.T) {
	bubble(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(t *testing.T, s *memhttp.Server) {
		detach := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
			return call(context.WithoutCancel(ctx))
		})
		cancel := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(cancel) })
		req := newRequest(t.Context(), t, "GET", nil)
		req.Cancel = cancel //nolint:staticcheck // Deprecated, and still in use.
		start := time.Now()
		_, err := (&redoubt.Transport{Base: s.Transport, Layer: detach}).RoundTrip(req)
		if !errors.Is(err, context.Canceled) || time.Since(start) != time.Second {
			t.Errorf("err = %v after %v, want cancellation after 1s", err, time.Since(start))
		}
	})
}

func TestTransport_077_ContextAlreadyDone(t *testing.T) {
	trips := 0
	rt := &redoubt.Transport{Base: trip(func(r *http.Request) (*http.Response, error) { trips++; return answer(r, 200, ""), nil })}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	content := &body{Reader: strings.NewReader("order")}
	resp, err := rt.RoundTrip(newRequest(ctx, t, "PUT", content))
	if resp != nil || !errors.Is(err, context.Canceled) || trips != 0 || content.closes.Load() == 0 {
		t.Errorf("%v, %v after %d trips, body closed %d times", resp, err, trips, content.closes.Load())
	}
}

func TestTransport_079_CancelWhileTheBodyIsRead(t *testing.T) {
	for _, deadline := range []bool{false, true} {
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}, func(t *testing.T, s *memhttp.Server) {
			ctx, cancel := context.WithCancel(t.Context())
			want := context.Canceled
			if deadline {
				ctx, cancel = context.WithTimeout(t.Context(), time.Second)
				want = context.DeadlineExceeded
			} else {
				time.AfterFunc(time.Second, cancel)
			}
			defer cancel()
			resp, err := (&redoubt.Transport{Base: s.Transport}).RoundTrip(newRequest(ctx, t, "GET", nil))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(resp.Body); err != want {
				t.Errorf("err = %v, want %v itself", err, want)
			}
		})
	}
}

// net/http tells of a cancellation with a cause by the cause alone over HTTP/1, and
// by Canceled alone over HTTP/2. Here it is both.
func TestTransport_079_CauseOfTheCancellation(t *testing.T) {
	why := errors.New("operator pressed the button")
	handler := func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}
	for _, http2 := range []bool{false, true} {
		bubble(t, handler, func(t *testing.T, s *memhttp.Server) {
			base := s.Transport
			if http2 {
				base = (&h2{serve: func(c *h2conn, stream uint32) { c.frame(frameHeaders, flagEndHeaders, stream, []byte{0x88}) }}).transport(t)
			}
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(time.Second, func() { cancel(why) })
			resp, err := (&redoubt.Transport{Base: base}).RoundTrip(newRequest(ctx, t, "GET", nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
				t.Errorf("HTTP/2 %v: err = %v, want cancellation and its cause", http2, err)
			}
		})
	}
}

func TestTransport_080_081_CallerIsNobodysFailure(t *testing.T) {
	for name, limit := range map[string]time.Duration{"cancel": 0, "deadline": time.Second} {
		t.Run(name, func(t *testing.T) {
			var l log
			bubble(t, func(_ http.ResponseWriter, r *http.Request) {
				l.note(r)
				<-r.Context().Done()
			}, func(t *testing.T, s *memhttp.Server) {
				budget := retry.NewBudget(retry.BudgetConfig{})
				b := breaker.New(breaker.Config{Name: "b", Consecutive: 1})
				rt := &redoubt.Transport{Base: s.Transport, HeaderTimeout: time.Minute, Layer: redoubt.Stack{
					retry.Policy{Backoff: retry.Constant(time.Second), Budget: budget}, b,
				}}
				ctx, cancel := context.WithCancel(t.Context())
				if limit > 0 {
					ctx, cancel = context.WithTimeout(t.Context(), limit)
				} else {
					time.AfterFunc(time.Second, cancel)
				}
				defer cancel()
				before := budget.Balance()
				_, err := rt.RoundTrip(newRequest(ctx, t, "GET", nil))
				if !errors.Is(err, ctx.Err()) || l.count() != 1 || budget.Balance() != before || b.State() != breaker.Closed {
					t.Errorf("err = %v after %d requests, budget %v, breaker %v", err, l.count(), budget.Balance(), b.State())
				}
			})
		})
	}
}

// Whenever the end comes, in a call that meets a slow failure, a reset, a
// misdirection and a slow success: it is over at once, the request body is closed
// once, and the bubble says that nothing is left.
func TestTransport_073_EndAtAnyMoment(t *testing.T) {
	for _, kind := range []string{"cancel", "deadline", "Request.Cancel"} {
		for _, buffer := range []int64{0, 64} {
			for end := 50 * time.Millisecond; end < 6*time.Second; end += 370 * time.Millisecond {
				var l log
				bubble(t, bumpy(&l), func(t *testing.T, s *memhttp.Server) {
					ctx, cancel := context.WithCancel(t.Context())
					content, legacy := &body{Reader: strings.NewReader("order")}, make(chan struct{})
					switch kind {
					case "cancel":
						time.AfterFunc(end, cancel)
					case "deadline":
						ctx, cancel = context.WithTimeout(t.Context(), end)
					case "Request.Cancel":
						time.AfterFunc(end, func() { close(legacy) })
					}
					defer cancel()
					req := newRequest(ctx, t, "PUT", content)
					req.Cancel = legacy //nolint:staticcheck // Deprecated, and still in use.
					rt := &redoubt.Transport{
						Base: s.Transport, Layer: every(time.Second, 5), HeaderTimeout: 3 * time.Second,
						MaxRequestBuffer: buffer, MaxResponseBuffer: buffer,
					}
					start := time.Now()
					resp, err := rt.RoundTrip(req)
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
					took := time.Since(start)
					synctest.Wait()
					if took > end || content.closes.Load() != 1 {
						t.Errorf("%s after %v: over after %v, body closed %d times: %v", kind, end, took, content.closes.Load(), err)
					}
					if err != nil && took == end && kind != "Request.Cancel" && !errors.Is(err, ctx.Err()) {
						t.Errorf("%s after %v: err = %v", kind, end, err)
					}
					time.Sleep(time.Minute) // until the server has noticed
				})
			}
		}
	}
}

// bumpy returns a handler that fails in a different way each time.
func bumpy(l *log) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(400 * time.Millisecond)
		slow := func(text string) {
			_ = http.NewResponseController(w).Flush()
			time.Sleep(300 * time.Millisecond)
			_, _ = io.WriteString(w, text)
		}
		switch l.note(r) {
		case 1:
			w.WriteHeader(503)
			slow("later")
		case 2:
			memhttp.Reset(r)
		case 3:
			w.WriteHeader(http.StatusMisdirectedRequest)
		default:
			slow("done")
		}
	}
}

// A cancellation that is not the caller's is a failure like any other, but not
// one that is known to pass.
func TestTransport_080_CanceledIsJudgedByTheCaller(t *testing.T) {
	b := breaker.New(breaker.Config{Name: "b", Consecutive: 1})
	rt := &redoubt.Transport{Layer: b, Base: trip(func(*http.Request) (*http.Response, error) { return nil, context.Canceled })}
	_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	if !errors.Is(err, context.Canceled) || b.State() != breaker.Open {
		t.Errorf("err = %v, breaker %v", err, b.State())
	}
}
