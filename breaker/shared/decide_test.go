package shared

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
)

var t0 = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)

// exact is a configuration without chance.
var exact = Config{Name: "b", Jitter: NoJitter}.withDefaults()

func failures(n int, at time.Time) []outcome {
	return slices.Repeat([]outcome{{At: at, Class: "x"}}, n)
}

func openRecord(until time.Time, l *lease) record {
	return record{Generation: 1, Open: &opening{
		Since: t0.Add(-time.Hour), Until: until, Reason: breaker.ReasonConsecutive, Failures: 5, Consecutive: 5,
		Last: outcome{At: t0.Add(-time.Hour), Class: "x"}, Lease: l,
	}}
}

func TestAdmit(t *testing.T) {
	other := lease{Host: "h", PID: 7, ID: "other", Since: t0, Until: t0.Add(time.Second)}
	mine := lease{ID: "mine"}
	for _, tt := range []struct {
		name string
		r    record
		now  time.Time
		want verdict
	}{
		{"nothing known", record{}, t0, pass},
		{"some failures", record{Outcomes: failures(4, t0)}, t0, pass},
		{"open", openRecord(t0.Add(1), nil), t0, refuse},
		{"cooldown just over", openRecord(t0, nil), t0, probe},
		{"cooldown long over", openRecord(t0.Add(-time.Hour), nil), t0, probe},
		{"somebody probes", openRecord(t0, &other), t0, refuse},
		{"lease just over", openRecord(t0, &other), other.Until, probe},
		{"lease over", openRecord(t0, &other), t0.Add(time.Hour), probe},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, r := exact.admit(tt.r, tt.now, mine)
			if got != tt.want {
				t.Errorf("verdict = %d, want %d", got, tt.want)
			}
			if took := r.Open != nil && r.Open.Lease != nil && r.Open.Lease.ID == "mine"; took != (got == probe) {
				t.Errorf("took the lease: %v, verdict %d", took, got)
			}
			if tt.r.Open != nil && tt.r.Open.Lease != nil && tt.r.Open.Lease.ID == "mine" {
				t.Error("admit changed its argument")
			}
		})
	}
}

