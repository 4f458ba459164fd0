package breaker

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/says"
)

var (
	schedules = flag.Uint64("breaker.schedules", 20_000, "number of random schedules of TestModel")
	schedule  = flag.Uint64("breaker.schedule", 0, "the one schedule that TestModel is to run, step by step")
)

// TestModel runs random schedules of overlapping calls, control and time against
// a breaker and against the model of it. After each step they have to agree on
// everything that can be seen, so that in particular a late result that changed
// something, or a probe's place that got lost, would show. At the end of each
// schedule, however it went, a dependency that is well has to close the circuit.
//
// To see the steps of a schedule that failed, and to run a million of them:
//
//	go test ./breaker -run TestModel -breaker.schedule=17
//	go test ./breaker -run TestModel -breaker.schedules=1000000
func TestModel(t *testing.T) {
	if *schedule != 0 {
		synctest.Test(t, func(t *testing.T) {
			if err := newPlay(*schedule, t.Logf).run(); err != nil {
				t.Error(err)
			}
		})
		return
	}
	workers := uint64(runtime.GOMAXPROCS(0))
	for worker := range workers {
		t.Run(fmt.Sprintf("worker %d", worker), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				for seed := worker + 1; seed <= *schedules; seed += workers {
					if err := newPlay(seed, nil).run(); err != nil {
						t.Fatalf("%v\nrun it again with -breaker.schedule=%d", err, seed)
					}
				}
			})
		})
	}
}

// A play is one schedule, played to a breaker and its model.
type play struct {
	random  *rand.Rand
	logf    func(format string, args ...any) // or nil
	breaker *Breaker
	model   *model
	running []*running
	health  int // in 100, how often the dependency succeeds

	mu      sync.Mutex
	told    []Transition
	checked int // of told
}

func newPlay(seed uint64, logf func(string, ...any)) *play {
	p := &play{random: rand.New(rand.NewPCG(seed, 2)), logf: logf}
	config := p.randomConfig()
	config.OnTransition = func(t Transition) {
		p.mu.Lock() // for a watchdog's goroutine
		defer p.mu.Unlock()
		p.told = append(p.told, t)
	}
	p.log("%+v", config)
	p.breaker = newBreaker(config, "") // as New, but nobody observes a million of them
	p.model = &model{config: config.withDefaults()}
	return p
}

func (p *play) log(format string, args ...any) {
	if p.logf != nil {
		p.logf(format, args...)
	}
}

func pick[T any](random *rand.Rand, from ...T) T { return from[random.IntN(len(from))] }

func (p *play) randomConfig() Config {
	r := p.random
	c := Config{
		Name:            "billing",
		Window:          pick(r, time.Second, 10*time.Second, time.Second+7),
		Buckets:         pick(r, 0, 1, 2, 3, 7),
		MinCalls:        1 + r.IntN(6),
		FailureRatio:    pick(r, 0, 0, 0.25, 0.5, 0.75, 1),
		Consecutive:     pick(r, 0, 0, 1, 2, 3, 4),
		Cooldown:        pick(r, time.Millisecond, time.Second, 5*time.Second),
		MaxCooldown:     pick(r, 0, 5*time.Second, 7*time.Second),
		Jitter:          NoJitter,
		Probes:          1 + r.IntN(5),
		ProbeTimeout:    pick(r, 0, 300*time.Millisecond, 2*time.Second),
		HonorRetryAfter: r.IntN(3) == 0,
		Shadow:          r.IntN(5) == 0,
		Classify:        classify,
	}
	if r.IntN(2) == 0 {
		c.SlowCall = pick(r, 250*time.Millisecond, time.Second, 3*time.Second)
		c.SlowRatio = pick(r, 0, 0.25, 0.5, 1)
	}
	return c
}

// classify is DefaultClassify for a dependency that can say that it was slow.
func classify(err error) Outcome {
	if errors.Is(err, errSluggish) {
		return Slow
	}
	return DefaultClassify(err)
}

var (
	errDown     = errors.New("down")
	errSluggish = errors.New("sluggish")
	errOuter    = expired{}
)

// unavailable is what a server says that asks to be left alone for a while.
type unavailable time.Duration

func (unavailable) Error() string                       { return "unavailable" }
func (u unavailable) RetryAfter() (time.Duration, bool) { return time.Duration(u), true }

// notFoundError is a failure of the call but not of the dependency.
type notFoundError struct{}

func (notFoundError) Error() string           { return "not found" }
func (notFoundError) DependencyFailure() bool { return false }

// expired is what a time limit further out leaves as the context's cause.
type expired struct{}

func (expired) Error() string     { return "expired" }
func (expired) Timeout() bool     { return true }
func (expired) ErrorType() string { return "timeout" }

// caller is a context whose end is in the test's hands, for whatever reason.
type caller struct {
	context.Context
	cancel context.CancelCauseFunc
	err    error
}

func newCaller() *caller {
	ctx, cancel := context.WithCancelCause(context.Background())
	return &caller{ctx, cancel, nil}
}

