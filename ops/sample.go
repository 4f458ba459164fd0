package ops

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
)

// recently is for how long a circuit that opened is told of before those that
// never did.
const recently = 10 * time.Minute

// maxError bounds what is told of an error, in bytes.
const maxError = 1000

// How urgently a circuit wants to be looked at, see Circuit.Trouble.
const (
	untroubled = iota
	recovered
	failing
	forcedClosed
	halfOpen
	open
)

// A sample is how everything stood at one moment, most troubled first. It does
// not change.
type sample struct {
	at       time.Time
	circuits []reading
	counts   CircuitTable // without rows
	budgets  []Budget
	empty    int
	limits   []Limit
	full     int
}

// A reading is a breaker and how it stood.
type reading struct {
	row     Circuit // without transitions
	breaker circuit
}

// take looks at everything once.
func (s *sources) take(now time.Time) *sample {
	taken := &sample{at: now}
	for _, source := range s.breakers {
		source.each(func(id, key string, b circuit) {
			r := read(id, key, b, now)
			taken.counts.count(r.row)
			taken.circuits = append(taken.circuits, r)
		})
	}
	for _, source := range s.budgets {
		source.each(func(id, key string, b *retry.Budget) {
			row := readBudget(id, key, b)
			if row.Balance < 1 {
				taken.empty++
			}
			taken.budgets = append(taken.budgets, row)
		})
	}
	for _, source := range s.limits {
		source.each(func(id, key string, l *limit.Limiter) {
			row := Limit{ID: id, Name: l.Name(), Key: key, Current: l.Limit(), InFlight: l.InFlight(), Waiting: l.Waiting()}
			if row.full() {
				taken.full++
			}
			taken.limits = append(taken.limits, row)
		})
	}
	slices.SortFunc(taken.circuits, func(a, b reading) int { return compareCircuits(a.row, b.row) })
	slices.SortFunc(taken.budgets, compareBudgets)
	slices.SortFunc(taken.limits, compareLimits)
	return taken
}

func (t *CircuitTable) count(c Circuit) {
	t.Total++
	switch c.State {
	case breaker.Open.String():
		t.Open++
	case breaker.HalfOpen.String():
		t.HalfOpen++
	default:
		t.Closed++
	}
	if c.Forced {
		t.Forced++
	}
}

func read(id, key string, c circuit, now time.Time) reading {
	row := c.row(now)
	row.ID = id
	if key != "" {
		row.Key = key
	}
	return reading{row, c}
}

func trouble(s breaker.Status, c breaker.Config, now time.Time) int {
	switch {
	case s.State == breaker.Open:
		return open
	case s.State == breaker.HalfOpen:
		return halfOpen
	case s.Forced:
		return forcedClosed
	case halfWay(s.Counts, c):
		return failing
	case !s.Since.IsZero() && now.Sub(s.Since) < recently:
		return recovered
	}
	return untroubled
}

// halfWay reports whether a circuit is at least half way from health to one of
// the rules by which it opens.
func halfWay(counts breaker.Counts, c breaker.Config) bool {
	enough := counts.Calls() >= int64(c.MinCalls)
	switch {
	case c.Consecutive > 1 && 2*counts.Consecutive >= int64(c.Consecutive),
		c.FailureRatio > 0 && enough && 2*counts.FailureRatio() >= c.FailureRatio,
		c.SlowRatio > 0 && enough && 2*counts.SlowRatio() >= c.SlowRatio:
		return true
	}
	return false
}

func countsOf(c breaker.Counts) Counts {
	return Counts{
		Calls:        c.Calls(),
		Successes:    c.Successes,
		Failures:     c.Failures,
		Slow:         c.Slow,
		Consecutive:  c.Consecutive,
		FailureRatio: c.FailureRatio(),
		SlowRatio:    c.SlowRatio(),
	}
}

func readBudget(id, key string, b *retry.Budget) Budget {
	config := b.Config()
	return Budget{
		ID:           id,
		Name:         config.Name,
		Key:          key,
		Balance:      b.Balance(),
		Burst:        config.Burst,
		Ratio:        config.Ratio,
		MinPerSecond: max(config.MinPerSecond, 0), // which NoFloor is not
	}
}

