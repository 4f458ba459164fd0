package redoubt

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A Phase is the part of an attempt that took too long.
type Phase string

// The phases.
const (
	PhaseConnect Phase = "connect" // until there was a connection
	PhaseWrite   Phase = "write"   // while the request was being written
	PhaseHeaders Phase = "headers" // from then until the response's headers
	PhaseBody    Phase = "body"    // a Read of the response body
)

// progress follows one send through package net/http: how far it got, and
// whether it still moves. Its methods are called from net/http's goroutines too.
type progress struct {
	limit  time.Duration // 0 is none
	cancel context.CancelCauseFunc
	span   *telemetry.Send

	mu           sync.Mutex
	phase        Phase
	connecting   bool // net/http told of its wish for a connection
	conns        int  // connections had: more than one for a replay by net/http
	wroteHeaders int
	wroteRequest bool
	hedged       bool      // the request was sent once more beside this send
	waiting      time.Time // since when for leave to send the body
	granted      bool      // that leave, perhaps before waiting is told of
	bodyErr      error     // of the caller's body
	watch        *time.Timer
	due          time.Time // when watch means it; zero if it doesn't
	expired      *TimeoutError
}

// newProgress begins to watch a send that cancel ends.
func newProgress(limit time.Duration, cancel context.CancelCauseFunc) *progress {
	p := &progress{limit: limit, cancel: cancel, phase: PhaseConnect}
	if limit > 0 {
		p.due = time.Now().Add(limit)
		p.watch = time.AfterFunc(limit, p.expire)
	}
	return p
}

// trace returns ctx with the hooks by which net/http tells of its progress.
func (p *progress) trace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:         func(string) { p.note(p.wantsConn) },
		GotConn:         func(info httptrace.GotConnInfo) { p.note(func() { p.gotConn(info) }) },
		WroteHeaders:    func() { p.note(p.wroteHeader) },
		Wait100Continue: func() { p.note(func() { p.waiting = time.Now() }) },
		Got100Continue:  func() { p.note(func() { p.granted = true; p.continued() }) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				p.note(p.written)
			}
		},
	})
}

func (p *progress) note(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what()
}

func (p *progress) wantsConn() { p.connecting = true }

func (p *progress) gotConn(info httptrace.GotConnInfo) {
	p.conns++
	if p.conns > 1 {
		p.span.Replayed(info.Reused)
		return
	}
	p.phase = PhaseWrite
	p.rewind()
}

func (p *progress) wroteHeader() {
	p.wroteHeaders++
	if p.wroteHeaders == 1 {
		p.rewind()
	}
}

func (p *progress) written() {
	p.continued()
	if p.wroteRequest {
		return
	}
	p.wroteRequest = true
	p.phase = PhaseHeaders
	p.rewind()
}

// continued ends the wait for leave to send the body, which the body's first
// byte tells of, or a response that did not wait for it.
func (p *progress) continued() {
	if p.waiting.IsZero() {
		return
	}
	p.span.Continued(time.Since(p.waiting), p.granted)
	p.waiting = time.Time{}
}

// bodyRead and bodyGave stand around each Read of the request body: while
// that waits for its producer, nobody can blame the server.
func (p *progress) bodyRead() {
	p.note(func() {
		p.continued()
		p.due = time.Time{}
	})
}

func (p *progress) bodyGave(err error) {
	p.note(func() {
		if err != nil && err != http.ErrBodyReadAfterClose && p.bodyErr == nil { //nolint:errorlint // A replayReader's own.
			p.bodyErr = err
		}
		p.rewind()
	})
}

// rewind gives the send its full limit from now on. It runs with mu held.
func (p *progress) rewind() {
	if p.watch == nil || p.expired != nil {
		return
	}
	p.due = time.Now().Add(p.limit)
	p.watch.Reset(p.limit)
}

func (p *progress) expire() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.due.IsZero() || time.Now().Before(p.due) {
		return
	}
	p.expired = &TimeoutError{Phase: p.phase, Limit: p.limit}
	p.cancel(p.expired)
}

// stop ends the watch: the headers have arrived, or an error. It returns the
// watch's own error if that was first.
func (p *progress) stop() *TimeoutError {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.continued()
	p.due = time.Time{}
	if p.watch != nil {
		p.watch.Stop()
		p.watch = nil
	}
	return p.expired
}

// unsent reports whether it is certain that no server has seen the request: no
// connection was had, or one that was closed beforehand, as HTTP/1 alone has it.
// That no header was written is no proof, since HTTP/2 tells of it afterwards.
// If Base does not tell of its progress, a failure to connect has to do. What
// became of a hedge is not known here.
func (p *progress) unsent(err error) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hedged {
		return false
	}
	if !p.connecting {
		return neverConnected(err)
	}
	return p.conns == 0 || p.wroteHeaders == 0 && err.Error() == closedIdle
}

func (p *progress) state() (Phase, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.phase, p.bodyErr
}
