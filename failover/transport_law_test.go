package failover_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

func TestTransport_Law(t *testing.T) {
	endpoints := []string{"http://any.host", "http://mirror.test:8080/base"}
	list := func(guard func(string) failover.Layer) *failover.Failover {
		return failover.New(failover.Config{Name: "list", Endpoints: endpoints, Guard: guard})
	}
	full := func() redoubt.Stack { return redoubt.Stack{timeout.Limit(time.Minute), retry.Policy{}} }
	for name, wrap := range map[string]func(base http.RoundTripper) http.RoundTripper{
		"alone": func(base http.RoundTripper) http.RoundTripper {
			return &failover.Transport{Base: base, Failover: list(nil)}
		},
		"guarded": func(base http.RoundTripper) http.RoundTripper {
			return &failover.Transport{Base: base, Failover: list(breakers)}
		},
		"limits": func(base http.RoundTripper) http.RoundTripper {
			return &failover.Transport{Base: base, Failover: list(func(endpoint string) failover.Layer {
				return redoubt.Stack{retry.Policy{}, breaker.New(breaker.Config{Name: endpoint}), timeout.Limit(10 * time.Second)}
			})}
		},
		"elsewhere": func(base http.RoundTripper) http.RoundTripper {
			return &failover.Transport{Base: base, Failover: list(breakers), From: "https://other.test"}
		},
		"under redoubt.Transport": func(base http.RoundTripper) http.RoundTripper {
			return &redoubt.Transport{
				Base:        &failover.Transport{Base: base, Failover: list(breakers)},
				Layer:       full(),
				SpansByBase: true,
			}
		},
		"over redoubt.Transport": func(base http.RoundTripper) http.RoundTripper {
			return &failover.Transport{Base: &redoubt.Transport{Base: base, Layer: full()}, Failover: list(nil), SpansByBase: true}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redoubttest.CheckTransport(t, wrap)
		})
	}
}
