package redoubt

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// The values that stand for zero fields of a [Transport].
const (
	DefaultStallTimeout = 2 * time.Minute
	DefaultMaxDrain     = 64 << 10
)

// Values that switch off what a zero field of a [Transport] has on.
const (
	NoStallTimeout = -1 // as StallTimeout: a Read may wait for ever
	NoDrain        = -1 // as MaxDrain: close, and lose the connection
)

// A Transport is an [http.RoundTripper] that sends requests through a [Layer].
//
// Only errors travel through layers. A response that is a failure, see Failure,
// is a [*StatusError] there, and an error of Base a [*SendError]. On the way out
// a failed response that was the last becomes the response again, with all of
// its body to be read, also if retries were given up for a reason that is not
// the response. RoundTrip never returns a response and an error together.
//
// What may be sent again is decided here, and told to the layers by the errors'
// method Retryable: a request that is idempotent by its method, by the header
// Idempotency-Key or X-Idempotency-Key, or by [WithIdempotent]; and any request
// of which it is certain that no server has acted on it, since no connection
// was made or the server said so. Its body must be available again, too: from
// GetBody, or kept because of MaxRequestBuffer, or not read at all so far. A
// GetBody is called when the last attempt's Read of the body has ended, or after
// 50 ms; if it returns the body that is being read still, the request is not sent
// again. A
// request that may not be sent again is not, whatever the layers do.
//
// A layer's time limit counts until the response's headers have arrived. It
// never cuts short a body that the caller reads.
//
// The zero value is ready to use: it sends each request once through
// [http.DefaultTransport], with a limit on silence in the middle of a body. A
// Transport must not be changed or copied once it is in use. It is safe for
// concurrent use.
type Transport struct {
	// Base sends the requests. Nil means http.DefaultTransport. What is to be
	// sent again after 421, over another connection, is sent through a copy
	// of Base that keeps no connections, if it is an http.Transport; its own
	// remain as they are. Of another Base all idle connections are closed, to
	// whatever host, by its CloseIdleConnections: no request can say that it
	// does not want an idle connection of HTTP/1, and a wrapper can't be
	// copied with what is in it. Those in use remain.
	Base http.RoundTripper

	// Layer is what each request goes through, commonly a [Stack]. Nil means
	// no layers.
	Layer Layer

	// Name is the name of the calls in telemetry, a fixed string. If it is
	// empty, calls are named after the first layer that has a name.
	Name string

	// Failure reports whether a response is a failure, in the eyes of
	// layers. It must not touch the body. Nil means FailureStatus of the
	// status. It is not asked about 101 and responses to CONNECT.
	Failure func(*http.Response) bool

	// RetryRejected lists statuses, such as 429 and 503, with which the
	// servers of this Transport refuse a request before they act on it, so
	// that it may be sent again even if it is not idempotent. No standard
	// promises that.
	RetryRejected []int

	// RetryConflict lets a request with an Idempotency-Key be sent again
	// after 409, which says that the same request is still under way.
	RetryConflict bool

	// HeaderTimeout is how long an attempt may go on without progress: until
	// there is a connection, while the request is being written, and from
	// then until the response's headers arrive. It doesn't count the time
	// that the request body takes to produce its bytes, so it never cuts
	// short an upload that moves. What exceeds it is a [*TimeoutError], and
	// the next attempt asks for a new connection. Zero means no limit.
	HeaderTimeout time.Duration

	// StallTimeout is how long a Read of the response body may wait. It
	// doesn't count the time between Reads, and not after 101 or CONNECT. The
	// Read then fails with a [*TimeoutError]. Zero means
	// DefaultStallTimeout, NoStallTimeout none.
	StallTimeout time.Duration

	// MaxDrain is how much of a failed response, in bytes, may be read ahead
	// in order to give its connection back before the next attempt is
	// waited for. Not more than 50 ms are spent on it. A response that is
	// declared longer is not read, and keeps its connection during the wait,
	// since it might be the last. Zero means DefaultMaxDrain, NoDrain none.
	MaxDrain int64

	// MaxRequestBuffer is how many bytes of a request body without GetBody
	// are kept, while they are sent, to be sent again. A longer body is sent
	// once. Zero means none: such a request is sent once, unless nothing
	// of its body was read.
	MaxRequestBuffer int64

	// MaxResponseBuffer, if not zero, makes the body part of the attempt:
	// that many bytes of it are read before the layers are told of success,
	// so that a body that breaks off is a failure like any other, and limits
	// apply to it. A longer body is streamed from there on; one that is
	// declared longer, a stream of events, and what has a type of gRPC or of
	// Connect's streams, is streamed from the start.
	MaxResponseBuffer int64

	// RetryAfterMillis names headers besides Retry-After, such as
	// "Retry-After-Ms" or "X-Ms-Retry-After-Ms", in which the servers of this
	// Transport tell when to come back, in milliseconds.
	RetryAfterMillis []string

	// DeadlineHeader names a header that tells the server how many
	// milliseconds the attempt has left until its deadline, if it has one.
	DeadlineHeader string

	// AttemptHeader names a header, such as "Retry-Attempt", that tells the
	// server how many times the request was sent before. It is not sent the
	// first time.
	AttemptHeader string

	// Prepare, if not nil, is called before each attempt, the first
	// included, with the very request that will be sent, to sign it or to
	// refresh its token. It may change everything but the context and the
	// map Trailer, which is the caller's. To look at the body it may read
	// Body, which does not use up what is sent, or replace it and GetBody
	// with it; a body that can't be read twice can't be looked at. An error
	// ends the attempt, for good unless it has a method Retryable that says
	// otherwise. A redirect that http.Client follows comes as a request of
	// its own, perhaps to another host: look at the URL before adding what
	// is secret.
	// A hedge, of package hedge, is an attempt too; it is prepared while the
	// first send is under way, and not sent after an error.
	Prepare func(*http.Request) error

	// TracerProvider makes the tracer. Nil means the global one.
	TracerProvider trace.TracerProvider

	// MeterProvider makes the meter. Nil means the global one.
	MeterProvider metric.MeterProvider

	// Propagator writes the attempt's span into the request's header. Nil
	// means the global one.
	Propagator propagation.TextMapPropagator

	// SpansByBase says that Base makes a span for each attempt and writes it
	// into the header, as otelhttp does and another Transport, so that this
	// one does not. See [ClientTrace].
	SpansByBase bool
}

