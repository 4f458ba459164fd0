package faults

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// RoundTripper returns base with the plan's faults, as a client would see them.
// A nil base stands for the plan's Service, so that no socket is needed and a
// bubble of testing/synctest can hold all of it.
//
// It knows no connections: Refuse, NoHost and SYNLoss befall each request, as if
// it made one, and PerConn draws for each arrival. Requests by POST and PATCH are writes, see
// [Injector.Handler].
func (i *Injector) RoundTripper(base http.RoundTripper) http.RoundTripper {
	return &roundTripper{inj: i, base: base}
}

type roundTripper struct {
	inj  *Injector
	base http.RoundTripper
}

// CloseIdleConnections passes on to the base.
func (t *roundTripper) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

// RoundTrip sends req to the dependency.
func (t *roundTripper) RoundTrip(req *http.Request) (*http.Response, error) {
	i := t.inj
	if req.Context().Err() != nil {
		closeBody(req)
		return nil, context.Cause(req.Context())
	}
	if err := i.dial(req.Context(), req.URL.Hostname()); err != nil {
		closeBody(req)
		return nil, err
	}
	ctx, cancel := i.untilCut(req.Context())
	resp, f, err := t.answer(ctx, req)
	if err != nil {
		cancel()
		if errors.Is(err, errCut) {
			err = errReset()
		}
		return nil, err
	}
	resp.Request = req
	if t.base != nil && ctx == req.Context() && !f.paced() && f.truncate < 0 {
		return resp, nil // it is as it should be
	}
	resp.Body = &body{
		ReadCloser: resp.Body,
		ctx:        ctx,
		cancel:     cancel,
		pacer:      i.pace(f, resp.ContentLength),
	}
	return resp, nil
}

// answer returns the response to req, its body not yet paced, and the fate of it.
// It closes the request's body on every path.
func (t *roundTripper) answer(ctx context.Context, req *http.Request) (*http.Response, fate, error) {
	a, err := t.inj.arrive(ctx, arrivalOf(req))
	if err != nil {
		closeBody(req)
		return nil, fate{}, err
	}
	f := t.inj.fate(a)
	resp, err := t.respond(ctx, req, a, f)
	return resp, f, err
}

func (t *roundTripper) respond(ctx context.Context, req *http.Request, a arrival, f fate) (*http.Response, error) {
	if f.status != nil || f.reset || f.hole || t.base == nil {
		drain(ctx, req)
	}
	switch {
	case f.status != nil:
		return statusResponse(*f.status), nil
	case f.hole:
		<-ctx.Done()
		return nil, context.Cause(ctx)
	case f.reset:
		return nil, errReset()
	}
	switch err := t.inj.station.work(ctx, a); {
	case errors.Is(err, errFull):
		closeBody(req)
		return statusResponse(t.inj.plan.Service.Full), nil
	case err != nil:
		closeBody(req)
		return nil, err
	}
	resp, err := t.send(req)
	if err != nil {
		return nil, err
	}
	err = t.inj.finish(ctx, a, f)
	if err == nil && f.lost {
		err = errReset()
	}
	if err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

func (t *roundTripper) send(req *http.Request) (*http.Response, error) {
	if t.base == nil {
		return t.inj.plan.Service.response(), nil
	}
	return t.base.RoundTrip(req)
}

// drain reads the request's body, as a dependency would, and closes it.
func drain(ctx context.Context, req *http.Request) {
	if req.Body == nil || req.Body == http.NoBody {
		return
	}
	stop := context.AfterFunc(ctx, sync.OnceFunc(func() { _ = req.Body.Close() }))
	defer stop()
	_, _ = io.Copy(io.Discard, req.Body)
	_ = req.Body.Close()
}

func closeBody(req *http.Request) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
}

func arrivalOf(req *http.Request) arrival {
	a := arrival{
		request: req.Header.Get(RequestIDHeader),
		key:     req.Header.Get(idempotencyHeader),
		writes:  req.Method == http.MethodPost || req.Method == http.MethodPatch,
	}
	if a.request == "" {
		a.request = requestID(req.Context())
	}
	return a
}

func (s Service) response() *http.Response {
	return newResponse(http.StatusOK, make(http.Header), int64(s.Body))
}

func statusResponse(s Status) *http.Response {
	return newResponse(s.code(), s.header(), 0)
}

func newResponse(code int, header http.Header, size int64) *http.Response {
	return &http.Response{
		Status:        strconv.Itoa(code) + " " + http.StatusText(code),
		StatusCode:    code,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		ContentLength: size,
		Body:          io.NopCloser(io.LimitReader(filler{}, size)),
	}
}

// filler is a body without end.
type filler struct{}

func (filler) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// A body is a response's, paced and broken off. It fails once its context ends.
type body struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // A body ends with its request.
	cancel context.CancelFunc
	pacer  *pacer
	ended  bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.ended { // as a connection's body, which has no more use for a context
		return 0, io.EOF
	}
	n, err := b.read(p)
	b.ended = err == io.EOF //nolint:errorlint // A body ends with it unwrapped.
	return n, err
}

func (b *body) read(p []byte) (int, error) {
	if b.ctx.Err() != nil {
		return 0, b.fail(context.Cause(b.ctx))
	}
	if len(p) == 0 {
		return 0, nil
	}
	if b.pacer.size >= 0 && b.pacer.moved >= b.pacer.size { // nothing left to wait for
		return b.ReadCloser.Read(p)
	}
	n, err := b.pacer.next(b.ctx, len(p))
	switch {
	case err != nil:
		return 0, b.fail(err)
	case n == 0:
		return 0, io.ErrUnexpectedEOF
	}
	got, err := b.ReadCloser.Read(p[:n])
	b.pacer.moved -= int64(n - got)
	return got, err
}

func (b *body) fail(err error) error {
	if errors.Is(err, errCut) {
		return errReset()
	}
	return err
}

func (b *body) Close() error {
	b.cancel()
	return b.ReadCloser.Close()
}
