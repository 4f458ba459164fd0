package stackfile

import (
	"reflect"
	"slices"
	"strings"
)

// A part is what has a memory: by its kind and its name, which a file has once.
type part struct{ kind, name string }

func (p part) String() string { return strings.TrimSpace(p.kind + " " + p.name) }

// A kept is a part and the block that it was made of.
type kept struct{ block, thing any }

// A memory holds the parts of a stack, and takes over from the one before what
// has not changed.
type memory struct {
	before map[part]kept
	now    map[part]kept

	ready []func() // what is to be done once the parts are in use
}

// use has parts that were there before know those that are there now.
func (m *memory) use() {
	for _, f := range m.ready {
		f()
	}
}

// newMemory returns a memory with nothing before.
func newMemory() *memory { return &memory{now: map[part]kept{}} }

// remember returns the part that is there, or was before, if its block is the
// same, or else a new one.
func remember[T any](m *memory, at part, block any, create func() T) T {
	for _, known := range []map[part]kept{m.now, m.before} {
		old, ok := known[at]
		if !ok || !reflect.DeepEqual(old.block, block) {
			continue
		}
		if thing, ok := old.thing.(T); ok {
			m.now[at] = old
			return thing
		}
	}
	thing := create()
	m.now[at] = kept{block, thing}
	return thing
}

// Changes are what a reload did to what has a memory: breakers, budgets, limits
// and hedges, each named such as "breaker billing". A change of anything else, such
// as a timeout, leaves them as they are.
type Changes struct {
	Kept  []string // with what they know, since their block is the same
	Fresh []string // begun anew: new, or with a block that has changed
	Gone  []string // there no more, once the calls under way have ended
}

func (m *memory) changes() Changes {
	var c Changes
	for at, now := range m.now {
		if old, ok := m.before[at]; ok && old.thing == now.thing {
			c.Kept = append(c.Kept, at.String())
		} else {
			c.Fresh = append(c.Fresh, at.String())
		}
	}
	for at := range m.before {
		if _, ok := m.now[at]; !ok {
			c.Gone = append(c.Gone, at.String())
		}
	}
	slices.Sort(c.Kept)
	slices.Sort(c.Fresh)
	slices.Sort(c.Gone)
	return c
}
