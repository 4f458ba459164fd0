package ops

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
)

var update = flag.Bool("update", false, "rewrite the golden file")

// TestState is the schema: whoever changes it changes the golden file, and if a
// field is gone or means something else, SchemaVersion too.
func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		tenants := newGroup(0)
		payments := breaker.New(breaker.Config{
			Name: "payments", Window: 10 * time.Second, FailureRatio: 0.5, MinCalls: 2,
			SlowCall: time.Second, SlowRatio: 0.75, Cooldown: time.Minute, Jitter: breaker.NoJitter, Shadow: true,
		})
		budget := retry.NewBudget(retry.BudgetConfig{Name: "payments", Burst: 4, MinPerSecond: retry.NoFloor})
		limiter := limit.New(limit.Config{Name: "payments", Fixed: 1, MaxWait: time.Minute})
		uploads := limit.NewGroup(limit.GroupConfig{Limiter: limit.Config{Name: "uploads", Fixed: 3}, Key: tenant})
		_ = uploads.Do(as(ctx, "a"), succeed)
		v := newView(t, Config{
			Name:      "checkout",
			Layers:    []redoubt.Layer{redoubt.Stack{retry.Policy{Budget: budget}, payments, limiter, tenants, uploads}},
			Authorize: anybody,
			TraceURL:  "https://jaeger.example/trace/{trace_id}",
		})
		_ = tenants.Do(as(ctx, "a"), succeed)
		trip(traced(as(ctx, "b")), tenants.For(as(ctx, "b")))
		_ = tenants.Do(as(ctx, `<img src=x onerror="alert(1)">`), succeed)
		_ = payments.Do(ctx, succeed)
		time.Sleep(9500 * time.Millisecond)
		_ = payments.Do(ctx, refuse)
		tenants.For(as(ctx, "c")).ForceClosed()
		for budget.Balance() >= 1 {
			budget.Withdraw()
		}

		busy := make(chan struct{})
		for range 2 { // one runs and one waits
			go limiter.Do(ctx, func(context.Context) error { <-busy; return nil })
		}
		defer close(busy)
		synctest.Wait()

		w := httptest.NewRecorder()
		v.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/redoubt/state", http.NoBody))
		got := indent(t, w.Body.Bytes())
		golden := filepath.Join("testdata", "state.json")
		if *update {
			if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if got != string(want) {
			t.Errorf("got\n%s\nwant %s:\n%s", got, golden, want)
		}
	})
}

func indent(t *testing.T, text []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetIndent("", "\t")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestState_Trouble holds that the troubled come first.
func TestState_Trouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		var layers []redoubt.Layer
		add := func(name string) *breaker.Breaker {
			b := newBreaker(name)
			layers = append(layers, b)
			return b
		}
		old := add("old")
		trip(ctx, old)
		old.Reset()
		time.Sleep(recently)

		healthy := add("healthy")
		_ = healthy.Do(ctx, succeed)
		add("unused")
		ratio := breaker.New(breaker.Config{Name: "ratio", Window: time.Minute, FailureRatio: 0.5, MinCalls: 4})
		layers = append(layers, ratio)
		few := breaker.New(breaker.Config{Name: "few", Window: time.Minute, FailureRatio: 0.5, MinCalls: 5})
		layers = append(layers, few)
		for _, b := range []*breaker.Breaker{ratio, few} {
			for range 3 {
				_ = b.Do(ctx, succeed)
			}
			_ = b.Do(ctx, refuse)
		}
		_ = add("half way").Do(ctx, refuse)
		add("forced closed").ForceClosed()
		add("forced open").ForceOpen()
		recovered := add("recovered")
		trip(ctx, recovered)
		recovered.Reset()
		trip(ctx, add("half-open"))
		time.Sleep(10 * time.Second)
		trip(ctx, add("open"))

		got := get(t, newView(t, Config{Layers: layers}), "/state").Breakers
		var rows []string
		for _, row := range got.Rows {
			rows = append(rows, fmt.Sprintf("%d %s", row.Trouble, row.Name))
		}
		want := "5 forced open, 5 open, 4 half-open, 3 forced closed, 2 half way, 2 ratio, 1 recovered, 0 few, 0 healthy, 0 old, 0 unused"
		if got := strings.Join(rows, ", "); got != want {
			t.Errorf("rows are\n\t%s, want\n\t%s", got, want)
		}
		if got.Open != 2 || got.HalfOpen != 1 || got.Closed != 8 || got.Forced != 2 || got.Total != 11 {
			t.Errorf("counts are %+v", got)
		}
	})
}

