package hedge

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A schedule is all that happens in one hedged call: what each attempt does, and
// when the caller goes away. All times differ, so that it has one outcome.
type schedule struct {
	delay    time.Duration
	hedges   int
	balance  int // hedges that can be paid
	acts     []act
	cancelAt time.Duration
}

// newSchedule keeps attempts' ends apart by giving each its own nanosecond: the
// delay and the moments at which hedges are sent are whole milliseconds.
func newSchedule(r *rand.Rand) schedule {
	s := schedule{
		delay:    time.Duration(1+r.IntN(20)) * time.Millisecond,
		hedges:   1 + r.IntN(3),
		balance:  r.IntN(5),
		cancelAt: time.Hour + time.Nanosecond,
	}
	if r.IntN(4) == 0 {
		s.cancelAt = time.Duration(r.IntN(100))*time.Millisecond + time.Nanosecond
	}
	for n := range 1 + s.hedges {
		a := act{after: time.Duration(r.IntN(60))*time.Millisecond + time.Duration(n+2)*time.Nanosecond}
		switch r.IntN(6) {
		case 0, 1:
			a.err = fmt.Errorf("failure of %d", n)
		case 2:
			a.after = time.Duration(2+n) * time.Hour // hangs
		case 3:
			a.deaf = true
		case 4:
			if r.IntN(4) == 0 {
				a.panic = fmt.Sprint("panic of ", n)
			}
		}
		s.acts = append(s.acts, a)
	}
	return s
}

// An outcome is what can be seen of a call.
type outcome struct {
	value    string
	err      string
	panicked any
	took     time.Duration
	sends    int
}

// model says what must come of s, one event at a time.
func (s schedule) model() outcome {
	type run struct {
		ends  time.Duration
		err   string
		panic any
	}
	var runs []run
	start := func(now time.Duration) {
		n := len(runs)
		a := s.acts[n]
		r := run{ends: now + a.after}
		if a.err != nil {
			r.err = a.err.Error()
		}
		r.panic = a.panic
		if !a.deaf && r.ends > s.cancelAt {
			r = run{ends: max(now, s.cancelAt), err: context.Canceled.Error()}
		}
		runs = append(runs, r)
	}
	start(0)
	balance, due, failures := s.balance, s.delay, 0
	ended := make([]bool, 1+s.hedges)
	for {
		next := -1
		for n, r := range runs {
			if !ended[n] && (next < 0 || r.ends < runs[next].ends) {
				next = n
			}
		}
		if next < 0 {
			break
		}
		if due < runs[next].ends {
			if due < s.cancelAt && failures == 0 && balance > 0 {
				balance--
				start(due)
				due += s.delay
			} else {
				due = 1 << 62
			}
			if len(runs) > s.hedges {
				due = 1 << 62
			}
			continue
		}
		r := runs[next]
		ended[next] = true
		switch {
		case r.panic != nil:
			return outcome{panicked: r.panic, took: r.ends, sends: len(runs)}
		case r.err == "":
			return outcome{value: fmt.Sprint("run ", next+1), took: r.ends, sends: len(runs)}
		}
		failures++
	}
	last := time.Duration(0)
	for _, r := range runs {
		last = max(last, r.ends)
	}
	return outcome{err: runs[0].err, took: last, sends: len(runs)}
}

// play runs s and fails t if more than one attempt is left, or any forever.
func (s schedule) play(t *testing.T) outcome {
	var got outcome
	var running, sends atomic.Int32
	h := New(Config{Delay: s.delay, Hedges: s.hedges, MaxExtra: 1})
	h.share.deposit = 0 // the balance is the schedule's
	h.share.pay(int64(s.balance) * price)
	fn, runs := play(s.acts...)
	call := Func(h, func(ctx context.Context) (string, error) {
		sends.Add(1)
		running.Add(1)
		defer running.Add(-1)
		value, err := fn(ctx)
		if err != nil {
			value = ""
		}
		return value, err
	})
	ctx, cancel := context.WithCancel(t.Context())
	stop := time.AfterFunc(s.cancelAt, cancel)
	start := time.Now()
	func() {
		defer func() { got.panicked = recover() }()
		value, err := call(ctx)
		got.value = value
		if err != nil {
			got.err = err.Error()
		}
	}()
	got.took, got.sends = time.Since(start), int(runs.Load())
	stop.Stop()
	synctest.Wait()
	deaf := 0
	for _, a := range s.acts[:got.sends] {
		if a.deaf {
			deaf++
		}
	}
	if n := int(running.Load()); n > deaf {
		t.Errorf("%d attempts are running after the call, of which %d are deaf", n, deaf)
	}
	time.Sleep(10 * time.Hour)
	if n := running.Load(); n != 0 {
		t.Errorf("%d attempts are running for ever", n)
	}
	if extra := int(sends.Load()) - 1; extra > s.balance || extra > s.hedges {
		t.Errorf("%d hedges, want at most %d of %d", extra, s.balance, s.hedges)
	}
	cancel()
	return got
}

// TestRace compares calls on random schedules with a model: exactly one result,
// of the first success if there is one, at the right time, with as many sends as
// there should be, and nothing left.
func TestRace(t *testing.T) {
	for seed := range uint64(3000) {
		s := newSchedule(rand.New(rand.NewPCG(seed, 7)))
		synctest.Test(t, func(t *testing.T) {
			if got, want := s.play(t), s.model(); got != want {
				t.Errorf("got %+v, want %+v", got, want)
			}
		})
		if t.Failed() {
			t.Fatalf("seed %d: %+v", seed, s)
		}
	}
}
