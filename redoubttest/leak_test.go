package redoubttest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/memhttp"
)

// A testStub is a test whose cleanup is run by hand and whose errors are kept.
type testStub struct {
	testing.TB
	transcript
	cleanup func()
}

func (s *testStub) Helper()                           {}
func (s *testStub) Cleanup(f func())                  { s.cleanup = f }
func (s *testStub) Failed() bool                      { return s.transcript.Failed() }
func (s *testStub) Errorf(format string, args ...any) { s.transcript.Errorf(format, args...) }

func TestCheckGoroutines(t *testing.T) {
	tests := []struct {
		name string
		ends time.Duration // of a goroutine that starts after the check
		want string        // in the report; no report if empty
	}{
		{"ends at once", 0, ""},
		{"ends soon", 2 * time.Second, ""},
		{"ends too late", time.Minute, "goroutines left behind: 1\n\ngoroutine "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				go time.Sleep(time.Hour / 2) // started before: none of its business
				defer time.Sleep(time.Hour)
				stub := &testStub{TB: t}
				CheckGoroutines(stub)
				go time.Sleep(tt.ends)
				stub.cleanup()
				got := stub.String()
				if (got != "") != (tt.want != "") || !strings.Contains(got, tt.want) {
					t.Errorf("report = %q, want %q in it", got, tt.want)
				}
			})
		})
	}
}

func TestCheckGoroutines_RealTime(t *testing.T) {
	CheckGoroutines(t)
	done := make(chan struct{})
	go close(done)
	<-done
}

// Goroutines of bubbles are not those of the process.
func TestCheckGoroutines_IgnoresBubbles(t *testing.T) {
	CheckGoroutines(t)
	_ = report(t, "Success", func() Layer {
		return layerFunc(func(ctx context.Context, call call) error {
			go func() { select {} }() // stays for ever, in a dead bubble
			return call(ctx)
		})
	})
}

func TestConns_DialContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := NewDependency(MustParse("3*503, ok"))
		server := memhttp.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if answers.Call(r.Context()) != nil {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
			_, _ = io.WriteString(w, strings.Repeat("x", 2048))
		}))
		var conns Conns
		server.Transport.DialContext = conns.DialContext(server.Transport.DialContext)
		for range 4 {
			resp, err := server.Client().Get("http://any.host")
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		if opened, open := conns.Opened(), conns.Open(); opened != 1 || open != 1 {
			t.Errorf("%d connections opened, %d open, want 1 and 1", opened, open)
		}
		server.Transport.CloseIdleConnections()
		if err := conns.Wait(t.Context()); err != nil {
			t.Errorf("Wait: %v", err)
		}
		if got := conns.Open(); got != 0 {
			t.Errorf("%d connections open, want 0", got)
		}
	})
}

func TestConns_DialContext_Error(t *testing.T) {
	refused := errors.New("refused")
	var conns Conns
	dial := conns.DialContext(func(context.Context, string, string) (net.Conn, error) { return nil, refused })
	if _, err := dial(t.Context(), "tcp", "any.host:80"); !errors.Is(err, refused) {
		t.Errorf("err = %v, want %v", err, refused)
	}
	if opened, open := conns.Opened(), conns.Open(); opened != 0 || open != 0 {
		t.Errorf("%d connections opened, %d open, want 0 and 0", opened, open)
	}
}

func TestConns_ClosedTwice(t *testing.T) {
	var conns Conns
	near, far := net.Pipe()
	defer far.Close()
	dial := conns.DialContext(func(context.Context, string, string) (net.Conn, error) { return near, nil })
	conn, _ := dial(t.Context(), "tcp", "any.host:80")
	_, _ = conn.Close(), conn.Close()
	if got := conns.Open(); got != 0 {
		t.Errorf("%d connections open, want 0", got)
	}
}

func TestConns_Wait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns Conns
		if err := conns.Wait(t.Context()); err != nil {
			t.Errorf("Wait without connections: %v", err)
		}
		conns.ConnState(nil, http.StateNew)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := conns.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait with a connection: %v, want DeadlineExceeded", err)
		}
		time.AfterFunc(time.Minute, func() { conns.ConnState(nil, http.StateClosed) })
		start := time.Now()
		if err := conns.Wait(t.Context()); err != nil || time.Since(start) != time.Minute {
			t.Errorf("Wait: %v after %v, want nil after 1m", err, time.Since(start))
		}
	})
}

// The server's end, over loopback and in real time.
func TestConns_ConnState(t *testing.T) {
	CheckGoroutines(t)
	var conns Conns
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "active: ")
		_, _ = io.WriteString(w, strings.Repeat("1", conns.Active()))
	}))
	server.Config.ConnState = conns.ConnState
	server.Start()
	defer server.Close()
	for range 3 {
		resp, err := server.Client().Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if string(got) != "active: 1" || err != nil {
			t.Errorf("got %q, %v, want active: 1", got, err)
		}
	}
	if got := conns.Opened(); got != 1 {
		t.Errorf("%d connections opened, want 1", got)
	}
	server.Client().CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := conns.Wait(ctx); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if open, active := conns.Open(), conns.Active(); open != 0 || active != 0 {
		t.Errorf("%d connections open, %d active, want 0 and 0", open, active)
	}
}
