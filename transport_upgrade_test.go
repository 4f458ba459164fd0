package redoubt_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/timeout"
)

// neverContinues reads the upload without ever saying 100, and tells when its
// first byte came.
func neverContinues(start time.Time, came chan<- time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		conn, stream, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		content := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(stream, content[:1]); err != nil {
			return
		}
		came <- time.Since(start)
		if _, err := io.ReadFull(stream, content[1:]); err == nil {
			_, _ = io.WriteString(conn, "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
		}
	}
}

func TestTransport_123_ContinueThatNeverComes(t *testing.T) {
	for _, tt := range []struct {
		patience time.Duration // of the base
		limit    time.Duration // of the attempt
		want     time.Duration
	}{
		{0, 0, 0},
		{time.Second, 0, time.Second},
		{time.Second, 5 * time.Second, time.Second},
		{redoubt.NewBase().ExpectContinueTimeout, 5 * time.Second, 300 * time.Millisecond},
	} {
		t.Run(fmt.Sprint(tt.patience, tt.limit), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				came := make(chan time.Duration, 1)
				s := memhttp.NewServer(t, neverContinues(time.Now(), came))
				s.Transport.ExpectContinueTimeout = tt.patience
				rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), HeaderTimeout: tt.limit}
				send(t, rt, newRequest(t.Context(), t, "PUT", strings.NewReader("order"), "Expect", "100-continue"))
				if got := <-came; got != tt.want {
					t.Errorf("the body came after %v, want %v", got, tt.want)
				}
			})
		})
	}
}

// The stall is bounded by the attempt's limit too, if that is nearer.
func TestTransport_123_StallCountsInTheAttempt(t *testing.T) {
	for name, rt := range map[string]*redoubt.Transport{
		"HeaderTimeout": {HeaderTimeout: 2 * time.Second},
		"layer":         {Layer: timeout.Limit(2 * time.Second)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := memhttp.NewServer(t, neverContinues(time.Now(), make(chan time.Duration, 1)))
				s.Transport.ExpectContinueTimeout = time.Hour
				rt.Base = s.Transport
				start := time.Now()
				_, err := rt.RoundTrip(newRequest(t.Context(), t, "POST", strings.NewReader("order"), "Expect", "100-continue"))
				var failure *redoubt.SendError
				if took := time.Since(start); took != 2*time.Second || !errors.As(err, &failure) || !failure.Timeout() || !failure.Sent {
					t.Errorf("err = %v after %v, want a timeout after 2s", err, took)
				}
			})
		})
	}
}

// echo switches protocols, if it is asked to and the time is right.
func echo(l *log, from int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if n := l.note(r); n < from || r.Header.Get("Upgrade") == "" {
			w.WriteHeader(503)
			return
		}
		conn, stream, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_, _ = io.Copy(conn, stream)
		_, _ = io.WriteString(conn, "bye")
	}
}

func TestTransport_124_Upgrade(t *testing.T) {
	var l log
	server := httptest.NewServer(echo(&l, 1))
	defer server.Close()
	for _, buffer := range []int64{0, 1 << 10} {
		rt := &redoubt.Transport{Base: server.Client().Transport, Layer: atOnce(3), HeaderTimeout: time.Minute, MaxResponseBuffer: buffer}
		req, _ := http.NewRequestWithContext(t.Context(), "GET", server.URL, nil)
		req.Header.Set("Connection", "Upgrade")
		req.Header.Set("Upgrade", "echo")
		resp, err := rt.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		conn, ok := resp.Body.(interface {
			io.ReadWriteCloser
			CloseWrite() error
		})
		if resp.StatusCode != 101 || !ok || resp.Request != req {
			t.Fatalf("status %d, body %T, want 101 and an io.ReadWriteCloser with CloseWrite", resp.StatusCode, resp.Body)
		}
		if _, err := io.WriteString(conn, "ping\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := bufio.NewReader(conn).ReadString('\n'); got != "ping\n" || err != nil {
			t.Errorf("echo %q, %v", got, err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Error(err)
		}
		if got, err := io.ReadAll(conn); string(got) != "bye" || err != nil {
			t.Errorf("after CloseWrite the other side says %q, %v, want bye", got, err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
}

// No limit of ours is about what comes after 101, nor about a tunnel or a
// stream of events whose caller said so.
func TestTransport_125_NoLimitsAfterTheSwitch(t *testing.T) {
	long := timeout.Limit(time.Minute)
	t.Run("101", func(t *testing.T) {
		var l log
		bubble(t, echo(&l, 1), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: redoubt.Stack{long, every(time.Second, 3)}, HeaderTimeout: time.Second, StallTimeout: time.Second}
			resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil, "Connection", "Upgrade", "Upgrade", "echo"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			conn := resp.Body.(io.ReadWriteCloser)
			go func() {
				time.Sleep(time.Hour)
				_, _ = io.WriteString(conn, "ping")
			}()
			got := make([]byte, 4)
			if _, err := io.ReadFull(conn, got); string(got) != "ping" {
				t.Errorf("after an hour of silence: %q, %v", got, err)
			}
		})
	})
	t.Run("CONNECT", func(t *testing.T) {
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Hour)
			_, _ = io.WriteString(w, r.Method)
		}, func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: redoubt.Stack{long, every(time.Second, 3)}, HeaderTimeout: time.Second, StallTimeout: time.Second}
			if got, _ := io.ReadAll(send(t, rt, newRequest(t.Context(), t, "CONNECT", nil)).Body); string(got) != "CONNECT" {
				t.Errorf("body %q", got)
			}
		})
	})
	t.Run("text/event-stream", func(t *testing.T) {
		bubble(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			time.Sleep(time.Minute) // not even headers
			_ = http.NewResponseController(w).Flush()
			time.Sleep(time.Hour)
			_, _ = io.WriteString(w, "data: 1\n")
		}, func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), HeaderTimeout: time.Second, StallTimeout: time.Second, MaxResponseBuffer: 1 << 10}
			req := newRequest(redoubt.WithoutTimeouts(t.Context()), t, "GET", nil)
			if got, _ := io.ReadAll(send(t, rt, req).Body); string(got) != "data: 1\n" {
				t.Errorf("body %q", got)
			}
		})
	})
}

