package limit

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
	DefaultInitial   = 20
	DefaultMin       = 5
	DefaultMax       = 200
	DefaultBackoff   = 0.9
	DefaultSlowCall  = 5 * time.Second
	DefaultTolerance = 1.5
	DefaultMaxQueue  = 100
)

// maxCalls bounds limits and queues, which share a word of memory.
const maxCalls = 1 << 30

// An Algorithm is how a limit adapts to what calls tell about the dependency.
type Algorithm int

// The algorithms.
const (
	// AIMD raises the limit by one for each call that succeeds while at
	// least half of the limit is in use, and lowers it by the factor
	// Config.Backoff for each call that is dropped. It needs failures, or
	// calls slower than Config.SlowCall, to learn from.
	AIMD Algorithm = iota

	// Gradient2 compares how long calls take now with how long they took in
	// the past, and lowers the limit when they take Config.Tolerance times
	// as long, before anything fails. It suits a dependency whose calls all
	// take about the same time.
	Gradient2
)

// String returns "aimd" or "gradient2".
func (a Algorithm) String() string {
	switch a {
	case AIMD:
		return "aimd"
	case Gradient2:
		return "gradient2"
	default:
		return fmt.Sprintf("algorithm(%d)", int(a))
	}
}

// Config says how many calls a [Limiter] lets run at once, and what becomes of
// the others. The zero Config adapts, by [AIMD], and refuses the others at once.
type Config struct {
	// Name names the limiter in errors, logs and telemetry. It may be empty.
	Name string

	// Fixed is the most calls at once, if the limit is not to adapt; then only
	// Name, MaxWait, MaxQueue, Reserved and Logger may be given besides. Zero
	// means that it adapts.
	Fixed int

	// Algorithm is how the limit adapts. Zero is AIMD.
	Algorithm Algorithm

	// Initial is what the limit begins with. Zero means DefaultInitial, or
	// Min or Max if that is beyond them.
	Initial int

	// Min and Max are the bounds of the limit. Zero means DefaultMin, or Max
	// if that is less, and DefaultMax, or Min if that is more.
	Min, Max int

	// Backoff is what the limit is multiplied by when a call is dropped, or
	// for Gradient2 when any was within a second, from 0.5 to below 1. Zero
	// means DefaultBackoff.
	Backoff float64

	// SlowCall is how long a call may run before it counts as dropped,
	// however it ends. Zero means DefaultSlowCall for AIMD, and that slowness
	// does not count for Gradient2, which measures it.
	SlowCall time.Duration

	// CallerDeadline makes a call that fails because its caller's own
	// deadline passed a dropped one, if it had been running for this long.
	// Zero means that the call is ignored, as one that the caller cancelled
	// always is, unless it was slow.
	CallerDeadline time.Duration

	// Tolerance is how many times as long as in the past calls may take
	// before Gradient2 lowers the limit, at least 1. Zero means
	// DefaultTolerance.
	Tolerance float64

	// MaxWait is how long a call may wait for its turn. Zero means that a
	// call beyond the limit is refused at once.
	MaxWait time.Duration

	// MaxQueue is how many calls may wait at once; those beyond it are
	// refused at once. Zero means DefaultMaxQueue if MaxWait is given.
	MaxQueue int

	// Reserved is the share of the limit that is kept for critical calls,
	// see [WithCritical], from 0 to 0.9. One call at least may always run
	// that is not critical.
	Reserved float64

	// Classify judges a call by its error, which may be nil. Nil means
	// DefaultClassify, which ignores an error that says nothing of itself, as
	// those of functions commonly do: give a Classify that knows those which
	// mean overload, or else such a limit is lowered by timeouts and slow calls
	// only. It is not asked about calls that were slow or whose caller gave
	// up. An Outcome that does not exist counts as Ignored.
	Classify func(error) Outcome

	// Logger gets a record at level Warn when the limit has fallen to Min,
	// and at Info when it has doubled again. Nil is silent.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.Classify == nil {
		c.Classify = DefaultClassify
	}
	if c.MaxWait != 0 {
		c.MaxQueue = cmp.Or(c.MaxQueue, DefaultMaxQueue)
	}
	if c.Fixed != 0 {
		return c
	}
	if c.Algorithm == AIMD {
		c.SlowCall = cmp.Or(c.SlowCall, DefaultSlowCall)
	}
	switch {
	case c.Min == 0 && c.Max > 0:
		c.Min = min(DefaultMin, c.Max)
	case c.Min == 0:
		c.Min = DefaultMin
	}
	c.Max = cmp.Or(c.Max, max(DefaultMax, c.Min))
	c.Initial = cmp.Or(c.Initial, min(max(DefaultInitial, c.Min), c.Max))
	c.Backoff = cmp.Or(c.Backoff, DefaultBackoff)
	c.Tolerance = cmp.Or(c.Tolerance, DefaultTolerance)
	return c
}

