package hedge

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/explain"
)

type budget func() bool

func (b budget) Withdraw() bool { return b() }

type circuit func(context.Context) bool

func (c circuit) Closed(ctx context.Context) bool { return c(ctx) }

func TestConfig_Check(t *testing.T) {
	yes := budget(func() bool { return true })
	for _, test := range []struct {
		config Config
		want   string // "" is fine
	}{
		{Config{}, ""},
		{Config{Name: "billing", Delay: time.Second, Hedges: 10, MaxExtra: 1, Burst: 1e6, Budget: yes}, ""},
		{Config{Percentile: 0.5}, ""},
		{Config{Percentile: 0.999}, ""},
		{Config{Percentile: 0.99, MinSamples: 100}, ""},
		{Config{Delay: -1}, `hedge: "": Delay is -1ns, must not be negative`},
		{Config{Delay: 1, Percentile: 0.9}, `hedge: "": Percentile is 0.9, must be zero if Delay is given`},
		{Config{Delay: 1, MinSamples: 50}, `hedge: "": MinSamples is 50, must be zero if Delay is given`},
		{Config{Percentile: 0.49}, `hedge: "": Percentile is 0.49, must be from 0.5 to 0.999`},
		{Config{Percentile: 95}, `hedge: "": Percentile is 95, must be from 0.5 to 0.999`},
		{Config{Percentile: math.NaN()}, `hedge: "": Percentile is NaN, must be from 0.5 to 0.999`},
		{Config{MinSamples: -1}, `hedge: "": MinSamples is -1, must be at least 25 for Percentile 0.96`},
		{Config{Percentile: 0.99, MinSamples: 99}, `hedge: "": MinSamples is 99, must be at least 100 for Percentile 0.99`},
		{Config{Hedges: -1}, `hedge: "": Hedges is -1, must be from 1 to 10`},
		{Config{Hedges: 11}, `hedge: "": Hedges is 11, must be from 1 to 10`},
		{Config{MaxExtra: 1.01}, `hedge: "": MaxExtra is 1.01, must be above 0 and at most 1`},
		{Config{MaxExtra: -0.1}, `hedge: "": MaxExtra is -0.1, must be above 0 and at most 1`},
		{Config{MaxExtra: math.NaN()}, `hedge: "": MaxExtra is NaN, must be above 0 and at most 1`},
		{Config{Burst: 0.5}, `hedge: "": Burst is 0.5, must be from 1 to 1e6`},
		{Config{Burst: math.Inf(1)}, `hedge: "": Burst is +Inf, must be from 1 to 1e6`},
		{Config{Name: "a", Budget: yes, Budgets: func(context.Context) Budget { return yes }}, `hedge: "a": Budget and Budgets are both given, must be one of them`},
	} {
		h := New(test.config)
		err := h.Check()
		if got := fmt.Sprint(err); err == nil && test.want != "" || err != nil && got != test.want {
			t.Errorf("Check of %+v: %v, want %q", test.config, err, test.want)
		}
		_, called := Func(h, func(context.Context) (int, error) { return 1, nil })(t.Context())
		if fmt.Sprint(called) != fmt.Sprint(err) {
			t.Errorf("a call with %+v: %v, want what Check says: %v", test.config, called, err)
		}
	}
}

func TestHedger_Misuse(t *testing.T) {
	one := func(context.Context) (int, error) { return 1, nil }
	for name, h := range map[string]*Hedger{"nil": nil, "zero": {}} {
		if _, err := Func(h, one)(t.Context()); !errors.Is(err, errZeroHedger) || h.Check() != err {
			t.Errorf("%s Hedger: %v, want %v", name, err, errZeroHedger)
		}
		if _, ok := h.Delay(); ok {
			t.Errorf("%s Hedger has a delay", name)
		}
		_ = h.Name()
	}
	h := New(Config{})
	if _, err := Func(h, one)(nil); err == nil || !strings.Contains(err.Error(), "context is nil") {
		t.Errorf("nil context: %v", err)
	}
	if _, err := Func[int](h, nil)(t.Context()); err == nil || !strings.Contains(err.Error(), "function is nil") {
		t.Errorf("nil function: %v", err)
	}
}

