package faults

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// RequestIDHeader is the header that tells a handler and a round tripper which
// arrivals are attempts of one request. Functions learn it from
// [WithRequestID].
const RequestIDHeader = "X-Request-ID"

// idempotencyHeader makes a repeated effect harmless.
const idempotencyHeader = "Idempotency-Key"

// An Injector plays a [Plan]. It is safe for concurrent use. Make one with
// [New]; one injector is one dependency, however many places it is used at.
type Injector struct {
	plan    Plan
	station *station
	lines   map[int]*line   // of Bandwidth, by fault
	buckets map[int]*bucket // of RateLimit, by fault
	cuts    []Window        // of Refuse
	ledger  ledger
	start   atomic.Pointer[time.Time]

	dials, sent, arrivals, refused, struck, worked, abandoned, rejected atomic.Int64
}

// New returns an injector whose time begins now. It returns an error if the
// plan makes no sense.
func New(plan Plan) (*Injector, error) {
	if err := plan.Check(); err != nil {
		return nil, err
	}
	i := &Injector{plan: plan, lines: map[int]*line{}, buckets: map[int]*bucket{}}
	i.station = &station{inj: i, instant: plan.Service.Time == nil && plan.Service.Slots == 0}
	for n, f := range plan.Faults {
		switch e := f.Effect.(type) {
		case Bandwidth:
			i.lines[n] = &line{rate: e.BytesPerSecond}
		case RateLimit:
			i.buckets[n] = newBucket(e)
		case Refuse:
			i.cuts = append(i.cuts, f.During)
		case Work:
			i.station.instant = false
		}
	}
	i.StartAt(time.Now())
	return i, nil
}

// StartAt moves the beginning of all windows to t. Until then nothing goes
// wrong. Call it before the first arrival.
func (i *Injector) StartAt(t time.Time) { i.start.Store(&t) }

// Elapsed returns the time since the beginning of all windows. It is negative
// before that.
func (i *Injector) Elapsed() time.Duration { return time.Since(*i.start.Load()) }

// Counts are what a dependency saw.
type Counts struct {
	Arrivals   int64 // requests and calls, whoever sent them
	Refused    int64 // connections refused, names not resolved, and dials given up since packets were lost
	Struck     int64 // arrivals that some fault struck
	Worked     int64 // pieces of work done
	Abandoned  int64 // of these, done for callers that had left
	Rejected   int64 // arrivals that found the queue full
	Effects    int64 // writes that took effect, see Injector.Handler
	Duplicates int64 // of these, repetitions of one that had already

	Working int // slots taken now
	Waiting int // callers, gone or not, that wait for a slot now
}

// Counts returns what the dependency saw so far.
func (i *Injector) Counts() Counts {
	c := Counts{
		Arrivals:  i.arrivals.Load(),
		Refused:   i.refused.Load(),
		Struck:    i.struck.Load(),
		Worked:    i.worked.Load(),
		Abandoned: i.abandoned.Load(),
		Rejected:  i.rejected.Load(),
	}
	c.Effects, c.Duplicates = i.ledger.counts()
	c.Working, c.Waiting = i.station.load()
	return c
}

// A Kind is what an [Event] tells.
type Kind string

// The kinds of events.
const (
	Arrived    Kind = "arrived"    // a request came
	Refused    Kind = "refused"    // a connection was refused, the name not resolved, or a dial given up
	Struck     Kind = "struck"     // a fault struck an arrival
	Rejected   Kind = "rejected"   // an arrival found the queue full
	Worked     Kind = "worked"     // a piece of work is done
	Abandoned  Kind = "abandoned"  // the same, but its caller had left
	Duplicated Kind = "duplicated" // a write took effect again
)

// An Event is something that happened at the dependency.
type Event struct {
	Kind    Kind
	At      time.Duration // since the plan began
	Arrival int64         // its ordinal, from 0; -1 if there was none
	Request string        // its request id, if it had one
	Fault   string        // its name, if Kind is Struck or Refused
}

func (i *Injector) tell(kind Kind, a arrival, fault string) {
	if i.plan.Observe != nil {
		i.plan.Observe(Event{Kind: kind, At: i.Elapsed(), Arrival: a.n, Request: a.request, Fault: fault})
	}
}

