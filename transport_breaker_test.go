package redoubt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// oneFailure opens at the first failure, for exactly a minute.
func oneFailure() *breaker.Breaker {
	return breaker.New(breaker.Config{Name: "b", Consecutive: 1, Cooldown: time.Minute, Jitter: breaker.NoJitter})
}

// probing returns a breaker that is half-open.
func probing(t *testing.T) *breaker.Breaker {
	t.Helper()
	br := oneFailure()
	_ = br.Do(t.Context(), func(context.Context) error { return io.EOF })
	time.Sleep(time.Minute)
	if br.State() != breaker.HalfOpen {
		t.Fatalf("breaker is %v", br.State())
	}
	return br
}

// silent is a server that never answers.
func silent(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

func TestTransport_099_CancelIsNoVerdict(t *testing.T) {
	for name, cancelled := range map[string]func(context.Context, *http.Request) (*http.Request, func()){
		"cancelled": func(ctx context.Context, r *http.Request) (*http.Request, func()) {
			ctx, cancel := context.WithCancel(ctx)
			return r.WithContext(ctx), cancel
		},
		"with a cause": func(ctx context.Context, r *http.Request) (*http.Request, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			return r.WithContext(ctx), func() { cancel(errors.New("shutting down")) }
		},
		"with a cause that looks like a failure": func(ctx context.Context, r *http.Request) (*http.Request, func()) {
			ctx, cancel := context.WithCancelCause(ctx)
			return r.WithContext(ctx), func() { cancel(syscall.ECONNRESET) }
		},
		"by Request.Cancel": func(ctx context.Context, r *http.Request) (*http.Request, func()) {
			done := make(chan struct{})
			r = r.WithContext(ctx)
			r.Cancel = done //nolint:staticcheck // As http.Client does.
			return r, func() { close(done) }
		},
		"by its deadline": func(ctx context.Context, r *http.Request) (*http.Request, func()) {
			ctx, cancel := context.WithTimeout(ctx, time.Second)
			_ = cancel
			return r.WithContext(ctx), func() {}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for where, handler := range map[string]http.HandlerFunc{
				"headers": silent,
				"body": func(w http.ResponseWriter, r *http.Request) {
					_ = http.NewResponseController(w).Flush()
					<-r.Context().Done()
				},
			} {
				bubble(t, handler, func(t *testing.T, s *memhttp.Server) {
					br := oneFailure()
					rt := &redoubt.Transport{Base: s.Transport, Layer: redoubt.Stack{every(time.Second, 3), br}}
					req, cancel := cancelled(t.Context(), newRequest(t.Context(), t, "GET", nil))
					time.AfterFunc(time.Second, cancel)
					resp, err := rt.RoundTrip(req)
					if err == nil {
						_, err = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
					counts := br.Counts()
					if err == nil || br.State() != breaker.Closed || counts.Failures != 0 || where == "headers" && counts.Calls() != 0 {
						t.Errorf("in the %s: %v, breaker %v with %+v, want no failure", where, err, br.State(), counts)
					}
				})
			}
		})
	}
}

func TestTransport_099_CancelWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		br := oneFailure()
		rt := &redoubt.Transport{Layer: redoubt.Stack{every(time.Second, 3), br}, Base: trip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, fmt.Errorf("dial: %w", syscall.ETIMEDOUT) // says nothing of the cancellation
		})}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := rt.RoundTrip(newRequest(ctx, t, "GET", nil))
		if !errors.Is(err, context.Canceled) || br.State() != breaker.Closed {
			t.Errorf("err = %v, breaker %v, want Canceled and closed", err, br.State())
		}
	})
}

func TestTransport_100_ClientErrorsAreSuccesses(t *testing.T) {
	for status, want := range map[int]breaker.State{
		400: breaker.Closed, 401: breaker.Closed, 403: breaker.Closed, 404: breaker.Closed, 408: breaker.Closed, 409: breaker.Closed,
		422: breaker.Closed, 429: breaker.Closed, 499: breaker.Closed, 501: breaker.Closed, 505: breaker.Closed,
		500: breaker.Open, 502: breaker.Open, 503: breaker.Open, 504: breaker.Open,
	} {
		var l log
		bubble(t, statuses(&l, status), func(t *testing.T, s *memhttp.Server) {
			br := oneFailure()
			rt := &redoubt.Transport{Base: s.Transport, Layer: br}
			send(t, rt, newRequest(t.Context(), t, "POST", nil))
			if br.State() != want {
				t.Errorf("after %d the breaker is %v, want %v", status, br.State(), want)
			}
		})
	}
}

