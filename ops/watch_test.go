package ops

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/retry"
)

// TestWatch is a watch from its beginning to its end, to the nanosecond. That no
// goroutine is left, synctest sees to.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, g := newBreaker("mail"), newGroup(0)
		budget := retry.NewBudget(retry.BudgetConfig{})
		v := newView(t, Config{Layers: []redoubt.Layer{b, g}, Budgets: []*retry.Budget{budget}, Authorize: anybody})
		s := memhttp.NewServer(t, v)
		start := time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		w := startWatch(ctx, t, s, "/events")
		if got := w.resp.Header.Get("Content-Type"); got != "text/event-stream" {
			t.Errorf("content type is %s", got)
		}
		next := func(wantEvent string, after time.Duration) Change {
			t.Helper()
			event, data := w.next(t)
			if got := time.Since(start); event != wantEvent || got != after || !data.At.Equal(start.Add(after)) {
				t.Fatalf("event %q after %v, at %v; want %q after %v", event, got, data.At.Sub(start), wantEvent, after)
			}
			return data
		}

		c := next("state", 0)
		if c.Version != SchemaVersion || !c.Writable || c.IntervalSeconds != 1 || ids(c.Breakers.Rows) != "b1" || len(c.Budgets.Rows) != 1 {
			t.Errorf("first event is %+v", c)
		}
		c = next("change", time.Second)
		if len(c.Breakers.Rows)+len(c.Budgets.Rows)+len(c.Gone) != 0 || c.Breakers.Total != 1 {
			t.Errorf("nothing happened, and that is told: %+v", c)
		}

		time.Sleep(500 * time.Millisecond)
		trip(t.Context(), b)
		_ = g.Do(as(t.Context(), "a"), succeed)
		budget.Withdraw()
		c = next("change", 2*time.Second)
		if ids(c.Breakers.Rows) != "b1 b2/a" || len(c.Breakers.Rows[0].Transitions) != 1 || c.Breakers.Open != 1 || len(c.Budgets.Rows) != 1 {
			t.Errorf("a breaker opened, one is new, and a budget paid: %+v", c)
		}
		if got := c.Breakers.Rows[0]; !got.Until.Equal(start.Add(11500*time.Millisecond)) || got.State != "open" || got.Transitions[0].Error != "connection refused" {
			t.Errorf("it opened as %+v", got)
		}

		_ = g.Do(as(t.Context(), "a"), refuse)
		c = next("change", 3*time.Second)
		if ids(c.Breakers.Rows) != "b2/a" || c.Breakers.Rows[0].Counts.Failures != 1 || c.Breakers.Rows[0].Counts.Consecutive != 1 || c.Breakers.Rows[0].Transitions != nil {
			t.Errorf("a call failed: %+v", c)
		}

		// What somebody does is told at once.
		time.Sleep(300 * time.Millisecond)
		if w := send(v, command(`{"id":"b1","action":"reset"}`)); w.Code != http.StatusOK {
			t.Errorf("reset: %d", w.Code)
		}
		c = next("change", 3300*time.Millisecond)
		if ids(c.Breakers.Rows) != "b1" || c.Breakers.Rows[0].State != "closed" || len(c.Breakers.Rows[0].Transitions) != 2 {
			t.Errorf("it was reset: %+v", c)
		}
		next("change", 4*time.Second)

		cancel()
		synctest.Wait()
		if v.watchers != 0 || v.newest != nil {
			t.Errorf("%d still watch", v.watchers)
		}
	})
}

// TestWatch_Gone holds that rows that are no longer told of are told to be gone:
// because of a search, of MaxRows, or because they were forgotten.
func TestWatch_Gone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(3)
		v := newView(t, Config{Layers: []redoubt.Layer{g, newBreaker("mail")}, MaxRows: 2})
		s := memhttp.NewServer(t, v)
		for _, key := range []string{"a", "b", "c"} {
			_ = g.Do(as(t.Context(), key), succeed)
		}
		w := startWatch(t.Context(), t, s, "/events?q=Tenants")
		_, c := w.next(t)
		if ids(c.Breakers.Rows) != "b1/a b1/b" || c.Breakers.Hidden != 1 || c.Breakers.Matching != 3 || c.Breakers.Total != 4 {
			t.Errorf("first event is %+v", c.Breakers)
		}
		trip(t.Context(), g.For(as(t.Context(), "c")))
		_, c = w.next(t)
		if ids(c.Breakers.Rows) != "b1/c" || len(c.Breakers.Rows[0].Transitions) != 1 || strings.Join(c.Gone, " ") != "b1/b" {
			t.Errorf("c is in trouble: %+v, gone are %q", c.Breakers, c.Gone)
		}
		_ = g.Do(as(t.Context(), "b"), succeed)
		_ = g.Do(as(t.Context(), "d"), succeed) // a is forgotten
		_, c = w.next(t)
		if ids(c.Breakers.Rows) != "b1/b" || strings.Join(c.Gone, " ") != "b1/a" {
			t.Errorf("a is forgotten: %+v, gone are %q", c.Breakers, c.Gone)
		}
	})
}

