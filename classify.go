package redoubt

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A fault is what an error of Base is about.
type fault struct {
	class     string // for telemetry, "" to go by the error
	passing   bool   // another attempt could go better
	untouched bool   // the server says, or net/http, that it did not act
	local     bool   // the request never left: it or its making is at fault
	ours      bool   // the request's body is at fault
	throttled bool
	refused   bool // the connection
}

// faultOf judges an error of Base. Errors that nobody knows, such as a proxy's
// refusal, are not passing.
//
// It goes by texts where package net/http leaves no other way; its tests hold
// them to the real ones.
func faultOf(err, bodyErr error) fault {
	if bodyErr != nil && bodyErr != io.EOF { //nolint:errorlint // An EOF that is wrapped is an error.
		return fault{class: "request_body", ours: true}
	}
	for _, judge := range []func(error) (fault, bool){ownFault, bodyFault, tlsFault, http2Fault, networkFault} {
		if f, ok := judge(err); ok {
			return f
		}
	}
	return textFault(err.Error())
}

// ownFault asks an error that speaks for itself, such as that of a hook or of a
// layer within Base.
func ownFault(err error) (fault, bool) {
	yes, ok := says.Retryable(err)
	if !ok {
		return fault{}, false
	}
	rejected := says.Rejected(err)
	return fault{
		class:     telemetry.ErrorType(err),
		passing:   yes,
		untouched: rejected,
		local:     rejected,
		refused:   says.Unreached(err),
	}, true
}

// tlsFault knows what no further attempt will change.
func tlsFault(err error) (fault, bool) {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return fault{class: "certificate"}, true
	}
	if as[x509.UnknownAuthorityError](err) || as[x509.HostnameError](err) || as[x509.CertificateInvalidError](err) {
		return fault{class: "certificate"}, true
	}
	if as[tls.RecordHeaderError](err) || as[tls.AlertError](err) {
		return fault{class: "tls"}, true
	}
	// A fatal alert's own type is not exported.
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return fault{class: "tls"}, true
	}
	if _, ok := afterPrefix(err, "CRYPTO_ERROR 0x1"); ok { // a fatal alert by way of QUIC
		return fault{class: "tls"}, true
	}
	return fault{}, false
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

func networkFault(err error) (fault, bool) {
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		return fault{class: "dns", passing: dns.IsTimeout || dns.IsTemporary && !dns.IsNotFound}, true
	}
	if errors.Is(err, net.ErrClosed) && says.TimedOut(err) { // QUIC's timeouts are both
		return fault{class: "timeout", passing: true}, true
	}
	for _, known := range []error{
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT,
		syscall.EHOSTUNREACH, syscall.ENETUNREACH, net.ErrClosed, io.EOF, io.ErrUnexpectedEOF,
	} {
		if errors.Is(err, known) {
			return fault{passing: true, refused: known == syscall.ECONNREFUSED}, true //nolint:errorlint // It is ours.
		}
	}
	if says.TimedOut(err) {
		return fault{class: "timeout", passing: true}, true
	}
	return fault{}, false
}

// bodyFault knows that net/http would have sent the request again but for its
// body, or that the body is not as long as Request.ContentLength says.
func bodyFault(err error) (fault, bool) {
	ours := errors.Is(err, errRewind)
	text := err.Error()
	for _, known := range []string{
		"cannot rewind body after connection loss", "after Request.Body was written; define Request.GetBody",
		"http: ContentLength=", "request body larger than specified content length",
	} {
		ours = ours || strings.Contains(text, known)
	}
	return fault{class: "request_body", ours: true}, ours
}

// forbidden returns why net/http would have sent the request again, had
// forbidReplay not kept it from that.
func forbidden(err error) error {
	text, ok := strings.CutPrefix(err.Error(), "http2: Transport: cannot retry err [")
	text, _, whole := strings.Cut(text, "] after Request.Body was written")
	if !ok || !whole {
		return err
	}
	return errors.New(text)
}

// Error codes of HTTP/2, RFC 9113, section 7.
const (
	http2ProtocolError      = 0x1
	http2RefusedStream      = 0x7
	http2EnhanceYourCalm    = 0xb
	http2InadequateSecurity = 0xc
	http2HTTP11Required     = 0xd
)

// http2StreamError is what net/http's own error of that kind, which is not
// exported, lets errors.As find in itself.
type http2StreamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (e http2StreamError) Error() string { return "http2: stream error" }

// http2Names are the codes in the text of the error of golang.org/x/net/http2,
// whose transport may be the Base: that type lets nothing be found in it.
var http2Names = map[string]uint32{
	"PROTOCOL_ERROR":      http2ProtocolError,
	"REFUSED_STREAM":      http2RefusedStream,
	"ENHANCE_YOUR_CALM":   http2EnhanceYourCalm,
	"INADEQUATE_SECURITY": http2InadequateSecurity,
	"HTTP_1_1_REQUIRED":   http2HTTP11Required,
}