func TestHedger_Explain(t *testing.T) {
	want := explain.Facts{Kind: explain.Hedge, Name: "billing", Hedges: 2, Delay: time.Second}
	if got := New(Config{Name: "billing", Hedges: 2, Delay: time.Second}).Explain(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	want = explain.Facts{Kind: explain.Hedge, Hedges: DefaultHedges}
	if got := New(Config{}).Explain(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestHedger_Delay measures calls of 1 to 100 ms.
func TestHedger_Delay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{MinSamples: 100})
		took := time.Duration(0)
		call := Func(h, func(context.Context) (int, error) {
			time.Sleep(took)
			return 0, nil
		})
		for i := range 100 {
			if delay, ok := h.Delay(); ok {
				t.Fatalf("delay %v after %d calls, want none", delay, i)
			}
			took = time.Duration(i+1) * time.Millisecond
			_, _ = call(t.Context())
		}
		true96 := 96 * time.Millisecond
		delay, ok := h.Delay()
		if !ok || delay < true96 || delay > true96+true96/subBuckets {
			t.Errorf("delay %v, want 96 ms and at most 3.2 %% more", delay)
		}
		time.Sleep(40 * time.Second)
		if delay, ok := h.Delay(); ok {
			t.Errorf("delay %v after 40 s without calls, want none", delay)
		}
	})
}

// TestHedger_DelayHolds: a measured delay holds for three seconds.
func TestHedger_DelayHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{})
		record := func(n int, latency time.Duration) {
			for range n {
				h.latencies.record(h.now(), latency)
			}
		}
		record(100, 10*time.Millisecond)
		first, _ := h.Delay()
		record(1000, time.Second)
		time.Sleep(refresh - 1)
		if got, _ := h.Delay(); got != first {
			t.Errorf("delay %v within 3 s, want %v", got, first)
		}
		time.Sleep(time.Nanosecond)
		if got, _ := h.Delay(); got < time.Second {
			t.Errorf("delay %v after 3 s, want a second", got)
		}
	})
}

func TestHedger_DelayBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		quick, slow := New(Config{}), New(Config{})
		for range 100 {
			quick.latencies.record(0, time.Microsecond)
			slow.latencies.record(0, time.Hour)
		}
		if got, ok := quick.Delay(); !ok || got != MinDelay {
			t.Errorf("delay %v, %v for microseconds, want %v", got, ok, MinDelay)
		}
		if got, ok := slow.Delay(); ok {
			t.Errorf("delay %v for hours, want none", got)
		}
	})
}

// TestHedger_Learns: what a first attempt tells of the dependency's latency is
// recorded, what it does not tell is not.
func TestHedger_Learns(t *testing.T) {
	down := errors.New("down")
	late := context.DeadlineExceeded
	for _, test := range []struct {
		name string
		fn   func(ctx context.Context) (int, error)
		want int64
	}{
		{"success", func(context.Context) (int, error) { return 1, nil }, 1},
		{"failure", func(context.Context) (int, error) { return 0, down }, 0},
		{"error that is a timeout", func(context.Context) (int, error) { return 0, late }, 1},
		{"deadline", func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, down }, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := New(Config{})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _ = Func(h, test.fn)(ctx)
			if got := h.latencies.samples(h.now()); got != test.want {
				t.Errorf("%s: %d latencies, want %d", test.name, got, test.want)
			}
		})
	}
}

// TestHedger_SurvivorBias has every call that is slow overtaken by its hedge. If
// only what succeeds were recorded, the delay would shrink with each round.
func TestHedger_SurvivorBias(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{MaxExtra: 1, Burst: 1e6})
		var n atomic.Int32
		call := Func(h, func(ctx context.Context) (int, error) {
			took := 10 * time.Millisecond
			if n.Add(1)%40 == 0 { // never a hedge, which follows at once
				took = time.Second
			}
			select {
			case <-time.After(took):
				return 0, nil
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		})
		for range 10000 {
			_, _ = call(t.Context())
		}
		if got, ok := h.Delay(); !ok || got < 10*time.Millisecond || got > 11*time.Millisecond {
			t.Errorf("delay %v, %v, want 10 ms and at most 3.2 %% more", got, ok)
		}
		if got := h.latencies.percentile(h.now(), 0.99, 1); got < 20*time.Millisecond {
			t.Errorf("99th percentile %v, want that of calls that were overtaken", got)
		}
	})
}
