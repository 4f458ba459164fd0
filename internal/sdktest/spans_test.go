package sdktest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/telemetry"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

var errDown = errors.New("down")

// TestSpans holds what stands in the spans of a call, for everything that can
// befall it.
func TestSpans(t *testing.T) {
	everySecond := retry.Constant(time.Second)
	tests := []struct {
		name string
		run  func(t *testing.T, s *sdk)
		want string
	}{
		{
			name: "success",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), timeout.Limit(time.Minute), retry.Policy{}}, succeed)
			},
			want: `
				#1 redoubt billing internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   #2 attempt billing internal unset 0s-0s
				      redoubt.attempt=1 redoubt.name=billing
			`,
		},
		{
			name: "a rescued call has no error",
			run: func(t *testing.T, s *sdk) {
				// A server's demand gets jitter, but not one of nanoseconds.
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{Backoff: waits(time.Second, 0)}},
					script(unavailable{}, unavailable{after: 5 * time.Nanosecond}))
			},
			want: `
				#1 redoubt billing internal unset 0s-1.000000005s
				   redoubt.attempts=3 redoubt.name=billing redoubt.outcome=success
				   event redoubt.retry at 0s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=503
				   event redoubt.retry at 1s: redoubt.retry.delay=5e-09 redoubt.retry.delay_source=retry_after redoubt.retry.reason=503
				   #2 attempt billing internal error(503 Service Unavailable) 0s-0s
				      error.type=503 redoubt.attempt=1 redoubt.name=billing
				   #3 attempt billing internal error(503 Service Unavailable) 1s-1s
				      error.type=503 redoubt.attempt=2 redoubt.name=billing
				      link to #2
				   #4 attempt billing internal unset 1.000000005s-1.000000005s
				      redoubt.attempt=3 redoubt.name=billing
				      link to #3
			`,
		},
		{
			name: "attempts used up",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{MaxAttempts: 2, Backoff: everySecond}},
					script(errDown, unavailable{}))
			},
			want: `
				#1 redoubt billing internal error(retry: gave up after 2 attempts: 503 Service Unavailable) 0s-1s
				   error.type=503 redoubt.attempts=2 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=attempts
				   event redoubt.retry at 0s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				   #3 attempt billing internal error(503 Service Unavailable) 1s-1s
				      error.type=503 redoubt.attempt=2 redoubt.name=billing
				      link to #2
			`,
		},
		{
			name: "permanent",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{}}, script(retry.Permanent(errDown)))
			},
			want: `
				#1 redoubt billing internal error(down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=permanent
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
			`,
		},
		{
			name: "budget empty",
			run: func(t *testing.T, s *sdk) {
				budget := retry.NewBudget(retry.BudgetConfig{Burst: 1, MinPerSecond: retry.NoFloor})
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{Backoff: everySecond, Budget: budget}},
					script(errDown, errDown))
			},
			want: `
				#1 redoubt billing internal error(retry: gave up after 2 attempts (retry budget is empty): down) 0s-1s
				   error.type=_OTHER redoubt.attempts=2 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=budget
				   event redoubt.retry at 0s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				   #3 attempt billing internal error(down) 1s-1s
				      error.type=_OTHER redoubt.attempt=2 redoubt.name=billing
				      link to #2
				   #4 redoubt short-circuit internal error(retry: gave up after 2 attempts (retry budget is empty): down) 1s-1s
				      error.type=budget redoubt.layer=retry redoubt.reason=budget
				      link to #3
			`,
		},
		{
			name: "deadline too near",
			run: func(t *testing.T, s *sdk) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				do(ctx, redoubt.Stack{s.telemetry("billing"), retry.Policy{Backoff: everySecond}}, script(errDown))
			},
			want: `
				#1 redoubt billing internal error(retry: gave up after 1 attempt (deadline is too near): down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=deadline
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				   #3 redoubt short-circuit internal error(retry: gave up after 1 attempt (deadline is too near): down) 0s-0s
				      error.type=deadline redoubt.layer=retry redoubt.reason=deadline
				      link to #2
			`,
		},
		{
			name: "must wait too long",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{}}, script(unavailable{after: time.Hour}))
			},
			want: `
				#1 redoubt billing internal error(retry: gave up after 1 attempt (must wait too long): 503 Service Unavailable) 0s-0s
				   error.type=503 redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=retry_after
				   #2 attempt billing internal error(503 Service Unavailable) 0s-0s
				      error.type=503 redoubt.attempt=1 redoubt.name=billing
				   #3 redoubt short-circuit internal error(retry: gave up after 1 attempt (must wait too long): 503 Service Unavailable) 0s-0s
				      error.type=retry_after redoubt.layer=retry redoubt.reason=retry_after
				      link to #2
			`,
		},
		{
			name: "cancelled by the caller during an attempt",
			run: func(t *testing.T, s *sdk) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				do(ctx, redoubt.Stack{s.telemetry("billing"), retry.Policy{}}, hang)
			},
			want: `
				#1 redoubt billing internal unset 0s-1s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=cancelled redoubt.retry.stop_reason=cancelled
				   #2 attempt billing internal unset 0s-1s
				      redoubt.attempt=1 redoubt.name=billing
			`,
		},
		{
			name: "cancelled by the caller during a wait",
			run: func(t *testing.T, s *sdk) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				do(ctx, redoubt.Stack{s.telemetry("billing"), retry.Policy{Backoff: retry.Constant(time.Minute)}}, script(errDown))
			},
			want: `
				#1 redoubt billing internal unset 0s-1s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=cancelled redoubt.retry.stop_reason=cancelled
				   event redoubt.retry at 0s: redoubt.retry.delay=60 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
			`,
		},
		{
			name: "cancelled by the caller before the first attempt",
			run: func(t *testing.T, s *sdk) {
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				do(ctx, redoubt.Stack{s.telemetry("billing"), retry.Policy{}}, succeed)
			},
			want: `
				#1 redoubt billing internal unset 0s-0s
				   redoubt.attempts=0 redoubt.name=billing redoubt.outcome=cancelled redoubt.retry.stop_reason=cancelled
			`,
		},
		{
			name: "cancelled by the callee is a failure",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing")}, script(context.Canceled))
			},
			want: `
				#1 redoubt billing internal error(context canceled) 0s-0s
				   error.type=cancelled redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   #2 attempt billing internal error(context canceled) 0s-0s
				      error.type=cancelled redoubt.attempt=1 redoubt.name=billing
			`,
		},
		{
			name: "caller's deadline",
			run: func(t *testing.T, s *sdk) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				do(ctx, redoubt.Stack{s.telemetry("billing"), timeout.Limit(time.Minute)}, hang)
			},
			want: `
				#1 redoubt billing internal error(context deadline exceeded) 0s-1s
				   error.type=timeout redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   #2 attempt billing internal error(context deadline exceeded) 0s-1s
				      error.type=timeout redoubt.attempt=1 redoubt.name=billing
			`,
		},
		{
			name: "time limit of each attempt",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{
					s.telemetry("billing"),
					retry.Policy{MaxAttempts: 2, Backoff: everySecond},
					timeout.Limit(3 * time.Second),
				}, hang)
			},
			want: `
				#1 redoubt billing internal error(retry: gave up after 2 attempts: timeout: exceeded 3s) 0s-7s
				   error.type=timeout redoubt.attempts=2 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=attempts
				   event redoubt.timeout at 3s: redoubt.limit=3
				   event redoubt.retry at 3s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=timeout
				   event redoubt.timeout at 7s: redoubt.limit=3
				   #2 attempt billing internal error(context deadline exceeded) 0s-3s
				      error.type=timeout redoubt.attempt=1 redoubt.name=billing
				   #3 attempt billing internal error(context deadline exceeded) 4s-7s
				      error.type=timeout redoubt.attempt=2 redoubt.name=billing
				      link to #2
			`,
		},
		{
			name: "time limit of the whole call",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{
					s.telemetry("billing"),
					timeout.Limit(3 * time.Second),
					retry.Policy{},
				}, hang)
			},
			want: `
				#1 redoubt billing internal error(retry: gave up after 1 attempt (time is up): timeout: exceeded 3s) 0s-3s
				   error.type=timeout redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=cancelled
				   event redoubt.timeout at 3s: redoubt.limit=3
				   #2 attempt billing internal error(context deadline exceeded) 0s-3s
				      error.type=timeout redoubt.attempt=1 redoubt.name=billing
			`,
		},
		{
			name: "a refusal links to the span that tripped the breaker",
			run: func(t *testing.T, s *sdk) {
				stack := redoubt.Stack{s.telemetry("billing"), twice(t, "billing")}
				do(t.Context(), stack, script(errDown))
				do(t.Context(), stack, script(unavailable{}))
				time.Sleep(time.Second)
				do(t.Context(), stack, succeed)
			},
			want: `
				#1 redoubt billing internal error(down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				#3 redoubt billing internal error(503 Service Unavailable) 0s-0s
				   error.type=503 redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   event redoubt.breaker.transition at 0s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=billing redoubt.reason=consecutive
				   #4 attempt billing internal error(503 Service Unavailable) 0s-0s
				      error.type=503 redoubt.attempt=1 redoubt.name=billing
				#5 redoubt billing internal error(breaker: billing is open (2 failures in a row), last: 503 Service Unavailable) 1s-1s
				   error.type=breaker_open redoubt.attempts=0 redoubt.name=billing redoubt.outcome=rejected
				   #6 redoubt short-circuit internal error(breaker: billing is open (2 failures in a row), last: 503 Service Unavailable) 1s-1s
				      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=billing redoubt.layer=breaker redoubt.reason=breaker_open redoubt.retry_after=4
				      link to #4
			`,
		},
		{
			name: "the very attempt trips the breaker",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{
					s.telemetry("billing"),
					retry.Policy{Backoff: everySecond},
					twice(t, "billing"),
				}, script(errDown, errDown))
			},
			want: `
				#1 redoubt billing internal error(retry: gave up after 3 attempts: breaker: billing is open (2 failures in a row), last: down) 0s-2s
				   error.type=breaker_open redoubt.attempts=2 redoubt.name=billing redoubt.outcome=rejected redoubt.retry.stop_reason=permanent
				   event redoubt.retry at 0s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   event redoubt.breaker.transition at 1s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=billing redoubt.reason=consecutive
				   event redoubt.retry at 1s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				   #3 attempt billing internal error(down) 1s-1s
				      error.type=_OTHER redoubt.attempt=2 redoubt.name=billing
				      link to #2
				   #4 redoubt short-circuit internal error(breaker: billing is open (2 failures in a row), last: down) 2s-2s
				      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=billing redoubt.layer=breaker redoubt.reason=breaker_open redoubt.retry_after=4
				      link to #3
			`,
		},
		{
			name: "a refusal is waited out",
			run: func(t *testing.T, s *sdk) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				br := twice(t, "billing", func(c *breaker.Config) { c.Cooldown = time.Second + time.Millisecond })
				// The breaker's demand gets jitter, unless our own wait is longer.
				do(ctx, redoubt.Stack{s.telemetry("billing"), retry.Policy{MaxAttempts: 4, Backoff: everySecond, AwaitRefusals: true}, br},
					script(errDown, errDown))
			},
			want: `
				#1 redoubt billing internal unset 0s-3s
				   redoubt.attempts=3 redoubt.name=billing redoubt.outcome=success
				   event redoubt.retry at 0s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   event redoubt.breaker.transition at 1s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=billing redoubt.reason=consecutive
				   event redoubt.retry at 1s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   event redoubt.retry at 2s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=breaker_open
				   event redoubt.breaker.transition at 3s: redoubt.breaker.from=open redoubt.breaker.generation=2 redoubt.breaker.to=half-open redoubt.layer.name=billing redoubt.reason=cooldown
				   event redoubt.breaker.transition at 3s: redoubt.breaker.from=half-open redoubt.breaker.generation=3 redoubt.breaker.to=closed redoubt.layer.name=billing redoubt.reason=probes_succeeded
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				   #3 attempt billing internal error(down) 1s-1s
				      error.type=_OTHER redoubt.attempt=2 redoubt.name=billing
				      link to #2
				   #4 redoubt short-circuit internal error(breaker: billing is open (2 failures in a row), last: down) 2s-2s
				      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=billing redoubt.layer=breaker redoubt.reason=breaker_open redoubt.retry_after=0.001
				      link to #3
				   #5 attempt billing internal unset 3s-3s
				      redoubt.attempt=3 redoubt.name=billing
				      link to #3
			`,
		},
		{
			name: "half-open is full",
			run: func(t *testing.T, s *sdk) {
				stack := redoubt.Stack{s.telemetry("billing"), twice(t, "billing")}
				do(t.Context(), stack, script(errDown))
				do(t.Context(), stack, script(errDown))
				time.Sleep(5 * time.Second)
				do(t.Context(), stack, func(ctx context.Context) error { // the probe
					return do(context.WithoutCancel(t.Context()), stack, succeed)
				})
			},
			want: `
				#1 redoubt billing internal error(down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				#3 redoubt billing internal error(down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   event redoubt.breaker.transition at 0s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=billing redoubt.reason=consecutive
				   #4 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				#5 redoubt billing internal error(breaker: billing is half-open (2 failures in a row), last: down) 5s-5s
				   error.type=breaker_half_open redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   event redoubt.breaker.transition at 5s: redoubt.breaker.from=open redoubt.breaker.generation=2 redoubt.breaker.to=half-open redoubt.layer.name=billing redoubt.reason=cooldown
				   #6 attempt billing internal error(breaker: billing is half-open (2 failures in a row), last: down) 5s-5s
				      error.type=breaker_half_open redoubt.attempt=1 redoubt.name=billing
				#7 redoubt billing internal error(breaker: billing is half-open (2 failures in a row), last: down) 5s-5s
				   error.type=breaker_half_open redoubt.attempts=0 redoubt.name=billing redoubt.outcome=rejected
				   #8 redoubt short-circuit internal error(breaker: billing is half-open (2 failures in a row), last: down) 5s-5s
				      error.type=breaker_half_open redoubt.breaker.generation=2 redoubt.breaker.state=half-open redoubt.layer.name=billing redoubt.layer=breaker redoubt.reason=breaker_half_open
				      link to #4
			`,
		},
		{
			name: "a probe hangs",
			run: func(t *testing.T, s *sdk) {
				stack := redoubt.Stack{s.telemetry("billing"), twice(t, "billing")}
				do(t.Context(), stack, script(errDown))
				do(t.Context(), stack, script(errDown))
				time.Sleep(5 * time.Second)
				do(t.Context(), stack, func(context.Context) error {
					time.Sleep(11 * time.Second)
					return do(t.Context(), stack, succeed)
				})
			},
			want: `
				#1 redoubt billing internal error(down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				#3 redoubt billing internal error(down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   event redoubt.breaker.transition at 0s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=billing redoubt.reason=consecutive
				   #4 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				#5 redoubt billing internal error(breaker: billing is open (a probe hung), last: breaker: probe did not return in time) 5s-16s
				   error.type=breaker_open redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   event redoubt.breaker.transition at 5s: redoubt.breaker.from=open redoubt.breaker.generation=2 redoubt.breaker.to=half-open redoubt.layer.name=billing redoubt.reason=cooldown
				   #6 attempt billing internal error(breaker: billing is open (a probe hung), last: breaker: probe did not return in time) 5s-16s
				      error.type=breaker_open redoubt.attempt=1 redoubt.name=billing
				#7 redoubt billing internal error(breaker: billing is open (a probe hung), last: breaker: probe did not return in time) 16s-16s
				   error.type=breaker_open redoubt.attempts=0 redoubt.name=billing redoubt.outcome=rejected
				   #8 redoubt short-circuit internal error(breaker: billing is open (a probe hung), last: breaker: probe did not return in time) 16s-16s
				      error.type=breaker_open redoubt.breaker.generation=3 redoubt.breaker.state=open redoubt.layer.name=billing redoubt.layer=breaker redoubt.reason=breaker_open redoubt.retry_after=9
				      link to #5
			`,
		},
		{
			name: "a slow call trips the breaker while it runs",
			run: func(t *testing.T, s *sdk) {
				br := twice(t, "billing", func(c *breaker.Config) {
					c.Consecutive, c.Window, c.SlowCall, c.SlowRatio, c.MinCalls = 0, time.Minute, time.Second, 1, 1
				})
				stack := redoubt.Stack{s.telemetry("billing"), br}
				do(t.Context(), stack, func(context.Context) error {
					time.Sleep(2 * time.Second)
					return do(t.Context(), stack, succeed)
				})
			},
			want: `
				#1 redoubt billing internal error(breaker: billing is open (1 of 1 calls were slow), last: breaker: call is too slow) 0s-2s
				   error.type=breaker_open redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   #2 attempt billing internal error(breaker: billing is open (1 of 1 calls were slow), last: breaker: call is too slow) 0s-2s
				      error.type=breaker_open redoubt.attempt=1 redoubt.name=billing
				#3 redoubt billing internal error(breaker: billing is open (1 of 1 calls were slow), last: breaker: call is too slow) 2s-2s
				   error.type=breaker_open redoubt.attempts=0 redoubt.name=billing redoubt.outcome=rejected
				   event redoubt.breaker.transition at 2s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=billing redoubt.reason=slow_ratio
				   #4 redoubt short-circuit internal error(breaker: billing is open (1 of 1 calls were slow), last: breaker: call is too slow) 2s-2s
				      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=billing redoubt.layer=breaker redoubt.reason=breaker_open redoubt.retry_after=5
				      link to #1
			`,
		},
		{
			name: "forced open",
			run: func(t *testing.T, s *sdk) {
				br := twice(t, "billing")
				br.ForceOpen()
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{}, br}, succeed)
			},
			want: `
				#1 redoubt billing internal error(breaker: billing is open (forced)) 0s-0s
				   error.type=breaker_open redoubt.attempts=0 redoubt.name=billing redoubt.outcome=rejected redoubt.retry.stop_reason=permanent
				   #2 redoubt short-circuit internal error(breaker: billing is open (forced)) 0s-0s
				      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=billing redoubt.layer=breaker redoubt.reason=breaker_open
			`,
		},
		{
			name: "a shadow refuses nothing",
			run: func(t *testing.T, s *sdk) {
				br := twice(t, "billing", func(c *breaker.Config) { c.Shadow = true })
				stack := redoubt.Stack{s.telemetry("billing"), br}
				do(t.Context(), stack, script(errDown))
				do(t.Context(), stack, script(errDown))
				do(t.Context(), stack, succeed)
			},
			want: `
				#1 redoubt billing internal error(down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				#3 redoubt billing internal error(down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   event redoubt.breaker.transition at 0s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=billing redoubt.reason=consecutive
				   #4 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				#5 redoubt billing internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				   #6 attempt billing internal unset 0s-0s
				      redoubt.attempt=1 redoubt.name=billing
			`,
		},
		{
			name: "a retry inside of another",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{
					s.telemetry("billing"),
					retry.Policy{MaxAttempts: 2, Backoff: everySecond},
					retry.Policy{},
				}, script(errDown))
			},
			want: `
				#1 redoubt billing internal unset 0s-1s
				   redoubt.attempts=2 redoubt.name=billing redoubt.outcome=success
				   event redoubt.retry at 0s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				   #3 redoubt short-circuit internal error(down) 0s-0s
				      error.type=nested_retry redoubt.layer=retry redoubt.reason=nested_retry
				   #4 attempt billing internal unset 1s-1s
				      redoubt.attempt=2 redoubt.name=billing
				      link to #2
			`,
		},
		{
			name: "an inner retry that would not have repeated the call refuses nothing",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{MaxAttempts: 1}, retry.Policy{MaxAttempts: 1}},
					script(errDown))
				do(t.Context(), redoubt.Stack{s.telemetry("refunds"), retry.Policy{}, retry.Policy{}},
					script(retry.Permanent(errDown)))
				ctx, cancel := context.WithCancel(t.Context())
				do(ctx, redoubt.Stack{s.telemetry("invoices"), retry.Policy{}, retry.Policy{}}, func(context.Context) error {
					cancel()
					return errDown
				})
			},
			want: `
				#1 redoubt billing internal error(down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure redoubt.retry.stop_reason=attempts
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				#3 redoubt refunds internal error(down) 0s-0s
				   error.type=_OTHER redoubt.attempts=1 redoubt.name=refunds redoubt.outcome=failure redoubt.retry.stop_reason=permanent
				   #4 attempt refunds internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=refunds
				#5 redoubt invoices internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=invoices redoubt.outcome=cancelled redoubt.retry.stop_reason=cancelled
				   #6 attempt invoices internal unset 0s-0s
				      redoubt.attempt=1 redoubt.name=invoices
			`,
		},
		{
			name: "an inner retry's giving up is not the call's if an outer one makes it good",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{
					s.telemetry("billing"),
					retry.Policy{MaxAttempts: 2, Backoff: everySecond},
					retry.Policy{MaxAttempts: 2, Backoff: everySecond, Nested: true},
				}, script(errDown, errDown))
			},
			want: `
				#1 redoubt billing internal unset 0s-2s
				   redoubt.attempts=3 redoubt.name=billing redoubt.outcome=success
				   event redoubt.retry at 0s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   event redoubt.retry at 1s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   #2 attempt billing internal error(down) 0s-0s
				      error.type=_OTHER redoubt.attempt=1 redoubt.name=billing
				   #3 attempt billing internal error(down) 1s-1s
				      error.type=_OTHER redoubt.attempt=2 redoubt.name=billing
				      link to #2
				   #4 attempt billing internal unset 2s-2s
				      redoubt.attempt=3 redoubt.name=billing
				      link to #3
			`,
		},
		{
			name: "a panic passes",
			run: func(t *testing.T, s *sdk) {
				defer func() {
					if got := recover(); got != "boom" {
						t.Errorf("recovered %v, want boom", got)
					}
				}()
				do(t.Context(), redoubt.Stack{s.telemetry("billing"), retry.Policy{}, twice(t, "billing"), timeout.Limit(time.Second)},
					func(context.Context) error { panic("boom") })
			},
			want: `
				#1 redoubt billing internal error(redoubt: call panicked or called runtime.Goexit) 0s-0s
				   error.type=panic redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   #2 attempt billing internal error(redoubt: call panicked or called runtime.Goexit) 0s-0s
				      error.type=panic redoubt.attempt=1 redoubt.name=billing
			`,
		},
		{
			name: "a panic is a failure even if the caller has gone",
			run: func(t *testing.T, s *sdk) {
				defer func() { _ = recover() }()
				ctx, cancel := context.WithCancel(t.Context())
				do(ctx, redoubt.Stack{s.telemetry("billing")}, func(context.Context) error {
					cancel()
					panic("boom")
				})
			},
			want: `
				#1 redoubt billing internal error(redoubt: call panicked or called runtime.Goexit) 0s-0s
				   error.type=panic redoubt.attempts=1 redoubt.name=billing redoubt.outcome=failure
				   #2 attempt billing internal error(redoubt: call panicked or called runtime.Goexit) 0s-0s
				      error.type=panic redoubt.attempt=1 redoubt.name=billing
			`,
		},
		{
			name: "nested stacks make one call",
			run: func(t *testing.T, s *sdk) {
				inner := redoubt.Stack{s.telemetry("inner"), timeout.Limit(time.Minute)}
				do(t.Context(), redoubt.Stack{redoubt.Stack{s.telemetry("outer"), retry.Policy{}}, inner}, succeed)
			},
			want: `
				#1 redoubt outer internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=outer redoubt.outcome=success
				   #2 attempt outer internal unset 0s-0s
				      redoubt.attempt=1 redoubt.name=outer
			`,
		},
		{
			name: "a call within an attempt is a call of its own",
			run: func(t *testing.T, s *sdk) {
				do(t.Context(), redoubt.Stack{s.telemetry("outer")}, func(ctx context.Context) error {
					do(ctx, redoubt.Stack{s.telemetry("first")}, succeed)
					do(ctx, redoubt.Stack{s.telemetry("second")}, succeed)
					return nil
				})
			},
			want: `
				#1 redoubt outer internal unset 0s-0s
				   redoubt.attempts=1 redoubt.name=outer redoubt.outcome=success
				   #2 attempt outer internal unset 0s-0s
				      redoubt.attempt=1 redoubt.name=outer
				      #3 redoubt first internal unset 0s-0s
				         redoubt.attempts=1 redoubt.name=first redoubt.outcome=success
				         #4 attempt first internal unset 0s-0s
				            redoubt.attempt=1 redoubt.name=first
				      #5 redoubt second internal unset 0s-0s
				         redoubt.attempts=1 redoubt.name=second redoubt.outcome=success
				         #6 attempt second internal unset 0s-0s
				            redoubt.attempt=1 redoubt.name=second
			`,
		},
		{
			name: "a refusal that the callee met with is the callee's failure",
			run: func(t *testing.T, s *sdk) {
				br := twice(t, "dependency")
				br.ForceOpen()
				do(t.Context(), redoubt.Stack{s.telemetry("outer")}, func(ctx context.Context) error {
					return do(ctx, redoubt.Stack{s.telemetry("inner"), br}, succeed)
				})
			},
			want: `
				#1 redoubt outer internal error(breaker: dependency is open (forced)) 0s-0s
				   error.type=breaker_open redoubt.attempts=1 redoubt.name=outer redoubt.outcome=failure
				   #2 attempt outer internal error(breaker: dependency is open (forced)) 0s-0s
				      error.type=breaker_open redoubt.attempt=1 redoubt.name=outer
				      #3 redoubt inner internal error(breaker: dependency is open (forced)) 0s-0s
				         error.type=breaker_open redoubt.attempts=0 redoubt.name=inner redoubt.outcome=rejected
				         #4 redoubt short-circuit internal error(breaker: dependency is open (forced)) 0s-0s
				            error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=dependency redoubt.layer=breaker redoubt.reason=breaker_open
			`,
		},
		{
			name: "named after the breaker, within the caller's span",
			run: func(t *testing.T, s *sdk) {
				ctx, span := s.tracer.Tracer("app").Start(t.Context(), "GET /invoice")
				defer span.End()
				do(ctx, redoubt.Stack{s.telemetry(""), retry.Policy{}, twice(t, "billing")}, succeed)
				do(ctx, redoubt.Stack{s.telemetry(""), retry.Policy{}}, succeed)
			},
			want: `
				#1 GET /invoice internal unset 0s-0s
				   #2 redoubt billing internal unset 0s-0s
				      redoubt.attempts=1 redoubt.name=billing redoubt.outcome=success
				      #3 attempt billing internal unset 0s-0s
				         redoubt.attempt=1 redoubt.name=billing
				   #4 redoubt call internal unset 0s-0s
				      redoubt.attempts=1 redoubt.name=call redoubt.outcome=success
				      #5 attempt call internal unset 0s-0s
				         redoubt.attempt=1 redoubt.name=call
			`,
		},
		{
			name: "a layer without a stack adds to the caller's span",
			run: func(t *testing.T, s *sdk) {
				ctx, span := s.tracer.Tracer("app").Start(t.Context(), "GET /invoice")
				defer span.End()
				timeout.Limit(time.Second).Do(ctx, hang)
				retry.Policy{MaxAttempts: 2, Backoff: everySecond}.Do(ctx, func(context.Context) error { return errDown })
				br := twice(t, "billing")
				br.Do(ctx, script(errDown))
				br.Do(ctx, script(errDown))
			},
			want: `
				#1 GET /invoice internal unset 0s-2s
				   redoubt.retry.stop_reason=attempts
				   event redoubt.timeout at 1s: redoubt.limit=1
				   event redoubt.retry at 1s: redoubt.retry.delay=1 redoubt.retry.delay_source=backoff redoubt.retry.reason=_OTHER
				   event redoubt.breaker.transition at 2s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=billing redoubt.reason=consecutive
			`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				tt.run(t, s)
				same(t, "spans", s.spans(), tt.want)
			})
		})
	}
}

