package retry

import (
	"math"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// exact returns min(base·2ⁿ, limit), without backoff's floating point.
func exact(base, limit time.Duration, n int) time.Duration {
	v := base
	for range n {
		if v > limit/2 {
			return limit
		}
		v *= 2
	}
	return v
}

func TestExponential(t *testing.T) {
	const ms = time.Millisecond
	waits := Exponential(100*ms, 1000*ms)()
	for range 2 { // the second time after Reset
		for i, want := range []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1000 * ms, 1000 * ms} {
			if got := waits.NextBackOff(); got != want {
				t.Errorf("wait %d is %v, want %v", i+1, got, want)
			}
		}
		waits.Reset()
	}
}

func TestConstant(t *testing.T) {
	tests := []struct{ d, want time.Duration }{
		{time.Second, time.Second},
		{0, 0},
		{-1, 0},
		{math.MinInt64, 0},
		{math.MaxInt64, math.MaxInt64},
	}
	for _, tt := range tests {
		waits := Constant(tt.d)()
		for range 3 {
			if got := waits.NextBackOff(); got != tt.want {
				t.Errorf("Constant(%v) waits %v, want %v", tt.d, got, tt.want)
			}
			waits.Reset()
		}
	}
}

// Every wait of every sequence keeps to its bounds, from the first to the
// hundredth, and comes close to both.
func TestSequences(t *testing.T) {
	const steps, draws = 100, 200
	type bounds struct{ low, high time.Duration }
	sequences := []struct {
		name   string
		new    func(base, limit time.Duration) func() backoff.BackOff
		bounds func(base, limit time.Duration, n int) bounds
		spread bool
	}{
		{"Exponential", Exponential, func(base, limit time.Duration, n int) bounds {
			v := exact(base, limit, n)
			return bounds{v, v}
		}, false},
		{"FullJitter", FullJitter, func(base, limit time.Duration, n int) bounds {
			return bounds{base / 10, exact(base, limit, n)}
		}, true},
		{"EqualJitter", EqualJitter, func(base, limit time.Duration, n int) bounds {
			v := exact(base, limit, n)
			return bounds{v / 2, v}
		}, true},
		{"Decorrelated", Decorrelated, func(base, limit time.Duration, n int) bounds {
			if v := float64(base) * math.Pow(3, float64(n+1)); v < float64(limit) {
				return bounds{base, time.Duration(v)}
			}
			return bounds{base, limit}
		}, false}, // its draws hang together; the extremes are rare
	}
	cases := []struct {
		name        string
		base, limit time.Duration // as given
		b, l        time.Duration // as meant
	}{
		{"usual", 100 * time.Millisecond, 20 * time.Second, 100 * time.Millisecond, 20 * time.Second},
		{"zero", 0, 0, DefaultBase, DefaultCap},
		{"negative", -time.Second, math.MinInt64, DefaultBase, DefaultCap},
		{"limit only", 0, time.Second, DefaultBase, time.Second},
		{"base only", time.Second, 0, time.Second, DefaultCap},
		{"limit below base", time.Second, time.Millisecond, time.Second, time.Second},
		{"base above the default limit", time.Minute, 0, time.Minute, time.Minute},
		{"equal", time.Second, time.Second, time.Second, time.Second},
		{"least", 1, 1, 1, 1},
		{"least base, largest limit", 1, math.MaxInt64, 1, math.MaxInt64},
		{"largest", math.MaxInt64, math.MaxInt64, math.MaxInt64, math.MaxInt64},
		{"half of the largest", 1 << 62, math.MaxInt64, 1 << 62, math.MaxInt64},
		{"odd", 7, 12345678901234567, 7, 12345678901234567},
	}
	for _, s := range sequences {
		for _, c := range cases {
			t.Run(s.name+"/"+c.name, func(t *testing.T) {
				var least, most [steps]time.Duration
				waits := s.new(c.base, c.limit)()
				for draw := range draws {
					for n := range steps {
						got := waits.NextBackOff()
						if want := s.bounds(c.b, c.l, n); got < want.low || got > want.high || got < 0 {
							t.Fatalf("wait %d is %v, want from %v to %v", n+1, got, want.low, want.high)
						}
						if draw == 0 {
							least[n] = got
						}
						least[n], most[n] = min(least[n], got), max(most[n], got)
					}
					waits.Reset()
				}
				if !s.spread {
					return
				}
				for n := range steps {
					want := s.bounds(c.b, c.l, n)
					tenth := (want.high-want.low)/10 + 1 // the upper bound itself is never drawn
					if least[n] > want.low+tenth || most[n] < want.high-tenth {
						t.Errorf("wait %d is from %v to %v in %d draws, want about %v to %v",
							n+1, least[n], most[n], draws, want.low, want.high)
					}
				}
			})
		}
	}
}

// Jitter is even: the mean of many draws lies in the middle.
func TestFullJitter_Mean(t *testing.T) {
	const base, draws = time.Second, 20_000
	waits := FullJitter(base, base)()
	var sum time.Duration
	for range draws {
		sum += waits.NextBackOff()
	}
	want := (base/10 + base) / 2
	if got := sum / draws; got < want*98/100 || got > want*102/100 {
		t.Errorf("mean of %d draws is %v, want about %v", draws, got, want)
	}
}

// Each wait of Decorrelated is at most three times the one before, which Reset
// forgets.
func TestDecorrelated(t *testing.T) {
	const base, limit = 100 * time.Millisecond, 20 * time.Second
	waits := Decorrelated(base, limit)()
	reached := false
	for range 1000 {
		last := base
		for range 30 {
			got := waits.NextBackOff()
			if got < base || got > min(3*last, limit) {
				t.Fatalf("wait is %v after %v, want from %v to %v", got, last, base, min(3*last, limit))
			}
			reached = reached || got > limit*9/10
			last = got
		}
		waits.Reset()
	}
	if !reached {
		t.Errorf("no wait came near the limit of %v", limit)
	}
}

// A sequence belongs to one call: two of one maker know nothing of each other.
func TestSequences_AreIndependent(t *testing.T) {
	for name, newSequence := range map[string]func() backoff.BackOff{
		"Exponential":  Exponential(1, 1000),
		"FullJitter":   FullJitter(1, 1000),
		"EqualJitter":  EqualJitter(1, 1000),
		"Decorrelated": Decorrelated(1, 1000),
	} {
		one := newSequence()
		for range 20 {
			one.NextBackOff()
		}
		if got := newSequence().NextBackOff(); got > 3 {
			t.Errorf("%s: first wait of a second sequence is %v, want 3ns at most", name, got)
		}
	}
}

func TestBetween(t *testing.T) {
	almost := math.Nextafter(1, 0)
	tests := []struct {
		low, high time.Duration
		random    float64
		want      time.Duration
	}{
		{10, 20, 0, 10},
		{10, 20, .5, 15},
		{10, 20, almost, 19},
		{10, 10, .5, 10},
		{20, 10, .5, 10},
		{0, math.MaxInt64, 0, 0},
		{0, math.MaxInt64, .5, 1 << 62},
		{0, math.MaxInt64, almost, math.MaxInt64 - 1023},
	}
	for _, tt := range tests {
		if got := between(tt.low, tt.high, tt.random); got != tt.want {
			t.Errorf("between(%d, %d, %v) = %d, want %d", tt.low, tt.high, tt.random, got, tt.want)
		}
	}
}
