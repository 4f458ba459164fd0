package mirror

import (
	"context"
	"net"
	"sync/atomic"
	"syscall"
)

// dial returns a dialler whose connections acknowledge what comes at once.
//
// Servers that write header and body of a short answer separately, and hg serve
// is one, wait for the first to be acknowledged before they send the second
// (Nagle), and Linux delays that by 40 ms: for each of the short answers that
// hg's protocol is made of.
func dial(d *net.Dialer) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		tcp, ok := conn.(*net.TCPConn)
		if !ok {
			return conn, nil
		}
		raw, err := tcp.SyscallConn()
		if err != nil {
			return conn, nil //nolint:nilerr // it will do without
		}
		return &prompt{TCPConn: tcp, raw: raw}, nil
	}
}

// prompt is a connection that acknowledges at once. The system forgets that it
// was asked to whenever it likes, so it is asked before short answers.
type prompt struct {
	*net.TCPConn

	raw   syscall.RawConn
	reads atomic.Int32 // since the last write
}

// promptReads is how many reads after a request may be of its header.
const promptReads = 2

// Write begins a request.
func (p *prompt) Write(b []byte) (int, error) {
	p.reads.Store(0)
	return p.TCPConn.Write(b)
}

// Read reads, and at the beginning of an answer acknowledges at once.
func (p *prompt) Read(b []byte) (int, error) {
	if p.reads.Add(1) <= promptReads {
		_ = p.raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_QUICKACK, 1)
		})
	}
	return p.TCPConn.Read(b)
}
