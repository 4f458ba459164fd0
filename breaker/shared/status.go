package shared

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
)

// A Circuit is what a store knows of one circuit, for people to look at.
type Circuit struct {
	Name, Key string
	State     breaker.State

	// Failures is the number of failures that count at the moment if the
	// circuit is closed, and otherwise of those that opened it.
	Failures int64

	Counts     breaker.Counts // the same, and what is beside them
	Generation uint64         // how many times the state has changed

	// The rest is zero while the circuit is closed.

	Reason       breaker.Reason // why it is open
	Opened       time.Time
	Until        time.Time // when it becomes or became half-open
	FailedProbes int       // since it was closed
	Last         *Failure  // the failure that opened it
	Prober       *Prober   // who probes it now; nil if nobody does
}

// A Prober is who has the right to probe a circuit.
type Prober struct {
	Host  string
	PID   int
	Since time.Time
	Until time.Time // when somebody else may, unless it is renewed
}

// Status returns the circuits that a store knows, sorted by name and key. If some
// of them can't be read, it returns the others and an error.
//
// The store does not know the configuration of a circuit, so that failures are
// counted here that may be too old for it.
func Status(ctx context.Context, store Store) ([]Circuit, error) {
	var circuits []Circuit
	var errs []error
	for value, err := range store.Values(ctx) {
		var r record
		if err == nil {
			r, err = decode(value)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if r.Name != "" {
			circuits = append(circuits, r.circuit(time.Now()))
		}
	}
	slices.SortFunc(circuits, func(a, b Circuit) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key))
	})
	return circuits, errors.Join(errs...)
}

// Status returns what the store knows of b's circuit. Unlike Do it fails if the
// store does, with the store's error. Only ctx bounds its time.
func (b *Breaker) Status(ctx context.Context) (Circuit, error) {
	if err := b.Check(); err != nil {
		return Circuit{}, err
	}
	value, err := b.config.Store.Load(ctx, b.key)
	if err != nil {
		return Circuit{}, err
	}
	r, err := b.decode(value)
	now := time.Now()
	r, _ = b.config.settled(r, now)
	return r.circuit(now), err
}

// Latest returns what b itself last saw of its circuit: it waits for nothing, and
// does not know what other processes have done since b's last call.
func (b *Breaker) Latest() Circuit {
	if b.Check() != nil {
		return Circuit{}
	}
	now := time.Now()
	r, _ := b.config.settled(*b.latest.Load(), now)
	r.Name, r.Key = b.config.Name, b.config.Key
	return r.circuit(now)
}

// Reset has the store forget the circuit of a name and a key, which closes it.
// Forgetting what the store does not know is no error.
func Reset(ctx context.Context, store Store, name, key string) error {
	for {
		old, err := store.Load(ctx, storeKey(name, key))
		if err != nil || old == nil {
			return err
		}
		swapped, err := store.CompareAndSwap(ctx, storeKey(name, key), old, nil, 0)
		if err != nil || swapped {
			return err
		}
	}
}

// Reset closes b's circuit and forgets what was counted, in the store and in this
// process. It fails if the store does. Only ctx bounds its time.
func (b *Breaker) Reset(ctx context.Context) error {
	if err := b.Check(); err != nil {
		return err
	}
	if err := Reset(ctx, &b.local, b.config.Name, b.config.Key); err != nil {
		return err
	}
	if err := Reset(ctx, b.config.Store, b.config.Name, b.config.Key); err != nil {
		return err
	}
	b.latest.Store(&record{})
	return nil
}

func (r record) circuit(now time.Time) Circuit {
	c := Circuit{Name: r.Name, Key: r.Key, State: r.state(now), Counts: countsOf(r.Outcomes), Generation: r.Generation}
	c.Failures = c.Counts.Failures
	if r.Open == nil {
		return c
	}
	c.Failures = r.Open.Failures
	c.Counts = breaker.Counts{Successes: r.Open.Successes, Failures: r.Open.Failures, Consecutive: r.Open.Consecutive}
	c.Reason = r.Open.Reason
	c.Opened = r.Open.Since
	c.Until = r.Open.Until
	c.FailedProbes = r.Open.Times
	c.Last = r.Open.Last.failure()
	if l := r.Open.Lease; l != nil && now.Before(l.Until) {
		c.Prober = &Prober{Host: l.Host, PID: l.PID, Since: l.Since, Until: l.Until}
	}
	return c
}
