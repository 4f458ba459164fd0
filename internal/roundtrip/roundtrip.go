// Package roundtrip holds what every RoundTripper of ours must agree on: which
// requests may be sent again, which statuses are failures, and how long the
// context of a send lasts.
package roundtrip

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

// Idempotent reports whether req may be sent twice, by its method or because its
// header says so.
//
// Source: RFC 9110, section 9.2.2; the header fields are those that package
// net/http knows.
func Idempotent(req *http.Request) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return HasIdempotencyKey(req)
}

// HasIdempotencyKey reports whether req's header has a key by which its server
// recognises a repetition.
func HasIdempotencyKey(req *http.Request) bool {
	_, key := req.Header["Idempotency-Key"]
	_, older := req.Header["X-Idempotency-Key"]
	return key || older
}

// FailureStatus reports whether a response with this status is a failure by
// default: 408, 425, 429, 500, 502, 503 and 504.
func FailureStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// HasBody reports whether req has a body that might not be empty.
func HasBody(req *http.Request) bool { return req.Body != nil && req.Body != http.NoBody }

// NeverConnected reports whether err says so by itself.
func NeverConnected(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// Invalid reports whether the text of an error is package net/http's about a
// request that it does not send to anybody.
func Invalid(text string) bool {
	for _, known := range []string{
		"unsupported protocol scheme", "net/http: invalid", "http: nil Request.", "http: no Host in request URL", "http: Request.",
	} {
		if strings.Contains(text, known) {
			return true
		}
	}
	return false
}

// A graft has the values of one context and the life of another.
type graft struct {
	context.Context

	values context.Context //nolint:containedctx // It is a context.
}

func (g graft) Value(key any) any {
	if v := g.values.Value(key); v != nil {
		return v
	}
	return g.Context.Value(key)
}

// Graft returns a context that lives as life does, with the values of values.
// Package context finds life behind it, so that to derive from it costs no
// goroutine.
func Graft(life, values context.Context) context.Context {
	return graft{Context: life, values: context.WithoutCancel(values)}
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
