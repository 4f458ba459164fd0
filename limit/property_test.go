package limit

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var (
	schedules = flag.Uint64("limit.schedules", 3_000, "number of random schedules of TestModel")
	schedule  = flag.Uint64("limit.schedule", 0, "the one schedule that TestModel is to run, step by step")
)

// TestModel runs random schedules of calls that come, end in every way, are
// cancelled, and wait for too long, against a limiter and against the model of
// it. After each step they have to agree on who runs, who waits and who was
// refused and why, and on the limit. At the end of each schedule, however it
// went, nobody may be left and every permit has to be there.
//
// To see the steps of a schedule that failed, and to run a million of them:
//
//	go test ./limit -run TestModel -limit.schedule=17
//	go test ./limit -run TestModel -limit.schedules=1000000
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
						t.Fatalf("%v\nrun it again with -limit.schedule=%d", err, seed)
					}
				}
			})
		})
	}
}

// A play is one schedule, played to a limiter and its model.
type play struct {
	random  *rand.Rand
	logf    func(format string, args ...any) // or nil
	limiter *Limiter
	model   *model
	players []*player // all that are not over
	count   int

	mu     sync.Mutex
	inside int // calls that really run
	most   int // since the last step, and more than allowed if the limiter errs
}

// A player is one call.
type player struct {
	id     int
	urgent bool
	came   time.Time
	cancel context.CancelFunc
	end    chan func() error // how its call is to end

	want         fate
	wantInFlight int

	mu  sync.Mutex
	got fate
}

func (p *player) set(f fate) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = f
}

func (p *player) fate() fate {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got
}

func newPlay(seed uint64, logf func(string, ...any)) *play {
	p := &play{random: rand.New(rand.NewPCG(seed, 3)), logf: logf}
	config := p.randomConfig()
	p.limiter = newLimiter(config, "") // as New, but nobody observes a million of them
	if p.limiter.err != nil {
		panic(p.limiter.err)
	}
	c := p.limiter.config
	p.model = &model{config: c, limit: float64(cmp.Or(c.Fixed, c.Initial))}
	p.log("%+v", config)
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
	c := Config{Reserved: pick(r, 0, 0, 0.2, 0.5, 0.9)}
	if r.IntN(3) > 0 {
		c.MaxWait = pick(r, time.Millisecond, 100*time.Millisecond, time.Minute)
		c.MaxQueue = pick(r, 0, 1, 2, 3, 8)
	}
	if r.IntN(2) == 0 {
		c.Fixed = 1 + r.IntN(6)
		return c
	}
	c.Min = 1 + r.IntN(3)
	c.Max = c.Min + r.IntN(8)
	c.Initial = c.Min + r.IntN(c.Max-c.Min+1)
	c.Backoff = pick(r, 0.5, 0.7, 0.9)
	c.SlowCall = time.Hour // so that only ends count, see the model
	return c
}

func (p *play) run() error {
	for range 40 + p.random.IntN(80) {
		if err := p.step(); err != nil {
			return err
		}
	}
	for len(p.model.in) > 0 { // those that wait get their turn, or have waited for too long
		p.finish(p.model.in[0])
		if err := p.check(); err != nil {
			return fmt.Errorf("at the end: %w", err)
		}
	}
	if n := len(p.model.queue); n > 0 {
		return fmt.Errorf("the model is wrong: %d wait for nobody", n)
	}
	if p.limiter.counts.Load() != 0 {
		return fmt.Errorf("%d in flight, %d waiting when all is over", p.limiter.InFlight(), p.limiter.Waiting())
	}
	return nil
}

func (p *play) step() error {
	switch n := p.random.IntN(20); {
	case n < 9:
		p.arrive()
	case n < 15 && len(p.model.in) > 0:
		p.finish(pick(p.random, p.model.in...))
	case n < 17 && len(p.model.queue) > 0:
		p.leave(pick(p.random, p.model.queue...))
	case n < 18 && len(p.model.in) > 0:
		p.cancelRunning(pick(p.random, p.model.in...))
	case n < 19:
		p.sleep()
	}
	return p.check()
}

