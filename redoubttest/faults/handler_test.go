package faults_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

// serve starts a real server of inj, over HTTP/2 too if asked.
func serve(t *testing.T, inj *faults.Injector, next http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(inj.Handler(next))
	s.Config.ConnContext = inj.ConnContext
	s.EnableHTTP2 = http2
	if http2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func fetch(ctx context.Context, c *http.Client, url string) (status, size int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, len(body), err
}

func TestHandler(t *testing.T) {
	ok := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, strings.Repeat("x", 2000))
	})
	tests := []struct {
		name   string
		effect faults.Effect
		status int
		size   int
		err    error
	}{
		{"status", faults.Status{Code: 503}, 503, 0, nil},
		{"reset", faults.Reset{}, 0, 0, syscall.ECONNRESET},
		{"lost", faults.Reset{AfterWork: true}, 0, 0, syscall.ECONNRESET},
		{"refuse", faults.Refuse{}, 0, 0, syscall.ECONNRESET},
		{"black hole", faults.BlackHole{}, 0, 0, context.DeadlineExceeded},
		{"truncate", faults.Truncate{After: 700}, 200, 700, io.ErrUnexpectedEOF},
		{"delay", faults.Delay{Time: faults.Constant(time.Millisecond)}, 200, 2000, nil},
		{"drip", faults.Drip{Over: 20 * time.Millisecond}, 200, 2000, nil},
		{"bandwidth", faults.Bandwidth{BytesPerSecond: 1_000_000}, 200, 2000, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inj := newInjector(t, faults.Plan{Faults: one(tt.effect)})
			s := serve(t, inj, ok, false)
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			if tt.err == nil {
				ctx, cancel = context.WithTimeout(t.Context(), 10*time.Second)
			}
			defer cancel()
			status, size, err := fetch(ctx, s.Client(), s.URL)
			if status != tt.status || size != tt.size || !errors.Is(err, tt.err) {
				t.Errorf("got %d, %d bytes, %v; want %d, %d bytes, %v", status, size, err, tt.status, tt.size, tt.err)
			}
		})
	}
}

// Over HTTP/2 an answer with a hangup is followed by a GOAWAY: requests never
// fail, and connections change.
func TestHandlerHangup(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		inj := newInjector(t, faults.Plan{Faults: one(faults.Hangup{Requests: 10})})
		s := serve(t, inj, nil, http2)
		opened := 0
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) {
				if !info.Reused {
					opened++
				}
			},
		})
		for range 50 {
			if status, _, err := fetch(ctx, s.Client(), s.URL); status != 200 || err != nil {
				t.Fatalf("got %d, %v", status, err)
			}
		}
		if opened < 4 || opened > 6 {
			t.Errorf("HTTP/2 %v: %d connections for 50 requests, want about 5", http2, opened)
		}
	}
}

// Package net/http repeats what a reused connection lost. Only the dependency
// can count that.
func TestHandlerHiddenAttempts(t *testing.T) {
	inj := newInjector(t, faults.Plan{
		Replicas: 4,
		Faults:   []faults.Fault{{Replicas: []int{3}, Effect: faults.Reset{}}},
	})
	s := serve(t, inj, nil, false)
	for range 99 {
		if _, _, err := fetch(t.Context(), s.Client(), s.URL); err != nil {
			t.Fatal(err)
		}
	}
	if got := inj.Counts().Arrivals; got != 131 {
		t.Errorf("99 requests were %d arrivals, want 131", got)
	}
}

func TestDialContext(t *testing.T) {
	inj := newInjector(t, faults.Plan{Faults: []faults.Fault{
		{During: faults.Window{From: 100 * time.Millisecond, To: 300 * time.Millisecond}, Effect: faults.Refuse{}},
	}})
	upstream := serve(t, newInjector(t, faults.Plan{}), http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
	}), false)
	conn, err := inj.DialContext(nil)(t.Context(), "tcp", upstream.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("Read: %v, want a reset", err)
	}
	if at := inj.Elapsed(); at < 100*time.Millisecond || at > 250*time.Millisecond {
		t.Errorf("cut at %v", at)
	}
	_, err = inj.DialContext(nil)(t.Context(), "tcp", upstream.Listener.Addr().String())
	if op, ok := errors.AsType[*net.OpError](err); !ok || op.Op != "dial" || !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, want refused", err)
	}
}
