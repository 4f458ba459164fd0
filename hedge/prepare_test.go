package hedge_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/internal/memhttp"
)

// signer signs each request anew: with a number that is used once, in the header
// and the URL, and a digest of the body.
func signer(nonce *int) func(*http.Request) error {
	return func(r *http.Request) error {
		*nonce++
		body := []byte("none")
		if r.Body != nil {
			var err error
			if body, err = io.ReadAll(r.Body); err != nil {
				return err
			}
		}
		r.Header.Add("Signature", fmt.Sprint(*nonce, " of ", string(body)))
		r.Header.Add("Trail", fmt.Sprint(*nonce))
		r.Header.Del("Unsigned")
		query := r.URL.Query()
		query.Add("nonce", fmt.Sprint(*nonce))
		r.URL.RawQuery = query.Encode()
		r.Host = fmt.Sprint(r.Host, ".", *nonce)
		return nil
	}
}

// TestTransport_087_HedgeIsPrepared: a hedge once went out with the first send's
// signature, which a server that looks at nonces refuses.
func TestTransport_087_HedgeIsPrepared(t *testing.T) {
	for _, tt := range []struct {
		name, method, body string
		between            bool
	}{
		{name: "no body", method: http.MethodGet},
		{name: "a body", method: http.MethodPut, body: "order"},
		{name: "a RoundTripper between", method: http.MethodGet, between: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := bubble(t, func(t *testing.T, base *memhttp.Server) {
				nonce := 0
				hedged := http.RoundTripper(&hedge.Transport{Base: base.Transport, Hedger: eager(time.Second)})
				if tt.between {
					hedged = &tagging{hedged}
				}
				rt := &redoubt.Transport{Base: hedged, Prepare: signer(&nonce), AttemptHeader: "Retry-Attempt"}
				var body io.Reader
				if tt.body != "" {
					body = strings.NewReader(tt.body)
				}
				req := newRequest(hedge.WithIdempotent(t.Context()), t, tt.method, body, "Unsigned", "yes", "Trail", "caller")
				if status, got := send(t, rt, req); status != 200 || got != "hedge" {
					t.Errorf("got %d %q, want 200 \"hedge\"", status, got)
				}
				if req.Header.Get("Signature") != "" || req.URL.RawQuery != "" {
					t.Error("the caller's request was changed")
				}
			}, after(time.Hour, 200, "first"), after(time.Second, 200, "hedge"))
			if len(s.requests) != 2 {
				t.Fatalf("%d requests, want 2", len(s.requests))
			}
			of := " of none"
			if tt.body != "" {
				of = " of " + tt.body
			}
			for i, r := range s.requests {
				n := fmt.Sprint(i + 1)
				if got, want := r.Header["Signature"], []string{n + of}; !slices.Equal(got, want) {
					t.Errorf("request %s is signed %q, want %q", n, got, want)
				}
				if got, want := r.Header["Trail"], []string{"caller", n}; !slices.Equal(got, want) {
					t.Errorf("request %s has the trail %q, want %q", n, got, want)
				}
				if r.URL.RawQuery != "nonce="+n || r.Host != "example.com."+n || r.Header.Get("Unsigned") != "" || s.bodies[i] != tt.body {
					t.Errorf("request %s has query %q, host %q, header %q, body %q", n, r.URL.RawQuery, r.Host, r.Header, s.bodies[i])
				}
				if got, want := r.Header.Get("Tag"), map[bool]string{true: "1"}[tt.between]; got != want {
					t.Errorf("request %s has the tag %q, want %q", n, got, want)
				}
				if got, want := r.Header.Get("Retry-Attempt"), []string{"", "1"}[i]; got != want {
					t.Errorf("request %s is marked as number %q, want %q", n, got, want)
				}
			}
		})
	}
}

// tagging adds a header, as instrumentation does.
type tagging struct{ base http.RoundTripper }

func (t *tagging) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Tag", "1")
	return t.base.RoundTrip(r)
}

// A hedge that can't be prepared is not sent, and costs its share nothing.
func TestTransport_087_HedgeIsNotPrepared(t *testing.T) {
	s := bubble(t, func(t *testing.T, base *memhttp.Server) {
		calls := 0
		var closed []*closeCounter
		rt := &redoubt.Transport{
			Base: &hedge.Transport{Base: base.Transport, Hedger: eager(time.Second)},
			Prepare: func(*http.Request) error {
				if calls++; calls > 1 {
					return errors.New("no token")
				}
				return nil
			},
		}
		req := newRequest(hedge.WithIdempotent(t.Context()), t, http.MethodPut, strings.NewReader("order"))
		inner := req.GetBody
		req.GetBody = func() (io.ReadCloser, error) {
			body, err := inner()
			c := &closeCounter{ReadCloser: body}
			closed = append(closed, c)
			return c, err
		}
		start := time.Now()
		status, body := send(t, rt, req)
		if took := time.Since(start); status != 200 || body != "first" || took != time.Minute || calls != 2 {
			t.Errorf("got %d %q after %v, %d prepared, want the first's after 1m and 2", status, body, took, calls)
		}
		synctest.Wait()
		for i, c := range closed {
			if c.n == 0 {
				t.Errorf("body %d of %d was not closed", i, len(closed))
			}
		}
	}, after(time.Minute, 200, "first"))
	if n := s.count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
}

type closeCounter struct {
	io.ReadCloser
	n int
}

func (c *closeCounter) Close() error {
	c.n++
	return c.ReadCloser.Close()
}

// A hedge is prepared with the body that Prepare found, not with what it made of it.
func TestTransport_087_ReplacedBody(t *testing.T) {
	s := bubble(t, func(t *testing.T, base *memhttp.Server) {
		rt := &redoubt.Transport{
			Base: &hedge.Transport{Base: base.Transport, Hedger: eager(time.Second)},
			Prepare: func(r *http.Request) error {
				body, err := io.ReadAll(r.Body)
				sealed := append([]byte("sealed "), body...)
				r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(sealed)), nil }
				r.Body, _ = r.GetBody()
				r.ContentLength = int64(len(sealed))
				return err
			},
		}
		req := newRequest(hedge.WithIdempotent(t.Context()), t, http.MethodPut, strings.NewReader("order"))
		if status, body := send(t, rt, req); status != 200 || body != "hedge" {
			t.Errorf("got %d %q, want 200 \"hedge\"", status, body)
		}
	}, after(time.Hour, 200, "first"), after(time.Second, 200, "hedge"))
	if got, want := s.bodies, []string{"sealed order", "sealed order"}; !slices.Equal(got, want) {
		t.Errorf("bodies %q, want %q", got, want)
	}
}
