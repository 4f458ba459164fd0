package breaker

import (
	"cmp"
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A State is where a circuit stands.
type State int

// The states.
const (
	Closed   State = iota // calls pass
	Open                  // calls are refused
	HalfOpen              // a few probes pass, other calls are refused
)

// String returns "closed", "open" or "half-open".
func (s State) String() string {
	switch s {
	case Open:
		return "open"
	case HalfOpen:
		return "half-open"
	default:
		return "closed"
	}
}

// A Breaker is a layer that refuses calls to a dependency that fails. One
// breaker serves all callers of a dependency, whatever the type of their
// results. It is safe for concurrent use. Make one with [New].
type Breaker struct {
	config Config // with defaults
	key    string // in a Group
	err    error  // what is wrong with the configuration
	epoch  time.Time

	// phase changes with mu held and is read without it, so that a refusal
	// takes no lock.
	phase atomic.Pointer[phase]

	mu       sync.Mutex
	circuit  *circuit
	window   window  // of all but successes, which the phase counts
	openings int     // times that probes failed since the circuit was closed
	flights  flights // calls under way, oldest first, if slowness counts
	past     *history

	changes   []Transition // made with mu held now
	queue     []Transition // for the logger and OnTransition
	announces bool         // somebody is working the queue off

	probing atomic.Int32 // probes under way; changes with mu held
}

// New returns a closed breaker. If config makes no sense, the breaker's Check
// says why, and Do returns that error instead of running a call.
func New(config Config) *Breaker {
	b := newBreaker(config, "")
	telemetry.ObserveBreaker(b, (*Breaker).report)
	return b
}

func newBreaker(config Config, key string) *Breaker {
	config = config.withDefaults()
	b := &Breaker{config: config, key: key, epoch: time.Now(), err: config.check()}
	b.phase.Store(&phase{})
	if b.err == nil {
		b.window = newWindow(config.Window, config.Buckets)
		b.phase.Store(b.closedPhase())
	}
	return b
}

// invalid returns a breaker that runs nothing.
func invalid(err error) *Breaker {
	b := &Breaker{err: err}
	b.phase.Store(&phase{})
	return b
}

// A circuit is gobreaker's state machine.
type circuit struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]

	blame blame // why it is about to be asked
}

// machine returns the circuit, made when something fails for the first time:
// before that it would only take memory, 500 bytes for each breaker.
func (b *Breaker) machine() *circuit {
	if b.circuit == nil {
		b.circuit = &circuit{TwoStepCircuitBreaker: b.newCircuit()}
	}
	return b.circuit
}

// newCircuit returns gobreaker's state machine. It decides when the state
// changes, by what it is told:
//
//   - In the closed state it is told of a failure once that is known, and at
//     once asks for our verdict. It is told nothing while calls are under way, so
//     that a slow call is not lost to a new generation, and it does not count:
//     its counts take calls that are under way for successes.
//   - Its own open state lasts a nanosecond, and it is not asked before our
//     cooldown, which can grow, is over.
//   - Its half-open state is used as it is, with probes that always end.
func (b *Breaker) newCircuit() *gobreaker.TwoStepCircuitBreaker[struct{}] {
	return gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:        b.config.Name,
		MaxRequests: uint32(min(uint64(b.config.Probes), math.MaxUint32)),
		Timeout:     time.Nanosecond,
		ReadyToTrip: func(gobreaker.Counts) bool { return b.circuit.blame.reason != "" },
		IsExcluded:  func(err error) bool { return err == errIgnored }, //nolint:errorlint // It is ours, unwrapped.
		OnStateChange: func(_ string, _, to gobreaker.State) {
			switch to {
			case gobreaker.StateOpen:
				b.opened()
			case gobreaker.StateHalfOpen:
				b.halfOpened()
			case gobreaker.StateClosed:
				b.closed(blame{reason: ReasonProbes})
			}
		},
	})
}

