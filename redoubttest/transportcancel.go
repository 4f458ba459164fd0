package redoubttest

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

func checkContext(s *stage) {
	type key struct{}
	s.intercept(func(_ int, r *http.Request) (*http.Response, error, bool) {
		if got := r.Context().Value(key{}); got != "value" {
			s.r.Errorf("base's request has a context with value %v, want that of the caller's", got)
		}
		return nil, nil, false
	})
	s.ok(s.request(context.WithValue(s.ctx, key{}, "value"), http.MethodGet))
}

func checkCancelledBefore(s *stage) {
	ctx, cancel := context.WithCancel(s.ctx)
	cancel()
	resp, err := s.trip(s.upload(ctx, http.MethodPut, "order", true))
	s.drop(resp, err)
	if !errors.Is(err, context.Canceled) {
		s.r.Errorf("the context had ended before, and the error is %v, want context.Canceled", err)
	}
	if n := len(s.receipts()); n > 0 {
		s.r.Errorf("the context had ended before, but the server got %d requests", n)
	}
}

func checkCancelledWhileSending(s *stage) {
	gone := make(chan struct{})
	s.serve(func(_ *receipt, _ http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		close(gone)
	})
	ctx, cancel := context.WithCancel(s.ctx)
	time.AfterFunc(500*time.Millisecond, cancel)
	start := time.Now()
	resp, err := s.trip(s.request(ctx, http.MethodPost))
	s.drop(resp, err)
	if took := time.Since(start); !errors.Is(err, context.Canceled) || took > 500*time.Millisecond+promptly {
		s.r.Errorf("cancelled after 500ms, RoundTrip returned %v after %v, want context.Canceled at once", err, took)
	}
	select {
	case <-gone:
	case <-time.After(time.Second):
		s.r.Errorf("the caller's cancellation did not reach the server")
	}
}

// checkCancelledWhileWaiting cancels a request that is failing all the time.
func checkCancelledWhileWaiting(s *stage) {
	s.serve(func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "20")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	ctx, cancel := context.WithCancel(s.ctx)
	const at = 9 * time.Second
	time.AfterFunc(at, cancel)
	start := time.Now()
	resp, err := s.trip(s.request(ctx, http.MethodGet))
	s.drop(resp, err)
	took := time.Since(start)
	if took > at+promptly {
		s.r.Errorf("cancelled after %v, RoundTrip returned after %v, want at once", at, took)
	}
	if took >= at && err != nil && !errors.Is(err, context.Canceled) {
		s.r.Errorf("cancelled while it waited, RoundTrip returned %v, want context.Canceled", err)
	}
}

func checkCancelledWhileReading(s *stage) {
	s.serve(func(_ *receipt, w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	resp, err := s.trip(s.request(ctx, http.MethodGet))
	if err != nil {
		s.r.Errorf("RoundTrip of a fresh transport: %v", err)
		return
	}
	time.AfterFunc(time.Second, cancel)
	start := time.Now()
	err = s.readError(resp)
	s.drop(resp, err)
	if took := time.Since(start); !errors.Is(err, context.Canceled) || took > time.Second+promptly {
		s.r.Errorf("cancelled after 1s, the body ended with %v after %v, want context.Canceled at once", err, took)
	}
}

// checkCancelField uses the old way of cancelling, as http.Client.Timeout still
// does.
func checkCancelField(s *stage) {
	s.serve(func(_ *receipt, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	cancel := make(chan struct{})
	req := s.request(s.ctx, http.MethodPost)
	req.Cancel = cancel //nolint:staticcheck // Deprecated, and in use by http.Client.
	time.AfterFunc(500*time.Millisecond, func() { close(cancel) })
	start := time.Now()
	s.drop(s.trip(req))
	if took := time.Since(start); took > 500*time.Millisecond+promptly {
		s.r.Errorf("Request.Cancel was closed after 500ms, RoundTrip returned after %v, want at once", took)
	}
}

func checkDeadline(s *stage) {
	s.serve(func(_ *receipt, _ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	ctx, cancel := context.WithTimeout(s.ctx, 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	resp, err := s.trip(s.request(ctx, http.MethodGet))
	s.drop(resp, err)
	if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took > 500*time.Millisecond+promptly {
		s.r.Errorf("with 500ms to a deadline RoundTrip returned %v after %v, want context.DeadlineExceeded by then", err, took)
	}
	var timeout interface{ Timeout() bool }
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		s.r.Errorf("after a deadline the error %v says of itself that it is no timeout", err)
	}
}
