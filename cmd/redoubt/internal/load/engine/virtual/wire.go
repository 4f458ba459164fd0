package virtual

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// wired is a dependency with a real http.Server and http.Transport, and
// connections in memory between them.
type wired struct {
	scenario  *scenario.Scenario
	seed      uint64
	injector  *faults.Injector
	server    *http.Server
	transport *http.Transport
	accept    chan net.Conn
	closed    chan struct{}
	served    sync.WaitGroup
	conns     sync.WaitGroup
}

func newWired(s *scenario.Scenario, seed uint64) *wired {
	return &wired{scenario: s, seed: seed, accept: make(chan net.Conn), closed: make(chan struct{})}
}

func (w *wired) Start(t time.Time, observe func(faults.Event)) error {
	plan := w.scenario.Plan
	plan.Seed, plan.Observe = w.seed, observe
	var err error
	if w.injector, err = faults.New(plan); err != nil {
		return err
	}
	w.injector.StartAt(t)

	protocols := new(http.Protocols)
	protocols.SetHTTP1(w.scenario.Wire == scenario.HTTP1)
	protocols.SetUnencryptedHTTP2(w.scenario.Wire == scenario.HTTP2)
	w.server = &http.Server{
		Handler:     w.injector.Handler(nil),
		ConnContext: w.injector.ConnContext,
		IdleTimeout: w.scenario.IdleTimeout,
		Protocols:   protocols,
		ErrorLog:    log.New(io.Discard, "", 0),
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				w.conns.Add(1)
			case http.StateClosed, http.StateHijacked:
				w.conns.Done()
			}
		},
	}
	w.transport = &http.Transport{
		DialContext:         engine.Patient(w.scenario, w.injector.DialContext(w.dial)),
		Protocols:           protocols,
		DisableKeepAlives:   w.scenario.NewConnections,
		MaxIdleConnsPerHost: 256,
		IdleConnTimeout:     90 * time.Second,
	}
	w.served.Go(func() { _ = w.server.Serve(listener{w}) })
	return nil
}

func (w *wired) Transport(idle time.Duration) http.RoundTripper {
	if idle > 0 {
		w.transport.IdleConnTimeout = idle
	}
	return w.transport
}

func (w *wired) URL() string { return "http://dependency.test/" }

func (w *wired) Counts() faults.Counts { return w.injector.Counts() }

func (w *wired) Close() error {
	w.transport.CloseIdleConnections()
	err := w.server.Close()
	w.served.Wait()
	w.conns.Wait()
	time.Sleep(time.Second) // package net/http lingers, and so do pumps
	return err
}

// dial makes a connection: a pipe at each end, and what is between them takes
// its time. The pipes alone would do without latency, but they have no buffer,
// which sockets have.
func (w *wired) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	client, near := net.Pipe()
	far, server := net.Pipe()
	go pump(far, near, w.scenario.LineLatency)
	go pump(near, far, w.scenario.LineLatency)
	select {
	case w.accept <- server:
		return client, nil
	case <-ctx.Done():
		_ = client.Close()
		_ = server.Close()
		return nil, context.Cause(ctx)
	case <-w.closed:
		_ = client.Close()
		_ = server.Close()
		return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("server is closed")}
	}
}

// pump moves bytes from one pipe to another, each late by latency, and their
// end.
func pump(to, from net.Conn, latency time.Duration) {
	type chunk struct {
		data []byte
		due  time.Time
	}
	way := make(chan chunk, 1024)
	go func() {
		defer close(way)
		for {
			data := make([]byte, 4096)
			n, err := from.Read(data)
			way <- chunk{data[:n], time.Now().Add(latency)}
			if err != nil {
				return
			}
		}
	}()
	broken := false
	for c := range way {
		time.Sleep(time.Until(c.due))
		if len(c.data) == 0 || broken {
			continue
		}
		if _, err := to.Write(c.data); err != nil {
			broken = true
			_ = from.Close()
		}
	}
	_ = to.Close()
}

// listener is the server's side of wired.dial.
type listener struct{ w *wired }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.w.accept:
		return c, nil
	case <-l.w.closed:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error {
	close(l.w.closed)
	return nil
}

func (listener) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "memory" }
func (addr) String() string  { return "dependency.test" }