// Do runs call unless the circuit is open. If it is, or if it is half-open and
// its probes are under way, Do returns an [*OpenError] at once. Otherwise it
// returns call's error unchanged.
func (b *Breaker) Do(ctx context.Context, call func(context.Context) error) error {
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	if err := b.Check(); err != nil {
		return err
	}
	t, err := b.admit(ctx)
	if err != nil {
		return err
	}

	// A call that panics or exits its goroutine leaves these as they are.
	outcome, cause := Failure, errNoReturn
	defer func() { b.settle(ctx, t, outcome, cause) }()
	var start time.Duration
	if b.config.CallerDeadline > 0 {
		start = b.now()
	}
	cause = call(ctx)
	var ran time.Duration
	if cause != nil && b.config.CallerDeadline > 0 {
		ran = b.now() - start
	}
	outcome = b.outcome(ctx, cause, ran)
	return cause
}

// A ticket is the permission to make a call.
type ticket struct {
	phase  *phase  // nil if the outcome does not count
	flight *flight // of a probe, and if slowness counts
}

// admit lets a call pass or returns why not.
func (b *Breaker) admit(ctx context.Context) (ticket, error) {
	p := b.phase.Load()
	switch {
	case p.state == Closed && p.forced:
		return ticket{}, nil
	case p.state == Closed && b.config.SlowCall == 0:
		return ticket{phase: p}, nil
	case p.state == Open && !p.over():
		return b.refuse(ctx, p)
	}
	return b.admitLocked(ctx)
}

// admitLocked admits a call that needs the lock: a probe, or one whose slowness
// counts.
func (b *Breaker) admitLocked(ctx context.Context) (ticket, error) {
	b.mu.Lock()
	b.sweep()
	if p := b.phase.Load(); p.state == Closed && !p.forced {
		f := b.flights.push(&flight{phase: p, start: b.now(), span: telemetry.SpanOf(ctx)})
		return b.unlockFor(ctx, ticket{phase: p, flight: f}), nil
	}
	b.poll()
	p := b.phase.Load()
	if p.state != HalfOpen {
		b.unlock(ctx)
		return b.admit(ctx) // as it is now: open or forced
	}
	done, err := b.machine().Allow()
	if err != nil {
		b.unlock(ctx)
		return b.refuse(ctx, p)
	}
	f := &flight{phase: p, start: b.now(), done: done, span: telemetry.SpanOf(ctx)}
	b.probing.Add(1)
	f.watchdog = time.AfterFunc(b.probeLimit(), func() { b.giveUpOn(f) })
	return b.unlockFor(ctx, ticket{phase: p, flight: f}), nil
}

// unlockFor is unlock for a call that has been admitted. If OnTransition does not
// return there will be no call, which says nothing about the dependency.
func (b *Breaker) unlockFor(ctx context.Context, t ticket) ticket {
	told := false
	defer func() {
		if !told {
			b.settle(ctx, t, Ignored, nil)
		}
	}()
	b.unlock(ctx)
	told = true
	return t
}

// poll makes an open circuit half-open if its cooldown is over.
func (b *Breaker) poll() {
	if b.phase.Load().over() {
		b.machine().State()
	}
}

// refuse returns the error of phase p, or admits the call uncounted if the
// breaker is a shadow. It allocates nothing unless somebody listens.
func (b *Breaker) refuse(ctx context.Context, p *phase) (ticket, error) {
	telemetry.Reject(ctx, telemetry.Rejection{
		Layer:      "breaker",
		Name:       b.config.Name,
		Reason:     p.refusal.ErrorType(),
		Err:        p.refusal,
		State:      p.state.String(),
		Generation: p.generation,
		Until:      p.until,
		Because:    p.refusal.tripped,
		Unenforced: b.config.Shadow,
	})
	if b.config.Shadow {
		return ticket{}, nil
	}
	return ticket{}, p.refusal
}

