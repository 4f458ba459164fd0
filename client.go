package redoubt

import (
	"cmp"
	"net"
	"net/http"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// The values that a [ClientConfig] begins with.
const (
	DefaultLimit          = 30 * time.Second
	DefaultHeaderTimeout  = 10 * time.Second
	DefaultCallerDeadline = time.Second
	DefaultBreakerProbes  = 10
)

// Bounds of the times of a client's breaker, which follow from the time that an
// attempt may take: see ClientConfig.Breaker.
const (
	MinBreakerWindow   = 2 * time.Second
	MinBreakerCooldown = 500 * time.Millisecond
	MaxBreakerCooldown = 5 * time.Second
)

// A ClientConfig is what [NewClient] assembles a client of, outermost first. An
// [Option] changes it.
type ClientConfig struct {
	// Limit is how long a call may take until the response's headers have
	// arrived, with all attempts and the waits between them. It begins as
	// DefaultLimit; zero means no limit. Uploads that may take longer want a
	// longer one. The response body is not included: bound that, if need be,
	// by the context of the request or by http.Client.Timeout.
	Limit time.Duration

	// Retry says how often and how late a request is sent again. It begins
	// as the zero Policy: three attempts. If it has neither Budget nor
	// Budgets, there is a budget for each host. A request that
	// the breaker refuses fails at once, unless AwaitRefusals is set: then it
	// waits for the breaker, as long as Limit leaves room for that.
	Retry retry.Policy

	// Budget is the configuration of the budget for each host. It begins
	// with the client's name.
	Budget retry.BudgetConfig

	// Breaker is the configuration of the breaker for each host. It begins
	// with the client's name, the rule that half of the calls within the
	// window failed, and DefaultBreakerProbes. A request whose own deadline
	// passed after DefaultCallerDeadline or more counts as failed.
	//
	// Its times follow Transport.HeaderTimeout, unless they are given, since
	// what an attempt may take tells how fast a service is meant to be: the
	// window is three times that, at least MinBreakerWindow; the cooldown is
	// that, from MinBreakerCooldown to MaxBreakerCooldown, and doubles once
	// if the probes fail. That is 30 s, 5 s and 10 s by default, and 2 s, 0.5 s
	// and 1 s for a service that has half a second to answer. A probe may run
	// as long as an attempt, and at least breaker.DefaultProbeTimeout. Without a
	// HeaderTimeout the times are those of DefaultHeaderTimeout.
	Breaker breaker.Config

	// Concurrency, if not nil, bounds how many requests to each host are
	// under way at once, inside of the breaker. Its Name and, if it adapts,
	// its CallerDeadline are the breaker's unless they are given. It begins
	// as nil: nothing brings an overloaded service back sooner, as
	// docs/scorecard.md has it, but a limit has to learn how much a service
	// can take, and refuses bursts until it has.
	Concurrency *limit.Config

	// Transport has everything else. It begins with the client's name, a
	// HeaderTimeout of DefaultHeaderTimeout, and a Base of its own, see
	// NewBase. If an option sets its Layer, that takes the place of all that
	// the fields above say.
	Transport *Transport
}

// An Option changes a part of a client before it is assembled, by changing
// fields:
//
//	client := redoubt.NewClient("billing", func(c *redoubt.ClientConfig) {
//		c.Retry.MaxAttempts = 4
//		c.Breaker.Logger = slog.Default()
//		c.Transport.HeaderTimeout = 2 * time.Second
//	})
type Option func(*ClientConfig)

// NewClient returns a client with production defaults: a limit on the whole
// call, retries on a budget that successes pay for, a circuit breaker, and a
// limit on each attempt. Budgets and breakers are per host, and in bounded
// number. The name names the calls, the breakers and the budgets in errors and
// telemetry, and must not be empty.
//
// Make one client for each service that is called and keep it: it has the
// memory. It is safe for concurrent use.
//
// If the name or an option makes no sense, every request fails with the error
// that says so. To learn of it at the start of the program, call Check on the
// client's [Transport]:
//
//	if err := client.Transport.(*redoubt.Transport).Check(); err != nil {
//		log.Fatal(err)
//	}
//
// The client's own Timeout is not set: it would cut long bodies short.
func NewClient(name string, options ...Option) *http.Client {
	c := &ClientConfig{
		Limit:  DefaultLimit,
		Budget: retry.BudgetConfig{Name: name},
		Breaker: breaker.Config{
			Name:           name,
			FailureRatio:   breaker.DefaultFailureRatio,
			Probes:         DefaultBreakerProbes,
			CallerDeadline: DefaultCallerDeadline,
		},
		Transport: &Transport{Name: name, HeaderTimeout: DefaultHeaderTimeout, Base: NewBase()},
	}
	for _, option := range options {
		if option != nil {
			option(c)
		}
	}
	if c.Transport == nil {
		c.Transport = &Transport{Name: name}
	}
	if c.Transport.Layer == nil {
		c.Transport.Layer = c.stack()
	}
	return &http.Client{Transport: c.Transport}
}

// stack assembles the layers. One that makes no sense says so itself, when it is
// used or checked.
func (c *ClientConfig) stack() Stack {
	if c.Retry.Budget == nil && c.Retry.Budgets == nil {
		c.Retry.Budgets = retry.NewBudgetGroup(retry.BudgetGroupConfig{Budget: c.Budget, Key: Host})
	}
	stack := Stack{
		timeout.Limit(c.Limit),
		c.Retry,
		breaker.NewGroup(breaker.GroupConfig{Breaker: c.breaker(), Key: Host}),
	}
	if c.Concurrency == nil {
		return stack
	}
	limiter := *c.Concurrency
	limiter.Name = cmp.Or(limiter.Name, c.Breaker.Name)
	if limiter.Fixed == 0 {
		limiter.CallerDeadline = cmp.Or(limiter.CallerDeadline, c.Breaker.CallerDeadline)
	}
	return append(stack, limit.NewGroup(limit.GroupConfig{Limiter: limiter, Key: Host}))
}

// breaker returns the configuration of the breakers with the times that follow
// from those of an attempt.
func (c *ClientConfig) breaker() breaker.Config {
	config, attempt := c.Breaker, c.Transport.HeaderTimeout
	if attempt <= 0 {
		attempt = DefaultHeaderTimeout
	}
	if config.FailureRatio > 0 || config.SlowRatio > 0 {
		config.Window = cmp.Or(config.Window, max(3*attempt, MinBreakerWindow))
	}
	config.Cooldown = cmp.Or(config.Cooldown, min(max(attempt, MinBreakerCooldown), MaxBreakerCooldown))
	config.MaxCooldown = cmp.Or(config.MaxCooldown, 2*config.Cooldown)
	config.ProbeTimeout = cmp.Or(config.ProbeTimeout, max(attempt, breaker.DefaultProbeTimeout))
	return config
}

// NewBase returns the transport that [NewClient] sends requests through, with
// connections of its own. It differs from [http.DefaultTransport] in what suits a
// client of services: 5 s to connect and another 5 s for TLS; 64 idle
// connections kept for each host, 256 in all; a ping on an HTTP/2 connection that
// has been silent for 15 s, which is given up if the answer takes more than 5 s;
// and a body that is sent after 300 ms if the server does not answer "Expect:
// 100-continue". Certificates are verified as strictly as by the standard
// library.
//
// It gives up a connection that was idle for 50 s, sooner than most load
// balancers do, which take a minute or more: a request that meets the server's
// closing on its way is lost, and sent again only if it is idempotent. Set
// IdleConnTimeout lower for a server that is quicker.
func NewBase() *http.Transport {
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       50 * time.Second,
		TLSHandshakeTimeout:   5 * time.Second,
		ExpectContinueTimeout: 300 * time.Millisecond,
		HTTP2:                 &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 5 * time.Second},
	}
}
