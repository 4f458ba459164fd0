package faults_test

import (
	"context"
	"fmt"
	"net/http"
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
