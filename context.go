package redoubt

import (
	"cmp"
	"context"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
)

// A hostContext is what an exchange's layers begin with. It tells Host, which few
// ask for, so that it is made for the first who does.
type hostContext struct {
	context.Context

	req  *http.Request
	once sync.Once
	host string
}

type (
	hostKey   struct{}
	methodKey struct{}
)

func (c *hostContext) Value(key any) any {
	switch key {
	case hostKey{}:
		return c.origin()
	case methodKey{}:
		return cmp.Or(c.req.Method, http.MethodGet)
	}
	return c.Context.Value(key)
}

func (c *hostContext) origin() string {
	c.once.Do(func() { c.host = origin(c.req.URL) })
	return c.host
}

// A graft is what the context of a sending derives from: it has the life of the
// request and the values of the layers.
type graft struct {
	roundtrip.Graft

	progress *progress // or nil
}

func (g *graft) Value(key any) any {
	switch {
	case key == traceKey && g.progress != nil:
		return g.progress.clientTrace(g.Values)
	case key == (roundtrip.SendingKey{}) && g.progress != nil:
		return g.progress.send
	}
	return g.Graft.Value(key)
}

// traceKey leads net/http to the hooks that want to hear of its progress. A Base
// that does not ask for them, such as one in memory, is spared the 8 allocations
// that they are.
var traceKey = roundtrip.KeyOf(func(ctx context.Context) { _ = httptrace.ContextClientTrace(ctx) })

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
