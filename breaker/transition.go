package breaker

import (
	"context"
	"log/slog"
	"time"

	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A Transition is a state change of a breaker. From and To are equal if the
// circuit was forced into the state that it was in anyway, or reset when closed.
type Transition struct {
	Name       string // the breaker's
	Key        string // in a Group, else ""
	From, To   State
	Reason     Reason
	Generation uint64        // the number of the state that begins, counted from 0
	Counts     Counts        // what tripped it, if To is Open
	Err        error         // the failure that tripped it, if To is Open; may be nil
	Cooldown   time.Duration // how long it stays open, if To is Open and not forced
	At         time.Time
	TraceID    string // of the call that tripped it, in hexadecimal; "" if it was not traced

	span telemetry.Link
}

// unlock releases mu and tells of the state changes that were made under it.
// Telemetry is told by the goroutine that made them, whose span they belong to;
// the logger and OnTransition are told in order, by one goroutine at a time.
func (b *Breaker) unlock(ctx context.Context) {
	changes := b.changes
	b.changes = nil
	b.queue = append(b.queue, changes...)
	announces := len(b.queue) > 0 && !b.announces
	b.announces = b.announces || announces
	b.mu.Unlock()

	for _, t := range changes {
		telemetry.Transitioned(ctx, telemetry.Transition{
			Name:       t.Name,
			From:       t.From.String(),
			To:         t.To.String(),
			Reason:     string(t.Reason),
			Generation: t.Generation,
		})
	}
	if announces {
		b.announce(ctx)
	}
}

func (b *Breaker) announce(ctx context.Context) {
	done := false
	defer func() {
		if !done { // OnTransition panicked: leave the rest to the next change
			b.mu.Lock()
			b.announces = false
			b.mu.Unlock()
		}
	}()
	for {
		b.mu.Lock()
		if len(b.queue) == 0 {
			b.announces, done = false, true
			b.mu.Unlock()
			return
		}
		t := b.queue[0]
		b.queue = b.queue[1:]
		b.mu.Unlock()

		b.log(ctx, t)
		if b.config.OnTransition != nil {
			b.config.OnTransition(t)
		}
	}
}

func (b *Breaker) log(ctx context.Context, t Transition) {
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("breaker", label(t.Name, t.Key)),
		slog.String("from", t.From.String()),
		slog.String("to", t.To.String()),
		slog.String("reason", string(t.Reason)),
	}
	if t.To == Open {
		level = slog.LevelWarn
		attrs = append(attrs,
			slog.Int64("failures", t.Counts.Failures),
			slog.Int64("slow", t.Counts.Slow),
			slog.Int64("calls", t.Counts.Calls()),
			slog.Duration("cooldown", t.Cooldown))
	}
	telemetry.Log(ctx, b.config.Logger, level, "breaker: circuit is "+t.To.String(), t.span, t.Err, attrs...)
}
