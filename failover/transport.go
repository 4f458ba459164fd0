package failover

import (
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/roundtrip"
)

// A Transport is an [http.RoundTripper] that sends requests to the first of
// several servers that works.
//
// A request to a URL below From is sent to each endpoint in turn: its scheme,
// host and the path that From has are replaced by those of the endpoint, and its
// header Host goes along unless it was set to something else. The rest of the
// path, the query and the header stay, and so credentials in the header go to
// every endpoint. A request to any other URL, such as a redirect leads to, is
// sent there, once and past all guards.
//
// What may be sent elsewhere is what redoubt.Transport would send again: any
// request for which no connection was made; and a request that is idempotent by
// its method, by the header Idempotency-Key or X-Idempotency-Key, or by
// redoubt.WithIdempotent, unless redoubt.WithoutRetry forbids it. A body must be
// available again, from GetBody.
//
// A failed response, see Failure, is a [*StatusError] to the guards. If no other
// endpoint is asked afterwards it is the response that RoundTrip returns, with
// all of its body. RoundTrip never returns a response and an error together, and
// the response's Request is the caller's.
//
// The limit of a guard counts until the response's headers have arrived. It
// never cuts short a body that the caller reads.
//
// A Transport must not be changed or copied once it is in use. It is safe for
// concurrent use.
type Transport struct {
	// Base sends the requests. Nil means http.DefaultTransport.
	Base http.RoundTripper

	// Failover has the endpoints: absolute URLs with scheme http or https, a
	// host, and perhaps a path and a user, who is sent as basic
	// authentication if the request has none. It must not be nil.
	Failover *Failover

	// From is the base URL of the requests to be sent to the endpoints. Empty
	// means the first endpoint.
	From string

	// Failure reports whether a response is a failure, so that another
	// endpoint is asked if that is safe. It must not touch the body. Nil
	// means 408, 425, 429, 500, 502, 503 and 504, as for redoubt.Transport.
	// It is not asked about 101 and responses to CONNECT.
	Failure func(*http.Response) bool

	// SpansByBase says that Base makes a span for each request and writes it
	// into the header, as redoubt.Transport and otelhttp do, so that the
	// Transport does not.
	SpansByBase bool

	once   sync.Once
	routes routes
	err    error // of routes
}

// RoundTrip sends req to the endpoints, at most once to each unless its guard
// asks for more. It closes the request body on every path, and does not change
// req.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := t.Check(); err != nil {
		roundtrip.CloseBody(req)
		return nil, err
	}
	ctx, release := roundtrip.WithCancel(req, errCancelled)
	defer release()
	return newExchange(ctx, t, req).run()
}

// CloseIdleConnections closes the idle connections of Base, if Base has the
// method.
func (t *Transport) CloseIdleConnections() {
	if base, ok := t.base().(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// MakesSpans reports whether t makes a span for each request that it sends, so
// that a redoubt.Transport whose Base it is has to leave that to it.
func (t *Transport) MakesSpans() bool { return t != nil && !t.SpansByBase }

// Check reports the first field that makes no sense.
func (t *Transport) Check() error {
	if t == nil {
		return errNilRoute
	}
	t.once.Do(func() { t.routes, t.err = t.plan() })
	return t.err
}

// Explain returns the redoubt.Facts of t, for redoubt.Explain and redoubt.Check.
func (t *Transport) Explain() explain.Facts {
	if t == nil {
		return explain.Facts{Kind: explain.Failover}
	}
	return t.Failover.Explain()
}

// Guards returns the guards by endpoint, see [Failover.Guards].
func (t *Transport) Guards() []explain.Guard {
	if t == nil {
		return nil
	}
	return t.Failover.Guards()
}

// Unwrap returns what sends the requests.
func (t *Transport) Unwrap() http.RoundTripper { return t.base() }

func (t *Transport) base() http.RoundTripper {
	if t == nil || t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

func (t *Transport) failure(resp *http.Response) bool {
	if t.Failure != nil {
		return t.Failure(resp)
	}
	return roundtrip.FailureStatus(resp.StatusCode)
}

// routes are how requests are rewritten.
type routes struct {
	from *url.URL
	to   map[*endpoint]*url.URL
}

func (t *Transport) plan() (routes, error) {
	if err := t.Failover.Check(); err != nil {
		return routes{}, err
	}
	name := t.Failover.config.Name
	r := routes{to: make(map[*endpoint]*url.URL)}
	for i, e := range t.Failover.endpoints {
		u, rule := parseBase(e.raw)
		if rule != "" {
			return routes{}, law.Misuse("failover: %s: Endpoints[%d] is %s, must %s", name, i, e.label, rule)
		}
		if i == 0 {
			r.from = u
		}
		r.to[e] = u
	}
	if t.From != "" {
		u, rule := parseBase(t.From)
		if rule != "" {
			return routes{}, law.Misuse("failover: %s: From is %s, must %s", name, label(t.From), rule)
		}
		r.from = u
	}
	return r, nil
}

// parseBase returns the URL that raw is, or else the rule that it breaks.
func parseBase(raw string) (_ *url.URL, rule string) {
	u, err := url.Parse(raw)
	switch {
	case err != nil:
		return nil, "be a URL" // the error repeats what may be secret
	case u.Scheme != "http" && u.Scheme != "https":
		return nil, "be a URL with scheme http or https"
	case u.Hostname() == "" || u.Opaque != "":
		return nil, "be a URL with a host"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, "have neither query nor fragment"
	default:
		return u, ""
	}
}

// below returns what u's path has beyond base's, escaped, and whether u is below
// base at all.
func below(base, u *url.URL) (rest string, ok bool) {
	if u == nil || u.Opaque != "" || !sameOrigin(base, u) {
		return "", false
	}
	rest, ok = strings.CutPrefix(u.EscapedPath(), strings.TrimSuffix(base.EscapedPath(), "/"))
	return rest, ok && (rest == "" || rest[0] == '/')
}

func sameOrigin(a, b *url.URL) bool {
	return strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	if strings.EqualFold(u.Scheme, "https") {
		return "443"
	}
	return "80"
}

// rewritten returns u with what is rest of its path below the base to.
func rewritten(u, to *url.URL, rest string) *url.URL {
	out := *u
	out.User = nil
	out.Scheme, out.Host = to.Scheme, to.Host
	escaped := strings.TrimSuffix(to.EscapedPath(), "/") + rest
	path, err := url.PathUnescape(escaped)
	if err != nil { // not of two valid parts
		path = escaped
	}
	out.Path, out.RawPath = path, escaped
	return &out
}
