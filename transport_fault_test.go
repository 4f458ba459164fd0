package redoubt_test

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
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
)

// A spoken is an error of Base that speaks for itself.
type spoken struct{ retryable, rejected bool }

func (spoken) Error() string     { return "spoken" }
func (e spoken) Retryable() bool { return e.retryable }
func (e spoken) Rejected() bool  { return e.rejected }

// TestTransport_Faults: what becomes of the errors of Base, for a GET. That the
// texts are net/http's own, other tests see where it can be made to say them.
func TestTransport_Faults(t *testing.T) {
	errno := func(n syscall.Errno) error { return &net.OpError{Op: "read", Err: os.NewSyscallError("read", n)} }
	dialing := func(err error) error { return &net.OpError{Op: "dial", Err: err} }
	text := errors.New
	type verdict struct {
		class                                    string
		retryable, sent, throttled, rejected, ok bool // ok unless the dependency failed
		fresh                                    bool // another attempt wants another connection
	}
	passing := func(class string) verdict { return verdict{class: class, retryable: true, sent: true} }
	final := func(class string) verdict { return verdict{class: class, sent: true} }
	untouched := func(class string) verdict { return verdict{class: class, retryable: true} }
	tests := []struct {
		name string
		err  error
		want verdict
	}{
		{"a name that takes too long", dialing(&net.DNSError{Err: "x", IsTimeout: true}), untouched("dns")},
		{"a name server in trouble", dialing(&net.DNSError{Err: "x", IsTemporary: true}), untouched("dns")},
		{"no such name", dialing(&net.DNSError{Err: "x", IsNotFound: true}), verdict{class: "dns"}},
		{"no such name at the moment", dialing(&net.DNSError{Err: "x", IsNotFound: true, IsTemporary: true}), verdict{class: "dns"}},
		{"a name that makes no sense", dialing(&net.DNSError{Err: "x"}), verdict{class: "dns"}},
		{"aborted", errno(syscall.ECONNABORTED), passing("_OTHER")},
		{"no route to the network", errno(syscall.ENETUNREACH), passing("_OTHER")},
		{"no route to the host", errno(syscall.EHOSTUNREACH), passing("_OTHER")},
		{"broken pipe", errno(syscall.EPIPE), passing("connection_reset")},
		{"silence of the network", errno(syscall.ETIMEDOUT), passing("timeout")},
		{"silence", os.ErrDeadlineExceeded, verdict{class: "timeout", retryable: true, sent: true, fresh: true}},
		{"a certificate that is refused", &tls.CertificateVerificationError{Err: text("x")}, final("certificate")},
		{"an unknown authority", x509.UnknownAuthorityError{}, final("certificate")},
		{"another host's certificate", x509.HostnameError{Certificate: &x509.Certificate{}, Host: "a.example"}, final("certificate")},
		{"an old certificate", x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired}, final("certificate")},
		{"an alert", tls.AlertError(40), final("tls")},
		{"an alert of ours", &net.OpError{Op: "local error", Err: text("tls: x")}, final("tls")},
		{"an alert of theirs", &net.OpError{Op: "remote error", Err: text("tls: x")}, final("tls")},
		{"no TLS", tls.RecordHeaderError{Msg: "x", RecordHeader: [5]byte{'S', 'S', 'H', '-', '2'}}, final("tls")},
		{"closed idle", text("http: server closed idle connection"), passing("connection_closed")},
		{"broken", text("net/http: HTTP/1.x transport connection broken: x"), passing("connection_broken")},
		{"lost", text("http2: client connection lost"), passing("connection_lost")},
		{"closed by force", text("http2: client connection force closed via ClientConn.Close"), passing("connection_closed")},
		{"goes away", text("http2: Transport received Server's graceful shutdown GOAWAY"), untouched("http2_goaway")},
		{"not usable", text("http2: client conn not usable"), untouched("connection_closed")},
		{"not established", text("http2: client conn could not be established"), untouched("connection_closed")},
		{"closed", text("http2: client conn is closed"), passing("connection_closed")},
		{"went away", text("http2: server sent GOAWAY and closed the connection; x"), passing("http2_goaway")},
		{"speaks for itself", spoken{retryable: true}, passing("_OTHER")},
		{"speaks against it", spoken{}, final("_OTHER")},
		{"refused by a layer further in", spoken{retryable: true, rejected: true}, verdict{class: "_OTHER", retryable: true, rejected: true, ok: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var failure *redoubt.SendError
			trips, fresh := 0, false
			rt := &redoubt.Transport{
				Base: trip(func(r *http.Request) (*http.Response, error) {
					if trips++; trips > 1 {
						fresh = r.Close
						return answer(r, 200, ""), nil
					}
					return nil, tt.err
				}),
				Layer: redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
					err := call(ctx)
					if !errors.As(err, &failure) || !errors.Is(err, tt.err) {
						t.Fatalf("%v, want a SendError around %v", err, tt.err)
					}
					return call(ctx)
				}),
			}
			resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
			if err == nil {
				resp.Body.Close()
			}
			got := verdict{
				failure.ErrorType(), failure.Retryable(), failure.Sent, failure.Throttled(),
				failure.Rejected(), !failure.DependencyFailure(), fresh,
			}
			if got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if errors.Is(failure, http.ErrSchemeMismatch) {
				t.Errorf("it says that the server speaks HTTP: %v", failure)
			}
		})
	}
}