// TestState_Looking holds that to look changes nothing.
func TestState_Looking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBreaker("mail")
		trip(t.Context(), b)
		v := newView(t, Config{Layers: []redoubt.Layer{b}})
		time.Sleep(time.Minute)
		for range 3 {
			row := get(t, v, "/state").Breakers.Rows[0]
			if row.State != "half-open" || row.Generation != 1 || len(row.Transitions) != 1 {
				t.Errorf("row is %+v", row)
			}
		}
	})
}

// TestState_Many holds that what is told is bounded, however many there are, and
// that trouble is never what is left out.
func TestState_Many(t *testing.T) {
	const n, limit = 10_000, 50
	g := newGroup(n)
	budgets := retry.NewBudgetGroup(retry.BudgetGroupConfig{Key: tenant, Max: n})
	for i := range n {
		ctx := as(t.Context(), "tenant-"+strconv.Itoa(i))
		_ = g.Do(ctx, succeed)
		budgets.For(ctx)
	}
	long := strings.Repeat("é", 1<<20)
	for _, i := range []int{17, 4711} {
		b := g.For(as(t.Context(), "tenant-"+strconv.Itoa(i)))
		for range 100 {
			trip2(t.Context(), b, errors.New(long))
			b.Reset()
		}
		b.ForceOpen()
	}
	budgets.For(as(t.Context(), "tenant-9999")).Withdraw()
	for range 9 {
		budgets.For(as(t.Context(), "tenant-9999")).Withdraw()
	}
	v := newView(t, Config{Layers: []redoubt.Layer{g}, BudgetGroups: []*retry.BudgetGroup{budgets}, MaxRows: limit})

	w := httptest.NewRecorder()
	v.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/state", http.NoBody))
	if n := w.Body.Len(); n > 100<<10 {
		t.Errorf("the state takes %d bytes", n)
	}
	s := get(t, v, "/state")
	if b := s.Breakers; len(b.Rows) != limit || b.Total != n || b.Matching != n || b.Hidden != n-limit || b.Open != 2 {
		t.Errorf("breakers: %d rows of %+v", len(b.Rows), b.Table)
	}
	if got, want := ids(s.Breakers.Rows[:2]), "b1/tenant-17 b1/tenant-4711"; got != want {
		t.Errorf("first are %s, want %s", got, want)
	}
	if got := s.Breakers.Rows[0].Transitions; len(got) != 16 {
		t.Errorf("%d transitions, want 16", len(got))
	}
	if b := s.Budgets; len(b.Rows) != limit || b.Hidden != n-limit || b.Empty != 1 || b.Rows[0].Key != "tenant-9999" {
		t.Errorf("budgets: %d rows of %+v, %d empty, first is %+v", len(b.Rows), b.Table, b.Empty, b.Rows[0])
	}

	for search, want := range map[string]int{"tenant-123": 11, "TENANTS tenant-77": 111, "nobody": 0, "%20tenant-5%20": 1111, strings.Repeat("x", 1000): 0} {
		b := get(t, v, "/state?q="+strings.ReplaceAll(search, " ", "+")).Breakers
		if b.Matching != want || len(b.Rows) != min(want, limit) || b.Hidden != want-len(b.Rows) || b.Total != n {
			t.Errorf("search for %.20s: %d rows of %+v, want %d", search, len(b.Rows), b.Table, want)
		}
	}
}

func trip2(ctx context.Context, b *breaker.Breaker, err error) {
	for range 2 {
		_ = b.Do(ctx, func(context.Context) error { return err })
	}
}

// A panicky error is one whose Error must not be called.
type panicky struct{ *int }

func (p panicky) Error() string { return strconv.Itoa(*p.int) }

