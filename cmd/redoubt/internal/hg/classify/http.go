package classify

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// Status judges an HTTP status that is not a success.
func Status(code int) Verdict {
	v := Verdict{Reaction: Next, Message: "HTTP status " + statusText(code)}
	switch {
	case code == http.StatusProxyAuthRequired:
		v.Reaction = Environment
	case code == http.StatusTooManyRequests, code == http.StatusServiceUnavailable, code == http.StatusRequestTimeout:
		v.Reaction = Wait
	case code >= 500:
		v.Reaction = Retry
	}
	v.Source = v.Reaction.Again()
	return v
}

func statusText(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// Transport judges an error of an HTTP request of ours, or of reading its
// response.
func Transport(err error) Verdict {
	v := Verdict{Reaction: transport(err), Message: message(err)}
	v.Source = v.Reaction.Again()
	return v
}

// message is what err says, without what the report says anyway: that it was
// tried several times.
func message(err error) string {
	if plainHTTP(err) && !strings.Contains(err.Error(), "malformed HTTP") {
		return "the server speaks no TLS: is its URL one of http, or its port another?"
	}
	if limit, ok := errors.AsType[*timeout.Error](err); ok {
		return limit.Error()
	}
	if network, ok := errors.AsType[*net.OpError](err); ok {
		return network.Error()
	}
	if gaveUp, ok := errors.AsType[*retry.Error](err); ok && gaveUp.Err != nil {
		return gaveUp.Err.Error()
	}
	return err.Error()
}

func transport(err error) Reaction {
	switch {
	case untrusted(err):
		return Security
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EFBIG),
		errors.Is(err, os.ErrPermission):
		return Environment
	case proxyDown(err):
		return Environment
	case plainHTTP(err), refusedTLS(err):
		return Next
	case transient(err):
		return Retry
	default:
		return Unknown
	}
}

// untrusted reports whether the server is not who it should be.
func untrusted(err error) bool {
	var (
		verification *tls.CertificateVerificationError
		authority    x509.UnknownAuthorityError
		hostname     x509.HostnameError
		invalid      x509.CertificateInvalidError
	)
	return errors.As(err, &verification) || errors.As(err, &authority) || errors.As(err, &hostname) || errors.As(err, &invalid)
}

// proxyDown reports whether it is not the server that failed, but the proxy that
// this machine is configured to use.
func proxyDown(err error) bool {
	network, ok := errors.AsType[*net.OpError](err)
	return ok && network.Op == "proxyconnect" || strings.Contains(err.Error(), "Proxy Authentication Required")
}

// plainHTTP reports whether the server speaks something else than was expected
// of it: no TLS on an https URL, or no HTTP at all.
func plainHTTP(err error) bool {
	var record tls.RecordHeaderError
	text := err.Error()
	return errors.As(err, &record) ||
		strings.Contains(text, "server gave HTTP response to HTTPS client") ||
		strings.Contains(text, "malformed HTTP")
}

// refusedTLS reports whether the server said in the handshake that it will have
// none with us: no protocol or cipher in common, or no certificate of ours. What
// else an alert tells may be the network's doing.
func refusedTLS(err error) bool {
	network, ok := errors.AsType[*net.OpError](err)
	return ok && network.Op == "remote error" && slices.Contains(refusals, network.Err.Error())
}

// refusals are what crypto/tls calls the alerts of RFC 8446, section 6.2, that
// another attempt gets too. Their type is not exported.
var refusals = []string{
	"tls: handshake failure", "tls: protocol version not supported", "tls: insufficient security level",
	"tls: unrecognized name", "tls: access denied", "tls: certificate required", "tls: bad certificate",
	"tls: unsupported certificate", "tls: revoked certificate", "tls: expired certificate",
	"tls: unknown certificate", "tls: unknown certificate authority",
}

func transient(err error) bool {
	var (
		network net.Error
		timeout interface{ Timeout() bool }
		says    interface{ Retryable() bool }
	)
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &network) ||
		errors.As(err, &timeout) && timeout.Timeout() ||
		errors.As(err, &says) && says.Retryable()
}
