package faults

import (
	"math"
	"time"
)

// A Latency says how long something takes. random is in [0, 1) and drawn for
// each use; elapsed, in [0, 1), is how much of its fault's window has passed,
// and 0 if that never ends. It must be a pure function.
type Latency func(random, elapsed float64) time.Duration

// Constant always takes d.
func Constant(d time.Duration) Latency {
	return func(_, _ float64) time.Duration { return d }
}

// Uniform takes any time from low to high.
func Uniform(low, high time.Duration) Latency {
	return func(random, _ float64) time.Duration {
		return low + time.Duration(random*float64(high-low))
	}
}

// Exponential takes mean on average, often less and sometimes much more.
func Exponential(mean time.Duration) Latency {
	return func(random, _ float64) time.Duration {
		return time.Duration(-math.Log1p(-random) * float64(mean))
	}
}

// LogNormal is the usual shape of service times: half take longer than median,
// and sigma says how long the tail is (0.3 is tame, 1 is wild).
func LogNormal(median time.Duration, sigma float64) Latency {
	return func(random, _ float64) time.Duration {
		normal := math.Sqrt2 * math.Erfinv(2*min(max(random, 1e-12), 1-1e-12)-1)
		return time.Duration(float64(median) * math.Exp(sigma*normal))
	}
}

// Ramp goes evenly from one time to another while its window passes. Outside of
// a window that ends it takes from.
func Ramp(from, to time.Duration) Latency {
	return func(_, elapsed float64) time.Duration {
		return from + time.Duration(elapsed*float64(to-from))
	}
}

// Draw returns a number in [0, 1) that depends on its arguments and on
// nothing else. Numbers of different arguments are as good as independent.
func Draw(seed uint64, numbers ...uint64) float64 {
	h := mix(seed)
	for _, n := range numbers {
		h = mix(h ^ mix(n+0x9e3779b97f4a7c15))
	}
	return float64(h>>11) / (1 << 53)
}

// mix is the finalizer of SplitMix64.
//
// Source: G. Steele, D. Lea, C. Flood, "Fast Splittable Pseudorandom Number
// Generators", OOPSLA 2014.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

// hashString makes a number of a name, by FNV-1a.
func hashString(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h
}
