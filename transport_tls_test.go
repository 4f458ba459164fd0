package redoubt_test

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/redoubttest"
)

// An authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key}
}

// pool returns the roots of a client that trusts a.
func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// certificate returns one for 127.0.0.1, unless change says otherwise.
func (a *authority) certificate(t *testing.T, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test server"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if change != nil {
		change(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: a.key}
}

// tlsServer answers 200, and counts the connections that were opened to it.
func tlsServer(t *testing.T, config *tls.Config) (*httptest.Server, *redoubttest.Conns) {
	t.Helper()
	conns := &redoubttest.Conns{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = conns.ConnState
	server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	server.TLS = config
	server.StartTLS()
	t.Cleanup(server.Close)
	return server, conns
}

// refused sends a request and wants one connection to be tried, and an error
// that says of itself what its class is.
func refused(t *testing.T, rt *redoubt.Transport, address, class string, conns *redoubttest.Conns) error {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	before := conns.Opened()
	resp, err := rt.RoundTrip(req)
	if resp != nil {
		resp.Body.Close()
		t.Fatalf("status %d, want an error", resp.StatusCode)
	}
	var failure *redoubt.SendError
	if !errors.As(err, &failure) || failure.ErrorType() != class || failure.Retryable() {
		t.Errorf("err = %v, want a SendError of class %q", err, class)
	}
	if opened := conns.Opened() - before; opened != 1 {
		t.Errorf("%d connections for a request that can't succeed, want 1 (%v)", opened, err)
	}
	return err
}

func TestTransport_092_UnknownAuthority(t *testing.T) {
	a := newAuthority(t)
	server, conns := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{a.certificate(t, nil)}})
	rt := &redoubt.Transport{Base: &http.Transport{}, Layer: atOnce(3)}
	err := refused(t, rt, server.URL, "certificate", conns)
	var bare *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &bare) || !errors.As(err, &unknown) || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("err = %v, want one that names the unknown authority", err)
	}
	// The control: it is the certificate alone.
	rt.Base = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool()}}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
	send(t, rt, req)
	rt.CloseIdleConnections()
}

func TestTransport_093_ExpiredAndWrongName(t *testing.T) {
	a := newAuthority(t)
	for name, tt := range map[string]struct {
		change func(*x509.Certificate)
		says   func(error) bool
	}{
		"expired": {
			func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) },
			func(err error) bool {
				var invalid x509.CertificateInvalidError
				return errors.As(err, &invalid) && invalid.Reason == x509.Expired && strings.Contains(err.Error(), "expired")
			},
		},
		"not yet valid": {
			func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) },
			func(err error) bool { return strings.Contains(err.Error(), "not yet valid") },
		},
		"wrong name": {
			func(c *x509.Certificate) { c.IPAddresses, c.DNSNames = nil, []string{"billing.internal"} },
			func(err error) bool {
				var wrong x509.HostnameError
				return errors.As(err, &wrong) && strings.Contains(err.Error(), "127.0.0.1")
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, conns := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{a.certificate(t, tt.change)}})
			base := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool()}}
			err := refused(t, &redoubt.Transport{Base: base, Layer: atOnce(3)}, server.URL, "certificate", conns)
			if !tt.says(err) {
				t.Errorf("err = %v, want one that says what is wrong with the certificate", err)
			}
		})
	}
}

