package ops

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
)

// A circuit is a breaker: of this process, or one that it shares with others.
type circuit interface {
	// row is how it stands, without its ID and what follows from that.
	row(now time.Time) Circuit

	// history is its latest state changes, oldest first.
	history() []breaker.Transition

	// act does what a Command asks for.
	act(ctx context.Context, action string) error
}

var (
	errAction = errors.New("the action must be force_open, force_closed or reset")
	errShared = errors.New("a breaker that processes share can only be reset")
)

// unknownClass is what OpenTelemetry calls an error that has no class, which is
// nothing to tell people.
const unknownClass = "_OTHER"

// A local breaker is one of this process.
type local struct{ *breaker.Breaker }

func (b local) row(now time.Time) Circuit {
	status, config := b.Status(), b.Config()
	row := Circuit{
		Name:       config.Name,
		State:      status.State.String(),
		Forced:     status.Forced,
		Shadow:     config.Shadow,
		Generation: status.Generation,
		Since:      status.Since,
		Until:      status.Until,
		Trouble:    trouble(status, config, now),
		Counts:     countsOf(status.Counts),
		Rule: Rule{
			MinCalls:        config.MinCalls,
			FailureRatio:    config.FailureRatio,
			SlowRatio:       config.SlowRatio,
			SlowCallSeconds: config.SlowCall.Seconds(),
			Consecutive:     config.Consecutive,
		},
	}
	if config.FailureRatio > 0 || config.SlowRatio > 0 {
		row.Rule.WindowSeconds = config.Window.Seconds()
	}
	return row
}

func (b local) history() []breaker.Transition { return b.History() }

func (b local) act(_ context.Context, action string) error {
	switch action {
	case ForceOpen:
		b.ForceOpen()
	case ForceClosed:
		b.ForceClosed()
	case Reset:
		b.Reset()
	default:
		return errAction
	}
	return nil
}

// A common breaker is one that processes share. Its store is not asked, which
// might take long: what is shown is what this process last saw.
type common struct{ *shared.Breaker }

func (b common) row(now time.Time) Circuit {
	latest, config := b.Latest(), b.Config()
	return Circuit{
		Name:       config.Name,
		Key:        config.Key,
		State:      latest.State.String(),
		Shared:     true,
		Generation: latest.Generation,
		Since:      latest.Opened,
		Until:      latest.Until,
		Trouble: trouble(breaker.Status{State: latest.State, Counts: latest.Counts}, breaker.Config{
			MinCalls:     config.MinCalls,
			FailureRatio: config.FailureRatio,
			Consecutive:  config.Consecutive,
		}, now),
		Counts: countsOf(latest.Counts),
		Rule: Rule{
			WindowSeconds: config.Window.Seconds(),
			MinCalls:      config.MinCalls,
			FailureRatio:  config.FailureRatio,
			Consecutive:   config.Consecutive,
		},
	}
}

// history is why it is open, if it is: the store remembers no more.
func (b common) history() []breaker.Transition {
	latest := b.Latest()
	if latest.State == breaker.Closed {
		return nil
	}
	opened := breaker.Transition{
		Name:       latest.Name,
		From:       breaker.Closed,
		To:         breaker.Open,
		Reason:     latest.Reason,
		At:         latest.Opened,
		Counts:     latest.Counts,
		Cooldown:   latest.Until.Sub(latest.Opened),
		Generation: latest.Generation,
	}
	if latest.FailedProbes > 0 {
		opened.From = breaker.HalfOpen
	}
	if last := latest.Last; last != nil {
		opened.Err = last
		if last.Class == unknownClass {
			opened.Err = fmt.Errorf("seen by process %d on %s", last.PID, last.Host)
		}
	}
	return []breaker.Transition{opened}
}

func (b common) act(ctx context.Context, action string) error {
	switch action {
	case Reset:
		return b.Reset(ctx)
	case ForceOpen, ForceClosed:
		return errShared
	}
	return errAction
}
