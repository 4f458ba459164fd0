package redoubt_test

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// The contract of a RoundTripper and more, in every order of layers.
func TestTransport_Law(t *testing.T) {
	for _, order := range []string{
		"",
		"timeout", "retry", "breaker",
		"timeout retry", "retry timeout",
		"timeout breaker", "breaker timeout",
		"retry breaker", "breaker retry",
		"timeout retry breaker", "timeout breaker retry",
		"retry timeout breaker", "retry breaker timeout",
		"breaker timeout retry", "breaker retry timeout",
		"timeout retry breaker timeout",
		"retry timeout retry",
	} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			redoubttest.CheckTransport(t, func(base http.RoundTripper) http.RoundTripper {
				return &redoubt.Transport{Base: base, Layer: stackOf(order)}
			})
		})
	}
}

func stackOf(order string) redoubt.Stack {
	var stack redoubt.Stack
	for kind := range strings.FieldsSeq(order) {
		stack = append(stack, kinds[kind]())
	}
	return stack
}

// And with every option.
func TestTransport_LawOfOptions(t *testing.T) {
	recorded := redoubt.Telemetry{Name: "billing", TracerProvider: recordingTracer{}, MeterProvider: recordingMeter{}}
	full := func() redoubt.Stack { return stackOf("timeout retry breaker timeout") }
	for name, wrap := range map[string]func(base http.RoundTripper) http.RoundTripper{
		"times": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Base: base, Layer: full(), HeaderTimeout: 10 * time.Second, StallTimeout: 3 * time.Minute}
		},
		"no limits": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Base: base, Layer: full(), StallTimeout: redoubt.NoStallTimeout, MaxDrain: redoubt.NoDrain}
		},
		"request buffer": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Base: base, Layer: full(), HeaderTimeout: 10 * time.Second, MaxRequestBuffer: 1 << 20}
		},
		"small request buffer": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Base: base, Layer: full(), MaxRequestBuffer: 3}
		},
		"response buffer": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Base: base, Layer: full(), MaxResponseBuffer: 1 << 20}
		},
		"headers and hooks": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{
				Base: base, Layer: full(), MaxRequestBuffer: 1 << 20,
				DeadlineHeader: "X-Deadline", AttemptHeader: "X-Attempt", RetryAfterMillis: []string{"Retry-After-Ms"}, RetryConflict: true,
				Prepare: func(r *http.Request) error { r.Header.Set("X-Signed", "1"); return nil },
				Failure: func(r *http.Response) bool { return r.StatusCode >= 500 },
			}
		},
		"telemetry": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Base: base, Layer: append(redoubt.Stack{recorded}, full()...), HeaderTimeout: 10 * time.Second}
		},
		"spans by base": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Base: base, Layer: append(redoubt.Stack{recorded}, full()...), SpansByBase: true}
		},
		"twice": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Layer: full(), Base: &redoubt.Transport{Base: base, Layer: full(), MaxRequestBuffer: 1 << 20}}
		},
		"client": func(base http.RoundTripper) http.RoundTripper {
			return redoubt.NewClient("billing", func(c *redoubt.ClientConfig) { c.Transport.Base = base }).Transport
		},
		"custom layer": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Base: base, Layer: redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
				ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
				defer cancel()
				return call(ctx)
			})}
		},
		"patient retries": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Base: base, Layer: redoubt.Stack{
				timeout.Limit(time.Minute),
				retry.Policy{MaxAttempts: 10, Budgets: retry.NewBudgetGroup(retry.BudgetGroupConfig{Key: redoubt.Host})},
				breaker.NewGroup(breaker.GroupConfig{Breaker: breaker.Config{Name: "b"}, Key: redoubt.Host}),
			}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redoubttest.CheckTransport(t, wrap)
		})
	}
}
