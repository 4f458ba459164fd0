package telemetry

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"syscall"
	"testing"
)

type classed string

func (c classed) Error() string     { return "classed" }
func (c classed) ErrorType() string { return string(c) }

type timeout bool

func (t timeout) Error() string { return "timeout" }
func (t timeout) Timeout() bool { return bool(t) }

func TestErrorType(t *testing.T) {
	dial := func(err error) error {
		return &url.Error{Op: "Get", URL: "http://billing/?account=4711", Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", err)}}
	}
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"own", classed("503"), "503"},
		{"own, wrapped", fmt.Errorf("billing: %w", classed("503")), "503"},
		{"own beats what it stands beside", errors.Join(io.EOF, classed("503")), "503"},
		{"own, but empty", classed(""), "_OTHER"},
		{"own, but empty, around another", errors.Join(classed(""), io.EOF), "eof"},
		{"own, but not UTF-8", classed("a\xffb"), "a?b"},
		{"refused connection", dial(syscall.ECONNREFUSED), "connection_refused"},
		{"reset connection", dial(syscall.ECONNRESET), "connection_reset"},
		{"broken pipe", dial(syscall.EPIPE), "connection_reset"},
		{"closed connection", &net.OpError{Op: "read", Err: net.ErrClosed}, "connection_closed"},
		{"unexpected EOF", fmt.Errorf("read: %w", io.ErrUnexpectedEOF), "unexpected_eof"},
		{"EOF", io.EOF, "eof"},
		{"deadline", context.DeadlineExceeded, "timeout"},
		{"deadline of a connection", os.ErrDeadlineExceeded, "timeout"},
		{"cancelled", context.Canceled, "cancelled"},
		{"certificate", &url.Error{Op: "Get", Err: &tls.CertificateVerificationError{Err: errors.New("expired")}}, "certificate"},
		{"host not found", &net.DNSError{Err: "no such host", IsNotFound: true}, "dns"},
		{"DNS timeout", &net.DNSError{Err: "i/o timeout", IsTimeout: true}, "dns"},
		{"Timeout reports true", timeout(true), "timeout"},
		{"Timeout reports false", timeout(false), "_OTHER"},
		{"another", errors.New("account 4711"), "_OTHER"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := ErrorType(tt.err); got != tt.want {
				t.Errorf("ErrorType(%v) = %q, want %q", tt.err, got, tt.want)
			}
		})
	}
}