func (p *play) arrive() {
	time.Sleep(time.Nanosecond) // no two calls wait for too long at one moment
	p.count++
	ctx, cancel := context.WithCancel(context.Background())
	c := &player{id: p.count, urgent: p.random.IntN(3) == 0, came: time.Now(), cancel: cancel, end: make(chan func() error)}
	if c.urgent {
		ctx = WithCritical(ctx)
	}
	p.log("%d arrives, critical: %t", c.id, c.urgent)
	p.model.arrive(c)
	p.players = append(p.players, c)
	go p.call(ctx, c)
}

func (p *play) call(ctx context.Context, c *player) {
	over := done // if it panics or exits
	defer func() {
		_ = recover() // its own
		c.cancel()
		c.set(over)
	}()
	c.set(waits)
	err := p.limiter.Do(ctx, func(context.Context) error {
		c.set(runs)
		p.enter(1)
		defer p.enter(-1)
		return (<-c.end)()
	})
	if refusal, ok := errors.AsType[*Error](err); ok {
		over = map[Reason]fate{
			ReasonReached: refusedReached, ReasonQueueFull: refusedFull, ReasonWait: refusedWait, ReasonCancelled: gone,
		}[refusal.Reason]
	}
}

func (p *play) enter(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inside += n
	p.most = max(p.most, p.inside)
}

func (p *play) finish(c *player) {
	ends := []struct {
		name    string
		end     func() error
		outcome Outcome
	}{
		{"success", func() error { return nil }, Success},
		{"success", func() error { return nil }, Success},
		{"overload", func() error { return errOverload }, Dropped},
		{"error", func() error { return errDown }, Ignored},
		{"panic", func() error { panic("down") }, Ignored},
		{"goexit", func() error { runtime.Goexit(); return nil }, Ignored},
	}
	e := pick(p.random, ends...)
	p.log("%d ends: %s", c.id, e.name)
	p.model.finish(c, e.outcome)
	c.end <- e.end
}

func (p *play) leave(c *player) {
	p.log("%d leaves the queue", c.id)
	p.model.leave(c, gone)
	c.cancel()
}

// cancelRunning has the caller of a call that runs go away: its failure, if it
// is one, says nothing.
func (p *play) cancelRunning(c *player) {
	p.log("the caller of %d goes, and it ends", c.id)
	p.model.finish(c, Ignored)
	c.cancel()
	c.end <- func() error { return errOverload }
}

// sleep lets time pass up to the moment after which somebody has waited for too
// long, or a while.
func (p *play) sleep() {
	d := pick(p.random, time.Millisecond, 10*time.Millisecond, time.Minute)
	p.log("%v pass", d)
	end := time.Now().Add(d)
	for _, c := range p.model.queue {
		if !c.came.Add(p.limiter.config.MaxWait).After(end) {
			p.model.leave(c, refusedWait)
		}
	}
	time.Sleep(d)
}

// check compares the limiter with its model.
func (p *play) check() error {
	synctest.Wait()
	left := p.players[:0]
	for _, c := range p.players {
		if got := c.fate(); got != c.want {
			return fmt.Errorf("call %d: fate %d, want %d", c.id, got, c.want)
		}
		if c.want == waits || c.want == runs {
			left = append(left, c)
		}
	}
	p.players = left

	l, m := p.limiter, p.model
	if l.Limit() != int(m.limit) || l.InFlight() != len(m.in) || l.Waiting() != len(m.queue) {
		return fmt.Errorf("limit %d, %d in flight, %d waiting; want %d, %d, %d",
			l.Limit(), l.InFlight(), l.Waiting(), int(m.limit), len(m.in), len(m.queue))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if highest := max(l.config.Fixed, l.config.Max); p.inside != len(m.in) || p.most > highest {
		return fmt.Errorf("%d calls run, and there were %d, want %d, and %d at most", p.inside, p.most, len(m.in), highest)
	}
	return nil
}
