package shared

import (
	"context"
	crand "crypto/rand"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A Breaker is a layer that refuses calls to a dependency that fails, as all
// processes see it that share its [Store]. It is safe for concurrent use. Make
// one with [New].
type Breaker struct {
	config Config // with defaults
	key    string // in the store
	err    error  // what is wrong with the configuration
	self   lease  // who we are; without ID and dates

	local  memory       // instead of a store that can't be used
	away   atomic.Int64 // until when the store is not asked, in Unix nanoseconds
	warned atomic.Bool
	latest atomic.Pointer[record]
}

// away is how long a store that failed is left alone. Commands don't live that
// long; servers come back to it.
const away = 15 * time.Second

// New returns a breaker. It does not look into the store yet. If config makes no
// sense, the breaker's Check says why, and Do returns that error instead of
// running a call.
func New(config Config) *Breaker {
	config = config.withDefaults()
	host, _ := os.Hostname()
	b := &Breaker{
		config: config,
		key:    storeKey(config.Name, config.Key),
		err:    config.check(),
		self:   lease{Host: word(host), PID: os.Getpid()},
	}
	b.latest.Store(&record{})
	if b.err == nil {
		telemetry.ObserveBreaker(b, (*Breaker).report)
	}
	return b
}

// Do runs call unless the circuit is open. If it is, or if it is half-open and
// somebody probes it, Do returns a [*breaker.OpenError] at once, whose Cause is
// a [*Failure]. Otherwise it returns call's error unchanged.
//
// A store that can't be used is never an error. If ctx ends before the store
// answers, Do returns ctx's error.
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
	release := func() {}
	if t.lease != "" {
		release = b.hold(ctx, t)
	}
	// A call that panics or exits its goroutine leaves these as they are.
	outcome, cause := breaker.Failure, error(errNoReturn)
	defer func() {
		release()
		b.settle(ctx, t, outcome, cause, false)
	}()
	cause = call(ctx)
	outcome = b.config.outcome(ctx, cause)
	return cause
}

// A ticket is the permission to make a call.
type ticket struct {
	local      bool   // the store could not be asked
	generation uint64 // of the record that admitted the call
	lease      string // ID of the lease if the call is a probe
}

// admit lets a call pass or returns why not.
func (b *Breaker) admit(ctx context.Context) (ticket, error) {
	if ctx.Err() != nil {
		return ticket{}, ctx.Err()
	}
	var id string
	var v verdict
	u, err := b.update(ctx, func(r record, now time.Time, _ bool) (record, bool) {
		if id == "" && r.state(now) == breaker.HalfOpen {
			id = crand.Text()
		}
		mine := b.self
		mine.ID, mine.Since, mine.Until = id, now, now.Add(b.config.Lease)
		v, r = b.config.admit(r, now, mine)
		return r, v == probe
	})
	if err != nil {
		return ticket{}, err
	}
	t := ticket{local: u.local, generation: u.after.Generation}
	switch v {
	case refuse:
		return t, b.refuse(ctx, u.after, u.at)
	case probe:
		t.lease = id
		b.tell(ctx, breaker.Open, breaker.HalfOpen, breaker.ReasonCooldown, u.after)
	}
	return t, nil
}

// refuse returns the error for a call that may not pass.
func (b *Breaker) refuse(ctx context.Context, r record, now time.Time) error {
	e := b.openError(r, now)
	telemetry.Reject(ctx, telemetry.Rejection{
		Layer:      "breaker",
		Name:       b.config.Name,
		Reason:     e.ErrorType(),
		Err:        e,
		State:      e.State.String(),
		Generation: r.Generation,
		Until:      e.Until,
		Because:    telemetry.LinkTo(r.Open.Trace),
	})
	return e
}

func (b *Breaker) openError(r record, now time.Time) *breaker.OpenError {
	e := &breaker.OpenError{
		Name:   b.config.Name,
		Key:    b.config.Key,
		State:  r.state(now),
		Reason: r.Open.Reason,
		Opened: r.Open.Since,
		Counts: breaker.Counts{Successes: r.Open.Successes, Failures: r.Open.Failures, Consecutive: r.Open.Consecutive},
		Cause:  r.Open.Last.failure(),
	}
	if e.State == breaker.Open {
		e.Until = r.Open.Until
	}
	return e
}

