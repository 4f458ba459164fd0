package redoubttest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A countedBody counts its closes.
type countedBody struct {
	io.Reader
	closes atomic.Int32
}

func (b *countedBody) Close() error {
	b.closes.Add(1)
	return nil
}

func newRequest(ctx context.Context, t *testing.T, method string, body io.Reader) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, "http://any.host/path?q=1", body)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

func TestDependency_RoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dep := NewDependency(MustParse(`503 retry-after=2 x-a="b, c"`))
		req := newRequest(t.Context(), t, http.MethodPut, strings.NewReader("payload"))
		req.Header.Set("Idempotency-Key", "k")
		resp, err := dep.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Request != req {
			t.Error("resp.Request is not the request")
		}
		if resp.Status != "503 Service Unavailable" || resp.StatusCode != 503 {
			t.Errorf("status = %q, %d, want 503 Service Unavailable", resp.Status, resp.StatusCode)
		}
		if got := resp.Header; got.Get("Retry-After") != "2" || got.Get("X-A") != "b, c" {
			t.Errorf("header = %v", got)
		}
		if got := dep.OpenBodies(); got != 1 {
			t.Errorf("OpenBodies() = %d, want 1", got)
		}
		body, err := io.ReadAll(resp.Body)
		if want := "Service Unavailable\n"; string(body) != want || err != nil || resp.ContentLength != int64(len(want)) {
			t.Errorf("body = %q (length %d), %v, want %q", body, resp.ContentLength, err, want)
		}
		if err := errors.Join(resp.Body.Close(), resp.Body.Close()); err != nil {
			t.Errorf("Close: %v", err)
		}
		if _, err := resp.Body.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("Read after Close: err = %v, want another error than EOF", err)
		}

		c := dep.Calls()[0]
		if c.Method != "PUT" || c.URL != "http://any.host/path?q=1" || c.Header.Get("Idempotency-Key") != "k" {
			t.Errorf("request written down as %s %s %v", c.Method, c.URL, c.Header)
		}
		if string(c.Body) != "payload" || c.StatusCode != 503 || !c.BodyEOF || !c.BodyClosed {
			t.Errorf("call written down as %+v", c)
		}
		if got := dep.OpenBodies(); got != 0 {
			t.Errorf("OpenBodies() = %d, want 0", got)
		}
	})
}

func TestDependency_RoundTrip_Bodies(t *testing.T) {
	tests := []struct {
		method, script string
		want           int
		err            error
	}{
		{"GET", "ok body=2048", 2048, nil},
		{"GET", "ok body=0", 0, nil},
		{"GET", "204", 0, nil},
		{"GET", "304 body=5", 0, nil},
		{"HEAD", "ok body=2048", 0, nil},
		{"HEAD", "truncated", 0, nil},
		{"GET", "truncated body=2048", 1024, io.ErrUnexpectedEOF},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.script, func(t *testing.T) {
			dep := NewDependency(MustParse(tt.script))
			resp, err := dep.RoundTrip(newRequest(t.Context(), t, tt.method, nil))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			got, err := io.ReadAll(resp.Body)
			if len(got) != tt.want || err != tt.err {
				t.Errorf("read %d bytes, %v, want %d, %v", len(got), err, tt.want, tt.err)
			}
			if eof := dep.Calls()[0].BodyEOF; eof != (tt.err == nil) {
				t.Errorf("BodyEOF = %v", eof)
			}
		})
	}
}

// Whatever the answer, the request body is closed.
func TestDependency_RoundTrip_ClosesRequestBody(t *testing.T) {
	tests := []struct {
		script string
		want   error
		sent   string
	}{
		{"ok", nil, "payload"},
		{"503", nil, "payload"},
		{"slow 3s", context.DeadlineExceeded, "payload"},
		{"hang", context.DeadlineExceeded, "payload"},
		{"reset", syscall.ECONNRESET, "payload"},
		{"refused", syscall.ECONNREFUSED, ""},
		{"end", ErrEnd, "payload"},
		{"panic", ErrPanic, "payload"},
		{"goexit", nil, "payload"},
	}
	for _, tt := range tests {
		t.Run(tt.script, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				dep := NewDependency(MustParse(tt.script))
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				body := &countedBody{Reader: strings.NewReader("payload")}
				req := newRequest(ctx, t, http.MethodPost, body)
				var err error
				var wg sync.WaitGroup
				wg.Go(func() {
					defer func() {
						if p := recover(); p != nil {
							err = p.(error)
						}
					}()
					_, err = dep.RoundTrip(req)
				})
				wg.Wait()
				if !errors.Is(err, tt.want) {
					t.Errorf("err = %v, want %v", err, tt.want)
				}
				if got := body.closes.Load(); got != 1 {
					t.Errorf("request body closed %d times, want 1", got)
				}
				if got := string(dep.Calls()[0].Body); got != tt.sent {
					t.Errorf("received %q, want %q", got, tt.sent)
				}
			})
		})
	}
}

func TestDependency_RoundTrip_EndedContext(t *testing.T) {
	reason := errors.New("changed my mind")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(reason)
	body := &countedBody{Reader: strings.NewReader("payload")}
	var dep Dependency
	_, err := dep.RoundTrip(newRequest(ctx, t, http.MethodPost, body))
	if err != reason {
		t.Errorf("err = %v, want %v", err, reason)
	}
	if got := body.closes.Load(); got != 1 {
		t.Errorf("request body closed %d times, want 1", got)
	}
}

func TestDependency_RoundTrip_RequestBodyFails(t *testing.T) {
	broken := errors.New("disk on fire")
	r, w := io.Pipe()
	go func() {
		_, _ = io.WriteString(w, "half")
		_ = w.CloseWithError(broken)
	}()
	var dep Dependency
	_, err := dep.RoundTrip(newRequest(t.Context(), t, http.MethodPost, r))
	if !errors.Is(err, broken) {
		t.Errorf("err = %v, want %v", err, broken)
	}
	if got := string(dep.Calls()[0].Body); got != "half" {
		t.Errorf("received %q, want half", got)
	}
}

// A producer that never writes does not hold RoundTrip beyond the context.
func TestDependency_RoundTrip_StuckProducer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		r, _ := io.Pipe()
		var dep Dependency
		start := time.Now()
		_, err := dep.RoundTrip(newRequest(ctx, t, http.MethodPost, r))
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("err = %v after %v, want DeadlineExceeded after 1s", err, time.Since(start))
		}
	})
}

// A context that ends with the attempt cuts the body, as it does for real.
func TestDependency_RoundTrip_BodyFailsWithContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var dep Dependency
	resp, err := dep.RoundTrip(newRequest(ctx, t, http.MethodGet, nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	cancel()
	if _, err := io.ReadAll(resp.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("err = %v, want Canceled", err)
	}
}

func TestDependency_RoundTrip_ClientTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &http.Client{Transport: NewDependency(MustParse("hang")), Timeout: time.Second}
		start := time.Now()
		_, err := client.Get("http://any.host")
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("err = %v after %v, want DeadlineExceeded after 1s", err, time.Since(start))
		}
	})
}
