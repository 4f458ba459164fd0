package faults

import (
	"context"
	"errors"
	"sync"
	"time"
)

// NoQueue, as Service.Queue, turns away arrivals that find no free slot.
const NoQueue = -1

// A Service says how a dependency works while nothing is wrong. The zero
// Service does everything at once.
type Service struct {
	// Time is how long a piece of work takes, drawn when it starts. Nil is
	// no time.
	Time Latency

	// Slots is how many pieces of work go on at the same time. Zero is any
	// number.
	Slots int

	// Queue is how many arrivals can wait for a slot, first come, first
	// served. Zero is any number; NoQueue is none.
	Queue int

	// Full is the answer to arrivals that find the queue full. Its zero
	// value is a 503.
	Full Status

	// SkipsAbandoned spares the work for callers that left while they
	// waited. Few services can: work that has begun always goes on to its
	// end.
	SkipsAbandoned bool

	// Body is the size of answers in bytes, where the service answers by
	// itself.
	Body int
}

func (s Service) check(bad report) {
	if s.Slots < 0 {
		bad("Service.Slots", s.Slots, "zero or positive")
	}
	if s.Queue < NoQueue {
		bad("Service.Queue", s.Queue, "NoQueue, zero or positive")
	}
	if s.Queue != 0 && s.Slots == 0 {
		bad("Service.Queue", s.Queue, "zero unless Slots is given")
	}
	if s.Body < 0 {
		bad("Service.Body", s.Body, "zero or positive")
	}
	s.Full.check(func(_ string, value any, rule string) { bad("Service.Full", value, rule) })
}

var errFull = errors.New("faults: queue is full")

// A station is where the work of a service is done. It has no goroutines:
// timers start what comes next.
type station struct {
	inj     *Injector
	instant bool // work takes no time, and there is no limit to it

	mu      sync.Mutex
	busy    int
	waiting []*job // first come, first served
}

// A job is one piece of work.
type job struct {
	arrival arrival
	ctx     context.Context //nolint:containedctx // Its caller's: has it left?
	done    chan struct{}
}

func (s *station) load() (working, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.busy, len(s.waiting)
}

// work does the work of a and returns once it is done, or with the cause if ctx
// ends first, in which case the work goes on.
func (s *station) work(ctx context.Context, a arrival) error {
	if s.instant {
		s.account(ctx, a)
		return nil
	}
	j := &job{arrival: a, ctx: ctx, done: make(chan struct{})}
	if !s.enter(j) {
		s.inj.rejected.Add(1)
		s.inj.tell(Rejected, a, "")
		return errFull
	}
	select {
	case <-j.done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enter starts a job or lets it wait. It reports false if there is no room.
func (s *station) enter(j *job) bool {
	service := &s.inj.plan.Service
	s.mu.Lock()
	if service.Slots > 0 && s.busy >= service.Slots {
		defer s.mu.Unlock()
		if service.Queue == NoQueue || service.Queue > 0 && len(s.waiting) >= service.Queue {
			return false
		}
		s.waiting = append(s.waiting, j)
		return true
	}
	s.busy++
	s.mu.Unlock()
	s.run(j, j.arrival.at)
	return true
}

// run does a job that starts at the given time of the plan, and what waits
// behind it, as far as that can be done without waiting. Jobs that follow one
// another start when the one before was to end, however late its timer was: a
// busy machine does not make the service slower.
func (s *station) run(j *job, start time.Duration) {
	for {
		end := start + s.cost(j.arrival, start)
		if wait := end - s.inj.Elapsed(); wait > 0 {
			time.AfterFunc(wait, func() {
				s.settle(j)
				if next := s.next(); next != nil {
					s.run(next, end)
				}
			})
			return
		}
		s.settle(j)
		if j = s.next(); j == nil {
			return
		}
		start = end
	}
}

// cost is how long work for a takes that starts at t.
func (s *station) cost(a arrival, t time.Duration) time.Duration {
	for n, f := range s.inj.plan.Faults {
		if w, ok := f.Effect.(Work); ok && s.inj.strikes(n, a, t, 0) {
			return max(0, w.Time(s.inj.draw(n, uint64(a.n), 1), f.During.elapsed(t)))
		}
	}
	if s.inj.plan.Service.Time == nil {
		return 0
	}
	return max(0, s.inj.plan.Service.Time(Draw(s.inj.plan.Seed, 1<<32, uint64(a.n)), 0))
}

// next returns the job that a slot has become free for. If there is none the
// slot stays free.
func (s *station) next() *job {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) > 0 {
		j := s.waiting[0]
		s.waiting[0] = nil
		s.waiting = s.waiting[1:]
		if s.inj.plan.Service.SkipsAbandoned && j.ctx.Err() != nil {
			continue
		}
		return j
	}
	s.busy--
	return nil
}

// settle ends a job.
func (s *station) settle(j *job) {
	s.account(j.ctx, j.arrival)
	close(j.done)
}

// account counts work that is done, and its effect.
func (s *station) account(ctx context.Context, a arrival) {
	i := s.inj
	i.worked.Add(1)
	if a.writes && i.ledger.write(a) {
		i.tell(Duplicated, a, "")
	}
	if ctx.Err() != nil {
		i.abandoned.Add(1)
		i.tell(Abandoned, a, "")
		return
	}
	i.tell(Worked, a, "")
}
