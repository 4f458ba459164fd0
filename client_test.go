package redoubt_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// validTransport returns the client's transport after Check.
func validTransport(t *testing.T, client *http.Client) *redoubt.Transport {
	t.Helper()
	rt, ok := client.Transport.(*redoubt.Transport)
	if !ok {
		t.Fatalf("transport is a %T", client.Transport)
	}
	if err := rt.Check(); err != nil {
		t.Error(err)
	}
	return rt
}

func TestNewClient(t *testing.T) {
	client := redoubt.NewClient("billing")
	rt := validTransport(t, client)
	base, ok := rt.Base.(*http.Transport)
	if !ok || client.Timeout != 0 || rt.HeaderTimeout != redoubt.DefaultHeaderTimeout {
		t.Errorf("client = %+v, transport = %+v", client, rt)
	}
	if base.TLSClientConfig != nil {
		t.Errorf("TLS is configured: %+v", base.TLSClientConfig)
	}
}

// TestNewClient_Begins: what an option finds, before it changes anything.
func TestNewClient_Begins(t *testing.T) {
	var c *redoubt.ClientConfig
	redoubt.NewClient("billing", func(config *redoubt.ClientConfig) { c = config })
	if c.Limit != redoubt.DefaultLimit || c.Budget != (retry.BudgetConfig{Name: "billing"}) || c.Transport.Name != "billing" {
		t.Errorf("Limit = %v, Budget = %+v, Transport.Name = %q", c.Limit, c.Budget, c.Transport.Name)
	}
	b := c.Breaker
	if b.Name != "billing" || b.FailureRatio != breaker.DefaultFailureRatio || b.Probes != redoubt.DefaultBreakerProbes || b.CallerDeadline != redoubt.DefaultCallerDeadline {
		t.Errorf("Breaker = %+v", b)
	}
	base := redoubt.NewBase()
	for what, limit := range map[string]time.Duration{
		"IdleConnTimeout":       base.IdleConnTimeout,
		"TLSHandshakeTimeout":   base.TLSHandshakeTimeout,
		"ExpectContinueTimeout": base.ExpectContinueTimeout,
		"SendPingTimeout":       base.HTTP2.SendPingTimeout,
		"PingTimeout":           base.HTTP2.PingTimeout,
	} {
		if limit <= 0 || limit > redoubt.DefaultLimit*3 {
			t.Errorf("base: %s is %v", what, limit)
		}
	}
	if n := base.MaxIdleConnsPerHost; n <= 0 || base.MaxIdleConns < n || !base.ForceAttemptHTTP2 {
		t.Errorf("base: %d idle connections to a host, %d in all, HTTP/2: %t", n, base.MaxIdleConns, base.ForceAttemptHTTP2)
	}
}

// TestNewClient_Given: what an option sets is left alone.
func TestNewClient_Given(t *testing.T) {
	budget := retry.NewBudget(retry.BudgetConfig{})
	budgets := retry.NewBudgetGroup(retry.BudgetGroupConfig{Key: redoubt.Host})
	layer := timeout.Limit(time.Minute)
	rt := validTransport(t, redoubt.NewClient("billing", func(c *redoubt.ClientConfig) { c.Retry.Budget = budget }))
	if p, ok := rt.Layer.(redoubt.Stack)[1].(retry.Policy); !ok || p.Budget != budget || p.Budgets != nil {
		t.Errorf("a budget: %+v", rt.Layer)
	}
	rt = validTransport(t, redoubt.NewClient("billing", func(c *redoubt.ClientConfig) { c.Retry.Budgets = budgets }))
	if p, ok := rt.Layer.(redoubt.Stack)[1].(retry.Policy); !ok || p.Budgets != budgets || p.Budget != nil {
		t.Errorf("budgets: %+v", rt.Layer)
	}
	rt = validTransport(t, redoubt.NewClient("billing", func(c *redoubt.ClientConfig) { c.Transport.Layer = layer }))
	if rt.Layer != redoubt.Layer(layer) {
		t.Errorf("a layer: %+v", rt.Layer)
	}
	rt = validTransport(t, redoubt.NewClient("billing", func(c *redoubt.ClientConfig) { c.Transport = nil }))
	if rt.Name != "billing" || rt.Layer == nil {
		t.Errorf("no transport: %+v", rt)
	}
}

func TestNewClient_Parts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		trips := 0
		client := redoubt.NewClient("billing", nil, func(c *redoubt.ClientConfig) {
			c.Retry = every(time.Second, 2)
			c.Transport.Base = trip(func(r *http.Request) (*http.Response, error) { trips++; return answer(r, 503, ""), nil })
		})
		validTransport(t, client)
		if resp := send(t, client.Transport, newRequest(t.Context(), t, "GET", nil)); resp.StatusCode != http.StatusServiceUnavailable || trips != 2 {
			t.Errorf("status %d after %d trips, want 503 after 2", resp.StatusCode, trips)
		}
	})
}

