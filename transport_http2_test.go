package redoubt_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/timeout"
)

// Types of frames, RFC 9113, section 6.
const (
	frameData         = 0x0
	frameHeaders      = 0x1
	frameReset        = 0x3
	frameSettings     = 0x4
	framePing         = 0x6
	frameGoAway       = 0x7
	flagEnd           = 0x1 // of a stream; also the acknowledgement
	flagEndHeaders    = 0x4
	refusedStream     = 0x7
	enhanceYourCalm   = 0xb
	http11Required    = 0xd
	protocolError     = 0x1
	internalError     = 0x2
	inadequateSecurty = 0xc
)

// An h2 is a server of HTTP/2 that does what a handler would never do. It
// speaks over net.Pipe, without TLS.
type h2 struct {
	// serve is called for each request, on the connection's own goroutine.
	serve func(c *h2conn, stream uint32)

	settings []byte // of the server

	mu       sync.Mutex
	requests []uint32 // streams
	conns    []*h2conn
	closed   bool
}

// An h2conn is a connection of an h2.
type h2conn struct {
	net.Conn

	n    int // from 1
	out  chan []byte
	done chan struct{}
	mute atomic.Bool // neither answers nor acknowledges any more
}

// transport returns one that has its connections to the server.
func (h *h2) transport(t *testing.T) *http.Transport {
	base := &http.Transport{Protocols: new(http.Protocols)}
	base.Protocols.SetUnencryptedHTTP2(true)
	base.DialContext = func(context.Context, string, string) (net.Conn, error) {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.closed { // net/http may dial after the test, for a request that got another connection
			return nil, net.ErrClosed
		}
		near, far := net.Pipe()
		c := &h2conn{Conn: far, n: len(h.conns) + 1, out: make(chan []byte, 1000), done: make(chan struct{})}
		h.conns = append(h.conns, c)
		go h.read(c)
		go c.write()
		return near, nil
	}
	t.Cleanup(func() {
		base.CloseIdleConnections()
		h.mu.Lock()
		defer h.mu.Unlock()
		h.closed = true
		for _, c := range h.conns {
			_ = c.Close()
		}
	})
	return base
}

func (h *h2) read(c *h2conn) {
	defer close(c.done)
	defer c.Close()
	preface := make([]byte, 24)
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	c.frame(frameSettings, 0, 0, h.settings)
	for {
		header := make([]byte, 9)
		if _, err := io.ReadFull(c, header); err != nil {
			return
		}
		payload := make([]byte, int(header[0])<<16|int(header[1])<<8|int(header[2]))
		if _, err := io.ReadFull(c, payload); err != nil {
			return
		}
		kind, flags, stream := header[3], header[4], binary.BigEndian.Uint32(header[5:])
		switch {
		case c.mute.Load():
		case kind == frameSettings && flags&flagEnd == 0:
			c.frame(frameSettings, flagEnd, 0, nil)
		case kind == framePing && flags&flagEnd == 0:
			c.frame(framePing, flagEnd, 0, payload)
		case kind == frameHeaders:
			h.mu.Lock()
			h.requests = append(h.requests, stream)
			h.mu.Unlock()
			h.serve(c, stream)
		}
	}
}

// write is a goroutine of its own: net.Pipe has no buffer, and two ends that
// only write would wait for ever.
func (c *h2conn) write() {
	for {
		select {
		case frame := <-c.out:
			if frame == nil {
				_ = c.Close()
				return
			}
			_, _ = c.Write(frame)
		case <-c.done:
			return
		}
	}
}

// frame sends a frame.
func (c *h2conn) frame(kind, flags byte, stream uint32, payload []byte) {
	frame := []byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), kind, flags}
	frame = binary.BigEndian.AppendUint32(frame, stream)
	c.send(append(frame, payload...))
}

func (c *h2conn) send(frame []byte) {
	select {
	case c.out <- frame:
	case <-c.done:
	}
}

// ok answers 200, which is entry 8 of HPACK's static table, with a body.
func (c *h2conn) ok(stream uint32, body string) {
	c.frame(frameHeaders, flagEndHeaders, stream, []byte{0x88})
	c.frame(frameData, flagEnd, stream, []byte(body))
}

// status answers with that status, which is entry 8's name with another value, and
// no body.
func (c *h2conn) status(stream uint32, code string) {
	c.frame(frameHeaders, flagEnd|flagEndHeaders, stream, append([]byte{0x08, byte(len(code))}, code...))
}