func TestTransport_094_NoTLSAtAll(t *testing.T) {
	conns := &redoubttest.Conns{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ConnState = conns.ConnState
	server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	server.Start()
	defer server.Close()
	address := strings.Replace(server.URL, "http:", "https:", 1)
	rt := &redoubt.Transport{Base: &http.Transport{}, Layer: atOnce(3)}
	err := refused(t, rt, address, "tls", conns)
	if _, ok := errors.AsType[tls.RecordHeaderError](err); !ok {
		t.Errorf("err = %v, want a tls.RecordHeaderError", err)
	}
	// http.Client recognises it only if it is bare, so it is up to us to say.
	_, err = (&http.Client{Transport: rt}).Get(address)
	if !errors.Is(err, http.ErrSchemeMismatch) || !strings.Contains(err.Error(), "gave HTTP response to HTTPS client") {
		t.Errorf("err = %v, want http.ErrSchemeMismatch", err)
	}
}

func TestTransport_094_Alerts(t *testing.T) {
	a := newAuthority(t)
	certificate := []tls.Certificate{a.certificate(t, nil)}
	for name, tt := range map[string]struct{ server, client *tls.Config }{
		"no common version": {
			&tls.Config{Certificates: certificate, MaxVersion: tls.VersionTLS12},
			&tls.Config{MinVersion: tls.VersionTLS13},
		},
		"client certificate wanted": {
			&tls.Config{Certificates: certificate, ClientAuth: tls.RequireAndVerifyClientCert},
			&tls.Config{},
		},
		"client certificate wanted, TLS 1.2": {
			&tls.Config{Certificates: certificate, ClientAuth: tls.RequireAndVerifyClientCert, MaxVersion: tls.VersionTLS12},
			&tls.Config{},
		},
		"no common protocol": {
			&tls.Config{Certificates: certificate, NextProtos: []string{"spdy"}},
			&tls.Config{NextProtos: []string{"h2"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			server, conns := tlsServer(t, tt.server)
			tt.client.RootCAs = a.pool()
			rt := &redoubt.Transport{Base: &http.Transport{TLSClientConfig: tt.client}, Layer: atOnce(3)}
			refused(t, rt, server.URL, "tls", conns)
		})
	}
}

// Nothing that a Transport or NewClient has weakens the verification.
func TestTransport_VerificationIsNeverWeakened(t *testing.T) {
	if config := redoubt.NewBase().TLSClientConfig; config != nil {
		t.Errorf("NewBase has TLSClientConfig %+v, want none: the standard library's defaults", config)
	}
	server, _ := tlsServer(t, nil)
	client := redoubt.NewClient("billing")
	_, err := client.Get(server.URL)
	if !errors.As(err, new(*tls.CertificateVerificationError)) {
		t.Errorf("err = %v, want a CertificateVerificationError", err)
	}
	client.CloseIdleConnections()
}

func TestTransport_096_ErrorsOfTheConnection(t *testing.T) {
	for name, tt := range map[string]struct {
		err   error
		class string
	}{
		"refused":            {&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, "connection_refused"},
		"unreachable":        {&net.OpError{Op: "dial", Err: syscall.EHOSTUNREACH}, ""},
		"reset":              {&net.OpError{Op: "read", Err: syscall.ECONNRESET}, "connection_reset"},
		"broken pipe":        {&net.OpError{Op: "write", Err: syscall.EPIPE}, "connection_reset"},
		"EOF":                {io.EOF, "eof"},
		"unexpected EOF":     {fmt.Errorf("net/http: HTTP/1.x transport connection broken: %w", io.ErrUnexpectedEOF), "unexpected_eof"},
		"idle closed":        {errors.New("http: server closed idle connection"), "connection_closed"},
		"broken":             {errors.New("net/http: HTTP/1.x transport connection broken: write: hiccup"), "connection_broken"},
		"lost":               {errors.New("http2: client connection lost"), "connection_lost"},
		"closed":             {net.ErrClosed, "connection_closed"},
		"TLS handshake":      {fakeTimeoutError("net/http: TLS handshake timeout"), "timeout"},
		"awaiting headers":   {fakeTimeoutError("net/http: timeout awaiting response headers"), "timeout"},
		"name server hiccup": {&net.DNSError{Err: "server misbehaving", IsTemporary: true}, "dns"},
		"name server silent": {&net.DNSError{Err: "i/o timeout", IsTimeout: true}, "dns"},
	} {
		t.Run(name, func(t *testing.T) {
			for method, want := range map[string]int{"PUT": 3, "POST": 1} {
				synctest.Test(t, func(t *testing.T) {
					trips := 0
					rt := &redoubt.Transport{Layer: every(time.Second, 3), Base: trip(func(*http.Request) (*http.Response, error) {
						trips++
						return nil, tt.err
					})}
					_, err := rt.RoundTrip(newRequest(t.Context(), t, method, strings.NewReader("order")))
					if op, ok := tt.err.(*net.OpError); ok && op.Op == "dial" {
						want = 3 // nothing was sent
					}
					if trips != want || !errors.Is(err, tt.err) {
						t.Errorf("%s: %d trips, want %d (%v)", method, trips, want, err)
					}
					var failure *redoubt.SendError
					if !errors.As(err, &failure) || tt.class != "" && failure.ErrorType() != tt.class {
						t.Errorf("%s: class %q, want %q", method, failure.ErrorType(), tt.class)
					}
				})
			}
		})
	}
}

type fakeTimeoutError string

func (f fakeTimeoutError) Error() string { return string(f) }
func (fakeTimeoutError) Timeout() bool   { return true }

func TestTransport_096_UnknownNameIsFinal(t *testing.T) {
	trips := 0
	rt := &redoubt.Transport{Layer: atOnce(3), Base: trip(func(*http.Request) (*http.Response, error) {
		trips++
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "nowhere.invalid", IsNotFound: true}}
	})}
	_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	if trips != 1 || err == nil {
		t.Errorf("%d trips, want 1 (%v)", trips, err)
	}
}

