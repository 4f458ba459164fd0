package redoubt

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync"
	"time"

	"github.com/redoubt-go/redoubt/internal/hedging"
)

// A hostContext is what an exchange's layers begin with. It tells Host, which few
// ask for, so that it is made for the first who does.
type hostContext struct {
	context.Context

	url  *url.URL
	once sync.Once
	host string
}

type hostKey struct{}

func (c *hostContext) Value(key any) any {
	if key == (hostKey{}) {
		c.once.Do(func() { c.host = origin(c.url) })
		return c.host
	}
	return c.Context.Value(key)
}

// A graft is what the context of a sending derives from: it has the life of the
// request and the values of the layers. Package context finds the life behind
// it, so that to derive from it costs no goroutine.
type graft struct {
	context.Context //nolint:containedctx // The request's.

	values   context.Context //nolint:containedctx // It is a context.
	progress *progress       // or nil
}

func (g *graft) Value(key any) any {
	switch {
	case key == lifeKey:
		return g.Context.Value(key)
	case key == traceKey && g.progress != nil:
		return g.progress.clientTrace(g.values)
	case key == (hedging.SendingKey{}) && g.progress != nil:
		return g.progress.send
	}
	if v := g.values.Value(key); v != nil {
		return v
	}
	return g.Context.Value(key)
}

// Keys that the standard library does not export. The first leads package context
// to whatever ends a context. The second leads net/http to the hooks that want to
// hear of its progress; a Base that does not ask for them, such as one in
// memory, is spared the 8 allocations that they are.
var (
	lifeKey  = keyOf(func(ctx context.Context) { _ = context.Cause(ctx) })
	traceKey = keyOf(func(ctx context.Context) { _ = httptrace.ContextClientTrace(ctx) })
)

// keyOf returns the key that ask asks a context for.
func keyOf(ask func(context.Context)) any {
	ctx := &keyCatcher{Context: context.Background()}
	ask(ctx)
	return ctx.key
}

// A keyCatcher is a context that has ended and notes what it is asked for.
type keyCatcher struct {
	context.Context

	key any
}

func (*keyCatcher) Err() error { return context.Canceled }

func (c *keyCatcher) Value(key any) any {
	c.key = key
	return nil
}

// A link is a context of which nothing is unknown: it ends with its parent, or
// once a time has come, and for no other reason as long as its layer has not
// returned. Where there is nothing but links up to the exchange's own context,
// their earliest time is all that has to be watched for.
type link interface {
	context.Context

	// Link returns the parent and the time at which the context ends, zero if
	// it ends with its parent only.
	Link() (parent context.Context, end time.Time)
}

// endOf returns the earliest time at which layers ends other than with root, zero
// if there is none. It reports false if it can't know.
func endOf(layers, root context.Context) (time.Time, bool) {
	var earliest time.Time
	for ctx := layers; ctx != root; {
		l, ok := ctx.(link)
		if !ok {
			return time.Time{}, false
		}
		parent, end := l.Link()
		if !end.IsZero() && (earliest.IsZero() || end.Before(earliest)) {
			earliest = end
		}
		ctx = parent
	}
	return earliest, true
}

// withCancel returns the context of req, ended also by the legacy field
// [http.Request.Cancel], which [http.Client.Timeout] sets for every transport
// that is not net/http's own. The second result must be called.
func withCancel(req *http.Request) (context.Context, func()) {
	if req.Cancel == nil { //nolint:staticcheck // Deprecated, and in use by http.Client.
		return req.Context(), func() {}
	}
	ctx, cancel := context.WithCancelCause(req.Context())
	go func() {
		select {
		case <-req.Cancel: //nolint:staticcheck // As above.
			if expired(req.Context()) {
				<-ctx.Done() // any moment now, and with the better error
			}
			cancel(errRequestCancel)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}
