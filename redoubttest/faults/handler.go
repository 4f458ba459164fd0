package faults

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"sync/atomic"
)

// Handler returns next with the plan's faults, as a server would have them. The
// work of next comes on top of the plan's Service. A nil next stands for the
// Service alone.
//
// Requests by POST and PATCH are writes: they take effect when their work is
// done, whether or not their caller is still there, and a second effect for one
// request id is a duplicate. A write with an Idempotency-Key is known when it
// comes again and has no second effect.
//
// Give the injector's ConnContext to the server for PerConn and Hangup to know
// connections.
func (i *Injector) Handler(next http.Handler) http.Handler {
	if next == nil {
		next = i.plan.Service
	}
	return &handler{inj: i, next: next}
}

// ServeHTTP answers 200 with a body of s.Body bytes. It takes no time: that is
// an [Injector]'s part.
func (s Service) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	var piece [frameBytes]byte
	_, _ = filler{}.Read(piece[:])
	for left := s.Body; left > 0; left -= len(piece) {
		if _, err := w.Write(piece[:min(left, len(piece))]); err != nil {
			return
		}
	}
}

type handler struct {
	inj  *Injector
	next http.Handler
}

// ServeHTTP answers r, or does not.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i := h.inj
	if i.reach(arrival{n: -1}, r.Host) != nil {
		reset(w)
	}
	a := arrivalOf(r)
	if c, ok := r.Context().Value(connKey{}).(*connection); ok {
		a.conn, a.ordinal = c.id, c.requests.Add(1)
	}
	ctx, cancel := i.untilCut(r.Context())
	defer cancel()
	a, err := i.arrive(ctx, a)
	if err != nil {
		reset(w)
	}
	f := i.fate(a)
	switch {
	case f.status != nil:
		writeStatus(w, *f.status)
		return
	case f.hole:
		<-ctx.Done()
		reset(w)
	case f.reset:
		reset(w)
	}
	switch err := i.station.work(ctx, a); {
	case errors.Is(err, errFull):
		writeStatus(w, i.plan.Service.Full)
		return
	case err != nil:
		reset(w)
	}
	if f.lost || i.finish(ctx, a, f) != nil {
		reset(w)
	}
	if f.hangup {
		w.Header().Set("Connection", "close")
	}
	if f.truncate < 0 && !f.paced() {
		h.next.ServeHTTP(w, r)
		return
	}
	size := int64(-1)
	if s, ok := h.next.(Service); ok {
		size = int64(s.Body)
	}
	paced := &writer{ResponseWriter: w, ctx: ctx, pacer: i.pace(f, size)}
	h.next.ServeHTTP(paced, r)
	if paced.broke {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

func writeStatus(w http.ResponseWriter, s Status) {
	maps.Copy(w.Header(), s.header())
	w.WriteHeader(s.code())
}

// reset resets the connection of a request, and does not return.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err == nil {
		abort(conn)
	}
	panic(http.ErrAbortHandler) // over HTTP/2, resets the stream
}

// abort closes conn so that its peer sees a reset, if it is of TCP.
func abort(conn net.Conn) {
	under := conn
	if t, ok := conn.(interface{ NetConn() net.Conn }); ok {
		under = t.NetConn()
	}
	if l, ok := under.(interface{ SetLinger(sec int) error }); ok {
		_ = l.SetLinger(0)
	}
	_ = under.Close()
}

// A writer paces a response and breaks it off.
type writer struct {
	http.ResponseWriter
	ctx   context.Context //nolint:containedctx // It waits for one request.
	pacer *pacer
	broke bool
}

var errBroken = errors.New("faults: response is broken off")

// Unwrap is for http.ResponseController.
func (w *writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *writer) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if w.pacer.fate.paced() && w.pacer.moved == 0 {
			_ = http.NewResponseController(w.ResponseWriter).Flush() // the headers come at once
		}
		n, err := w.pacer.next(w.ctx, len(p)-written)
		if err == nil && n == 0 {
			err = errBroken
		}
		if err != nil {
			w.broke = true
			return written, err
		}
		n, err = w.ResponseWriter.Write(p[written : written+n])
		written += n
		if err != nil {
			return written, err
		}
		if w.pacer.fate.paced() {
			_ = http.NewResponseController(w.ResponseWriter).Flush()
		}
	}
	return written, nil
}

type connKey struct{}

// A connection as a server's handler knows it.
type connection struct {
	id       uint64
	requests atomic.Int64
}

var connections atomic.Uint64

// ConnContext is for [http.Server.ConnContext]. With it the handler knows which
// requests share a connection.
func (*Injector) ConnContext(ctx context.Context, _ net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, &connection{id: connections.Add(1)})
}
