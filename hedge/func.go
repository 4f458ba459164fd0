package hedge

import (
	"context"
	"time"

	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// Func returns fn hedged by h: a call of it runs fn and, if that is slow, runs
// fn again at the same time, and returns the result of the run that succeeds
// first. If none does, it returns that of the first run.
//
// Each run is on a goroutine and a context of its own, which ends when the call
// returns. The call does not wait for runs that lost: they end once they notice
// that their context has, with [ErrLost] as its cause. So fn must be fit to run
// twice at the same time, and must not write to variables of its caller.
//
// A panic or Goexit of a run ends the other runs and passes to the caller,
// unless the call has returned by then; such a panic is counted and dropped.
//
// The error is that of the run, unchanged, or what [Hedger.Check] reports.
func Func[T any](h *Hedger, fn func(context.Context) (T, error)) func(context.Context) (T, error) {
	return FuncDiscard(h, fn, nil)
}

// FuncDiscard is [Func] for results that must be freed: discard is called, on
// any goroutine, with each result of a successful run that is not returned.
func FuncDiscard[T any](h *Hedger, fn func(context.Context) (T, error), discard func(T)) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		var none T
		switch err := h.Check(); {
		case err != nil:
			return none, err
		case ctx == nil:
			return none, errNilContext
		case fn == nil:
			return none, errNilFunc
		}
		value, release, err := do(ctx, h, &funcSender[T]{fn: fn, free: discard})
		release(nil)
		return value, err
	}
}

// A funcSender runs a function.
type funcSender[T any] struct {
	fn    func(context.Context) (T, error)
	free  func(T)
	spans []*telemetry.HedgeSpan // of hedges, the first of which is attempt 1
}

func (s *funcSender[T]) prepare(ctx context.Context, n int) (func() (T, error), error) {
	if n > 0 {
		hedge, span := telemetry.HedgeAttempt(ctx, n)
		s.spans = append(s.spans, span)
		ctx = hedge
	}
	return func() (T, error) { return s.fn(ctx) }, nil
}

func (s *funcSender[T]) repeatable() bool { return true }

func (s *funcSender[T]) failed(_ T, err error) bool { return err != nil }

func (s *funcSender[T]) throttled(_ T, err error) (time.Duration, bool) { return wishOf(err) }

func (s *funcSender[T]) settle(n int, f fate, _ T, err error) {
	if n == 0 {
		return // its span is that of the call around it
	}
	if f != broke {
		err = nil
	}
	s.spans[n-1].End(err)
}

func (s *funcSender[T]) discard(value T, err error) {
	if s.free != nil && err == nil {
		s.free(value)
	}
}
