package scorecard

import (
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
)

// layers is the multiplication of retries by services that call each other.
func layers() section {
	s := section{
		title: "Retries across three services",
		about: `Each of three services calls the next by HTTP, and retries; the last answers
nothing but 503. The load there, as a multiple of what the first was asked: 2,000
requests, 50 a second, with no circuit breaker to help. Source: "Timeouts, retries
and backoff with jitter", Amazon Builders' Library; "Addressing Cascading
Failures", Site Reliability Engineering, 2016. A budget of 20 % paid by traffic
would give 1.73; ours is paid by successes, and there are none.`,
	}
	chain := func(name, reference, target string, attempts int, unlimited bool, met func(float64) bool) {
		s.rows = append(s.rows, row{
			name: name, reference: reference, target: target, slow: true,
			measure: func(t *testing.T) (string, bool) {
				load := amplify(t, attempts, unlimited)
				return fmt.Sprintf("%.3f ×", load), met(load)
			},
		})
	}
	chain("3 attempts, no budget", "27 ×", "27 ×, which proves the harness", 3, true, func(x float64) bool { return x == 27 })
	chain("4 attempts, no budget", "64 ×", "64 ×", 4, true, func(x float64) bool { return x == 64 })
	chain("3 attempts, default budget", "1.331 × to 1.728 × (traffic-paid 10 %, 20 %)", "≤ 1.34 ×", 3, false, func(x float64) bool { return x <= 1.34 })
	return s
}

// amplify returns the load at the last of three services, of that at the first.
func amplify(t *testing.T, attempts int, unlimited bool) float64 {
	t.Helper()
	requests := 2000
	if unlimited {
		requests = 100 // every request is the same
	}
	var arrivals atomic.Int64
	synctest.Test(t, func(t *testing.T) {
		var handler http.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			arrivals.Add(1)
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		var client *http.Client
		for range 3 {
			server := memhttp.NewServer(t, handler)
			client = redoubt.NewClient("next", func(c *redoubt.ClientConfig) {
				c.Retry.MaxAttempts = attempts
				c.Retry.Backoff = retry.Constant(time.Millisecond)
				if unlimited {
					c.Retry.Budgets = nil
					c.Budget.Burst = 1e9
				}
				c.Breaker = breaker.Config{Name: "next", Shadow: true}
				c.Transport.Base = server.Transport
			})
			next := client
			handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				resp, err := get(r, next)
				if err != nil {
					t.Error(err)
					w.WriteHeader(http.StatusBadGateway)
					return
				}
				w.WriteHeader(resp.StatusCode)
			})
		}
		for range requests {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://next/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := get(req, client); err != nil {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond)
		}
		client.CloseIdleConnections()
	})
	return float64(arrivals.Load()) / float64(requests)
}

// get asks the next service what r asks this one, and reads the answer.
func get(r *http.Request, client *http.Client) (*http.Response, error) {
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, "http://next/", http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp, err
}