func TestCount(t *testing.T) {
	ratio := Config{Name: "b", FailureRatio: 0.5, MinCalls: 4, Jitter: NoJitter}.withDefaults()
	patient := Config{Name: "b", Consecutive: 50, Jitter: NoJitter}.withDefaults()
	both := Config{Name: "b", Consecutive: 3, FailureRatio: 1, MinCalls: 50, Jitter: NoJitter}.withDefaults()
	ok := outcome{At: t0, OK: true}
	bad := outcome{At: t0, Class: "x"}
	mine := &lease{ID: "mine", Until: t0.Add(time.Second)}
	for _, tt := range []struct {
		name    string
		c       Config
		r       record
		res     result
		state   breaker.State
		reason  breaker.Reason
		changed bool
		kept    int           // outcomes
		cools   time.Duration // if open
	}{
		{"success, nothing known", exact, record{}, result{outcome: breaker.Success}, breaker.Closed, "", false, 0, 0},
		{"success forgets failures", exact, record{Outcomes: failures(4, t0)}, result{outcome: breaker.Success}, breaker.Closed, "", true, 0, 0},
		{"first failure", exact, record{}, result{outcome: breaker.Failure}, breaker.Closed, "", true, 1, 0},
		{"ignored", exact, record{Outcomes: failures(4, t0)}, result{outcome: breaker.Ignored}, breaker.Closed, "", false, 4, 0},
		{"fifth failure", exact, record{Outcomes: failures(4, t0)}, result{outcome: breaker.Failure}, breaker.Open, breaker.ReasonConsecutive, true, 0, 30 * time.Second},
		{"late failure", exact, record{Generation: 2, Outcomes: failures(4, t0)}, result{outcome: breaker.Failure, generation: 1}, breaker.Closed, "", false, 4, 0},
		{"late success", exact, openRecord(t0.Add(1), nil), result{outcome: breaker.Success}, breaker.Open, breaker.ReasonConsecutive, false, 0, time.Hour + 1},

		{"ratio counts successes", ratio, record{}, result{outcome: breaker.Success}, breaker.Closed, "", true, 1, 0},
		{"ratio, too few calls", ratio, record{Outcomes: []outcome{bad, bad}}, result{outcome: breaker.Failure}, breaker.Closed, "", true, 3, 0},
		{"ratio reached", ratio, record{Outcomes: []outcome{ok, ok, bad}}, result{outcome: breaker.Failure}, breaker.Open, breaker.ReasonFailureRatio, true, 0, 30 * time.Second},
		{"ratio not reached", ratio, record{Outcomes: []outcome{ok, ok, ok}}, result{outcome: breaker.Failure}, breaker.Closed, "", true, 4, 0},
		{"a success opens nothing", ratio, record{Outcomes: []outcome{bad, bad, bad}}, result{outcome: breaker.Success}, breaker.Closed, "", true, 4, 0},
		{"no ratio is not a ratio of zero", patient, record{Outcomes: failures(DefaultMinCalls, t0)}, result{outcome: breaker.Failure}, breaker.Closed, "", true, DefaultMinCalls + 1, 0},
		{"in a row, beside a ratio", both, record{Outcomes: []outcome{ok, bad, bad}}, result{outcome: breaker.Failure}, breaker.Open, breaker.ReasonConsecutive, true, 0, 30 * time.Second},
		{"not in a row, beside a ratio", both, record{Outcomes: []outcome{bad, bad, ok}}, result{outcome: breaker.Failure}, breaker.Closed, "", true, 4, 0},
		{"bounded", ratio, record{Outcomes: slices.Repeat([]outcome{ok}, maxOutcomes)}, result{outcome: breaker.Success}, breaker.Closed, "", true, maxOutcomes, 0},

		{"probe succeeds", exact, openRecord(t0, mine), result{outcome: breaker.Success, generation: 1, lease: "mine"}, breaker.Closed, "", true, 0, 0},
		{"probe fails", exact, openRecord(t0, mine), result{outcome: breaker.Failure, generation: 1, lease: "mine"}, breaker.Open, breaker.ReasonProbeFailed, true, 0, time.Minute},
		{"probe hangs", exact, openRecord(t0, mine), result{outcome: breaker.Failure, timedOut: true, generation: 1, lease: "mine"}, breaker.Open, breaker.ReasonProbeTimeout, true, 0, time.Minute},
		{"probe proves nothing", exact, openRecord(t0, mine), result{outcome: breaker.Ignored, generation: 1, lease: "mine"}, breaker.HalfOpen, breaker.ReasonConsecutive, true, 0, time.Hour},
		{"no probe, while it is open", exact, openRecord(t0.Add(1), nil), result{outcome: breaker.Failure, generation: 1}, breaker.Open, breaker.ReasonConsecutive, false, 0, time.Hour + 1},
		{"probe whose lease was given back", exact, openRecord(t0, nil), result{outcome: breaker.Failure, generation: 1, lease: "mine"}, breaker.HalfOpen, breaker.ReasonConsecutive, false, 0, time.Hour},
		{"probe of what is closed", exact, record{Generation: 1}, result{outcome: breaker.Failure, generation: 1, lease: "mine"}, breaker.Closed, "", false, 0, 0},
		{"probe lost its lease", exact, openRecord(t0, &lease{ID: "other"}), result{outcome: breaker.Failure, generation: 1, lease: "mine"}, breaker.HalfOpen, breaker.ReasonConsecutive, false, 0, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.r.Name = "b"
			tt.res.what = outcome{At: t0, Class: "x"}
			r, changed := tt.c.count(tt.r, t0, tt.res)
			if r.Name != "b" {
				t.Errorf("the record is that of %q", r.Name)
			}
			if got := r.state(t0); got != tt.state || changed != tt.changed {
				t.Errorf("state %v, changed %v; want %v, %v", got, changed, tt.state, tt.changed)
			}
			if len(r.Outcomes) != tt.kept {
				t.Errorf("kept %d outcomes, want %d", len(r.Outcomes), tt.kept)
			}
			if moved := r.Generation != tt.r.Generation; moved != (r.state(t0) != tt.r.state(t0)) {
				t.Errorf("generation %d after %d, state %v after %v", r.Generation, tt.r.Generation, r.state(t0), tt.r.state(t0))
			}
			if r.Open == nil {
				return
			}
			if r.Open.Reason != tt.reason || r.Open.Until.Sub(r.Open.Since) != tt.cools {
				t.Errorf("open because %q for %v, want %q, %v", r.Open.Reason, r.Open.Until.Sub(r.Open.Since), tt.reason, tt.cools)
			}
			if tt.res.outcome == breaker.Ignored && r.Open.Lease != nil {
				t.Error("the lease was not given back")
			}
		})
	}
}

// A failed probe opens the circuit again for what opened it first, and notes what
// is known of the probe.
func TestCount_FailedProbe(t *testing.T) {
	r := openRecord(t0, &lease{ID: "mine"})
	r.Open.Failures, r.Open.Successes, r.Open.Consecutive, r.Open.Times = 7, 2, 5, 1
	r, _ = exact.count(r, t0, result{
		outcome: breaker.Failure, what: outcome{At: t0, Class: "y"}, generation: 1, lease: "mine",
		retryAfter: 90 * time.Second, trace: "trace",
	})
	want := opening{
		Since: t0, Until: t0.Add(4 * DefaultCooldown), Reason: breaker.ReasonProbeFailed, Times: 2, RetryAfter: 90,
		Failures: 7, Successes: 2, Consecutive: 5, Last: outcome{At: t0, Class: "y"}, Trace: "trace",
	}
	if got := *r.Open; got != want {
		t.Errorf("open as %+v, want %+v", got, want)
	}
}

