package breaker

import "time"

// maxHistory is how many state changes a breaker remembers.
const maxHistory = 16

// A Status is how a breaker stands at one moment.
type Status struct {
	State      State
	Forced     bool      // by ForceOpen or ForceClosed
	Generation uint64    // the number of the state, as in Transition
	Since      time.Time // when the state began; zero if that was when the breaker was made
	Until      time.Time // when it will be half-open, if it is open and was not forced; else zero
	Counts     Counts    // what the window holds, which is nothing unless closed
}

// Status returns how the breaker stands. Unlike State it changes nothing, so that
// watching a breaker does not influence it: an open circuit whose cooldown is over
// is reported as half-open, which the next call will make it, and Since is then
// when it opened.
func (b *Breaker) Status() Status {
	if b.Check() != nil {
		return Status{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.phase.Load()
	s := Status{State: p.state, Forced: p.forced, Generation: p.generation, Since: b.past.since()}
	if p.over() {
		s.State = HalfOpen
		return s
	}
	s.Until, s.Counts = p.until, b.counts(b.now())
	return s
}

// History returns the last state changes, at most 16 of them, the oldest first.
// It is for people who look at a breaker; a program that has to know of each
// change sets Config.OnTransition. The errors that tripped the circuit stay in
// memory, and with them all that they refer to.
func (b *Breaker) History() []Transition {
	if b.Check() != nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.past.all(b.config.Name, b.key)
}

// Config returns the configuration, with the values that stand for zero fields.
// It is what b was made with even if Check finds a mistake in it.
func (b *Breaker) Config() Config {
	if b == nil {
		return Config{}
	}
	return b.config
}

// A history is a ring of the last state changes. It is nil until there is one,
// so that breakers that never open, which are most, take no more memory for it
// than a pointer.
type history struct {
	changes []passed
	next    int // what the next change takes the place of, once there are maxHistory
}

// A passed is a Transition without what the breaker knows anyway.
type passed struct {
	from, to   State
	reason     Reason
	generation uint64
	counts     Counts
	err        error
	cooldown   time.Duration
	at         time.Time
	traceID    string
}

// remember keeps t. It runs with mu held.
func (b *Breaker) remember(t Transition) {
	if b.past == nil {
		b.past = &history{}
	}
	b.past.add(passed{t.From, t.To, t.Reason, t.Generation, t.Counts, t.Err, t.Cooldown, t.At, t.TraceID})
}

func (h *history) add(c passed) {
	if len(h.changes) < maxHistory {
		h.changes = append(h.changes, c)
		return
	}
	h.changes[h.next] = c
	h.next = (h.next + 1) % maxHistory
}

// since returns when the last change was.
func (h *history) since() time.Time {
	if h == nil {
		return time.Time{}
	}
	return h.changes[(h.next+len(h.changes)-1)%len(h.changes)].at
}

func (h *history) all(name, key string) []Transition {
	if h == nil {
		return nil
	}
	all := make([]Transition, 0, len(h.changes))
	for i := range h.changes {
		c := h.changes[(h.next+i)%len(h.changes)]
		all = append(all, Transition{
			Name: name, Key: key,
			From: c.from, To: c.to,
			Reason:     c.reason,
			Generation: c.generation,
			Counts:     c.counts,
			Err:        c.err,
			Cooldown:   c.cooldown,
			At:         c.at,
			TraceID:    c.traceID,
		})
	}
	return all
}
