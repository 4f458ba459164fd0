package failover_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A call goes to the first endpoint that works. One that has failed is left alone
// until its breaker lets a probe through.
func Example() {
	mirrors := failover.New(failover.Config{
		Name:      "packages",
		Endpoints: []string{"primary", "mirror"},
		Guard: func(endpoint string) failover.Layer {
			return breaker.New(breaker.Config{Name: endpoint, Consecutive: 1})
		},
	})
	fetch := func(_ context.Context, endpoint string) (string, error) {
		fmt.Println("asking", endpoint)
		if endpoint == "primary" {
			return "", errors.New("connection refused")
		}
		return "packages.tar from " + endpoint, nil
	}

	for range 2 {
		out, err := failover.Do(context.Background(), mirrors, fetch)
		fmt.Println(out, err)
	}
	// Output:
	// asking primary
	// asking mirror
	// packages.tar from mirror <nil>
	// asking mirror
	// packages.tar from mirror <nil>
}

// An error tells the fate of every endpoint.
func ExampleError() {
	mirrors := failover.New(failover.Config{Name: "packages", Endpoints: []string{"primary", "mirror"}})
	_, err := failover.Do(context.Background(), mirrors, func(_ context.Context, endpoint string) (int, error) {
		return 0, fmt.Errorf("no route to %s", endpoint)
	})
	fmt.Println(err)

	if failed, ok := errors.AsType[*failover.Error](err); ok {
		fmt.Println(failed.Stop, len(failed.Fates))
	}
	// Output:
	// failover: packages: every endpoint failed: primary: no route to primary; mirror: no route to mirror
	// exhausted 2
}

// TryNext tells what is wrong with one mirror from what is wrong with the call.
func ExampleConfig_tryNext() {
	errStale := errors.New("does not have the version")
	mirrors := failover.New(failover.Config{
		Name:      "packages",
		Endpoints: []string{"mirror", "primary"},
		TryNext:   func(err error) bool { return errors.Is(err, errStale) },
	})
	out, err := failover.Do(context.Background(), mirrors, func(_ context.Context, endpoint string) (string, error) {
		if endpoint == "mirror" {
			return "", retry.Permanent(errStale)
		}
		return endpoint, nil
	})
	fmt.Println(out, err)
	// Output:
	// primary <nil>
}

// As the transport of a client: requests to the first endpoint go to the mirror
// when that fails.
func ExampleTransport() {
	down := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer down.Close()
	mirror := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "the mirror has", r.URL.Path)
	}))
	defer mirror.Close()

	client := &http.Client{Transport: &failover.Transport{
		Failover: failover.New(failover.Config{
			Name:      "packages",
			Endpoints: []string{down.URL, mirror.URL + "/pub"},
			Guard: func(endpoint string) failover.Layer {
				return redoubt.Stack{breaker.New(breaker.Config{Name: endpoint}), timeout.Limit(2 * time.Second)}
			},
		}),
	}}
	resp, err := client.Get(down.URL + "/go.tar.gz")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = resp.Body.Close() }()
	body, _ := io.ReadAll(resp.Body)
	fmt.Print(resp.StatusCode, " ", string(body))
	// Output:
	// 200 the mirror has /pub/go.tar.gz
}

// In a stack the layers after the list run at each endpoint, here with a breaker
// for each.
func ExampleEndpoint() {
	stack := redoubt.Stack{
		timeout.Limit(10 * time.Second),
		failover.New(failover.Config{Name: "packages", Endpoints: []string{"primary", "mirror"}}),
		breaker.NewGroup(breaker.GroupConfig{Breaker: breaker.Config{Name: "packages"}, Key: failover.Endpoint}),
		timeout.Limit(2 * time.Second),
	}
	out, err := redoubt.Do(context.Background(), stack, func(ctx context.Context) (string, error) {
		return "from " + failover.Endpoint(ctx), nil
	})
	fmt.Println(out, err)
	// Output:
	// from primary <nil>
}
