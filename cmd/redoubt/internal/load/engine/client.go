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

// Default returns the client that the catalogue's targets are for: Redoubt, with
// the time limits above and the rules of [Tuned].
func Default() Client { return Timed(DefaultLimit, DefaultAttemptTimeout) }

// Timed returns the client that [Default] returns, with other time limits, for a
// call and for an attempt, and options. The breaker's window and the longest
// Retry-After that is waited for keep their proportion to them.
func Timed(limit, attempt time.Duration, options ...redoubt.Option) Client {
	return Redoubt("redoubt", "redoubt.NewClient: retries on a budget, circuit breaker, timeouts",
		slices.Concat([]redoubt.Option{Tuned, func(c *redoubt.ClientConfig) {
			c.Limit = limit
			c.Transport.HeaderTimeout = attempt
			c.Breaker.Window = max(c.Breaker.Window, 4*attempt)
			c.Retry.MaxRetryAfter = limit / 4
		}}, options)...)
}

// Tuned sets the rules that reach most of the catalogue's targets; DESIGN says
// that the default stack follows what the catalogue shows. Each has its reason:
//
//   - a window of 2 s with half of at least 20 calls failed opens within a
//     second of a total failure, and neither for one failure in five nor for a
//     restart of 300 ms; with 10 s it takes five;
//   - a cooldown of 0.5 s, growing to 1 s and no further, is what lets an
//     overload recover as soon as with no client at all, and loses no more than
//     a second of good traffic after an outage;
//   - ten probes: with one or five, a cold dependency (16) is declared well too
//     soon, and recovers later than with no client at all; with 50, the probes
//     are a load in themselves (06);
//   - a jitter of a tenth: with a fifth, a cooldown may happen to end in the good
//     seconds of 11 often enough to miss both of its targets;
//   - retries do not wait for the breaker: a call that is refused fails at once;
//   - a server that wants to be left alone for more than a quarter of the call's
//     limit is not waited for: the answer would be late, and takes a grant from
//     a request that could use it (10);
//   - a first wait of 50 ms at most keeps the p99 of a slow tail within 50 ms of
//     the attempt timeout (08).
//
// The catalogue's test takes each away in turn and sees what is missed.
func Tuned(c *redoubt.ClientConfig) {
	c.Breaker.Window = 2 * time.Second
	c.Breaker.FailureRatio = 0.5
	c.Breaker.MinCalls = 20
	c.Breaker.Cooldown = 500 * time.Millisecond
	c.Breaker.MaxCooldown = time.Second
	c.Breaker.Probes = 10
	c.Breaker.Jitter = 0.1
	c.Retry.Retryable = func(err error) bool { return !errors.Is(err, breaker.ErrOpen) }
	c.Retry.MaxRetryAfter = DefaultLimit / 4
	c.Retry.Backoff = retry.FullJitter(firstWait, 0)
}

// firstWait bounds the first wait of Tuned.
const firstWait = 50 * time.Millisecond

// Exact takes the chance out of a client, for runs that have to be the same each
// time: its breaker has no jitter, and its waits are those of Tuned, drawn from
// the run's seed.
func Exact(c *redoubt.ClientConfig) {
	c.Breaker.Jitter = breaker.NoJitter
	c.Retry.Backoff = nil // see watched
}

// Redoubt returns a client that [redoubt.NewClient] assembles, with options. Its
// one dependency has one breaker and one budget, as NewClient would have for
// its host, so that they can be watched.
//
// Its parameters are attempt_timeout, and cooldown, the longest time that the
// breaker stays open before it probes.
func Redoubt(name, about string, options ...redoubt.Option) Client {
	c := Client{Name: name, About: about, Parameters: map[string]float64{}}
	redoubt.NewClient(name, slices.Concat(options, []redoubt.Option{func(config *redoubt.ClientConfig) {
		c.Parameters["attempt_timeout"] = ms(config.Transport.HeaderTimeout)
		longest := config.Breaker.MaxCooldown
		if longest == 0 {
			longest = max(breaker.DefaultMaxCooldown, config.Breaker.Cooldown)
		}
		c.Parameters["cooldown"] = ms(longest)
	}})...)
	c.New = func(s Setting) Caller {
		var caller Caller
		client := redoubt.NewClient(name, slices.Concat(options, []redoubt.Option{func(config *redoubt.ClientConfig) {
			config.Transport.Base = s.Base
			if limit := int64(s.Scenario.BodyLimit); limit > 0 {
				config.Transport.MaxResponseBuffer = limit
			}
			if config.Transport.Layer == nil {
				config.Transport.Layer, caller.Budget = watched(config, s)
			}
		}})...)
		caller.Transport = client.Transport
		return caller
	}
	return c
}

// watched assembles the layers of config in NewClient's order, with those that
// watch them in between.
func watched(config *redoubt.ClientConfig, s Setting) (redoubt.Layer, func() float64) {
	policy := config.Retry
	if policy.Budget == nil && policy.Budgets == nil {
		policy.Budget = retry.NewBudget(config.Budget)
	}
	if policy.Backoff == nil {
		policy.Backoff = seeded(s.Seed)
	}
	rules := config.Breaker
	told := rules.OnTransition
	rules.OnTransition = func(t breaker.Transition) {
		s.Observer.Transition(t)
		if told != nil {
			told(t)
		}
	}
	br := breaker.New(rules)
	stack := redoubt.Stack{
		timeout.Limit(config.Limit),
		denials(s.Observer),
		policy,
		br,
		probes(br, s.Observer),
	}
	if s.Scenario.BodyLimit > 0 { // the body is part of the attempt, and so of its limit
		stack = append(stack, timeout.Limit(config.Transport.HeaderTimeout))
	}
	if policy.Budget == nil { // there is one for each key
		return stack, nil
	}
	return stack, policy.Budget.Balance
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
