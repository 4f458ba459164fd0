package opstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/ops"
	"github.com/redoubt-go/redoubt/retry"
)

// hostile is what names, keys and errors may be: they come from others.
const hostile = `<img src=x onerror="document.title='pwned'"><script>document.title='pwned'</script>`

type keyOf struct{}

func key(ctx context.Context) string {
	k, _ := ctx.Value(keyOf{}).(string)
	return k
}

func succeed(context.Context) error { return nil }

// A world is a page, and what it shows.
type world struct {
	mail    *breaker.Breaker
	tenants *breaker.Group
	url     string
}

func newWorld(t *testing.T, config ops.Config) *world {
	t.Helper()
	w := &world{
		mail: breaker.New(breaker.Config{Name: "mail", Consecutive: 2, Cooldown: time.Hour}),
		tenants: breaker.NewGroup(breaker.GroupConfig{
			Breaker: breaker.Config{Name: hostile, Window: time.Minute, FailureRatio: 0.5, MinCalls: 4, Cooldown: time.Hour},
			Key:     key,
		}),
	}
	budget := retry.NewBudget(retry.BudgetConfig{Name: "mail", Burst: 4, MinPerSecond: retry.NoFloor})
	budget.Withdraw()
	config.Name = "checkout " + hostile
	config.Layers = []redoubt.Layer{
		redoubt.Stack{retry.Policy{Budget: budget}, limit.New(limit.Config{Name: "mail", Fixed: 7}), w.mail, w.tenants},
	}
	config.Interval = 100 * time.Millisecond
	config.TraceURL = "https://jaeger.example/trace/{trace_id}"
	view := ops.New(config)
	if err := view.Check(); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/redoubt/", view)
	server := httptest.NewServer(mux)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	w.url = server.URL + "/debug/redoubt/"
	for _, k := range []string{"a", hostile, "\u202eevil"} {
		_ = w.tenants.Do(w.as(k), succeed)
	}
	return w
}

func (*world) as(k string) context.Context {
	return context.WithValue(context.Background(), keyOf{}, k)
}

func (w *world) fail(ctx context.Context, times int, err error) {
	for range times {
		_ = redoubt.Stack{w.mail}.Do(ctx, func(context.Context) error { return err })
	}
}

// mail is the element of that breaker.
const mail = `[...document.querySelectorAll("#circuits > li")].find(r => r.querySelector(".who").innerText === "mail")`

// The page in a browser: what it tells, that it is told what happens, that what
// it shows is text, both colour schemes, a phone; and that it needs nothing from
// anywhere.
func TestPage(t *testing.T) {
	w := newWorld(t, ops.Config{})
	b := newBrowser(t)
	b.open(t, w.url)

	text := eval(t, b, "document.body.innerText")
	for _, want := range []string{
		"checkout " + hostile, "Live", "0\nopen", "4\nclosed", "Read-only", "mail", "0 of 2 failures in a row",
		"3 of 4 retries", "0 of 7 in flight", "−5 min", hostile,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if n := eval(t, b, `String([...document.querySelectorAll(".act")].filter(b => b.checkVisibility()).length)`); n != "0" {
		t.Errorf("%s buttons offer control to one who may not", n)
	}

	t.Run("live", func(t *testing.T) {
		w.fail(t.Context(), 2, errors.New("refused by "+hostile))
		await(t, b, mail+`.dataset.state === "open"`)
		first := eval(t, b, `document.querySelector("#circuits > li").innerText`)
		for _, want := range []string{"open", "mail", "refuses calls", "Opened ", "2 failures in a row", "refused by " + hostile} {
			if !strings.Contains(first, want) {
				t.Errorf("the first row lacks %q:\n%s", want, first)
			}
		}
		await(t, b, `document.title.startsWith("(1 open)")`)
		await(t, b, `document.querySelector("#news").textContent === "mail is open"`)
		await(t, b, mail+`.querySelector(".strip .open") !== null`)
		label := eval(t, b, mail+`.querySelector(".strip").getAttribute("aria-label")`)
		if label != "open; opened 1 time in the last 5 min" {
			t.Errorf("the timeline says %q", label)
		}
	})
	t.Run("history", func(t *testing.T) {
		eval(t, b, `(`+mail+`.querySelector(".does button").click(), "clicked")`)
		past := eval(t, b, mail+`.querySelector(".past").innerText`)
		for _, want := range []string{"Opens when 2 calls in a row failed.", "closed → open", "refused by " + hostile} {
			if !strings.Contains(past, want) {
				t.Errorf("the history lacks %q:\n%s", want, past)
			}
		}
	})
	t.Run("long history", func(t *testing.T) {
		for i := range 20 { // more than the breaker remembers
			w.mail.Reset()
			w.fail(t.Context(), 2, errors.New("again"))
			await(t, b, fmt.Sprintf(mail+`.querySelectorAll(".past tbody tr").length === %d`, 3+2*i))
		}
	})
	t.Run("search", func(t *testing.T) {
		b.do(t, chromedp.SendKeys("#search", "evil"))
		await(t, b, `document.querySelectorAll("#circuits > li").length === 1 && document.querySelector("#breakers-hidden").textContent === "1 of 4 match"`)
		eval(t, b, `(document.querySelector("#search").value = "", document.querySelector("#search").dispatchEvent(new Event("input")), "cleared")`)
		await(t, b, `document.querySelectorAll("#circuits > li").length === 4`)
	})
	t.Run("text", func(t *testing.T) {
		if got := eval(t, b, `document.querySelectorAll("img").length + " " + document.querySelectorAll("script").length + " " + document.title.includes("pwned'")`); got != "0 1 true" {
			t.Errorf("images, scripts, and whether the title is text: %s", got)
		}
	})
	t.Run("dark", func(t *testing.T) {
		const background = `getComputedStyle(document.body).backgroundColor`
		light := eval(t, b, background)
		call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
		})
		eval(t, b, painted)
		if dark := eval(t, b, background); light != "rgb(246, 247, 248)" || dark != "rgb(18, 20, 24)" {
			t.Errorf("light is %s, dark is %s", light, dark)
		}
	})
	t.Run("phone", func(t *testing.T) {
		b.do(t, chromedp.EmulateViewport(360, 740))
		eval(t, b, painted)
		if wide := eval(t, b, `String(document.documentElement.scrollWidth)`); wide != "360" {
			t.Errorf("the page is %s wide, of 360", wide)
		}
	})
	b.quiet(t, w.url)
}

