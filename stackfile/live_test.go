package stackfile

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/ops"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

const usual = `
name: invoices
stack:
  - timeout: 10s
  - retry: {budget: {name: billing}}
  - breaker: {name: billing, consecutive: 5}
  - timeout: 1s
`

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, text string, options Options) (live *Live, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "stack.yaml")
	write(t, path, text)
	live, err := Open(path, options)
	if err != nil {
		t.Fatal(err)
	}
	return live, path
}

// parts returns what has a memory in the usual stack.
func parts(t *testing.T, live *Live) (*retry.Budget, *breaker.Breaker) {
	t.Helper()
	var budget *retry.Budget
	var br *breaker.Breaker
	for _, layer := range live.Layers() {
		switch layer := layer.(type) {
		case retry.Policy:
			budget = layer.Budget
		case *breaker.Breaker:
			br = layer
		}
	}
	return budget, br
}

func TestLive_Law(t *testing.T) {
	redoubttest.CheckLayer(t, func() redoubt.Layer {
		live, _ := open(t, usual, Options{})
		return live
	})
}

// Breakers and budgets outlive a reload if their own block says the same, in
// whatever way, and whatever else changes.
func TestLive_Reload(t *testing.T) {
	tests := []struct {
		name, text    string
		budget, kept  bool // whether they are the same
		changes       Changes
		wantFirstWait time.Duration
	}{
		{"the same", usual, true, true, Changes{Kept: []string{"breaker billing", "budget billing"}}, 10 * time.Second},
		{
			"other limits, attempts, order, style and comments", `
stack: # without a name
  - timeout: 20s
  - breaker:
      consecutive: 0x5 # as before
      name: "billing"
  - retry: {max_attempts: 7, backoff: {base: 1s}, budget: {name: billing}}
`, true, true, Changes{Kept: []string{"breaker billing", "budget billing"}}, 20 * time.Second,
		},
		{
			"another rule", strings.Replace(usual, "consecutive: 5", "consecutive: 6", 1),
			true, false,
			Changes{Kept: []string{"budget billing"}, Fresh: []string{"breaker billing"}},
			10 * time.Second,
		},
		{
			"another ratio", strings.Replace(usual, "budget: {name: billing}", "budget: {name: billing, ratio: 0.1}", 1),
			false, true,
			Changes{Kept: []string{"breaker billing"}, Fresh: []string{"budget billing"}},
			10 * time.Second,
		},
		{
			"another name", strings.ReplaceAll(usual, "name: billing", "name: orders"),
			false, false,
			Changes{Fresh: []string{"breaker orders", "budget orders"}, Gone: []string{"breaker billing", "budget billing"}},
			10 * time.Second,
		},
		{
			"one for each host", strings.ReplaceAll(usual, "name: billing", "per: host, name: billing"),
			false, false,
			Changes{Fresh: []string{"breaker billing", "budget billing"}},
			10 * time.Second,
		},
		{
			"fewer layers", "stack: [{timeout: 3s}]",
			false, false,
			Changes{Gone: []string{"breaker billing", "budget billing"}},
			3 * time.Second,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			live, path := open(t, usual, Options{})
			budget, br := parts(t, live)
			budget.Withdraw()
			br.ForceOpen()
			write(t, path, tt.text)
			changes, err := live.Reload()
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(changes, tt.changes) {
				t.Errorf("changes are %+v, want %+v", changes, tt.changes)
			}
			newBudget, newBreaker := parts(t, live)
			if (newBudget == budget) != tt.budget || (newBreaker == br) != tt.kept {
				t.Errorf("budget is the same: %t, breaker: %t; want %t, %t", newBudget == budget, newBreaker == br, tt.budget, tt.kept)
			}
			if got := redoubt.Explain(live).Longest; got != tt.wantFirstWait {
				t.Errorf("a call takes %v at most, want %v", got, tt.wantFirstWait)
			}
		})
	}
}

