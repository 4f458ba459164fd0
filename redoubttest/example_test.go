package redoubttest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/redoubt-go/redoubt/redoubttest"
)

// A function that retries meets a service that fails twice.
func ExampleDependency_Call() {
	dep := redoubttest.NewDependency(redoubttest.MustParse("503 retry-after=2, reset, ok"))

	for {
		err := dep.Call(context.Background())
		if err == nil {
			break
		}
		fmt.Println(err)
	}
	fmt.Println("calls:", dep.Count())
	// Output:
	// redoubttest: 503 Service Unavailable
	// read tcp: read: connection reset by peer
	// calls: 3
}

// The dependency is the transport of a client, and afterwards tells what it
// received and whether the client closed what it got.
func ExampleDependency_RoundTrip() {
	dep := redoubttest.NewDependency(redoubttest.MustParse("503, 201"))
	client := &http.Client{Transport: dep}

	for range 2 {
		resp, err := client.Post("http://billing/charges", "text/plain", strings.NewReader("12.50"))
		if err != nil {
			fmt.Println(err)
			return
		}
		body, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		fmt.Printf("%d %s", resp.StatusCode, body)
	}

	for _, c := range dep.Calls() {
		fmt.Printf("call %d: %s %s %s\n", c.Attempt, c.Method, c.URL, c.Body)
	}
	fmt.Println("open bodies:", dep.OpenBodies())
	// Output:
	// 503 Service Unavailable
	// 201 Created
	// call 1: POST http://billing/charges 12.50
	// call 2: POST http://billing/charges 12.50
	// open bodies: 0
}

// A function with a result.
func ExampleValue() {
	dep := redoubttest.NewDependency(redoubttest.MustParse("fail, ok"))
	price := redoubttest.Value(dep, 42)

	fmt.Println(price(context.Background()))
	fmt.Println(price(context.Background()))
	// Output:
	// 0 redoubttest: scripted failure
	// 42 <nil>
}

func ExampleParse() {
	script, err := redoubttest.Parse("3*503 Retry-After=2, Slow 90s, END")
	fmt.Println(script, err)

	_, err = redoubttest.Parse("503, rset")
	fmt.Println(err)
	// Output:
	// 3*503 retry-after=2, slow 1m30s ok, end <nil>
	// redoubttest: script "503, rset": step 2 (offset 5): unknown outcome "rset"
}

// A gate lets calls through until it is shut.
type gate struct{ shut bool }

func (g gate) Do(ctx context.Context, call func(context.Context) error) error {
	if call == nil || g.shut {
		return errors.New("gate: shut")
	}
	return call(ctx)
}

// The whole of a conformance test.
func TestGate(t *testing.T) {
	redoubttest.CheckLayer(t, func() gate { return gate{} })
}

// Two requests, one after the other, share a connection, as long as the body of
// the first is read to its end and closed.
func ExampleConns() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "ok")
	}))
	defer server.Close()

	var conns redoubttest.Conns
	transport := &http.Transport{DialContext: conns.DialContext(nil)}
	client := &http.Client{Transport: transport}
	for range 2 {
		resp, err := client.Get(server.URL)
		if err != nil {
			fmt.Println(err)
			return
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	fmt.Println("opened:", conns.Opened())

	transport.CloseIdleConnections()
	fmt.Println(conns.Wait(context.Background()), "open:", conns.Open())
	// Output:
	// opened: 1
	// <nil> open: 0
}