func (c *h2conn) reset(stream, code uint32) {
	c.frame(frameReset, 0, stream, binary.BigEndian.AppendUint32(nil, code))
}

// goAway says that streams after the last are not processed.
func (c *h2conn) goAway(last, code uint32) {
	c.frame(frameGoAway, 0, 0, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, last), code))
}

// close closes the connection after what was sent.
func (c *h2conn) close() { c.send(nil) }

func (h *h2) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.requests)
}

func (h *h2) opened() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.conns)
}

// In a table of its own: what a POST meets that no server acted on.
func TestTransport_007_UnprocessedStreams(t *testing.T) {
	for name, fail := range map[string]func(c *h2conn, stream uint32){
		"refused stream": func(c *h2conn, stream uint32) { c.reset(stream, refusedStream) },
		"goaway before the stream": func(c *h2conn, _ uint32) {
			c.goAway(0, 0)
		},
	} {
		for _, again := range []bool{true, false} {
			t.Run(fmt.Sprint(name, " ", again), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var h h2
					h.serve = func(c *h2conn, stream uint32) {
						if h.count() <= 1 {
							fail(c, stream)
							return
						}
						c.ok(stream, "done")
					}
					rt := &redoubt.Transport{Base: h.transport(t), Layer: every(time.Second, 3), MaxRequestBuffer: 1 << 10}
					var content io.Reader = strings.NewReader("order")
					if !again {
						content = &body{Reader: content}
					}
					if resp := send(t, rt, newRequest(t.Context(), t, "POST", content)); resp.StatusCode != 200 || h.count() != 2 {
						t.Errorf("status %d after %d requests, want 200 after 2", resp.StatusCode, h.count())
					}
				})
			})
		}
	}
}

// With an error code too, GOAWAY says that later streams were not processed. On the
// first stream of a connection net/http leaves that to us.
func TestTransport_007_GoAwayWithAnError(t *testing.T) {
	for _, tt := range []struct {
		code      uint32
		class     string
		retryable bool
		throttled bool
	}{
		{internalError, "http2_goaway", true, false},
		{enhanceYourCalm, "http2_enhance_your_calm", true, true},
		{protocolError, "http2_protocol_error", false, false},
		{inadequateSecurty, "http2_inadequate_security", false, false},
		{http11Required, "http2_http_1_1_required", false, false},
	} {
		t.Run(tt.class, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := h2{serve: func(c *h2conn, _ uint32) { c.goAway(0, tt.code) }}
				rt := &redoubt.Transport{Base: h.transport(t)}
				_, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order")))
				var failure *redoubt.SendError
				if !errors.As(err, &failure) || failure.ErrorType() != tt.class || failure.Sent ||
					failure.Retryable() != tt.retryable || failure.Throttled() != tt.throttled {
					t.Errorf("err = %#v, want class %q, not sent, retryable %t, throttled %t", err, tt.class, tt.retryable, tt.throttled)
				}
			})
		})
	}
}

// net/http itself repeats a refused stream, with waits that double. A limit on
// the attempt ends that, and the retry doesn't multiply it.
func TestTransport_115_RefusedForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := h2{serve: func(c *h2conn, stream uint32) { c.reset(stream, refusedStream) }}
		rt := &redoubt.Transport{Base: h.transport(t), HeaderTimeout: 5 * time.Second, Layer: every(time.Second, 3)}
		start := time.Now()
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order")))
		var failure *redoubt.SendError
		if took := time.Since(start); !errors.As(err, &failure) || took > 20*time.Second || h.count() > 20 {
			t.Errorf("%v after %v and %d requests, want an error within three times 5s", err, took, h.count())
		}
	})
}

// Without any limit of ours net/http gives up by itself; that is one attempt.
func TestTransport_115_RefusedWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := h2{serve: func(c *h2conn, stream uint32) { c.reset(stream, refusedStream) }}
		rt := &redoubt.Transport{Base: h.transport(t)}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order")))
		var failure *redoubt.SendError
		if !errors.As(err, &failure) || failure.ErrorType() != "http2_refused_stream" || failure.Sent || !failure.Retryable() {
			t.Errorf("err = %#v, want a refused stream that was not processed", failure)
		}
	})
}