// Whoever wants 429 to count says so to the breaker.
func TestTransport_100_ThrottlingCountsIfWanted(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 429), func(t *testing.T, s *memhttp.Server) {
		br := breaker.New(breaker.Config{Name: "b", Consecutive: 1, Classify: func(err error) breaker.Outcome {
			var status *redoubt.StatusError
			if errors.As(err, &status) && status.StatusCode == http.StatusTooManyRequests {
				return breaker.Failure
			}
			return breaker.DefaultClassify(err)
		}})
		rt := &redoubt.Transport{Base: s.Transport, Layer: br}
		send(t, rt, newRequest(t.Context(), t, "GET", nil))
		if br.State() != breaker.Open {
			t.Errorf("after 429 the breaker is %v, want open", br.State())
		}
	})
}

func TestTransport_101_CancelledProbe(t *testing.T) {
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == "PUT" {
			silent(w, r)
		}
	}, func(t *testing.T, s *memhttp.Server) {
		br := probing(t)
		rt := &redoubt.Transport{Base: s.Transport, Layer: br}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := rt.RoundTrip(newRequest(ctx, t, "PUT", nil)); !errors.Is(err, context.Canceled) || br.State() != breaker.HalfOpen {
			t.Errorf("err = %v, breaker %v, want Canceled and half-open", err, br.State())
		}
		send(t, rt, newRequest(t.Context(), t, "GET", nil))
		if br.State() != breaker.Closed {
			t.Errorf("after the next probe the breaker is %v, want closed", br.State())
		}
	})
}

func TestTransport_102_OpenBreakerInsideARetry(t *testing.T) {
	for _, tt := range []struct {
		name     string
		policy   retry.Policy
		deadline time.Duration // 0 is none
		took     time.Duration
		requests int
	}{
		{"no waiting", every(time.Second, 3), 5 * time.Minute, 0, 0},
		{"no deadline", awaiting(every(time.Second, 3)), 0, 0, 0},
		{"deadline before it reopens", awaiting(every(time.Second, 3)), 30 * time.Second, 0, 0},
		{"deadline after it reopens", awaiting(every(time.Second, 3)), 5 * time.Minute, time.Minute, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l log
			bubble(t, statuses(&l, 200), func(t *testing.T, s *memhttp.Server) {
				br := oneFailure()
				_ = br.Do(t.Context(), func(context.Context) error { return io.EOF })
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				rt := &redoubt.Transport{Base: s.Transport, Layer: redoubt.Stack{tt.policy, br}}
				start := time.Now()
				resp, err := rt.RoundTrip(newRequest(ctx, t, "POST", strings.NewReader("order")))
				if err == nil {
					resp.Body.Close()
				}
				// A tenth more at most, so that those who wait do not come all at once.
				if took := time.Since(start); took < tt.took || took > tt.took+tt.took/10 || l.count() != tt.requests || (err == nil) != (tt.requests > 0) {
					t.Errorf("%v after %v and %d requests, want %v and %d", err, took, l.count(), tt.took, tt.requests)
				}
				if err == nil {
					return
				}
				var open *breaker.OpenError
				if !errors.As(err, &open) || !errors.Is(err, breaker.ErrOpen) {
					t.Fatalf("err = %v, want an OpenError", err)
				}
				if after, ok := open.RetryAfter(); after != time.Minute || !ok {
					t.Errorf("RetryAfter = %v, %v, want 1m", after, ok)
				}
			})
		})
	}
}

func TestTransport_103_OneHostDoesNotOpenTheOthers(t *testing.T) {
	var l log
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		l.note(r)
		if r.Host == "broken.example" {
			w.WriteHeader(500)
		}
	}, func(t *testing.T, s *memhttp.Server) {
		client := redoubt.NewClient("billing", func(c *redoubt.ClientConfig) {
			c.Transport.Base = s.Transport
			c.Breaker.Consecutive, c.Breaker.FailureRatio = 3, 0
			c.Retry.MaxAttempts = 1
		})
		get := func(address string) error {
			resp, err := client.Get(address)
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		for range 3 {
			if err := get("http://broken.example/"); err != nil {
				t.Fatal(err)
			}
		}
		for address, open := range map[string]bool{
			"http://broken.example/other":   true,
			"http://BROKEN.example:80/":     true,  // the same, spelt otherwise
			"http://broken.example:8080/":   false, // another port is another server
			"http://fine.example/":          false,
			"http://user@fine.example:80/x": false,
		} {
			if err := get(address); errors.Is(err, breaker.ErrOpen) != open {
				t.Errorf("%s: %v, want open: %v", address, err, open)
			}
		}
	})
}

