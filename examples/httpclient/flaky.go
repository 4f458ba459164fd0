package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A schedule says how the embedded dependency is ill, and when. Each arrival
// draws its fate from the seed and its own number, so that two clients meet the
// same dependency.
type schedule struct {
	seed     uint64
	flaky    time.Duration // now and then something goes wrong
	dead     time.Duration // then nothing goes right
	flakyToo time.Duration // then it is as before
}

func (s schedule) length() time.Duration        { return s.flaky + s.dead + s.flakyToo }
func (s schedule) recovery() time.Duration      { return s.flaky + s.dead }
func (s schedule) outage(at time.Duration) bool { return at >= s.flaky && at < s.recovery() }

// A fault is what befalls one arrival.
type fault int

const (
	none       fault = iota
	busy             // 503
	busyAfter        // 503 with Retry-After
	reset            // the connection is cut before an answer
	stall            // no answer until the client leaves
	overloaded       // 503, because of the outage
)

// Shares of the arrivals that go wrong while the dependency is flaky.
const (
	shareBusy      = 0.06
	shareBusyAfter = 0.02
	shareReset     = 0.05
	shareStall     = 0.03
)

// fault returns the fate of the nth arrival at a time since the start.
func (s schedule) fault(n uint64, at time.Duration) fault {
	draw := uniform(s.seed, n)
	if s.outage(at) {
		if draw < 0.5 {
			return reset
		}
		return overloaded
	}
	for _, f := range []struct {
		fault fault
		share float64
	}{{busy, shareBusy}, {busyAfter, shareBusyAfter}, {reset, shareReset}, {stall, shareStall}} {
		if draw < f.share {
			return f.fault
		}
		draw -= f.share
	}
	return none
}

// uniform hashes seed and n to a number from [0, 1). It is the finalizer of
// SplitMix64.
func uniform(seed, n uint64) float64 {
	z := seed*0x9e3779b97f4a7c15 + n*0xbf58476d1ce4e5b9
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return float64((z^z>>31)>>11) / (1 << 53)
}

// A dependency is an HTTP server that follows a schedule, from start on.
type dependency struct {
	schedule schedule
	start    time.Time
	arrivals atomic.Uint64
}

func (d *dependency) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer(w, r, d.schedule.fault(d.arrivals.Add(1), time.Since(d.start)))
}

// serve serves on loopback, until stop is called.
func serve(ctx context.Context, handler http.Handler) (addr string, stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener) //nolint:errcheck // It ends when it is closed.
	return listener.Addr().String(), func() { shutDown(server) }, nil
}

func answer(w http.ResponseWriter, r *http.Request, f fault) {
	switch f {
	case busy, overloaded:
		http.Error(w, "come back later", http.StatusServiceUnavailable)
	case busyAfter:
		w.Header().Set("Retry-After", "1")
		http.Error(w, "come back in a second", http.StatusServiceUnavailable)
	case reset:
		cut(w)
	case stall:
		<-r.Context().Done()
	default:
		fmt.Fprintln(w, `{"number": 7, "cents": 1995}`)
	}
}

// cut resets the connection: a close with unsent data dropped is an RST.
func cut(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func shutDown(server *http.Server) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if server.Shutdown(ctx) != nil {
		_ = server.Close()
	}
}
