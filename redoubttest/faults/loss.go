package faults

import (
	"context"
	"net"
	"os"
	"syscall"
	"time"
)

// A packet is one that a kernel sends again until it gets through.
type packet uint64

const (
	asking    packet = iota // for a connection: the SYN
	request                 // of a call
	answering               // a call
)

// lostBy reports whether it is p that e loses.
func (p packet) lostBy(e Effect) bool {
	switch e.(type) {
	case SYNLoss:
		return p == asking
	case PacketLoss:
		return p != asking
	}
	return false
}

// patience returns how long a kernel waits before it sends p again, and how often
// it sends p before it gives up. Each wait is twice as long as the one before, up
// to longestWait: RFC 6298, sections 2 and 5, with the numbers of Linux.
func (p packet) patience() (wait time.Duration, sends int) {
	if p == asking {
		return time.Second, 7
	}
	return 200 * time.Millisecond, 16
}

const longestWait = 2 * time.Minute

// err is what comes of giving up.
func (p packet) err() error {
	op, call := "read", "read"
	if p == asking {
		op, call = "dial", "connect"
	}
	return &net.OpError{Op: op, Net: "tcp", Err: os.NewSyscallError(call, syscall.ETIMEDOUT)}
}

// transmit returns once p, which belongs to a, gets through. If it does not, the
// error says why, and fault is the one that lost it last.
func (i *Injector) transmit(ctx context.Context, a arrival, p packet) (fault string, err error) {
	wait, sends := p.patience()
	for send := range sends {
		lostBy, lost := i.loses(a, p, send)
		if !lost {
			return "", nil
		}
		fault = lostBy
		if err := sleep(ctx, wait); err != nil {
			return fault, err
		}
		wait = min(2*wait, longestWait)
	}
	return fault, p.err()
}

// loses reports whether p is lost if it is sent now, after it was sent as often as
// send says, and by which fault.
func (i *Injector) loses(a arrival, p packet, send int) (fault string, lost bool) {
	for n, f := range i.plan.Faults {
		if p.lostBy(f.Effect) && i.strikes(n, a, i.Elapsed(), uint64(p)<<8|uint64(send)) {
			return f.Label(), true
		}
	}
	return "", false
}

// dial returns once a connection to the dependency can be made, or why there can
// be none.
func (i *Injector) dial(ctx context.Context, host string) error {
	n := i.dials.Add(1)
	a := arrival{n: n - 1, conn: uint64(n)}
	if err := i.reach(a, host); err != nil {
		return err
	}
	if fault, err := i.transmit(ctx, a, asking); err != nil {
		i.refused.Add(1)
		i.tell(Refused, arrival{n: -1}, fault)
		return err
	}
	return i.reach(a, host) // by now
}
