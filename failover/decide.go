package failover

import (
	"math"
	"time"

	"github.com/redoubt-go/redoubt/internal/says"
)

// The decisions stand apart from the asking: nothing in this file reads a clock
// or blocks.

// noDeadline is how long a call without a deadline has left.
const noDeadline = time.Duration(math.MaxInt64)

// An answer is what came of one endpoint.
type answer struct {
	err      error
	refused  bool // the endpoint was not asked, by a layer's decision
	unfunded bool // the endpoint was not asked, as the budget is empty
	final    bool // no other endpoint could answer better
	unsafe   bool // the endpoint may have done what must not be done twice
}

// A place is where in a call an answer was given.
type place struct {
	ended bool          // the caller's context
	left  time.Duration // of the caller's time, or noDeadline
	need  time.Duration // of it, for another endpoint
	more  bool          // there are endpoints that come after this one
}

// stop says why no further endpoint is asked after an answer that is an error,
// or "" if one is. A refusal is looked past whatever it says of itself: it tells
// of one endpoint.
func (a answer) stop(p place) Stop {
	switch {
	case p.ended:
		return StopCancelled
	case a.unfunded:
		return StopBudget
	case a.unsafe:
		return StopUnsafe
	case a.refused && p.more:
		return ""
	case !a.refused && a.final:
		return StopPermanent
	case !p.more:
		return StopExhausted
	case p.left <= p.need && p.left != noDeadline:
		return StopDeadline
	default:
		return ""
	}
}

// soonest returns the index of the refused endpoint that takes calls again first,
// the earlier in the list of two that do so at one time. It returns -1 if there
// is none that could: one that was shut by hand stays so.
func soonest(fates []Fate) int {
	best, after := -1, noDeadline
	for i, fate := range fates {
		if !fate.Refused || !retryable(fate.Err) {
			continue
		}
		wait, _ := says.RetryAfter(fate.Err) // nobody knows while a probe is under way, which is soon
		if best < 0 || wait < after {
			best, after = i, wait
		}
	}
	return best
}

// retryable reports whether err does not say that a repetition is pointless.
func retryable(err error) bool {
	yes, ok := says.Retryable(err)
	return yes || !ok
}

// dependencyFailure reports whether err does not say that the dependency is well.
func dependencyFailure(err error) bool {
	yes, ok := says.DependencyFailure(err)
	return yes || !ok
}