func TestSettled(t *testing.T) {
	longest := 10 * time.Minute
	for _, tt := range []struct {
		name  string
		r     record
		now   time.Time
		moved bool
		kept  int
		until time.Time // of the opening
	}{
		{"in time", record{Outcomes: failures(3, t0)}, t0.Add(time.Hour), false, 3, time.Time{}},
		{"too old", record{Outcomes: failures(3, t0)}, t0.Add(time.Hour + 1), false, 0, time.Time{}},
		{"another clock", record{Outcomes: failures(3, t0)}, t0.Add(-skew), false, 3, time.Time{}},
		{"from the future", record{Outcomes: failures(3, t0)}, t0.Add(-skew - 1), false, 0, time.Time{}},
		{"open as long as can be", openRecord(t0.Add(longest), nil), t0, false, 0, t0.Add(longest)},
		{"open for too long", openRecord(t0.Add(longest+1), nil), t0, true, 0, t0.Add(longest)},
		{"the clock was ten years ahead", openRecord(t0.AddDate(10, 0, 0), nil), t0, true, 0, t0.Add(longest)},
		{"the clock was a day ahead", openRecord(t0.AddDate(0, 0, -1), nil), t0.AddDate(0, 0, -2), true, 0, t0.AddDate(0, 0, -2).Add(longest)},
		{"opened by a clock that is ahead", openRecord(t0.Add(-time.Hour), nil), t0.Add(-time.Hour - skew), false, 0, t0.Add(-time.Hour)},
		{"opened by a clock that is too far ahead", openRecord(t0.Add(-time.Hour), nil), t0.Add(-time.Hour - skew - 1), true, 0, t0.Add(-time.Hour)},
		{"lease for too long", openRecord(t0, &lease{ID: "x", Until: t0.Add(time.Hour)}), t0, true, 0, t0},
		{"lease", openRecord(t0, &lease{ID: "x", Until: t0.Add(DefaultLease)}), t0, false, 0, t0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, moved := exact.settled(tt.r, tt.now)
			if moved != tt.moved || len(r.Outcomes) != tt.kept {
				t.Errorf("moved %v, kept %d; want %v, %d", moved, len(r.Outcomes), tt.moved, tt.kept)
			}
			if r.Open != nil && !r.Open.Until.Equal(tt.until) {
				t.Errorf("open until %v, want %v", r.Open.Until, tt.until)
			}
			if r.Open != nil && r.Open.Since.Sub(tt.now) > skew {
				t.Errorf("open since %v, now is %v", r.Open.Since, tt.now)
			}
			if r.Open != nil && r.Open.Lease != nil && r.Open.Lease.Until.After(tt.now.Add(DefaultLease)) {
				t.Errorf("lease until %v", r.Open.Lease.Until)
			}
			if again, moved := exact.settled(r, tt.now); moved || len(again.Outcomes) != len(r.Outcomes) {
				t.Error("it takes more than one time to settle")
			}
		})
	}
}

func TestCooldown(t *testing.T) {
	c := Config{Cooldown: time.Second, MaxCooldown: 10 * time.Second}.withDefaults()
	honest := c
	honest.HonorRetryAfter = true
	huge := Config{Cooldown: math.MaxInt64 / 3, MaxCooldown: math.MaxInt64 / 2, Jitter: NoJitter}.withDefaults()
	vast := Config{Cooldown: 1 << 62, MaxCooldown: math.MaxInt64, Jitter: NoJitter}.withDefaults()
	for _, tt := range []struct {
		c          Config
		n          int
		retryAfter time.Duration
		random     float64
		want       time.Duration
	}{
		{c, 0, 0, 0.5, time.Second},
		{c, 0, 0, 0, 800 * time.Millisecond},
		{c, 1, 0, 0.5, 2 * time.Second},
		{c, 3, 0, 0.5, 8 * time.Second},
		{c, 4, 0, 0.5, 10 * time.Second},
		{c, 4, 0, 0, 8 * time.Second}, // jitter at the cap too
		{c, 4, 0, 0.9, 10 * time.Second},
		{c, math.MaxInt, 0, 0.5, 10 * time.Second},
		{c, 0, time.Minute, 0.5, time.Second},
		{honest, 0, 7 * time.Second, 0.5, 7 * time.Second},
		{honest, 0, time.Hour, 0.5, 10 * time.Second},
		{huge, 5, 0, 0.5, math.MaxInt64 / 2},
		{vast, 1, 0, 0.5, math.MaxInt64}, // twice that is below zero
	} {
		got := tt.c.cooldown(tt.n, tt.retryAfter, tt.random)
		if diff := got - tt.want; diff < -time.Microsecond || diff > time.Microsecond {
			t.Errorf("cooldown(%d, %v, %v) = %v, want %v", tt.n, tt.retryAfter, tt.random, got, tt.want)
		}
		if got > tt.c.MaxCooldown {
			t.Errorf("cooldown %v is longer than the longest, %v", got, tt.c.MaxCooldown)
		}
	}
}

// TestRenew_Lost: a circuit that was reset, and one that nobody probes, have no
// lease to renew.
func TestRenew_Lost(t *testing.T) {
	now := time.Now()
	for name, r := range map[string]record{
		"closed":    {},
		"no lease":  {Open: &opening{}},
		"another's": {Open: &opening{Lease: &lease{ID: "other"}}},
	} {
		if _, held := (Config{}).renew(r, now, "mine"); held {
			t.Errorf("%s: the lease was renewed", name)
		}
	}
}
