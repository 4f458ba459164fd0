package faults

import (
	"context"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Func returns call with the plan's faults, as a client would see them. A nil
// call stands for the plan's Service.
//
// A [Status] of 400 or more is a [*StatusError], any lower one is success
// without running call; [Truncate] is [io.ErrUnexpectedEOF] after running it.
func (i *Injector) Func(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err := i.dial(ctx, ""); err != nil {
			return err
		}
		ctx, cancel := i.untilCut(ctx)
		defer cancel()
		err := i.call(ctx, call)
		if errors.Is(err, errCut) {
			return errReset()
		}
		return err
	}
}

func (i *Injector) call(ctx context.Context, call func(context.Context) error) error {
	a, err := i.arrive(ctx, arrival{request: requestID(ctx), writes: requestID(ctx) != ""})
	if err != nil {
		return err
	}
	f := i.fate(a)
	switch {
	case f.status != nil:
		return f.status.err()
	case f.hole:
		<-ctx.Done()
		return context.Cause(ctx)
	case f.reset:
		return errReset()
	}
	if err := i.station.work(ctx, a); errors.Is(err, errFull) {
		return i.plan.Service.Full.err()
	} else if err != nil {
		return err
	}
	if call != nil {
		if err := call(ctx); err != nil {
			return err
		}
	}
	if err := i.finish(ctx, a, f); err != nil {
		return err
	}
	switch {
	case f.lost:
		return errReset()
	case f.truncate >= 0:
		return io.ErrUnexpectedEOF
	}
	return nil
}

func (s Status) err() error {
	if s.code() < 400 {
		return nil
	}
	return &StatusError{Code: s.code(), after: s.RetryAfter}
}

// A DialFunc makes connections, as http.Transport.DialContext does.
type DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// DialContext returns dial with those faults of the plan that keep connections
// from being made: [Refuse], which also cuts the connections made before,
// [NoHost] and [SYNLoss]. A nil dial is that of a zero [net.Dialer].
//
// What SYNLoss takes comes on top of dial's own timeout. One that is to hold for
// both belongs around the function that is returned: http.Transport has none.
func (i *Injector) DialContext(dial DialFunc) DialFunc {
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		if err := i.dial(ctx, host); err != nil {
			return nil, asDialError(err)
		}
		now := i.Elapsed()
		conn, err := dial(ctx, network, addr)
		cut := i.nextCut(now)
		if err != nil || cut == never {
			return conn, err
		}
		c := &cutConn{Conn: conn}
		timer := time.AfterFunc(cut-i.Elapsed(), func() {
			c.cut.Store(true)
			abort(conn)
		})
		c.stop = func() { timer.Stop() }
		return c, nil
	}
}

// A cutConn is a connection that will be cut.
type cutConn struct {
	net.Conn
	stop func()
	cut  atomic.Bool
}

func (c *cutConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// explain makes a reset of what the end of the connection looks like from this
// side.
func (c *cutConn) explain(err error) error {
	if err != nil && c.cut.Load() {
		return errReset()
	}
	return err
}

func (c *cutConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	return n, c.explain(err)
}

func (c *cutConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	return n, c.explain(err)
}
