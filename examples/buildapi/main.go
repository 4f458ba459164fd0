// Buildapi is the client of a build server that is slow, hangs at times and loses
// answers: it triggers, watches and cancels builds, and nothing is triggered
// twice.
//
//	go run ./examples/buildapi
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "buildapi:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	api := newBuildServer()
	server := &http.Server{Handler: api.handler(), ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener) //nolint:errcheck // It ends when it is closed.
	defer server.Close()      //nolint:errcheck // As above.

	s := &session{out: out, api: api, client: newBuildClient("http://" + listener.Addr().String())}
	s.play(ctx)
	fmt.Fprintf(out, "\n%d builds were triggered, as many as were ordered.\n", api.builds())
	return nil
}

// A session is a client at work, and what there is to see of it.
type session struct {
	out    io.Writer
	api    *buildServer
	client *buildClient
}

func (s *session) play(ctx context.Context) {
	trigger := func(key string) func() (string, error) {
		return func() (string, error) { return s.client.trigger(ctx, key) }
	}
	s.step("trigger, while all is well", trigger(""))
	s.step("trigger without a key, and the answer is lost", trigger(""), lost)
	s.step("trigger with a key, and the answer is lost", trigger("nightly-2026-11-23"), lost)
	s.step("trigger with the same key once more", trigger("nightly-2026-11-23"))
	s.step("cancel, and the server hangs once", func() (string, error) { return s.client.cancel(ctx, "1") }, hangs)
	s.step("ask for the status, and the server hangs", func() (string, error) { return s.client.status(ctx, "2") }, hangs, hangs, hangs)
	s.step("ask for the status, and the server is broken", func() (string, error) { return s.client.status(ctx, "2") }, broken, broken, broken)
	s.step("trigger, after all that", trigger(""))
}

// step does one thing against a server that treats its next requests as told.
func (s *session) step(title string, do func() (string, error), next ...illness) {
	s.api.fallIll(next...)
	start := time.Now()
	answer, err := do()
	took := time.Since(start).Round(10 * time.Millisecond)

	fmt.Fprintf(s.out, "%s\n", title)
	if err == nil {
		fmt.Fprintf(s.out, "  answer: %s\n", answer)
	} else {
		fmt.Fprintf(s.out, "  error:  %v\n  advice: %s\n", err, advise(err))
	}
	fmt.Fprintf(s.out, "  requests to the server: %d, took %v\n", s.api.requests(), took)
}