// What was kept once is kept again, also over a reload that failed.
func TestLive_ReloadsAgain(t *testing.T) {
	live, path := open(t, usual, Options{})
	_, br := parts(t, live)
	for _, step := range []struct{ text, want string }{
		{usual + "  - retry: {}\n", "stackfile: PATH:8: redoubt: retry.Policy inside of another makes only one attempt; remove one of them or set Nested"},
		{"stack: [{timeout: 1}]", "stackfile: PATH:1:19: stack[0].timeout is 1, must be a duration such as 1.5s, above 0 and at most 24h"},
		{"{", "stackfile: PATH:1: is not YAML: did not find expected node content"},
		{"", "stackfile: PATH: is empty, must describe a stack"},
		{usual + "# changed\n", "<nil>"},
	} {
		write(t, path, step.text)
		_, err := live.Reload()
		if got := strings.ReplaceAll(fmt.Sprint(err), path, "PATH"); got != step.want {
			t.Errorf("Reload: %s\nwant %s", got, step.want)
		}
		if _, now := parts(t, live); now != br {
			t.Errorf("the breaker is another after %q", step.text)
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := live.Reload(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v, want os.ErrNotExist", err)
	}
	if err := live.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
		t.Errorf("Do without its file = %v", err)
	}
}

// A call ends on the stack on which it began; the next begins on the new one.
func TestLive_CallsUnderWay(t *testing.T) {
	live, path := open(t, "stack: [{timeout: 10s}]", Options{})
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		err := live.Do(t.Context(), func(ctx context.Context) error {
			write(t, path, "stack: [{timeout: 2s}]")
			if _, err := live.Reload(); err != nil {
				t.Error(err)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		if e, ok := errors.AsType[*timeout.Error](err); !ok || e.Limit != 10*time.Second || time.Since(start) != 10*time.Second {
			t.Errorf("the call ended after %v with %v", time.Since(start), err)
		}
		start = time.Now()
		_ = live.Do(t.Context(), func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		})
		if got := time.Since(start); got != 2*time.Second {
			t.Errorf("the next ended after %v, want 2s", got)
		}
	})
}

// Reloads and calls may meet.
func TestLive_Concurrent(t *testing.T) {
	live, path := open(t, usual, Options{})
	var group sync.WaitGroup
	for i := range 8 {
		group.Go(func() {
			for range 50 {
				if i == 0 {
					// A rename is how a file changes while others read it.
					write(t, path+".new", usual)
					_ = os.Rename(path+".new", path)
				}
				if i < 2 {
					if _, err := live.Reload(); err != nil {
						t.Error(err)
					}
					continue
				}
				if err := live.Do(t.Context(), func(context.Context) error { return nil }); err != nil {
					t.Error(err)
				}
				_ = redoubt.Check(live)
			}
		})
	}
	group.Wait()
}

// Watch reloads when the content changes, and tells of the same failure once.
func TestLive_Watch(t *testing.T) {
	live, path := open(t, "stack: [{timeout: 10s}]", Options{})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		var told []string
		start := time.Now()
		var group sync.WaitGroup
		var end error
		group.Go(func() {
			end = live.Watch(ctx, time.Second, func(changes Changes, err error) {
				text := fmt.Sprint("ok ", changes.Fresh)
				if err != nil {
					text = strings.ReplaceAll(err.Error(), path, "PATH")
				}
				told = append(told, fmt.Sprint(time.Since(start), " ", text))
			})
		})
		for _, change := range []func(){
			func() {},
			func() { write(t, path, "stack: [{timeout: 11s}]") },
			func() { write(t, path, "stack: [{timeout: 12s}]") }, // as long as before
			func() { write(t, path, "stack: [") },
			func() {},
			func() { write(t, path, "stack: [{timeout: 12s}]") }, // as it runs
			func() { write(t, path, "stack: [") },
			func() { os.Remove(path) },
			func() {},
			func() { write(t, path, "stack: [{timeout: 13s}, {breaker: {name: b}}]") },
			func() { os.Remove(path) },
		} {
			change()
			time.Sleep(time.Second)
			synctest.Wait()
		}
		gone := errors.New("gone")
		cancel(gone)
		group.Wait()
		want := []string{
			"2s ok []",
			"3s ok []",
			"4s stackfile: PATH:1: is not YAML: did not find expected node content",
			"7s stackfile: PATH:1: is not YAML: did not find expected node content",
			"8s stackfile: PATH: open: no such file or directory",
			"10s ok [breaker b]",
			"11s stackfile: PATH: open: no such file or directory",
		}
		if !reflect.DeepEqual(told, want) {
			t.Errorf("told\n%s\nwant\n%s", strings.Join(told, "\n"), strings.Join(want, "\n"))
		}
		if !errors.Is(end, gone) {
			t.Errorf("Watch = %v, want %v", end, gone)
		}
		if got := redoubt.Explain(live).Longest; got != 13*time.Second {
			t.Errorf("the limit is %v, want 13s", got)
		}
	})
	if err := live.Watch(t.Context(), 0, nil); fmt.Sprint(err) != "stackfile: Watch: every is 0s, must be positive" {
		t.Errorf("Watch = %v", err)
	}
}

// A program that is told nothing has its file reloaded all the same.
func TestLive_Watch_ToldNothing(t *testing.T) {
	live, path := open(t, "stack: [{timeout: 10s}]", Options{})
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		write(t, path, "stack: [{timeout: 11s}]")
		if err := live.Watch(ctx, time.Second, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Watch = %v, want the deadline", err)
		}
	})
	if got := redoubt.Explain(live).Longest; got != 11*time.Second {
		t.Errorf("the limit is %v, want 11s", got)
	}
}

