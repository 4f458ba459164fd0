package breaker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/says"
)

// The values that stand for the zero fields of a [Config].
const (
	DefaultWindow       = 10 * time.Second
	DefaultBuckets      = 10
	DefaultMinCalls     = 20
	DefaultFailureRatio = 0.5
	DefaultCooldown     = 5 * time.Second
	DefaultMaxCooldown  = time.Minute
	DefaultJitter       = 0.2
	DefaultProbes       = 1
	DefaultProbeTimeout = 10 * time.Second
)

// NoJitter, as Config.Jitter, makes cooldowns exact.
const NoJitter = -1

// maxBuckets bounds the work of moving the window on.
const maxBuckets = 60

// Config says when a [Breaker] opens and how it closes again. Only Name is
// required.
//
// There are three rules: FailureRatio, SlowRatio and Consecutive. A breaker opens
// as soon as a failure or a slow call leaves one of them broken; a success never
// opens it. If none of the three is given, FailureRatio applies with its default.
type Config struct {
	// Name names the breaker in errors, logs and telemetry. It must not be
	// empty.
	Name string

	// Window is the time over which calls are counted. It rolls on in steps
	// of Window/Buckets. It must be given if a ratio is given; else zero
	// means DefaultWindow.
	Window time.Duration

	// Buckets is the number of steps of the window, from 1 to 60. Zero means
	// DefaultBuckets.
	Buckets int

	// MinCalls is the number of calls that must have ended within the window
	// before a ratio means anything. Zero means DefaultMinCalls.
	MinCalls int

	// FailureRatio is the share of failures among the calls that ended
	// within the window at which the breaker opens, in (0, 1].
	FailureRatio float64

	// SlowCall is how long a call may run before it is slow. Zero means that
	// slowness does not count.
	SlowCall time.Duration

	// CallerDeadline makes a call that fails because its caller's own deadline
	// passed a failure, if it had been running for this long. A caller who
	// leaves after a millisecond says nothing about the dependency; callers
	// who got no answer in a second do. Zero means that the call is ignored,
	// as one that the caller cancelled always is.
	CallerDeadline time.Duration

	// SlowRatio is the share of slow calls at which the breaker opens, in
	// (0, 1]. It needs SlowCall; if SlowCall is given, zero means 1.
	SlowRatio float64

	// Consecutive is the number of failures without a success between them
	// at which the breaker opens, however long that takes. Zero means that
	// the rule does not apply.
	Consecutive int

	// Cooldown is how long the breaker stays open, at least a millisecond.
	// Zero means DefaultCooldown.
	Cooldown time.Duration

	// MaxCooldown bounds the cooldown, which doubles each time that probes
	// fail. Zero means DefaultMaxCooldown or Cooldown, whichever is longer.
	MaxCooldown time.Duration

	// Jitter is the share by which a cooldown is lengthened or shortened at
	// random, at most 1, so that many processes do not probe at one moment.
	// It does not lengthen it beyond MaxCooldown. Zero means DefaultJitter,
	// NoJitter means none.
	Jitter float64

	// Probes is how many calls may pass while the breaker is half-open, and
	// how many of them must succeed for it to close. Zero means
	// DefaultProbes.
	Probes int

	// ProbeTimeout is how long a probe may run before it counts as failed; a
	// shorter SlowCall comes first. The probe itself is not cut short. Zero
	// means DefaultProbeTimeout.
	ProbeTimeout time.Duration

	// HonorRetryAfter lets a failure whose error has the method
	// RetryAfter() (time.Duration, bool) lengthen the cooldown that it
	// brings about, up to MaxCooldown.
	HonorRetryAfter bool

	// Classify judges a call by its error, which may be nil. Nil means
	// DefaultClassify. It is not asked about calls that failed and whose caller
	// gave up. What it says of a call that was slow matters only if it says
	// Failure: then the call is both. An Outcome that does not exist counts as
	// Failure.
	Classify func(error) Outcome

	// OnTransition is called with every state change, in order, outside of
	// the breaker's lock, by the goroutine that brought it about. A change that
	// happens while OnTransition runs is reported after it returns, by the same
	// goroutine. A panic of OnTransition passes to the caller, except that a
	// probe that hangs is judged by a goroutine that has none: then it ends the
	// program.
	OnTransition func(Transition)

	// Logger gets a record of every state change: at level Warn if the
	// breaker opens, else at Info. Nil is silent.
	Logger *slog.Logger

	// Shadow makes the breaker count what it would refuse, and refuse
	// nothing.
	Shadow bool
}

