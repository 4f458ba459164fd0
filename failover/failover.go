package failover

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A Layer guards an endpoint, such as a breaker. It has the method set of
// redoubt.Layer, whose documentation states its law.
type Layer interface {
	Do(ctx context.Context, call func(context.Context) error) error
}

// A Budget grants attempts at second endpoints out of what successes have paid
// in. *retry.Budget is one.
type Budget interface {
	Withdraw() bool // reports whether the attempt is granted, and charges it
	Deposit()       // pays in for a success
}

// Config says which endpoints there are. Name and Endpoints are required.
type Config struct {
	// Name names the list in errors and telemetry. It must not be empty.
	Name string

	// Endpoints are asked in this order, each at most once for a call. They
	// may be any names for [Do], and must be base URLs for a [Transport].
	// None may be empty or be there twice.
	Endpoints []string

	// Guard makes the layer that guards an endpoint, commonly a breaker or a
	// stack of one and a time limit. It is called once for each endpoint, by
	// New, and must not return nil. A guard that refuses a call, which errors
	// tell by a method Rejected() bool, makes the call go on with the next
	// endpoint at no cost. Nil means no guards, as for endpoints that are
	// guarded further in.
	Guard func(endpoint string) Layer

	// Budget grants what is asked of an endpoint after another was asked in
	// vain. It is not asked for the first endpoint that is really asked. Nil
	// grants everything.
	Budget Budget

	// PaidElsewhere says that somebody else pays into Budget for each success,
	// such as a retry.Policy around or inside of the Failover that has the
	// same one. Without it the success would be paid for twice, and the two
	// repeat calls in twice the share that the budget's Ratio says.
	PaidElsewhere bool

	// TryNext reports whether another endpoint is to be asked after one
	// answered with this error. It overrules what the error says. Nil means
	// yes, unless the error has a method Retryable() bool that reports false.
	// A [Transport] asks it only about requests that may be sent again.
	TryNext func(error) bool

	// MinTime is what must be left of the caller's time for another endpoint
	// to be asked. Zero means any time.
	MinTime time.Duration

	// FailOpen lets a call that every guard refuses ask one endpoint all the
	// same, past its guard: the one that would take calls again first. Then it
	// is the dependency that refuses the call, if it does. An endpoint whose
	// breaker was forced open is not asked.
	FailOpen bool
}

// A Failover is a layer that runs a call at the first of several endpoints that
// works. Whoever makes the call finds the endpoint by [Endpoint], or else uses
// [Do] or a [Transport]. It is safe for concurrent use, provided that its
// config's functions are. Make one with [New].
type Failover struct {
	config    Config
	endpoints []*endpoint
	err       error // what is wrong with the configuration
	secrets   *strings.Replacer
}

// An endpoint is one of a list.
type endpoint struct {
	raw   string
	label string // without what may be secret
	guard Layer  // may be nil
}

// New returns a Failover. If config makes no sense, the Failover's Check says
// why, and Do returns that error instead of running a call.
func New(config Config) *Failover {
	f := &Failover{config: config}
	var secrets []string
	for _, raw := range config.Endpoints {
		e := &endpoint{raw: raw, label: label(raw)}
		if config.Guard != nil {
			e.guard = config.Guard(e.label)
		}
		f.endpoints = append(f.endpoints, e)
		secrets = append(secrets, secretsOf(raw, e.label)...)
	}
	if len(secrets) > 0 {
		f.secrets = strings.NewReplacer(secrets...)
	}
	f.err = f.check()
	return f
}

// label returns raw, without user, query and fragment if it is a URL.
func label(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" {
		if at := strings.LastIndexByte(raw, '@'); at >= 0 && strings.Contains(raw, "://") {
			return raw[:strings.Index(raw, "://")+len("://")] + raw[at+1:]
		}
		return raw
	}
	if u.User == nil && u.RawQuery == "" && u.Fragment == "" {
		return raw
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}

// secretsOf returns pairs of what an endpoint's errors may repeat and what stands
// for it.
func secretsOf(raw, label string) []string {
	if raw == label {
		return nil
	}
	pairs := []string{raw, label}
	if u, err := url.Parse(raw); err == nil && u.User != nil {
		pairs = append(pairs, u.User.String()+"@", "")
	}
	return pairs
}

// Do runs call at the first endpoint that takes it and, as long as it fails and
// may be made elsewhere, at the next ones, as the package documentation has it.
// The endpoint is what [Endpoint] returns for call's context.
//
// If only one endpoint is concerned, because there is no other or because the
// first one's error rules others out, Do returns that error unchanged. Otherwise
// the error is an [*Error].
//
// Do records an attempt for each endpoint, unless it is part of a redoubt.Stack,
// which does.
func (f *Failover) Do(ctx context.Context, call func(context.Context) error) error {
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	if err := f.Check(); err != nil {
		return err
	}
	if telemetry.Active(ctx) || !telemetry.Recording(telemetry.Providers{}) {
		return f.run(ctx, call)
	}
	return f.record(ctx, call)
}

