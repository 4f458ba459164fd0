package hedge

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
)

// An httpSender sends a request. Each attempt has a copy and a body of its own,
// so that what a loser still does with them concerns nobody.
type httpSender struct {
	transport *Transport
	req       *http.Request // the caller's, never changed
	used      bool          // its body is the first attempt's, for want of another
	hedges    []roundtrip.Hedge
	first     firstSend
	wasted    int // connections that losers cost, if each has its own
}

// firstSend is how the first attempt failed, if it did.
type firstSend struct {
	resp *http.Response
	err  error
}

func (s *httpSender) prepare(ctx context.Context, n int) (func() (*http.Response, error), error) {
	body, err := s.body(n)
	if err != nil {
		return nil, err
	}
	out := s.req.Clone(ctx)
	out.Body = body
	if n > 0 {
		if out, err = s.hedge(out, n); err != nil {
			return nil, err
		}
	}
	return func() (*http.Response, error) {
		resp, err := s.transport.base().RoundTrip(out)
		switch {
		case err != nil:
			s.discard(resp, err) // for whoever returns both
			return nil, err
		case resp == nil:
			return nil, errNoResponse
		case resp.Body == nil:
			resp.Body = http.NoBody
		}
		return resp, nil
	}, nil
}

// body returns the body for attempt n.
func (s *httpSender) body(n int) (io.ReadCloser, error) {
	if !roundtrip.HasBody(s.req) {
		return s.req.Body, nil
	}
	body, err := s.req.GetBody()
	if err != nil && n == 0 {
		s.used = true
		return s.req.Body, nil
	}
	return body, err
}

// hedge tells the redoubt.Transport further out, if there is one, about hedge n,
// and has it prepare that.
func (s *httpSender) hedge(out *http.Request, n int) (*http.Request, error) {
	var hedge roundtrip.Hedge
	if sending := roundtrip.SendingOf(out.Context()); sending != nil {
		var err error
		if out, hedge, err = sending.Hedge(out, n); err != nil {
			return nil, &unpreparedError{err}
		}
	}
	s.hedges = append(s.hedges[:n-1], hedge)
	return out, nil
}

func (s *httpSender) repeatable() bool { return !s.used }

func (s *httpSender) failed(resp *http.Response, err error) bool {
	return err != nil || s.transport.failure(resp)
}

func (s *httpSender) throttled(resp *http.Response, err error) (time.Duration, bool) {
	switch {
	case err != nil:
		return wishOf(err)
	case resp.StatusCode == http.StatusTooManyRequests:
		return retryAfter(resp.Header), true
	}
	return 0, false
}

// retryAfter returns how long the server asks to be left alone, or 0 if it does
// not say, or not so that it is understood: there is a default for that.
func retryAfter(h http.Header) time.Duration {
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(max(seconds, 0), int(maxCalm/time.Second))) * time.Second
	}
	if date, err := http.ParseTime(value); err == nil {
		return time.Until(date)
	}
	return 0
}

func (s *httpSender) settle(n int, f fate, resp *http.Response, err error) {
	if f == lost || f == broke && resp != nil {
		s.wasted++
	}
	if n == 0 {
		if f == broke {
			s.first = firstSend{resp, err}
		}
		return
	}
	hedge := s.hedges[n-1]
	switch {
	case hedge == nil:
	case f == won:
		hedge.Won(s.first.resp, s.first.err)
	case f == broke:
		hedge.Failed(resp, err)
	default:
		hedge.Lost()
	}
}

func (s *httpSender) discard(resp *http.Response, _ error) {
	if resp != nil && resp.Body != nil {
		_ = resp.Body.Close()
	}
}

// close closes the body that no attempt will close.
func (s *httpSender) close() {
	if !s.used {
		roundtrip.CloseBody(s.req)
	}
}

// hold has the context of the response end with its body, rather than before.
// After a 101 that nobody asked for it ends with the request's.
func hold(resp *http.Response, release context.CancelCauseFunc) {
	switch _, writable := resp.Body.(io.Writer); {
	case writable:
	case resp.Body == http.NoBody:
		release(nil)
	default:
		resp.Body = &heldBody{resp.Body, release}
	}
}

type heldBody struct {
	inner   io.ReadCloser
	release context.CancelCauseFunc
}

func (b *heldBody) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	if err != nil {
		b.release(nil)
	}
	return n, err
}

// Close closes the inner body first: net/http closes the connection if the
// context ends before the body does.
func (b *heldBody) Close() error {
	err := b.inner.Close()
	b.release(nil)
	return err
}
