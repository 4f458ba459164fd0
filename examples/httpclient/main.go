// Httpclient drives the same requests through a bare http.Client and through one
// guarded by Redoubt, against a dependency that is flaky, dies and comes back.
//
//	go run ./examples/httpclient        # an embedded dependency on loopback
//	go run ./examples/httpclient URL    # your own, with a bounded number of GETs
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// Against somebody's own server the load is small and short.
const (
	urlRequests = 40
	urlInterval = 100 * time.Millisecond
)

func main() {
	seed := flag.Uint64("seed", 1, "seed of the embedded dependency's faults")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: httpclient [-seed N] [URL]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() > 1 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *seed, flag.Arg(0)); err != nil {
		fmt.Fprintln(os.Stderr, "httpclient:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, seed uint64, target string) error {
	if target != "" {
		return runURL(ctx, out, target)
	}
	return runEmbedded(ctx, out, schedule{
		seed:     seed,
		flaky:    3 * time.Second,
		dead:     3 * time.Second,
		flakyToo: 3 * time.Second,
	})
}

func runEmbedded(ctx context.Context, out io.Writer, s schedule) error {
	start := time.Now().Add(100 * time.Millisecond)
	g := newGuarded(start)
	lanes := []*lane{{client: newBare()}, {client: g.client}}
	for _, lane := range lanes {
		lane.dependency = &dependency{schedule: s, start: start}
		addr, stop, err := serve(ctx, lane.dependency)
		if err != nil {
			return err
		}
		defer stop()
		lane.url = "http://" + addr + path
	}
	return compare(ctx, out, s, start, g, lanes)
}

const path = "/invoices/7?token=secret"

// compare drives load through both lanes, the bare client's first. Each has a
// dependency of its own, so that neither suffers from what the other does to it.
func compare(ctx context.Context, out io.Writer, s schedule, start time.Time, g *guarded, lanes []*lane) error {
	const perSecond = 50
	spans := record()
	l := load{
		requests: int(s.length().Seconds() * perSecond),
		interval: time.Second / perSecond,
		patience: 1500 * time.Millisecond,
	}
	fmt.Fprintf(out, "A dependency that is flaky for %v, dead for %v and flaky again for %v (seed %d).\n", s.flaky, s.dead, s.flakyToo, s.seed)
	fmt.Fprintf(out, "%d requests, %d a second, through each client. This takes about %v.\n\n", l.requests, perSecond, s.length()+l.patience)

	runLanes(ctx, lanes, l, start)
	if err := ctx.Err(); err != nil {
		return err
	}

	printTable(out, s, summarize(lanes[0].results, s), summarize(lanes[1].results, s),
		lanes[0].dependency.arrivals.Load(), lanes[1].dependency.arrivals.Load())
	g.printTransitions(out)
	printTrees(out, spans)
	return nil
}

// A lane is a client and what became of its requests.
type lane struct {
	client     *http.Client
	url        string
	dependency *dependency // nil if it is not ours
	results    []result
}

func runLanes(ctx context.Context, lanes []*lane, l load, start time.Time) {
	var wg sync.WaitGroup
	for _, lane := range lanes {
		l := l
		l.url = lane.url
		wg.Go(func() { lane.results = l.drive(ctx, lane.client, start) })
	}
	wg.Wait()
}

func runURL(ctx context.Context, out io.Writer, target string) error {
	u, err := url.Parse(target)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return fmt.Errorf("URL is %q, must be http:// or https:// with a host", target)
	}
	spans := record()
	start := time.Now().Add(100 * time.Millisecond)
	l := load{requests: urlRequests, interval: urlInterval, patience: 5 * time.Second}
	fmt.Fprintf(out, "%d GETs of %s through each client, %v apart.\n\n", l.requests, u.Redacted(), l.interval)

	bareSent, guardedSent := &counter{base: transport()}, &counter{base: transport()}
	bare := &http.Client{Transport: bareSent}
	g := newGuarded(start)
	g.transport.Base = guardedSent
	lanes := []*lane{
		{client: bare, url: target},
		{client: g.client, url: target},
	}
	runLanes(ctx, lanes, l, start)
	if err := ctx.Err(); err != nil {
		return err
	}

	healthy := schedule{flaky: time.Duration(l.requests) * l.interval}
	printTable(out, healthy, summarize(lanes[0].results, healthy), summarize(lanes[1].results, healthy),
		bareSent.sent.Load(), guardedSent.sent.Load())
	g.printTransitions(out)
	printTrees(out, spans)
	return nil
}

// counter counts what is sent when there is no server of ours to count it.
type counter struct {
	base http.RoundTripper
	sent atomic.Uint64
}

func (c *counter) RoundTrip(req *http.Request) (*http.Response, error) {
	c.sent.Add(1)
	return c.base.RoundTrip(req)
}

// record installs an SDK that keeps spans in memory. That Redoubt's spans go
// there needs no further word.
func record() *recorder {
	r := &recorder{}
	otel.SetTracerProvider(sdk.NewTracerProvider(sdk.WithSpanProcessor(r)))
	return r
}

// transport returns a transport with its own connections.
func transport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone() //nolint:errcheck // It is one.
	t.MaxIdleConnsPerHost = 100
	return t
}

func newBare() *http.Client { return &http.Client{Transport: transport()} }

// guarded is the client that this example is about.
type guarded struct {
	client    *http.Client
	transport *redoubt.Transport

	mu          sync.Mutex
	start       time.Time
	transitions []breaker.Transition
}

func newGuarded(start time.Time) *guarded {
	g := &guarded{start: start}
	stack := redoubt.Stack{
		retry.Policy{
			MaxAttempts: 3,
			Backoff:     retry.FullJitter(50*time.Millisecond, time.Second),
			Budget:      retry.NewBudget(retry.BudgetConfig{Name: "billing"}),
		},
		breaker.New(breaker.Config{
			Name:         "billing",
			Window:       2 * time.Second,
			FailureRatio: 0.5,
			Cooldown:     200 * time.Millisecond,
			MaxCooldown:  300 * time.Millisecond,
			OnTransition: g.onTransition,
		}),
		timeout.Limit(300 * time.Millisecond), // each attempt, to its headers
	}
	g.transport = &redoubt.Transport{Name: "billing", Base: transport(), Layer: stack}
	g.client = &http.Client{Transport: g.transport}
	return g
}

func (g *guarded) onTransition(t breaker.Transition) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.transitions = append(g.transitions, t)
}
