package hedge

import (
	"context"
	"net/http"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/roundtrip"
)

// A Transport is an [http.RoundTripper] that sends a request a second time, by
// the rules of its Hedger, while there is no response to the first. It returns
// the response that is no failure and comes first, or else what became of the
// first send.
//
// What is hedged is a request with a safe method and no body, and one that is
// marked with [WithIdempotent] or redoubt.WithIdempotent, or for which Hedgeable
// reports true, if it has no body or can have it again by GetBody. What is never
// hedged is CONNECT, an Upgrade, and a request with redoubt.WithoutRetry.
//
// The zero value sends each request once. A Transport must not be changed or
// copied once it is in use. It is safe for concurrent use.
type Transport struct {
	// Base sends the requests. Nil means http.DefaultTransport.
	Base http.RoundTripper

	// Hedger says when a hedge is sent. Nil means never, or as Hedgers says.
	Hedger *Hedger

	// Hedgers has a Hedger for each key of the request's context, such as
	// redoubt.Host if this Transport is the Base of a redoubt.Transport. It
	// must be nil if Hedger is given.
	Hedgers *Group

	// Hedgeable, if not nil, decides in place of the method and the body
	// whether a request may be sent twice at the same time. It is not asked
	// about what is never hedged, nor about what is marked as idempotent.
	Hedgeable func(*http.Request) bool

	// Failure reports whether a response is a failure, so that a pending
	// one is better. It must not touch the body. Nil means statuses 408,
	// 425, 429, 500, 502, 503 and 504, as redoubt.FailureStatus has it.
	Failure func(*http.Response) bool
}

// RoundTrip sends req, and once more if that is slow. It closes the request body
// on every path, and does not change req.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.Check(); err != nil {
		roundtrip.CloseBody(req)
		return nil, err
	}
	hedger := t.hedger(req)
	if hedger == nil {
		return t.base().RoundTrip(req)
	}
	s := &httpSender{transport: t, req: req}
	defer s.close()
	resp, release, err := do(req.Context(), hedger, s)
	if err != nil {
		release(nil)
		return resp, err
	}
	if resp.ProtoMajor < 2 {
		hedger.share.charge(s.wasted)
	}
	resp.Request = req
	hold(resp, release)
	return resp, nil
}

// hedger returns what hedges req, or nil if nothing does.
func (t *Transport) hedger(req *http.Request) *Hedger {
	switch {
	case t.Hedger == nil && t.Hedgers == nil, !t.hedgeable(req):
		return nil
	case t.Hedgers != nil:
		return t.Hedgers.For(req.Context())
	}
	return t.Hedger
}

// CloseIdleConnections closes the idle connections of Base, if Base has the
// method.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// Check reports what makes no sense in the configuration of Hedger or Hedgers.
func (t *Transport) Check() error {
	switch {
	case t == nil:
		return errNilTransport
	case t.Hedger != nil && t.Hedgers != nil:
		return errTwoHedgers
	case t.Hedger != nil:
		return t.Hedger.Check()
	case t.Hedgers != nil:
		return t.Hedgers.Check()
	}
	return nil
}

// Explain returns the redoubt.Facts of t, for redoubt.Explain and redoubt.Check.
func (t *Transport) Explain() explain.Facts {
	switch {
	case t == nil:
		return explain.Facts{Kind: explain.Hedge}
	case t.Hedgers != nil:
		return t.Hedgers.Explain()
	}
	return t.Hedger.Explain()
}

// Unwrap returns what sends the requests.
func (t *Transport) Unwrap() http.RoundTripper { return t.base() }

func (t *Transport) base() http.RoundTripper {
	if t == nil || t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

// hedgeable reports whether req may be sent twice at the same time. An
// Idempotency-Key is not enough: many servers answer its second use with 409
// while the first is under way.
//
// Source: RFC 9110, section 9.2.1.
func (t *Transport) hedgeable(req *http.Request) bool {
	ctx := req.Context()
	wish := roundtrip.WishOf(ctx)
	switch {
	case wish.Once, req.Method == http.MethodConnect, roundtrip.Upgrades(req), roundtrip.HasBody(req) && req.GetBody == nil:
		return false
	case wish.Twice, ctx.Value(idempotentKey{}) != nil:
		return true
	case t.Hedgeable != nil:
		return t.Hedgeable(req)
	}
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return !roundtrip.HasBody(req)
	}
	return false
}

func (t *Transport) failure(resp *http.Response) bool {
	if t.Failure != nil {
		return t.Failure(resp)
	}
	return roundtrip.FailureStatus(resp.StatusCode)
}

// WithIdempotent returns a context that declares the requests sent with it fit to
// be sent twice at the same time, whatever their method: to do so is as good as
// to send them once. A request with a body also needs GetBody. What
// redoubt.WithIdempotent declares counts as well, and for retries besides.
func WithIdempotent(ctx context.Context) context.Context {
	return context.WithValue(ctx, idempotentKey{}, true)
}

type idempotentKey struct{}