func (c *caller) Err() error { return c.err }

// end ends the caller's patience as a context of package context would. A nil
// cause is for a context that was given none.
func (c *caller) end(err, cause error) error {
	c.err = err
	c.cancel(cause)
	return err
}

// An ending is a way in which a call ends.
type ending struct {
	name    string
	outcome Outcome
	cause   error // of a failure, for the transition that it brings about
	wait    time.Duration
	end     func(*caller) error
}

func returns(outcome Outcome, err error) ending {
	wait, _ := says.RetryAfter(err)
	return ending{fmt.Sprintf("returns %v", err), outcome, err, wait, func(*caller) error { return err }}
}

var (
	succeeds = returns(Success, nil)
	good     = []ending{
		succeeds, succeeds, succeeds,
		returns(Success, notFoundError{}),
		{"succeeds after its caller has gone", Success, nil, 0, func(c *caller) error {
			c.end(context.Canceled, nil)
			return nil
		}},
		returns(Ignored, &OpenError{Name: "inner", State: Open}),
		{"is cancelled", Ignored, nil, 0, func(c *caller) error { return c.end(context.Canceled, nil) }},
		{"is cancelled for a reason", Ignored, nil, 0, func(c *caller) error { return c.end(context.Canceled, errDown) }},
		{"fails after its caller has gone", Ignored, nil, 0, func(c *caller) error {
			c.end(context.Canceled, nil)
			return errDown
		}},
		{"meets the caller's deadline", Ignored, nil, 0, func(c *caller) error {
			return c.end(context.DeadlineExceeded, context.DeadlineExceeded)
		}},
	}
	bad = []ending{
		returns(Failure, errDown), returns(Failure, errDown),
		returns(Failure, context.Canceled), // not the caller's
		returns(Failure, unavailable(6*time.Second)),
		returns(Slow, errSluggish),
		{"meets a limit further out", Failure, context.DeadlineExceeded, 0, func(c *caller) error {
			return c.end(context.DeadlineExceeded, errOuter)
		}},
		{"panics", Failure, errNoReturn, 0, func(*caller) error { panic(errDown) }},
		{"exits", Failure, errNoReturn, 0, func(*caller) error { runtime.Goexit(); return nil }},
	}
)

// A running call is a goroutine in Do that waits to be told how to end.
type running struct {
	model    *modelCall
	caller   *caller
	how      chan ending
	ran      bool
	returned bool // rather than panicked or exited
	err      error
	over     bool
}

func (p *play) start() *running {
	r := &running{caller: newCaller(), how: make(chan ending)}
	go func() {
		defer func() {
			if v := recover(); v != nil && v != any(errDown) {
				panic(v)
			}
			r.over = true
		}()
		r.err = p.breaker.Do(r.caller, func(context.Context) error {
			r.ran = true
			return (<-r.how).end(r.caller)
		})
		r.returned = true
	}()
	synctest.Wait()
	return r
}

// run plays the schedule and returns the first disagreement.
func (p *play) run() error {
	for range 10 + p.random.IntN(20) {
		if err := p.step(); err != nil {
			p.release()
			return err
		}
		if err := p.compare(); err != nil {
			p.release()
			return err
		}
	}
	if err := p.recover(); err != nil {
		p.release()
		return err
	}
	return p.compare()
}

// release lets go of the calls under way, so that the bubble can end.
func (p *play) release() {
	for _, r := range p.running {
		r.how <- succeeds
	}
	synctest.Wait()
}

func (p *play) step() error {
	if p.random.IntN(5) == 0 || p.health == 0 {
		p.health = 1 + p.random.IntN(100)
	}
	switch n := p.random.IntN(100); {
	case n < 18:
		return p.begin()
	case n < 35:
		return p.call(p.ending())
	case n < 65 && len(p.running) > 0:
		return p.end(p.random.IntN(len(p.running)), p.ending())
	case n < 90:
		p.sleep(p.nap())
	case n < 92:
		p.log("Reset")
		p.breaker.Reset()
		p.model.reset()
	case n < 93:
		p.log("ForceOpen")
		p.breaker.ForceOpen()
		p.model.force(Open)
	case n < 94:
		p.log("ForceClosed")
		p.breaker.ForceClosed()
		p.model.force(Closed)
	case n < 97:
		return p.state()
	default:
		return p.counts()
	}
	return nil
}

func (p *play) ending() ending {
	if p.random.IntN(100) < p.health {
		return pick(p.random, good...)
	}
	return pick(p.random, bad...)
}

// call makes a call that ends at once, in the way given.
func (p *play) call(how ending) error {
	before := len(p.running)
	if err := p.begin(); err != nil || len(p.running) == before {
		return err
	}
	return p.end(before, how)
}

