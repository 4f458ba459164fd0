package redoubt

import (
	"net/http"
	"slices"
	"strings"
)

// idempotent reports whether req may be sent twice, by its method or because its
// caller says so.
//
// Source: RFC 9110, section 9.2.2; the header fields are those that package
// net/http knows.
func idempotent(req *http.Request, o overrides) bool {
	switch req.Method {
	case "", http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return o.idempotent || hasIdempotencyKey(req)
}

func hasIdempotencyKey(req *http.Request) bool {
	_, key := req.Header["Idempotency-Key"]
	_, older := req.Header["X-Idempotency-Key"]
	return key || older
}

// expectsContinue reports whether req asks the server for its leave to send the
// body.
func expectsContinue(req *http.Request) bool {
	return slices.ContainsFunc(req.Header["Expect"], func(v string) bool {
		return strings.EqualFold(strings.TrimSpace(v), "100-continue")
	})
}

// FailureStatus reports whether a response with this status is a failure by
// default: 408, 425, 429, 500, 502, 503 and 504. The other statuses from 400 on
// tell of the request rather than of the server, or do not change with time.
func FailureStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}
