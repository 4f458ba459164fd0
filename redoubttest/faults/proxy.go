package faults

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// A Link is what a [Proxy] does to the connections that go through it. The zero
// Link passes everything on.
type Link struct {
	// Latency is added to what goes either way.
	Latency time.Duration

	// BytesPerSecond, if not zero, is how fast all connections together
	// move bytes in each direction.
	BytesPerSecond int

	// BlackHole swallows what goes either way, the ends of connections
	// included. New connections are accepted. A connection that lost bytes
	// is reset when the hole is closed.
	BlackHole bool

	// Freeze holds what goes either way; it moves on when the freeze ends.
	Freeze bool

	// Refuse closes the listener, so that new connections are refused.
	// Those that exist go on, see Proxy.Cut.
	Refuse bool

	// CloseAfter, if not zero, ends a connection in the ordinary way once
	// this many bytes of it have come from the upstream; ResetAfter resets
	// it instead.
	CloseAfter, ResetAfter int64
}

// Check reports everything in l that makes no sense.
func (l Link) Check() error {
	var errs []error
	negative := func(field string, value any) {
		errs = append(errs, fmt.Errorf("faults: Link.%s is %v, must not be negative", field, value))
	}
	if l.Latency < 0 {
		negative("Latency", l.Latency)
	}
	if l.BytesPerSecond < 0 {
		negative("BytesPerSecond", l.BytesPerSecond)
	}
	if l.CloseAfter < 0 {
		negative("CloseAfter", l.CloseAfter)
	}
	if l.ResetAfter < 0 {
		negative("ResetAfter", l.ResetAfter)
	}
	return errors.Join(errs...)
}

// A Proxy passes TCP connections on to an upstream, over a [Link] that can be
// changed at any moment and for connections under way too. Nothing waits for a
// connection: Set, Cut and Close return at once, whatever state the
// connections are in.
//
// A Proxy is safe for concurrent use. Make one with [NewProxy].
type Proxy struct {
	upstream string
	addr     string
	start    time.Time
	up, down lane

	mu       sync.Mutex
	listener net.Listener // nil while refusing
	link     Link
	changed  chan struct{} // closed when the link changes
	conns    map[*tunnel]bool
	accepted int64
	closed   bool
	busy     sync.WaitGroup
}

// NewProxy returns a proxy that listens on a free port of the loopback
// interface and dials upstream, a TCP address, for each connection.
func NewProxy(upstream string) (*Proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // Nothing here can take long.
	if err != nil {
		return nil, fmt.Errorf("faults: proxy: %w", err)
	}
	p := &Proxy{
		upstream: upstream,
		addr:     l.Addr().String(),
		start:    time.Now(),
		changed:  make(chan struct{}),
		conns:    make(map[*tunnel]bool),
	}
	p.serve(l)
	return p, nil
}

// Addr returns the address to connect to. It stays the same.
func (p *Proxy) Addr() string { return p.addr }

// Accepted returns the number of connections accepted so far.
func (p *Proxy) Accepted() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.accepted
}

// Open returns the number of connections that are open now.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.conns)
}

// Set changes the link. It fails if the link makes no sense, or if the proxy
// can't listen again after refusing because something else took its port.
func (p *Proxy) Set(l Link) error {
	if err := l.Check(); err != nil {
		return err
	}
	if !l.BlackHole {
		defer p.cut(func(t *tunnel) bool { return t.lost.Load() })
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.link = l
	close(p.changed)
	p.changed = make(chan struct{})
	if l.Refuse == (p.listener == nil) {
		return nil
	}
	if l.Refuse {
		err := p.listener.Close()
		p.listener = nil
		return err
	}
	listener, err := net.Listen("tcp", p.addr) //nolint:noctx // Nothing here can take long.
	if err != nil {
		return fmt.Errorf("faults: proxy: listen again: %w", err)
	}
	p.serve(listener)
	return nil
}

// Cut resets all connections that are open now.
func (p *Proxy) Cut() { p.cut(func(*tunnel) bool { return true }) }

func (p *Proxy) cut(which func(*tunnel) bool) {
	for _, t := range p.tunnels() {
		if which(t) {
			t.abort()
		}
	}
}

// Close refuses and resets everything from now on, and waits for the
// goroutines of the connections to end.
func (p *Proxy) Close() error {
	p.mu.Lock()
	var err error
	if p.listener != nil {
		err = p.listener.Close()
		p.listener = nil
	}
	p.closed = true
	p.mu.Unlock()
	p.Cut()
	p.busy.Wait()
	return err
}

func (p *Proxy) tunnels() []*tunnel {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := make([]*tunnel, 0, len(p.conns))
	for t := range p.conns {
		open = append(open, t)
	}
	return open
}

// serve accepts on l until that is closed.
func (p *Proxy) serve(l net.Listener) {
	p.listener = l
	p.busy.Go(func() {
		for {
			conn, err := l.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil { // such as too many open files
				time.Sleep(time.Millisecond)
				continue
			}
			p.accept(conn)
		}
	})
}

func (p *Proxy) accept(conn net.Conn) {
	ctx, cancel := context.WithCancel(context.Background())
	t := &tunnel{proxy: p, ctx: ctx, client: conn}
	t.stop = sync.OnceFunc(func() {
		cancel()
		p.mu.Lock()
		delete(p.conns, t)
		p.mu.Unlock()
	})
	p.mu.Lock()
	p.accepted++
	refused := p.closed || p.link.Refuse
	if !refused {
		p.conns[t] = true
		p.busy.Add(1)
	}
	p.mu.Unlock()
	if refused {
		t.stop()
		abort(conn)
		return
	}
	go func() {
		defer p.busy.Done()
		t.run()
	}()
}

// state returns the link and a channel that is closed when it changes.
func (p *Proxy) state() (Link, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.link, p.changed
}