// http2Code returns why a stream ended, 0 for a reason that nothing follows from.
func http2Code(err error) (uint32, bool) {
	if stream, ok := errors.AsType[http2StreamError](err); ok {
		return stream.Code, true
	}
	text, ok := afterPrefix(err, "stream error: stream ID ")
	_, text, _ = strings.Cut(text, "; ")
	name, _, _ := strings.Cut(text, "; ")
	return http2Names[name], ok
}

// afterPrefix returns the rest of the text of the first error in err's chain that
// begins with prefix. Elsewhere in a text that may be words of the server's.
func afterPrefix(err error, prefix string) (rest string, ok bool) {
	for ; err != nil; err = errors.Unwrap(err) {
		if rest, ok = strings.CutPrefix(err.Error(), prefix); ok {
			return rest, true
		}
	}
	return "", false
}

func http2Fault(err error) (fault, bool) {
	code, ok := http2Code(err)
	if !ok {
		return fault{}, false
	}
	f := fault{class: "http2_stream_error", passing: true}
	switch code {
	case http2ProtocolError:
		f = fault{class: "http2_protocol_error"}
	case http2InadequateSecurity:
		f = fault{class: "http2_inadequate_security"}
	case http2HTTP11Required:
		f = fault{class: "http2_http_1_1_required"}
	case http2RefusedStream:
		f.class, f.untouched = "http2_refused_stream", true
	case http2EnhanceYourCalm:
		f.class, f.throttled = "http2_enhance_your_calm", true
	}
	return f, true
}

// closedIdle is what net/http says of a connection of HTTP/1 on which nothing was
// under way when the server closed it.
const closedIdle = "http: server closed idle connection"

// knownTexts are errors of net/http that have no type.
var knownTexts = []struct {
	text  string
	fault fault
}{
	// What quotes the server comes first: what it quotes is no promise.
	{"ErrCode=ENHANCE_YOUR_CALM", fault{class: "http2_enhance_your_calm", passing: true, throttled: true}},
	{"server sent GOAWAY and closed the connection", fault{class: "http2_goaway", passing: true}},
	{closedIdle, fault{class: "connection_closed", passing: true}},
	{"transport connection broken", fault{class: "connection_broken", passing: true}},
	{"http2: client connection lost", fault{class: "connection_lost", passing: true}},
	{"http2: client connection force closed", fault{class: "connection_closed", passing: true}},
	{"graceful shutdown GOAWAY", fault{class: "http2_goaway", passing: true, untouched: true}},
	{"http2: client conn not usable", fault{class: "connection_closed", passing: true, untouched: true}},
	{"http2: client conn could not be established", fault{class: "connection_closed", passing: true, untouched: true}},
	{"http2: client conn is closed", fault{class: "connection_closed", passing: true}},
	{"GOAWAY from server ErrCode:PROTOCOL_ERROR", fault{class: "http2_protocol_error", untouched: true}},
	{"GOAWAY from server ErrCode:INADEQUATE_SECURITY", fault{class: "http2_inadequate_security", untouched: true}},
	{"GOAWAY from server ErrCode:HTTP_1_1_REQUIRED", fault{class: "http2_http_1_1_required", untouched: true}},
	{"GOAWAY from server ErrCode:ENHANCE_YOUR_CALM", fault{class: "http2_enhance_your_calm", passing: true, untouched: true, throttled: true}},
	{"GOAWAY from server ErrCode:", fault{class: "http2_goaway", passing: true, untouched: true}},
}

// http3Faults are errors of HTTP/3 by their code, since their types are quic-go's.
var http3Faults = map[string]fault{
	"H3_REQUEST_REJECTED":  {class: "http3_request_rejected", passing: true, untouched: true},
	"H3_EXCESSIVE_LOAD":    {class: "http3_excessive_load", passing: true, throttled: true},
	"H3_REQUEST_CANCELLED": {class: "http3_stream_error", passing: true},
	"H3_INTERNAL_ERROR":    {class: "http3_stream_error", passing: true},
	"H3_NO_ERROR":          {class: "http3_stream_error", passing: true},
}

// http3Code returns the first code of HTTP/3 in text, unless it is one without a
// name: "H3 error (0x33)". What comes after it may be words of the server's.
func http3Code(text string) string {
	_, after, _ := strings.Cut(text, "H3")
	return "H3" + after[:len(after)-len(strings.TrimLeft(after, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"))]
}

func textFault(text string) fault {
	for _, known := range knownTexts {
		if strings.Contains(text, known.text) {
			return known.fault
		}
	}
	if f, ok := http3Faults[http3Code(text)]; ok {
		return f
	}
	if roundtrip.Invalid(text) {
		return fault{class: "invalid_request", local: true}
	}
	return fault{}
}

// schemeMismatch says what http.Client would, which recognises only an error
// that nothing is wrapped around.
func schemeMismatch(err error) error {
	if tlsErr, ok := errors.AsType[tls.RecordHeaderError](err); ok && string(tlsErr.RecordHeader[:]) == "HTTP/" {
		return fmt.Errorf("%w: %w", http.ErrSchemeMismatch, err)
	}
	return err
}