// TestTransitionNamesTheTrace: what tripped a circuit can be looked up.
func TestTransitionNamesTheTrace(t *testing.T) {
	s := newSDK()
	var told []breaker.Transition
	b := breaker.New(breaker.Config{Name: "billing", Consecutive: 1, OnTransition: func(t breaker.Transition) { told = append(told, t) }})
	ctx, span := s.tracer.Tracer("test").Start(t.Context(), "caller")
	_ = b.Do(ctx, func(context.Context) error { return errors.New("boom") })
	span.End()
	want := span.SpanContext().TraceID().String()
	if len(told) != 1 || told[0].TraceID != want {
		t.Errorf("transitions %+v, want one with trace %s", told, want)
	}
	if past := b.History(); len(past) != 1 || past[0].TraceID != want {
		t.Errorf("History() = %+v, want one with trace %s", past, want)
	}
}

// TestLateRefusal holds that a refusal which is told of after the wait that it
// asks for asks for none.
func TestLateRefusal(t *testing.T) {
	s := newSDK()
	providers := telemetry.Providers{Tracer: s.tracer, Meter: s.meter}
	ctx, call := telemetry.Start(t.Context(), providers, "billing")
	telemetry.Reject(ctx, telemetry.Rejection{Layer: "breaker", Reason: "breaker_open", Until: time.Now().Add(-time.Hour)})
	call.End(ctx, nil, nil)
	if got := s.spans(); !strings.Contains(got, "redoubt.retry_after=0\n") {
		t.Errorf("spans:\n%s", got)
	}
}
