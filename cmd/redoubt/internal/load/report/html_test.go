package report

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

// A browser is a tab of a headless Chromium, and what it complained about and
// asked for.
type browser struct {
	context.Context

	mu         sync.Mutex
	complaints []string
	requests   []string
}

// newBrowser starts a Chromium. That there is none is a failure: the page would
// go untested.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(t.Context(),
		chromedp.ExecPath("chromium"),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.UserDataDir(t.TempDir()),
		chromedp.WindowSize(1200, 1000),
	)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{Context: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("chromium is needed, see .ci/deps: %v", err)
	}
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })
	call(t, b, network.Enable, network.EnableParams{})
	return b
}

func (b *browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console.%s: %+v", e.Type, e.Args))
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, fmt.Sprintf("%+v", e.ExceptionDetails))
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, e.Entry.Text)
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

// quiet fails the test if the page complained, or asked for more than itself.
func (b *browser) quiet(t *testing.T, page string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		t.Errorf("the page complains: %q", b.complaints)
	}
	for _, url := range b.requests {
		if url != page && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asks for %s", url)
		}
	}
	if len(b.requests) == 0 {
		t.Error("no request was seen, not even for the page")
	}
}

// soon is how long the browser may take for anything.
const soon = 30 * time.Second

func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b, soon)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// open shows a page until its script has run.
func (b *browser) open(t *testing.T, page string) {
	t.Helper()
	b.do(t, chromedp.Navigate(page), chromedp.WaitReady(`html[data-plots="ready"]`))
}

