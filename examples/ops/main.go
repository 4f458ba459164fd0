// Ops shows the live view: a service that calls dependencies which come and go,
// and the page on which an operator sees that, and can act on it.
//
//	go run ./examples/ops            # for five minutes, on http://127.0.0.1:8089/
//	go run ./examples/ops -for 30s -addr 127.0.0.1:0
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"time"

	"go.opentelemetry.io/otel"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/redoubt-go/redoubt/ops"
)

// longest bounds how long the example runs.
const longest = time.Hour

func main() {
	addr := flag.String("addr", "127.0.0.1:8089", "where to show the page; port 0 is any that is free")
	period := flag.Duration("for", 5*time.Minute, "how long to run, at most "+longest.String())
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *addr, *period); err != nil {
		fmt.Fprintln(os.Stderr, "ops:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, addr string, period time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, min(period, longest))
	defer cancel()
	otel.SetTracerProvider(sdk.NewTracerProvider()) // so that there are trace ids

	s, err := newService(ctx)
	if err != nil {
		return err
	}
	defer s.close()
	view := ops.New(ops.Config{
		Name:      "checkout",
		Clients:   []*http.Client{s.payments},
		Layers:    s.layers(),
		Authorize: ops.Loopback, // a real service asks who it is
		Logger:    slog.New(slog.NewTextHandler(out, nil)),
		TraceURL:  "http://127.0.0.1:16686/trace/{trace_id}",
	})
	if err := view.Check(); err != nil {
		return err
	}

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.Handle("/debug/redoubt/", view)
	mux.Handle("/{$}", http.RedirectHandler("/debug/redoubt/", http.StatusFound))
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	fmt.Fprintf(out, "Open http://%s/debug/redoubt/ within %v; Ctrl-C ends it sooner.\n", listener.Addr(), period)

	s.work(ctx) // until ctx ends

	// Those who watch are let go by the view itself.
	ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err = server.Shutdown(ctx)
	if served := <-served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