// Do runs fn at the endpoints of f, see [Failover.Do], and returns fn's result.
// fn gets the endpoint as it was configured. If fn runs several times, the result
// is that of its last run; if it never runs, the result is the zero value.
func Do[T any](ctx context.Context, f *Failover, fn func(ctx context.Context, endpoint string) (T, error)) (T, error) {
	var result T
	if fn == nil {
		return result, law.Args(ctx, nil)
	}
	err := f.Do(ctx, func(ctx context.Context) error {
		var err error
		result, err = fn(ctx, at(ctx).raw)
		return err
	})
	return result, err
}

// record runs call as one recorded call, each run of it being an attempt.
func (f *Failover) record(ctx context.Context, call func(context.Context) error) (err error) {
	inside, recorded := telemetry.Start(ctx, telemetry.Providers{}, f.config.Name)
	err = errPanicked // what telemetry is told if a panic passes
	defer func() { recorded.End(inside, err, ctx.Err()) }()
	err = f.run(inside, func(ctx context.Context) error {
		attemptCtx, attempt := recorded.Attempt(ctx)
		err := errPanicked
		defer func() { attempt.End(attemptCtx, err, ctx.Err()) }()
		err = call(attemptCtx)
		return err
	})
	return err
}

// run runs call without being its edge.
func (f *Failover) run(ctx context.Context, call func(context.Context) error) error {
	return newPass(ctx, f, call).run()
}

// Endpoints returns the names of the endpoints, in order: as configured, but
// without user, password and query if they are URLs.
func (f *Failover) Endpoints() []string {
	if f == nil {
		return nil
	}
	var names []string
	for _, e := range f.endpoints {
		names = append(names, e.label)
	}
	return names
}

// Check reports what makes no sense in the configuration, or that f was not made
// with [New].
func (f *Failover) Check() error {
	if f == nil || f.config.Name == "" && f.err == nil {
		return errNil
	}
	return f.err
}

func (f *Failover) check() error {
	c := f.config
	if c.Name == "" {
		return law.Misuse("failover: Name is empty, must name the list of endpoints")
	}
	if len(c.Endpoints) == 0 {
		return law.Misuse("failover: %s: Endpoints is empty, must name at least one", c.Name)
	}
	if c.MinTime < 0 {
		return law.Misuse("failover: %s: MinTime is %v, must not be negative", c.Name, c.MinTime)
	}
	seen := make(map[string]int)
	for i, e := range f.endpoints {
		if e.raw == "" {
			return law.Misuse("failover: %s: Endpoints[%d] is empty, must be a name or a URL", c.Name, i)
		}
		if first, ok := seen[e.label]; ok {
			return law.Misuse("failover: %s: Endpoints[%d] is %s, as Endpoints[%d] is, must be there once", c.Name, i, e.label, first)
		}
		seen[e.label] = i
		if c.Guard == nil {
			continue
		}
		if e.guard == nil {
			return law.Misuse("failover: %s: Guard is nil for %s, must return a layer", c.Name, e.label)
		}
		if guard, ok := e.guard.(interface{ Check() error }); ok {
			if err := guard.Check(); err != nil {
				return err
			}
		}
	}
	if budget, ok := c.Budget.(interface{ Check() error }); ok {
		return budget.Check()
	}
	return nil
}

// Name returns the name of the configuration.
func (f *Failover) Name() string { return f.Explain().Name }

// Explain returns the redoubt.Facts of f, for redoubt.Explain and redoubt.Check.
func (f *Failover) Explain() explain.Facts {
	if f == nil {
		return explain.Facts{Kind: explain.Failover}
	}
	return explain.Facts{Kind: explain.Failover, Name: f.config.Name, Endpoints: len(f.endpoints)}
}

// Guards returns the guards by endpoint, in order, for redoubt.Explain and package
// ops. There are none without Config.Guard.
func (f *Failover) Guards() []explain.Guard {
	if f.Check() != nil || f.config.Guard == nil {
		return nil
	}
	var guards []explain.Guard
	for _, e := range f.endpoints {
		guards = append(guards, explain.Guard{Endpoint: e.label, Layer: e.guard})
	}
	return guards
}

// Endpoint returns the name of the endpoint that ctx belongs to: as configured,
// but without user, password and query if it is a URL. It returns "" outside of
// any call of a [Failover]. It is the key for breakers and budgets per endpoint.
func Endpoint(ctx context.Context) string {
	if e := at(ctx); e != nil {
		return e.label
	}
	return ""
}

func at(ctx context.Context) *endpoint {
	e, _ := ctx.Value(endpointKey{}).(*endpoint)
	return e
}

// endpointContext carries the endpoint that a call is made at.
type endpointContext struct {
	context.Context
	at *endpoint
}

type endpointKey struct{}

func (c *endpointContext) Value(key any) any {
	if key == (endpointKey{}) {
		return c.at
	}
	return c.Context.Value(key)
}