// The buttons do what they say, as an operator with a keyboard finds them.
func TestControl(t *testing.T) {
	w := newWorld(t, ops.Config{Authorize: ops.Loopback})
	b := newBrowser(t)
	b.open(t, w.url)
	for _, step := range []struct {
		action, state string
		forced        bool
	}{
		{ops.ForceOpen, "open", true},
		{ops.ForceClosed, "closed", true},
		{ops.Reset, "closed", false},
	} {
		eval(t, b, `(`+mail+`.querySelector(".act").click(), "clicked")`)
		if got := eval(t, b, `document.querySelector("#control-title").textContent + " " + document.activeElement.value`); got != "mail cancel" {
			t.Errorf("the dialog is about, and offers first: %s", got)
		}
		b.do(t, chromedp.Click(`#control button[value="`+step.action+`"]`))
		await(t, b, fmt.Sprintf(`!document.querySelector("#control").open && %s.dataset.state === %q && %s.dataset.forced === "%v"`,
			mail, step.state, mail, step.forced))
		if s := w.mail.Status(); s.State.String() != step.state || s.Forced != step.forced {
			t.Errorf("after %s it is %+v", step.action, s)
		}
	}
	b.quiet(t, w.url)
}

// Another site's page can do nothing, and learn nothing, with the operator's own
// browser.
func TestOtherSite(t *testing.T) {
	w := newWorld(t, ops.Config{Authorize: func(*http.Request) error { return nil }})
	evil := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		fmt.Fprint(rw, `<!doctype html><html data-ready="true"><body><iframe src="`+w.url+`"></iframe>`)
	}))
	defer evil.Close()
	b := newBrowser(t)
	b.open(t, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1))
	const try = `fetch(%q, %s).then(r => r.text()).then(t => "answer " + t, e => "refused")`
	for name, options := range map[string]string{
		"control":  `{ method: "POST", headers: { "Content-Type": "application/json" }, body: '{"id":"b1","action":"force_open"}' }`,
		"control?": `{ method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" }, body: '{"id":"b1","action":"force_open"}' }`,
		"state":    `{}`,
		"events":   `{}`,
	} {
		if got := eval(t, b, fmt.Sprintf(try, w.url+name, options)); got != "refused" && got != "answer " {
			t.Errorf("%s: %s", name, got)
		}
	}
	if w.mail.Status().Generation != 0 {
		t.Error("it did something")
	}
	if got := eval(t, b, `String(document.querySelector("iframe").contentDocument)`); got != "null" {
		t.Errorf("the frame shows %s", got)
	}
}

// TestLook takes pictures of a page, at REDOUBT_OPS_URL, into the directory
// REDOUBT_OPS_PICTURES. Without them it takes them of a page of its own, and
// throws them away.
func TestLook(t *testing.T) {
	page, dir, wait := os.Getenv("REDOUBT_OPS_URL"), os.Getenv("REDOUBT_OPS_PICTURES"), 75*time.Second
	if page == "" {
		page, dir, wait = newWorld(t, ops.Config{Authorize: ops.Loopback}).url, t.TempDir(), 0
	}
	b := newBrowser(t)
	b.do(t, chromedp.EmulateViewport(1180, 1260)) // what is out of sight is not drawn
	b.open(t, page)
	select {
	case <-time.After(wait):
	case <-t.Context().Done():
	}
	shoot := func(name string) {
		t.Helper()
		eval(t, b, painted)
		picture, err := chromedp.Run(b, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name+".png", picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shoot("light")
	eval(t, b, `(document.querySelector(".does button").click(), "clicked")`)
	shoot("history")
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	})
	shoot("dark")
	b.do(t, chromedp.EmulateViewport(390, 844))
	shoot("phone")
	eval(t, b, `(document.querySelector(".act").click(), "clicked")`)
	shoot("dialog")
	b.quiet(t, page)
}
