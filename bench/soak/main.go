// Soak sends requests to a flaky server for a long time and watches what must
// not grow: goroutines, heap and connections. It prints a line every so often,
// then the first and the last of them, and fails if the last has grown.
//
//	go run ./soak            # ten minutes
//	go run ./soak -for 1m -callers 200
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt"
)

func main() {
	length := flag.Duration("for", 10*time.Minute, "how long to go on")
	callers := flag.Int("callers", 32, "how many goroutines send requests")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *length, *callers); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// A sample is what is watched.
type sample struct {
	at          time.Duration
	goroutines  int
	heap        uint64 // bytes in use after a collection
	connections int64  // open, as the server sees them
	ok, failed  int64  // calls so far
}

func (s sample) String() string {
	return fmt.Sprintf("%8s  %5d goroutines  %8.1f KiB heap  %4d connections  %9d ok  %8d failed",
		s.at.Round(time.Second), s.goroutines, float64(s.heap)/1024, s.connections, s.ok, s.failed)
}

func run(ctx context.Context, out io.Writer, length time.Duration, callers int) error {
	server, err := newFlaky(ctx)
	if err != nil {
		return err
	}
	defer server.Close() //nolint:errcheck // Nothing depends on it any more.
	client := redoubt.NewClient("soak", func(c *redoubt.ClientConfig) {
		c.Limit = 2 * time.Second
		c.Breaker.Cooldown = 200 * time.Millisecond
		c.Transport.HeaderTimeout = 50 * time.Millisecond
	})
	defer client.CloseIdleConnections()

	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var ok, failed atomic.Int64
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for ctx.Err() == nil {
				if get(ctx, client, server.url) == nil {
					ok.Add(1)
				} else {
					failed.Add(1)
				}
			}
		})
	}

	start := time.Now()
	look := func() sample {
		runtime.GC()
		var stats runtime.MemStats
		runtime.ReadMemStats(&stats)
		return sample{time.Since(start), runtime.NumGoroutine(), stats.HeapAlloc, server.open.Load(), ok.Load(), failed.Load()}
	}
	var samples []sample
	ticker := time.NewTicker(max(length/20, time.Second))
	defer ticker.Stop()
	for ctx.Err() == nil {
		select {
		case <-ticker.C:
			s := look()
			samples = append(samples, s)
			fmt.Fprintln(out, s)
		case <-ctx.Done():
		}
	}
	wg.Wait()
	if len(samples) < 2 {
		return nil
	}
	// The first is taken when it has warmed up.
	first, last := samples[len(samples)/10], samples[len(samples)-1]
	fmt.Fprintf(out, "first %v\nlast  %v\n", first, last)
	if last.goroutines > 2*first.goroutines || last.heap > 2*first.heap || last.connections > 2*first.connections+8 {
		return fmt.Errorf("grew from %v to %v", first, last)
	}
	return nil
}

func get(ctx context.Context, client *http.Client, url string) error {
	if rand.IntN(20) == 0 { // some callers are impatient
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.IntN(20))*time.Millisecond)
		defer cancel()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // Nothing was written.
	if rand.IntN(20) == 0 {
		return nil // some do not read what they asked for
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= http.StatusInternalServerError {
		return fmt.Errorf("status %s", resp.Status)
	}
	return nil
}

// flaky is a server that mostly answers.
type flaky struct {
	http.Server

	url  string
	open atomic.Int64
}

func newFlaky(ctx context.Context) (*flaky, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &flaky{url: "http://" + listener.Addr().String()}
	f.Handler = http.HandlerFunc(serve)
	f.ReadHeaderTimeout = time.Minute
	f.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			f.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			f.open.Add(-1)
		}
	}
	go f.Serve(listener) //nolint:errcheck // It ends when it is closed.
	return f, nil
}

func serve(w http.ResponseWriter, r *http.Request) {
	switch n := rand.IntN(1000); {
	case n < 30:
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "try later")
	case n < 40:
		panic(http.ErrAbortHandler) // resets the connection
	case n < 45: // says nothing until the client gives up
		select {
		case <-r.Context().Done():
		case <-time.After(time.Second):
		}
	case n < 55: // breaks off
		w.Header().Set("Content-Length", "100000")
		_, _ = w.Write(make([]byte, 5000))
		panic(http.ErrAbortHandler)
	default:
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
		_, _ = w.Write(make([]byte, 2000))
	}
}
