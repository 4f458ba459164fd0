package faults_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"syscall"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

// A client meets a dependency that fails now and then, without any socket.
func ExampleInjector_RoundTripper() {
	inj, err := faults.New(faults.Plan{
		Seed: 1,
		Faults: []faults.Fault{
			{Chance: 0.2, Effect: faults.Status{Code: 503, RetryAfter: time.Second}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	client := &http.Client{Transport: inj.RoundTripper(nil)}

	answers := map[int]int{}
	for range 1000 {
		resp, err := client.Get("http://billing/")
		if err != nil {
			fmt.Println(err)
			return
		}
		_ = resp.Body.Close()
		answers[resp.StatusCode]++
	}
	fmt.Println(answers)
	fmt.Println("arrivals:", inj.Counts().Arrivals)
	// Output:
	// map[200:792 503:208]
	// arrivals: 1000
}

// A function that loses answers: what it was called for has happened.
func ExampleInjector_Func() {
	inj, err := faults.New(faults.Plan{
		Faults: []faults.Fault{{Effect: faults.Reset{AfterWork: true}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	charge := inj.Func(func(context.Context) error {
		fmt.Println("charged")
		return nil
	})

	ctx := faults.WithRequestID(context.Background(), "invoice 7")
	for range 2 {
		fmt.Println(charge(ctx))
	}
	fmt.Println("duplicates:", inj.Counts().Duplicates)
	// Output:
	// charged
	// read tcp: read: connection reset by peer
	// charged
	// read tcp: read: connection reset by peer
	// duplicates: 1
}

func ExamplePlan_Check() {
	err := faults.Plan{Faults: []faults.Fault{
		{Chance: 1.5, Effect: faults.Status{Code: 42}},
	}}.Check()
	fmt.Println(err)
	// Output:
	// faults: Faults[0].Chance is 1.5, must be from 0 to 1
	// faults: Faults[0].Effect.Code is 42, must be from 200 to 599
}

// A proxy between client and server makes the network itself fail.
func ExampleProxy() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "ok")
	}))
	defer server.Close()
	proxy, err := faults.NewProxy(server.Listener.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer proxy.Close()

	get := func() {
		resp, err := http.Get("http://" + proxy.Addr())
		if err != nil {
			fmt.Println("refused:", errors.Is(err, syscall.ECONNREFUSED))
			return
		}
		_ = resp.Body.Close()
		fmt.Println(resp.Status)
	}
	get()
	if err := proxy.Set(faults.Link{Refuse: true}); err != nil {
		fmt.Println(err)
	}
	proxy.Cut() // the connection that is kept alive
	get()
	// Output:
	// 200 OK
	// refused: true
}

// An outage of two seconds in every ten, from the fifth second on.
func ExampleWindow() {
	w := faults.Window{From: 5 * time.Second, Every: 10 * time.Second, For: 2 * time.Second}
	for _, t := range []time.Duration{4 * time.Second, 6 * time.Second, 8 * time.Second, 16 * time.Second} {
		fmt.Println(t, w.Contains(t))
	}
	// Output:
	// 4s false
	// 6s true
	// 8s false
	// 16s true
}

// As middleware a plan makes a server of one's own fall ill.
func ExampleInjector_Handler() {
	inj, err := faults.New(faults.Plan{
		Faults: []faults.Fault{{Effect: faults.RateLimit{PerSecond: 1e-3, Burst: 2, RetryAfter: time.Second}}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	handler := inj.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "ok")
	}))
	for range 3 {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", http.NoBody))
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Retry-After"))
	}
	// Output:
	// 200 ""
	// 200 ""
	// 429 "1"
}
