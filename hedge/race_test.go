package hedge

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/explain"
)

// TestFunc_NothingIsLeft: the contexts of all runs end with the call, that of the
// winner too.
func TestFunc_NothingIsLeft(t *testing.T) {
	for name, acts := range map[string][]act{
		"alone":  {{}},
		"first":  {{after: 15 * time.Millisecond}, {after: time.Hour}},
		"hedge":  {{after: time.Hour}, {}},
		"failed": {{after: 15 * time.Millisecond, err: errDown}, {err: errDown}},
	} {
		synctest.Test(t, func(t *testing.T) {
			contexts := make(chan context.Context, len(acts))
			fn, _ := play(acts...)
			call := Func(eagerly(), func(ctx context.Context) (string, error) {
				contexts <- ctx
				return fn(ctx)
			})
			_, _ = call(t.Context())
			for n := range acts {
				if ctx := <-contexts; ctx.Err() == nil {
					t.Errorf("%s: context of run %d of %d is alive after the call", name, n+1, len(acts))
				}
			}
		})
	}
}

// TestFunc_UnknownDelay: nothing is hedged before there is a delay, however many
// hedges are saved up, and what a 429 says meanwhile counts afterwards.
func TestFunc_UnknownDelay(t *testing.T) {
	for _, calm := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			h := New(Config{MaxExtra: 1})
			acts := make([]act, 0, 2*DefaultMinSamples)
			for range DefaultMinSamples - 1 {
				acts = append(acts, act{after: 10 * time.Millisecond})
			}
			if calm {
				acts = append(acts, act{err: throttled{0}})
			}
			acts = append(acts, act{after: 10 * time.Millisecond})
			quick := int32(len(acts))
			acts = append(acts, act{after: time.Second}, act{after: time.Second})
			fn, runs := play(acts...)
			call := Func(h, fn)
			for range quick {
				if _, ok := h.Delay(); ok {
					t.Fatalf("there is a delay after %d calls", runs.Load())
				}
				_, _ = call(t.Context())
			}
			_, known := h.Delay()
			if runs.Load() != quick || !known {
				t.Errorf("%d calls were %d runs, delay known: %v", quick, runs.Load(), known)
			}
			_, _ = call(t.Context())
			if hedged := runs.Load() == quick+2; hedged == calm {
				t.Errorf("after a 429 %v: hedged %v", calm, hedged)
			}
		})
	}
}

// TestHedger_LearnsOfTheOvertaken: a first run that was given up counts with the
// time that it had, whenever that was.
func TestHedger_LearnsOfTheOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		h := New(Config{})
		time.Sleep(time.Hour)
		for range DefaultMinSamples {
			h.latencies.record(h.now(), 10*time.Millisecond)
		}
		h.share.pay(price)
		fn, _ := play(act{after: time.Hour}, act{after: 50 * time.Millisecond})
		start := time.Now()
		_, _ = Func(h, fn)(t.Context())
		took := time.Since(start)
		if got := h.latencies.percentile(h.now(), 1, 1); got < took || got > took+took/subBuckets {
			t.Errorf("learned of %v, want %v and at most 3.2 %% more", got, took)
		}
	})
}

// A stuckSender can make its first attempt only.
type stuckSender struct {
	funcSender[string]

	hedge context.Context //nolint:containedctx // What prepare was given.
}

func (s *stuckSender) prepare(ctx context.Context, n int) (func() (string, error), error) {
	if n == 0 {
		return s.funcSender.prepare(ctx, n)
	}
	s.hedge = ctx
	return nil, errDown
}

// TestRace_HedgeThatCannotBegin is given back to the share, and leaves nothing.
func TestRace_HedgeThatCannotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := eagerly()
		fn, _ := play(act{after: time.Second})
		s := &stuckSender{funcSender: funcSender[string]{fn: fn}}
		value, release, err := do(t.Context(), h, s)
		release(nil)
		if value != "run 1" || err != nil {
			t.Errorf("%q, %v, want the first run's result", value, err)
		}
		if s.hedge == nil || s.hedge.Err() == nil || h.share.balance.Load() != price {
			t.Errorf("context of the hedge %v, balance %d; want one that has ended, and its price", s.hedge, h.share.balance.Load())
		}
	})
}

// TestRace_PanicBesideTheWinner: what comes together with the winner is looked at
// too, but for a panic, which is nobody's.
func TestRace_PanicBesideTheWinner(t *testing.T) {
	var freed []int
	s := &funcSender[int]{free: func(n int) { freed = append(freed, n) }}
	r := &race[int]{h: New(Config{}), sender: s, inner: innerContext{t.Context()}, results: make(chan result[int], 2), lanes: make([]lane[int], 2)}
	r.results <- result[int]{n: 0, panicked: "broken"}
	r.results <- result[int]{n: 1, value: 7, returned: true}
	r.close(r.note)
	if r.lanes[0].state != pending || r.lanes[1].state != succeeded || r.lanes[1].value != 7 || freed != nil {
		t.Errorf("lanes %+v, freed %v", r.lanes, freed)
	}
	r.deliver(result[int]{n: 0, value: 8, returned: true})
	r.deliver(result[int]{n: 0, panicked: "broken"})
	if len(freed) != 1 || freed[0] != 8 {
		t.Errorf("freed %v of what came too late, want 8 alone", freed)
	}
}

func TestHedger_DefaultsAreTheConstants(t *testing.T) {
	h := New(Config{})
	if h.config.MinSamples != DefaultMinSamples || h.share.burst != DefaultBurst*price {
		t.Errorf("%d samples, burst %d", h.config.MinSamples, h.share.burst)
	}
}

func TestErrLost_IsOneThing(t *testing.T) {
	if errors.Is(ErrLost, io.EOF) || errors.Is(ErrLost, context.DeadlineExceeded) {
		t.Error("ErrLost is anything")
	}
	says, ok := ErrLost.(interface {
		Retryable() bool
		ErrorType() string
	})
	if !ok || says.Retryable() || says.ErrorType() != "cancelled" {
		t.Errorf("%#v, want what may not be retried, and is called cancelled", ErrLost)
	}
}

func TestGroup_Misuse(t *testing.T) {
	key := func(context.Context) string { return "a" }
	var none context.Context
	if got := NewGroup(GroupConfig{Key: key}).For(none).Check(); got != errNilContext {
		t.Errorf("For(nil).Check() = %v", got)
	}
	for name, g := range map[string]*Group{"nil": nil, "zero": {}} {
		if got := g.Hedgers(); got == nil || len(got) != 0 {
			t.Errorf("%s Group has hedgers %v", name, got)
		}
		if got := g.Explain().Kind; got != explain.Hedge {
			t.Errorf("%s Group is a %v", name, got)
		}
	}
	g := NewGroup(GroupConfig{Key: key, Hedger: Config{Name: "billing"}})
	if got := g.For(t.Context()).Name(); g.Name() != "billing" || got != "billing" {
		t.Errorf("names %q, %q, want billing", g.Name(), got)
	}
	if got := (*Hedger)(nil).Explain().Kind; got != explain.Hedge {
		t.Errorf("nil Hedger is a %v", got)
	}
}