// After a timeout we ask for a new connection, and net/http answers a refusal on it
// with another at once, as it does GOAWAY in any case. The next attempt keeps it
// from that, waits as attempts do, and hears the server's reason.
func TestTransport_115_RefusedOnNewConnections(t *testing.T) {
	refuse := func(c *h2conn, stream uint32) { c.reset(stream, refusedStream) }
	leave := func(c *h2conn, _ uint32) { c.goAway(0, 0) }
	for _, tt := range []struct {
		class    string
		fail     func(c *h2conn, stream uint32)
		silent   bool          // to the first request
		recovery time.Duration // 0 for never
	}{
		{"http2_refused_stream", refuse, true, 0},
		{"http2_refused_stream", refuse, true, 8 * time.Second},
		{"http2_goaway", leave, true, 0},
		{"http2_goaway", leave, false, 0},
		{"http2_goaway", leave, false, 2 * time.Second},
	} {
		for method, content := range map[string]string{"GET": "", "PUT": "order", "POST": "", "DELETE": ""} {
			t.Run(fmt.Sprint(tt.class, tt.silent, tt.recovery, method), func(t *testing.T) {
				// What has no body and is not GET goes on to a second new connection, at
				// which it is stopped. Only net/http has heard why.
				class, sent, each := tt.class, false, 1
				if content == "" && method != "GET" {
					class, sent, each = "http2_stream_error", true, 2
				}
				most := 4 + 3*each
				if tt.silent {
					most = 1 + 4 + 2*each
				}
				synctest.Test(t, func(t *testing.T) {
					start := time.Now()
					var h h2
					h.serve = func(c *h2conn, stream uint32) {
						switch {
						case tt.silent && h.count() == 1:
						case tt.recovery > 0 && time.Since(start) >= tt.recovery:
							c.ok(stream, "done")
						default:
							tt.fail(c, stream)
						}
					}
					rt := &redoubt.Transport{Base: h.transport(t), HeaderTimeout: 5 * time.Second, Layer: every(time.Second, 4)}
					req := newRequest(redoubt.WithIdempotent(t.Context()), t, method, strings.NewReader(content))
					resp, err := rt.RoundTrip(req)
					// Each attempt may end while net/http dials what nobody will use.
					if h.count() > most || h.opened() > most+4 {
						t.Errorf("%d requests over %d connections, want at most %d, each over one of its own", h.count(), h.opened(), most)
					}
					if tt.recovery > 0 {
						if err != nil || time.Since(start) != tt.recovery {
							t.Errorf("%v, %v after %v, want an answer after %v", resp, err, time.Since(start), tt.recovery)
						}
						return
					}
					failure, ok := errors.AsType[*redoubt.SendError](err)
					if !ok || failure.ErrorType() != class || failure.Sent != sent || !failure.Retryable() {
						t.Errorf("err = %#v, want class %q, sent %t, retryable", err, class, sent)
					}
				})
			})
		}
	}
}

// Where no connection was had, there is none that another should be asked for, and
// so nothing is said of a POST that is refused then but that.
func TestTransport_115_RefusedAfterALateConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := h2{serve: func(c *h2conn, stream uint32) { c.reset(stream, refusedStream) }}
		base := h.transport(t)
		dial := base.DialContext
		var attempts atomic.Int32
		base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			if attempts.Load() == 1 {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return dial(ctx, network, address)
		}
		rt := &redoubt.Transport{
			Base: base, HeaderTimeout: time.Hour, Layer: redoubt.Stack{every(time.Second, 2), timeout.Limit(10 * time.Minute)},
			Prepare: func(*http.Request) error { attempts.Add(1); return nil },
		}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order")))
		failure, ok := errors.AsType[*redoubt.SendError](err)
		if !ok || failure.ErrorType() != "http2_refused_stream" || failure.Sent || attempts.Load() != 2 || h.opened() != 1 {
			t.Errorf("err = %#v after %d attempts and %d connections, want a refused stream after 2 and 1", err, attempts.Load(), h.opened())
		}
	})
}

