package hg

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/redoubt-go/redoubt/breaker/shared"
)

// overlay is a Store that honours the circuits of another and keeps what changes
// to itself: a plan must leave no trace. It is safe for concurrent use.
type overlay struct {
	shared.Store

	mu      sync.Mutex
	changed map[string][]byte
}

func (o *overlay) Load(ctx context.Context, key string) ([]byte, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.load(ctx, key)
}

func (o *overlay) load(ctx context.Context, key string) ([]byte, error) {
	if value, ok := o.changed[key]; ok {
		return value, nil
	}
	return o.Store.Load(ctx, key)
}

func (o *overlay) CompareAndSwap(ctx context.Context, key string, old, value []byte, _ time.Duration) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now, err := o.load(ctx, key)
	if err != nil || !bytes.Equal(now, old) {
		return false, err
	}
	if o.changed == nil {
		o.changed = make(map[string][]byte)
	}
	o.changed[key] = value
	return true, nil
}