func TestTextOf(t *testing.T) {
	long := strings.Repeat("é", maxError)
	for _, tt := range []struct {
		err  error
		want string // or what it begins with
	}{
		{nil, ""},
		{errDown, "connection refused"},
		{errors.New("<script>"), "<script>"},
		{errors.New(strings.Repeat("x", maxError)), strings.Repeat("x", maxError)},
		{errors.New(long), long[:maxError-4]},
		{panicky{}, "%!v(PANIC=Error method: "},
	} {
		got := textOf(tt.err)
		if !strings.HasPrefix(got, tt.want) || len(got) > maxError || !utf8.ValidString(got) {
			t.Errorf("textOf = %.100q (%d bytes), want %.100q", got, len(got), tt.want)
		}
	}
}

func TestRoutes(t *testing.T) {
	v := newView(t, Config{})
	for _, tt := range []struct {
		method, target, site string
		want                 int
		kind                 string
	}{
		{"GET", "/", "", 200, "text/html; charset=utf-8"},
		{"GET", "/", "cross-site", 200, "text/html; charset=utf-8"}, // a link to it
		{"HEAD", "/debug/redoubt/", "", 200, "text/html; charset=utf-8"},
		{"GET", "/debug/redoubt/state", "same-origin", 200, "application/json"},
		{"GET", "/state", "none", 200, "application/json"},
		{"GET", "/state", "cross-site", 403, "application/json"},
		{"GET", "/events", "same-site", 403, "application/json"},
		{"HEAD", "/state", "", 200, "application/json"},
		{"HEAD", "/events", "", 200, "text/event-stream"},
		{"POST", "/", "", 405, "application/json"},
		{"POST", "/state", "", 405, "application/json"},
		{"POST", "/events", "", 405, "application/json"},
		{"OPTIONS", "/state", "", 405, "application/json"},
		{"GET", "/debug/redoubt", "", 404, "application/json"},
		{"GET", "/state/x", "", 404, "application/json"},
		{"GET", "/page.js", "", 404, "application/json"},
	} {
		r := httptest.NewRequest(tt.method, tt.target, http.NoBody)
		if tt.site != "" {
			r.Header.Set("Sec-Fetch-Site", tt.site)
		}
		w := httptest.NewRecorder()
		v.ServeHTTP(w, r)
		if w.Code != tt.want || w.Header().Get("Content-Type") != tt.kind {
			t.Errorf("%+v: %d %s", tt, w.Code, w.Header().Get("Content-Type"))
		}
		for name, want := range map[string]string{
			"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Referrer-Policy": "no-referrer", "Cross-Origin-Resource-Policy": "same-origin", "Access-Control-Allow-Origin": "",
		} {
			if got := w.Header().Get(name); got != want {
				t.Errorf("%+v: %s is %q, want %q", tt, name, got, want)
			}
		}
		if !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
			t.Errorf("%+v: it may be framed", tt)
		}
	}
}

// TestPage holds that the page is whole, asks nobody else for anything, and that
// its policy allows what is in it and nothing else.
func TestPage(t *testing.T) {
	w := httptest.NewRecorder()
	newView(t, Config{Name: "</title><script>alert(1)</script>"}).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
	page, policy := w.Body.String(), w.Header().Get("Content-Security-Policy")
	between := func(open, end string) string {
		_, rest, ok := strings.Cut(page, open)
		inside, _, closed := strings.Cut(rest, end)
		if !ok || !closed || len(inside) < 1000 {
			t.Fatalf("%q is missing", open)
		}
		return inside
	}
	for _, want := range []string{
		"script-src " + hash(between("<script>", "</script>")) + ";",
		"style-src " + hash(between("<style>", "</style>")) + ";",
		"default-src 'none';", "require-trusted-types-for 'script'",
	} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy lacks %s: %s", want, policy)
		}
	}
	for _, bad := range []string{"alert(1)", "innerHTML", "eval(", "<link rel=\"stylesheet\"", "@import", "src=\"http", "href=\"http"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page has %s in it", bad)
		}
	}
	if strings.Count(page, "<script") != 1 || strings.Count(page, "<style") != 1 {
		t.Error("there is more than one script or style")
	}
	if n := len(page); n > 64<<10 {
		t.Errorf("the page has %d bytes", n)
	}
}
