package shared

import (
	"bytes"
	"context"
	"iter"
	"sync"
	"time"
)

// A Store keeps one small value for each key, for all processes that share it.
// It must be safe for concurrent use.
//
// Every method returns by the time that ctx ends, and none holds anything when
// it returns: there are no locks to forget. A value is what [Breaker] wrote or,
// if somebody else wrote it, garbage that Breaker copes with. It is well below a
// megabyte, commonly one kilobyte.
//
// In Redis, Load is GET, CompareAndSwap is a script that compares GET with old
// before it does SET with PX, and Values is SCAN with MGET.
type Store interface {
	// Load returns the value of key, nil if there is none.
	Load(ctx context.Context, key string) ([]byte, error)

	// CompareAndSwap replaces the value of key by value if it is old, nil
	// standing for no value in both places, and reports whether it did. The
	// store may forget the value after ttl, and must keep it until then.
	CompareAndSwap(ctx context.Context, key string, old, value []byte, ttl time.Duration) (swapped bool, err error)

	// Values returns all values, in any order. It may end with an error.
	Values(ctx context.Context) iter.Seq2[[]byte, error]
}

// memory is the Store that stands in for one that can't be used.
type memory struct {
	mu     sync.Mutex
	values map[string][]byte
}

func (m *memory) Load(_ context.Context, key string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.values[key], nil
}

func (m *memory) CompareAndSwap(_ context.Context, key string, old, value []byte, _ time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !bytes.Equal(m.values[key], old) {
		return false, nil
	}
	if m.values == nil {
		m.values = make(map[string][]byte)
	}
	if value == nil {
		delete(m.values, key)
	} else {
		m.values[key] = value
	}
	return true, nil
}

func (m *memory) Values(context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		m.mu.Lock()
		defer m.mu.Unlock()
		for _, value := range m.values {
			if !yield(value, nil) {
				return
			}
		}
	}
}
