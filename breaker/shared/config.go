package shared

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/law"
)

// The values that stand for the zero fields of a [Config].
const (
	DefaultConsecutive  = 5
	DefaultWindow       = time.Hour
	DefaultMinCalls     = 20
	DefaultCooldown     = 30 * time.Second
	DefaultMaxCooldown  = 10 * time.Minute
	DefaultJitter       = breaker.DefaultJitter
	DefaultLease        = 15 * time.Second
	DefaultProbeTimeout = 10 * time.Minute
	DefaultStoreTimeout = time.Second
)

// NoJitter, as Config.Jitter, makes cooldowns exact.
const NoJitter = breaker.NoJitter

// maxOutcomes bounds what a record remembers of a closed circuit.
const maxOutcomes = 100

// maxName bounds a name and a key, so that a record stays small.
const maxName = 1 << 10

// Config says when a [Breaker] opens and how it closes again. Only Name and
// Store are required. All processes that share a circuit should have the same
// configuration.
type Config struct {
	// Name names the breaker in errors, logs, telemetry and the store. It
	// must not be empty.
	Name string

	// Key tells apart the circuits of one name, such as hosts. It may be
	// empty, and must hold no secret.
	Key string

	// Store keeps the circuit's state. It must not be nil.
	Store Store

	// Consecutive is the number of failures without a success between them
	// at which the breaker opens. Zero means DefaultConsecutive, or that the
	// rule does not apply if FailureRatio is given. It is at most 100.
	Consecutive int

	// Window is how long an outcome counts. Zero means DefaultWindow.
	Window time.Duration

	// FailureRatio is the share of failures among the calls within the
	// window, and of the last 100, at which the breaker opens, in (0, 1].
	// Zero means that the rule does not apply; otherwise each call writes to
	// the store, not only those that fail.
	FailureRatio float64

	// MinCalls is the number of calls without which a ratio means nothing, at
	// most 100. Zero means DefaultMinCalls.
	MinCalls int

	// Cooldown is how long the breaker stays open. Zero means
	// DefaultCooldown.
	Cooldown time.Duration

	// MaxCooldown bounds the cooldown, which doubles each time that a probe
	// fails. Zero means DefaultMaxCooldown or Cooldown, whichever is longer.
	MaxCooldown time.Duration

	// Jitter is the share by which a cooldown is lengthened or shortened at
	// random, at most 1. It does not lengthen it beyond MaxCooldown. Zero
	// means DefaultJitter, NoJitter means none.
	Jitter float64

	// Lease is how long the right to probe lasts after its owner was killed.
	// It is renewed while the probe runs. Zero means DefaultLease.
	Lease time.Duration

	// ProbeTimeout is how long a probe may run before it counts as failed.
	// The probe itself is not cut short. Zero means DefaultProbeTimeout.
	ProbeTimeout time.Duration

	// HonorRetryAfter lets a failure whose error has the method
	// RetryAfter() (time.Duration, bool) lengthen the cooldown that it
	// brings about, up to MaxCooldown.
	HonorRetryAfter bool

	// Classify judges a call by its error, which may be nil. Nil means
	// breaker.DefaultClassify. It is not asked about calls whose caller gave
	// up. Slow counts as Failure, and so does an Outcome that does not exist.
	Classify func(error) breaker.Outcome

	// StoreTimeout bounds each access to the store that a call or State makes,
	// waiting for others included. Zero means DefaultStoreTimeout. Status and
	// Reset take as long as their context allows.
	StoreTimeout time.Duration

	// Logger gets a record of every state change that this process brings
	// about, at level Warn if the breaker opens, else at Info, and one warning
	// if the store can't be used or holds garbage. Nil is silent.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.FailureRatio == 0 {
		c.Consecutive = cmp.Or(c.Consecutive, DefaultConsecutive)
	}
	if c.Classify == nil {
		c.Classify = breaker.DefaultClassify
	}
	if c.Jitter == NoJitter {
		c.Jitter = 0
	} else {
		c.Jitter = cmp.Or(c.Jitter, DefaultJitter)
	}
	c.Window = cmp.Or(c.Window, DefaultWindow)
	c.MinCalls = cmp.Or(c.MinCalls, DefaultMinCalls)
	c.Cooldown = cmp.Or(c.Cooldown, DefaultCooldown)
	c.MaxCooldown = cmp.Or(c.MaxCooldown, max(DefaultMaxCooldown, c.Cooldown))
	c.Lease = cmp.Or(c.Lease, DefaultLease)
	c.ProbeTimeout = cmp.Or(c.ProbeTimeout, DefaultProbeTimeout)
	c.StoreTimeout = cmp.Or(c.StoreTimeout, DefaultStoreTimeout)
	return c
}

// check reports the first field that makes no sense, after defaults.
func (c Config) check() error {
	if c.Name == "" {
		return law.Misuse("breaker/shared: Name is empty, must name the breaker")
	}
	bad := func(field string, value any, rule string) error {
		return law.Misuse("breaker/shared: %s: %s is %v, must be %s", c.Name, field, value, rule)
	}
	switch {
	case len(c.Name) > maxName:
		return law.Misuse("breaker/shared: Name is %d bytes long, must be at most %d", len(c.Name), maxName)
	case len(c.Key) > maxName:
		return bad("Key", fmt.Sprintf("%d bytes long", len(c.Key)), fmt.Sprintf("at most %d", maxName))
	case c.Store == nil:
		return bad("Store", "nil", "a store, such as NewFileStore")
	case c.Consecutive < 0 || c.Consecutive > maxOutcomes:
		return bad("Consecutive", c.Consecutive, fmt.Sprintf("from 0 to %d", maxOutcomes))
	case c.Window < 0:
		return bad("Window", c.Window, "positive")
	case !(c.FailureRatio >= 0 && c.FailureRatio <= 1):
		return bad("FailureRatio", c.FailureRatio, "from 0 to 1")
	case c.MinCalls < 1 || c.MinCalls > maxOutcomes:
		return bad("MinCalls", c.MinCalls, fmt.Sprintf("from 1 to %d", maxOutcomes))
	case c.Cooldown < 0:
		return bad("Cooldown", c.Cooldown, "positive")
	case c.MaxCooldown < c.Cooldown:
		return bad("MaxCooldown", c.MaxCooldown, fmt.Sprintf("at least Cooldown, %v", c.Cooldown))
	case !(c.Jitter >= 0 && c.Jitter <= 1):
		return bad("Jitter", c.Jitter, "NoJitter or from 0 to 1")
	case c.Lease < 0:
		return bad("Lease", c.Lease, "positive")
	case c.ProbeTimeout < 0:
		return bad("ProbeTimeout", c.ProbeTimeout, "positive")
	case c.StoreTimeout < 0:
		return bad("StoreTimeout", c.StoreTimeout, "positive")
	}
	return nil
}

// storeKey is where the store keeps the circuit of a name and a key.
func storeKey(name, key string) string {
	if key == "" {
		return url.PathEscape(name)
	}
	return url.PathEscape(name) + "/" + url.PathEscape(key)
}

// outcome judges a call that has returned. ctx is the caller's.
func (c Config) outcome(ctx context.Context, err error) breaker.Outcome {
	if err != nil && law.CallerGaveUp(ctx) {
		return breaker.Ignored
	}
	switch o := c.Classify(err); o {
	case breaker.Success, breaker.Ignored:
		return o
	default:
		return breaker.Failure
	}
}
