// Package browsertest shows pages in a browser, for the tests of those that
// Redoubt writes: that of package ops, which is tested here, and the report of
// "redoubt load". It is a module of its own, so that the browser's driver is not
// a dependency of anybody else.
package browsertest

import (
	"context"
	"fmt"
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
)

// A Browser is a tab of a headless Chromium, and what it complained about and
// asked for.
type Browser struct {
	context.Context

	mu         sync.Mutex
	complaints []string
	requests   []string
}

// New starts a Chromium that ends with the test. That there is none is a failure:
// the page would go untested.
func New(t *testing.T) *Browser {
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
	b := &Browser{Context: ctx}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("chromium is needed, see .ci/deps: %v", err)
	}
	t.Cleanup(func() { _ = chromedp.Cancel(ctx) })
	call(t, b, network.Enable, network.EnableParams{})
	call(t, b, log.Enable, cdp.Empty{})
	return b
}

func (b *Browser) listen(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		b.complaints = append(b.complaints, fmt.Sprintf("console.%s: %+v", e.Type, e.Args))
	case *runtime.EventExceptionThrown:
		b.complaints = append(b.complaints, fmt.Sprintf("%+v", e.ExceptionDetails))
	case *log.EventEntryAdded:
		b.complaints = append(b.complaints, e.Entry.Text+" "+e.Entry.URL)
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, e.Request.URL)
	}
}

// Quiet fails the test if a page complained, or asked for anything that is not
// below the URL page.
func (b *Browser) Quiet(t *testing.T, page string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.complaints) > 0 {
		t.Errorf("the page complains: %q", b.complaints)
	}
	for _, url := range b.requests {
		if !strings.HasPrefix(url, page) && !strings.HasPrefix(url, "data:") {
			t.Errorf("the page asks for %s", url)
		}
	}
	if len(b.requests) == 0 {
		t.Error("no request was seen, not even for the page")
	}
}

// soon is how long the browser may take for anything.
const soon = 60 * time.Second

// Do takes steps.
func (b *Browser) Do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, cancel := context.WithTimeout(b, soon)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		t.Fatal(err)
	}
}

// Open shows a page, and waits until a selector finds something in it.
func (b *Browser) Open(t *testing.T, page, ready string) {
	t.Helper()
	b.Do(t, chromedp.Navigate(page), chromedp.WaitReady(ready))
}

// Eval returns the text that a script comes to.
func (b *Browser) Eval(t *testing.T, script string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(b, soon)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[string](script, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("%s: %v", script, err)
	}
	return v
}

// Await waits until a script comes to true.
func (b *Browser) Await(t *testing.T, script string) {
	t.Helper()
	const poll = `new Promise((done, fail) => {
		const end = performance.now() + 50000;
		(function ask() {
			if (%s) done("yes"); else if (performance.now() > end) done("no"); else setTimeout(ask, 20);
		})();
	})`
	if b.Eval(t, fmt.Sprintf(poll, script)) != "yes" {
		t.Fatalf("it never came true: %s\n%s", script, b.Eval(t, "document.body.innerText"))
	}
}

// Painted waits until what was changed is on the screen.
func (b *Browser) Painted(t *testing.T) {
	t.Helper()
	b.Eval(t, `new Promise(done => requestAnimationFrame(() => setTimeout(() => done("painted"), 100)))`)
}

// Dark makes the browser prefer dark colours.
func (b *Browser) Dark(t *testing.T) {
	t.Helper()
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	})
	b.Painted(t)
}

// Resize makes the window as wide and high as that, such as a phone's.
func (b *Browser) Resize(t *testing.T, width, height int64) {
	t.Helper()
	b.Do(t, chromedp.EmulateViewport(width, height))
	b.Painted(t)
}

func call[P, R any](t *testing.T, b *Browser, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(b, command, params); err != nil {
		t.Fatal(err)
	}
}