// eval returns what a script comes to.
func eval(t *testing.T, b *browser, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(b, soon)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func call[P, R any](t *testing.T, b *browser, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(b, command, params); err != nil {
		t.Fatal(err)
	}
}

// painted ends when what a script has changed is on the screen.
const painted = `new Promise(done => requestAnimationFrame(() => setTimeout(() => done("painted"), 100)))`

// write makes a page and returns its URL.
func write(t *testing.T, reports ...*engine.Report) string {
	t.Helper()
	var page bytes.Buffer
	if err := HTML(&page, reports...); err != nil {
		t.Fatal(err)
	}
	if n := page.Len(); n > 300<<10 {
		t.Errorf("the page has %d bytes", n)
	}
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, page.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if keep := os.Getenv("REDOUBT_KEEP_REPORT"); keep != "" { // to look at it
		if err := os.WriteFile(keep, page.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return "file://" + file
}

// drawn are the plots with a canvas that is not blank.
const drawn = `[...document.querySelectorAll("figure")].filter(f => {
	const c = f.querySelector("canvas");
	return c && c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(v => v);
}).map(f => f.dataset.plot).join(" ")`

// The page in a browser: its words, its plots, its cursors, both colour schemes,
// a phone; and that it needs nothing from anywhere.
func TestPage(t *testing.T) {
	r := fixed(t)
	r.Warnings = append(r.Warnings, "bare: requests were started late <b>p99 9.0 ms</b>")
	check, err := engine.ParseCheck("recovery <= 2s")
	if err != nil {
		t.Fatal(err)
	}
	r.Judge("naive", check)
	r.Judge("redoubt", check)
	page := write(t, r)
	b := newBrowser(t)

	b.open(t, page)
	text, plots := eval(t, b, "document.body.textContent"), eval(t, b, drawn)
	for _, want := range []string{
		"09-overload-trigger", "two seconds of overload", "200 requests/s for 20 s, seed 1; work at 5–7 s", "In virtual time.",
		"Warning bare: requests were started late <b>p99 9.0 ms</b>",
		"missed: naive: recovery <= 2s: got never, want <= 2.0 s", "met: redoubt: recovery <= 2s",
		"useful answers, whole run", "recovery after the fault", "amplification",
		"never recovered, where bare took 800 ms", "calls in flight at worst instead of",
		"policy amplification", "goodput", "within the caller's limit, measured from the intended start (here 1.0 s)",
		"uPlot 1.6.32 (MIT)",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	all := "goodput arrivals amplification in_flight latency failures" + strings.Repeat(" outcomes", len(r.Clients)) +
		" breaker short_circuits budget percentiles"
	if plots != all {
		t.Errorf("plots are %q, want %q", plots, all)
	}

	t.Run("cursors", func(t *testing.T) {
		const move = `(() => {
			const over = document.querySelector('figure[data-plot="goodput"] .u-over'), box = over.getBoundingClientRect();
			for (const type of ["mouseenter", "mousemove"])
				over.dispatchEvent(new MouseEvent(type, { clientX: box.left + box.width / 2, clientY: box.top + 20, bubbles: true }));
			return "moved";
		})()`
		const values = `[...document.querySelectorAll("figure")].map(f => f.querySelector(".u-value").textContent).join("|")`
		eval(t, b, move)
		eval(t, b, painted)
		// The middle, in all plots of time; the coarse ones have it in cells of
		// a second. The percentiles have no part in it.
		shown := eval(t, b, values)
		parts := strings.Split(shown, "|")
		near := 0
		for _, p := range parts {
			if s, ok := strings.CutSuffix(p, " s"); ok {
				if at, err := strconv.ParseFloat(s, 64); err == nil && at > 9 && at < 11 {
					near++
				}
			}
		}
		if near != 12 || len(parts) != 13 {
			t.Errorf("the legends show %q", shown)
		}
	})
	t.Run("dark", func(t *testing.T) {
		const background = `getComputedStyle(document.body).backgroundColor + " " + document.querySelectorAll("canvas").length`
		light := eval(t, b, background)
		call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
		})
		eval(t, b, painted)
		dark := eval(t, b, background)
		if light != "rgb(251, 251, 250) 13" || dark != "rgb(20, 22, 26) 13" {
			t.Errorf("light is %s, dark is %s", light, dark)
		}
	})
	t.Run("phone", func(t *testing.T) {
		b.do(t, chromedp.EmulateViewport(360, 740))
		eval(t, b, painted)
		wide := eval(t, b, `document.documentElement.scrollWidth + " " + Math.max(...[...document.querySelectorAll("canvas")].map(c => c.getBoundingClientRect().right))`)
		var page, canvas float64
		if _, err := fmt.Sscan(wide, &page, &canvas); err != nil || page > 360 || canvas > 360 {
			t.Errorf("page and plots reach to %s of 360", wide)
		}
	})
	b.quiet(t, page)
}

// Many runs on one page are an overview, and a sweep if they are of the same
// scenario. They are drawn when they are looked at.
func TestPageOfMany(t *testing.T) {
	slow, fast := fixed(t), fixed(t)
	slow.Scenario.Rate = 100
	for _, c := range slow.Clients {
		c.Run.Offered /= 2
	}
	other := fixed(t)
	other.Scenario.Name = "another"
	page := write(t, fast, slow, other)
	b := newBrowser(t)
	b.open(t, page)
	eval(t, b, painted)
	overview, plots := eval(t, b, `document.querySelector("table.overview").textContent`), eval(t, b, drawn)
	eval(t, b, `(document.querySelector('figure[data-plot="sweep"]').scrollIntoView(), "done")`)
	b.do(t, chromedp.WaitReady(`figure[data-plot="sweep"] canvas`))
	eval(t, b, painted)
	later := eval(t, b, drawn)
	if strings.Count(overview, "09-overload-trigger at 100/s") != 1 || strings.Count(overview, "09-overload-trigger at 200/s") != 1 || strings.Count(overview, "never") != 3 {
		t.Errorf("overview: %s", overview)
	}
	if n := len(strings.Fields(plots)); n > 20 || !strings.Contains(later, "sweep") || len(strings.Fields(later)) <= n {
		t.Errorf("%d plots at first, then %s", n, later)
	}
	b.quiet(t, page)
}

// The page is forbidden to load anything, and a browser obeys.
func TestPageIsConfined(t *testing.T) {
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer server.Close()
	page := write(t, fixed(t))
	b := newBrowser(t)
	b.open(t, page)
	policy := eval(t, b, `fetch("`+server.URL+`/x").then(() => "loaded", e => "refused")`)
	if policy != "refused" || len(asked) > 0 {
		t.Errorf("a request from the page was %s", policy)
	}
}
