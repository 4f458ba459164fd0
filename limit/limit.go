package limit

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redoubt-go/redoubt/internal/explain"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A Limiter is a layer that lets a number of calls run at once. Others wait for
// their turn, if there is room for them, or are refused. It is safe for
// concurrent use. Make one with [New] or [Fixed].
type Limiter struct {
	config Config // with defaults
	key    string // in a Group
	err    error  // what is wrong with the configuration
	epoch  time.Time

	// counts are the calls under way, in the low half, and those that wait,
	// in the high half. While none waits, it changes without the lock; while
	// some do, only with mu held. So permits pass to those who wait, and
	// nobody overtakes them.
	counts  atomic.Uint64
	limit   atomic.Int64          // for critical calls
	open    atomic.Int64          // for others
	refusal atomic.Pointer[Error] // the last, for those that are the same

	mu     sync.Mutex
	queues [classes]queue
	exact  float64 // the limit with its fraction
	window window
	past   baseline
	atMin  bool // and the logger was told
}

// oneWaits is a waiter in counts.
const oneWaits = 1 << 32

func inFlightOf(counts uint64) int { return int(uint32(counts)) } //nolint:gosec // The low half.

func waitingOf(counts uint64) int { return int(counts >> 32) }

// Fixed returns a limiter that lets n calls run at once and refuses others. It is
// New(Config{Fixed: n}), except that an n below 1 makes no sense.
func Fixed(n int) *Limiter {
	if n == 0 {
		l := newLimiter(Config{Fixed: 1}, "")
		l.err = Config{}.bad("Fixed", n, "positive")
		return l
	}
	return New(Config{Fixed: n})
}

// New returns a limiter with no call under way. If config makes no sense, the
// limiter's Check says why, and Do returns that error instead of running a call.
func New(config Config) *Limiter {
	l := newLimiter(config, "")
	telemetry.ObserveLimit(l, (*Limiter).report)
	return l
}

func newLimiter(config Config, key string) *Limiter {
	l := &Limiter{config: config.withDefaults(), key: key, epoch: time.Now(), err: config.check()}
	if l.err == nil {
		l.set(float64(cmp.Or(config.Fixed, l.config.Initial)))
	}
	return l
}

// Do runs call if fewer calls are under way than the limit allows. Otherwise it
// waits up to Config.MaxWait for that, in the order in which calls came, or
// returns an [*Error]. It returns call's own error unchanged.
//
// A call whose ctx ends while it waits leaves the queue at once and is not run.
func (l *Limiter) Do(ctx context.Context, call func(context.Context) error) error {
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	if err := l.Check(); err != nil {
		return err
	}
	inFlight, err := l.acquire(ctx)
	if err != nil {
		return err
	}
	if l.config.Fixed > 0 {
		defer l.release()
		return call(ctx)
	}
	return l.measure(ctx, call, inFlight)
}

// measure runs a call that has its permit, and learns from it.
func (l *Limiter) measure(ctx context.Context, call func(context.Context) error, inFlight int) error {
	// A call that panics or exits its goroutine leaves it at that.
	outcome, s := Ignored, sample{inFlight: inFlight}
	defer l.release()
	defer func() {
		if outcome == Success || outcome == Dropped {
			s.dropped = outcome == Dropped
			l.learn(ctx, s)
		}
	}()
	start := l.now()
	err := call(ctx)
	s.ran = l.now() - start
	outcome = l.outcome(ctx, err, s.ran)
	return err
}

// acquire takes a permit and returns the number of calls under way with this
// one, or returns why there is no permit.
func (l *Limiter) acquire(ctx context.Context) (int, error) {
	for {
		counts := l.counts.Load()
		if waitingOf(counts) > 0 || inFlightOf(counts) >= int(l.open.Load()) {
			break
		}
		if l.counts.CompareAndSwap(counts, counts+1) {
			return inFlightOf(counts) + 1, nil
		}
	}
	if l.config.MaxWait > 0 {
		return l.acquireOrWait(ctx)
	}
	return l.acquireOrRefuse(ctx)
}

// acquireOrRefuse is for a limiter without a queue.
func (l *Limiter) acquireOrRefuse(ctx context.Context) (int, error) {
	class := classOf(ctx)
	for {
		counts, allowed := l.counts.Load(), l.allowed(class)
		if inFlightOf(counts) >= allowed {
			return 0, l.refuse(ctx, Error{Reason: ReasonReached, Limit: allowed, InFlight: inFlightOf(counts)})
		}
		if l.counts.CompareAndSwap(counts, counts+1) {
			return inFlightOf(counts) + 1, nil
		}
	}
}