// TestTransport_FaultAfterTheUpload: that a body ended is no fault of the body.
func TestTransport_FaultAfterTheUpload(t *testing.T) {
	rt := &redoubt.Transport{Base: trip(func(r *http.Request) (*http.Response, error) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		return nil, io.ErrUnexpectedEOF
	})}
	resp, err := rt.RoundTrip(newRequest(t.Context(), t, "PUT", strings.NewReader("order")))
	var failure *redoubt.SendError
	if !errors.As(err, &failure) || !failure.Retryable() || !failure.DependencyFailure() || failure.ErrorType() == "request_body" {
		t.Errorf("response %v, error %#v, want a failure of the dependency", resp, err)
	}
}

// An idler is a Base of which nothing is known but that it has connections.
type idler struct {
	trip

	closes int
}

func (b *idler) CloseIdleConnections() { b.closes++ }

// TestTransport_010_MisdirectedRequestOfAnotherBase: what can't be asked for
// another connection has its idle ones closed once, unless the one in question is
// closed already.
func TestTransport_010_MisdirectedRequestOfAnotherBase(t *testing.T) {
	for _, tt := range []struct {
		name  string
		major int
		body  string
		want  int
	}{
		{"HTTP/1, without a body", 1, "", 1},
		{"HTTP/1, its body not read", 1, "misdirected", 0},
		{"HTTP/2, without a body", 2, "", 1},
		{"HTTP/2, its body not read", 2, "misdirected", 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var fresh []bool
			content := &body{Reader: strings.NewReader(tt.body)}
			base := &idler{trip: func(r *http.Request) (*http.Response, error) {
				fresh = append(fresh, r.Close)
				resp := answer(r, http.StatusMisdirectedRequest, "")
				resp.ProtoMajor, resp.ContentLength, resp.Body = tt.major, int64(len(tt.body)), content
				if tt.body == "" {
					resp.Body = http.NoBody
				}
				return resp, nil
			}}
			stubborn := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
				_, _ = call(ctx), call(ctx)
				return call(ctx)
			})
			rt := &redoubt.Transport{Base: base, Layer: stubborn}
			resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
			if err != nil || resp.StatusCode != http.StatusMisdirectedRequest {
				t.Fatalf("response %v, error %v; want 421", resp, err)
			}
			reads := content.reads.Load()
			resp.Body.Close()
			if base.closes != tt.want || !slices.Equal(fresh, []bool{false, true, true}) || reads != 0 {
				t.Errorf("idle connections closed %d times, new ones wanted: %t, %d reads of bodies; want %d, [false true true], 0", base.closes, fresh, reads, tt.want)
			}
		})
	}
}

