package redoubt

import (
	"context"
	"net"
	"net/url"
	"strings"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
)

// WithIdempotent returns a context that declares the requests sent with it
// idempotent, whatever their method: sending one twice does no more than sending
// it once. A [Transport] then retries a POST as it would a PUT, provided that its
// body can be sent again, and so does package net/http on a connection that
// turns out to be closed. An Idempotency-Key header says the same, also to the
// server.
func WithIdempotent(ctx context.Context) context.Context {
	o := overridesOf(ctx)
	o.idempotent = true
	return context.WithValue(ctx, overridesKey{}, o)
}

// WithoutRetry returns a context with which a [Transport] sends a request at
// most once, whatever its method and its layers. It also keeps package net/http
// from its own silent replay on a connection that turns out to be closed, except
// of a request without a body that is TRACE or, not being GET, HEAD or OPTIONS,
// has an Idempotency-Key header. Nothing keeps net/http from sending a request
// without a body, unless it is one of those three, once more over HTTP/2 if the
// server refused its stream. It overrules [WithIdempotent].
func WithoutRetry(ctx context.Context) context.Context {
	o := overridesOf(ctx)
	o.once = true
	return context.WithValue(ctx, overridesKey{}, o)
}

// WithoutTimeouts returns a context on which a [Transport] applies neither
// HeaderTimeout nor StallTimeout: for long polls and streams of events, where
// silence is no sign of trouble. Limits among the layers and the context's own
// deadline still apply.
func WithoutTimeouts(ctx context.Context) context.Context {
	o := overridesOf(ctx)
	o.patient = true
	return context.WithValue(ctx, overridesKey{}, o)
}

// WithLayer returns a context with which a [Transport] uses layer in place of
// its own. A nil layer means none.
func WithLayer(ctx context.Context, layer Layer) context.Context {
	o := overridesOf(ctx)
	o.layer, o.layered = layer, true
	return context.WithValue(ctx, overridesKey{}, o)
}

// overrides are a caller's wishes for single requests.
type overrides struct {
	idempotent bool
	once       bool
	patient    bool
	layer      Layer
	layered    bool // whether layer applies
}

// overridesKey is one that package hedge knows too.
type overridesKey = roundtrip.WishKey

// Wish tells package hedge what it has to know.
func (o overrides) Wish() roundtrip.Wish { return roundtrip.Wish{Twice: o.idempotent, Once: o.once} }

func overridesOf(ctx context.Context) overrides {
	o, _ := ctx.Value(overridesKey{}).(overrides)
	return o
}

// Host returns the scheme, host and port, such as "https://example.com:443",
// that the request of a [Transport] goes to, if ctx is the context of one of its
// layers. Otherwise it returns "". It is the key for breakers and budgets per
// host.
func Host(ctx context.Context) string {
	host, _ := ctx.Value(hostKey{}).(string)
	return host
}

// HostAndMethod returns what [Host] does, and before it the request's method, such
// as "GET https://example.com:443". It is the key for breakers and budgets that
// keep what reads apart from what writes.
func HostAndMethod(ctx context.Context) string {
	method, _ := ctx.Value(methodKey{}).(string)
	if method == "" {
		return ""
	}
	return method + " " + Host(ctx)
}

// origin returns the scheme, host and port of u in one spelling.
func origin(u *url.URL) string {
	if u == nil {
		return ""
	}
	scheme := strings.ToLower(u.Scheme)
	port := u.Port()
	if port == "" {
		port = defaultPort(scheme)
	}
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

func defaultPort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}