// acquireOrWait is for a limiter with a queue.
func (l *Limiter) acquireOrWait(ctx context.Context) (int, error) {
	class := classOf(ctx)
	l.mu.Lock()
	for {
		counts, allowed := l.counts.Load(), l.allowed(class)
		full := waitingOf(counts) >= l.config.MaxQueue
		switch {
		case inFlightOf(counts) < allowed: // then none waits whom this call would overtake: admit sees to that
			if l.counts.CompareAndSwap(counts, counts+1) {
				l.mu.Unlock()
				return inFlightOf(counts) + 1, nil
			}
		case full && !l.displaces(class):
			l.mu.Unlock()
			return 0, l.refuse(ctx, Error{
				Reason: ReasonQueueFull, Limit: allowed, InFlight: inFlightOf(counts), Waiting: waitingOf(counts),
			})
		case l.counts.CompareAndSwap(counts, counts+oneWaits):
			if full {
				l.dequeue(l.queues[ordinary].newest, displaced)
			}
			w := &waiter{class: class, ready: make(chan struct{})}
			l.queues[class].push(w)
			l.mu.Unlock()
			return l.wait(ctx, w)
		}
	}
}

// allowed is how many calls may run at once for one of this class to be among
// them.
func (l *Limiter) allowed(c class) int {
	if c == critical {
		return int(l.limit.Load())
	}
	return int(l.open.Load())
}

// displaces reports whether a call of this class may take another's place.
func (l *Limiter) displaces(c class) bool {
	return c == critical && l.queues[ordinary].newest != nil
}

// wait waits for w's turn, and returns as acquire does.
func (l *Limiter) wait(ctx context.Context, w *waiter) (int, error) {
	start := l.now()
	timer := time.NewTimer(l.config.MaxWait)
	defer timer.Stop()
	select {
	case <-w.ready:
	case <-timer.C:
	case <-ctx.Done():
	}
	gone := ctx.Err()
	refusal := Error{Reason: ReasonWait, Waited: l.now() - start}

	l.mu.Lock()
	end := w.state
	switch {
	case end == waiting:
		l.dequeue(w, displaced)
	case end == admitted && gone != nil:
		l.handOver()
	}
	counts := l.counts.Load()
	refusal.Limit, refusal.InFlight, refusal.Waiting = l.allowed(w.class), inFlightOf(counts), waitingOf(counts)
	l.mu.Unlock()

	switch {
	case gone != nil:
		return 0, l.leave(ctx, refusal)
	case end == admitted:
		telemetry.Waited(ctx, l.config.Name, refusal.Waited, "")
		return w.inFlight, nil
	case end == displaced:
		refusal.Reason = ReasonQueueFull
	}
	return 0, l.refuse(ctx, refusal)
}

// dequeue ends w's wait. It runs with mu held.
func (l *Limiter) dequeue(w *waiter, end state) {
	l.queues[w.class].remove(w)
	w.state = end
	if end == admitted {
		w.inFlight = inFlightOf(l.counts.Add(1))
	}
	l.counts.Add(^uint64(oneWaits - 1)) // which subtracts it
	close(w.ready)
}

