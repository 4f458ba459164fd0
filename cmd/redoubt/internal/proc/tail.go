package proc

import "sync"

// A Tail is a writer that keeps the end of what is written to it. It is safe
// for concurrent use. Make one with [NewTail].
type Tail struct {
	mu   sync.Mutex
	ring []byte
	next int  // where the next byte goes
	full bool // everything in ring was written
}

// NewTail returns a Tail that keeps size bytes. A size below 1 keeps nothing.
func NewTail(size int) *Tail { return &Tail{ring: make([]byte, max(size, 0))} }

// Write keeps the end of p. It never fails.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	written := len(p)
	if len(t.ring) == 0 {
		return written, nil
	}
	p = p[max(0, len(p)-len(t.ring)):]
	n := copy(t.ring[t.next:], p)
	t.full = t.full || t.next+len(p) >= len(t.ring)
	copy(t.ring, p[n:])
	t.next = (t.next + len(p)) % len(t.ring)
	return written, nil
}

// Bytes returns a copy of what is kept.
func (t *Tail) Bytes() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.full {
		return append([]byte(nil), t.ring[:t.next]...)
	}
	return append(append(make([]byte, 0, len(t.ring)), t.ring[t.next:]...), t.ring[:t.next]...)
}