func TestWatch_TooMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newView(t, Config{MaxWatchers: 2})
		s := memhttp.NewServer(t, v)
		ctx, cancel := context.WithCancel(t.Context())
		startWatch(ctx, t, s, "/events").next(t)
		startWatch(t.Context(), t, s, "/events").next(t)
		w := startWatch(t.Context(), t, s, "/events")
		if w.resp.StatusCode != http.StatusServiceUnavailable || w.resp.Header.Get("Retry-After") != "5" {
			t.Errorf("the third gets %s", w.resp.Status)
		}
		cancel()
		synctest.Wait()
		if w := startWatch(t.Context(), t, s, "/events"); w.resp.StatusCode != http.StatusOK {
			t.Errorf("after one has left, the third gets %s", w.resp.Status)
		}
	})
}

// TestWatch_Shares holds that many who watch cost one look at everything.
func TestWatch_Shares(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newView(t, Config{})
		s := memhttp.NewServer(t, v)
		start := time.Now()
		a := startWatch(t.Context(), t, s, "/events")
		a.next(t)
		time.Sleep(400 * time.Millisecond)
		b := startWatch(t.Context(), t, s, "/events")
		if _, c := b.next(t); !c.At.Equal(start) {
			t.Errorf("another is told of %v, want %v", c.At, start)
		}
		time.Sleep(100 * time.Millisecond)
		c := startWatch(t.Context(), t, s, "/events")
		if _, c := c.next(t); !c.At.Equal(start.Add(500 * time.Millisecond)) {
			t.Errorf("one who comes later is told of %v", c.At)
		}
	})
}

// TestWatch_Slow holds that who does not read is let go after ten seconds.
func TestWatch_Slow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGroup(0)
		for i := range 100 {
			_ = g.Do(as(t.Context(), strings.Repeat("k", 100+i)), succeed)
		}
		v := newView(t, Config{Layers: []redoubt.Layer{g}})
		returned := make(chan time.Time, 1)
		s := memhttp.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			v.ServeHTTP(w, r)
			returned <- time.Now()
		}))
		start := time.Now()
		w := startWatch(t.Context(), t, s, "/events") // and never read
		if got := (<-returned).Sub(start); got != writeTimeout {
			t.Errorf("let go after %v, want %v", got, writeTimeout)
		}
		synctest.Wait()
		if v.watchers != 0 {
			t.Errorf("%d still watch", v.watchers)
		}
		_ = w.resp.Body.Close()
	})
}

// TestWatch_Shutdown holds that a server can shut down at once, and that there
// may be several.
func TestWatch_Shutdown(t *testing.T) {
	v := newView(t, Config{})
	watchThrough := func(s *httptest.Server) *http.Response {
		resp, err := s.Client().Get(s.URL + "/events")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = resp.Body.Close() })
		return resp
	}
	first, second := httptest.NewServer(v), httptest.NewServer(v)
	defer first.Close()
	defer second.Close()
	gone, stays := []*http.Response{watchThrough(first), watchThrough(first)}, watchThrough(second)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	for range 2 { // the second time does nothing
		if err := first.Config.Shutdown(ctx); err != nil {
			t.Fatalf("Shutdown: %v", err)
		}
	}
	for _, resp := range gone {
		if _, err := io.ReadAll(resp.Body); err != nil {
			t.Errorf("the stream ends with %v, want its end", err)
		}
	}
	event := make([]byte, 10)
	for range 3 {
		if _, err := io.ReadFull(stays.Body, event); err != nil {
			t.Errorf("the other server's stream ends with %v", err)
		}
	}
	_ = stays.Body.Close() // for which second.Close waits
	if len(v.servers) != 2 {
		t.Errorf("%d servers are known, want 2", len(v.servers))
	}
}

// A plainWriter is a ResponseWriter that can do nothing else.
type plainWriter struct{ http.ResponseWriter }

// TestWatch_CannotFlush holds that a writer that can't be flushed ends a watch,
// rather than to let it go on and never be heard.
func TestWatch_CannotFlush(t *testing.T) {
	v := newView(t, Config{})
	w := httptest.NewRecorder()
	v.ServeHTTP(plainWriter{w}, httptest.NewRequest(http.MethodGet, "/events", http.NoBody))
	if !strings.HasPrefix(w.Body.String(), "event: state\n") || v.watchers != 0 {
		t.Errorf("body is %q, %d watch", w.Body, v.watchers)
	}
}

// TestWatch_Ended holds that a watch ends with its request's context, whatever
// the server.
func TestWatch_Ended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newView(t, Config{})
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2500*time.Millisecond, errors.New("enough"))
		defer cancel()
		start := time.Now()
		w := httptest.NewRecorder()
		v.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/events", http.NoBody))
		if got := time.Since(start); got != 2500*time.Millisecond {
			t.Errorf("ended after %v", got)
		}
		if got := strings.Count(w.Body.String(), "event: "); got != 3 {
			t.Errorf("%d events, want 3", got)
		}
	})
}