// RoundTrip sends req through the layers, at most as often as they ask for it.
// It closes the request body on every path, and does not change req. What is refused
// with 417 for its header Expect is sent again at once, without it.
//
// If the caller loses interest, the error matches the error of its context and the
// cause of that under [errors.Is], and so does that of each Read of the response
// body until its Close. The error after Request.Cancel matches [context.Canceled].
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if t == nil {
		roundtrip.CloseBody(req)
		return nil, errNilTransport
	}
	ctx, release := roundtrip.WithCancel(req, errRequestCancel)
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

// Check reports what is wrong with the fields and, as [Check] does, with the
// layers. They are the mistakes that Explain finds, joined into one error.
func (t *Transport) Check() error { return t.Explain().Err() }

// checkFields reports the first field that makes no sense. It runs for each
// request.
func (t *Transport) checkFields() error {
	switch {
	case t.HeaderTimeout < 0:
		return badField("HeaderTimeout", t.HeaderTimeout, "not be negative")
	case t.StallTimeout < 0 && t.StallTimeout != NoStallTimeout:
		return badField("StallTimeout", t.StallTimeout, "be NoStallTimeout or not negative")
	case t.MaxDrain < 0 && t.MaxDrain != NoDrain:
		return badField("MaxDrain", t.MaxDrain, "be NoDrain or not negative")
	case t.MaxRequestBuffer < 0:
		return badField("MaxRequestBuffer", t.MaxRequestBuffer, "not be negative")
	case t.MaxResponseBuffer < 0:
		return badField("MaxResponseBuffer", t.MaxResponseBuffer, "not be negative")
	case t.DeadlineHeader != "" && !validToken(t.DeadlineHeader):
		return badField("DeadlineHeader", t.DeadlineHeader, "be the name of a header")
	case t.AttemptHeader != "" && !validToken(t.AttemptHeader):
		return badField("AttemptHeader", t.AttemptHeader, "be the name of a header")
	}
	for _, name := range t.RetryAfterMillis {
		if !validToken(name) {
			return badField("RetryAfterMillis", name, "hold names of headers")
		}
	}
	for _, status := range t.RetryRejected {
		if status < 400 || status > 599 {
			return badField("RetryRejected", status, "hold statuses from 400 to 599")
		}
	}
	return nil
}

var errNilTransport = law.Misuse("redoubt: Transport is nil")

func badField(field string, value any, rule string) error {
	return law.Misuse("redoubt: Transport: %s is %v, must %s", field, value, rule)
}

// validToken reports whether name is a token, RFC 9110, section 5.6.2.
func validToken(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		letter := 'a' <= r|0x20 && r|0x20 <= 'z'
		digit := '0' <= r && r <= '9'
		return !letter && !digit && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

func (t *Transport) base() http.RoundTripper {
	if t == nil || t.Base == nil {
		return http.DefaultTransport
	}
	return t.Base
}

func (t *Transport) stallTimeout() time.Duration {
	switch t.StallTimeout {
	case 0:
		return DefaultStallTimeout
	case NoStallTimeout:
		return 0
	}
	return t.StallTimeout
}

func (t *Transport) maxDrain() int64 {
	switch t.MaxDrain {
	case 0:
		return DefaultMaxDrain
	case NoDrain:
		return 0
	}
	return t.MaxDrain
}

// providers returns the Transport's own where it has them, or else those of a
// Telemetry that layer begins with.
func (t *Transport) providers(layer Layer) telemetry.Providers {
	p := telemetryOf(layer).providers()
	if t.TracerProvider != nil {
		p.Tracer = t.TracerProvider
	}
	if t.MeterProvider != nil {
		p.Meter = t.MeterProvider
	}
	return p
}

// name returns what telemetry calls the calls through layer.
func (t *Transport) name(layer Layer) string {
	if t.Name != "" {
		return t.Name
	}
	return nameOf(layer)
}

// ClientTrace lets otelhttp, as the Base of a [Transport] with SpansByBase, tell
// how many times a request was sent before:
//
//	base := otelhttp.NewTransport(http.DefaultTransport, otelhttp.WithClientTrace(redoubt.ClientTrace))
//
// It sets http.request.resend_count on the span that ctx carries, if ctx belongs
// to an attempt that is not the first. The trace that it returns does nothing.
func ClientTrace(ctx context.Context) *httptrace.ClientTrace {
	return telemetry.ClientTrace(ctx)
}
