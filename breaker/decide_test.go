package breaker

import (
	"fmt"
	"math"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	var (
		none        = Config{MinCalls: 1}
		failures    = Config{MinCalls: 4, FailureRatio: 0.5}
		slow        = Config{MinCalls: 4, SlowRatio: 0.5, SlowCall: 1}
		consecutive = Config{MinCalls: 4, Consecutive: 3}
		all         = Config{MinCalls: 4, Consecutive: 3, FailureRatio: 0.5, SlowRatio: 0.5, SlowCall: 1}
	)
	tests := []struct {
		name   string
		config Config
		counts Counts
		want   Reason
	}{
		{"no rule", none, Counts{Failures: 9, Slow: 9, Consecutive: 9}, ""},
		{"no calls", all, Counts{}, ""},
		{"no calls, none needed", Config{FailureRatio: 0.5}, Counts{}, ""},

		{"too few calls", failures, Counts{Failures: 3}, ""},
		{"just enough calls", failures, Counts{Failures: 4}, ReasonFailureRatio},
		{"just below the ratio", failures, Counts{Successes: 51, Failures: 49}, ""},
		{"just the ratio", failures, Counts{Successes: 50, Failures: 50}, ReasonFailureRatio},
		{"slow calls are calls", failures, Counts{Slow: 51, Failures: 49}, ""},
		{"all fail", Config{MinCalls: 1, FailureRatio: 1}, Counts{Failures: 1}, ReasonFailureRatio},
		{"all but one fail", Config{MinCalls: 1, FailureRatio: 1}, Counts{Failures: 1e9, Successes: 1}, ""},
		{"a slow call that failed is one call", failures, Counts{Slow: 4, Failures: 2, both: 2}, ReasonFailureRatio},
		{"slow calls that failed are too few", failures, Counts{Slow: 3, Failures: 3, both: 3}, ""},

		{"just below the slow ratio", slow, Counts{Successes: 51, Slow: 49}, ""},
		{"just the slow ratio", slow, Counts{Successes: 50, Slow: 50}, ReasonSlowRatio},
		{"failures are not slow", slow, Counts{Failures: 51, Slow: 49}, ""},
		{"too few calls to be slow", slow, Counts{Slow: 3}, ""},

		{"just too short a row", consecutive, Counts{Failures: 9, Consecutive: 2}, ""},
		{"just a row", consecutive, Counts{Failures: 3, Consecutive: 3}, ReasonConsecutive},
		{"a row, its failures out of the window", consecutive, Counts{Consecutive: 3}, ReasonConsecutive},
		{"a row of few", consecutive, Counts{Failures: 1, Consecutive: 3}, ReasonConsecutive},

		{"row before ratio", all, Counts{Failures: 9, Slow: 9, Consecutive: 3}, ReasonConsecutive},
		{"failures before slowness", all, Counts{Failures: 9, Slow: 9}, ReasonFailureRatio},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.config.verdict(tt.counts); got != tt.want {
				t.Errorf("verdict of %+v = %q, want %q", tt.counts, got, tt.want)
			}
		})
	}
}

func TestCooldown(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	var (
		exact   = Config{Cooldown: time.Second, MaxCooldown: 5 * time.Second}
		jitter  = Config{Cooldown: time.Second, MaxCooldown: 5 * time.Second, Jitter: 0.2}
		all     = Config{Cooldown: time.Second, MaxCooldown: 5 * time.Second, Jitter: 1}
		honours = Config{Cooldown: time.Second, MaxCooldown: 5 * time.Second, HonorRetryAfter: true}
		longest = Config{Cooldown: forever, MaxCooldown: forever, Jitter: 1}
	)
	const almost1 = 1 - 0x1p-53 // the greatest that rand.Float64 returns
	tests := []struct {
		name       string
		config     Config
		n          int
		retryAfter time.Duration
		random     float64
		want       time.Duration
	}{
		{"first", exact, 0, 0, 0, 1 * time.Second},
		{"second", exact, 1, 0, 0, 2 * time.Second},
		{"third", exact, 2, 0, 0, 4 * time.Second},
		{"bounded", exact, 3, 0, 0, 5 * time.Second},
		{"many", exact, math.MaxInt, 0, 0, 5 * time.Second},
		{"doubling overflows", Config{Cooldown: forever/2 + 2, MaxCooldown: forever}, 1, 0, 0, forever},
		{"never grows", Config{Cooldown: time.Second, MaxCooldown: time.Second}, 9, 0, 0, time.Second},

		{"shortest", jitter, 0, 0, 0, 800 * time.Millisecond},
		{"middle", jitter, 0, 0, 0.5, time.Second},
		{"longest", jitter, 0, 0, almost1, 1200*time.Millisecond - 1},
		{"shortest of the third", jitter, 2, 0, 0, 3200 * time.Millisecond},
		{"longest of the third", jitter, 2, 0, almost1, 4800*time.Millisecond - 1},
		{"shortest of the longest", jitter, 3, 0, 0, 4 * time.Second},
		{"bounded with jitter, middle", jitter, 3, 0, 0.5, 4500 * time.Millisecond},
		{"bounded with jitter", jitter, 3, 0, almost1, 5*time.Second - 1},
		{"all of it is jitter", all, 0, 0, 0, time.Millisecond},
		{"jitter does not overflow", longest, 0, 0, almost1, forever - 1023}, // the float64 before 2⁶³
		{"jitter too small for a float64", Config{Cooldown: forever, MaxCooldown: forever, Jitter: 1e-20}, 0, 0, 0.5, forever},
		{"jitter of what can't grow", longest, 0, 0, 0, time.Millisecond},

		{"server asks, nobody listens", exact, 0, 3 * time.Second, 0, time.Second},
		{"server asks for longer", honours, 0, 3 * time.Second, 0, 3 * time.Second},
		{"server asks for less", honours, 2, 3 * time.Second, 0, 4 * time.Second},
		{"server asks for too long", honours, 0, time.Hour, 0, 5 * time.Second},
		{"server asks for nothing", honours, 0, 0, 0, time.Second},
		{"server is confused", honours, 0, -time.Hour, 0, time.Second},

		{"too short for gobreaker", Config{Cooldown: 1, MaxCooldown: time.Minute}, 0, 0, 0, time.Millisecond},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.config.cooldown(tt.n, tt.retryAfter, tt.random)
			if diff := got - tt.want; diff < -1 || diff > 1 { // floating point
				t.Errorf("cooldown(%d, %v, %v) = %v, want %v", tt.n, tt.retryAfter, tt.random, got, tt.want)
			}
		})
	}
}

// TestCooldown_Spread holds that the whole range is used, evenly.
func TestCooldown_Spread(t *testing.T) {
	for n, want := range [][2]float64{{0.8, 1.2}, {1.6, 2.4}, {3.2, 4.8}, {4, 5}} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			config := Config{Cooldown: time.Second, MaxCooldown: 5 * time.Second, Jitter: 0.2}
			const draws = 1000
			for i := range draws {
				random := float64(i) / draws
				got := config.cooldown(n, 0, random)
				exact := time.Duration((want[0] + random*(want[1]-want[0])) * float64(time.Second))
				if diff := got - exact; diff < -1 || diff > 1 {
					t.Fatalf("cooldown(%d, 0, %v) = %v, want %v", n, random, got, exact)
				}
			}
		})
	}
}