// Who wants a request to be sent once hears what became of it, not how it could
// have been sent again.
func TestTransport_006_RefusedOnce(t *testing.T) {
	for _, method := range []string{"GET", "PUT"} {
		synctest.Test(t, func(t *testing.T) {
			h := h2{serve: func(c *h2conn, stream uint32) { c.reset(stream, refusedStream) }}
			br := oneFailure()
			rt := &redoubt.Transport{Base: h.transport(t), Layer: redoubt.Stack{every(time.Second, 3), br}}
			var content io.Reader
			if method == "PUT" {
				content = strings.NewReader("order")
			}
			_, err := rt.RoundTrip(newRequest(redoubt.WithoutRetry(t.Context()), t, method, content))
			failure, ok := errors.AsType[*redoubt.SendError](err)
			if !ok || failure.ErrorType() != "http2_refused_stream" || failure.Sent || failure.Retryable() ||
				h.count() != 1 || br.State() != breaker.Open || strings.Contains(err.Error(), "GetBody") {
				t.Errorf("%s: err = %#v after %d requests, breaker %v, want one refused stream", method, err, h.count(), br.State())
			}
		})
	}
}

func TestTransport_116_119_StreamErrors(t *testing.T) {
	for _, tt := range []struct {
		code      uint32
		class     string
		sends     int // of a GET, by us; net/http may add its own
		throttled bool
	}{
		{internalError, "http2_stream_error", 3, false},
		{enhanceYourCalm, "http2_enhance_your_calm", 3, true},
		{http11Required, "http2_http_1_1_required", 1, false},
		{inadequateSecurty, "http2_inadequate_security", 1, false},
	} {
		t.Run(tt.class, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := h2{serve: func(c *h2conn, stream uint32) { c.reset(stream, tt.code) }}
				attempts := 0
				rt := &redoubt.Transport{
					Base: h.transport(t), Layer: every(time.Second, 3),
					Prepare: func(*http.Request) error { attempts++; return nil },
				}
				_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
				var failure *redoubt.SendError
				if !errors.As(err, &failure) || failure.ErrorType() != tt.class || failure.Throttled() != tt.throttled || attempts != tt.sends {
					t.Errorf("err = %v after %d attempts, want class %q after %d", err, attempts, tt.class, tt.sends)
				}
				// The type is not exported; its shape is what errors.As goes by.
				var stream http2Error
				if !errors.As(err, &stream) || stream.Code != tt.code || stream.StreamID == 0 {
					t.Errorf("err = %v, want a stream error with code %d", err, tt.code)
				}
				attempts = 0
				_, err = rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order")))
				if err == nil || attempts != 1 {
					t.Errorf("POST: %v after %d attempts, want an error after 1", err, attempts)
				}
			})
		})
	}
}

