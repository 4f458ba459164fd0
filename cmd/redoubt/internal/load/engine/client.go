package engine

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/redoubttest/faults"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// A Client is one way of calling a dependency.
type Client struct {
	Name  string
	About string // how it calls, in words

	// Explanation is what its layers do to a call, as redoubt.Explain says
	// it. It may be empty.
	Explanation string

	// Parameters are what checks may refer to, in milliseconds.
	Parameters map[string]float64

	// IdleConnTimeout is how long its transport keeps idle connections. Zero
	// is the transport's default.
	IdleConnTimeout time.Duration

	// New makes the client for a run.
	New func(Setting) Caller
}

// A Setting is what a client is made for.
type Setting struct {
	Base     http.RoundTripper // where attempts go; they are counted there
	Scenario *scenario.Scenario
	Seed     uint64
	Observer Observer
}

// A Caller is a client in use.
type Caller struct {
	Transport http.RoundTripper

	// Budget returns the retries left. It may be nil.
	Budget func() float64
}

// An Observer is told what a client does beyond sending.
type Observer interface {
	// Transition tells of a state change of a breaker.
	Transition(breaker.Transition)

	// Probe tells of a call that a half-open breaker let through.
	Probe(failed bool)

	// Denied tells that a retry was not made, and why.
	Denied(reason string)
}

// Bare returns a client that sends each request once.
func Bare() Client {
	return Client{
		Name:  "bare",
		About: "http.Client alone: one attempt",
		New:   func(s Setting) Caller { return Caller{Transport: s.Base} },
	}
}

// Naive returns a client such as many write by hand: it retries everything.
func Naive() Client {
	const attempts, limit, wait = 3, 600 * time.Millisecond, 50 * time.Millisecond
	return Client{
		Name:       "naive",
		About:      fmt.Sprintf("%d attempts of %v, %v apart, whatever the failure", attempts, limit, wait),
		Parameters: map[string]float64{"attempt_timeout": ms(limit)},
		New: func(s Setting) Caller {
			return Caller{Transport: &naive{base: s.Base, attempts: attempts, limit: limit, wait: wait}}
		},
	}
}

type naive struct {
	base        http.RoundTripper
	attempts    int
	limit, wait time.Duration
}

var errNaiveTimeout = fmt.Errorf("attempt timeout: %w", context.DeadlineExceeded)

// RoundTrip sends req until that succeeds, with all the usual mistakes.
func (n *naive) RoundTrip(req *http.Request) (resp *http.Response, err error) {
	for attempt := 1; ; attempt++ {
		ctx, cancel := context.WithTimeoutCause(req.Context(), n.limit, errNaiveTimeout)
		out := req.Clone(ctx)
		if attempt > 1 && req.GetBody != nil {
			if out.Body, err = req.GetBody(); err != nil {
				cancel()
				return nil, err
			}
		}
		resp, err = n.base.RoundTrip(out)
		if err == nil {
			resp.Body = &cancelBody{resp.Body, cancel}
			if resp.StatusCode < 400 || attempt == n.attempts {
				return resp, nil
			}
			_ = resp.Body.Close()
		} else {
			cancel()
			if attempt == n.attempts {
				return nil, err
			}
		}
		timer := time.NewTimer(n.wait)
		select {
		case <-timer.C:
		case <-req.Context().Done():
			timer.Stop()
			return nil, context.Cause(req.Context())
		}
	}
}

// The time limits of the default client: they belong to the service that is
// called, so that the middleware has no default to offer for them. These suit
// the catalogue, whose callers want an answer within a second and leave after
// two.
const (
	DefaultLimit          = 2 * time.Second
	DefaultAttemptTimeout = 500 * time.Millisecond
)

// Default returns the client that the catalogue's targets are for:
// [redoubt.NewClient] with the time limits above, and its own rules.
func Default() Client { return Timed(DefaultLimit, DefaultAttemptTimeout) }

// Timed returns the client that [Default] returns, with other time limits, for a
// call and for an attempt, and options.
func Timed(limit, attempt time.Duration, options ...redoubt.Option) Client {
	return Redoubt("redoubt", "redoubt.NewClient: retries on a budget, circuit breaker, timeouts",
		append([]redoubt.Option{Times(limit, attempt)}, options...)...)
}

