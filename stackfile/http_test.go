package stackfile

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/retry"
)

// A network answers requests by their host, and remembers them.
type network struct {
	answer func(n int, r *http.Request) (status int, after time.Duration)

	mu    sync.Mutex
	asked []string
}

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.mu.Lock()
	n.asked = append(n.asked, r.URL.String())
	status, after := n.answer(len(n.asked), r)
	n.mu.Unlock()
	select {
	case <-time.After(after):
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: status, ProtoMajor: 2, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
}

func (n *network) options() Options {
	return Options{Transport: func(t *redoubt.Transport) { t.Base = n }}
}

func get(t *testing.T, rt http.RoundTripper, url string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s: %v", url, err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// A hedge draws on the retry's budget, rests while a breaker around it is open,
// and goes on after a reload with what it measured.
func TestLive_Hedge(t *testing.T) {
	const text = `
stack:
  - retry: {max_attempts: 2, budget: {name: b, burst: BURST, min_per_second: none}}
  - breaker: {name: c, consecutive: 1}
http:
  hedge: {name: h, delay: 1s, max_extra: 1}
`
	synctest.Test(t, func(t *testing.T) {
		n := &network{answer: func(n int, _ *http.Request) (int, time.Duration) {
			return 200, []time.Duration{0, 10 * time.Second}[n%2] // each hedge is quick
		}}
		var budget *retry.Budget
		o := n.options()
		o.Retry = func(p *retry.Policy) { budget = p.Budget }
		hedgers := 0
		o.Hedge = func(*hedge.Config) { hedgers++ }
		path := filepath.Join(t.TempDir(), "stack.yaml")
		write(t, path, strings.Replace(text, "BURST", "2", 1))
		l, err := Open(path, o)
		if err != nil {
			t.Fatal(err)
		}
		took := func() time.Duration {
			start := time.Now()
			get(t, l, "http://a.test/")
			return time.Since(start)
		}
		if got := took(); got != time.Second || len(n.asked) != 2 {
			t.Errorf("took %v and %d sends, want 1s and 2", got, len(n.asked))
		}
		if got := budget.Balance(); got != 1.2 {
			t.Errorf("balance %v, want 1.2: a hedge and a success", got)
		}

		write(t, path, strings.Replace(text, "BURST", "1", 1))
		changes, err := l.Reload()
		if err != nil || !slices.Contains(changes.Kept, "hedge h") || !slices.Contains(changes.Fresh, "budget b") || hedgers != 1 {
			t.Fatalf("Reload() = %+v, %v, %d hedgers; want hedge h kept", changes, err, hedgers)
		}
		if got := took(); got != time.Second || budget.Balance() != .2 {
			t.Errorf("took %v, balance %v, want 1s and 0.2: of the new budget", got, budget.Balance())
		}
		if got := took(); got != 10*time.Second {
			t.Errorf("took %v, want 10s: the new budget is empty", got)
		}
	})
}

// A hedge heeds all breakers around it, and has one hedger for each host.
func TestHedger_Heeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := parse(t, "stack: [{breaker: {name: a, consecutive: 5}}, {breaker: {name: b, per: host}}]\nhttp: {hedge: {delay: 1s, per: host, max_extra: 1}}")
		n := &network{answer: func(n int, _ *http.Request) (int, time.Duration) { return 200, 10 * time.Second }}
		m := newMemory()
		stack := f.build(m, n.options())
		rt := f.around(stack, m, n.options())
		m.use()
		h, ok := m.now[part{"hedge", ""}].thing.(*hedger)
		if !ok || !h.Closed(t.Context()) || h.budget(t.Context()) != nil {
			t.Fatalf("hedger %v, want one with closed breakers and no budget", h)
		}
		get(t, rt, "http://a.test/")
		get(t, rt, "http://b.test/")
		if got := len(h.group.Hedgers()); got != 2 || len(n.asked) != 4 {
			t.Errorf("%d hedgers and %d sends, want one for each host and 4", got, len(n.asked))
		}
		stack[0].(*breaker.Breaker).ForceOpen()
		if h.Closed(t.Context()) {
			t.Error("Closed() with an open breaker")
		}
		stack[0].(*breaker.Breaker).ForceClosed()
		stack[1].(*breaker.Group).For(t.Context()).ForceOpen()
		if h.Closed(t.Context()) {
			t.Error("Closed() with an open breaker of a group")
		}
		if again := f.build(m, n.options()); again[0] != stack[0] {
			t.Error("a block was built twice for one memory")
		}
	})
}

