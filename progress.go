package redoubt

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
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
	watch

	span         *telemetry.Send        // of this send, also if a hedge of it won
	limit        time.Duration          // on silence until the headers; 0 is none
	expects      bool                   // the request may ask for leave to send its body
	most         int                    // new connections that net/http may use up for it
	handed       bool                   // to Base
	relayed      bool                   // by a Base that may send it more than once
	trace        *httptrace.ClientTrace // if Base asked for it
	phase        Phase
	connecting   bool // net/http told of its wish for a connection
	conns        int  // connections had: more than one for a replay by net/http
	dialled      int  // of them, those that were new
	wroteHeaders int
	wroteRequest bool
	hedged       bool      // the request was sent once more beside this send
	waiting      time.Time // since when for leave to send the body
	granted      bool      // that leave, perhaps before waiting is told of
	stopped      bool      // the headers have arrived, or an error
	upload       roundtrip.Upload
	bodyErr      error // of a Read of the caller's body
	closeErr     error // of its Close
}

// begin gives the send its first limit.
func (p *progress) begin(s *sending, limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.send, p.limit, p.start, p.phase = s, limit, time.Now(), PhaseConnect
	p.rewind()
}

// follow gives the send, which has just begun, up to the end of its layers.
func (p *progress) follow(end time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.due[layersEnd] = max(end.Sub(p.start), 1)
	p.arm(0)
}

// left returns the error of the layers' end, if that came, and ends the watch
// for it.
func (p *progress) left() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lift(layersEnd)
}

// reading and gave stand around each Read of the response body.
func (p *progress) reading(limit time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.set(noData, limit)
}

func (p *progress) gave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	_ = p.lift(noData)
}

// finish ends all that is left to follow. It reports whether it is the first to.
func (p *progress) finish() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	first := !p.ended
	p.continued()
	p.end()
	return first
}

// clientTrace returns the hooks by which net/http tells of its progress, those
// that ctx has included.
func (p *progress) clientTrace(ctx context.Context) *httptrace.ClientTrace {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.trace != nil {
		return p.trace
	}
	p.trace = &httptrace.ClientTrace{
		GetConn:      func(string) { p.learn(p.wantsConn) },
		GotConn:      func(info httptrace.GotConnInfo) { p.learn(func() { p.gotConn(info) }) },
		WroteHeaders: func() { p.learn(p.wroteHeader) },
		WroteRequest: func(info httptrace.WroteRequestInfo) {
			if info.Err == nil {
				p.learn(p.written)
			}
		},
	}
	if p.relayed {
		p.trace.GotFirstResponseByte = func() { p.learn(p.answered) }
	}
	if p.expects {
		p.trace.Wait100Continue = func() { p.note(func() { p.waiting = time.Now() }) }
		p.trace.Got100Continue = func() { p.note(func() { p.granted = true; p.continued() }) }
	}
	if httptrace.ContextClientTrace(ctx) != nil {
		p.trace = httptrace.ContextClientTrace(httptrace.WithClientTrace(ctx, p.trace))
	}
	return p.trace
}

func (p *progress) note(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what()
}

// learn is note for what net/http tells of the send, as opposed to what it tells of
// a request that Prepare makes with the context of this one.
func (p *progress) learn(what func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.handed {
		what()
	}
}

// hand says that Base is about to have the request.
func (p *progress) hand() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handed = true
}

// answered says that there is a response. If a connection follows, Base has not
// been redialling, but sends the request once more by a rule of its own.
func (p *progress) answered() { p.dialled = 0 }

// again is answered for a Base that knows without a response.
func (p *progress) again() { p.note(p.answered) }

func (p *progress) wantsConn() { p.connecting = true }

// maxDialled is how many new connections net/http may use up for one send. Those
// that wait in the pool may all have died; but a new one of HTTP/2 that ends with a
// stream that the server refused, as it does after GOAWAY, PROTOCOL_ERROR and
// Request.Close, net/http would replace for ever, without a pause.
const maxDialled = 3

func (p *progress) gotConn(info httptrace.GotConnInfo) {
	p.conns++
	if !info.Reused {
		p.dialled++
	}
	if p.dialled > p.most {
		p.send.cancel(errEndless)
		return
	}
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
	p.mu.Lock()
	defer p.mu.Unlock()
	p.continued()
	_ = p.lift(noProgress)
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
	if p.limit > 0 && !p.stopped && !p.ended {
		p.set(noProgress, p.limit)
	}
}

// stop says that the headers have arrived, or an error. It returns the error of
// the limit if that was first.
func (p *progress) stop() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.continued()
	p.stopped = true
	return p.lift(noProgress)
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
		return roundtrip.NeverConnected(err)
	}
	return p.conns == 0 || p.wroteHeaders == 0 && err.Error() == closedIdle
}

// state returns how far the send got, and the error of the request body if that may
// be why it ended with err.
func (p *progress) state(err error) (Phase, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closeErr != nil && errors.Is(err, p.closeErr) {
		return p.phase, p.closeErr
	}
	return p.phase, p.bodyErr
}