// release gives a permit back, to the call whose turn it is if any waits.
func (l *Limiter) release() {
	for {
		counts := l.counts.Load()
		if waitingOf(counts) > 0 {
			break
		}
		if l.counts.CompareAndSwap(counts, counts-1) {
			return
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.handOver()
}

// handOver is release with mu held.
func (l *Limiter) handOver() {
	l.counts.Add(^uint64(0))
	l.admit()
}

// admit lets those run whose turn it is. It runs with mu held.
func (l *Limiter) admit() {
	for {
		w := l.queues[critical].oldest
		if w == nil {
			w = l.queues[ordinary].oldest
		}
		if w == nil || inFlightOf(l.counts.Load()) >= l.allowed(w.class) {
			return
		}
		l.dequeue(w, admitted)
	}
}

// refuse returns e as an error. If it is like the last one, and nobody listens,
// it allocates nothing.
func (l *Limiter) refuse(ctx context.Context, e Error) error {
	err := l.refused(e)
	if e.Waited > 0 {
		telemetry.Waited(ctx, l.config.Name, e.Waited, err.ErrorType())
	}
	telemetry.Reject(ctx, telemetry.Rejection{
		Layer:  "limit",
		Name:   l.config.Name,
		Reason: err.ErrorType(),
		Err:    err,
	})
	return err
}

func (l *Limiter) refused(e Error) *Error {
	e.Name, e.Key = l.config.Name, l.key
	shared := e.Waited == 0 && e.cause == nil // which can't always be compared
	if last := l.refusal.Load(); shared && last != nil && *last == e {
		return last
	}
	err := new(Error)
	*err = e
	if shared {
		l.refusal.Store(err)
	}
	return err
}

// leave returns the error of a call whose context has ended. A caller that went
// away is nobody's failure.
func (l *Limiter) leave(ctx context.Context, e Error) error {
	e.cause = context.Cause(ctx)
	if !errors.Is(ctx.Err(), context.Canceled) || !law.CallerGaveUp(ctx) {
		return l.refuse(ctx, e)
	}
	e.Reason = ReasonCancelled
	e.Name, e.Key = l.config.Name, l.key
	telemetry.Waited(ctx, l.config.Name, e.Waited, e.ErrorType())
	return &e
}

// learn moves the limit by what a call told.
func (l *Limiter) learn(ctx context.Context, s sample) {
	if l.config.unmoved(int(l.limit.Load()), s) {
		return
	}
	l.mu.Lock()
	if l.config.Algorithm == AIMD {
		l.set(l.config.aimd(l.exact, s))
	} else {
		l.observe(s)
	}
	fell, rose := l.news()
	l.mu.Unlock()
	l.log(ctx, fell, rose)
}

// observe adds s to the window, and moves the limit if that was the last of it.
func (l *Limiter) observe(s sample) {
	l.window = l.window.add(s)
	now := l.now()
	if !l.window.full(now) {
		return
	}
	limit, past := l.config.gradient2(l.exact, l.past, l.window)
	l.past, l.window = past, window{ends: now + windowLength}
	l.set(limit)
}

// set makes limit the limit. It runs with mu held, or before anybody else knows
// of l.
func (l *Limiter) set(limit float64) {
	l.exact = limit
	l.limit.Store(int64(limit))
	l.open.Store(int64(l.config.open(int(limit))))
	l.admit()
}

// news reports whether the limit has fallen to its minimum, or has risen enough
// since it was there. It runs with mu held.
func (l *Limiter) news() (fell, rose bool) {
	limit := int(l.exact)
	switch {
	case !l.atMin && limit == l.config.Min && limit < l.config.Max:
		l.atMin, fell = true, true
	case l.atMin && limit >= min(2*l.config.Min, l.config.Max):
		l.atMin, rose = false, true
	}
	return fell, rose
}

func (l *Limiter) log(ctx context.Context, fell, rose bool) {
	level, message := slog.LevelInfo, "limit: has risen again"
	switch {
	case fell:
		level, message = slog.LevelWarn, "limit: has fallen to its minimum"
	case !rose:
		return
	}
	telemetry.Log(ctx, l.config.Logger, level, message, telemetry.SpanOf(ctx), nil,
		slog.String("limiter", label(l.config.Name, l.key)),
		slog.Int("limit", l.Limit()),
		slog.Int("in_flight", l.InFlight()),
		slog.Int("waiting", l.Waiting()))
}

// Limit returns how many calls may run at once now.
func (l *Limiter) Limit() int {
	if l.Check() != nil {
		return 0
	}
	return int(l.limit.Load())
}

// InFlight returns how many calls are under way. They can be more than Limit, if
// that has fallen since they began.
func (l *Limiter) InFlight() int {
	if l.Check() != nil {
		return 0
	}
	return inFlightOf(l.counts.Load())
}

// Waiting returns how many calls wait for their turn.
func (l *Limiter) Waiting() int {
	if l.Check() != nil {
		return 0
	}
	return waitingOf(l.counts.Load())
}

// Reset takes an adaptive limit back to what it began with and forgets what was
// measured. Calls under way go on.
func (l *Limiter) Reset() {
	if l.Check() != nil || l.config.Fixed > 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.window, l.past, l.atMin = window{}, baseline{}, false
	l.set(float64(l.config.Initial))
}

// Name returns the limiter's name.
func (l *Limiter) Name() string { return l.Explain().Name }

// Check reports the first field of the configuration that makes no sense, or
// that l was not made with [New] or [Fixed].
func (l *Limiter) Check() error {
	switch {
	case l == nil:
		return errZero
	case l.err != nil:
		return l.err
	case l.limit.Load() == 0:
		return errZero
	}
	return nil
}

// Explain returns the redoubt.Facts of l, for redoubt.Explain and redoubt.Check.
func (l *Limiter) Explain() explain.Facts {
	if l == nil {
		return Config{}.explain()
	}
	return l.config.explain()
}

func (c Config) explain() explain.Facts {
	return explain.Facts{
		Kind:        explain.Limit,
		Name:        c.Name,
		MaxInFlight: cmp.Or(c.Fixed, c.Max),
		Adaptive:    c.Fixed == 0,
		MaxWait:     c.MaxWait,
	}
}

func (l *Limiter) report() telemetry.LimitReport {
	return sumUp(l.config, []*Limiter{l})
}

// now is the time since the limiter was made. It grows evenly even if the wall
// clock does not.
func (l *Limiter) now() time.Duration { return time.Since(l.epoch) }