// compareCircuits puts the troubled first. Among equals the order is one that
// does not change from one moment to the next, so that it can be read.
func compareCircuits(a, b Circuit) int {
	return cmp.Or(-cmp.Compare(a.Trouble, b.Trouble), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID))
}

// compareBudgets puts first what has less than half of its burst left.
func compareBudgets(a, b Budget) int {
	short := func(b Budget) int { return int(2 * b.Balance / b.Burst) }
	return cmp.Or(cmp.Compare(short(a), short(b)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID))
}

func (l Limit) full() bool { return l.Waiting > 0 || l.InFlight >= l.Current }

// compareLimits puts first what is reached.
func compareLimits(a, b Limit) int {
	short := func(l Limit) int {
		if l.full() {
			return 0
		}
		return 1
	}
	return cmp.Or(cmp.Compare(short(a), short(b)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID))
}

// pick returns the first rows, at most so many, that match what is searched for,
// and counts the others. Case is ignored.
func pick[T any](all []T, search string, most int, name func(T) (name, key string)) ([]T, Table) {
	table := Table{Total: len(all)}
	rows := make([]T, 0, min(len(all), most))
	for _, row := range all {
		if !matches(search, name, row) {
			continue
		}
		table.Matching++
		if len(rows) < most {
			rows = append(rows, row)
		}
	}
	table.Hidden = table.Matching - len(rows)
	return rows, table
}

func matches[T any](search string, name func(T) (name, key string), row T) bool {
	if search == "" {
		return true
	}
	its, key := name(row)
	return strings.Contains(strings.ToLower(its+" "+key), strings.ToLower(search))
}

// snapshot returns what is told of s to somebody who searches: of the breakers
// the counts only, and the rows, for which somebody may want transitions, apart.
func (v *View) snapshot(s *sample, search string, writable bool) (Snapshot, []reading) {
	out := Snapshot{
		Version:         SchemaVersion,
		Name:            v.config.Name,
		At:              s.at,
		Writable:        writable,
		IntervalSeconds: v.config.Interval.Seconds(),
		Breakers:        s.counts,
	}
	out.Budgets.Empty, out.Limits.Full = s.empty, s.full
	var circuits []reading
	most := v.config.MaxRows
	circuits, out.Breakers.Table = pick(s.circuits, search, most, func(r reading) (name, key string) { return r.row.Name, r.row.Key })
	out.Budgets.Rows, out.Budgets.Table = pick(s.budgets, search, most, func(b Budget) (name, key string) { return b.Name, b.Key })
	out.Limits.Rows, out.Limits.Table = pick(s.limits, search, most, func(l Limit) (name, key string) { return l.Name, l.Key })
	return out, circuits
}

// transitionsOf asks the user's errors for their text, so it runs without a lock.
func (v *View) transitionsOf(c circuit) []Transition {
	history := c.history()
	out := make([]Transition, 0, len(history))
	for _, t := range history {
		out = append(out, Transition{
			At:              t.At,
			From:            t.From.String(),
			To:              t.To.String(),
			Reason:          string(t.Reason),
			Generation:      t.Generation,
			Counts:          countsOf(t.Counts),
			Error:           textOf(t.Err),
			CooldownSeconds: t.Cooldown.Seconds(),
			TraceID:         t.TraceID,
			TraceURL:        v.traceURL(t.TraceID),
		})
	}
	return out
}

func (v *View) traceURL(id string) string {
	if id == "" || v.config.TraceURL == "" {
		return ""
	}
	return strings.ReplaceAll(v.config.TraceURL, traceID, id)
}

// textOf returns what an error says, which may be anything.
func textOf(err error) string {
	if err == nil {
		return ""
	}
	text := fmt.Sprint(err) // which survives an Error that panics
	if len(text) <= maxError {
		return text
	}
	const more = "…"
	end := maxError - len(more)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + more
}
