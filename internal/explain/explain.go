// Package explain holds what a layer tells about itself, so that a stack can be
// checked and explained as a whole without the root knowing its layers.
package explain

import (
	"context"
	"time"
)

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

// Unbounded stands for a duration that nothing bounds.
const Unbounded time.Duration = -1

// Facts are what a layer tells of itself: the numbers by which it shapes a call.
// Fields that do not apply to its kind are zero.
type Facts struct {
	Kind Kind
	Name string // what tells it apart, such as the dependency's name
	Does string // in a few words, if no kind says it

	Limit time.Duration // Timeout: zero is no limit

	MaxAttempts    int           // Retry: in total
	Nested         bool          // Retry: repeats even inside another retry
	Budgeted       bool          // Retry: a budget has to grant each repetition
	AwaitsRefusals bool          // Retry: waits for an open breaker, too
	MaxRetryAfter  time.Duration // Retry: the longest wait that an error may ask for
	LeastWaits     time.Duration // Retry: what all waits of a call come to at least
	MostWaits      time.Duration // Retry: at most, or Unbounded
	AskedWaits     time.Duration // Retry: at most if errors ask for longer waits, or Unbounded

	Window         time.Duration // Breaker: zero if it has no ratio rule
	MinCalls       int           // Breaker: what a ratio needs to mean anything
	FailureRatio   float64       // Breaker: zero if there is no such rule
	SlowCall       time.Duration // Breaker: zero if slowness does not count
	SlowRatio      float64       // Breaker: zero if there is no such rule
	Consecutive    int           // Breaker: zero if there is no such rule
	Cooldown       time.Duration // Breaker: the first
	MaxCooldown    time.Duration // Breaker: the longest
	Probes         int           // Breaker
	ProbeTimeout   time.Duration // Breaker
	CallerDeadline time.Duration // Breaker: zero if callers' deadlines say nothing
	Shadow         bool          // Breaker: refuses nothing
	PerKey         bool          // Breaker, Limit, Hedge: there is one for each key, such as a host

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

// A Guard is the layer around the calls at one endpoint of a failover.
type Guard struct {
	Endpoint string
	Layer    interface {
		Do(ctx context.Context, call func(context.Context) error) error
	}
}

// A Guarder tells its guards, in the order of its endpoints, or none if it has
// none.
type Guarder interface {
	Guards() []Guard
}
