package redoubt_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
)

const own = 100 * time.Millisecond // the wait of the policy in these tests

func TestTransport_059_068_RetryAfterInSeconds(t *testing.T) {
	for _, status := range []int{408, 413, 425, 429, 503} {
		var l log
		bubble(t, hints(&l, status, "Retry-After", "7"), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(own, 3)}
			send(t, rt, newRequest(t.Context(), t, "GET", nil))
			if w := l.waits(); len(w) != 1 || w[0] < 7*time.Second || w[0] > 7700*time.Millisecond {
				t.Errorf("%d: waited %v, want 7s and up to a tenth more", status, w)
			}
		})
	}
}

// Time in a bubble begins at midnight UTC, 2000-01-01, a Saturday.
func TestTransport_060_062_066_071_FormsOfRetryAfter(t *testing.T) {
	for name, tt := range map[string]struct {
		header []string
		want   time.Duration
	}{
		"IMF-fixdate":        {[]string{"Retry-After", "Sat, 01 Jan 2000 00:00:09 GMT"}, 9 * time.Second},
		"RFC 850":            {[]string{"Retry-After", "Saturday, 01-Jan-00 00:00:09 GMT"}, 9 * time.Second},
		"asctime":            {[]string{"Retry-After", "Sat Jan  1 00:00:09 2000"}, 9 * time.Second},
		"local clock is off": {[]string{"Retry-After", "Mon, 23 Nov 2026 10:00:20 GMT", "Date", "Mon, 23 Nov 2026 10:00:00 GMT"}, 20 * time.Second},
		"past":               {[]string{"Retry-After", "Fri, 31 Dec 1999 23:59:59 GMT"}, own},
		"zero":               {[]string{"Retry-After", "0"}, own},
		"negative":           {[]string{"Retry-After", "-5"}, own},
		"fraction":           {[]string{"Retry-After", "1.5"}, own},
		"word":               {[]string{"Retry-After", "soon"}, own},
		"empty":              {[]string{"Retry-After", ""}, own},
		"first valid":        {[]string{"Retry-After", "soon", "Retry-After", "5", "Retry-After", "9"}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			bubble(t, hints(&l, 503, tt.header...), func(t *testing.T, s *memhttp.Server) {
				rt := &redoubt.Transport{Base: s.Transport, Layer: every(own, 3)}
				send(t, rt, newRequest(t.Context(), t, "GET", nil))
				if w := l.waits(); len(w) != 1 || w[0] < tt.want || w[0] > tt.want+tt.want/10 {
					t.Errorf("waited %v, want %v and up to a tenth more", w, tt.want)
				}
			})
		})
	}
}

func TestTransport_063_064_TooLongAWait(t *testing.T) {
	for name, tt := range map[string]struct {
		value    string
		deadline time.Duration
	}{
		"above the cap":       {"61", 0},
		"for ever":            {"99999999999999999999999", 0},
		"beyond the deadline": {"30", 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			bubble(t, hints(&l, 503, "Retry-After", tt.value), func(t *testing.T, s *memhttp.Server) {
				ctx := t.Context()
				if tt.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tt.deadline)
					defer cancel()
				}
				start := time.Now()
				resp := send(t, &redoubt.Transport{Base: s.Transport, Layer: every(own, 3)}, newRequest(ctx, t, "GET", nil))
				if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") != tt.value || time.Since(start) != 0 {
					t.Errorf("status %d after %v, want the 503 at once", resp.StatusCode, time.Since(start))
				}
			})
		})
	}
}

// What the server asks for fits into the deadline, and jitter does not spoil it.
func TestTransport_064_JitterKeepsTheDeadline(t *testing.T) {
	for range 20 {
		var l log
		bubble(t, hints(&l, 503, "Retry-After", "10"), func(t *testing.T, s *memhttp.Server) {
			ctx, cancel := context.WithTimeout(t.Context(), 10200*time.Millisecond)
			defer cancel()
			resp := send(t, &redoubt.Transport{Base: s.Transport, Layer: every(own, 3)}, newRequest(ctx, t, "GET", nil))
			if w := l.waits(); resp.StatusCode != http.StatusOK || w[0] < 10*time.Second || w[0] > 10100*time.Millisecond {
				t.Errorf("status %d after waits of %v, want 200 after 10s to 10.1s", resp.StatusCode, w)
			}
		})
	}
}

