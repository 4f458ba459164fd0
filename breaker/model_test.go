package breaker

import (
	"cmp"
	"slices"
	"time"
)

// A model says what a breaker has to do, as its documentation has it. It writes
// down what happened and works out everything from that, whenever it is asked:
// it has no buckets, no list of slow calls, no timers and no gobreaker. Time is
// the time since the breaker was made.
type model struct {
	config Config // with defaults
	now    time.Duration

	state      State
	forced     bool
	generation uint64
	until      time.Duration // the end of the cooldown
	opened     time.Duration
	openings   int  // that followed probes, since it was last closed
	last       trip // of the last opening
	calls      []*modelCall
	events     []*event // since the last change
	row        int64    // failures since the last success or change
	succeeded  int      // probes

	told []change
}

// A modelCall is a call that was let through and is under way.
type modelCall struct {
	generation uint64
	uncounted  bool // let through because of ForceClosed or Shadow
	probe      bool
	began      time.Duration
	slow       *event // once it has counted as slow
}

// An event is a call that was counted.
type event struct {
	at                    time.Duration
	success, failed, slow bool
}

// A tally is Counts, counted from events.
type tally struct{ successes, failures, slow, calls, row int64 }

func tallyOf(c Counts) tally {
	return tally{c.Successes, c.Failures, c.Slow, c.Calls(), c.Consecutive}
}

// A trip is what opened the circuit.
type trip struct {
	reason Reason
	counts tally
	err    error
}

// A change is a Transition without what is the same for all.
type change struct {
	From, To   State
	Generation uint64
	trip       trip
	Cooldown   time.Duration
	At         time.Duration
}

// tally counts what is within the window.
func (m *model) tally() tally {
	step := m.config.Window / time.Duration(m.config.Buckets)
	t := tally{row: m.row}
	for _, e := range m.events {
		if int(m.now/step-e.at/step) >= m.config.Buckets {
			continue
		}
		t.calls++
		for _, c := range []struct {
			is    bool
			count *int64
		}{{e.success, &t.successes}, {e.failed, &t.failures}, {e.slow, &t.slow}} {
			if c.is {
				*c.count++
			}
		}
	}
	return t
}

// judge opens the circuit if a rule is broken. The last call returned err, which
// asked for a wait of retryAfter.
func (m *model) judge(err error, retryAfter time.Duration) {
	c, t := m.config, m.tally()
	enough := t.calls >= int64(c.MinCalls)
	reached := func(ratio float64, n int64) bool { return ratio > 0 && float64(n) >= ratio*float64(t.calls) }
	switch {
	case c.Consecutive > 0 && t.row >= int64(c.Consecutive):
		m.open(trip{ReasonConsecutive, t, err}, retryAfter)
	case enough && reached(c.FailureRatio, t.failures):
		m.open(trip{ReasonFailureRatio, t, err}, retryAfter)
	case enough && reached(c.SlowRatio, t.slow):
		m.open(trip{ReasonSlowRatio, t, err}, retryAfter)
	}
}

func (m *model) open(why trip, retryAfter time.Duration) {
	cooldown := m.config.Cooldown
	if m.state == HalfOpen {
		m.openings++
		for range m.openings {
			cooldown = min(2*cooldown, m.config.MaxCooldown)
		}
	}
	if m.config.HonorRetryAfter {
		cooldown = max(cooldown, min(retryAfter, m.config.MaxCooldown))
	}
	m.opened, m.until, m.last = m.now, m.now+cooldown, why
	m.change(Open, why, cooldown)
}

func (m *model) change(to State, why trip, cooldown time.Duration) {
	m.generation++
	m.told = append(m.told, change{m.state, to, m.generation, why, cooldown, m.now})
	m.state, m.forced = to, false
	m.events, m.row, m.succeeded = nil, 0, 0
}

// look counts the calls that have become slow. Of slow calls, the oldest came
// first.
func (m *model) look() {
	for _, call := range m.calls {
		if m.counts(call) && !call.probe && call.slow == nil && m.isSlow(call) {
			call.slow = &event{at: m.now, slow: true}
			m.events = append(m.events, call.slow)
			m.judge(errSlow, 0)
		}
	}
}

func (m *model) counts(call *modelCall) bool {
	return !call.uncounted && call.generation == m.generation
}

