// Command loadtest measures a flaky dependency under load with the library alone:
// package faults makes it flaky, vegeta sends the load, and a client or a function
// of your own is what is measured.
//
// For two seconds of six, one call in five fails. The same plan and the same load
// meet a bare client, a guarded one, and a guarded function. The command redoubt
// load does more of this, and draws it.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	vegeta "github.com/tsenart/vegeta/v12/lib"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/redoubttest/faults"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

const length = 6 * time.Second

var rate = vegeta.ConstantPacer{Freq: 100, Per: time.Second}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, w io.Writer) error {
	for _, one := range []struct {
		name  string
		drive func(*faults.Injector) float64
	}{
		{"bare client", func(dep *faults.Injector) float64 { return attack(&http.Client{Transport: dep.RoundTripper(nil)}) }},
		{"guarded client", func(dep *faults.Injector) float64 {
			return attack(redoubt.NewClient("billing", func(c *redoubt.ClientConfig) {
				c.Transport.Base = dep.RoundTripper(nil) // around your own transport: RoundTripper(base)
			}))
		}},
		{"guarded function", func(dep *faults.Injector) float64 {
			stack := redoubt.Stack{retry.Policy{MaxAttempts: 4}, timeout.Limit(time.Second)}
			call := dep.Func(func(context.Context) error { return nil }) // your function
			return drive(ctx, func(ctx context.Context) error { return stack.Do(ctx, call) })
		}},
	} {
		dep, err := faults.New(faults.Plan{
			Seed:    1, // the same faults each time
			Service: faults.Service{Time: faults.Constant(5 * time.Millisecond)},
			Faults: []faults.Fault{{
				During: faults.Window{From: 2 * time.Second, To: 4 * time.Second},
				Chance: 0.2,
				Effect: faults.Status{Code: http.StatusServiceUnavailable},
			}},
		})
		if err != nil {
			return err
		}
		success := one.drive(dep)
		fmt.Fprintf(w, "%-16s  %5.1f %% answered, %.2f arrivals a call\n", one.name, 100*success,
			float64(dep.Counts().Arrivals)/(rate.Rate(0)*length.Seconds()))
	}
	return nil
}

// attack sends requests in an open loop. Vegeta needs enough workers for that, and
// of its options only those that leave a transport alone.
func attack(client *http.Client) float64 {
	attacker := vegeta.NewAttacker(vegeta.Client(client), vegeta.MaxWorkers(10_000))
	targets := vegeta.NewStaticTargeter(vegeta.Target{Method: http.MethodGet, URL: "http://billing.test/"})
	var metrics vegeta.Metrics
	for result := range attacker.Attack(targets, rate, length, "billing") {
		metrics.Add(result)
	}
	metrics.Close()
	return metrics.Success
}

// drive does for a function what attack does for a client: each call begins when
// the pacer says, however many are under way.
func drive(ctx context.Context, call func(context.Context) error) float64 {
	var calls sync.WaitGroup
	var good atomic.Int64
	begun, n := time.Now(), uint64(0)
	for ; time.Since(begun) < length; n++ {
		wait, stop := rate.Pace(time.Since(begun), n)
		if stop {
			break
		}
		time.Sleep(wait)
		calls.Go(func() {
			if call(ctx) == nil {
				good.Add(1)
			}
		})
	}
	calls.Wait()
	return float64(good.Load()) / float64(n)
}
