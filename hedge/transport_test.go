package hedge_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
)

// eager hedges every call that takes this long.
func eager(delay time.Duration) *hedge.Hedger {
	return hedge.New(hedge.Config{Name: "eager", Delay: delay, MaxExtra: 1})
}

func TestTransport_Contract(t *testing.T) {
	for _, delay := range []time.Duration{0, time.Nanosecond, 10 * time.Millisecond, time.Second} {
		hedged := func(base http.RoundTripper) http.RoundTripper {
			config := hedge.Config{Delay: delay}
			if delay > 0 {
				config.MaxExtra = 1
			}
			return &hedge.Transport{Base: base, Hedger: hedge.New(config)}
		}
		guarded := func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{Base: base, Layer: redoubt.Stack{
				retry.Policy{},
				breaker.New(breaker.Config{Name: "test", Consecutive: 100}),
			}}
		}
		t.Run(delay.String(), func(t *testing.T) {
			t.Run("Alone", func(t *testing.T) { redoubttest.CheckTransport(t, hedged) })
			t.Run("Below", func(t *testing.T) {
				redoubttest.CheckTransport(t, func(base http.RoundTripper) http.RoundTripper { return guarded(hedged(base)) })
			})
			t.Run("Above", func(t *testing.T) {
				redoubttest.CheckTransport(t, func(base http.RoundTripper) http.RoundTripper { return hedged(guarded(base)) })
			})
		})
	}
}
