package redoubttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A tripFunc is a transport that passes CloseIdleConnections on.
type tripFunc struct {
	base http.RoundTripper
	trip func(base http.RoundTripper, r *http.Request) (*http.Response, error)
}

func (f tripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f.trip(f.base, r) }

func (f tripFunc) CloseIdleConnections() {
	(&http.Client{Transport: f.base}).CloseIdleConnections()
}

func trips(f func(base http.RoundTripper, r *http.Request) (*http.Response, error)) func(http.RoundTripper) http.RoundTripper {
	return func(base http.RoundTripper) http.RoundTripper { return tripFunc{base, f} }
}

// Transports that keep the contract.

// simpleRetry is the least that a careful retry does: it repeats what failed
// with a status, is idempotent by its method and has GetBody.
var simpleRetry = trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
	resp, err := base.RoundTrip(r)
	for range 2 {
		if err != nil || resp.StatusCode < 500 || r.Method == http.MethodPost || r.Method == "PATCH" || r.Body != nil && r.GetBody == nil {
			return resp, err
		}
		if sleep(r.Context(), 100*time.Millisecond) != nil {
			return resp, nil
		}
		again := r.WithContext(r.Context())
		if r.GetBody != nil {
			if again.Body, err = r.GetBody(); err != nil {
				return resp, nil
			}
		}
		_, _ = io.CopyN(io.Discard, resp.Body, 4<<10)
		_ = resp.Body.Close()
		resp, err = base.RoundTrip(again)
	}
	return resp, err
})

func TestCheckTransport(t *testing.T) {
	for name, wrap := range map[string]func(http.RoundTripper) http.RoundTripper{
		"pass-through": func(base http.RoundTripper) http.RoundTripper { return base }, // net/http's own
		"retry":        simpleRetry,
		"signer": trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			signed := r.Clone(r.Context())
			signed.Header.Set("X-Signature", "1")
			return base.RoundTrip(signed)
		}),
	} {
		t.Run(name, func(t *testing.T) {
			CheckTransport(t, wrap)
		})
	}
}

// A brokenBody is a response body that something is wrong with.
type brokenBody struct {
	io.ReadCloser
	onClose func()
}

func (b brokenBody) Close() error {
	defer b.onClose()
	return b.ReadCloser.Close()
}