// As a RoundTripper it has the http part too, and closes what was handed to it.
func TestLive_RoundTrip(t *testing.T) {
	var made []*redoubt.Transport
	closed := 0
	fail := errors.New("refused")
	live, path := open(t, "name: a\nstack: []\nhttp: {attempt_header: Attempt}", Options{Transport: func(tr *redoubt.Transport) {
		tr.Base = failing{fail, func() { closed++ }}
		made = append(made, tr)
	}})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://example.com", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if resp, err := live.RoundTrip(req); !errors.Is(err, fail) {
		t.Errorf("RoundTrip = %v, %v", resp, err)
	}
	write(t, path, "name: b\nstack: []\nhttp: {attempt_header: Again}")
	if _, err := live.Reload(); err != nil {
		t.Fatal(err)
	}
	if live.CloseIdleConnections(); closed != 1 {
		t.Errorf("idle connections were closed %d times, want once", closed)
	}
	if live.Unwrap() != http.RoundTripper(made[1]) {
		t.Errorf("Unwrap() = %v, want the last Transport", live.Unwrap())
	}
	if len(made) != 2 || made[1].AttemptHeader != "Again" || made[1].Name != "b" || live.Name() != "b" {
		t.Errorf("made %d", len(made))
	}
}

type failing struct {
	err   error
	close func()
}

func (f failing) CloseIdleConnections() { f.close() }

func (f failing) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return nil, f.err
}

// An operator's view went on showing the breakers that a reload had done away
// with, and none of those in use.
func TestLive_InOps(t *testing.T) {
	shown := func(t *testing.T, view http.Handler) map[string]string {
		t.Helper()
		w := httptest.NewRecorder()
		view.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/state", nil))
		var state ops.Snapshot
		if err := json.Unmarshal(w.Body.Bytes(), &state); err != nil {
			t.Fatal(w.Code, w.Body, err)
		}
		ids := map[string]string{}
		for _, row := range state.Breakers.Rows {
			ids[row.Name] = row.ID
		}
		for _, row := range state.Budgets.Rows {
			ids[row.Name] = row.ID
		}
		return ids
	}
	for name, config := range map[string]func(*Live) ops.Config{
		"layer": func(live *Live) ops.Config { return ops.Config{Layers: []redoubt.Layer{live}} },
		"client": func(live *Live) ops.Config {
			return ops.Config{Clients: []*http.Client{{Transport: live}}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			live, path := open(t, "stack: [{retry: {budget: {name: budget}}}, {breaker: {name: old, consecutive: 5}}]", Options{})
			view := ops.New(config(live))
			if err := view.Check(); err != nil {
				t.Fatal(err)
			}
			if got, want := shown(t, view), (map[string]string{"budget": "r1", "old": "b1"}); !maps.Equal(got, want) {
				t.Errorf("shown is %v, want %v", got, want)
			}
			write(t, path, "stack: [{retry: {budget: {name: budget}}}, {breaker: {name: new, consecutive: 5}}]")
			if _, err := live.Reload(); err != nil {
				t.Fatal(err)
			}
			if got, want := shown(t, view), (map[string]string{"budget": "r1", "new": "b2"}); !maps.Equal(got, want) {
				t.Errorf("after a reload %v, want %v: what is the same keeps its id", got, want)
			}
		})
	}
}

// What the program makes of a file is checked too.
func TestOpen_BadOptions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "stack.yaml")
	write(t, path, usual)
	_, err := Open(path, Options{Breaker: func(c *breaker.Config) { c.Probes = -1 }})
	want := "stackfile: " + path + ": breaker: billing: Probes is -1, must be positive"
	if fmt.Sprint(err) != want {
		t.Errorf("Open = %v, want %s", err, want)
	}
}

// A Live that is none says so, and runs nothing.
func TestLive_Zero(t *testing.T) {
	for _, live := range []*Live{nil, {}} {
		const want = "stackfile: Live is nil or zero, must be made with Open"
		_, reload := live.Reload()
		body := &closing{}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://example.com", body)
		if err != nil {
			t.Fatal(err)
		}
		_, roundTrip := live.RoundTrip(req)
		for _, err := range []error{
			reload, roundTrip, live.Check(), redoubt.Check(live), live.Watch(t.Context(), time.Second, nil),
			live.Do(t.Context(), func(context.Context) error { t.Error("the call ran"); return nil }),
		} {
			if fmt.Sprint(err) != want {
				t.Errorf("err = %v, want %s", err, want)
			}
		}
		if _, err := live.RoundTrip(&http.Request{}); fmt.Sprint(err) != want { // without a body
			t.Errorf("err = %v, want %s", err, want)
		}
		if live.Name() != "" || live.Layers() != nil || live.File() != nil || live.Unwrap() != nil || !body.closed {
			t.Error("it is something")
		}
		live.CloseIdleConnections()
	}
}

type closing struct{ closed bool }

func (*closing) Read([]byte) (int, error) { return 0, errors.New("unused") }
func (c *closing) Close() error           { c.closed = true; return nil }
