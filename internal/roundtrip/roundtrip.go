// Package roundtrip holds what every RoundTripper of ours must agree on: which
// requests may be sent again, which statuses are failures, and how long the
// context of a send lasts.
package roundtrip

import (
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
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

// Upgrades reports whether req asks for another protocol on its connection.
func Upgrades(req *http.Request) bool {
	if len(req.Header["Upgrade"]) > 0 {
		return true
	}
	for _, value := range req.Header["Connection"] {
		for option := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(option), "upgrade") {
				return true
			}
		}
	}
	return false
}

// CloseBody closes the body of req, if there is one.
func CloseBody(req *http.Request) {
	if req != nil && req.Body != nil {
		_ = req.Body.Close()
	}
}

// NeverConnected reports whether err says so, for a Base that does not tell of its
// progress.
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
		"http: invalid Host header", "net/http: can't write control character", "invalid Trailer key",
		"http2: invalid ", "http2: request header list larger", "http2: unsupported scheme",
		"http3: nil Request.", "http3: no Host in request URL", "http3: invalid method", "http3: invalid http header",
	} {
		if strings.Contains(text, known) {
			return true
		}
	}
	return false
}

// WithoutURL removes what url.Error adds around an error: http.Client adds its
// own, and the URL may hold secrets.
func WithoutURL(err error) error {
	for {
		outer, ok := err.(*url.Error) //nolint:errorlint // Only what is outermost can be removed.
		if !ok || outer.Err == nil {
			return err
		}
		err = outer.Err
	}
}
