package roundtrip

import (
	"context"
	"net/http"
)

// A Wish is what the caller of a request says about sending it more than once.
type Wish struct {
	Twice bool // it does no harm
	Once  bool // it must not be; overrules Twice
}

// WishKey is the key under which a context carries a value with a method
// Wish() Wish.
type WishKey struct{}

// WishOf returns what ctx carries.
func WishOf(ctx context.Context) Wish {
	if w, ok := ctx.Value(WishKey{}).(interface{ Wish() Wish }); ok {
		return w.Wish()
	}
	return Wish{}
}

// The Transport of the root and that of package hedge know nothing of each other.
// By what follows they agree on a request that is sent twice at the same time.

// A Sending is a send under way beside which others may be made, or in whose place.
// Its methods are called by the goroutine that called RoundTrip.
type Sending interface {
	// Again is told of each send of the request to an endpoint, so that none is
	// taken for a vain repetition of the one before.
	Again()

	// Hedge is told of each further send of the request before it is made. out
	// is a copy of the request, with a header and a body of its own. Hedge
	// returns what to send in its place: without what belongs to the first
	// send, and prepared as that was. It closes the body of out if it returns
	// an error. The Hedge is nil if the request is not the one that the Sending
	// sends.
	Hedge(out *http.Request, ordinal int) (*http.Request, Hedge, error)
}

// SendingKey is the key under which a context carries a Sending.
type SendingKey struct{}

// SendingOf returns what ctx carries, or nil.
func SendingOf(ctx context.Context) Sending {
	s, _ := ctx.Value(SendingKey{}).(Sending)
	return s
}

// A Hedge is a send beside the first. One of its methods is called, once, by the
// goroutine that called RoundTrip, which then returns.
type Hedge interface {
	// Won says that RoundTrip returns the hedge's response. The first send
	// has failed with resp or err, or was given up if both are nil.
	Won(resp *http.Response, err error)

	// Lost says that the hedge was given up.
	Lost()

	// Failed says that the hedge failed with resp or err.
	Failed(resp *http.Response, err error)
}
