package ops

import "time"

// SchemaVersion is the version of [Snapshot] and [Change]. It grows when a field
// is removed or changes its meaning, not when one is added.
const SchemaVersion = 1

// A Snapshot is what a [View] shows at one moment, as JSON: the answer to
// GET state, and the data of the event "state".
//
// Durations are in seconds. Times that do not apply are left out.
type Snapshot struct {
	Version int       `json:"version"` // SchemaVersion
	Name    string    `json:"name"`    // Config.Name
	At      time.Time `json:"at"`      // when this was so, by the server's clock

	// Writable says whether the one who asks may force and reset.
	Writable bool `json:"writable"`

	// IntervalSeconds is how often those who watch are told.
	IntervalSeconds float64 `json:"interval_seconds"`

	Breakers CircuitTable `json:"breakers"`
	Budgets  BudgetTable  `json:"budgets"`
	Limits   LimitTable   `json:"limits"`
}

// A Change is what is different from what the same watcher was told before: the
// data of the event "change". Rows that are the same are left out, and so are
// the Transitions of circuits that have had no new one, by their Generation.
type Change struct {
	Snapshot

	// Gone are the ids of rows that are no longer shown, because they were
	// forgotten or because others are in more trouble.
	Gone []string `json:"gone"`
}

// A Table says how many there are of a kind. Rows are at most Config.MaxRows,
// those in trouble first.
type Table struct {
	Total    int `json:"total"`    // that there are
	Matching int `json:"matching"` // of them, that match what was searched for
	Hidden   int `json:"hidden"`   // of those, that are not shown
}

// CircuitTable is the breakers. Open, HalfOpen and Closed count all that there
// are; Forced those of them that were forced open or closed.
type CircuitTable struct {
	Table

	Open     int       `json:"open"`
	HalfOpen int       `json:"half_open"`
	Closed   int       `json:"closed"`
	Forced   int       `json:"forced"`
	Rows     []Circuit `json:"rows"`
}

// BudgetTable is the budgets for retries.
type BudgetTable struct {
	Table

	Empty int      `json:"empty"` // that grant nothing now but what the floor owes
	Rows  []Budget `json:"rows"`
}

// LimitTable is the limits on concurrency.
type LimitTable struct {
	Table

	Full int     `json:"full"` // that are reached now
	Rows []Limit `json:"rows"`
}

// A Circuit is a breaker.
type Circuit struct {
	ID   string `json:"id"`   // to act on it by; lasts as long as the View
	Name string `json:"name"` // breaker.Config.Name
	Key  string `json:"key"`  // in a breaker.Group, else ""

	State      string    `json:"state"`  // closed, open or half-open
	Forced     bool      `json:"forced"` // by ForceOpen or ForceClosed
	Shadow     bool      `json:"shadow"` // refuses nothing
	Shared     bool      `json:"shared"` // with other processes, by package shared; as this one last saw it
	Generation uint64    `json:"generation"`
	Since      time.Time `json:"since,omitzero"` // when the state began, unless when it was made
	Until      time.Time `json:"until,omitzero"` // when it will be half-open

	// Trouble is how urgently it wants to be looked at: 5 open, 4 half-open,
	// 3 forced closed, 2 closed and at least half way to opening by one of
	// its rules, 1 changed its state in the last ten minutes, 0 none of these.
	Trouble int `json:"trouble"`

	Counts Counts `json:"counts"` // of the window
	Rule   Rule   `json:"rule"`

	// Transitions are the last state changes, at most 16, oldest first.
	Transitions []Transition `json:"transitions,omitempty"`
}

// Counts are calls that ended, or turned out slow, as breaker.Counts.
type Counts struct {
	Calls        int64   `json:"calls"`
	Successes    int64   `json:"successes"`
	Failures     int64   `json:"failures"`
	Slow         int64   `json:"slow"`
	Consecutive  int64   `json:"consecutive"` // failures since the last success
	FailureRatio float64 `json:"failure_ratio"`
	SlowRatio    float64 `json:"slow_ratio"`
}

// A Rule is when a breaker opens, as breaker.Config. What does not apply is 0.
type Rule struct {
	WindowSeconds   float64 `json:"window_seconds"`
	MinCalls        int     `json:"min_calls"`
	FailureRatio    float64 `json:"failure_ratio"`
	SlowRatio       float64 `json:"slow_ratio"`
	SlowCallSeconds float64 `json:"slow_call_seconds"`
	Consecutive     int     `json:"consecutive"`
}

// A Transition is a state change, as breaker.Transition.
type Transition struct {
	At              time.Time `json:"at"`
	From            string    `json:"from"`
	To              string    `json:"to"`
	Reason          string    `json:"reason"`
	Generation      uint64    `json:"generation"`
	Counts          Counts    `json:"counts"`           // what tripped it, if To is open
	Error           string    `json:"error"`            // the failure that tripped it, at most 1000 bytes
	CooldownSeconds float64   `json:"cooldown_seconds"` // if To is open and not forced
	TraceID         string    `json:"trace_id"`         // of the call that tripped it
	TraceURL        string    `json:"trace_url"`        // Config.TraceURL for it
}

// A Budget is what pays for retries, as retry.Budget.
type Budget struct {
	ID           string  `json:"id"`
	Name         string  `json:"name"`
	Key          string  `json:"key"`     // in a retry.BudgetGroup, else ""
	Balance      float64 `json:"balance"` // retries that it would grant at once
	Burst        float64 `json:"burst"`   // the most that it holds
	Ratio        float64 `json:"ratio"`   // paid in by each success
	MinPerSecond float64 `json:"min_per_second"`
}

// A Limit is a limit on concurrency, as of package limit.
type Limit struct {
	ID       string `json:"id"`
	Name     string `json:"name"`
	Key      string `json:"key"`       // in a group, else ""
	Current  int    `json:"current"`   // the most calls that run at once now
	InFlight int    `json:"in_flight"` // calls that run
	Waiting  int    `json:"waiting"`   // calls that wait for their turn
}