func TestNewClient_BreakersArePerHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := redoubt.NewClient("billing", func(c *redoubt.ClientConfig) {
			c.Breaker = breaker.Config{Name: "billing", Consecutive: 1}
			c.Transport.Base = trip(func(r *http.Request) (*http.Response, error) {
				if r.URL.Hostname() == "bad.example" {
					return nil, io.EOF
				}
				return answer(r, 200, ""), nil
			})
		})
		get := func(host string) error {
			req := newRequest(t.Context(), t, "GET", nil)
			req.URL.Host = host
			resp, err := client.Transport.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
			return err
		}
		if err := get("bad.example"); err == nil {
			t.Error("no error")
		}
		start := time.Now()
		if err := get("BAD.example:80"); !errors.Is(err, breaker.ErrOpen) || time.Since(start) != 0 {
			t.Errorf("same host: %v after %v, want ErrOpen at once", err, time.Since(start))
		}
		if err := get("good.example"); err != nil {
			t.Errorf("another host: %v", err)
		}
	})
}

func TestNewClient_MistakesSurface(t *testing.T) {
	for want, option := range map[string]redoubt.Option{
		"Ratio is 2":          func(c *redoubt.ClientConfig) { c.Budget.Ratio = 2 },
		"MaxAttempts is -1":   func(c *redoubt.ClientConfig) { c.Retry.MaxAttempts = -1 },
		"Limit is -1s":        func(c *redoubt.ClientConfig) { c.Limit = -time.Second },
		"HeaderTimeout is -1": func(c *redoubt.ClientConfig) { c.Transport.HeaderTimeout = -1 },
		"Cooldown is -1ns":    func(c *redoubt.ClientConfig) { c.Breaker.Cooldown = -1 },
		"AttemptHeader is":    func(c *redoubt.ClientConfig) { c.Transport.AttemptHeader = "a b" },
	} {
		client := redoubt.NewClient("billing", option)
		content := &body{Reader: strings.NewReader("order")}
		_, err := client.Transport.RoundTrip(newRequest(t.Context(), t, "GET", content))
		if err == nil || !strings.Contains(err.Error(), want) || content.closes.Load() == 0 {
			t.Errorf("%s: request: %v; body closed %d times", want, err, content.closes.Load())
		}
		if err := client.Transport.(*redoubt.Transport).Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Check: %v", want, err)
		}
	}
}

func TestTransport_CheckFindsAWindowThatIsTooShort(t *testing.T) {
	client := redoubt.NewClient("billing", func(c *redoubt.ClientConfig) { c.Breaker.Window = 10 * time.Second })
	err := client.Transport.(*redoubt.Transport).Check()
	if err == nil || !strings.Contains(err.Error(), "Window 10s is not longer than the 10s") {
		t.Errorf("Check: %v", err)
	}
}

func TestHost(t *testing.T) {
	for given, want := range map[string]string{
		"http://Example.COM/a":     "http://example.com:80",
		"https://example.com":      "https://example.com:443",
		"https://[2001:DB8::1]/":   "https://[2001:db8::1]:443",
		"http://u:p@example.com:8": "http://example.com:8",
	} {
		got := "unset"
		rt := &redoubt.Transport{
			Base: trip(func(r *http.Request) (*http.Response, error) { return answer(r, 200, ""), nil }),
			Layer: redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
				got = redoubt.Host(ctx)
				if both := redoubt.HostAndMethod(ctx); both != "GET "+got {
					t.Errorf("%s: %q, want GET and %q", given, both, got)
				}
				return call(ctx)
			}),
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, given, nil)
		if err != nil {
			t.Fatal(err)
		}
		if send(t, rt, req); got != want {
			t.Errorf("%s: %q, want %q", given, got, want)
		}
	}
	if got := redoubt.Host(t.Context()) + redoubt.HostAndMethod(t.Context()); got != "" {
		t.Errorf("outside: %q", got)
	}
}

func TestWithLayer(t *testing.T) {
	rt := &redoubt.Transport{
		Layer: timeout.Limit(-1), // runs nothing
		Base:  trip(func(r *http.Request) (*http.Response, error) { return answer(r, 200, ""), nil }),
	}
	for _, layer := range []redoubt.Layer{nil, retry.Policy{}} {
		send(t, rt, newRequest(redoubt.WithLayer(t.Context(), layer), t, "GET", nil))
	}
}

