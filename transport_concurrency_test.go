package redoubt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// heap returns the bytes in use.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// everything returns a transport with all that it has switched on.
func everything(base http.RoundTripper) *redoubt.Transport {
	return &redoubt.Transport{
		Base: base,
		Name: "billing",
		Layer: redoubt.Stack{
			timeout.Limit(time.Minute),
			retry.Policy{Backoff: retry.Constant(time.Millisecond), Budgets: retry.NewBudgetGroup(retry.BudgetGroupConfig{Key: redoubt.Host})},
			breaker.NewGroup(breaker.GroupConfig{Breaker: breaker.Config{Name: "billing", Consecutive: 1 << 30, HonorRetryAfter: true}, Key: redoubt.Host}),
			timeout.Limit(30 * time.Second),
		},
		RetryRejected:     []int{429},
		RetryConflict:     true,
		HeaderTimeout:     20 * time.Second,
		StallTimeout:      20 * time.Second,
		MaxRequestBuffer:  1 << 10,
		MaxResponseBuffer: 1 << 10,
		RetryAfterMillis:  []string{"Retry-After-Ms"},
		DeadlineHeader:    "X-Deadline",
		AttemptHeader:     "Retry-Attempt",
		Prepare: func(r *http.Request) error {
			if r.Body != nil {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			r.Header.Set("X-Signed", "1")
			return nil
		},
		TracerProvider: recordingTracer{},
		MeterProvider:  recordingMeter{},
	}
}

// moody answers as a server does on a bad day: it fails, resets, breaks off and
// tells its clients to come back later.
func moody(n *atomic.Int64) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		switch n.Add(1) % 11 {
		case 0:
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(429)
		case 1:
			w.WriteHeader(503)
			_, _ = w.Write(make([]byte, 100<<10))
		case 2:
			panic(http.ErrAbortHandler)
		case 3:
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write(body)
			panic(http.ErrAbortHandler)
		case 4:
			w.WriteHeader(http.StatusMisdirectedRequest)
		case 5:
			w.WriteHeader(http.StatusEarlyHints)
			_, _ = w.Write(body)
		default:
			_, _ = w.Write(body)
		}
	}
}

func TestTransport_130_ManyGoroutines(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			var n atomic.Int64
			server := httptest.NewUnstartedServer(moody(&n))
			server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
			if server.EnableHTTP2 = http2; http2 {
				server.StartTLS()
			} else {
				server.Start()
			}
			defer server.Close()
			base := server.Client().Transport.(*http.Transport)
			base.MaxIdleConnsPerHost = 64
			rt := everything(base)
			var answered atomic.Int64
			var wg sync.WaitGroup
			for caller := range 64 {
				wg.Go(func() {
					for call := range 8 {
						if busy(t, rt, server.URL, caller, call) {
							answered.Add(1)
						}
					}
				})
			}
			wg.Wait()
			rt.CloseIdleConnections()
			if got := answered.Load(); got < 64*8/3 {
				t.Errorf("%d of %d calls got their own answer, want most of those that were not cancelled", got, 64*8)
			}
		})
	}
}