// A listener that accepts and says nothing: the handshake never ends.
func TestTransport_096_TLSHandshakeTimeout(t *testing.T) {
	var accepted atomic.Int32
	address := listen(t, func(conn net.Conn) {
		accepted.Add(1)
		_, _ = io.Copy(io.Discard, conn)
	})
	rt := &redoubt.Transport{Base: &http.Transport{TLSHandshakeTimeout: 20 * time.Millisecond}, Layer: atOnce(3)}
	req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://"+address, strings.NewReader("order"))
	_, err := rt.RoundTrip(req)
	var failure *redoubt.SendError
	if !errors.As(err, &failure) || !failure.Timeout() || failure.Sent || accepted.Load() != 3 {
		t.Errorf("err = %v after %d handshakes, want a timeout of a request that was not sent, after 3", err, accepted.Load())
	}
}

// listen has serve talk to each connection, which is closed when it returns or
// the test ends.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		close(done)
		_ = l.Close()
	})
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				<-done
				_ = conn.Close()
			}()
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return l.Addr().String()
}

// The connection is reset, for real: a server that closes with data unread.
func TestTransport_096_ResetOnTheWire(t *testing.T) {
	var accepted atomic.Int32
	address := listen(t, func(conn net.Conn) {
		accepted.Add(1)
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.(*net.TCPConn).SetLinger(0)
	})
	for method, want := range map[string]int32{"DELETE": 3, "POST": 1} {
		accepted.Store(0)
		rt := &redoubt.Transport{Base: &http.Transport{}, Layer: atOnce(3)}
		req, _ := http.NewRequestWithContext(t.Context(), method, "http://"+address, strings.NewReader("order"))
		_, err := rt.RoundTrip(req)
		var failure *redoubt.SendError
		if !errors.As(err, &failure) || !failure.Sent || accepted.Load() != want {
			t.Errorf("%s: %v after %d connections, want %d", method, err, accepted.Load(), want)
		}
	}
}

// A server that closes its half of the connection without a word.
func TestTransport_096_HalfClosed(t *testing.T) {
	var accepted atomic.Int32
	address := listen(t, func(conn net.Conn) {
		if accepted.Add(1) < 3 {
			_ = conn.(*net.TCPConn).CloseWrite()
			_, _ = io.Copy(io.Discard, conn)
			return
		}
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\n\r\n")
		}
	})
	rt := &redoubt.Transport{Base: &http.Transport{}, Layer: atOnce(5), HeaderTimeout: 10 * time.Second}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://"+address, nil)
	if resp := send(t, rt, req); resp.StatusCode != 204 {
		t.Errorf("status %d, want 204", resp.StatusCode)
	}
	rt.CloseIdleConnections()
}