// The breakers of a failover's guard count as well.
func TestHedger_HeedsGuards(t *testing.T) {
	f := parse(t, "stack: []\nhttp: {hedge: {delay: 1s}, failover: {name: m, endpoints: [http://a.test], guard: [{breaker: {name: g}}]}}")
	m := newMemory()
	f.around(f.build(m, Options{}), m, Options{})
	m.use()
	h := m.now[part{"hedge", ""}].thing.(*hedger)
	m.now[part{"breaker", "g"}].thing.(*breaker.Group).For(t.Context()).ForceOpen()
	if h.Closed(t.Context()) {
		t.Error("Closed() with an open breaker around the endpoint")
	}
}

// The budget is that of the innermost retry that has one, which may be one for
// each host.
func TestHedger_Budget(t *testing.T) {
	for stack, want := range map[string]float64{
		"{retry: {budget: {name: a, burst: 3}}}":                                                                  3,
		"{retry: {budget: {name: a, burst: 3, per: host}}}":                                                       3,
		"{retry: {budget: {name: a, burst: 3}}}, {retry: {nested: true}}":                                         3,
		"{retry: {budget: {name: a, burst: 3}}}, {retry: {nested: true, budget: {name: b, burst: 4}}}":            4,
		"{retry: {budget: {name: a, burst: 3}}}, {retry: {nested: true, budget: {name: b, burst: 4, per: host}}}": 4,
		"{retry: {budget: {name: a, burst: 3, per: host}}}, {retry: {nested: true, budget: {name: b, burst: 4}}}": 4,
	} {
		f := parse(t, "stack: ["+stack+"]\nhttp: {hedge: {delay: 1s}}")
		m := newMemory()
		f.around(f.build(m, Options{}), m, Options{})
		m.use()
		h := m.now[part{"hedge", ""}].thing.(*hedger)
		if got := h.budget(t.Context()).(*retry.Budget).Balance(); got != want {
			t.Errorf("%s: the budget has %v, want %v", stack, got, want)
		}
	}
}

// A failover asks its endpoints through their guards, each with a breaker of its
// own, and its guards go on after a reload.
func TestLive_Failover(t *testing.T) {
	const text = `
stack:
  - retry: {max_attempts: 1, budget: {name: b, burst: 5}}
http:
  failover:
    name: m
    endpoints: [http://a.test, http://b.test/base]
    guard:
      - breaker: {name: guard, consecutive: 2, cooldown: 1h}
      - timeout: 2s
  hedge: {delay: 100ms, per: endpoint, max_extra: 1}
`
	synctest.Test(t, func(t *testing.T) {
		n := &network{answer: func(_ int, r *http.Request) (int, time.Duration) {
			if r.URL.Host == "a.test" {
				return 503, 0
			}
			return 200, 0
		}}
		path := filepath.Join(t.TempDir(), "stack.yaml")
		write(t, path, text)
		l, err := Open(path, n.options())
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if got := get(t, l, "http://a.test/x"); got != 200 {
				t.Errorf("status %d, want 200", got)
			}
		}
		write(t, path, strings.Replace(text, "timeout: 2s", "timeout: 3s", 1))
		if changes, err := l.Reload(); err != nil || !slices.Equal(changes.Kept, []string{"breaker guard", "budget b", "hedge"}) {
			t.Errorf("Reload() = %+v, %v", changes, err)
		}
		get(t, l, "http://a.test/x")
		want := "ababbb"
		var got []string
		for _, url := range n.asked {
			got = append(got, map[string]string{"http://a.test/x": "a", "http://b.test/base/x": "b"}[url])
		}
		if strings.Join(got, "") != want {
			t.Errorf("asked %q, want %s", n.asked, want)
		}
	})
}

// Hedges of a Transport that was not made by a Live heed the layers too.
func TestFile_Transport_Hedge(t *testing.T) {
	f := parse(t, "stack: [{retry: {max_attempts: 1, budget: {burst: 1, min_per_second: none}}}]\nhttp: {hedge: {delay: 1s, max_extra: 1}}")
	synctest.Test(t, func(t *testing.T) {
		n := &network{answer: func(int, *http.Request) (int, time.Duration) { return 200, 10 * time.Second }}
		o := n.options()
		o.Retry = func(p *retry.Policy) { p.Budget.Withdraw() }
		get(t, f.Transport(o), "http://a.test/")
		if len(n.asked) != 1 {
			t.Errorf("%d sends, want 1: the budget is empty", len(n.asked))
		}
	})
}

// A hedge goes by what the program calls a failure.
func TestFile_Transport_Failure(t *testing.T) {
	f := parse(t, "stack: []\nhttp: {hedge: {delay: 1s, max_extra: 1}}")
	synctest.Test(t, func(t *testing.T) {
		n := &network{answer: func(n int, _ *http.Request) (int, time.Duration) {
			if n == 1 {
				return 200, 10 * time.Second
			}
			return 404, 0
		}}
		rt := f.Transport(Options{Transport: func(t *redoubt.Transport) {
			t.Base, t.Failure = n, func(resp *http.Response) bool { return resp.StatusCode == 404 }
		}})
		if got := get(t, rt, "http://a.test/"); got != 200 || len(n.asked) != 2 {
			t.Errorf("status %d after %d sends, want 200 after 2", got, len(n.asked))
		}
	})
}