// An arrival is a request or call as the dependency sees it.
type arrival struct {
	n       int64 // from 0
	at      time.Duration
	request string // "" if it has no id
	key     string // for idempotency
	conn    uint64 // 0 if unknown
	ordinal int64  // on its connection, from 1; 0 if unknown
	writes  bool   // a repetition would be a second effect
}

// arrive waits for what is sent to arrive, and counts it.
func (i *Injector) arrive(ctx context.Context, a arrival) (arrival, error) {
	a.n = i.sent.Add(1) - 1
	if _, err := i.transmit(ctx, a, request); err != nil {
		return a, err
	}
	a.n = i.arrivals.Add(1) - 1
	a.at = i.Elapsed()
	i.tell(Arrived, a, "")
	return a, nil
}

// A fate is what befalls an arrival, as far as that is known when it comes.
type fate struct {
	status   *Status // the answer, instead of work
	reset    bool
	lost     bool
	hole     bool
	hangup   bool
	delay    time.Duration
	drip     time.Duration
	truncate int // -1 is not
	lines    []shared
}

// A shared line and when it is slow.
type shared struct {
	line   *line
	during Window
}

// paced reports whether the body takes time.
func (f fate) paced() bool { return f.drip > 0 || len(f.lines) > 0 }

// fate draws what befalls a.
func (i *Injector) fate(a arrival) fate {
	f := fate{truncate: -1}
	struck := false
	for n, fault := range i.plan.Faults {
		if b, ok := fault.Effect.(Bandwidth); ok && b.BytesPerSecond > 0 {
			f.lines = append(f.lines, shared{i.lines[n], fault.During})
			continue
		}
		if !i.strikes(n, a, a.at, 0) || !i.apply(n, a, &f) {
			continue
		}
		struck = true
		i.tell(Struck, a, fault.Label())
	}
	if struck {
		i.struck.Add(1)
	}
	return f
}

// apply adds fault n to the fate, and reports whether that changes it.
func (i *Injector) apply(n int, a arrival, f *fate) bool {
	settled := f.status != nil || f.reset || f.hole
	switch e := i.plan.Faults[n].Effect.(type) {
	case Status:
		if settled {
			return false
		}
		f.status = &e
	case RateLimit:
		if settled || i.buckets[n].take(a.at) {
			return false
		}
		f.status = &Status{Code: 429, RetryAfter: e.RetryAfter}
	case Reset:
		if settled {
			return false
		}
		f.reset, f.lost = !e.AfterWork, e.AfterWork
	case BlackHole:
		if settled {
			return false
		}
		f.hole = true
	case Delay:
		f.delay += max(0, e.Time(i.draw(n, uint64(a.n), 1), i.plan.Faults[n].During.elapsed(a.at)))
	case Truncate:
		f.truncate = e.After
	case Drip:
		f.drip = e.Over
	case Hangup:
		if e.Requests > 0 && (a.ordinal == 0 || a.ordinal%int64(e.Requests) != 0) {
			return false
		}
		f.hangup = true
	default: // of another moment
		return false
	}
	return true
}

// strikes reports whether fault n befalls a at t. use tells several draws for one
// arrival apart; whatever else is drawn for has one fate.
func (i *Injector) strikes(n int, a arrival, t time.Duration, use uint64) bool {
	f := i.plan.Faults[n]
	if t < 0 || !f.During.Contains(t) || !f.at(i.replica(a)) {
		return false
	}
	if f.Chance == 0 || f.Chance == 1 {
		return true
	}
	unit := uint64(a.n)
	switch {
	case f.Per == PerRequest && a.request != "":
		unit, use = hashString(a.request), 0
	case f.Per == PerConn && a.conn != 0:
		unit, use = a.conn, 0
	case f.Per == PerWindow:
		unit, use = f.During.opening(t), 0
	}
	return i.draw(n, unit, use) < f.Chance
}

// draw returns the random number of fault n for a unit. use tells several draws
// for one unit apart.
func (i *Injector) draw(n int, unit, use uint64) float64 {
	return Draw(i.plan.Seed, uint64(n), unit, use)
}