// A Base may be the transport of golang.org/x/net/http2, or that of HTTP/3 in
// quic-go. Neither is a dependency of this module: the texts are theirs.
func TestTransport_116_119_StreamErrorsOfOtherBases(t *testing.T) {
	for _, tt := range []struct {
		text, class string
		get, post   int // sends
		throttled   bool
	}{
		{"stream error: stream ID 1; INTERNAL_ERROR; received from peer", "http2_stream_error", 3, 1, false},
		{"stream error: stream ID 1; CANCEL", "http2_stream_error", 3, 1, false},
		{"stream error: stream ID 1; REFUSED_STREAM; received from peer", "http2_refused_stream", 3, 3, false},
		{"stream error: stream ID 1; ENHANCE_YOUR_CALM; received from peer", "http2_enhance_your_calm", 3, 1, true},
		{"stream error: stream ID 1; PROTOCOL_ERROR", "http2_protocol_error", 1, 1, false},
		{"stream error: stream ID 1; HTTP_1_1_REQUIRED; received from peer", "http2_http_1_1_required", 1, 1, false},
		{"http3: parsing frame failed: H3_INTERNAL_ERROR", "http3_stream_error", 3, 1, false},
		{"http3: parsing frame failed: H3_REQUEST_CANCELLED", "http3_stream_error", 3, 1, false},
		{"http3: parsing frame failed: H3_REQUEST_REJECTED", "http3_request_rejected", 3, 3, false},
		{"http3: parsing frame failed: H3_EXCESSIVE_LOAD", "http3_excessive_load", 3, 1, true},
		{"http3: parsing frame failed: H3_VERSION_FALLBACK", "_OTHER", 1, 1, false},
		{"CRYPTO_ERROR 0x12a (remote): tls: bad certificate", "tls", 1, 1, false},
		{`http3: invalid http header field name "a b"`, "invalid_request", 1, 1, false},
		{"http3: invalid response: malformed", "_OTHER", 1, 1, false},
		{"http2: unsupported scheme", "invalid_request", 1, 1, false},

		// A server that talks like this may have acted on the request.
		{`net/http: HTTP/1.x transport connection broken: malformed HTTP response "stream error: stream ID 1; REFUSED_STREAM"`, "connection_broken", 3, 1, false},
		{`net/http: HTTP/1.x transport connection broken: malformed HTTP response "H3_REQUEST_REJECTED"`, "connection_broken", 3, 1, false},
		{`net/http: HTTP/1.x transport connection broken: malformed HTTP response "CRYPTO_ERROR 0x12a"`, "connection_broken", 3, 1, false},
		{"INTERNAL_ERROR (remote): CRYPTO_ERROR 0x12a", "_OTHER", 1, 1, false},
		{"H3_NO_ERROR: H3_REQUEST_REJECTED", "http3_stream_error", 3, 1, false},
		{"H3_FRAME_ERROR: H3_REQUEST_REJECTED", "_OTHER", 1, 1, false},
		{"H3 error (0x33): H3_REQUEST_REJECTED", "_OTHER", 1, 1, false},
		{"H3_REQUEST_REJECTED: busy", "http3_request_rejected", 3, 3, false},
		{`http2: server sent GOAWAY and closed the connection; LastStreamID=1, ErrCode=NO_ERROR, debug="graceful shutdown GOAWAY"`, "http2_goaway", 3, 1, false},
	} {
		t.Run(tt.text, func(t *testing.T) {
			sends := 0
			rt := &redoubt.Transport{Layer: atOnce(3), Base: trip(func(*http.Request) (*http.Response, error) {
				sends++
				return nil, fmt.Errorf("wrapped: %w", errors.New(tt.text))
			})}
			_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
			var failure *redoubt.SendError
			if !errors.As(err, &failure) || failure.ErrorType() != tt.class || failure.Throttled() != tt.throttled {
				t.Fatalf("err = %v, want class %q", err, tt.class)
			}
			if sends != tt.get {
				t.Errorf("GET: %d sends, want %d", sends, tt.get)
			}
			sends = 0
			_, err = rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order")))
			if err == nil || sends != tt.post {
				t.Errorf("POST: %v after %d sends, want %d", err, sends, tt.post)
			}
		})
	}
}

// An idleTimeoutError is that of QUIC for a server that is not there any more.
type idleTimeoutError struct{}

func (idleTimeoutError) Error() string { return "timeout: no recent network activity" }
func (idleTimeoutError) Timeout() bool { return true }
func (idleTimeoutError) Unwrap() error { return net.ErrClosed }

func TestTransport_096_TimeoutOfQUIC(t *testing.T) {
	sends := 0
	rt := &redoubt.Transport{Layer: atOnce(3), Base: trip(func(*http.Request) (*http.Response, error) {
		sends++
		return nil, idleTimeoutError{}
	})}
	_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	var failure *redoubt.SendError
	if !errors.As(err, &failure) || failure.ErrorType() != "timeout" || !failure.Timeout() || sends != 3 {
		t.Errorf("%v after %d sends, want a timeout after 3", err, sends)
	}
}

// An error of QUIC is net.ErrClosed besides, which does not make a fatal alert
// pass.
func TestTransport_094_AlertByQUIC(t *testing.T) {
	sends := 0
	rt := &redoubt.Transport{Layer: atOnce(3), Base: trip(func(*http.Request) (*http.Response, error) {
		sends++
		return nil, errors.Join(errors.New("CRYPTO_ERROR 0x12a (remote): tls: bad certificate"), net.ErrClosed)
	})}
	_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	if !errors.Is(err, net.ErrClosed) || sends != 1 {
		t.Errorf("%v after %d sends, want an error after 1", err, sends)
	}
}

// net/http answers PROTOCOL_ERROR with another connection, without end and
// without a pause: without a limit it would go on for ever.
func TestTransport_119_ProtocolErrorIsBounded(t *testing.T) {
	h := h2{serve: func(c *h2conn, stream uint32) { c.reset(stream, protocolError) }}
	rt := &redoubt.Transport{Base: h.transport(t), Layer: atOnce(3)}
	_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
	var failure *redoubt.SendError
	if !errors.As(err, &failure) || failure.Retryable() || !failure.Sent || h.opened() < 2 || h.opened() > 4+1 {
		t.Errorf("err = %v after %d connections, want one that is not retryable after at most 5", err, h.opened())
	}
}