// Transports as they are found in the wild. Each breaks a clause; others may
// break along with it.
var brokenTransports = []struct {
	name   string
	broken string // the clause
	says   string
	wrap   func(http.RoundTripper) http.RoundTripper
}{
	{
		"sets a header of the caller's", "Response", "changed the request's Header",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			r.Header.Set("User-Agent", "me")
			return base.RoundTrip(r)
		}),
	},
	{
		"replaces the caller's body", "EarlyAnswer", "changed the request's Body",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			if r.Body != nil {
				r.Body = io.NopCloser(r.Body)
			}
			return base.RoundTrip(r)
		}),
	},
	{
		"forgets the body if the context has ended", "CancelledBefore", "request body was not closed",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			if err := r.Context().Err(); err != nil {
				return nil, err
			}
			return base.RoundTrip(r)
		}),
	},
	{
		"never closes the body", "RequestBodies", "request body was not closed",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			again := r.WithContext(r.Context())
			if r.Body != nil {
				again.Body = io.NopCloser(r.Body)
			}
			return base.RoundTrip(again)
		}),
	},
	{
		"returns a response and an error", "Statuses", "a response and an error",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil && resp.StatusCode >= 500 {
				err = errors.New("giving up")
			}
			return resp, err
		}),
	},
	{
		"makes an error of a status", "Statuses", "an error of status 500",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil && resp.StatusCode >= 500 {
				_ = resp.Body.Close()
				return nil, errors.New("giving up")
			}
			return resp, err
		}),
	},
	{
		"returns what it has read already", "Statuses", "want the server's last",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil && resp.StatusCode >= 500 {
				_, _ = io.Copy(io.Discard, resp.Body)
			}
			return resp, err
		}),
	},
	{
		"returns nothing at all", "CancelledWhileSending", "neither a response nor an error",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if r.Context().Err() != nil {
				return nil, nil
			}
			return resp, err
		}),
	},
	{
		"has a nil body", "EmptyBodies", "nil Body",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil && resp.StatusCode == http.StatusNoContent {
				_ = resp.Body.Close()
				resp.Body = nil
			}
			return resp, err
		}),
	},
	{
		"returns a request whose context has ended", "Response", "context of the response's Request has ended",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			ctx, cancel := context.WithCancel(r.Context())
			resp, err := base.RoundTrip(r.WithContext(ctx))
			if err == nil {
				data, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				resp.Body = io.NopCloser(bytes.NewReader(data))
			}
			cancel()
			return resp, err
		}),
	},
	{
		"is a client that follows redirects", "Redirects", "followed a redirect",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			return (&http.Client{Transport: base}).Do(r)
		}),
	},
	{
		"keeps cookies", "Cookies", "sent a cookie by itself",
		func(base http.RoundTripper) http.RoundTripper {
			jar, _ := cookiejar.New(nil)
			return trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
				again := r.Clone(r.Context())
				for _, c := range jar.Cookies(r.URL) {
					again.AddCookie(c)
				}
				resp, err := base.RoundTrip(again)
				if err == nil {
					jar.SetCookies(r.URL, resp.Cookies())
				}
				return resp, err
			})(base)
		},
	},
	{
		"answers a challenge", "Credentials", "handled a challenge",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err != nil || resp.StatusCode != http.StatusUnauthorized {
				return resp, err
			}
			_ = resp.Body.Close()
			again := r.Clone(r.Context())
			again.SetBasicAuth("user", "secret")
			return base.RoundTrip(again)
		}),
	},
	{
		"hides CloseIdleConnections", "CloseIdleConnections", "did not reach base",
		func(base http.RoundTripper) http.RoundTripper { return struct{ http.RoundTripper }{base} },
	},
	{
		"hides the error", "ErrorShowsThrough", "want one that wraps base's",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err != nil {
				return nil, fmt.Errorf("request failed: %v", err)
			}
			return resp, nil
		}),
	},
	{
		"repeats everything that has GetBody", "UnsafeRequests", "the server may have acted on it",
		retrying(func(resp *http.Response, err error) bool { return err != nil || resp.StatusCode >= 500 }, nil),
	},
	{
		"repeats a POST after a reset", "UnsafeRequests", "reset: a POST was sent 3 times",
		retrying(func(_ *http.Response, err error) bool { return err != nil }, nil),
	},
	{
		"repeats with what is left of the body", "RepeatedRequests", "want the caller's bytes",
		retrying(func(resp *http.Response, err error) bool {
			return err == nil && resp.StatusCode == http.StatusServiceUnavailable
		},
			func(r *http.Request) *http.Request {
				again := r.WithContext(r.Context())
				if r.Body != nil {
					again.Body = http.NoBody
				}
				return again
			}),
	},
	{
		"repeats with another length", "RepeatedRequests", "want the caller's bytes",
		retrying(func(resp *http.Response, err error) bool {
			return err == nil && resp.StatusCode == http.StatusServiceUnavailable
		},
			func(r *http.Request) *http.Request {
				again := replayed(r)
				again.ContentLength = -1
				return again
			}),
	},
	{
		"seeks the body", "EarlyAnswer", "it shares a body with the one before",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			again := r.WithContext(r.Context())
			if r.Body != nil {
				defer r.Body.Close()
				again.Body = io.NopCloser(r.Body)
			}
			resp, err := base.RoundTrip(again)
			if err != nil || resp.StatusCode < 500 || r.Method == http.MethodPost || r.Method == "PATCH" {
				return resp, err
			}
			if s, ok := r.Body.(io.Seeker); ok {
				_, _ = s.Seek(0, io.SeekStart)
			}
			_ = resp.Body.Close()
			return base.RoundTrip(again)
		}),
	},
	{
		"buffers the request", "StreamedRequest", "has not got the first bytes",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			again := r.WithContext(r.Context())
			if r.Body != nil {
				data, _ := io.ReadAll(r.Body)
				_ = r.Body.Close()
				again.Body = io.NopCloser(bytes.NewReader(data))
			}
			return base.RoundTrip(again)
		}),
	},
	{
		"buffers the response", "StreamedResponse", "holds back more than 4 MiB",
		buffering(1 << 30),
	},
	{
		"buffers a little of the response", "StreamedEvents", "an event was held back",
		buffering(1 << 10),
	},
	{
		"ignores how the body ends", "BrokenResponse", "want io.ErrUnexpectedEOF",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil {
				data, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				resp.Body = io.NopCloser(bytes.NewReader(data))
			}
			return resp, err
		}),
	},
	{
		"cancels its context when it returns", "LargeResponse", "want all of it",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Hour)
			defer cancel()
			return base.RoundTrip(r.WithContext(ctx))
		}),
	},
	{
		"limits the body with the attempt", "StreamedEvents", "a stream of events broke off",
		limiting30,
	},
	{
		"limits the connection after 101", "Upgrade", "an hour of silence",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil {
				time.AfterFunc(time.Minute, func() { _ = resp.Body.Close() })
			}
			return resp, err
		}),
	},
	{
		"wraps the body after 101", "Upgrade", "no io.ReadWriteCloser",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil {
				resp.Body = brokenBody{resp.Body, func() {}}
			}
			return resp, err
		}),
	},
	{
		"hides CloseWrite after 101", "Upgrade", "no method CloseWrite",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil {
				if conn, ok := resp.Body.(io.ReadWriteCloser); ok {
					resp.Body = struct{ io.ReadWriteCloser }{conn}
				}
			}
			return resp, err
		}),
	},
	{
		"copies the trailer before it is there", "Trailers", "want the server's",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err != nil {
				return nil, err
			}
			early := *resp
			early.Trailer = resp.Trailer.Clone()
			return &early, nil
		}),
	},
	{
		"drops the caller's context", "Context", "want that of the caller's",
		detached,
	},
	{
		"drops the caller's trace", "InterimResponses", "want 103",
		detached,
	},
	{
		"is deaf to cancellation", "CancelledWhileSending", "want context.Canceled at once",
		detached,
	},
	{
		"is deaf to the deadline", "Deadline", "want context.DeadlineExceeded by then",
		detached,
	},
	{
		"is deaf to Request.Cancel", "CancelField", "want at once",
		detached,
	},
	{
		"sends although the context has ended", "CancelledBefore", "the server got 1 requests",
		detached,
	},
	{
		"cuts the body off from the context", "CancelledWhileReading", "want context.Canceled at once",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			ctx, cancel := context.WithCancelCause(context.WithoutCancel(r.Context()))
			stop := context.AfterFunc(r.Context(), func() { cancel(r.Context().Err()) })
			defer stop()
			resp, err := base.RoundTrip(r.WithContext(ctx))
			if err == nil {
				resp.Request = r
				resp.Body = brokenBody{resp.Body, func() { cancel(nil) }}
			} else {
				cancel(nil)
			}
			return resp, err
		}),
	},
	{
		"renames a deadline", "Deadline", "it is no timeout",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if errors.Is(err, context.DeadlineExceeded) {
				return nil, silentDeadlineError{}
			}
			return resp, err
		}),
	},
	{
		"sleeps through cancellation", "CancelledWhileWaiting", "want at once",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil && resp.Header.Get("Retry-After") != "" {
				time.Sleep(20 * time.Second)
			}
			return resp, err
		}),
	},
	{
		"says something else when cancelled", "CancelledWhileWaiting", "want context.Canceled",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil && resp.Header.Get("Retry-After") != "" {
				_ = resp.Body.Close()
				_ = sleep(r.Context(), time.Minute)
				return nil, errors.New("gave up")
			}
			return resp, err
		}),
	},
	{
		"swallows a panic", "Panic", "did not pass",
		trips(func(base http.RoundTripper, r *http.Request) (resp *http.Response, err error) {
			defer func() {
				if p := recover(); p != nil {
					err = fmt.Errorf("panic: %v", p)
				}
			}()
			return base.RoundTrip(r)
		}),
	},
	{
		"keeps a permit after a panic", "Panic", "an hour later",
		permit(func(release func(), trip func() (*http.Response, error)) (*http.Response, error) {
			resp, err := trip()
			release()
			return resp, err
		}),
	},
	{
		"keeps a permit after a Goexit", "Goexit", "an hour later",
		permit(func(release func(), trip func() (*http.Response, error)) (*http.Response, error) {
			resp, err := trip()
			release()
			return resp, err
		}),
	},
	{
		"mixes up its callers", "Concurrent", "the answer of another",
		func(base http.RoundTripper) http.RoundTripper {
			var last atomic.Pointer[[]byte]
			return trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
				resp, err := base.RoundTrip(r)
				if err == nil {
					data, _ := io.ReadAll(resp.Body)
					_ = resp.Body.Close()
					old := last.Swap(&data)
					if old == nil {
						old = &data
					}
					resp.Body = io.NopCloser(bytes.NewReader(*old))
				}
				return resp, err
			})(base)
		},
	},
	{
		"leaks responses that it repeats", "RepeatedRequests", "a response body of base was not closed",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			resp, err := base.RoundTrip(r)
			if err == nil && resp.StatusCode == http.StatusServiceUnavailable && r.GetBody != nil && r.Header.Get("Idempotency-Key") != "" {
				return base.RoundTrip(replayed(r))
			}
			return resp, err
		}),
	},
	{
		"leaks a goroutine", "Response", "goroutines that the transport left behind",
		trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			go func() {
				for r.Context().Err() == nil {
					time.Sleep(time.Minute)
				}
			}()
			return base.RoundTrip(r)
		}),
	},
	{
		"is broken for good after many failures", "ManyFailures", "an hour later",
		func(base http.RoundTripper) http.RoundTripper {
			var failures atomic.Int64
			return trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
				if failures.Load() > 5 {
					if r.Body != nil {
						_ = r.Body.Close()
					}
					return nil, errors.New("open")
				}
				resp, err := base.RoundTrip(r)
				if err != nil {
					failures.Add(1)
				}
				return resp, err
			})(base)
		},
	},
}

