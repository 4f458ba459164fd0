package retry

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
)

var errBoom = errors.New("boom")

// Errors with something to say. Joined, they say several things.
type (
	retryableError  bool
	rejectedError   bool
	retryAfterError time.Duration
	throttledError  bool
	unreachedError  bool
	someDayError    struct{}
)

func (e retryableError) Error() string   { return fmt.Sprintf("retryable: %t", bool(e)) }
func (e retryableError) Retryable() bool { return bool(e) }

func (e rejectedError) Error() string  { return fmt.Sprintf("rejected: %t", bool(e)) }
func (e rejectedError) Rejected() bool { return bool(e) }

func (e retryAfterError) Error() string                     { return "retry after " + time.Duration(e).String() }
func (e retryAfterError) RetryAfter() (time.Duration, bool) { return time.Duration(e), true }

func (e throttledError) Error() string   { return fmt.Sprintf("throttled: %t", bool(e)) }
func (e throttledError) Throttled() bool { return bool(e) }

func (e unreachedError) Error() string   { return fmt.Sprintf("unreached: %t", bool(e)) }
func (e unreachedError) Unreached() bool { return bool(e) }

func (someDayError) Error() string                     { return "retry some day" }
func (someDayError) RetryAfter() (time.Duration, bool) { return time.Hour, false }

func TestPolicy_verdict(t *testing.T) {
	tests := []struct {
		name    string
		policy  Policy
		ctxErr  error
		err     error
		attempt int
		want    Stop
	}{
		{"first of three", Policy{}, nil, errBoom, 1, ""},
		{"second of three", Policy{}, nil, errBoom, 2, ""},
		{"third of three", Policy{}, nil, errBoom, 3, StopAttempts},
		{"one attempt", Policy{MaxAttempts: 1}, nil, errBoom, 1, StopAttempts},
		{"fourth of five", Policy{MaxAttempts: 5}, nil, errBoom, 4, ""},
		{"fifth of five", Policy{MaxAttempts: 5}, nil, errBoom, 5, StopAttempts},
		{"permanent", Policy{}, nil, Permanent(errBoom), 1, StopPermanent},
		{"permanent before attempts", Policy{}, nil, Permanent(errBoom), 3, StopPermanent},
		{"cancelled", Policy{}, context.Canceled, errBoom, 1, StopCancelled},
		{"deadline passed", Policy{}, context.DeadlineExceeded, errBoom, 1, StopCancelled},
		{"cancelled before permanent", Policy{}, context.Canceled, Permanent(errBoom), 1, StopCancelled},
		{"cancelled before attempts", Policy{}, context.Canceled, errBoom, 3, StopCancelled},
		{"an error that looks cancelled", Policy{}, nil, context.Canceled, 1, ""},
		{"an error that looks late", Policy{}, nil, context.DeadlineExceeded, 1, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.policy.verdict(tt.ctxErr, tt.err, tt.attempt); got != tt.want {
				t.Errorf("verdict = %q, want %q", got, tt.want)
			}
		})
	}
}

func TestPolicy_retryable(t *testing.T) {
	yes, no := retryableError(true), retryableError(false)
	tests := []struct {
		name string
		err  error
		want bool
	}{
		{"says nothing", errBoom, true},
		{"says yes", yes, true},
		{"says no", no, false},
		{"no, wrapped", fmt.Errorf("GET /x: %w", no), false},
		{"no, joined to one that says nothing", errors.Join(errBoom, no), false},
		{"yes before no: the first to speak is heard", errors.Join(yes, no), true},
		{"no before yes", errors.Join(no, yes), false},
		{"Permanent", Permanent(errBoom), false},
		{"Permanent, wrapped", fmt.Errorf("GET /x: %w", Permanent(errBoom)), false},
		{"Permanent around yes", Permanent(yes), false},
		{"Permanent beside yes", errors.Join(yes, Permanent(errBoom)), false},
		{"backoff.Permanent", backoff.Permanent(errBoom), false},
		{"backoff.Permanent, wrapped", fmt.Errorf("GET /x: %w", backoff.Permanent(errBoom)), false},
		{"backoff.Permanent around yes", backoff.Permanent(yes), false},
		{"backoff.Permanent beside yes", errors.Join(yes, backoff.Permanent(errBoom)), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := (&Policy{}).retryable(tt.err); got != tt.want {
				t.Errorf("retryable = %t, want %t", got, tt.want)
			}

			// The policy's own opinion can only forbid.
			asked := false
			opinion := func(answer bool) *Policy {
				return &Policy{Retryable: func(err error) bool {
					asked = true
					if err.Error() != tt.err.Error() {
						t.Errorf("Retryable was asked about %q, want %q", err, tt.err)
					}
					return answer
				}}
			}
			if got := opinion(true).retryable(tt.err); got != tt.want {
				t.Errorf("retryable with Retryable true = %t, want %t", got, tt.want)
			}
			if asked != tt.want {
				t.Errorf("Retryable was asked: %t, want %t", asked, tt.want)
			}
			if opinion(false).retryable(tt.err) {
				t.Error("retryable with Retryable false = true, want false")
			}
		})
	}
}