// check reports the first field that makes no sense. It is asked before
// defaults are set, which hide what was given.
func (c Config) check() error {
	if err := c.checkQueue(); err != nil {
		return err
	}
	if c.Fixed != 0 {
		return c.checkFixed()
	}
	c = c.withDefaults()
	switch {
	case c.Algorithm != AIMD && c.Algorithm != Gradient2:
		return c.bad("Algorithm", c.Algorithm, "AIMD or Gradient2")
	case c.Min < 1 || c.Min > maxCalls:
		return c.bad("Min", c.Min, fmt.Sprintf("from 1 to %d", maxCalls))
	case c.Max < c.Min || c.Max > maxCalls:
		return c.bad("Max", c.Max, fmt.Sprintf("from Min, %d, to %d", c.Min, maxCalls))
	case c.Initial < c.Min || c.Initial > c.Max:
		return c.bad("Initial", c.Initial, fmt.Sprintf("from Min, %d, to Max, %d", c.Min, c.Max))
	case !(c.Backoff >= 0.5 && c.Backoff < 1):
		return c.bad("Backoff", c.Backoff, "from 0.5 to below 1")
	case c.SlowCall < 0:
		return c.bad("SlowCall", c.SlowCall, "zero or positive")
	case c.CallerDeadline < 0:
		return c.bad("CallerDeadline", c.CallerDeadline, "zero or positive")
	case !(c.Tolerance >= 1 && c.Tolerance <= maxTolerance):
		return c.bad("Tolerance", c.Tolerance, fmt.Sprintf("from 1 to %d", maxTolerance))
	}
	return nil
}

const maxTolerance = 100

func (c Config) checkQueue() error {
	switch {
	case c.MaxWait < 0:
		return c.bad("MaxWait", c.MaxWait, "zero or positive")
	case c.MaxQueue < 0 || c.MaxQueue > maxCalls:
		return c.bad("MaxQueue", c.MaxQueue, fmt.Sprintf("from 0 to %d", maxCalls))
	case c.MaxQueue > 0 && c.MaxWait == 0:
		return c.bad("MaxWait", c.MaxWait, "positive if MaxQueue is given")
	case !(c.Reserved >= 0 && c.Reserved <= 0.9):
		return c.bad("Reserved", c.Reserved, "from 0 to 0.9")
	}
	return nil
}

func (c Config) checkFixed() error {
	if c.Fixed < 1 || c.Fixed > maxCalls {
		return c.bad("Fixed", c.Fixed, fmt.Sprintf("from 1 to %d", maxCalls))
	}
	adapts := []struct {
		field string
		given bool
	}{
		{"Algorithm", c.Algorithm != 0},
		{"Initial", c.Initial != 0},
		{"Min", c.Min != 0},
		{"Max", c.Max != 0},
		{"Backoff", c.Backoff != 0},
		{"SlowCall", c.SlowCall != 0},
		{"CallerDeadline", c.CallerDeadline != 0},
		{"Tolerance", c.Tolerance != 0},
		{"Classify", c.Classify != nil},
	}
	for _, a := range adapts {
		if a.given {
			return c.bad("Fixed", c.Fixed, "zero if "+a.field+" is given: a fixed limit does not adapt")
		}
	}
	return nil
}

func (c Config) bad(field string, value any, rule string) error {
	return law.Misuse("%s: %s is %v, must be %s", prefix(c.Name, ""), field, value, rule)
}

// An Outcome is what a call says about the load of the dependency.
type Outcome int

// The outcomes.
const (
	Success Outcome = iota // the dependency coped
	Dropped                // the dependency did not cope
	Ignored                // the call says nothing about it
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case Dropped:
		return "dropped"
	case Ignored:
		return "ignored"
	default:
		return fmt.Sprintf("outcome(%d)", int(o))
	}
}

// DefaultClassify judges a call by what its error says of itself, in this order:
//
//   - [Success] if there is no error;
//   - [Ignored] if Rejected() is true: a layer further in refused the call;
//   - [Dropped] if Throttled() or Timeout() is true;
//   - [Dropped] if DependencyFailure() is true, and Success if it is false: the
//     dependency answered as it should.
//
// An error that says nothing, as most errors of functions do, is Ignored: "no
// such row" says nothing about load. A function whose errors mean overload needs
// a Config.Classify that knows them.
func DefaultClassify(err error) Outcome {
	if err == nil {
		return Success
	}
	failure, ok := says.DependencyFailure(err)
	switch {
	case says.Rejected(err):
		return Ignored
	case says.Throttled(err), says.TimedOut(err):
		return Dropped
	case !ok:
		return Ignored
	case failure:
		return Dropped
	default:
		return Success
	}
}

// outcome judges a call that has returned after it ran for so long. ctx is the
// caller's.
func (l *Limiter) outcome(ctx context.Context, err error, ran time.Duration) Outcome {
	if slow := l.config.SlowCall; slow > 0 && ran >= slow {
		return Dropped
	}
	if err != nil && law.CallerGaveUp(ctx) {
		if d := l.config.CallerDeadline; d > 0 && ran >= d && errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return Dropped
		}
		return Ignored
	}
	return l.config.Classify(err)
}
