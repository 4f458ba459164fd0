package telemetry

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/redoubt-go/redoubt/internal/says"
)

// Classes that are named in more than one place.
const (
	typeOther   = "_OTHER" // the conventions' word for an error without a class
	typePanic   = "panic"
	typeTimeout = "timeout"
)

// ErrorType returns a class of low cardinality for err, for error.type. An
// error may name its own class by a method ErrorType() string. It is never
// empty.
func ErrorType(err error) string {
	var own interface{ ErrorType() string }
	if errors.As(err, &own) {
		if class := own.ErrorType(); class != "" {
			return valid(class)
		}
	}
	for _, class := range errorClasses {
		if errors.Is(err, class.err) {
			return class.name
		}
	}
	return classByType(err)
}

var errorClasses = []struct {
	err  error
	name string
}{
	{syscall.ECONNREFUSED, "connection_refused"},
	{syscall.ECONNRESET, "connection_reset"},
	{syscall.EPIPE, "connection_reset"},
	{net.ErrClosed, "connection_closed"},
	{io.ErrUnexpectedEOF, "unexpected_eof"},
	{io.EOF, "eof"},
	{context.DeadlineExceeded, typeTimeout},
	{context.Canceled, "cancelled"},
}

func classByType(err error) string {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "certificate"
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return "dns"
	}
	if says.TimedOut(err) {
		return typeTimeout
	}
	return typeOther
}
