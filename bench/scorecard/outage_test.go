package scorecard

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
)

// outage is what a total failure costs.
func outage() section {
	const down = 30 // seconds, from the tenth on
	measure := func(t *testing.T) (arrivals float64, refusals sample) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			sick := window{10 * time.Second, (10 + down) * time.Second}
			base := &dependency{start: time.Now(), ail: func(at time.Duration, _ uint64) bool { return sick.holds(at) }}
			var before atomic.Uint64 // arrivals, until the circuit opened
			var opened atomic.Int64  // after so long
			start := time.Now()
			transport := redoubt.NewClient("outage", func(c *redoubt.ClientConfig) {
				c.Transport.Base = base
				c.Breaker.OnTransition = func(tr breaker.Transition) {
					if tr.To == breaker.Open && opened.CompareAndSwap(0, int64(tr.At.Sub(start))) {
						before.Store(base.arrivals.Load())
					}
				}
			}).Transport
			var mu sync.Mutex
			run{perSecond: 200, length: sick.to}.drive(t, func(ctx context.Context, _ int) error {
				began := time.Now()
				err := ask(ctx, transport)
				if open := opened.Load(); errors.Is(err, breaker.ErrOpen) && open > 0 && began.Sub(start) > time.Duration(open) {
					mu.Lock()
					defer mu.Unlock()
					refusals = append(refusals, millis(time.Since(began)))
				}
				return err
			})
			if opened.Load() == 0 {
				t.Error("the circuit never opened")
				return
			}
			offered := 200 * (sick.to - time.Duration(opened.Load())).Seconds()
			arrivals = float64(base.arrivals.Load()-before.Load()) / offered
		})
		return arrivals, refusals
	}
	return section{
		title: "A total outage",
		about: `What NewClient makes of 200 requests a second to a dependency that answers nothing
but 503 for half a minute, with its own defaults.`,
		rows: []row{
			{
				name: "arrivals of requests, once open", reference: "–", target: "≤ 0.25 ×", slow: true,
				measure: func(t *testing.T) (string, bool) {
					x, _ := measure(t)
					return fmt.Sprintf("%.3f ×", x), x <= .25
				},
			},
			{
				name: "a refused call, the slowest", reference: "–", target: "≤ 1 ms of waiting", slow: true,
				measure: func(t *testing.T) (string, bool) {
					_, refusals := measure(t)
					if len(refusals) == 0 {
						return "none", false
					}
					worst := refusals.quantile(1)
					return fmt.Sprintf("%.0f ms of waiting (%d calls)", worst, len(refusals)), worst <= 1
				},
			},
		},
	}
}
