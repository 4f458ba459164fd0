package shared_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
)

// Each call of upload stands for a process of its own: all that they have in
// common is a directory.
func Example() {
	dir, err := os.MkdirTemp("", "circuits")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	upload := func() error {
		br := shared.New(shared.Config{
			Name:        "releases.example.org",
			Store:       shared.NewFileStore(dir),
			Consecutive: 2,
			Cooldown:    time.Hour,
		})
		return br.Do(context.Background(), func(context.Context) error {
			return errors.New("connection refused")
		})
	}
	for range 3 {
		err := upload()
		fmt.Println(err != nil, errors.Is(err, breaker.ErrOpen))
	}

	circuits, err := shared.Status(context.Background(), shared.NewFileStore(dir))
	for _, c := range circuits {
		fmt.Println(c.Name, c.State, c.Reason, err)
	}
	// Output:
	// true false
	// true false
	// true true
	// releases.example.org open consecutive <nil>
}

// Status shows all circuits of a store, and Reset closes one by hand: what a
// command for operators is made of.
func ExampleStatus() {
	dir, err := os.MkdirTemp("", "circuits")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	store := shared.NewFileStore(dir)

	for _, host := range []string{"a.example", "b.example"} {
		br := shared.New(shared.Config{Name: "mirrors", Key: host, Store: store, Consecutive: 1})
		_ = br.Do(ctx, func(context.Context) error { return syscall.ECONNREFUSED })
	}
	if err := shared.Reset(ctx, store, "mirrors", "b.example"); err != nil {
		fmt.Println(err)
	}

	circuits, err := shared.Status(ctx, store)
	for _, c := range circuits {
		fmt.Println(c.Name, c.Key, "is", c.State, "because of", c.Last.Class)
	}
	fmt.Println(err)
	// Output:
	// mirrors a.example is open because of connection_refused
	// <nil>
}