func TestTransport_119_ProtocolErrorForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := h2{serve: func(c *h2conn, stream uint32) {
			go func() {
				time.Sleep(400 * time.Millisecond) // so that the limit comes before the fourth
				c.reset(stream, protocolError)
			}()
		}}
		rt := &redoubt.Transport{Base: h.transport(t), HeaderTimeout: time.Second}
		start := time.Now()
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		var failure *redoubt.SendError
		if !errors.As(err, &failure) || !failure.Timeout() || time.Since(start) != time.Second || h.opened() != 3 {
			t.Errorf("err = %v after %v and %d connections, want a timeout after 1s and 3", err, time.Since(start), h.opened())
		}
		time.Sleep(time.Second) // until the server is done
	})
}

type http2Error struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

func (http2Error) Error() string { return "stream error" }

// The connection has gone silent, as behind a router that forgot it. The attempt
// after a timeout asks for another.
func TestTransport_117_SilentConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := h2{serve: func(c *h2conn, stream uint32) {
			if c.n == 1 && stream > 1 {
				c.mute.Store(true)
				return
			}
			c.ok(stream, "done")
		}}
		rt := &redoubt.Transport{Base: h.transport(t), HeaderTimeout: 2 * time.Second, Layer: every(time.Second, 3)}
		send(t, rt, newRequest(t.Context(), t, "GET", nil))
		start := time.Now()
		send(t, rt, newRequest(t.Context(), t, "GET", nil))
		if took := time.Since(start); h.opened() > 2 || took > 6*time.Second {
			t.Errorf("answered after %v over %d connections, want the third attempt at the latest to have a new one", took, h.opened())
		}
		start = time.Now()
		send(t, rt, newRequest(t.Context(), t, "GET", nil))
		if took := time.Since(start); took != 0 {
			t.Errorf("the next call took %v, want none of that", took)
		}
	})
}

// With NewBase's pings the silent connection is given up even by itself.
func TestTransport_117_Pings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := h2{serve: func(c *h2conn, stream uint32) {
			if c.n == 1 {
				c.mute.Store(true)
				return
			}
			c.ok(stream, "done")
		}}
		base := h.transport(t)
		base.HTTP2 = redoubt.NewBase().HTTP2
		rt := &redoubt.Transport{Base: base, Layer: every(time.Second, 3)}
		start := time.Now()
		send(t, rt, newRequest(t.Context(), t, "GET", nil))
		if took := time.Since(start); took > 25*time.Second {
			t.Errorf("took %v, want what pings need: 15s, 5s and a wait of 1s", took)
		}
	})
}

// net/http would have sent the request again, but for its body: that is no
// failure of the server's.
func TestTransport_118_UnrewindableBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h h2
		h.serve = func(c *h2conn, stream uint32) {
			go func() {
				time.Sleep(time.Second) // the body has been written
				c.reset(stream, refusedStream)
			}()
		}
		br := oneFailure()
		rt := &redoubt.Transport{Base: h.transport(t), Layer: redoubt.Stack{every(time.Second, 3), br}}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "PUT", &body{Reader: strings.NewReader("order")}))
		var failure *redoubt.SendError
		if !errors.As(err, &failure) || failure.ErrorType() != "request_body" || failure.DependencyFailure() || h.count() != 1 || br.State() != breaker.Closed {
			t.Errorf("err = %v after %d requests, breaker %v, want the body's fault after 1", err, h.count(), br.State())
		}
		if err != nil && !strings.Contains(err.Error(), "GetBody") {
			t.Errorf("err = %v, want a word on what to do", err)
		}
	})
}

// The end of a stream closes the request body under a Read that waits for its
// producer. What that Read then says is no failure of the body.
func TestTransport_118_ResetClosesTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h h2
		h.serve = func(c *h2conn, stream uint32) {
			if h.count() > 1 {
				c.ok(stream, "done")
				return
			}
			go func() {
				time.Sleep(time.Second)
				c.reset(stream, internalError)
			}()
		}
		req := newRequest(t.Context(), t, "PUT", nil)
		req.GetBody = func() (io.ReadCloser, error) {
			pr, pw := io.Pipe()
			go func() { _, _ = io.WriteString(pw, "order") }() // and more to come
			return pr, nil
		}
		req.Body, _ = req.GetBody()
		req.ContentLength = -1
		rt := &redoubt.Transport{Base: h.transport(t), Layer: every(time.Second, 3)}
		if resp := send(t, rt, req); resp.StatusCode != 200 || h.count() != 2 {
			t.Errorf("status %d after %d requests, want 200 after 2", resp.StatusCode, h.count())
		}
	})
}