func TestTransport_104_OneVerdictPerAttempt(t *testing.T) {
	type counts struct{ successes, failures int64 }
	for name, tt := range map[string]struct {
		base      trip
		transport redoubt.Transport
		want      counts
	}{
		"success": {
			base: func(r *http.Request) (*http.Response, error) { return answer(r, 200, "ok"), nil },
			want: counts{successes: 1},
		},
		"failed status": {
			base: func(r *http.Request) (*http.Response, error) { return answer(r, 500, "no"), nil },
			want: counts{failures: 1},
		},
		"error": {
			base: func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET },
			want: counts{failures: 1},
		},
		"silence before headers": {
			base: func(r *http.Request) (*http.Response, error) {
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			},
			transport: redoubt.Transport{HeaderTimeout: time.Second},
			want:      counts{failures: 1},
		},
		"body dies": {
			base: func(r *http.Request) (*http.Response, error) { return dying(r), nil },
			want: counts{successes: 1}, // headers were in time
		},
		"body dies, and belongs to the attempt": {
			base:      func(r *http.Request) (*http.Response, error) { return dying(r), nil },
			transport: redoubt.Transport{MaxResponseBuffer: 1 << 10},
			want:      counts{failures: 1},
		},
		"panic": {
			base: func(*http.Request) (*http.Response, error) { panic("broken") },
			want: counts{failures: 1},
		},
		"request of no use": {
			base: func(r *http.Request) (*http.Response, error) {
				r = r.Clone(r.Context())
				r.URL.Scheme = "gopher"
				return http.DefaultTransport.RoundTrip(r)
			},
			want: counts{},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				br := breaker.New(breaker.Config{Name: "b", Consecutive: 100})
				rt := tt.transport
				rt.Base, rt.Layer = tt.base, br
				func() {
					defer func() { _ = recover() }()
					resp, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", nil))
					if err == nil {
						_, _ = io.ReadAll(resp.Body)
						resp.Body.Close()
					}
				}()
				c := br.Counts()
				if got := (counts{c.Successes, c.Failures}); got.failures != tt.want.failures || got.successes > tt.want.successes {
					t.Errorf("%+v, want %+v", got, tt.want)
				}
			})
		})
	}
}

// dying returns a response that breaks off.
func dying(r *http.Request) *http.Response {
	resp := answer(r, 200, "")
	resp.ContentLength = -1
	resp.Body = io.NopCloser(io.MultiReader(strings.NewReader("begin"), failing{io.ErrUnexpectedEOF}))
	return resp
}

// Each attempt of a call is one call for a breaker inside of the retry, and the
// whole is one for a breaker outside of it.
func TestTransport_104_BreakersInsideAndOutside(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 503, 200), func(t *testing.T, s *memhttp.Server) {
		inside := breaker.New(breaker.Config{Name: "in", Consecutive: 100})
		outside := breaker.New(breaker.Config{Name: "out", Consecutive: 100})
		rt := &redoubt.Transport{Base: s.Transport, Layer: redoubt.Stack{outside, every(time.Second, 3), inside, timeout.Limit(time.Second)}}
		send(t, rt, newRequest(t.Context(), t, "GET", nil))
		if c := inside.Counts(); c.Failures != 2 || c.Successes != 1 {
			t.Errorf("inside: %+v, want 2 failures and a success", c)
		}
		if c := outside.Counts(); c.Failures != 0 || c.Successes != 1 {
			t.Errorf("outside: %+v, want a success", c)
		}
	})
}