func TestTransport_097_ProxyRefusals(t *testing.T) {
	a := newAuthority(t)
	server, conns := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{a.certificate(t, nil)}})
	for name, tt := range map[string]struct {
		scheme string
		serve  func(net.Conn)
	}{
		"407 to CONNECT": {"http", func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n")
			}
		}},
		"403 to CONNECT": {"http", func(conn net.Conn) {
			if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
				_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
			}
		}},
		"SOCKS without a method": {"socks5", func(conn net.Conn) {
			_, _ = io.ReadFull(conn, make([]byte, 3))
			_, _ = conn.Write([]byte{5, 0xff})
		}},
		"SOCKS with a wrong password": {"socks5", func(conn net.Conn) {
			_, _ = io.ReadFull(conn, make([]byte, 4)) // version, number of methods, two of them
			_, _ = conn.Write([]byte{5, 2})
			_, _ = io.ReadFull(conn, make([]byte, 2+len("user")+1+len("hunter2")))
			_, _ = conn.Write([]byte{1, 1})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			address := listen(t, func(conn net.Conn) {
				asked.Add(1)
				tt.serve(conn)
			})
			proxy := &url.URL{Scheme: tt.scheme, Host: address}
			if !strings.Contains(name, "without") {
				proxy.User = url.UserPassword("user", "hunter2")
			}
			base := &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: a.pool()}}
			rt := &redoubt.Transport{Base: base, Layer: atOnce(3)}
			req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
			_, err := rt.RoundTrip(req)
			if err == nil || asked.Load() != 1 || conns.Opened() != 0 {
				t.Errorf("err = %v, proxy asked %d times, want an error after once", err, asked.Load())
			}
			if err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the proxy's password is in the error: %v", err)
			}
		})
	}
}

// A proxy that is not there is like a server that is not there.
func TestTransport_097_ProxyIsDown(t *testing.T) {
	var dials atomic.Int32
	base := &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: refusedAddress(t), User: url.UserPassword("user", "hunter2")}),
	}
	conns := &redoubttest.Conns{}
	dial := conns.DialContext(nil)
	base.DialContext = dial
	rt := &redoubt.Transport{Base: base, Layer: atOnce(3), Prepare: func(*http.Request) error { dials.Add(1); return nil }}
	_, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order")))
	if !errors.Is(err, syscall.ECONNREFUSED) || dials.Load() != 3 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("err = %v after %d attempts, want refused after 3", err, dials.Load())
	}
}

func TestTransport_098_UnknownErrors(t *testing.T) {
	unknown := errors.New("what is this?")
	for _, method := range []string{"GET", "PUT", "POST"} {
		trips := 0
		rt := &redoubt.Transport{Layer: atOnce(3), Base: trip(func(*http.Request) (*http.Response, error) {
			trips++
			return nil, unknown
		})}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, method, strings.NewReader("order")))
		var failure *redoubt.SendError
		if trips != 1 || !errors.Is(err, unknown) || !errors.As(err, &failure) || failure.ErrorType() != "_OTHER" || !failure.Sent {
			t.Errorf("%s: %v after %d trips, want the error after 1", method, err, trips)
		}
	}
}

// An error that speaks for itself is believed, as far as that is safe.
func TestTransport_098_ErrorsThatSpeakForThemselves(t *testing.T) {
	for method, want := range map[string]int{"PUT": 3, "POST": 1} {
		trips := 0
		rt := &redoubt.Transport{Layer: atOnce(3), Base: trip(func(*http.Request) (*http.Response, error) {
			trips++
			return nil, outspoken{}
		})}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, method, strings.NewReader("order")))
		if trips != want || !errors.Is(err, outspoken{}) {
			t.Errorf("%s: %v after %d trips, want %d", method, err, trips, want)
		}
	}
}

type outspoken struct{}

func (outspoken) Error() string   { return "try again" }
func (outspoken) Retryable() bool { return true }

// A connection that was idle turns out to be closed before anything is written
// to it. Nothing was sent, so that even a POST can be sent again.
func TestTransport_096_ClosedBeforeTheFirstByte(t *testing.T) {
	trips := 0
	rt := &redoubt.Transport{Layer: atOnce(3), Base: trip(func(r *http.Request) (*http.Response, error) {
		trace := httptrace.ContextClientTrace(r.Context())
		trace.GetConn("example.com:80")
		if trips++; trips < 3 {
			trace.GotConn(httptrace.GotConnInfo{Reused: true})
			return nil, errors.New("http: server closed idle connection")
		}
		return answer(r, 200, ""), nil
	})}
	if resp := send(t, rt, newRequest(t.Context(), t, "POST", strings.NewReader("order"))); resp.StatusCode != 200 || trips != 3 {
		t.Errorf("status %d after %d trips, want 200 after 3", resp.StatusCode, trips)
	}
}
