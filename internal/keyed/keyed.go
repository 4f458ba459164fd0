// Package keyed keeps one thing per key, such as a breaker per host, in bounded
// memory.
package keyed

import (
	"container/list"
	"sync"
)

// scanned bounds how many things that must be kept an eviction looks at, so
// that a full cache of them costs a newcomer little.
const scanned = 64

// A Cache keeps at most a fixed number of things and forgets the one that was
// unused for longest. It is safe for concurrent use.
type Cache[V any] struct {
	limit  int
	create func(key string) V
	keep   func(V) bool

	mu      sync.Mutex
	entries map[string]*list.Element
	recent  list.List // of *entry[V], newest first
}

type entry[V any] struct {
	key   string
	value V
}

func entryOf[V any](element *list.Element) *entry[V] {
	return element.Value.(*entry[V]) //nolint:errcheck // The list holds nothing else.
}

// New returns a cache of at most limit things, which creates those it does not
// have and never forgets one that keep reports true for. Both functions are
// called under the cache's lock and must not use it.
func New[V any](limit int, create func(key string) V, keep func(V) bool) *Cache[V] {
	return &Cache[V]{limit: limit, create: create, keep: keep, entries: map[string]*list.Element{}}
}

// Get returns the thing for key. If there is no room for a new thing, because
// all that were looked at must be kept, the new one is returned but not
// remembered.
func (c *Cache[V]) Get(key string) V {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[key]; ok {
		c.recent.MoveToFront(element)
		return entryOf[V](element).value
	}
	value := c.create(key)
	if len(c.entries) < c.limit || c.evict() {
		c.entries[key] = c.recent.PushFront(&entry[V]{key, value})
	}
	return value
}

// evict reports whether it made room. Things that must be kept move to the
// front, so that the next eviction looks at others.
func (c *Cache[V]) evict() bool {
	for range min(scanned, c.recent.Len()) {
		oldest := c.recent.Back()
		e := entryOf[V](oldest)
		if c.keep(e.value) {
			c.recent.MoveToFront(oldest)
			continue
		}
		c.recent.Remove(oldest)
		delete(c.entries, e.key)
		return true
	}
	return false
}

// All returns the things of the cache, the most recently used first.
func (c *Cache[V]) All() []V {
	c.mu.Lock()
	defer c.mu.Unlock()
	values := make([]V, 0, c.recent.Len())
	for element := c.recent.Front(); element != nil; element = element.Next() {
		values = append(values, entryOf[V](element).value)
	}
	return values
}

// Map returns the things of the cache by key.
func (c *Cache[V]) Map() map[string]V {
	c.mu.Lock()
	defer c.mu.Unlock()
	values := make(map[string]V, len(c.entries))
	for key, element := range c.entries {
		values[key] = entryOf[V](element).value
	}
	return values
}