func TestPolicy_schedule(t *testing.T) {
	const (
		s     = time.Second
		ever  = noDeadline
		limit = 10 * s // of MaxRetryAfter
	)
	refused := rejectedError(true)
	refusedFor := func(d time.Duration) error { return errors.Join(refused, retryAfterError(d)) }
	tests := []struct {
		name   string
		err    error
		own    time.Duration
		left   time.Duration
		random float64
		want   step
	}{
		{"own wait", errBoom, s, ever, .5, step{wait: s, source: fromBackoff, paid: true}},
		{"no wait", errBoom, 0, ever, .5, step{wait: 0, source: fromBackoff, paid: true}},
		{"own wait is not bounded by MaxRetryAfter", errBoom, 2 * limit, ever, .5, step{wait: 2 * limit, source: fromBackoff, paid: true}},

		// The sequence is at its end.
		{"backoff.Stop", errBoom, backoff.Stop, ever, .5, step{stop: StopAttempts}},
		{"any negative wait", errBoom, -s, ever, .5, step{stop: StopAttempts}},
		{"end before refusal", refused, backoff.Stop, ever, .5, step{stop: StopAttempts}},
		{"end before retry_after", retryAfterError(2 * limit), backoff.Stop, ever, .5, step{stop: StopAttempts}},
		{"end before deadline", errBoom, backoff.Stop, 0, .5, step{stop: StopAttempts}},

		// The server says when.
		{"later than own wait", retryAfterError(4 * s), s, ever, 0, step{wait: 4 * s, source: fromRetryAfter, paid: true}},
		{"later, jittered upward", retryAfterError(4 * s), s, ever, .5, step{wait: 4200 * time.Millisecond, source: fromRetryAfter, paid: true}},
		{"later by jitter alone", retryAfterError(4 * s), 4100 * time.Millisecond, ever, .5, step{wait: 4200 * time.Millisecond, source: fromRetryAfter, paid: true}},
		{"sooner than own wait", retryAfterError(s), 4 * s, ever, .5, step{wait: 4 * s, source: fromBackoff, paid: true}},
		{"wrapped", fmt.Errorf("GET: %w", retryAfterError(4*s)), s, ever, 0, step{wait: 4 * s, source: fromRetryAfter, paid: true}},
		{"at once", retryAfterError(0), s, ever, .5, step{wait: s, source: fromBackoff, paid: true}},
		{"in the past", retryAfterError(-4 * s), s, ever, .5, step{wait: s, source: fromBackoff, paid: true}},
		{"unknown", someDayError{}, s, ever, .5, step{wait: s, source: fromBackoff, paid: true}},
		{"the first to speak is heard", errors.Join(retryAfterError(4*s), retryAfterError(8*s)), s, ever, 0, step{wait: 4 * s, source: fromRetryAfter, paid: true}},
		{"at MaxRetryAfter", retryAfterError(limit), s, ever, .5, step{wait: limit + limit/20, source: fromRetryAfter, paid: true}},
		{"beyond MaxRetryAfter", retryAfterError(limit + 1), s, ever, .5, step{stop: StopRetryAfter}},
		{"beyond MaxRetryAfter, own wait even longer", retryAfterError(limit + 1), 2 * limit, ever, .5, step{stop: StopRetryAfter}},
		{"beyond MaxRetryAfter before deadline", retryAfterError(limit + 1), s, s, .5, step{stop: StopRetryAfter}},

		// The deadline.
		{"just in time", errBoom, s, s + 1, .5, step{wait: s, source: fromBackoff, paid: true}},
		{"at the deadline", errBoom, s, s, .5, step{stop: StopDeadline}},
		{"after the deadline", errBoom, s, s - 1, .5, step{stop: StopDeadline}},
		{"no wait, some time left", errBoom, 0, 1, .5, step{wait: 0, source: fromBackoff, paid: true}},
		{"no wait, no time left", errBoom, 0, 0, .5, step{stop: StopDeadline}},
		{"deadline has passed", errBoom, 0, -s, .5, step{stop: StopDeadline}},
		{"server sends away beyond the deadline", retryAfterError(4 * s), s, 4 * s, 0, step{stop: StopDeadline}},
		{"server sends away just before the deadline", retryAfterError(4 * s), s, 4*s + 1, 0, step{wait: 4 * s, source: fromRetryAfter, paid: true}},
		{"jitter does not reach the deadline", retryAfterError(4 * s), s, 4200 * time.Millisecond, .5, step{wait: 4050 * time.Millisecond, source: fromRetryAfter, paid: true}},
		{"jitter has no room", retryAfterError(4 * s), s, 4*s + 1, .999, step{wait: 4 * s, source: fromRetryAfter, paid: true}},
		{"jitter has room enough", retryAfterError(4 * s), s, 5 * s, .5, step{wait: 4200 * time.Millisecond, source: fromRetryAfter, paid: true}},

		// A layer further in refused.
		{"refused", refused, s, ever, .5, step{stop: StopPermanent}},
		{"refused for a known time", refusedFor(4 * s), s, ever, .5, step{stop: StopPermanent}},
		{"refused under a deadline", refused, s, 2 * s, .5, step{wait: s, source: fromBackoff}},
		{"refused for a known time under a deadline", refusedFor(4 * s), s, 5 * s, 0, step{wait: 4 * s, source: fromRetryAfter}},
		{"refused until after the deadline", refusedFor(4 * s), s, 3 * s, 0, step{stop: StopDeadline}},
		{"refused for too long", refusedFor(limit + 1), s, 5 * s, 0, step{stop: StopRetryAfter}},
		{"refused, wrapped", fmt.Errorf("billing: %w", refused), s, ever, .5, step{stop: StopPermanent}},
		{"not refused", rejectedError(false), s, ever, .5, step{wait: s, source: fromBackoff, paid: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := Policy{MaxRetryAfter: limit}
			if got := p.schedule(tt.err, tt.own, tt.left, tt.random); got != tt.want {
				t.Errorf("schedule = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// A dependency that has too much to do gets ten times as long from the default
// backoff. A sequence of the user's own is left as it is.
func TestPolicy_schedule_Throttled(t *testing.T) {
	const ms = time.Millisecond
	byDefault, own := Policy{}, Policy{Backoff: Constant(0)}
	throttled := throttledError(true)
	tests := []struct {
		name   string
		policy Policy
		err    error
		own    time.Duration
		want   time.Duration
		source string
	}{
		{"default", byDefault, throttled, 100 * ms, time.Second, fromBackoff},
		{"wrapped", byDefault, fmt.Errorf("GET: %w", throttled), 100 * ms, time.Second, fromBackoff},
		{"up to the cap", byDefault, throttled, DefaultCap / 10, DefaultCap, fromBackoff},
		{"no more than the cap", byDefault, throttled, DefaultCap/10 + 1, DefaultCap, fromBackoff},
		{"the cap itself", byDefault, throttled, DefaultCap, DefaultCap, fromBackoff},
		{"own sequence", own, throttled, 100 * ms, 100 * ms, fromBackoff},
		{"not throttled", byDefault, throttledError(false), 100 * ms, 100 * ms, fromBackoff},
		{"says nothing", byDefault, errBoom, 100 * ms, 100 * ms, fromBackoff},
		{"sooner than the server demands", byDefault, errors.Join(throttled, retryAfterError(2*time.Second)), 100 * ms, 2 * time.Second, fromRetryAfter},
		{"later than the server demands", byDefault, errors.Join(throttled, retryAfterError(500*ms)), 100 * ms, time.Second, fromBackoff},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := step{wait: tt.want, source: tt.source, paid: true}
			if got := tt.policy.schedule(tt.err, tt.own, noDeadline, 0); got != want {
				t.Errorf("schedule = %+v, want %+v", got, want)
			}
		})
	}
}

// A process that is being restarted gets time to come back, and costs no budget.
// A sequence of the user's own is left as it is, unless the policy says otherwise.
func TestPolicy_schedule_Unreached(t *testing.T) {
	const ms = time.Millisecond
	byDefault, own := Policy{}, Policy{Backoff: Constant(0)}
	patient, patientOwn := Policy{RestartWait: time.Second}, Policy{RestartWait: time.Second, Backoff: Constant(0)}
	unreached := unreachedError(true)
	tests := []struct {
		name   string
		policy Policy
		err    error
		left   time.Duration
		want   step
	}{
		{"default", byDefault, unreached, noDeadline, step{wait: 300 * ms, source: fromBackoff}},
		{"wrapped", byDefault, fmt.Errorf("GET: %w", unreached), noDeadline, step{wait: 300 * ms, source: fromBackoff}},
		{"own sequence", own, unreached, noDeadline, step{wait: 100 * ms, source: fromBackoff}},
		{"given", patient, unreached, noDeadline, step{wait: 1100 * ms, source: fromBackoff}},
		{"given, own sequence", patientOwn, unreached, noDeadline, step{wait: 1100 * ms, source: fromBackoff}},
		{"half of what is left", byDefault, unreached, 200 * ms, step{wait: 150 * ms, source: fromBackoff}},
		{"a nanosecond is left", byDefault, unreached, 100*ms + 1, step{wait: 100 * ms, source: fromBackoff}},
		{"nothing is left", byDefault, unreached, 100 * ms, step{stop: StopDeadline}},
		{"sooner than the server demands", byDefault, errors.Join(unreached, retryAfterError(time.Second)), noDeadline, step{wait: time.Second, source: fromRetryAfter}},
		{"not unreached", byDefault, unreachedError(false), noDeadline, step{wait: 100 * ms, source: fromBackoff, paid: true}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.policy.schedule(tt.err, 100*ms, tt.left, 0); got != tt.want {
				t.Errorf("schedule = %+v, want %+v", got, tt.want)
			}
		})
	}
	forever := Policy{RestartWait: math.MaxInt64}
	if got := forever.schedule(unreached, math.MaxInt64/2, noDeadline, 0); got.wait < math.MaxInt64/2 {
		t.Errorf("overflow: %+v", got)
	}
}

func TestPolicy_schedule_Overflow(t *testing.T) {
	const forever = time.Duration(math.MaxInt64)
	p := Policy{MaxRetryAfter: forever}
	for _, after := range []time.Duration{forever, forever - 1, forever / 2, forever / 11 * 10} {
		for _, random := range []float64{0, .5, math.Nextafter(1, 0)} {
			got := p.schedule(retryAfterError(after), time.Second, noDeadline, random)
			if got.stop == "" && got.wait < after {
				t.Errorf("RetryAfter %v, random %v: wait is %v", after, random, got.wait)
			}
			got = p.schedule(retryAfterError(after), time.Second, time.Hour, random)
			if got.stop != StopDeadline {
				t.Errorf("RetryAfter %v, random %v, an hour left: %+v, want stop %q", after, random, got, StopDeadline)
			}
		}
	}
}

func TestPolicy_schedule_DefaultMaxRetryAfter(t *testing.T) {
	if got := (&Policy{}).schedule(retryAfterError(time.Minute), 0, noDeadline, 0); got.wait != time.Minute {
		t.Errorf("RetryAfter 1m: %+v, want a wait of 1m", got)
	}
	if got := (&Policy{}).schedule(retryAfterError(time.Minute+1), 0, noDeadline, 0); got.stop != StopRetryAfter {
		t.Errorf("RetryAfter 1m and 1ns: %+v, want stop %q", got, StopRetryAfter)
	}
}

// Whatever a server demands, the wait is not shorter than the policy's own, not
// shorter than what was demanded, and longer than that by a tenth at most.
func TestPolicy_schedule_RetryAfterOnlyLengthens(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	duration := func() time.Duration { return time.Duration(rnd.Int64() >> rnd.IntN(63)) } // of any magnitude
	waits := map[string]int{}
	for range 100_000 {
		p := Policy{MaxRetryAfter: duration()}
		own, after, left := duration(), duration(), duration()
		got := p.schedule(retryAfterError(after), own, left, rnd.Float64())
		if got.stop != "" {
			waits[string(got.stop)]++
			continue
		}
		waits[got.source]++
		switch {
		case got.wait < own, got.wait < after, got.wait >= left:
			t.Fatalf("own %v, RetryAfter %v, left %v: waits %v", own, after, left, got.wait)
		case got.wait > own && got.wait-after > after/10+1:
			t.Fatalf("own %v, RetryAfter %v: waits %v, which is too long", own, after, got.wait)
		case (got.source == fromBackoff) != (got.wait == own):
			t.Fatalf("own %v, RetryAfter %v: waits %v and says that this is from %s", own, after, got.wait, got.source)
		}
	}
	for _, kind := range []string{fromBackoff, fromRetryAfter, string(StopDeadline), string(StopRetryAfter)} {
		if waits[kind] < 1000 {
			t.Errorf("%s occurred %d times, want 1000 at least", kind, waits[kind])
		}
	}
}