// silentDeadlineError is a deadline that does not look like one.
type silentDeadlineError struct{}

func (silentDeadlineError) Error() string        { return "too late" }
func (silentDeadlineError) Is(target error) bool { return target == context.DeadlineExceeded }

// detached has a context of its own.
var detached = trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	again := r.WithContext(ctx)
	again.Cancel = nil //nolint:staticcheck // That is what is wrong.
	resp, err := base.RoundTrip(again)
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Request = r
	resp.Body = brokenBody{resp.Body, cancel}
	return resp, nil
})

// limiting30 limits an attempt, the body included, to 30 s.
var limiting30 = trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), 30*time.Second)
	resp, err := base.RoundTrip(r.WithContext(ctx))
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = brokenBody{resp.Body, cancel}
	return resp, nil
})

// replayed returns a copy of r with a body of its own.
func replayed(r *http.Request) *http.Request {
	again := r.WithContext(r.Context())
	if r.GetBody != nil {
		again.Body, _ = r.GetBody()
	}
	return again
}

// retrying makes three attempts, whatever the method.
func retrying(failed func(*http.Response, error) bool, next func(*http.Request) *http.Request) func(http.RoundTripper) http.RoundTripper {
	if next == nil {
		next = replayed
	}
	return trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(r)
		for range 2 {
			if !failed(resp, err) || r.Body != nil && r.GetBody == nil || r.Context().Err() != nil {
				break
			}
			if resp != nil {
				_ = resp.Body.Close()
			}
			resp, err = base.RoundTrip(next(r))
		}
		return resp, err
	})
}