// replica returns the instance that a is sent to.
func (i *Injector) replica(a arrival) int {
	if i.plan.Replicas <= 1 {
		return 0
	}
	return int(a.n % int64(i.plan.Replicas))
}

// at reports whether f befalls a replica.
func (f Fault) at(replica int) bool {
	return len(f.Replicas) == 0 || slices.Contains(f.Replicas, replica)
}

// Label returns the name of f, or else that of its effect.
func (f Fault) Label() string {
	if f.Name != "" {
		return f.Name
	}
	return f.Effect.name()
}

// unreachable returns the fault, if any, that keeps the connection a from being
// made at t: Refuse or NoHost. One that is there already, -1, needs no name.
func (i *Injector) unreachable(a arrival, t time.Duration) (Effect, string) {
	if t < 0 {
		return nil, ""
	}
	for n, f := range i.plan.Faults {
		switch f.Effect.(type) {
		case Refuse:
			if f.During.Contains(t) {
				return f.Effect, f.Label()
			}
		case NoHost:
			if a.n >= 0 && i.strikes(n, a, t, 0) {
				return f.Effect, f.Label()
			}
		}
	}
	return nil, ""
}

// reach returns why the connection a is not made, or goes no further if it is there
// already.
func (i *Injector) reach(a arrival, host string) error {
	if e, fault := i.unreachable(a, i.Elapsed()); e != nil {
		return i.refuse(e, fault, host)
	}
	return nil
}

// refuse counts a connection that was not made and returns the error for it.
func (i *Injector) refuse(e Effect, fault, host string) error {
	i.refused.Add(1)
	i.tell(Refused, arrival{n: -1}, fault)
	if _, ok := e.(NoHost); ok {
		return errNoHost(host)
	}
	return errRefused()
}

// nextCut returns when what is under way at t is cut, or never.
func (i *Injector) nextCut(t time.Duration) time.Duration {
	cut := never
	for _, w := range i.cuts {
		cut = min(cut, w.next(t))
	}
	return cut
}

// untilCut returns a context that ends, with errCut as its cause, when what is
// under way is cut. Its cancel function must be called.
func (i *Injector) untilCut(ctx context.Context) (context.Context, context.CancelFunc) {
	now := i.Elapsed()
	cut := i.nextCut(now)
	if cut == never {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, cut-now, errCut)
}

var errCut = errors.New("faults: connection is cut")

// finish waits for what stands between the work of a and its answer.
func (i *Injector) finish(ctx context.Context, a arrival, f fate) error {
	if err := sleep(ctx, f.delay); err != nil {
		return err
	}
	for {
		thaw := i.thaw(a, i.Elapsed())
		if thaw == 0 {
			_, err := i.transmit(ctx, a, answering)
			return err
		}
		if err := sleep(ctx, thaw-i.Elapsed()); err != nil {
			return err
		}
	}
}

// thaw returns when the answer of a that is ready at t may go out, or 0 if it
// may now.
func (i *Injector) thaw(a arrival, t time.Duration) time.Duration {
	var thaw time.Duration
	for n, f := range i.plan.Faults {
		if _, ok := f.Effect.(Freeze); !ok || !i.strikes(n, a, t, 0) {
			continue
		}
		_, end := f.During.bounds(t)
		thaw = max(thaw, end)
	}
	return thaw
}

// sleep waits for d, and returns the cause if ctx ends first or has ended.
func sleep(ctx context.Context, d time.Duration) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type requestKey struct{}

// WithRequestID tells the dependency that the calls made with the context are
// attempts of the request with this id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}

func requestID(ctx context.Context) string {
	id, _ := ctx.Value(requestKey{}).(string)
	return id
}

// A bucket grants tokens at a rate. Time is that of the plan.
type bucket struct {
	mu     sync.Mutex
	limit  RateLimit
	tokens float64
	at     time.Duration
}

func newBucket(limit RateLimit) *bucket {
	limit.Burst = max(limit.Burst, 1)
	return &bucket{limit: limit, tokens: limit.Burst}
}

func (b *bucket) take(now time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now > b.at {
		b.tokens = min(b.limit.Burst, b.tokens+(now-b.at).Seconds()*b.limit.PerSecond)
		b.at = now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
