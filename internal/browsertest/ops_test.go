package browsertest_test

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

	"github.com/chromedp/chromedp"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/browsertest"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/ops"
	"github.com/redoubt-go/redoubt/retry"
)

// hostile is what names, keys and errors may be: they come from others.
const hostile = `<img src=x onerror="document.title='pwned'"><script>document.title='pwned'</script>`

// ready is there when the page has been told of something.
const ready = `html[data-ready="true"]`

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
	b := browsertest.New(t)
	b.Open(t, w.url, ready)

	text := b.Eval(t, "document.body.innerText")
	for _, want := range []string{
		"checkout " + hostile, "Live", "0\nopen", "4\nclosed", "Read-only", "mail", "0 of 2 failures in a row",
		"3 of 4 retries", "0 of 7 in flight", "−5 min", hostile,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the page lacks %q:\n%s", want, text)
		}
	}
	if n := b.Eval(t, `String([...document.querySelectorAll(".act")].filter(b => b.checkVisibility()).length)`); n != "0" {
		t.Errorf("%s buttons offer control to one who may not", n)
	}

	t.Run("live", func(t *testing.T) {
		w.fail(t.Context(), 2, errors.New("refused by "+hostile))
		b.Await(t, mail+`.dataset.state === "open"`)
		first := b.Eval(t, `document.querySelector("#circuits > li").innerText`)
		for _, want := range []string{"open", "mail", "refuses calls", "Opened ", "2 failures in a row", "refused by " + hostile} {
			if !strings.Contains(first, want) {
				t.Errorf("the first row lacks %q:\n%s", want, first)
			}
		}
		b.Await(t, `document.title.startsWith("(1 open)")`)
		b.Await(t, `document.querySelector("#news").textContent === "mail is open"`)
		b.Await(t, mail+`.querySelector(".strip .open") !== null`)
		label := b.Eval(t, mail+`.querySelector(".strip").getAttribute("aria-label")`)
		if label != "open; opened 1 time in the last 5 min" {
			t.Errorf("the timeline says %q", label)
		}
	})
	t.Run("history", func(t *testing.T) {
		b.Eval(t, `(`+mail+`.querySelector(".does button").click(), "clicked")`)
		past := b.Eval(t, mail+`.querySelector(".past").innerText`)
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
			b.Await(t, fmt.Sprintf(mail+`.querySelectorAll(".past tbody tr").length === %d`, 3+2*i))
		}
	})
	t.Run("search", func(t *testing.T) {
		b.Do(t, chromedp.SendKeys("#search", "evil"))
		b.Await(t, `document.querySelectorAll("#circuits > li").length === 1 && document.querySelector("#breakers-hidden").textContent === "1 of 4 match"`)
		b.Eval(t, `(document.querySelector("#search").value = "", document.querySelector("#search").dispatchEvent(new Event("input")), "cleared")`)
		b.Await(t, `document.querySelectorAll("#circuits > li").length === 4`)
	})
	t.Run("text", func(t *testing.T) {
		if got := b.Eval(t, `document.querySelectorAll("img").length + " " + document.querySelectorAll("script").length + " " + document.title.includes("pwned'")`); got != "0 1 true" {
			t.Errorf("images, scripts, and whether the title is text: %s", got)
		}
	})
	t.Run("dark", func(t *testing.T) {
		const background = `getComputedStyle(document.body).backgroundColor`
		light := b.Eval(t, background)
		b.Dark(t)
		if dark := b.Eval(t, background); light != "rgb(246, 247, 248)" || dark != "rgb(18, 20, 24)" {
			t.Errorf("light is %s, dark is %s", light, dark)
		}
	})
	t.Run("phone", func(t *testing.T) {
		b.Resize(t, 360, 740)
		if wide := b.Eval(t, `String(document.documentElement.scrollWidth)`); wide != "360" {
			t.Errorf("the page is %s wide, of 360", wide)
		}
	})
	b.Quiet(t, w.url)
}

// The buttons do what they say, as an operator with a keyboard finds them.
func TestControl(t *testing.T) {
	w := newWorld(t, ops.Config{Authorize: ops.Loopback})
	b := browsertest.New(t)
	b.Open(t, w.url, ready)
	for _, step := range []struct {
		action, state string
		forced        bool
	}{
		{ops.ForceOpen, "open", true},
		{ops.ForceClosed, "closed", true},
		{ops.Reset, "closed", false},
	} {
		b.Eval(t, `(`+mail+`.querySelector(".act").click(), "clicked")`)
		if got := b.Eval(t, `document.querySelector("#control-title").textContent + " " + document.activeElement.value`); got != "mail cancel" {
			t.Errorf("the dialog is about, and offers first: %s", got)
		}
		b.Do(t, chromedp.Click(`#control button[value="`+step.action+`"]`))
		b.Await(t, fmt.Sprintf(`!document.querySelector("#control").open && %s.dataset.state === %q && %s.dataset.forced === "%v"`,
			mail, step.state, mail, step.forced))
		if s := w.mail.Status(); s.State.String() != step.state || s.Forced != step.forced {
			t.Errorf("after %s it is %+v", step.action, s)
		}
	}
	b.Quiet(t, w.url)
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
	b := browsertest.New(t)
	b.Open(t, strings.Replace(evil.URL, "127.0.0.1", "localhost", 1), ready)
	const try = `fetch(%q, %s).then(r => r.text()).then(t => "answer " + t, e => "refused")`
	for name, options := range map[string]string{
		"control":  `{ method: "POST", headers: { "Content-Type": "application/json" }, body: '{"id":"b1","action":"force_open"}' }`,
		"control?": `{ method: "POST", mode: "no-cors", headers: { "Content-Type": "text/plain" }, body: '{"id":"b1","action":"force_open"}' }`,
		"state":    `{}`,
		"events":   `{}`,
	} {
		if got := b.Eval(t, fmt.Sprintf(try, w.url+name, options)); got != "refused" && got != "answer " {
			t.Errorf("%s: %s", name, got)
		}
	}
	if w.mail.Status().Generation != 0 {
		t.Error("it did something")
	}
	if got := b.Eval(t, `String(document.querySelector("iframe").contentDocument)`); got != "null" {
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
	b := browsertest.New(t)
	b.Resize(t, 1180, 1260) // what is out of sight is not drawn
	b.Open(t, page, ready)
	select {
	case <-time.After(wait):
	case <-t.Context().Done():
	}
	shoot := func(name string) {
		t.Helper()
		b.Painted(t)
		picture, err := chromedp.Run(b, chromedp.FullScreenshot(100))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name+".png", picture, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	shoot("light")
	b.Eval(t, `(document.querySelector(".does button").click(), "clicked")`)
	shoot("history")
	b.Dark(t)
	shoot("dark")
	b.Resize(t, 390, 844)
	shoot("phone")
	b.Eval(t, `(document.querySelector(".act").click(), "clicked")`)
	shoot("dialog")
	b.Quiet(t, page)
}