// withDefaults fills in what zero fields stand for.
func (c Config) withDefaults() Config {
	if c.FailureRatio == 0 && c.SlowRatio == 0 {
		c.Window = cmp.Or(c.Window, DefaultWindow)
		if c.Consecutive == 0 {
			c.FailureRatio = DefaultFailureRatio
		}
	}
	if c.SlowCall > 0 {
		c.SlowRatio = cmp.Or(c.SlowRatio, 1)
	}
	if c.Classify == nil {
		c.Classify = DefaultClassify
	}
	if c.Jitter == NoJitter {
		c.Jitter = 0
	} else {
		c.Jitter = cmp.Or(c.Jitter, DefaultJitter)
	}
	c.Buckets = cmp.Or(c.Buckets, DefaultBuckets)
	c.MinCalls = cmp.Or(c.MinCalls, DefaultMinCalls)
	c.Cooldown = cmp.Or(c.Cooldown, DefaultCooldown)
	c.MaxCooldown = cmp.Or(c.MaxCooldown, max(DefaultMaxCooldown, c.Cooldown))
	c.Probes = cmp.Or(c.Probes, DefaultProbes)
	c.ProbeTimeout = cmp.Or(c.ProbeTimeout, DefaultProbeTimeout)
	return c
}

// check reports the first field that makes no sense, after defaults.
func (c Config) check() error {
	if c.Name == "" {
		return law.Misuse("breaker: Name is empty, must name the breaker")
	}
	bad := func(field string, value any, rule string) error {
		return law.Misuse("breaker: %s: %s is %v, must be %s", c.Name, field, value, rule)
	}
	switch {
	case c.Window < 0:
		return bad("Window", c.Window, "positive")
	case c.Window == 0:
		return bad("Window", c.Window, "positive if a ratio is given")
	case c.Buckets < 1 || c.Buckets > maxBuckets:
		return bad("Buckets", c.Buckets, fmt.Sprintf("from 1 to %d", maxBuckets))
	case c.Window < time.Duration(c.Buckets):
		return bad("Window", c.Window, "at least one nanosecond for each bucket")
	case c.MinCalls < 1:
		return bad("MinCalls", c.MinCalls, "positive")
	case !(c.FailureRatio >= 0 && c.FailureRatio <= 1):
		return bad("FailureRatio", c.FailureRatio, "from 0 to 1")
	case c.SlowCall < 0:
		return bad("SlowCall", c.SlowCall, "zero or positive")
	case c.CallerDeadline < 0:
		return bad("CallerDeadline", c.CallerDeadline, "zero or positive")
	case !(c.SlowRatio >= 0 && c.SlowRatio <= 1):
		return bad("SlowRatio", c.SlowRatio, "from 0 to 1")
	case c.SlowRatio > 0 && c.SlowCall == 0:
		return bad("SlowCall", c.SlowCall, "positive if SlowRatio is given")
	case c.Consecutive < 0:
		return bad("Consecutive", c.Consecutive, "zero or positive")
	case c.Cooldown < 0:
		return bad("Cooldown", c.Cooldown, "positive")
	case c.MaxCooldown < c.Cooldown:
		return bad("MaxCooldown", c.MaxCooldown, fmt.Sprintf("at least Cooldown, %v", c.Cooldown))
	case !(c.Jitter >= 0 && c.Jitter <= 1):
		return bad("Jitter", c.Jitter, "NoJitter or from 0 to 1")
	case c.Probes < 1:
		return bad("Probes", c.Probes, "positive")
	case c.ProbeTimeout < 0:
		return bad("ProbeTimeout", c.ProbeTimeout, "positive")
	}
	return nil
}

// An Outcome is what a call says about the dependency.
type Outcome int

// The outcomes.
const (
	Success Outcome = iota // the dependency works
	Failure                // the dependency does not work
	Slow                   // the dependency works, but too slowly
	Ignored                // the call says nothing about the dependency
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case Failure:
		return "failure"
	case Slow:
		return "slow"
	case Ignored:
		return "ignored"
	default:
		return fmt.Sprintf("outcome(%d)", int(o))
	}
}

// DefaultClassify judges a call as [Success] if it has no error, as [Ignored] if
// a layer further in refused it, which errors tell by a method Rejected() bool,
// and otherwise as [Failure]. An error can speak for the dependency by a method
// DependencyFailure() bool: if that reports false, the dependency answered as it
// should, and the call is a Success.
func DefaultClassify(err error) Outcome {
	if err == nil {
		return Success
	}
	if says.Rejected(err) {
		return Ignored
	}
	if yes, ok := says.DependencyFailure(err); ok && !yes {
		return Success
	}
	return Failure
}

// outcome judges a call that has returned after it ran for so long. ctx is the
// caller's.
func (b *Breaker) outcome(ctx context.Context, err error, ran time.Duration) Outcome {
	if err != nil && law.CallerGaveUp(ctx) {
		if d := b.config.CallerDeadline; d > 0 && ran >= d && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return Failure
		}
		return Ignored
	}
	switch o := b.config.Classify(err); o {
	case Success, Failure, Slow, Ignored:
		return o
	default:
		return Failure
	}
}