// TestTransport_LayerFailsAfterSuccess: the last word is the layers'.
func TestTransport_LayerFailsAfterSuccess(t *testing.T) {
	late := errors.New("too late")
	content := &body{Reader: strings.NewReader("paid")}
	rt := &redoubt.Transport{
		Base: trip(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, "")
			resp.Body, resp.ContentLength = content, 4
			return resp, nil
		}),
		Layer: redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
			return errors.Join(call(ctx), late)
		}),
	}
	resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	if !errors.Is(err, late) || resp != nil || content.closes.Load() == 0 {
		t.Errorf("response %v, error %v, body closed %d times; want the layer's error alone", resp, err, content.closes.Load())
	}
}

// TestTransport_LastWord: if Base refuses to send a request again, the server's
// answer of before is the last word, if all of it is there.
func TestTransport_LastWord(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		drain int64
		want  bool
	}{
		{"refused", spoken{rejected: true}, 0, true},
		{"refused after a response that was not read", spoken{rejected: true}, redoubt.NoDrain, false},
		{"failed", io.ErrUnexpectedEOF, 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trips := 0
			rt := &redoubt.Transport{Layer: atOnce(2), MaxDrain: tt.drain, Base: trip(func(r *http.Request) (*http.Response, error) {
				if trips++; trips > 1 {
					return nil, tt.err
				}
				return answer(r, 503, "busy"), nil
			})}
			resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
			if !tt.want {
				if !errors.Is(err, tt.err) {
					t.Errorf("response %v, error %v; want %v", resp, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if text, err := io.ReadAll(resp.Body); resp.StatusCode != 503 || string(text) != "busy" || err != nil {
				t.Errorf("%d %q, %v; want 503 busy", resp.StatusCode, text, err)
			}
		})
	}
}

// TestTransport_011_OtherExpectations: 417 is an answer like another unless the
// request expects 100-continue, and has a body that can be had again.
func TestTransport_011_OtherExpectations(t *testing.T) {
	for _, tt := range []struct {
		name   string
		method string
		expect string
		want   int
	}{
		{"nothing expected", "GET", "", 1},
		{"something else expected", "GET", "200-ok", 1},
		{"100-continue expected for ever", "GET", "100-Continue", 2},
	} {
		trips := 0
		rt := &redoubt.Transport{Base: trip(func(r *http.Request) (*http.Response, error) {
			trips++
			return answer(r, http.StatusExpectationFailed, ""), nil
		})}
		req := newRequest(t.Context(), t, tt.method, nil)
		if tt.expect != "" {
			req.Header.Set("Expect", tt.expect)
		}
		if resp := send(t, rt, req); resp.StatusCode != http.StatusExpectationFailed || trips != tt.want {
			t.Errorf("%s: status %d after %d trips, want 417 after %d", tt.name, resp.StatusCode, trips, tt.want)
		}
	}
}

// TestTransport_GetBodyFails: an attempt whose body can't be had is not sent.
func TestTransport_GetBodyFails(t *testing.T) {
	gone := errors.New("file is gone")
	trips := 0
	rt := &redoubt.Transport{Layer: atOnce(3), Base: trip(func(r *http.Request) (*http.Response, error) {
		trips++
		return answer(r, 503, ""), nil
	})}
	req := newRequest(t.Context(), t, "PUT", strings.NewReader("order"))
	req.GetBody = func() (io.ReadCloser, error) { return nil, gone }
	resp, err := rt.RoundTrip(req)
	var failure *redoubt.SendError
	if !errors.Is(err, gone) || !errors.As(err, &failure) || failure.Sent || trips != 1 {
		t.Errorf("response %v, error %v after %d trips; want %v after 1", resp, err, trips, gone)
	}
}

// TestTransport_SilentBase: a Base that breaks its promise is not believed.
func TestTransport_SilentBase(t *testing.T) {
	rt := &redoubt.Transport{Base: trip(func(*http.Request) (*http.Response, error) { return nil, nil })}
	resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	if resp != nil || err == nil || !strings.Contains(err.Error(), "Base returned neither response nor error") {
		t.Errorf("response %v, error %v", resp, err)
	}
	rt.Base = trip(func(r *http.Request) (*http.Response, error) { return &http.Response{StatusCode: 200, Request: r}, nil })
	resp, err = rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	if err != nil || resp.Body == nil {
		t.Fatalf("response %+v, error %v; want one with a body", resp, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
	content := &body{Reader: strings.NewReader("")}
	boom := errors.New("boom")
	rt.Base = trip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Request: r, Body: content}, boom
	})
	resp, err = rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	if resp != nil || !errors.Is(err, boom) || content.closes.Load() == 0 {
		t.Errorf("response %v, error %v, body closed %d times; want the error alone", resp, err, content.closes.Load())
	}
}

