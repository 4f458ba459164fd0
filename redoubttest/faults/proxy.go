package faults

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
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

// A lane is one direction of all connections.
type lane struct{ line line }

// reserve returns when n bytes will have moved at a rate of the moment.
func (l *lane) reserve(now time.Duration, n, rate int) time.Duration {
	l.line.mu.Lock()
	l.line.rate = rate
	l.line.mu.Unlock()
	return l.line.reserve(now, n)
}

// A tunnel is one connection through the proxy.
type tunnel struct {
	proxy  *Proxy
	ctx    context.Context //nolint:containedctx // Its life is the tunnel's.
	stop   func()          // ends ctx
	client net.Conn
	lost   atomic.Bool // bytes, in a black hole

	mu     sync.Mutex
	server net.Conn
	dead   bool
}

// abort resets both ends. It may be called from anywhere, at any time.
func (t *tunnel) abort() {
	t.stop()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dead = true
	abort(t.client)
	if t.server != nil {
		abort(t.server)
	}
}

// run passes bytes both ways until both are at their end.
func (t *tunnel) run() {
	defer t.stop()
	server, err := new(net.Dialer).DialContext(t.ctx, "tcp", t.proxy.upstream)
	if err != nil {
		abort(t.client)
		return
	}
	t.mu.Lock()
	dead := t.dead
	t.server = server
	t.mu.Unlock()
	if dead {
		abort(server)
		return
	}
	defer func() { _ = t.client.Close() }()
	defer func() { _ = server.Close() }()

	var both sync.WaitGroup
	both.Go(func() { t.pass(server, t.client, &t.proxy.up, false) })
	both.Go(func() { t.pass(t.client, server, &t.proxy.down, true) })
	both.Wait()
}

// chunk is what a tunnel moves at a time. The end of a connection is a chunk
// without data.
type chunk struct {
	data []byte
	at   time.Time // when it was read
}

const (
	chunkBytes = 16 << 10
	chunks     = 64 // on their way at the most, in one direction of one tunnel
)

// pass moves bytes from one end to the other. One goroutine reads ahead, so that
// latency does not limit throughput.
func (t *tunnel) pass(to, from net.Conn, lane *lane, counted bool) {
	way := make(chan chunk, chunks)
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		defer close(way)
		for {
			data := make([]byte, chunkBytes)
			n, err := from.Read(data)
			c := chunk{data[:n], time.Now()}
			if n > 0 && !t.send(way, c) {
				return
			}
			if errors.Is(err, io.EOF) {
				t.send(way, chunk{nil, time.Now()})
				return
			}
			if err != nil {
				t.abort()
				return
			}
		}
	})
	var moved int64
	for c := range way {
		link, ok := t.await(c, lane)
		switch {
		case !ok:
			t.abort()
			return
		case link.BlackHole:
			t.lost.Store(true)
			continue
		case t.lost.Load():
			t.abort()
			return
		case c.data == nil:
			if half, ok := to.(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			return
		}
		data, last := c.data, cutoff(link, moved, counted)
		if last > 0 && int64(len(data)) >= last {
			data = data[:last]
		}
		if _, err := to.Write(data); err != nil {
			t.abort()
			return
		}
		moved += int64(len(data))
		if last > 0 && int64(len(data)) == last {
			t.end(link)
			return
		}
	}
}

// send reports whether the chunk could be sent before the tunnel died.
func (t *tunnel) send(way chan<- chunk, c chunk) bool {
	select {
	case way <- c:
		return true
	case <-t.ctx.Done():
		return false
	}
}

// cutoff returns how many more bytes may go before the connection ends, 0 for
// any number.
func cutoff(link Link, moved int64, counted bool) int64 {
	limit := link.CloseAfter
	if link.ResetAfter > 0 && (limit == 0 || link.ResetAfter < limit) {
		limit = link.ResetAfter
	}
	if !counted || limit == 0 {
		return 0
	}
	return max(limit-moved, 1)
}

// end ends a connection that has had its bytes.
func (t *tunnel) end(link Link) {
	if link.ResetAfter > 0 && (link.CloseAfter == 0 || link.ResetAfter < link.CloseAfter) {
		t.abort()
		return
	}
	t.stop()
	_ = t.client.Close()
	t.mu.Lock()
	defer t.mu.Unlock()
	_ = t.server.Close()
}

// await waits until c may go on or is swallowed, and returns the link that it
// goes over. It reports false if the tunnel died.
func (t *tunnel) await(c chunk, lane *lane) (Link, bool) {
	charged := false
	var due time.Time
	for {
		link, changed := t.proxy.state()
		if link.BlackHole {
			return link, t.ctx.Err() == nil
		}
		if link.BytesPerSecond > 0 && !charged {
			charged = true
			now := time.Since(t.proxy.start)
			due = t.proxy.start.Add(lane.reserve(now, len(c.data), link.BytesPerSecond))
		}
		if link.BytesPerSecond == 0 {
			due = time.Time{}
		}
		wait := time.Until(c.at.Add(link.Latency))
		if !due.IsZero() {
			wait = max(wait, time.Until(due))
		}
		if wait <= 0 && !link.Freeze {
			return link, t.ctx.Err() == nil
		}
		if !t.wait(wait, link.Freeze, changed) {
			return link, false
		}
	}
}

// wait waits for a time, without end if frozen, or until the link changes. It
// reports false if the tunnel died.
func (t *tunnel) wait(d time.Duration, frozen bool, changed <-chan struct{}) bool {
	var over <-chan time.Time
	if !frozen {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return true
	case <-changed:
		return true
	case <-t.ctx.Done():
		return false
	}
}