func TestTransport_069_RedirectsAreNotOurs(t *testing.T) {
	var l log
	bubble(t, hints(&l, 302, "Retry-After", "7", "Location", "/other"), func(t *testing.T, s *memhttp.Server) {
		resp := send(t, &redoubt.Transport{Base: s.Transport, Layer: every(own, 3)}, newRequest(t.Context(), t, "GET", nil))
		if resp.StatusCode != http.StatusFound || l.count() != 1 {
			t.Errorf("status %d after %d requests", resp.StatusCode, l.count())
		}
	})
}

func TestTransport_070_RateLimit(t *testing.T) {
	for name, tt := range map[string]struct {
		status int
		header []string
		want   time.Duration
	}{
		"used up":                {429, []string{"RateLimit", `"default";r=0;t=5`}, 5 * time.Second},
		"longest that is":        {429, []string{"RateLimit", `"a;r=0,";r=1;t=50, "b";r=0;t=5, "c";t=4;r=0`}, 5 * time.Second},
		"not used up":            {429, []string{"RateLimit", `"default";r=3;t=5`}, own},
		"Retry-After wins":       {429, []string{"RateLimit", `"default";r=0;t=5`, "Retry-After", "2"}, 2 * time.Second},
		"another status":         {503, []string{"RateLimit", `"default";r=0;t=5`}, own},
		"nonsense":               {429, []string{"RateLimit", `;;r=0;t=,"`}, own},
		"partition key in bytes": {429, []string{"RateLimit", `"default";r=0;t=5;pk=:QWxs:`}, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			var l log
			bubble(t, hints(&l, tt.status, tt.header...), func(t *testing.T, s *memhttp.Server) {
				send(t, &redoubt.Transport{Base: s.Transport, Layer: every(own, 3)}, newRequest(t.Context(), t, "GET", nil))
				if w := l.waits(); len(w) != 1 || w[0] < tt.want || w[0] > tt.want+tt.want/10 {
					t.Errorf("waited %v, want %v and up to a tenth more", w, tt.want)
				}
			})
		})
	}
}

func TestTransport_072_VendorsHeaders(t *testing.T) {
	for _, name := range []string{"Retry-After-Ms", "X-Ms-Retry-After-Ms", "X-Amz-Retry-After"} {
		for _, configured := range []bool{true, false} {
			var l log
			bubble(t, hints(&l, 503, name, "1500"), func(t *testing.T, s *memhttp.Server) {
				rt := &redoubt.Transport{Base: s.Transport, Layer: every(own, 3)}
				want := own
				if configured {
					rt.RetryAfterMillis = []string{"x-other", name}
					want = 1500 * time.Millisecond
				}
				send(t, rt, newRequest(t.Context(), t, "GET", nil))
				if w := l.waits(); len(w) != 1 || w[0] < want || w[0] > want+want/10 {
					t.Errorf("%s, configured %v: waited %v, want %v", name, configured, w, want)
				}
			})
		}
	}
}

// A server that has too much to do is given more time by default.
func TestTransport_ThrottledBackoff(t *testing.T) {
	for status, most := range map[int]time.Duration{500: 100 * time.Millisecond, 429: time.Second, 503: time.Second} {
		var l log
		bubble(t, statuses(&l, status, 200), func(t *testing.T, s *memhttp.Server) {
			send(t, &redoubt.Transport{Base: s.Transport, Layer: retry.Policy{}}, newRequest(t.Context(), t, "GET", nil))
			if w := l.waits()[0]; w < most/10 || w > most {
				t.Errorf("%d: waited %v, want from %v to %v", status, w, most/10, most)
			}
		})
	}
}

func TestTransport_DeadlineHeader(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), DeadlineHeader: "x-deadline-ms"}
		send(t, rt, newRequest(ctx, t, "GET", nil))
		send(t, rt, newRequest(t.Context(), t, "GET", nil))
		for i, want := range []string{"10000", "9000", ""} {
			if got := l.all()[i].Header.Get("X-Deadline-Ms"); got != want {
				t.Errorf("request %d: %q, want %q", i, got, want)
			}
		}
	})
}

var _ http.RoundTripper = (*redoubt.Transport)(nil)