// The times of a client's breaker follow from those of an attempt.
func TestNewClient_BreakerTimes(t *testing.T) {
	tests := []struct {
		name                          string
		option                        redoubt.Option
		window, cooldown, maxCooldown time.Duration
	}{
		{"default", nil, 30 * time.Second, 5 * time.Second, 10 * time.Second},
		{"quick service", func(c *redoubt.ClientConfig) { c.Transport.HeaderTimeout = 100 * time.Millisecond }, 2 * time.Second, 500 * time.Millisecond, time.Second},
		{"2 s", func(c *redoubt.ClientConfig) { c.Transport.HeaderTimeout = 2 * time.Second }, 6 * time.Second, 2 * time.Second, 4 * time.Second},
		{"slow service", func(c *redoubt.ClientConfig) { c.Limit, c.Transport.HeaderTimeout = time.Hour, time.Minute }, 3 * time.Minute, 5 * time.Second, 10 * time.Second},
		{"no limit of an attempt", func(c *redoubt.ClientConfig) { c.Transport.HeaderTimeout = 0 }, 30 * time.Second, 5 * time.Second, 10 * time.Second},
		{"window given", func(c *redoubt.ClientConfig) { c.Breaker.Window = time.Hour }, time.Hour, 5 * time.Second, 10 * time.Second},
		{"cooldown given", func(c *redoubt.ClientConfig) { c.Breaker.Cooldown = time.Minute }, 30 * time.Second, time.Minute, 2 * time.Minute},
		{"longest cooldown given", func(c *redoubt.ClientConfig) { c.Breaker.MaxCooldown = time.Hour }, 30 * time.Second, 5 * time.Second, time.Hour},
		{"slowness alone", func(c *redoubt.ClientConfig) {
			c.Breaker.FailureRatio, c.Breaker.SlowRatio, c.Breaker.SlowCall = 0, .5, time.Second
		}, 30 * time.Second, 5 * time.Second, 10 * time.Second},
		{"another rule", func(c *redoubt.ClientConfig) { c.Breaker.FailureRatio, c.Breaker.Consecutive = 0, 5 }, 0, 5 * time.Second, 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			transport := validTransport(t, redoubt.NewClient("billing", tt.option))
			for _, layer := range transport.Explain().Layers {
				f := layer.Facts
				if f.Kind != redoubt.KindBreaker {
					continue
				}
				if f.Window != tt.window || f.Cooldown != tt.cooldown || f.MaxCooldown != tt.maxCooldown {
					t.Errorf("window %v, cooldown %v to %v; want %v, %v to %v",
						f.Window, f.Cooldown, f.MaxCooldown, tt.window, tt.cooldown, tt.maxCooldown)
				}
				return
			}
			t.Error("no breaker")
		})
	}
}

// TestNewClient_ConcurrencyDeadline: a limit that adapts takes the breaker's
// CallerDeadline for its own unless it is given one.
func TestNewClient_ConcurrencyDeadline(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config limit.Config
		want   int
	}{
		{"the breaker's", limit.Config{}, 18},
		{"its own", limit.Config{CallerDeadline: time.Minute}, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := validTransport(t, redoubt.NewClient("billing", func(c *redoubt.ClientConfig) {
					c.Concurrency = &tt.config
					c.Transport.Base = trip(func(r *http.Request) (*http.Response, error) {
						<-r.Context().Done()
						return nil, r.Context().Err()
					})
				}))
				ctx, cancel := context.WithTimeout(t.Context(), redoubt.DefaultCallerDeadline)
				defer cancel()
				if resp, err := rt.RoundTrip(newRequest(ctx, t, "GET", nil)); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("response %v, error %v", resp, err)
				}
				for _, l := range rt.Layer.(redoubt.Stack)[3].(*limit.Group).Limiters() {
					if got := l.Limit(); got != tt.want {
						t.Errorf("limit after a call that hung until its caller's deadline is %d, want %d", got, tt.want)
					}
					return
				}
				t.Error("no limiter")
			})
		})
	}
}

func TestNewClient_Concurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		server := memhttp.NewServer(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
		client := redoubt.NewClient("billing", func(c *redoubt.ClientConfig) {
			c.Concurrency = &limit.Config{Fixed: 2}
			c.Transport.Base = server.Transport
		})
		validTransport(t, client)
		var calls sync.WaitGroup
		for range 2 {
			calls.Go(func() {
				if resp, err := client.Get("http://one/"); err != nil || resp.Body.Close() != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		_, err := client.Get("http://one/")
		if !errors.Is(err, limit.ErrLimited) || !strings.Contains(err.Error(), "billing") {
			t.Errorf("third request: %v, want one that is refused by billing's limit", err)
		}
		close(release)
		calls.Wait()
		if resp, err := client.Get("http://one/"); err != nil || resp.Body.Close() != nil {
			t.Errorf("after the others: %v", err)
		}
	})
}

// What NewBase's comment lists is all that it changes. Functions can't be
// compared, and what the default sets up when it is first used says nothing.
func TestNewBase_LikeDefault(t *testing.T) {
	base := reflect.ValueOf(redoubt.NewBase()).Elem()
	standard := reflect.ValueOf(http.DefaultTransport).Elem()
	var got []string
	for field, value := range base.Fields() {
		if !field.IsExported() || field.Type.Kind() == reflect.Func || field.Name == "TLSClientConfig" || field.Name == "TLSNextProto" {
			continue
		}
		if !reflect.DeepEqual(value.Interface(), standard.FieldByIndex(field.Index).Interface()) {
			got = append(got, field.Name)
		}
	}
	slices.Sort(got)
	want := []string{"ExpectContinueTimeout", "HTTP2", "IdleConnTimeout", "MaxIdleConns", "MaxIdleConnsPerHost", "TLSHandshakeTimeout"}
	if !slices.Equal(got, want) {
		t.Errorf("it differs in %v, want %v", got, want)
	}
}