func TestTransport_106_RetryAfterLengthensTheCooldown(t *testing.T) {
	for _, tt := range []struct {
		header string
		honor  bool
		want   time.Duration
	}{
		{"", true, 5 * time.Second},
		{"30", true, 30 * time.Second},
		{"30", false, 5 * time.Second},
		{"86400", true, time.Minute}, // capped
		{"1", true, 5 * time.Second}, // never shorter
	} {
		var l log
		bubble(t, hints(&l, 503, "Retry-After", tt.header), func(t *testing.T, s *memhttp.Server) {
			br := breaker.New(breaker.Config{
				Name: "b", Consecutive: 1, Cooldown: 5 * time.Second, MaxCooldown: time.Minute, Jitter: breaker.NoJitter, HonorRetryAfter: tt.honor,
			})
			rt := &redoubt.Transport{Base: s.Transport, Layer: br}
			send(t, rt, newRequest(t.Context(), t, "GET", nil))
			time.Sleep(tt.want - time.Nanosecond)
			before := br.State()
			time.Sleep(time.Nanosecond)
			if after := br.State(); before != breaker.Open || after != breaker.HalfOpen {
				t.Errorf("Retry-After %q, honoured %v: breaker %v just before %v and %v then, want open and half-open",
					tt.header, tt.honor, before, tt.want, after)
			}
		})
	}
}

// Many hosts, each visited once, must not stay in memory for ever; the hosts
// that are in trouble must.
func TestNewClient_ManyHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		base := trip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host == "broken.example" {
				return answer(r, 500, ""), nil
			}
			return answer(r, 200, ""), nil
		})
		client := redoubt.NewClient("crawler", func(c *redoubt.ClientConfig) {
			c.Transport.Base = base
			c.Breaker.Consecutive, c.Breaker.FailureRatio, c.Breaker.Cooldown = 1, 0, time.Hour
			c.Breaker.MaxCooldown = time.Hour
			c.Retry.MaxAttempts = 1
		})
		visit := func(host string) error {
			resp, err := client.Get("http://" + host + "/")
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		if err := visit("broken.example"); err != nil {
			t.Fatal(err)
		}
		for n := range 2000 {
			if err := visit(fmt.Sprintf("host%d.example", n)); err != nil {
				t.Fatal(err)
			}
		}
		before := heap()
		for n := 2000; n < 12000; n++ {
			if err := visit(fmt.Sprintf("host%d.example", n)); err != nil {
				t.Fatal(err)
			}
		}
		if after := heap(); after > before+2<<20 {
			t.Errorf("10,000 hosts more, and %d bytes more in use", after-before)
		}
		if err := visit("broken.example"); !errors.Is(err, breaker.ErrOpen) {
			t.Errorf("err = %v, want ErrOpen: what is open may not be forgotten", err)
		}
	})
}

// The budget of a host is shared by all requests to it and by no other host.
func TestNewClient_BudgetPerHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		trips := map[string]int{}
		client := redoubt.NewClient("billing", func(c *redoubt.ClientConfig) {
			c.Transport.Base = trip(func(r *http.Request) (*http.Response, error) {
				mu.Lock()
				defer mu.Unlock()
				trips[r.URL.Host]++
				return answer(r, 502, ""), nil
			})
			c.Budget.Burst, c.Budget.MinPerSecond = 2, retry.NoFloor
			c.Breaker.Consecutive, c.Breaker.FailureRatio = 1000, 0
		})
		for range 5 {
			for _, host := range []string{"one.example", "two.example"} {
				resp, err := client.Get("http://" + host)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
			}
		}
		for host, got := range trips {
			if got != 5+2 {
				t.Errorf("%s: %d requests for 5 calls, want 7: the budget has two retries", host, got)
			}
		}
	})
}

// TestTransport_RefusalWithinBase: a breaker that is part of Base opens between
// two attempts. What the server said last is the result, as if the breaker were
// among the layers.
func TestTransport_RefusalWithinBase(t *testing.T) {
	unavailable := func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "maintenance")
	}
	bubble(t, unavailable, func(t *testing.T, s *memhttp.Server) {
		inner := &redoubt.Transport{Base: s.Transport, Layer: breaker.New(breaker.Config{Name: "b", Consecutive: 1})}
		rt := &redoubt.Transport{Base: inner, Layer: retry.Policy{}}
		resp := send(t, rt, newRequest(t.Context(), t, http.MethodGet, nil))
		body, err := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusServiceUnavailable || string(body) != "maintenance" || err != nil {
			t.Errorf("%d, %q, %v, want the server's 503", resp.StatusCode, body, err)
		}
	})
}