func TestTransport_CheckFields(t *testing.T) {
	for want, rt := range map[string]*redoubt.Transport{
		"HeaderTimeout is -1ns, must not be negative":                  {HeaderTimeout: -1},
		"StallTimeout is -2ns, must be NoStallTimeout or not negative": {StallTimeout: -2},
		"MaxDrain is -2, must be NoDrain or not negative":              {MaxDrain: -2},
		"MaxRequestBuffer is -1, must not be negative":                 {MaxRequestBuffer: -1},
		"MaxResponseBuffer is -1, must not be negative":                {MaxResponseBuffer: -1},
		"DeadlineHeader is a b, must be the name of a header":          {DeadlineHeader: "a b"},
		"AttemptHeader is a:b, must be the name of a header":           {AttemptHeader: "a:b"},
		"RetryAfterMillis is , must hold names of headers":             {RetryAfterMillis: []string{"X-Wait", ""}},
		"RetryRejected is 399, must hold statuses from 400 to 599":     {RetryRejected: []int{400, 599, 399}},
		"RetryRejected is 600, must hold statuses from 400 to 599":     {RetryRejected: []int{600}},
	} {
		if err := rt.Check(); err == nil || err.Error() != "redoubt: Transport: "+want {
			t.Errorf("Check() = %v, want %s", err, want)
		}
	}
	rt := &redoubt.Transport{StallTimeout: redoubt.NoStallTimeout, MaxDrain: redoubt.NoDrain, RetryRejected: []int{400, 599}}
	if err := rt.Check(); err != nil {
		t.Errorf("Check() = %v, want nil", err)
	}
}

// TestStatusError: its text and what it tells layers.
func TestStatusError(t *testing.T) {
	for _, tt := range []struct {
		status int
		header string
		want   string
		after  time.Duration
	}{
		{503, "", "GET http://example.com/path: 503 Service Unavailable", 0},
		{503, "2", "GET http://example.com/path: 503 Service Unavailable", 2 * time.Second},
		{599, "", "GET http://example.com/path: 599", 0},
	} {
		var got *redoubt.StatusError
		rt := &redoubt.Transport{
			Base: trip(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, tt.status, "")
				if tt.header != "" {
					resp.Header.Set("Retry-After", tt.header)
				}
				return resp, nil
			}),
			Failure: func(resp *http.Response) bool { return resp.StatusCode >= 500 },
			Layer: redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
				err := call(ctx)
				if !errors.As(err, &got) {
					t.Fatalf("%d: %v", tt.status, err)
				}
				return err
			}),
		}
		req := newRequest(t.Context(), t, "GET", nil)
		req.Method = "" // which means GET
		send(t, rt, req)
		after, told := got.RetryAfter()
		if got.Error() != tt.want || !got.Retryable() || !got.DependencyFailure() || after != tt.after || told != (tt.after > 0) {
			t.Errorf("%v, retryable %t, %v, %t; want %s, %v", got, got.Retryable(), after, told, tt.want, tt.after)
		}
	}
}

func TestTimeoutError(t *testing.T) {
	for phase, want := range map[redoubt.Phase]string{
		redoubt.PhaseConnect: "redoubt: no connection within 1s",
		redoubt.PhaseWrite:   "redoubt: no progress in writing the request within 1s",
		redoubt.PhaseHeaders: "redoubt: no response headers within 1s",
		redoubt.PhaseBody:    "redoubt: no more of the response body within 1s",
	} {
		err := &redoubt.TimeoutError{Phase: phase, Limit: time.Second}
		if err.Error() != want || !err.Timeout() || err.ErrorType() != "timeout" || !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			t.Errorf("%v, %t, %s; want %s", err, err.Timeout(), err.ErrorType(), want)
		}
	}
}