// begin begins a call, which ends in a later step.
func (p *play) begin() error {
	r := p.start()
	call, refused := p.model.begin()
	p.log("call: refused = %v", refused)
	if call == nil {
		return p.checkRefusal(r)
	}
	if !r.ran || r.over {
		return fmt.Errorf("a call in state %v did not run, err = %v; want it to run", p.model.state, r.err)
	}
	r.model = call
	p.running = append(p.running, r)
	return nil
}

func (p *play) end(i int, how ending) error {
	r := p.running[i]
	p.running = slices.Delete(p.running, i, i+1)
	p.log("call begun at %v %s", r.model.began, how.name)
	r.how <- how
	synctest.Wait()
	p.model.end(r.model, how.outcome, how.cause, how.wait)
	if !r.over {
		return errors.New("a call that ended is still in Do")
	}
	if want := !errors.Is(how.cause, errNoReturn); r.returned != want {
		return fmt.Errorf("Do returned = %v, want %v", r.returned, want)
	}
	if r.returned && how.cause != nil && !errors.Is(r.err, how.cause) {
		return fmt.Errorf("Do returned %v, want %v", r.err, how.cause)
	}
	return nil
}

// nap returns a time to sleep, most often until just before, at or just after a
// moment that matters.
func (p *play) nap() time.Duration {
	m := p.model
	step := m.config.Window / time.Duration(m.config.Buckets)
	moments := []time.Duration{m.until, m.now - m.now%step + step, m.now + m.config.Window}
	for _, call := range m.calls {
		moments = append(moments, call.began+m.config.SlowCall, call.began+m.probeLimit())
	}
	if p.random.IntN(4) > 0 {
		d := pick(p.random, moments...) - m.now + time.Duration(p.random.IntN(3)-1)
		if d > 0 {
			return d
		}
	}
	return time.Duration(p.random.Int64N(int64(pick(p.random, 2, time.Second, 10*time.Second))) + 1)
}

func (p *play) sleep(d time.Duration) {
	p.log("sleep %v", d)
	time.Sleep(d)
	synctest.Wait()
	p.model.advance(d)
}

func (p *play) state() error {
	p.log("State")
	got := p.breaker.State()
	p.model.ask()
	if want := p.model.state; got != want {
		return fmt.Errorf("State() = %v, want %v", got, want)
	}
	return nil
}

func (p *play) counts() error {
	p.log("Counts")
	got := tallyOf(p.breaker.Counts())
	p.model.look()
	if want := p.model.tally(); got != want {
		return fmt.Errorf("Counts() = %+v, want %+v", got, want)
	}
	return nil
}

// recover ends all calls, lets the cooldown pass and has the dependency be well.
func (p *play) recover() error {
	for len(p.running) > 0 {
		if err := p.end(0, p.ending()); err != nil {
			return err
		}
	}
	if p.model.forced {
		p.breaker.Reset()
		p.model.reset()
	}
	p.sleep(p.model.config.MaxCooldown)
	for range p.model.config.Probes {
		if err := p.call(succeeds); err != nil {
			return err
		}
	}
	if got := p.breaker.State(); got != Closed {
		return fmt.Errorf("state = %v after %d calls of a dependency that is well", got, p.model.config.Probes)
	}
	return nil
}

// compare reports a difference between the breaker and the model, without
// touching the breaker.
func (p *play) compare() error {
	if got, want := p.breaker.phase.Load().state, p.model.state; got != want {
		return fmt.Errorf("state at %v = %v, want %v", p.model.now, got, want)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if got, want := len(p.told), len(p.model.told); got != want {
		return fmt.Errorf("%d transitions, want %d: %+v, want %+v", got, want, p.told, p.model.told)
	}
	for i := p.checked; i < len(p.told); i++ {
		t, want := p.told[i], p.model.told[i]
		got := change{t.From, t.To, t.Generation, trip{t.Reason, tallyOf(t.Counts), t.Err}, t.Cooldown, t.At.Sub(p.breaker.epoch)}
		if got != want {
			return fmt.Errorf("transition %d = %+v, want %+v", i, got, want)
		}
		if t.Generation != uint64(i)+1 || i > 0 && t.From != p.told[i-1].To {
			return fmt.Errorf("transition %d = %+v does not follow on %+v", i, t, p.told[:i])
		}
	}
	p.checked = len(p.told)
	return nil
}

func (p *play) checkRefusal(r *running) error {
	if r.ran {
		return fmt.Errorf("a call in state %v ran, want it to be refused", p.model.state)
	}
	if !r.over {
		return errors.New("a refused call is still in Do")
	}
	open, ok := errors.AsType[*OpenError](r.err)
	if !ok {
		return fmt.Errorf("a refused call got %v, want an OpenError", r.err)
	}
	since := func(at time.Time) time.Duration {
		if at.IsZero() {
			return -1
		}
		return at.Sub(p.breaker.epoch)
	}
	got := refusal{open.Name, open.State, trip{open.Reason, tallyOf(open.Counts), open.Cause}, since(open.Opened), since(open.Until)}
	if want := p.model.refusal(); got != want {
		return fmt.Errorf("refusal = %+v, want %+v", got, want)
	}
	return nil
}
