package redoubt

import (
	"context"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// request returns the request that Base is to send: a copy of the caller's, with
// a body of its own.
func (s *sending) request() (*http.Request, error) {
	x := s.x
	out := x.req.WithContext(s.ctx)
	s.writeHeader(out) // before there is a body to close if it panics
	body, getBody, err := x.body(s.ctx)
	if err != nil {
		return nil, err
	}
	x.uploading = &s.progress
	out.Body, out.GetBody = s.watched(body), getBody
	if _, watched := out.Body.(*watchedBody); watched && getBody != nil {
		out.GetBody = func() (io.ReadCloser, error) {
			body, err := getBody()
			return s.watched(body), err
		}
	}
	if x.unrepeated() {
		forbidReplay(out)
	}
	s.progress.most = x.mostDialled()
	_, direct := x.base().(*http.Transport)
	s.progress.relayed = !direct
	out.Close = out.Close || x.fresh && !roundtrip.Upgrades(out)
	s.progress.expects = expectsContinue(out) || x.t.Prepare != nil
	if x.t.Prepare != nil {
		s.unprepared, s.prepared = out.WithContext(s.ctx), out
	}
	return out, s.prepare(out)
}

// watched has progress follow the Reads of a request body, unless net/http is
// better off with the body as it is.
func (s *sending) watched(body io.ReadCloser) io.ReadCloser {
	if body == nil || body == http.NoBody || inMemory(s.x.req) {
		return body
	}
	return &watchedBody{ReadCloser: body, progress: &s.progress}
}

// forbidReplay makes net/http believe that out could not be sent again, which it
// otherwise does on its own if a connection that it reuses turns out to be
// closed. Other methods without a body are left alone: they would go out in
// chunks. Of those it sends TRACE again, and what has an idempotency key.
func forbidReplay(out *http.Request) {
	out.GetBody = nil
	if roundtrip.HasBody(out) {
		return
	}
	switch out.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions:
		out.Body = emptyBody{}
	}
}

// writeHeader adds to out's header what this Transport says.
func (s *sending) writeHeader(out *http.Request) {
	x, h := s.x, &s.header
	h.req = out
	if x.overrides.idempotent && !x.overrides.once && !hasIdempotencyKey(out) {
		h.set("X-Idempotency-Key") // tells net/http, and is not sent
	}
	if x.unexpecting {
		h.del("Expect")
	}
	s.mark(s.ctx, h)
}

// mark writes what tells one send of the request from another, of which ctx
// carries the span.
func (s *sending) mark(ctx context.Context, h *header) {
	x := s.x
	if name := x.t.AttemptHeader; name != "" && x.sends > 1 {
		h.set(name, strconv.Itoa(x.sends-1))
	}
	if name := x.t.DeadlineHeader; name != "" {
		if deadline, ok := s.layers.Deadline(); ok {
			h.set(name, strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 0), 10))
		}
	}
	if !x.t.SpansByBase {
		telemetry.Inject(ctx, x.t.Propagator, h)
	}
}

// A header is a request's header that is the caller's until it is changed. A
// propagator writes to it.
type header struct {
	req *http.Request
	own bool
}

// Set replaces what the header has under name.
func (h *header) Set(name, value string) { h.set(name, value) }

// Get returns nothing: no propagator reads from here.
func (h *header) Get(string) string { return "" }

// Keys returns nothing either.
func (h *header) Keys() []string { return nil }

func (h *header) set(name string, values ...string) {
	h.change()[http.CanonicalHeaderKey(name)] = values
}

func (h *header) del(name string) { h.change().Del(name) }

func (h *header) change() http.Header {
	if !h.own {
		h.own = true
		h.req.Header = maps.Clone(h.req.Header)
		if h.req.Header == nil {
			h.req.Header = make(http.Header)
		}
	}
	return h.req.Header
}

// prepare lets the user's hook work on out, in a way that keeps the caller's
// request and the body that will be sent out of its reach. It closes that body
// unless it succeeds.
func (s *sending) prepare(out *http.Request) (err error) {
	if s.x.t.Prepare == nil {
		return nil
	}
	out.Header = out.Header.Clone()
	if out.Header == nil {
		out.Header = make(http.Header)
	}
	if out.URL != nil {
		out.URL = cloneURL(out.URL)
	}
	if !roundtrip.HasBody(out) {
		return s.x.t.Prepare(out)
	}
	body, keep := out.Body, false
	look := &lookBody{open: s.look(out)}
	defer func() {
		_ = look.Close()
		if !keep { // it was replaced, or there is an error or a panic
			_ = body.Close()
		}
	}()
	out.Body = look
	err = s.x.t.Prepare(out)
	switch {
	case out.Body == io.ReadCloser(look):
		out.Body = body
		keep = err == nil
	case err != nil:
		roundtrip.CloseBody(out)
	default:
		s.replaced = true
	}
	return err
}

// look returns what opens the body for Prepare.
func (s *sending) look(out *http.Request) func() (io.ReadCloser, error) {
	switch {
	case out.GetBody != nil:
		return out.GetBody
	case s.x.replay == nil: // GetBody is withheld from net/http only
		return s.x.req.GetBody
	default:
		return func() (io.ReadCloser, error) { return nil, errLook }
	}
}

func cloneURL(u *url.URL) *url.URL {
	clone := *u
	if u.User != nil {
		user := *u.User
		clone.User = &user
	}
	return &clone
}