// The context of an attempt that switched protocols lasts as long as what came of
// that, and no longer.
func TestTransport_125_NothingIsLeftOfTheSwitch(t *testing.T) {
	for _, writable := range []bool{true, false} {
		var sent context.Context
		rt := &redoubt.Transport{Base: trip(func(r *http.Request) (*http.Response, error) {
			sent = r.Context() //nolint:fatcontext // It is looked at, not used.
			resp := answer(r, http.StatusSwitchingProtocols, "x")
			if writable {
				resp.Body = struct {
					io.ReadCloser
					io.Writer
				}{resp.Body, io.Discard}
			}
			return resp, nil
		})}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil, "Connection", "Upgrade", "Upgrade", "echo"))
		if err != nil {
			t.Fatal(err)
		}
		if sent.Err() != nil {
			t.Errorf("writable %v: context of the attempt has ended before its connection", writable)
		}
		if err := resp.Body.Close(); err != nil || sent.Err() == nil {
			t.Errorf("writable %v: %v; context of the attempt is alive after its connection", writable, err)
		}
	}
}

func TestTransport_126_UpgradeIsRetriedUntil101(t *testing.T) {
	var l log
	bubble(t, echo(&l, 3), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 5), HeaderTimeout: time.Second}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil, "Connection", "Upgrade", "Upgrade", "echo"))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != 101 || l.count() != 3 {
			t.Errorf("status %d after %d requests, want 101 after 3", resp.StatusCode, l.count())
		}
		s.Reset() // what breaks then is the caller's to see
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
		if err == nil || l.count() != 3 {
			t.Errorf("after 101: %v after %d requests, want the reset and no retry", err, l.count())
		}
	})
}

// An attempt that asks for a new connection says so by "Connection: close", which
// contradicts an Upgrade.
func TestTransport_126_UpgradeAfterATimeout(t *testing.T) {
	var l log
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		if l.note(r) == 1 {
			<-r.Context().Done()
		}
	}, func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), HeaderTimeout: time.Second}
		send(t, rt, newRequest(t.Context(), t, "GET", nil, "Connection", "Upgrade", "Upgrade", "websocket"))
		for i, r := range l.all() {
			if got := r.Header["Connection"]; !slices.Equal(got, []string{"Upgrade"}) {
				t.Errorf("request %d has Connection %q, want Upgrade alone", i+1, got)
			}
		}
	})
}

// A custom Failure is not asked about 101: it is not its business.
func TestTransport_126_SwitchIsNoFailure(t *testing.T) {
	var l log
	bubble(t, echo(&l, 1), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{
			Base: s.Transport, Layer: every(time.Second, 5),
			Failure: func(r *http.Response) bool { return r.StatusCode != 200 },
		}
		resp, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil, "Connection", "Upgrade", "Upgrade", "echo"))
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); l.count() != 1 {
			t.Errorf("%d requests, want 1", l.count())
		}
	})
}

func TestTransport_127_Trailers(t *testing.T) {
	var l log
	var sums []string
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		n := l.note(r)
		sums = append(sums, r.Trailer.Get("X-Request-Sum"))
		w.Header().Set("Trailer", "X-Sum")
		if n == 1 {
			w.WriteHeader(503)
		}
		_, _ = io.WriteString(w, "body")
		w.Header().Set("X-Sum", fmt.Sprint(n))
	}, func(t *testing.T, s *memhttp.Server) {
		for _, rt := range []*redoubt.Transport{
			{Base: s.Transport, Layer: every(time.Second, 3)},
			{Base: s.Transport, Layer: every(time.Second, 3), MaxResponseBuffer: 1 << 10},
			{Base: s.Transport, Layer: every(time.Second, 1)}, // the failed response itself
		} {
			l, sums = log{}, nil
			req := newRequest(t.Context(), t, "PUT", strings.NewReader("order"))
			req.ContentLength = -1
			req.Trailer = http.Header{"X-Request-Sum": {"7"}}
			resp := send(t, rt, req)
			if got, want := resp.Trailer.Get("X-Sum"), fmt.Sprint(l.count()); got != want {
				t.Errorf("trailer %q, want %q", got, want)
			}
			if slices.ContainsFunc(sums, func(s string) bool { return s != "7" }) {
				t.Errorf("the server got the request's trailers %q, want 7 each time", sums)
			}
		}
	})
}

func TestTransport_129_InterimResponses(t *testing.T) {
	var l log
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		n := l.note(r)
		w.Header().Set("Link", fmt.Sprintf("</style%d.css>", n))
		w.WriteHeader(http.StatusEarlyHints)
		if n == 1 {
			w.WriteHeader(503)
		}
	}, func(t *testing.T, s *memhttp.Server) {
		var hints []string
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, " ", header.Get("Link")))
				return nil
			},
		})
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), HeaderTimeout: time.Minute}
		send(t, rt, newRequest(ctx, t, "GET", nil))
		if want := []string{"103 </style1.css>", "103 </style2.css>"}; !slices.Equal(hints, want) {
			t.Errorf("the caller's trace was told %q, want %q", hints, want)
		}
	})
}