func (m *model) isSlow(call *modelCall) bool {
	return m.config.SlowCall > 0 && m.now-call.began >= m.config.SlowCall
}

// ask is what begin and State do first.
func (m *model) ask() {
	m.look()
	if m.state == Open && !m.forced && m.now >= m.until {
		m.change(HalfOpen, trip{reason: ReasonCooldown}, 0)
	}
}

// begin returns a call that may pass, or nil for one that is refused. Whether it
// is refused or would be is the second result.
func (m *model) begin() (*modelCall, bool) {
	m.ask()
	refused := m.state == Open || m.state == HalfOpen && m.places() == 0
	if refused && !m.config.Shadow {
		return nil, true
	}
	call := &modelCall{
		generation: m.generation,
		uncounted:  refused || m.forced,
		probe:      m.state == HalfOpen && !refused,
		began:      m.now,
	}
	m.calls = append(m.calls, call)
	return call, refused
}

// places is how many more probes may pass.
func (m *model) places() int {
	n := m.config.Probes - m.succeeded
	for _, call := range m.calls {
		if m.counts(call) {
			n--
		}
	}
	return n
}

// end ends a call that passed.
func (m *model) end(call *modelCall, outcome Outcome, err error, retryAfter time.Duration) {
	if !call.uncounted {
		m.look()
	}
	m.calls = slices.DeleteFunc(m.calls, func(c *modelCall) bool { return c == call })
	switch {
	case !m.counts(call):
		return
	case call.probe:
		m.endProbe(outcome, err, retryAfter)
		return
	case call.slow != nil:
		if outcome != Failure {
			return
		}
		m.fail(call.slow)
	case outcome == Ignored:
		return
	case outcome == Success:
		m.events = append(m.events, &event{at: m.now, success: true})
		m.row = 0
		return
	case outcome == Slow:
		m.events = append(m.events, &event{at: m.now, slow: true})
	case outcome == Failure:
		m.fail(nil)
	}
	m.judge(err, retryAfter)
}

// fail counts a failure, of a call that has counted as slow if slow is not nil.
// A call is counted once as long as the window holds its slowness.
func (m *model) fail(slow *event) {
	m.row++
	step := m.config.Window / time.Duration(m.config.Buckets)
	if slow != nil && int(m.now/step-slow.at/step) < m.config.Buckets {
		slow.failed = true
		return
	}
	m.events = append(m.events, &event{at: m.now, failed: true})
}

func (m *model) endProbe(outcome Outcome, err error, retryAfter time.Duration) {
	switch outcome {
	case Success:
		m.succeeded++
		if m.succeeded == m.config.Probes {
			m.openings = 0
			m.change(Closed, trip{reason: ReasonProbes}, 0)
		}
	case Failure, Slow:
		m.open(trip{ReasonProbeFailed, m.last.counts, err}, retryAfter)
	}
}

// advance lets time pass. Probes that hang are judged at their time.
func (m *model) advance(d time.Duration) {
	then := m.now + d
	for _, call := range m.calls {
		limit := m.probeLimit()
		if !m.counts(call) || !call.probe || call.began+limit > then {
			continue
		}
		m.now = call.began + limit
		why := trip{ReasonProbeTimeout, m.last.counts, errProbeTimeout}
		if m.isSlow(call) {
			why.reason, why.err = ReasonProbeFailed, errSlow
		}
		m.open(why, 0)
	}
	m.now = then
}

func (m *model) probeLimit() time.Duration {
	return min(m.config.ProbeTimeout, cmp.Or(m.config.SlowCall, m.config.ProbeTimeout))
}

func (m *model) force(to State) {
	if m.forced && m.state == to {
		return
	}
	m.change(to, trip{reason: ReasonForced}, 0)
	m.forced = true
}

func (m *model) reset() {
	m.openings = 0
	m.change(Closed, trip{reason: ReasonReset}, 0)
}

// refusal is what the error of a refused call has to say.
type refusal struct {
	name          string
	state         State
	trip          trip
	opened, until time.Duration // since the breaker was made; -1 if zero
}

func (m *model) refusal() refusal {
	r := refusal{m.config.Name, m.state, m.last, m.opened, m.until}
	switch {
	case m.forced:
		r.trip, r.opened, r.until = trip{reason: ReasonForced}, m.told[len(m.told)-1].At, -1
	case m.state == HalfOpen:
		r.until = -1
	}
	return r
}
