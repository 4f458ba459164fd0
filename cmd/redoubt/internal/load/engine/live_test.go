package engine

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

// A record without an end keeps its size, and every request.
func TestLiveGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inj, err := faults.New(faults.Plan{Service: faults.Service{Time: faults.Constant(10 * time.Millisecond)}})
		if err != nil {
			t.Fatal(err)
		}
		l := NewLive(parse(t, "name: live\nuseful-within: 1s"), Bare(), inj.RoundTripper(nil), time.Now(), false)
		const calls, apart = 500, 7 * time.Second
		for range calls {
			ctx, p := l.Begin(t.Context())
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://dependency.test/", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := l.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			p.End(true)
			time.Sleep(apart)
		}
		now := time.Now()
		for range 2 { // a look changes nothing
			r := l.Result(now)
			if want := now.Sub(l.Begun()).Seconds(); r.Run.Seconds != want || r.Run.Useful != calls || r.Run.Latency.Count != calls {
				t.Errorf("%v s, %d useful, %d latencies; want %v s, %d", r.Run.Seconds, r.Run.Useful, r.Run.Latency.Count, want, calls)
			}
			if n := len(r.Cells.Offered); n > maxCells || n < maxCells/2 || sum(r.Cells.Offered) != calls || sum(r.Cells.Useful) != calls || sum(r.Cells.Outcomes[Useful]) != calls {
				t.Errorf("%d cells of %v ms: %d offered", n, r.Cells.CellMS, sum(r.Cells.Offered))
			}
			if n := len(r.Latencies.P50); n > maxLatencies || n < maxLatencies/2 || r.Latencies.P50[0] == nil || *r.Latencies.P50[0] != 10.047 {
				t.Errorf("%d latencies, the first %v", n, *r.Latencies.P50[0])
			}
		}
		l.Reset(now)
		if r := l.Result(now.Add(time.Second)); r.Run.Offered != 0 || r.Run.Seconds != 1 || len(r.Cells.Offered) != 10 {
			t.Errorf("after Reset: %d offered in %v s", r.Run.Offered, r.Run.Seconds)
		}
	})
}
