package faults

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

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
