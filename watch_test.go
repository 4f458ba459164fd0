package redoubt

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// A watch that sets its timer as rarely as it can ends its sending at the same
// moment, and for the same thing, as one timer for each thing would.
func TestWatch_Model(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			s := &sending{cancel: cancel, layers: t.Context()}
			p := &s.progress
			p.begin(s, 0)

			var due [watched]time.Time // the model
			ended := false
			for step := range 50 {
				what := random.IntN(watched)
				limit := time.Duration(1 + random.IntN(100))
				p.mu.Lock()
				switch n := random.IntN(40); {
				case n < 24:
					p.set(what, limit)
					due[what] = time.Now().Add(limit)
				case n < 39:
					_ = p.lift(what)
					due[what] = time.Time{}
				default:
					p.end()
					ended = true
				}
				p.mu.Unlock()

				time.Sleep(time.Duration(random.IntN(60)))
				synctest.Wait()
				over, fell := -1, time.Now()
				for what, at := range due {
					if !ended && !at.IsZero() && !at.After(fell) && (over < 0 || at.Before(due[over])) {
						over = what
					}
				}
				if (over >= 0) != (ctx.Err() != nil) {
					t.Fatalf("seed %d, step %d: ended with %v, model has %d", seed, step, context.Cause(ctx), over)
				}
				if over >= 0 {
					if p.over != over {
						t.Fatalf("seed %d, step %d: %d ended it, model has %d", seed, step, p.over, over)
					}
					return
				}
			}
		})
	}
}

// No limit is too short or too long.
func TestWatch_Extremes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		s := &sending{cancel: cancel, layers: t.Context()}
		time.Sleep(time.Second)
		s.progress.begin(s, 1<<63-1)
		time.Sleep(1000 * time.Hour)
		s.progress.reading(1<<63 - 1)
		time.Sleep(1000 * time.Hour)
		if ctx.Err() != nil {
			t.Errorf("ended with %v", context.Cause(ctx))
		}
		s.progress.reading(1)
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("goes on")
		}
	})
}
