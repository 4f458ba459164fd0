package faults

import "sync"

// remembered bounds the writes that a ledger remembers, so that memory does not
// grow with the number of requests.
const remembered = 1 << 16

// A ledger tells repeated effects from new ones.
type ledger struct {
	mu                  sync.Mutex
	seen                map[string]bool
	ring                []string
	next                int
	effects, duplicates int64
}

// write enters the effect of an arrival, and reports whether it is a repetition
// that the dependency did not know as such.
func (l *ledger) write(a arrival) (duplicate bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := "id " + a.request
	if a.key != "" {
		id = "key " + a.key
	}
	if l.seen[id] {
		if a.key != "" {
			return false // known, and answered as the first time
		}
		l.effects++
		l.duplicates++
		return true
	}
	l.effects++
	if a.request == "" && a.key == "" {
		return false
	}
	if l.seen == nil {
		l.seen = make(map[string]bool)
		l.ring = make([]string, remembered)
	}
	delete(l.seen, l.ring[l.next])
	l.ring[l.next] = id
	l.next = (l.next + 1) % remembered
	l.seen[id] = true
	return false
}

func (l *ledger) counts() (effects, duplicates int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.effects, l.duplicates
}
