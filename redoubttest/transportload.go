package redoubttest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/redoubt-go/redoubt/internal/memhttp"
)

func checkBasePanics(s *stage) {
	value := new(int) // a pointer is only equal to itself
	s.intercept(func(_ int, r *http.Request) (*http.Response, error, bool) {
		_ = r.Body.Close()
		panic(value)
	})
	_, end := s.observe(s.upload(s.ctx, http.MethodPut, "order", true))
	if end.panicked != any(value) || end.returned {
		s.r.Errorf("base's panic did not pass: RoundTrip %v", end)
	}
	s.recovers()
}

func checkBaseExits(s *stage) {
	s.intercept(func(_ int, r *http.Request) (*http.Response, error, bool) {
		_ = r.Body.Close()
		runtime.Goexit()
		return nil, nil, false
	})
	_, end := s.observe(s.upload(s.ctx, http.MethodPut, "order", true))
	if end.panicked != nil || end.returned {
		s.r.Errorf("base's Goexit did not pass: RoundTrip %v", end)
	}
	s.recovers()
}

// checkConcurrentTrips uses the transport from many goroutines, whose requests
// share a header.
func checkConcurrentTrips(s *stage) {
	s.serve(func(got *receipt, w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if got.n%7 == 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write(body)
	})
	header := http.Header{"X-Shared": {"1"}}
	var wg sync.WaitGroup
	for caller := range 8 {
		wg.Go(func() {
			for n := range 5 {
				content := fmt.Sprintf("%d of %d", n, caller)
				req := s.upload(s.ctx, http.MethodPut, content, n%2 == 0)
				req.Header = header
				resp, err := s.trip(req)
				if err != nil {
					continue // a breaker, perhaps
				}
				if got := s.read(resp); got != content {
					s.r.Errorf("a caller got the answer of another: %q, want %q", got, content)
				}
			}
		})
	}
	wg.Wait()
	s.recovers()
}

// checkManyFailures fails in all ways at once, so that what one failure leaves
// behind is seen.
func checkManyFailures(s *stage) {
	s.serve(func(got *receipt, w http.ResponseWriter, r *http.Request) {
		s.take(got, r) // a server that has not does not notice that its client is gone
		switch got.n % 5 {
		case 0:
			memhttp.Reset(r)
		case 1:
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = io.WriteString(w, "later")
		case 2:
			truncate(w, r)
		case 3:
			<-r.Context().Done()
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	s.intercept(func(n int, r *http.Request) (*http.Response, error, bool) {
		switch n % 7 {
		case 0:
			_ = r.Body.Close()
			panic(ErrPanic)
		case 1:
			_ = r.Body.Close()
			return nil, &net.OpError{Op: "dial", Net: "tcp", Err: syscall.ECONNREFUSED}, true
		}
		return nil, nil, false
	})
	for n := range 70 {
		ctx, cancel := context.WithTimeout(s.ctx, time.Minute)
		before := s.sent()
		resp, end := s.observe(s.upload(ctx, http.MethodPut, "order", n%2 == 0))
		if resp != nil && n%3 > 0 { // read to the end, or closed early
			_ = s.readError(resp)
		}
		s.drop(resp, end.err)
		cancel()
		if s.sent() == before {
			time.Sleep(anHour) // refused
		}
	}
	s.recovers()
}