// buffering reads that much of a response before it returns.
func buffering(limit int64) func(http.RoundTripper) http.RoundTripper {
	return trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
		resp, err := base.RoundTrip(r)
		if err != nil || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp, err
		}
		inner := resp.Body
		data, err := io.ReadAll(io.LimitReader(inner, limit))
		if err != nil {
			_ = inner.Close()
			return nil, err
		}
		resp.Body = brokenBody{io.NopCloser(io.MultiReader(bytes.NewReader(data), inner)), func() { _ = inner.Close() }}
		return resp, nil
	})
}

// permit lets one request pass at a time.
func permit(do func(release func(), trip func() (*http.Response, error)) (*http.Response, error)) func(http.RoundTripper) http.RoundTripper {
	return func(base http.RoundTripper) http.RoundTripper {
		slot := make(chan struct{}, 1)
		return trips(func(base http.RoundTripper, r *http.Request) (*http.Response, error) {
			select {
			case slot <- struct{}{}:
			default:
				return nil, errors.New("busy")
			}
			return do(func() { <-slot }, func() (*http.Response, error) { return base.RoundTrip(r) })
		})(base)
	}
}

func TestCheckTransport_FindsWhatIsBroken(t *testing.T) {
	laws := transportLaws()
	found := make(map[string]bool)
	var mu sync.Mutex
	t.Run("broken", func(t *testing.T) {
		for _, tt := range brokenTransports {
			t.Run(tt.name, func(t *testing.T) {
				t.Parallel()
				at := slices.IndexFunc(laws, func(l transportLaw) bool { return l.name == tt.broken })
				if at < 0 {
					t.Fatalf("there is no law %q", tt.broken)
				}
				var r transcript
				laws[at].run(t, &r, tt.wrap, 10*time.Second)
				if !strings.Contains(r.String(), tt.says) {
					t.Errorf("%s reports:\n%s\nwant %q", tt.broken, r.String(), tt.says)
				}
				mu.Lock()
				defer mu.Unlock()
				found[tt.broken] = true
			})
		}
	})
	for _, law := range laws {
		if !found[law.name] {
			t.Errorf("no broken transport shows what %s is for", law.name)
		}
	}
}
