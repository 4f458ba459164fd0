package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/ops"
)

func Example() {
	payments := redoubt.NewClient("payments")
	view := ops.New(ops.Config{
		Name:     "checkout",
		Clients:  []*http.Client{payments},
		TraceURL: "https://jaeger.example.com/trace/{trace_id}",
	})
	if err := view.Check(); err != nil {
		fmt.Println(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/redoubt/", view)

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/redoubt/", http.NoBody))
	fmt.Println(w.Code, w.Header().Get("Content-Type"))
	// Output: 200 text/html; charset=utf-8
}

// A program reads the state as JSON.
func ExampleView_ServeHTTP() {
	mail := breaker.New(breaker.Config{Name: "mail", Consecutive: 1})
	_ = mail.Do(context.Background(), func(context.Context) error { return errors.New("connection refused") })
	view := ops.New(ops.Config{Layers: []redoubt.Layer{mail}})

	w := httptest.NewRecorder()
	view.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/debug/redoubt/state?q=mail", http.NoBody))
	var state ops.Snapshot
	if err := json.Unmarshal(w.Body.Bytes(), &state); err != nil {
		fmt.Println(err)
	}
	for _, b := range state.Breakers.Rows {
		last := b.Transitions[len(b.Transitions)-1]
		fmt.Printf("%s is %s: %s, %s\n", b.Name, b.State, last.Reason, last.Error)
	}
	// Output: mail is open: consecutive, connection refused
}

// Somebody who may forces a circuit open before the dependency is taken down.
func ExampleConfig_authorize() {
	mail := breaker.New(breaker.Config{Name: "mail"})
	view := ops.New(ops.Config{
		Layers: []redoubt.Layer{mail},
		Authorize: func(r *http.Request) error {
			if _, password, _ := r.BasicAuth(); password != "swordfish" {
				return errors.New("wrong password")
			}
			return nil
		},
	})
	command := func(password string) {
		r := httptest.NewRequest(http.MethodPost, "/debug/redoubt/control", strings.NewReader(`{"id":"b1","action":"force_open"}`))
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth("operator", password)
		w := httptest.NewRecorder()
		view.ServeHTTP(w, r)
		fmt.Println(w.Code, mail.State())
	}
	command("guess")
	command("swordfish")
	// Output:
	// 403 closed
	// 200 open
}

// On a machine of one's own everybody may act, as long as they are there.
func ExampleLoopback() {
	mail := breaker.New(breaker.Config{Name: "mail"})
	view := ops.New(ops.Config{Layers: []redoubt.Layer{mail}, Authorize: ops.Loopback})
	command := func(from string) {
		r := httptest.NewRequest(http.MethodPost, "http://localhost/debug/redoubt/control", strings.NewReader(`{"id":"b1","action":"force_open"}`))
		r.Header.Set("Content-Type", "application/json")
		r.RemoteAddr = from
		w := httptest.NewRecorder()
		view.ServeHTTP(w, r)
		fmt.Println(from, w.Code, mail.State())
	}
	command("192.0.2.1:4711")
	command("127.0.0.1:4711")
	// Output:
	// 192.0.2.1:4711 403 closed
	// 127.0.0.1:4711 200 open
}
