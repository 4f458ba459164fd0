package roundtrip

import (
	"context"
	"net/http"
	"time"
)

// A Graft has the life of the context in it and the values of another. Package
// context finds the life behind it, so that to derive from it costs no goroutine.
type Graft struct {
	context.Context

	Values context.Context //nolint:containedctx // It is a context.
}

// Value returns that of Values, if it has one.
func (g *Graft) Value(key any) any {
	if key == lifeKey {
		return g.Context.Value(key)
	}
	if v := g.Values.Value(key); v != nil {
		return v
	}
	return g.Context.Value(key)
}

// lifeKey leads package context to whatever ends a context.
var lifeKey = KeyOf(func(ctx context.Context) { _ = context.Cause(ctx) })

// KeyOf returns the key that ask asks a context for: one that the standard
// library does not export.
func KeyOf(ask func(context.Context)) any {
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

// WithCancel returns the context of req, ended with the cause cancelled also by
// the legacy field [http.Request.Cancel], which [http.Client.Timeout] sets for
// every transport that is not net/http's own. The second result must be called.
func WithCancel(req *http.Request, cancelled error) (context.Context, func()) {
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
			cancel(cancelled)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

func expired(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}
