package stackfile_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/stackfile"
)

const billing = `
stack: # outermost first
  - timeout: 10s
  - retry: {max_attempts: 3, backoff: {base: 1ms}, budget: {name: billing}}
  - breaker: {name: billing, consecutive: 5}
  - timeout: 1s
`

func ExampleParse() {
	file, err := stackfile.Parse("billing.yaml", []byte(billing))
	if err != nil {
		log.Fatal(err)
	}
	stack := file.Stack(stackfile.Options{})
	attempts := 0
	out, err := redoubt.Do(context.Background(), stack, func(context.Context) (string, error) {
		if attempts++; attempts < 3 {
			return "", errors.New("connection reset")
		}
		return "invoice 42", nil
	})
	fmt.Println(out, err, "after", attempts, "attempts")
	// Output: invoice 42 <nil> after 3 attempts
}

// Whatever is not understood is refused, with its line.
func ExampleParse_mistakes() {
	_, err := stackfile.Parse("billing.yaml", []byte(`
stack:
  - timeout: 10
  - retry:
      max_attempt: 3
`))
	fmt.Println(err)
	// Output:
	// stackfile: billing.yaml:3:14: stack[0].timeout is 10, must be a duration such as 1.5s, above 0 and at most 24h
	// stackfile: billing.yaml:5:7: stack[1].retry.max_attempt is unknown, must be one of max_attempts, backoff, budget, max_retry_after, restart_wait, await_refusals, nested
}

// The order of layers is judged as well.
func ExampleFile_Check() {
	file, err := stackfile.Parse("billing.yaml", []byte(`
stack:
  - timeout: 1s
  - retry: {max_attempts: 3}
  - timeout: 1s
`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(file.Check())
	// Output:
	// stackfile: billing.yaml:5: redoubt: timeout.Limit(1s) inside of timeout.Limit(1s) can never expire first
}

// For HTTP a file also says where else to ask, and when to ask once more.
func ExampleFile_Transport() {
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer down.Close()
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, "the mirror's ", r.URL.Path)
	}))
	defer mirror.Close()

	file, err := stackfile.Parse("packages.yaml", fmt.Appendf(nil, `
stack:
  - timeout: 10s
  - retry: {max_attempts: 2, budget: {name: packages}}
http:
  failover:
    name: packages
    endpoints: [%s, %s]
    guard: # of each endpoint
      - breaker: {name: packages, consecutive: 5}
      - timeout: 2s
  hedge: {percentile: 0.96}
`, down.URL, mirror.URL))
	if err != nil {
		log.Fatal(err)
	}
	client := &http.Client{Transport: file.Transport(stackfile.Options{})}
	resp, err := client.Get(down.URL + "/list")
	if err != nil {
		log.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	fmt.Println(string(body), err)
	// Output: the mirror's /list <nil>
}

// A reload picks up what has changed; a breaker whose own block has not goes on
// as it is.
func ExampleLive_Reload() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "billing.yaml")
	save := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			log.Fatal(err)
		}
	}

	save("stack: [{timeout: 2s}, {breaker: {name: billing, consecutive: 5}}]")
	live, err := stackfile.Open(path, stackfile.Options{Breaker: func(c *breaker.Config) {
		c.OnTransition = func(t breaker.Transition) { fmt.Println(t.Name, "is", t.To) }
	}})
	if err != nil {
		log.Fatal(err)
	}
	live.Layers()[1].(*breaker.Breaker).ForceOpen()

	save("stack: [{timeout: 5s}, {breaker: {name: billing, consecutive: 5}}]")
	changes, err := live.Reload()
	fmt.Println("kept:", changes.Kept, "fresh:", changes.Fresh, err)
	err = live.Do(context.Background(), func(context.Context) error { return nil })
	fmt.Println(errors.Is(err, breaker.ErrOpen))

	save("stack: [{timeout: 5 seconds}]")
	_, err = live.Reload()
	fmt.Println(err != nil, redoubt.Explain(live).Longest == 5*time.Second)
	// Output:
	// billing is open
	// kept: [breaker billing] fresh: [] <nil>
	// true
	// true true
}
