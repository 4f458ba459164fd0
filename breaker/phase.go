package breaker

import (
	"math/rand/v2"
	"time"

	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A phase is the time between two state changes. It does not change.
type phase struct {
	state      State
	forced     bool
	generation uint64
	until      time.Time  // Open and not forced: when it becomes half-open
	refusal    *OpenError // unless Closed
	successes  *successes // if Closed and not forced
}

// over reports whether the cooldown is over.
func (p *phase) over() bool {
	return p.state == Open && !p.forced && time.Until(p.until) <= 0 // at half the price of time.Now
}

// blame is what brings about a state change.
type blame struct {
	reason     Reason
	counts     Counts
	err        error
	retryAfter time.Duration // what err asks for
	span       telemetry.Link
}

// opened, halfOpened and closed begin a new phase. They run with mu held.

func (b *Breaker) opened() {
	before := b.phase.Load()
	if before.state == HalfOpen {
		b.openings++
	}
	now := time.Now()
	cooldown := b.config.cooldown(b.openings, b.circuit.blame.retryAfter, rand.Float64())
	b.begin(&phase{
		state: Open,
		until: now.Add(cooldown),
		refusal: &OpenError{
			Name:    b.config.Name,
			Key:     b.key,
			State:   Open,
			Reason:  b.circuit.blame.reason,
			Opened:  now,
			Until:   now.Add(cooldown),
			Counts:  b.circuit.blame.counts,
			Cause:   b.circuit.blame.err,
			tripped: b.circuit.blame.span,
		},
	}, b.circuit.blame, cooldown)
}

func (b *Breaker) halfOpened() {
	refusal := *b.phase.Load().refusal
	refusal.State = HalfOpen
	refusal.Until = time.Time{}
	b.begin(&phase{state: HalfOpen, refusal: &refusal}, blame{reason: ReasonCooldown}, 0)
}

func (b *Breaker) closed(why blame) {
	b.openings = 0
	b.begin(b.closedPhase(), why, 0)
}

func (b *Breaker) closedPhase() *phase {
	return &phase{state: Closed, successes: &successes{step: b.window.step, first: make(steps, b.config.Buckets)}}
}

func (b *Breaker) begin(p *phase, why blame, cooldown time.Duration) {
	before := b.phase.Load()
	p.generation = before.generation + 1
	b.window.clear()
	b.phase.Store(p)
	t := Transition{
		Name:       b.config.Name,
		Key:        b.key,
		From:       before.state,
		To:         p.state,
		Reason:     why.reason,
		Generation: p.generation,
		Counts:     why.counts,
		Err:        why.err,
		Cooldown:   cooldown,
		At:         time.Now(),
		TraceID:    why.span.TraceID(),
		span:       why.span,
	}
	b.changes = append(b.changes, t)
	b.remember(t)
}
