package faults

import (
	"errors"
	"math"
	"net"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"
)

// A StatusError is what a function gets where HTTP has a [Status].
type StatusError struct {
	Code  int
	after time.Duration
}

// Error returns the status in words.
func (e *StatusError) Error() string {
	return "faults: " + strconv.Itoa(e.Code) + " " + http.StatusText(e.Code)
}

// Retryable reports whether the status is one that a repeated call may cure.
func (e *StatusError) Retryable() bool {
	switch e.Code {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// RetryAfter returns how long the dependency asks to wait, and whether it does.
func (e *StatusError) RetryAfter() (time.Duration, bool) { return e.after, e.after > 0 }

// Throttled reports whether the dependency turned the call away because it has too
// much to do: after 429 and 503.
func (e *StatusError) Throttled() bool {
	return e.Code == http.StatusTooManyRequests || e.Code == http.StatusServiceUnavailable
}

// DependencyFailure reports whether the dependency does not work, as opposed to
// limiting its callers.
func (e *StatusError) DependencyFailure() bool { return e.Code >= 500 }

// The errors have the shape that they have on a real network.

func errReset() error {
	return &net.OpError{Op: "read", Net: "tcp", Err: os.NewSyscallError("read", syscall.ECONNRESET)}
}

func errRefused() error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
}

func errNoHost(host string) error {
	return &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}}
}

// asDialError makes err one of a dial.
func asDialError(err error) error {
	if _, ok := errors.AsType[*net.OpError](err); ok {
		return err
	}
	return &net.OpError{Op: "dial", Net: "tcp", Err: err}
}

// code returns the status of s.
func (s Status) code() int {
	if s.Code == 0 {
		return http.StatusServiceUnavailable
	}
	return s.Code
}

// header returns the headers of s.
func (s Status) header() http.Header {
	h := s.Header.Clone()
	if h == nil {
		h = make(http.Header)
	}
	if s.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(s.RetryAfter.Seconds()))))
	}
	return h
}
