package breaker

import (
	"context"
	"time"
)

// State returns where the circuit stands. It makes an open circuit whose
// cooldown is over half-open, and counts the calls that have become slow.
func (b *Breaker) State() State {
	if b.Check() != nil {
		return Closed
	}
	b.mu.Lock()
	defer b.unlock(context.Background())
	b.sweep()
	b.poll()
	return b.phase.Load().state
}

// Refusal returns the [*OpenError] with which Do would refuse a call now because
// the circuit is open, and otherwise nil. It is for callers to whom preparing a
// call costs something. It records and counts nothing, and the call may still be
// refused: while the circuit is half-open, only Do finds out whether there is room
// for a probe.
func (b *Breaker) Refusal() error {
	if b == nil {
		return nil
	}
	p := b.phase.Load()
	if p == nil || p.state != Open || p.over() || b.config.Shadow {
		return nil
	}
	return p.refusal
}

// Closed reports whether the circuit is closed. Like that of a [Group] it takes a
// context, so that both are a hedge.Breaker; a Breaker does not look at it.
func (b *Breaker) Closed(context.Context) bool { return b.State() == Closed }

// Counts returns what the window holds now. It counts the calls that have
// become slow.
func (b *Breaker) Counts() Counts {
	if b.Check() != nil {
		return Counts{}
	}
	b.mu.Lock()
	defer b.unlock(context.Background())
	b.sweep()
	return b.counts(b.now())
}

func (b *Breaker) counts(now time.Duration) Counts {
	counts := b.window.counts(now)
	if s := b.phase.Load().successes; s != nil {
		counts.Successes, counts.Consecutive = s.sum(now), s.failed.Load()
	}
	return counts
}

// ForceOpen makes the breaker refuse all calls until ForceClosed or Reset.
func (b *Breaker) ForceOpen() { b.force(Open) }

// ForceClosed makes the breaker let all calls pass, and count nothing, until
// ForceOpen or Reset.
func (b *Breaker) ForceClosed() { b.force(Closed) }

func (b *Breaker) force(s State) {
	if b.Check() != nil {
		return
	}
	b.mu.Lock()
	defer b.unlock(context.Background())
	if p := b.phase.Load(); p.forced && p.state == s {
		return
	}
	p := &phase{state: s, forced: true}
	if s == Open {
		p.refusal = &OpenError{
			Name:   b.config.Name,
			Key:    b.key,
			State:  Open,
			Reason: ReasonForced,
			Opened: time.Now(),
		}
	}
	b.begin(p, blame{reason: ReasonForced}, 0)
}

// Reset closes the circuit and forgets what it counted and what was forced.
// Calls under way count as nothing.
func (b *Breaker) Reset() {
	if b.Check() != nil {
		return
	}
	b.mu.Lock()
	defer b.unlock(context.Background())
	b.circuit = nil
	b.closed(blame{reason: ReasonReset})
}
