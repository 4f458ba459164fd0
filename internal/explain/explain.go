// Package explain holds what a layer tells about itself, so that a stack can be
// checked and explained as a whole without the root knowing its layers.
package explain

import "time"

// Kind is what a layer does to a call.
type Kind int

// The kinds. Opaque is a layer that tells nothing of itself.
const (
	Opaque Kind = iota
	Timeout
	Retry
	Breaker
	Limit
	Hedge
	Failover
)

// String returns the kind as the package that implements it is named.
func (k Kind) String() string {
	switch k {
	case Timeout:
		return "timeout"
	case Retry:
		return "retry"
	case Breaker:
		return "breaker"
	case Limit:
		return "limit"
	case Hedge:
		return "hedge"
	case Failover:
		return "failover"
	default:
		return "opaque"
	}
}

// Facts are the numbers by which a layer shapes a call. Fields that do not
// apply to the kind are zero.
type Facts struct {
	Kind Kind
	Name string

	Limit time.Duration // Timeout: zero is no limit

	MaxAttempts int  // Retry: in total
	Nested      bool // Retry: repeats even inside another retry

	Window       time.Duration // Breaker: zero if it has no ratio rule
	SlowCall     time.Duration // Breaker: zero if slowness does not count
	ProbeTimeout time.Duration // Breaker

	MaxInFlight int           // Limit: the most calls at once
	Adaptive    bool          // Limit: moves between bounds of its own
	MaxWait     time.Duration // Limit: how long a call waits for its turn

	Hedges int           // Hedge: the most attempts beside the first
	Delay  time.Duration // Hedge: zero if it is measured

	Endpoints int // Failover
}

// An Explainer tells its facts.
type Explainer interface {
	Explain() Facts
}
