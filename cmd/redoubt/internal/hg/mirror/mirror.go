package mirror

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// Limits are how patient we are with a server. All are needed but MinRate.
type Limits struct {
	Attempts      int           // of each request
	Connect       time.Duration // TCP, and TLS once more
	FirstByte     time.Duration // of an attempt, from its beginning to the header of the answer
	Stall         time.Duration // of silence within an answer
	MinRate       int64         // bytes a second within an answer; 0 means any
	MaxRetryAfter time.Duration // that a server may demand
}

// Config says which server and how to treat it.
type Config struct {
	Source  source.Source
	Limits  Limits
	Breaker redoubt.Layer // nil means none

	// Attempted is told of every attempt that failed. Nil means nobody.
	Attempted func(Attempt)

	// Exchanged is told of every request when its answer was read to its
	// end, or failed. Nil means nobody.
	Exchanged func(Exchange)
}

// An Attempt is one that failed.
type Attempt struct {
	Source  string
	Command string
	Ordinal int // from 1
	Of      int
	Waited  time.Duration // since the attempt before it failed
	Verdict classify.Verdict
}

// A Mirror is a guarded server. It is safe for concurrent use. Make one with
// New.
type Mirror struct {
	config Config
	client *http.Client
	base   *http.Transport
}

// maxRedirects is how many redirects are followed for one request.
const maxRedirects = 5

// New returns a guard for the server of config.
func New(config Config) *Mirror {
	m := &Mirror{config: config, base: transport(config.Limits)}
	m.client = &http.Client{
		Transport:     &redoubt.Transport{Base: attempts{m}, Layer: m.stack(), StallTimeout: redoubt.NoStallTimeout},
		CheckRedirect: m.redirect,
	}
	return m
}

func transport(limits Limits) *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial(&net.Dialer{Timeout: min(limits.Connect, limits.FirstByte)}),
		TLSHandshakeTimeout: min(limits.Connect, limits.FirstByte),
		ForceAttemptHTTP2:   true,
		DisableCompression:  true, // hg compresses, and counts the bytes
		MaxIdleConnsPerHost: 2,
		IdleConnTimeout:     30 * time.Second,
	}
}

// stack is what every request passes: the breaker within the retries sees each
// attempt, and an open one ends them.
func (m *Mirror) stack() redoubt.Stack {
	limits := m.config.Limits
	stack := redoubt.Stack{
		redoubt.Telemetry{Name: "hg"},
		retry.Policy{
			MaxAttempts:   limits.Attempts,
			Backoff:       retry.FullJitter(500*time.Millisecond, 15*time.Second),
			Budget:        retry.NewBudget(retry.BudgetConfig{Name: "hg"}),
			Retryable:     retryable,
			MaxRetryAfter: limits.MaxRetryAfter,
		},
	}
	if m.config.Breaker != nil {
		stack = append(stack, redoubt.LayerFunc(m.header))
	}
	return append(stack, timeout.Limit(limits.FirstByte))
}

func retryable(err error) bool {
	return !errors.Is(err, breaker.ErrOpen) && classify.Transport(err).Reaction.Again()
}

// BreakerOutcome judges what a failure says about a server: only what a wait can
// cure. To lack a revision, or to be somebody else, is no illness.
func BreakerOutcome(err error) breaker.Outcome {
	if errors.Is(err, errHeader) {
		return breaker.Ignored
	}
	if err != nil && classify.Transport(err).Reaction == classify.Security {
		return breaker.Ignored
	}
	return breaker.DefaultClassify(err)
}

// Source returns the server's source.
func (m *Mirror) Source() source.Source { return m.config.Source }

// Limits returns how patient the mirror is.
func (m *Mirror) Limits() Limits { return m.config.Limits }

// Close closes the connections that are idle.
func (m *Mirror) Close() { m.base.CloseIdleConnections() }

// Do sends req, whose URL must be of the mirror, and returns its answer, which
// may be one of failure. command says what is asked, for reports. The body
// fails if the server falls silent or slower than allowed, and must be closed.
func (m *Mirror) Do(req *http.Request, command string) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	x := &exchange{Exchange: Exchange{Source: m.config.Source.String(), Command: command}, start: time.Now(), done: m.config.Exchanged}
	req = req.WithContext(context.WithValue(ctx, exchangeKey{}, x))
	m.authorize(req)
	resp, err := m.client.Do(req)
	if err != nil {
		err = m.plain(err)
		cancel(err)
		x.end(err)
		return nil, err
	}
	x.Status = resp.StatusCode
	x.FirstByte = time.Since(x.start)
	resp.Body = &body{ReadCloser: resp.Body, exchange: x, limits: m.config.Limits, cancel: cancel, ended: func(err error) { m.ended(ctx, x.Status, err) }}
	return resp, nil
}

// plain takes the URL out of what http.Client says: it repeats what the report
// says anyway.
func (m *Mirror) plain(err error) error {
	var wrapped interface {
		error
		Unwrap() error
	}
	if errors.As(err, &wrapped) && isURLError(err) {
		return wrapped.Unwrap()
	}
	return err
}

// errHeader stands for a good header before the breaker, which hears of the
// answer when that has ended: a header says nothing of a body that breaks off.
var errHeader = errors.New("the header was good")

// header is the breaker's part until the header of an answer: what fails by then
// counts, and what is good so far does not yet.
func (m *Mirror) header(ctx context.Context, call func(context.Context) error) error {
	err := m.config.Breaker.Do(ctx, func(ctx context.Context) error {
		if err := call(ctx); err != nil {
			return err
		}
		return errHeader
	})
	if errors.Is(err, errHeader) {
		return nil
	}
	return err
}

// ended tells the breaker how an answer ended, unless it heard by the header
// already, or nobody wanted the rest.
func (m *Mirror) ended(ctx context.Context, status int, err error) {
	atEnd := errors.Is(err, io.EOF)
	switch {
	case m.config.Breaker == nil, redoubt.FailureStatus(status):
		return
	case atEnd, err == nil && status >= http.StatusBadRequest:
		err = nil
	case err == nil, !classify.Transport(err).Source:
		return
	}
	_ = m.config.Breaker.Do(context.WithoutCancel(ctx), func(context.Context) error { return err })
}

// authorize adds user and password to a request: those of the URL, or else of
// the user's .netrc.
func (m *Mirror) authorize(req *http.Request) {
	req.Header.Del("Authorization")
	if user, password, ok := m.config.Source.Login(); ok {
		req.SetBasicAuth(user, password)
		return
	}
	if user, password, ok := netrcLogin(m.config.Source.Hostname()); ok {
		req.SetBasicAuth(user, password)
	}
}

// A RedirectError says that a server sent us where we don't go.
type RedirectError struct {
	To string // redacted
}

// Error says where to, and where we would go.
func (e *RedirectError) Error() string {
	return "redirected to " + e.To + ", which is neither the same host nor https"
}

// Retryable reports false.
func (e *RedirectError) Retryable() bool { return false }

// redirect follows a redirect only to the same host, and never from https to
// http: a mirror that moved may say so, and nobody else may.
func (m *Mirror) redirect(req *http.Request, via []*http.Request) error {
	from := via[len(via)-1].URL
	if req.URL.Hostname() != from.Hostname() || from.Scheme == "https" && req.URL.Scheme != "https" || len(via) > maxRedirects {
		return &RedirectError{To: source.Redact(req.URL.String())}
	}
	return nil
}