// What is in front of the Base is in order, and made of the file's fields.
func TestFile_Transport_Base(t *testing.T) {
	for _, byBase := range []bool{false, true} {
		tr := parse(t, everything).Transport(Options{Transport: func(t *redoubt.Transport) { t.SpansByBase = byBase }})
		f, ok := tr.Base.(*failover.Transport)
		if !ok || f.From != "https://api.test" {
			t.Fatalf("Base is %+v, want a failover from https://api.test", tr.Base)
		}
		if !tr.SpansByBase || f.SpansByBase != byBase {
			t.Errorf("SpansByBase is %t and that of the failover %t, want true and %t", tr.SpansByBase, f.SpansByBase, byBase)
		}
		h, ok := f.Base.(*hedge.Transport)
		if !ok || h.Base != http.DefaultTransport || h.Hedger == nil || h.Hedgers != nil {
			t.Errorf("the failover's Base is %+v, want a hedge in front of http.DefaultTransport", f.Base)
		}
	}
	for per, grouped := range map[string]bool{"none": false, "endpoint": true} {
		tr := parse(t, "stack: []\nhttp: {failover: {name: m, endpoints: [http://a.test]}, hedge: {per: "+per+"}}").Transport(Options{})
		if h := tr.Base.(*failover.Transport).Base.(*hedge.Transport); (h.Hedgers != nil) != grouped || (h.Hedger != nil) == grouped {
			t.Errorf("per %s: the hedge is %+v", per, h)
		}
	}
}

// A hedge whose own block has changed begins anew.
func TestLive_Hedge_Changed(t *testing.T) {
	const text = "stack: []\nhttp: {hedge: {name: h, delay: 1s}}"
	for _, changed := range []string{"{name: h, delay: 2s}", "{name: h, delay: 1s, per: host}"} {
		live, path := open(t, text, Options{})
		write(t, path, strings.Replace(text, "{name: h, delay: 1s}", changed, 1))
		if changes, err := live.Reload(); err != nil || !slices.Equal(changes.Fresh, []string{"hedge h"}) {
			t.Errorf("%s: Reload() = %+v, %v; want a fresh hedge", changed, changes, err)
		}
	}
}

// What is wrong in a guard, a failover and a hedge is told with its line, once.
func TestFile_Check_HTTP(t *testing.T) {
	f := parse(t, `
stack:
  - timeout: 2s
http:
  header_timeout: 1s
  hedge: {delay: 2s}
  failover:
    name: m
    endpoints: [http://a.test, http://b.test]
    guard:
      - timeout: 500ms
      - timeout: 600ms
`)
	want := `stackfile: stack.yaml:12: redoubt: timeout.Limit(600ms) inside of timeout.Limit(500ms) can never expire first`
	err := fmt.Sprint(f.Check())
	if !strings.Contains(err, want) || strings.Count(err, "600ms") != 1 || !strings.Contains(err, "stack.yaml:6: redoubt: hedge.Transport waits 2s") {
		t.Errorf("Check() =\n%v\nwant\n%s\nand the hedge", err, want)
	}
	var got []string
	for _, l := range f.Explain().Layers {
		got = append(got, l.Where)
	}
	if want := "stack.yaml:3 stack.yaml:5 stack.yaml:8 stack.yaml:11 stack.yaml:12 stack.yaml:11 stack.yaml:12 stack.yaml:6 stack.yaml:5"; strings.Join(got, " ") != want {
		t.Errorf("layers at %q, want %s", got, want)
	}
}

// What there is one each for goes by the right key.
func TestPer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for per, want := range map[string][]string{
			"host":            {"http://a.test:80", "http://b.test:80"},
			"host_and_method": {"GET http://a.test:80", "GET http://b.test:80"},
		} {
			f := parse(t, "stack: [{breaker: {name: b, per: "+per+"}}]")
			rt := f.Transport((&network{answer: func(int, *http.Request) (int, time.Duration) { return 200, 0 }}).options())
			get(t, rt, "http://a.test/")
			get(t, rt, "http://b.test/")
			g := rt.Layer.(redoubt.Stack)[0].(*breaker.Group)
			var got []string
			for key := range g.Breakers() {
				got = append(got, key)
			}
			if slices.Sort(got); !slices.Equal(got, want) {
				t.Errorf("per %s: keys %q, want %q", per, got, want)
			}
		}
	})
	if _, ok := parse(t, "stack: [{breaker: {name: b, per: none}}]").Stack(Options{})[0].(*breaker.Breaker); !ok {
		t.Error("per: none is not one for all")
	}
}
