package report

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/internal/browsertest"
)

// ready is there when the page's script has run.
const ready = `html[data-plots="ready"]`

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
	b := browsertest.New(t)

	b.Open(t, page, ready)
	text, plots := b.Eval(t, "document.body.textContent"), b.Eval(t, drawn)
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
		b.Eval(t, move)
		b.Painted(t)
		// The middle, in all plots of time; the coarse ones have it in cells of
		// a second. The percentiles have no part in it.
		shown := b.Eval(t, values)
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
		light := b.Eval(t, background)
		b.Dark(t)
		dark := b.Eval(t, background)
		if light != "rgb(251, 251, 250) 13" || dark != "rgb(20, 22, 26) 13" {
			t.Errorf("light is %s, dark is %s", light, dark)
		}
	})
	t.Run("phone", func(t *testing.T) {
		b.Resize(t, 360, 740)
		wide := b.Eval(t, `document.documentElement.scrollWidth + " " + Math.max(...[...document.querySelectorAll("canvas")].map(c => c.getBoundingClientRect().right))`)
		var page, canvas float64
		if _, err := fmt.Sscan(wide, &page, &canvas); err != nil || page > 360 || canvas > 360 {
			t.Errorf("page and plots reach to %s of 360", wide)
		}
	})
	b.Quiet(t, page)
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
	b := browsertest.New(t)
	b.Open(t, page, ready)
	b.Painted(t)
	overview, plots := b.Eval(t, `document.querySelector("table.overview").textContent`), b.Eval(t, drawn)
	b.Eval(t, `(document.querySelector('figure[data-plot="sweep"]').scrollIntoView(), "done")`)
	b.Await(t, `document.querySelector('figure[data-plot="sweep"] canvas') !== null`)
	b.Painted(t)
	later := b.Eval(t, drawn)
	if strings.Count(overview, "09-overload-trigger at 100/s") != 1 || strings.Count(overview, "09-overload-trigger at 200/s") != 1 || strings.Count(overview, "never") != 3 {
		t.Errorf("overview: %s", overview)
	}
	if n := len(strings.Fields(plots)); n > 20 || !strings.Contains(later, "sweep") || len(strings.Fields(later)) <= n {
		t.Errorf("%d plots at first, then %s", n, later)
	}
	b.Quiet(t, page)
}

// The page is forbidden to load anything, and a browser obeys.
func TestPageIsConfined(t *testing.T) {
	asked := make(chan string, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.URL.Path }))
	defer server.Close()
	page := write(t, fixed(t))
	b := browsertest.New(t)
	b.Open(t, page, ready)
	policy := b.Eval(t, `fetch("`+server.URL+`/x").then(() => "loaded", e => "refused")`)
	if policy != "refused" || len(asked) > 0 {
		t.Errorf("a request from the page was %s", policy)
	}
}
