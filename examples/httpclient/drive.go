package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
)

// A result is one request as its user saw it.
type result struct {
	at       time.Duration // when it was due, since the start
	took     time.Duration // from then on
	useful   bool          // 2xx, read to its end within the user's patience
	rejected bool          // refused by a breaker
}

// A load is requests at a steady rate, whether or not earlier ones have been
// answered: users do not wait for each other.
type load struct {
	url      string
	requests int
	interval time.Duration
	patience time.Duration // of the user, for one request
}

func (l load) drive(ctx context.Context, client *http.Client, start time.Time) []result {
	results := make([]result, l.requests)
	var wg sync.WaitGroup
	for i := range results {
		due := time.Duration(i) * l.interval
		if !sleepUntil(ctx, start.Add(due)) {
			results = results[:i]
			break
		}
		wg.Go(func() { results[i] = l.get(ctx, client, start, due) })
	}
	wg.Wait()
	return results
}

func (l load) get(ctx context.Context, client *http.Client, start time.Time, due time.Duration) result {
	ctx, cancel := context.WithDeadline(ctx, start.Add(due+l.patience))
	defer cancel()
	err := get(ctx, client, l.url)
	return result{
		at:       due,
		took:     time.Since(start) - due,
		useful:   err == nil,
		rejected: errors.Is(err, breaker.ErrOpen),
	}
}

var errStatus = errors.New("not a success")

func get(ctx context.Context, client *http.Client, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // It was read.
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return errStatus
	}
	return nil
}

func sleepUntil(ctx context.Context, t time.Time) bool {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// A summary is what a client's results come to.
type summary struct {
	requests  int
	useful    float64 // share of all requests
	outside   float64 // share of the requests that were due outside of the outage
	p50, p99  time.Duration
	rejected  int
	recovered time.Duration // from the end of the outage on; negative is never
}

func summarize(results []result, s schedule) summary {
	sum := summary{requests: len(results), recovered: recovery(results, s)}
	var took []time.Duration
	useful, outside, usefulOutside := 0, 0, 0
	for _, r := range results {
		took = append(took, r.took)
		useful += count(r.useful)
		sum.rejected += count(r.rejected)
		if !s.outage(r.at) {
			outside++
			usefulOutside += count(r.useful)
		}
	}
	slices.Sort(took)
	sum.p50, sum.p99 = quantile(took, 0.5), quantile(took, 0.99)
	sum.useful = share(useful, len(results))
	sum.outside = share(usefulOutside, outside)
	return sum
}

// recovery returns the time from the end of the outage to the first half second
// in which three quarters of the requests due were useful. The dependency is
// flaky still, so that more can't be asked of the bare client.
func recovery(results []result, s schedule) time.Duration {
	const window, enough = 500 * time.Millisecond, 0.75
	for _, first := range results {
		if first.at < s.recovery() {
			continue
		}
		n, useful := 0, 0
		for _, r := range results {
			if r.at >= first.at && r.at < first.at+window {
				n++
				useful += count(r.useful)
			}
		}
		if share(useful, n) >= enough {
			return first.at - s.recovery()
		}
	}
	return -1
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func count(b bool) int {
	if b {
		return 1
	}
	return 0
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