// Times sets what NewClient can't know, the times that suit the service, and
// leaves its rules as they are:
//
//   - how long a call and an attempt may take;
//   - a server that wants to be left alone for more than a quarter of the call's
//     limit is not waited for: the answer would be late, and takes a grant from
//     a request that could use it (10);
//   - a service whose process is restarted gets a tenth of the call's limit to
//     come back, each of two times, which leaves time for the answer (24);
//   - a first wait of 50 ms at most keeps the p99 of a slow tail within 50 ms of
//     the attempt timeout (08).
func Times(limit, attempt time.Duration) redoubt.Option {
	return func(c *redoubt.ClientConfig) {
		c.Limit = limit
		c.Transport.HeaderTimeout = attempt
		c.Retry.MaxRetryAfter = limit / 4
		c.Retry.RestartWait = limit / 10
		c.Retry.Backoff = retry.FullJitter(firstWait, 0)
	}
}

// firstWait bounds the first wait of Times.
const firstWait = 50 * time.Millisecond

// Exact takes the chance out of a client, for runs that have to be the same each
// time: its breaker has no jitter, and its waits are those of Times, drawn from
// the run's seed.
func Exact(c *redoubt.ClientConfig) {
	c.Breaker.Jitter = breaker.NoJitter
	c.Retry.Backoff = nil // see Setting.watch
}

// Redoubt returns a client that [redoubt.NewClient] assembles, with options.
// What its breaker, its budget and its probes do is watched from layers in
// between.
//
// Its parameters are attempt_timeout, and cooldown, the longest time that the
// breaker stays open before it probes.
func Redoubt(name, about string, options ...redoubt.Option) Client {
	c := Client{Name: name, About: about}
	c.Parameters = parameters(transportOf(redoubt.NewClient(name, options...)).Explain())
	c.New = func(s Setting) Caller {
		t := transportOf(redoubt.NewClient(name, slices.Concat(options, []redoubt.Option{s.watch})...))
		w := &watch{observer: s.Observer}
		stack, ok := t.Layer.(redoubt.Stack)
		if ok {
			stack = w.stack(stack)
			if s.Scenario.BodyLimit > 0 { // the body is part of the attempt, and so of its limit
				stack = append(stack, timeout.Limit(t.HeaderTimeout))
			}
			t.Layer = stack
		}
		return Caller{Transport: t, Budget: w.balance()}
	}
	return c
}

func transportOf(client *http.Client) *redoubt.Transport {
	return client.Transport.(*redoubt.Transport) //nolint:errcheck // NewClient's always is.
}

// watch is the option by which a client is made for s.
func (s Setting) watch(c *redoubt.ClientConfig) {
	c.Transport.Base = s.Base
	if limit := int64(s.Scenario.BodyLimit); limit > 0 {
		c.Transport.MaxResponseBuffer = limit
	}
	if c.Retry.Backoff == nil {
		c.Retry.Backoff = seeded(s.Seed)
	}
	told := c.Breaker.OnTransition
	c.Breaker.OnTransition = func(t breaker.Transition) {
		s.Observer.Transition(t)
		if told != nil {
			told(t)
		}
	}
}

// denials tells why a retry gave up before its attempts were used up.
func denials(o Observer) redoubt.LayerFunc {
	return func(ctx context.Context, call func(context.Context) error) error {
		err := call(ctx)
		if gaveUp, ok := errors.AsType[*retry.Error](err); ok {
			switch gaveUp.Stop {
			case retry.StopBudget, retry.StopDeadline, retry.StopRetryAfter:
				o.Denied(string(gaveUp.Stop))
			}
		}
		return err
	}
}

// probes tells of the calls that pass a half-open breaker.
func probes(br *breaker.Breaker, o Observer) redoubt.LayerFunc {
	return func(ctx context.Context, call func(context.Context) error) error {
		probe := br.State() == breaker.HalfOpen
		err := call(ctx)
		if probe {
			o.Probe(err != nil)
		}
		return err
	}
}

// seeded is retry's full jitter from firstWait on, with draws that are the same
// in each run.
func seeded(seed uint64) func() backoff.BackOff {
	var calls atomic.Uint64
	return func() backoff.BackOff {
		return &jitter{seed: seed, call: calls.Add(1)}
	}
}

type jitter struct {
	seed, call, n uint64
}

// jitters tells its draws from those of others.
const jitters = 1 << 34

func (j *jitter) NextBackOff() time.Duration {
	const low = firstWait / 10
	limit := min(firstWait<<min(j.n, 20), retry.DefaultCap)
	j.n++
	return low + time.Duration(faults.Draw(j.seed, jitters, j.call, j.n)*float64(limit-low))
}

func (j *jitter) Reset() { j.n = 0 }
