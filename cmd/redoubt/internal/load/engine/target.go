package engine

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/stackfile"
)

// Target returns a client whose layers a file describes. Its breakers, budgets
// and probes are watched as those of [Redoubt] are.
//
// Its parameters are attempt_timeout, the shortest time limit, and cooldown, the
// longest time that a breaker stays open, as far as there are such.
func Target(name string, file *stackfile.File) Client {
	report := file.Explain()
	c := Client{
		Name:        name,
		About:       fmt.Sprintf("a stack of %d layers from a file", len(report.Layers)),
		Parameters:  parameters(report),
		Explanation: report.String(),
	}
	c.New = func(s Setting) Caller {
		t := file.Transport(stackfile.Options{
			Breaker:   func(config *breaker.Config) { config.OnTransition = s.Observer.Transition },
			Transport: func(t *redoubt.Transport) { t.Base = s.Base },
		})
		w := &watch{observer: s.Observer}
		if stack, ok := t.Layer.(redoubt.Stack); ok {
			t.Layer = w.stack(stack)
		}
		return Caller{Transport: t, Budget: w.balance()}
	}
	return c
}

// parameters returns what checks may refer to.
func parameters(report redoubt.Report) map[string]float64 {
	all := map[string]float64{}
	for _, l := range report.Layers {
		switch {
		case l.Type == "StallTimeout":
		case l.Facts.Kind == redoubt.KindTimeout:
			if shortest, ok := all["attempt_timeout"]; !ok || ms(l.Facts.Limit) < shortest {
				all["attempt_timeout"] = ms(l.Facts.Limit)
			}
		case l.Facts.Kind == redoubt.KindBreaker:
			all["cooldown"] = max(all["cooldown"], ms(l.Facts.MaxCooldown))
		}
	}
	return all
}

// A watch puts layers that watch around those of a stack.
type watch struct {
	observer Observer
	retries  bool
	budget   *retry.Budget
	budgets  bool                         // one for each host
	host     atomic.Pointer[retry.Budget] // that of the one dependency, once it was called
}

// stack returns the layers with those that watch them in between.
func (w *watch) stack(layers redoubt.Stack) redoubt.Stack {
	var watched redoubt.Stack
	for _, layer := range layers {
		switch layer := layer.(type) {
		case retry.Policy:
			watched = append(watched, w.retry(layer)...)
		case *breaker.Breaker:
			watched = append(watched, layer, probes(layer, w.observer))
		case *breaker.Group:
			watched = append(watched, layer, probesOf(layer, w.observer))
		default:
			watched = append(watched, layer)
		}
	}
	return watched
}

// retry watches the outermost policy: what one inside of it gives up, that may
// still repeat.
func (w *watch) retry(policy retry.Policy) redoubt.Stack {
	if w.retries {
		return redoubt.Stack{policy}
	}
	w.retries, w.budget = true, policy.Budget
	if policy.Budgets == nil {
		return redoubt.Stack{denials(w.observer), policy}
	}
	w.budgets = true
	return redoubt.Stack{denials(w.observer), w.find(policy.Budgets), policy}
}

// find takes down the budget of the host that is called.
func (w *watch) find(budgets *retry.BudgetGroup) redoubt.LayerFunc {
	return func(ctx context.Context, call func(context.Context) error) error {
		if w.host.Load() == nil {
			w.host.Store(budgets.For(ctx))
		}
		return call(ctx)
	}
}

// balance returns what tells the retries left, or nil if there is no budget.
func (w *watch) balance() func() float64 {
	switch {
	case w.budget != nil:
		return w.budget.Balance
	case w.budgets:
		return func() float64 {
			if b := w.host.Load(); b != nil {
				return b.Balance()
			}
			return 0 // nothing was called
		}
	}
	return nil
}

// probesOf does what probes does, for the breaker of the host that is called.
func probesOf(group *breaker.Group, o Observer) redoubt.LayerFunc {
	return func(ctx context.Context, call func(context.Context) error) error {
		return probes(group.For(ctx), o)(ctx, call)
	}
}
