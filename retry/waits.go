package retry

import (
	"math"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/redoubt-go/redoubt/internal/explain"
)

// What the waits of a call come to is worked out here from the sequences'
// bounds, not from draws.

// longSequence is after how many waits a sequence is taken to stay as it is: by
// then a doubled nanosecond has outgrown every Duration.
const longSequence = 64

// waits returns what all waits of a call that uses up its attempts come to: at
// least, at most, and at most if every error asks for a longer wait than p's
// own.
func (p *Policy) waits() (least, most, asked time.Duration) {
	n := p.maxAttempts() - 1
	if n <= 0 {
		return 0, 0, 0
	}
	demanded := lengthen(max(p.maxRetryAfter(), 0), retryAfterJitter)
	bounds := p.waitBounds()
	if bounds == nil {
		return 0, explain.Unbounded, explain.Unbounded
	}
	for i := range min(n, longSequence) {
		times := 1
		low, high := bounds(i)
		if i == longSequence-1 {
			times = n - i
			lastLow, lastHigh := bounds(n - 1)
			low, high = min(low, lastLow), max(high, lastHigh)
		}
		unhurried := high
		if p.Backoff == nil { // what a dependency that is Throttled makes of it
			high = throttleFactor * min(high, DefaultCap/throttleFactor)
		}
		high = max(high, unhurried+min(p.restartWait(), math.MaxInt64-unhurried)) // what one that is Unreached makes of it
		least = plus(least, low, times)
		most = plus(most, high, times)
		asked = plus(asked, max(high, demanded), times)
	}
	return least, most, asked
}

// plus returns sum + times·d, but no more than a Duration holds.
func plus(sum, d time.Duration, times int) time.Duration {
	if d > 0 && time.Duration(times) > (math.MaxInt64-sum)/d {
		return math.MaxInt64
	}
	return sum + time.Duration(times)*d
}

// waitBounds returns a function that tells the bounds of the n-th wait, from 0,
// or nil if the sequence is not one whose bounds are known.
func (p *Policy) waitBounds() func(n int) (low, high time.Duration) {
	if p.Backoff == nil {
		return boundsOf(FullJitter(0, 0)())
	}
	return boundsOf(p.Backoff())
}

func boundsOf(waits backoff.BackOff) func(n int) (low, high time.Duration) {
	switch waits := waits.(type) {
	case *jittered:
		inner := boundsOf(&waits.ExponentialBackOff)
		return func(n int) (low, high time.Duration) {
			low, high = inner(n)
			return waits.spread(low, 0), waits.spread(high, 1)
		}
	case *decorrelated:
		return func(n int) (low, high time.Duration) {
			return waits.base, min(grown(waits.base, 3, n+1), waits.limit)
		}
	case *backoff.ExponentialBackOff:
		if waits == nil || waits.InitialInterval < 0 || waits.MaxInterval < 0 || waits.Multiplier < 0 {
			return nil
		}
		return func(n int) (low, high time.Duration) {
			v := float64(min(grown(waits.InitialInterval, waits.Multiplier, n), waits.MaxInterval))
			spread := min(max(waits.RandomizationFactor, 0), 1)
			return time.Duration(v * (1 - spread)), rounded(v * (1 + spread))
		}
	case *backoff.ConstantBackOff:
		return func(int) (low, high time.Duration) { d := max(waits.Interval, 0); return d, d }
	case *backoff.ZeroBackOff, *backoff.StopBackOff:
		return func(int) (low, high time.Duration) { return 0, 0 }
	default:
		return nil
	}
}

// grown returns base·factorⁿ.
func grown(base time.Duration, factor float64, n int) time.Duration {
	return rounded(float64(base) * math.Pow(factor, float64(n)))
}

// rounded returns f, but no more than a Duration holds.
func rounded(f float64) time.Duration {
	if f >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(f)
}
