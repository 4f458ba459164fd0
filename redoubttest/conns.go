package redoubttest

import (
	"context"
	"net"
	"net/http"
	"sync"
)

// Conns counts connections, so that a test can tell whether they are reused
// and closed. It watches one end: the client's, through DialContext, or an HTTP
// server's, through ConnState; with both, each connection counts twice.
//
// The zero value is ready to use. Conns is safe for concurrent use and must not
// be copied after first use.
type Conns struct {
	mu      sync.Mutex
	opened  int
	open    int
	states  map[net.Conn]http.ConnState // of a server's open connections
	waiters []chan struct{}
}

// Opened returns the number of connections opened so far.
func (c *Conns) Opened() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.opened
}

// Open returns the number of connections that are open now.
func (c *Conns) Open() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// Active returns the number of open connections on which a server is busy with
// a request. It is 0 for connections watched through DialContext.
func (c *Conns) Active() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	active := 0
	for _, state := range c.states {
		if state == http.StateActive {
			active++
		}
	}
	return active
}

// Wait waits until no connection is open, and returns context.Cause(ctx) if ctx
// ends first. Transports and servers close connections on goroutines of their
// own, so a count taken right after http.Client.CloseIdleConnections may come
// too early.
func (c *Conns) Wait(ctx context.Context) error {
	closed := make(chan struct{})
	c.mu.Lock()
	c.waiters = append(c.waiters, closed)
	c.release()
	c.mu.Unlock()
	select {
	case <-closed:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// release lets the waiters go if no connection is open. Its caller holds mu.
func (c *Conns) release() {
	if c.open > 0 {
		return
	}
	for _, w := range c.waiters {
		close(w)
	}
	c.waiters = nil
}

// DialContext returns a function for [http.Transport.DialContext] that dials
// with dial and counts the connections. If dial is nil it uses a zero
// [net.Dialer].
func (c *Conns) DialContext(dial func(ctx context.Context, network, addr string) (net.Conn, error)) func(ctx context.Context, network, addr string) (net.Conn, error) {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		c.add()
		return &countedConn{Conn: conn, closed: sync.OnceFunc(c.remove)}, nil
	}
}

type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// ConnState is for [http.Server.ConnState] and counts the connections of that
// server. Set it before the server starts: with package httptest that means
// httptest.NewUnstartedServer.
func (c *Conns) ConnState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		c.add()
	case http.StateClosed, http.StateHijacked:
		c.remove()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if state == http.StateClosed || state == http.StateHijacked {
		delete(c.states, conn)
		return
	}
	if c.states == nil {
		c.states = make(map[net.Conn]http.ConnState)
	}
	c.states[conn] = state
}

func (c *Conns) add() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.opened++
	c.open++
}

func (c *Conns) remove() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	c.release()
}
