package redoubttest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/redoubt-go/redoubt/internal/memhttp"
)

// checkRequestBodies ends requests in many ways. That their bodies are closed is
// for settle to see.
func checkRequestBodies(s *stage) {
	ended, cancel := context.WithCancel(s.ctx)
	cancel()
	refused := func(_ int, r *http.Request) (*http.Response, error, bool) {
		_ = r.Body.Close()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, true
	}
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		for _, again := range []bool{true, false} {
			s.fresh()
			s.answers(http.StatusOK)
			s.drop(s.trip(s.upload(ended, method, "order", again)))
			s.answers(http.StatusServiceUnavailable)
			s.drop(s.trip(s.upload(s.ctx, method, "order", again)))
			s.serve(func(_ *receipt, _ http.ResponseWriter, r *http.Request) { memhttp.Reset(r) })
			s.drop(s.trip(s.upload(s.ctx, method, "order", again)))
			s.intercept(refused)
			s.drop(s.trip(s.upload(s.ctx, method, "order", again)))
			s.intercept(nil)
		}
	}
}

// endings are how a server may end a request that it has acted on.
var endings = map[string]http.HandlerFunc{
	"500":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
	"502":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
	"504":       func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) },
	"reset":     func(_ http.ResponseWriter, r *http.Request) { memhttp.Reset(r) },
	"closed":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"hang":      func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"truncated": truncate,
}

// truncate breaks off in the middle of the response.
func truncate(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", "100")
	_, _ = io.WriteString(w, "begin")
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func checkUnsafeRequests(s *stage) {
	for name, ending := range endings {
		for _, method := range []string{http.MethodPost, http.MethodPatch} {
			s.fresh()
			s.serve(func(got *receipt, w http.ResponseWriter, r *http.Request) {
				s.take(got, r)
				if r.Method == method {
					ending(w, r)
				}
			})
			s.ok(s.request(s.ctx, http.MethodGet)) // so that a connection is reused
			ctx, cancel := context.WithTimeout(s.ctx, time.Hour)
			resp, err := s.trip(s.upload(ctx, method, "order", true))
			if resp != nil {
				_ = s.readError(resp)
			}
			s.drop(resp, err)
			cancel()
			if n := len(s.receipts()) - 1; n != 1 {
				s.r.Errorf("%s: a %s was sent %d times, want once: the server may have acted on it", name, method, n)
			}
		}
	}
}

// checkRepeatedRequests has requests fail that may be sent again. If they are,
// they are the same.
func checkRepeatedRequests(s *stage) {
	for _, method := range []string{http.MethodPut, http.MethodPost, http.MethodGet} {
		for _, again := range []bool{true, false} {
			s.fresh()
			s.serve(func(got *receipt, w http.ResponseWriter, r *http.Request) {
				s.take(got, r)
				switch got.n {
				case 1:
					w.WriteHeader(http.StatusServiceUnavailable)
					_, _ = io.WriteString(w, "later")
				case 2:
					memhttp.Reset(r)
				}
			})
			req := s.upload(s.ctx, method, "order 66", again)
			req.Header.Set("Idempotency-Key", "k1")
			s.drop(s.trip(req))
			for i, got := range s.receipts() {
				if got.body != "order 66" || got.length != int64(len("order 66")) {
					s.r.Errorf("%s with GetBody %v: request %d brought %q with length %d, want the caller's bytes",
						method, again, i+1, got.body, got.length)
				}
				if got.header.Get("Idempotency-Key") != "k1" || !slices.Equal(got.header["X-Many"], []string{"b", "a"}) {
					s.r.Errorf("%s: request %d has header %v, want the caller's", method, i+1, got.header)
				}
			}
		}
	}
}

// checkEarlyAnswer has a base that answers before it has read the body, and goes
// on reading it, as package net/http may do.
func checkEarlyAnswer(s *stage) {
	var numbers strings.Builder
	for n := range 64 << 10 {
		_, _ = fmt.Fprintln(&numbers, n)
	}
	content := numbers.String()
	for _, again := range []bool{true, false} {
		s.fresh()
		s.intercept(func(n int, r *http.Request) (*http.Response, error, bool) {
			if n > 1 {
				return nil, nil, false
			}
			go func() {
				defer func() { _ = r.Body.Close() }()
				for chunk := make([]byte, 1<<10); ; time.Sleep(10 * time.Millisecond) {
					if _, err := io.ReadFull(r.Body, chunk); err != nil {
						return
					}
				}
			}()
			time.Sleep(time.Millisecond)
			return &http.Response{
				Status: "500 Internal Server Error", StatusCode: http.StatusInternalServerError,
				Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
				Header: http.Header{}, Body: http.NoBody, Request: r,
			}, nil, true
		})
		s.serve(func(got *receipt, _ http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			s.take(got, r)
		})
		s.drop(s.trip(s.upload(s.ctx, http.MethodPut, content, again)))
		time.Sleep(time.Minute) // RoundTrip may fail before the server has read what there is
		s.intercept(nil)
		for _, got := range s.receipts() {
			if !strings.HasPrefix(content, got.body) {
				s.r.Errorf("with GetBody %v: a repeated request brought other bytes than the caller's: it shares a body with the one before", again)
			}
		}
	}
}