// settle counts the outcome of an admitted call.
func (b *Breaker) settle(ctx context.Context, t ticket, o Outcome, err error) {
	switch {
	case t.phase == nil:
		return
	case o == Success && t.flight == nil:
		t.phase.successes.add(b.now()) // counts for nothing if the phase is over
		return
	}
	why := blame{err: err}
	if o == Failure || o == Slow {
		why.span = telemetry.LastAttempt(ctx)
		if b.config.HonorRetryAfter {
			why.retryAfter, _ = says.RetryAfter(err) // asks the user's error, so without the lock
		}
	}
	b.mu.Lock()
	defer b.unlock(ctx)
	b.sweep()
	if f := t.flight; f != nil && !b.land(f) {
		if o == Failure {
			b.worsen(f, why)
		}
		return
	}
	if o == Success && b.slow(t.flight) {
		o, why.err = Slow, errSlow
	}
	b.count(t, o, why)
}

// count gives an outcome to the window, or to gobreaker's half-open state. An
// outcome from before the last state change is late and counts as nothing.
func (b *Breaker) count(t ticket, o Outcome, why blame) {
	if t.phase != b.phase.Load() {
		return
	}
	if t.phase.state == HalfOpen {
		why.reason, why.counts = cmp.Or(why.reason, ReasonProbeFailed), t.phase.refusal.Counts
		b.tell(t.flight.done, o, why)
		return
	}
	if o == Ignored {
		return
	}
	if o == Success {
		t.phase.successes.add(b.now())
		return
	}
	b.window.add(b.now(), o)
	if o == Failure {
		t.phase.successes.failed.Add(1)
	}
	b.judge(why)
}

// worsen counts the failure of a call that was counted as slow when it was
// still running. Had it been a probe, the failure would be late.
func (b *Breaker) worsen(f *flight, why blame) {
	if f.phase != b.phase.Load() {
		return
	}
	b.window.worsen(b.now(), f.judged)
	f.phase.successes.failed.Add(1)
	b.judge(why)
}

// judge opens a closed circuit if a rule is broken.
func (b *Breaker) judge(why blame) {
	why.counts = b.counts(b.now())
	why.reason = b.config.verdict(why.counts)
	if done, refused := b.machine().Allow(); refused == nil {
		b.tell(done, Failure, why)
	}
}

// tell gives an outcome to gobreaker, which may change the state because of it.
func (b *Breaker) tell(done func(error), o Outcome, why blame) {
	b.machine().blame = why
	switch o {
	case Success:
		done(nil)
	case Ignored:
		done(errIgnored)
	default:
		done(errFailed)
	}
}

// Name returns Config.Name.
func (b *Breaker) Name() string {
	if b == nil {
		return ""
	}
	return b.config.Name
}

// Check reports the first field of the configuration that makes no sense, or
// that b was not made with [New].
func (b *Breaker) Check() error {
	if b == nil || b.phase.Load() == nil {
		return errZero
	}
	return b.err
}

// Explain returns the redoubt.Facts of b, for redoubt.Explain and redoubt.Check.
func (b *Breaker) Explain() explain.Facts {
	if b == nil {
		return Config{}.explain()
	}
	return b.config.explain()
}

func (c Config) explain() explain.Facts {
	facts := explain.Facts{
		Kind:           explain.Breaker,
		Name:           c.Name,
		FailureRatio:   c.FailureRatio,
		SlowCall:       c.SlowCall,
		SlowRatio:      c.SlowRatio,
		Consecutive:    c.Consecutive,
		Cooldown:       c.Cooldown,
		MaxCooldown:    c.MaxCooldown,
		Probes:         c.Probes,
		ProbeTimeout:   c.ProbeTimeout,
		CallerDeadline: c.CallerDeadline,
		Shadow:         c.Shadow,
	}
	if c.FailureRatio > 0 || c.SlowRatio > 0 {
		facts.Window, facts.MinCalls = c.Window, c.MinCalls
	}
	return facts
}

func (b *Breaker) report() telemetry.BreakerReport {
	return sumUp(b.config.Name, []*Breaker{b})
}

// peek returns where the circuit stands, and changes nothing: OpenTelemetry
// collects with a lock held that what follows a change may need.
func (b *Breaker) peek() (State, Counts) {
	s := b.Status()
	return s.State, s.Counts
}

// now is the time since the breaker was made. It grows evenly even if the wall
// clock does not.
func (b *Breaker) now() time.Duration { return time.Since(b.epoch) }