// hold keeps the lease of a probe until release is called, which waits for the
// keeper to have gone. A probe that runs for too long counts as failed, and its
// lease is given up.
func (b *Breaker) hold(ctx context.Context, t ticket) (release func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		renewal := time.NewTicker(max(b.config.Lease/3, time.Millisecond))
		defer renewal.Stop()
		limit := time.NewTimer(b.config.ProbeTimeout)
		defer limit.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-limit.C:
				b.settle(ctx, t, breaker.Failure, errProbeTimeout, true)
				return
			case <-renewal.C:
				if !b.renew(ctx, t) {
					return
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// renew prolongs a lease and reports whether it is still held.
func (b *Breaker) renew(ctx context.Context, t ticket) bool {
	held := true
	_, err := b.update(ctx, func(r record, now time.Time, local bool) (record, bool) {
		if local != t.local {
			return r, false // the store is away; it may come back
		}
		r, held = b.config.renew(r, now, t.lease)
		return r, held
	})
	return err == nil && held
}

// settle counts the outcome of an admitted call, also if its caller is gone.
func (b *Breaker) settle(ctx context.Context, t ticket, o breaker.Outcome, err error, timedOut bool) {
	wait, _ := says.RetryAfter(err)
	res := result{
		outcome:    o,
		retryAfter: max(wait, 0),
		random:     rand.Float64(),
		timedOut:   timedOut,
	}
	res.what.Host, res.what.PID = b.self.Host, b.self.PID
	if o == breaker.Failure {
		res.what.Class = classOf(err)
		res.trace = telemetry.LastAttempt(ctx).Traceparent()
	}
	u, err := b.update(context.WithoutCancel(ctx), func(r record, now time.Time, local bool) (record, bool) {
		res.what.At = now
		res.generation, res.lease = t.generation, t.lease
		if local != t.local { // the other record knows nothing of this call
			res.generation, res.lease = r.Generation, ""
		}
		return b.config.count(r, now, res)
	})
	if err != nil || u.before.Generation == u.after.Generation {
		return
	}
	reason := breaker.ReasonProbes
	if u.after.Open != nil {
		reason = u.after.Open.Reason
	}
	b.tell(ctx, u.before.state(u.at), u.after.state(u.at), reason, u.after)
}

// A change maps a record, as it is at the time now, to the next one and reports
// whether that must be stored. It may be asked several times. local says that
// the record is that of this process alone.
type change func(r record, now time.Time, local bool) (record, bool)

// An update is what a change did.
type update struct {
	before, after record
	at            time.Time
	local         bool
}

// update applies a change to the circuit's record, or to that of this process if
// the store can't be used. Its error is always ctx's.
func (b *Breaker) update(ctx context.Context, c change) (update, error) {
	if now := time.Now().UnixNano(); now >= b.away.Load() || b.away.Load()-now > int64(away) {
		limited, cancel := context.WithTimeout(ctx, b.config.StoreTimeout)
		u, err := b.swap(limited, b.config.Store, false, c)
		cancel()
		if err == nil {
			return u, nil
		}
		if ctx.Err() != nil {
			return update{}, ctx.Err()
		}
		b.away.Store(time.Now().Add(away).UnixNano())
		b.warn(ctx, "breaker: store can't be used, going on with a circuit of this process alone", err)
	}
	return b.swap(ctx, &b.local, true, c)
}

// swap applies a change until nobody else's comes in between.
func (b *Breaker) swap(ctx context.Context, store Store, local bool, c change) (update, error) {
	for {
		old, err := store.Load(ctx, b.key)
		if err != nil {
			return update{}, err
		}
		r, err := b.decode(old)
		garbage := err != nil
		if garbage {
			b.warn(ctx, "breaker: store holds garbage, taking the circuit for closed", err)
		}
		u := update{at: time.Now(), local: local}
		u.before, garbage = b.settled(r, u.at, garbage)
		var changed bool
		u.after, changed = c(u.before, u.at, local)
		if changed || garbage {
			swapped, err := b.store(ctx, store, old, u)
			if err != nil {
				return update{}, err
			}
			if !swapped {
				continue
			}
		}
		b.latest.Store(&u.after)
		return u, nil
	}
}

func (b *Breaker) settled(r record, now time.Time, garbage bool) (record, bool) {
	r, moved := b.config.settled(r, now)
	return r, moved || garbage
}

// store stores what a change made of old.
func (b *Breaker) store(ctx context.Context, store Store, old []byte, u update) (swapped bool, err error) {
	u.after.Updated = u.at
	value, err := u.after.encode()
	if err != nil {
		return false, err
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	return store.CompareAndSwap(ctx, b.key, old, value, b.config.lifetime())
}

// decode reads a stored value, which must be of this circuit.
func (b *Breaker) decode(value []byte) (record, error) {
	r, err := decode(value)
	if err == nil && len(value) > 0 && (r.Name != b.config.Name || r.Key != b.config.Key) {
		r, err = record{}, errGarbage
	}
	r.Name, r.Key = b.config.Name, b.config.Key
	return r, err
}

// lifetime is how long a record can matter.
func (c Config) lifetime() time.Duration {
	return 2 * (c.Window + c.MaxCooldown + c.Lease + skew)
}

// warn logs a warning, the first one only.
func (b *Breaker) warn(ctx context.Context, message string, err error) {
	if !b.warned.CompareAndSwap(false, true) {
		return
	}
	if s, ok := b.config.Store.(interface{ firstWarning() bool }); ok && !s.firstWarning() {
		return
	}
	telemetry.Log(ctx, b.config.Logger, slog.LevelWarn, message, telemetry.Link{}, err,
		slog.String("breaker", b.config.Name))
}

// tell records a state change.
func (b *Breaker) tell(ctx context.Context, from, to breaker.State, reason breaker.Reason, r record) {
	telemetry.Transitioned(ctx, telemetry.Transition{
		Name:       b.config.Name,
		From:       from.String(),
		To:         to.String(),
		Reason:     string(reason),
		Generation: r.Generation,
	})
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("breaker", b.config.Name),
		slog.String("key", b.config.Key),
		slog.String("from", from.String()),
		slog.String("to", to.String()),
		slog.String("reason", string(reason)),
	}
	if to == breaker.Open {
		level = slog.LevelWarn
		attrs = append(attrs,
			slog.String("class", r.Open.Last.Class),
			slog.Int64("consecutive", r.Open.Consecutive),
			slog.Duration("cooldown", r.Open.Until.Sub(r.Open.Since)))
	}
	telemetry.Log(ctx, b.config.Logger, level, "breaker: circuit is "+to.String(), telemetry.Link{}, nil, attrs...)
}

// State returns where the circuit stands, as the store has it now. If the store
// can't be used, that is where the circuit of this process alone stands.
func (b *Breaker) State() breaker.State {
	if b.Check() != nil {
		return breaker.Closed
	}
	u, err := b.update(context.Background(), func(r record, _ time.Time, _ bool) (record, bool) { return r, false })
	if err != nil {
		return breaker.Closed
	}
	return u.after.state(u.at)
}

// Config returns the configuration, with the values that stand for zero fields.
func (b *Breaker) Config() Config {
	if b == nil {
		return Config{}
	}
	return b.config
}

// Name returns the breaker's name.
func (b *Breaker) Name() string { return b.Explain().Name }

// Check reports the first field of the configuration that makes no sense, or that
// b was not made with [New].
func (b *Breaker) Check() error {
	if b == nil || b.config.Name == "" && b.err == nil {
		return errZero
	}
	return b.err
}

// Explain returns the redoubt.Facts of b, for redoubt.Explain and redoubt.Check.
func (b *Breaker) Explain() explain.Facts {
	if b == nil {
		return explain.Facts{Kind: explain.Breaker}
	}
	return explain.Facts{
		Kind:         explain.Breaker,
		Name:         b.config.Name,
		FailureRatio: b.config.FailureRatio,
		Consecutive:  b.config.Consecutive,
		Cooldown:     b.config.Cooldown,
		MaxCooldown:  b.config.MaxCooldown,
		Probes:       1,
		ProbeTimeout: b.config.ProbeTimeout,
		Window:       b.config.Window, // also of failures in a row
		MinCalls:     b.config.MinCalls,
	}
}

// report is for OpenTelemetry's collection, which must not wait for a store.
func (b *Breaker) report() telemetry.BreakerReport {
	r := b.latest.Load()
	report := telemetry.BreakerReport{Name: b.config.Name, FailureRatio: countsOf(r.Outcomes).FailureRatio()}
	switch r.state(time.Now()) {
	case breaker.Closed:
		report.Closed = 1
	case breaker.Open:
		report.Open = 1
	case breaker.HalfOpen:
		report.HalfOpen = 1
	}
	return report
}
