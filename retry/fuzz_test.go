package retry

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Whatever the arguments, the waits are neither negative nor longer than the
// limit that was meant.
func FuzzSequences(f *testing.F) {
	f.Add(int64(100*time.Millisecond), int64(20*time.Second), uint8(10))
	f.Add(int64(0), int64(0), uint8(100))
	f.Add(int64(-1), int64(math.MinInt64), uint8(3))
	f.Add(int64(1), int64(math.MaxInt64), uint8(70))
	f.Add(int64(math.MaxInt64), int64(1), uint8(3))
	f.Fuzz(func(t *testing.T, base, limit int64, steps uint8) {
		b, l := time.Duration(base), time.Duration(limit)
		meant := l
		if l <= 0 {
			meant = DefaultCap
		}
		if b <= 0 {
			meant = max(meant, DefaultBase)
		} else {
			meant = max(meant, b)
		}
		for name, waits := range map[string]backoff.BackOff{
			"Exponential":  Exponential(b, l)(),
			"FullJitter":   FullJitter(b, l)(),
			"EqualJitter":  EqualJitter(b, l)(),
			"Decorrelated": Decorrelated(b, l)(),
		} {
			for n := range steps {
				if got := waits.NextBackOff(); got < 0 || got > meant {
					t.Fatalf("%s(%v, %v): wait %d is %v, want from 0 to %v", name, b, l, n+1, got, meant)
				}
			}
		}
		if got := Constant(b)().NextBackOff(); got != max(b, 0) {
			t.Fatalf("Constant(%v) waits %v", b, got)
		}
	})
}

// Whatever the durations, there is no negative wait, none into the deadline,
// and none shorter than the server demands or the policy wants.
func FuzzPolicy_schedule(f *testing.F) {
	const max64 = int64(math.MaxInt64)
	f.Add(int64(time.Second), int64(time.Minute), int64(5*time.Second), int64(time.Minute), .5, true, false, false)
	f.Add(int64(time.Second), max64, max64, max64, .999, true, false, false)
	f.Add(int64(0), int64(0), int64(0), int64(0), 0., false, true, false)
	f.Add(int64(-1), max64, int64(1), max64, .1, true, true, false)
	f.Add(int64(DefaultCap), max64, int64(1), max64, .1, true, false, true)
	f.Fuzz(func(t *testing.T, own, left, after, maxAfter int64, random float64, known, refused, throttled bool) {
		if !(random >= 0 && random < 1) || maxAfter < 0 {
			return // there is no such input
		}
		var errs []error
		if known {
			errs = append(errs, retryAfterError(after))
		}
		errs = append(errs, rejectedError(refused), throttledError(throttled))
		if throttled {
			own = min(own, int64(DefaultCap)) // as the default backoff has it
		}
		p := Policy{MaxRetryAfter: time.Duration(maxAfter)}
		got := p.schedule(errors.Join(errs...), time.Duration(own), time.Duration(left), random)
		if got.stop != "" {
			if got != (step{stop: got.stop}) {
				t.Errorf("%+v: stops, and then?", got)
			}
			return
		}
		switch wait := int64(got.wait); {
		case wait < 0, wait < own:
			t.Errorf("%+v: shorter than %d", got, own)
		case wait >= left:
			t.Errorf("%+v: not before the deadline in %d", got, left)
		case known && wait < after:
			t.Errorf("%+v: shorter than %d, which the server demands", got, after)
		case known && after > int64(p.maxRetryAfter()):
			t.Errorf("%+v: waits although the server demands more than %v", got, p.maxRetryAfter())
		case got.paid == refused:
			t.Errorf("%+v: refused is %t", got, refused)
		}
	})
}