// busy makes one of many calls of all kinds, and reports whether it got the
// right answer.
func busy(t *testing.T, rt http.RoundTripper, address string, caller, call int) bool {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	content := fmt.Sprintf("%d of %d", call, caller)
	var body io.Reader = strings.NewReader(content)
	if call%3 == 1 {
		body = io.NopCloser(body) // no GetBody
	}
	if call%8 == 7 {
		time.AfterFunc(time.Millisecond, cancel)
	}
	switch call % 5 {
	case 1:
		ctx = redoubt.WithIdempotent(ctx)
	case 2:
		ctx = redoubt.WithoutRetry(ctx)
	case 3:
		ctx = redoubt.WithoutTimeouts(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, []string{"PUT", "POST", "DELETE"}[call%3], address, body)
	if err != nil {
		t.Error(err)
		return false
	}
	resp, err := rt.RoundTrip(req)
	if (resp == nil) == (err == nil) {
		t.Errorf("response %v, error %v", resp, err)
	}
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode == 200 && string(got) != content {
		t.Errorf("caller %d got %q, want %q", caller, got, content)
	}
	return err == nil && resp.StatusCode == 200
}

// Requests that share a header, as they do after a careless copy. The race
// detector sees who writes to it.
func TestTransport_131_SharedHeader(t *testing.T) {
	header := http.Header{"Accept": {"text/plain"}, "Expect": {"100-continue"}}
	var n atomic.Int32
	rt := everything(trip(func(r *http.Request) (*http.Response, error) {
		_ = r.Header.Clone()
		if n.Add(1)%2 == 1 {
			return answer(r, []int{503, 417, 421}[n.Load()%3], ""), nil
		}
		return answer(r, 200, ""), nil
	}))
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			req := newRequest(redoubt.WithIdempotent(t.Context()), t, "POST", strings.NewReader("order"))
			req.Header = header
			resp, err := rt.RoundTrip(req)
			if err == nil {
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	if len(header) != 2 {
		t.Errorf("the shared header has become %v", header)
	}
}

func TestTransport_132_NothingIsLeft(t *testing.T) {
	redoubttest.CheckGoroutines(t)
	var n atomic.Int64
	conns := &redoubttest.Conns{}
	server := httptest.NewUnstartedServer(moody(&n))
	server.Config.ErrorLog = stdlog.New(io.Discard, "", 0)
	server.Start()
	defer server.Close()
	base := &http.Transport{DialContext: conns.DialContext(nil), MaxIdleConnsPerHost: 16}
	rt := everything(base)
	calls := func(count int) {
		var wg sync.WaitGroup
		for caller := range 16 {
			wg.Go(func() {
				for call := range count / 16 {
					busy(t, rt, server.URL, caller, call)
				}
			})
		}
		wg.Wait()
		rt.CloseIdleConnections()
		if err := conns.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	}
	calls(200)
	before := heap()
	calls(1000)
	if after := heap(); after > before+2<<20 {
		t.Errorf("1,000 calls left %d bytes behind", after-before)
	}
}

// Calls that meet nobody at all, in all the ways there are.
func TestTransport_132_ManyFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errs := []error{
			&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, syscall.ECONNRESET, io.EOF, errors.New("what?"), context.DeadlineExceeded,
		}
		n := 0
		rt := everything(trip(func(r *http.Request) (*http.Response, error) {
			n++
			if n%7 == 0 {
				<-r.Context().Done()
				return nil, context.Cause(r.Context())
			}
			return nil, errs[n%len(errs)]
		}))
		before := runtime.NumGoroutine()
		used := heap()
		for range 10_000 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			if resp, err := rt.RoundTrip(newRequest(ctx, t, "PUT", strings.NewReader("order"))); err == nil {
				t.Errorf("status %d", resp.StatusCode)
			}
			cancel()
		}
		synctest.Wait()
		if after := runtime.NumGoroutine(); after > before+2 {
			t.Errorf("%d goroutines, want %d as before", after, before)
		}
		if after := heap(); after > used+2<<20 {
			t.Errorf("10,000 calls left %d bytes behind", after-used)
		}
	})
}

// Once the body is closed the request is its caller's again, to change it and to
// send it once more.
func TestTransport_134_RequestIsLetGo(t *testing.T) {
	var n atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if n.Add(1)%2 == 1 {
			w.WriteHeader(503)
		}
		_, _ = w.Write(bytes.Repeat([]byte("x"), 10<<10))
	}))
	defer server.Close()
	rt := everything(server.Client().Transport)
	rt.RetryConflict = false
	for range 50 {
		content := []byte("order")
		req, _ := http.NewRequestWithContext(t.Context(), "PUT", server.URL, bytes.NewReader(content))
		send(t, rt, req)
		content[0] = 'O' // the race detector tells if somebody still reads
		req.Header.Set("X-Changed", "1")
		req.Method, req.Body, req.GetBody = "GET", nil, nil
		req.URL.Path = "/other"
	}
	rt.CloseIdleConnections()
}
