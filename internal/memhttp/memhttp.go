// Package memhttp is an HTTP server and its client in memory, with net.Pipe
// between them, so that a bubble of testing/synctest holds both ends: timeouts,
// cancellations and slow handlers then cost no time and are exact.
//
// Make the [Server] inside the bubble and use its own Transport: connections
// carry channels that belong to the bubble.
//
// A net.Pipe has no buffer. A Write waits for the Read at the other end, so a
// client that sends a body to a handler which does not read it waits, as it
// would for a peer whose window is full.
package memhttp

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"sync"
	"syscall"
	"testing"
)

// A Server is an HTTP/1.1 server that its own Transport alone can reach, under
// whatever host name. It is safe for concurrent use.
type Server struct {
	// Transport connects to the server. Change it before its first use only.
	Transport *http.Transport

	http   http.Server
	accept chan net.Conn
	closed chan struct{}
	busy   sync.WaitGroup // goroutines of connections
	close  func()

	mu     sync.Mutex
	opened int
	open   map[*conn]bool // server ends
}

// NewServer returns a server that runs until the test ends, when its
// connections are closed and the contexts of its requests cancelled: a handler
// that hangs has to return then.
func NewServer(t testing.TB, handler http.Handler) *Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		accept: make(chan net.Conn),
		closed: make(chan struct{}),
		open:   make(map[*conn]bool),
	}
	s.Transport = &http.Transport{DialContext: s.dial}
	s.http = http.Server{
		Handler:     handler,
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed || state == http.StateHijacked {
				s.busy.Done()
			}
		},
		ErrorLog: log.New(t.Output(), "memhttp: ", 0),
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.http.Serve(listener{s})
	}()
	s.close = sync.OnceFunc(func() {
		cancel()
		s.Transport.CloseIdleConnections()
		_ = s.http.Close()
		<-served
		s.Reset() // what the server let go of, or accepted last
		// net/http may sleep for half a second before it closes a connection,
		// and with the end of a bubble its time stops.
		s.busy.Wait()
	})
	t.Cleanup(s.close)
	return s
}

// Close does before the end of the test what otherwise happens then.
func (s *Server) Close() { s.close() }

// Client returns a new client that uses s.Transport.
func (s *Server) Client() *http.Client {
	return &http.Client{Transport: s.Transport}
}

// Opened returns the number of connections opened so far.
func (s *Server) Opened() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened
}

// Open returns the number of connections that the server has open.
func (s *Server) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// Reset resets all open connections: the client gets ECONNRESET.
func (s *Server) Reset() {
	s.mu.Lock()
	open := make([]*conn, 0, len(s.open))
	for c := range s.open {
		open = append(open, c)
	}
	s.mu.Unlock()
	for _, c := range open {
		c.reset()
	}
}

type connKey struct{}

// Reset, in a handler, resets the connection of r: the client gets ECONNRESET.
// To close the connection in the ordinary way, so that the client gets io.EOF,
// a handler panics with [http.ErrAbortHandler]. Reset panics if r was not
// received by a [Server].
func Reset(r *http.Request) {
	r.Context().Value(connKey{}).(*conn).reset() //nolint:errcheck // It panics as it says.
}

func (s *Server) dial(ctx context.Context, network, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	flag := make(chan struct{})
	server := &conn{Conn: far, wasReset: flag, server: s}
	server.reset = sync.OnceFunc(func() {
		close(flag)
		_ = server.Close()
	})
	select {
	case s.accept <- server:
		return &conn{Conn: near, wasReset: flag}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-s.closed:
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
}

func (s *Server) add(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy.Add(1)
	s.opened++
	s.open[c] = true
}

func (s *Server) remove(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// A conn is one end of a connection, the client's if server is nil.
type conn struct {
	net.Conn
	wasReset <-chan struct{}
	server   *Server
	reset    func() // of the server's end
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.explain("read", err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.explain("write", err)
}

// explain turns the end of the pipe into ECONNRESET after a reset.
func (c *conn) explain(op string, err error) error {
	if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) {
		return err
	}
	select {
	case <-c.wasReset:
		return &net.OpError{Op: op, Net: "pipe", Err: os.NewSyscallError(op, syscall.ECONNRESET)}
	default:
		return err
	}
}

func (c *conn) Close() error {
	if c.server != nil {
		c.server.remove(c)
	}
	return c.Conn.Close()
}

// A listener is the server's side of Server.dial.
type listener struct{ s *Server }

func (l listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.s.accept:
		l.s.add(c.(*conn)) //nolint:errcheck // Nothing else is dialled.
		return c, nil
	case <-l.s.closed:
		return nil, net.ErrClosed
	}
}

func (l listener) Close() error {
	close(l.s.closed)
	return nil
}

func (listener) Addr() net.Addr { return addr{} }

type addr struct{}

func (addr) Network() string { return "pipe" }
func (addr) String() string  { return "pipe" }
