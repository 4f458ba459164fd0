package scorecard

import (
	"container/heap"
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A server has workers and a queue without end, first come, first served. It
// works also for callers that have left, as most servers do: that is what an
// overload feeds on. For some time it does not work at all.
type server struct {
	service time.Duration
	down    window // no work begins
	cold    int    // calls served after down until it is warm: at first they take four times as long

	start time.Time

	mu     sync.Mutex
	free   times // of the workers
	served int   // since down

	arrivals atomic.Int64
	peak     peak
}

// A window is a time of an experiment, from its start.
type window struct{ from, to time.Duration }

func (w window) holds(d time.Duration) bool { return w.from <= d && d < w.to }

func newServer(workers int, service time.Duration, down window, cold int) *server {
	return &server{service: service, down: down, cold: cold, start: time.Now(), free: make(times, workers)}
}

// serve answers after the work is done, unless ctx ends before.
func (s *server) serve(ctx context.Context) error {
	now := time.Since(s.start)
	s.arrivals.Add(1)
	s.peak.count(now)
	timer := time.NewTimer(s.enqueue(now) - now)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enqueue returns when the work for a call that arrives now will be done. Since
// work begins in the order of arrival, that is known at once.
func (s *server) enqueue(now time.Duration) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	begin := max(now, s.free[0])
	if s.down.holds(begin) {
		begin = s.down.to
	}
	done := begin + s.takes(begin)
	s.free[0] = done
	heap.Fix(&s.free, 0)
	return done
}

// takes returns how long the work takes that begins now.
func (s *server) takes(begin time.Duration) time.Duration {
	if begin < s.down.to || s.served >= s.cold {
		return s.service
	}
	chill := 1 - float64(s.served)/float64(s.cold)
	s.served++
	return s.service + time.Duration(3*chill*float64(s.service))
}

// times is a heap.
//
//nolint:recvcheck // As container/heap wants it.
type times []time.Duration

func (t times) Len() int           { return len(t) }
func (t times) Less(i, j int) bool { return t[i] < t[j] }
func (t times) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }
func (t *times) Push(x any)        { *t = append(*t, x.(time.Duration)) }
func (t *times) Pop() any {
	last := (*t)[len(*t)-1]
	*t = (*t)[:len(*t)-1]
	return last
}

// A peak is the most that was counted in any one second.
type peak struct {
	mu     sync.Mutex
	second int
	count1 int
	most   int
}

func (p *peak) count(now time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if second := int(now / time.Second); second != p.second {
		p.second, p.count1 = second, 0
	}
	p.count1++
	p.most = max(p.most, p.count1)
}

// A run is open-loop traffic: calls begin at appointed times, whatever became of
// those before.
type run struct {
	perSecond float64
	poisson   bool
	length    time.Duration
	seed      uint64
}

// drive makes the calls and returns how many began, and how many succeeded, in
// each second. It must be called in a bubble, and returns when the last call has.
func (r run) drive(t *testing.T, call func(ctx context.Context, n int) error) (offered, good []int) {
	t.Helper()
	seconds := int(r.length / time.Second)
	offered = make([]int, seconds)
	succeeded := make([]atomic.Int64, seconds)
	rnd := rand.New(rand.NewPCG(r.seed, 0))
	var calls sync.WaitGroup
	start := time.Now()
	at := time.Duration(0)
	for n := 0; ; n++ {
		gap := 1 / r.perSecond
		if r.poisson {
			gap *= rnd.ExpFloat64()
		}
		at += time.Duration(gap * float64(time.Second))
		if at >= r.length {
			break
		}
		time.Sleep(at - time.Since(start))
		second := int(at / time.Second)
		offered[second]++
		calls.Go(func() {
			if call(t.Context(), n) == nil {
				succeeded[second].Add(1)
			}
		})
	}
	calls.Wait()
	synctest.Wait()
	good = make([]int, seconds)
	for i := range succeeded {
		good[i] = int(succeeded[i].Load())
	}
	return offered, good
}

// never is a recovery that did not happen.
const never = time.Duration(-1)

// recovery returns how long after a second ten seconds follow in which at least
// 95 % of what was offered succeeded.
func recovery(offered, good []int, after int) time.Duration {
	const span = 10
	for from := after; from+span <= len(offered); from++ {
		if float64(sum(good[from:from+span])) >= .95*float64(sum(offered[from:from+span])) {
			return time.Duration(from-after) * time.Second
		}
	}
	return never
}

func sum(values []int) int {
	total := 0
	for _, v := range values {
		total += v
	}
	return total
}
