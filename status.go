package redoubt

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"
)

// A StatusError is a response that is a failure, in the eyes of layers. The
// caller of [Transport.RoundTrip] gets the response itself. It is immutable and
// safe for concurrent use.
type StatusError struct {
	StatusCode int
	Method     string
	URL        string // without user, query and fragment

	failure    bool // Transport.Failure says so
	retryable  bool
	retryAfter time.Duration // 0 if the server does not say
}

// Error names the request and the status.
func (e *StatusError) Error() string {
	message := e.Method + " " + e.URL + ": " + strconv.Itoa(e.StatusCode)
	if text := http.StatusText(e.StatusCode); text != "" {
		message += " " + text
	}
	return message
}

// Retryable reports whether the request may be sent again after this response.
func (e *StatusError) Retryable() bool { return e.retryable }

// RetryAfter returns how long the server asks to be left alone, and whether it
// does.
func (e *StatusError) RetryAfter() (time.Duration, bool) { return e.retryAfter, e.retryAfter > 0 }

// Throttled reports whether the server turned the request away because it has
// too much to do: after 429 and 503.
func (e *StatusError) Throttled() bool {
	return e.StatusCode == http.StatusTooManyRequests || e.StatusCode == http.StatusServiceUnavailable
}

// DependencyFailure reports whether the server is to blame, which breakers count:
// for statuses from 500 on, and for what [Transport].Failure calls a failure.
func (e *StatusError) DependencyFailure() bool { return e.StatusCode >= 500 || e.failure }

// ErrorType is the class of the error in telemetry: the status.
func (e *StatusError) ErrorType() string { return strconv.Itoa(e.StatusCode) }

// judge returns what the response is to the layers: nil for a success.
func (x *exchange) judge(resp *http.Response) *StatusError {
	if resp.StatusCode < 400 && x.t.Failure == nil {
		return nil
	}
	after, told := x.t.retryAfter(resp.StatusCode, resp.Header, time.Now())
	var failed, retryable bool
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols, x.req.Method == http.MethodConnect:
		return nil
	case resp.StatusCode == http.StatusMisdirectedRequest:
		retryable = !x.misdirected
	case resp.StatusCode == http.StatusConflict && x.t.RetryConflict:
		retryable = hasIdempotencyKey(x.req)
	case resp.StatusCode == http.StatusRequestEntityTooLarge && told:
		retryable = x.idempotent
	default:
		failed = x.t.failure(resp)
		retryable = failed && (x.idempotent || slices.Contains(x.t.RetryRejected, resp.StatusCode))
	}
	retryable = retryable && !x.overrides.once && x.rewindable()
	if !failed && !retryable {
		return nil
	}
	return &StatusError{
		StatusCode: resp.StatusCode,
		Method:     method(x.req),
		URL:        redacted(x.req.URL),
		failure:    failed && x.t.Failure != nil,
		retryable:  retryable,
		retryAfter: after,
	}
}

func (t *Transport) failure(resp *http.Response) bool {
	if t.Failure != nil {
		return t.Failure(resp)
	}
	return FailureStatus(resp.StatusCode)
}

func method(req *http.Request) string {
	if req.Method == "" {
		return http.MethodGet
	}
	return req.Method
}

// redacted returns u without what may be secret.
func redacted(u *url.URL) string {
	if u == nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