// A body that is not as long as was said is its caller's mistake. It may lose a race
// in HTTP/1 of net/http, on a busy machine: against the answer of a server that has
// all it was promised, and against the connection, which net/http closes over it.
func TestTransport_118_WrongContentLength(t *testing.T) {
	const tries = 50
	for _, tt := range []struct {
		http2  bool
		length int64
		again  bool
	}{
		{false, 3, true}, {false, 3, false}, {false, 10, true}, {false, 10, false}, {true, 3, true}, {true, 3, false},
	} {
		t.Run(fmt.Sprintf("%+v", tt), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var base http.RoundTripper = memhttp.NewServer(t, statuses(&log{}, 200)).Transport
				if tt.http2 {
					base = (&h2{serve: func(*h2conn, uint32) {}}).transport(t)
				}
				for range tries {
					var content io.Reader = strings.NewReader("order")
					if !tt.again {
						content = &body{Reader: content}
					}
					br := oneFailure()
					req := newRequest(t.Context(), t, "PUT", content)
					req.ContentLength = tt.length
					rt := &redoubt.Transport{Base: base, Layer: redoubt.Stack{every(time.Second, 3), br}, MaxRequestBuffer: 1 << 10}
					resp, err := rt.RoundTrip(req)
					if err == nil {
						resp.Body.Close()
						continue
					}
					if !tt.http2 && errors.Is(err, io.ErrClosedPipe) {
						continue
					}
					var failure *redoubt.SendError
					if !errors.As(err, &failure) || failure.ErrorType() != "request_body" || failure.Retryable() || br.State() != breaker.Closed {
						t.Errorf("err = %#v, breaker %v, want the body's fault", err, br.State())
					}
					return
				}
				t.Errorf("net/http did not tell of the length in %d tries", tries)
			})
		})
	}
}

// Discarded responses give their streams and their flow control back: the window
// of a connection would be used up otherwise.
func TestTransport_120_DiscardedResponses(t *testing.T) {
	var n atomic.Int32
	conns := &redoubttest.Conns{}
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("request by %s", r.Proto)
		}
		if n.Add(1)%2 == 1 {
			w.WriteHeader(503)
			_, _ = w.Write(make([]byte, 1<<20)) // more than is drained
		}
	}))
	server.EnableHTTP2 = true
	server.Config.ConnState = conns.ConnState
	server.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: 2}
	server.StartTLS()
	defer server.Close()
	base := server.Client().Transport.(*http.Transport)
	rt := &redoubt.Transport{Base: base, Layer: atOnce(3)}
	for range 50 {
		req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
		if resp := send(t, rt, req); resp.StatusCode != 200 || resp.ProtoMajor != 2 {
			t.Fatalf("status %d, %s", resp.StatusCode, resp.Proto)
		}
	}
	if opened := conns.Opened(); opened != 1 {
		t.Errorf("%d connections, want 1", opened)
	}
}

// A Base that sends a request more than once by a rule of its own is not one that
// redials in vain, and neither is what Prepare sends.
func TestTransport_115_NewConnectionsForAReason(t *testing.T) {
	const sends = 5
	for name, set := range map[string]func(rt *redoubt.Transport){
		"Base retries": func(rt *redoubt.Transport) {
			base := rt.Base
			rt.Base = baseFunc(func(req *http.Request) (resp *http.Response, err error) {
				for range sends {
					if resp, err = base.RoundTrip(req); err != nil {
						return nil, err
					}
					resp.Body.Close()
				}
				return resp, nil
			})
		},
		"Prepare sends": func(rt *redoubt.Transport) {
			rt.Prepare = func(req *http.Request) error {
				for range sends {
					resp, err := rt.Base.RoundTrip(newRequest(req.Context(), t, "GET", nil))
					if err != nil {
						return err
					}
					resp.Body.Close()
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, statuses(&log{}, 200), func(t *testing.T, s *memhttp.Server) {
				s.Transport.DisableKeepAlives = true
				rt := &redoubt.Transport{Base: s.Transport}
				set(rt)
				if resp := send(t, rt, newRequest(t.Context(), t, "GET", nil)); resp.StatusCode != http.StatusOK || s.Opened() < sends {
					t.Errorf("status %d over %d connections, want 200 over %d", resp.StatusCode, s.Opened(), sends)
				}
			})
		})
	}
}

func TestTransport_121_GoAwayInTheBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := h2{serve: func(c *h2conn, stream uint32) {
			c.frame(frameHeaders, flagEndHeaders, stream, []byte{0x88})
			c.frame(frameData, 0, stream, []byte("begin"))
			c.goAway(stream, 0)
			c.close()
		}}
		rt := &redoubt.Transport{Base: h.transport(t), Layer: every(time.Second, 3)}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(got) != "begin" || err == nil || h.count() != 1 {
			t.Errorf("%q, %v after %d requests, want what came, the error and no retry", got, err, h.count())
		}
	})
}

// GOAWAY says that the stream may have been processed, and then the connection
// ends.
func TestTransport_119_GoAwayAndClose(t *testing.T) {
	for code, class := range map[uint32]string{0: "http2_goaway", enhanceYourCalm: "http2_enhance_your_calm"} {
		synctest.Test(t, func(t *testing.T) {
			h := h2{serve: func(c *h2conn, stream uint32) {
				c.goAway(stream, code)
				c.close()
			}}
			rt := &redoubt.Transport{Base: h.transport(t)}
			for method, retryable := range map[string]bool{"GET": true, "POST": false} {
				_, err := rt.RoundTrip(newRequest(t.Context(), t, method, nil))
				failure, ok := errors.AsType[*redoubt.SendError](err)
				if !ok || failure.ErrorType() != class || !failure.Sent || failure.Retryable() != retryable || failure.Throttled() != (code == enhanceYourCalm) {
					t.Errorf("%s: err = %v, want class %q, sent, retryable %v", method, err, class, retryable)
				}
			}
		})
	}
}

// The stream that is being answered survives GOAWAY.
func TestTransport_121_GracefulGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := h2{serve: func(c *h2conn, stream uint32) {
			c.frame(frameHeaders, flagEndHeaders, stream, []byte{0x88})
			c.goAway(stream, 0)
			c.frame(frameData, flagEnd, stream, []byte("done"))
		}}
		rt := &redoubt.Transport{Base: h.transport(t), Layer: every(time.Second, 3)}
		for range 2 {
			if got, _ := io.ReadAll(send(t, rt, newRequest(t.Context(), t, "GET", nil)).Body); string(got) != "done" {
				t.Errorf("body %q", got)
			}
			// net/http offers a new connection to others some time after it gave it
			// to who asked, and would offer it to the next request.
			synctest.Wait()
		}
		if h.opened() != 2 {
			t.Errorf("%d connections, want 2", h.opened())
		}
	})
}

// HTTP/2 over TLS, with everything on: uploads, early answers, cancellation and
// retries share one connection.
func TestTransport_HTTP2(t *testing.T) {
	var n atomic.Int32
	payload := bytes.Repeat([]byte("upload"), 100<<10)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n.Add(1)%3 == 1 {
			w.WriteHeader(503) // before the upload is read
			return
		}
		got, err := io.ReadAll(r.Body)
		if err == nil && !bytes.Equal(got, payload) {
			t.Errorf("%d bytes arrived, want the same %d", len(got), len(payload))
		}
		_, _ = io.WriteString(w, r.Proto)
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	defer server.Close()
	rt := &redoubt.Transport{
		Base: server.Client().Transport, Layer: atOnce(5), HeaderTimeout: 30 * time.Second, MaxResponseBuffer: 1 << 10,
	}
	for range 10 {
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", server.URL, bytes.NewReader(payload))
		resp := send(t, rt, req)
		if got, _ := io.ReadAll(resp.Body); resp.StatusCode != 200 || string(got) != "HTTP/2.0" {
			t.Errorf("status %d, %q", resp.StatusCode, got)
		}
	}
}

// A client of HTTP/2 whose certificate is not trusted does not fall back.
func TestTransport_HTTP2_UnknownAuthority(t *testing.T) {
	a := newAuthority(t)
	server, conns := tlsServer(t, &tls.Config{Certificates: []tls.Certificate{a.certificate(t, nil)}, NextProtos: []string{"h2"}})
	base := redoubt.NewBase()
	refused(t, &redoubt.Transport{Base: base, Layer: atOnce(3)}, server.URL, "certificate", conns)
}
