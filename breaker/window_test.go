package breaker

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestCounts(t *testing.T) {
	tests := []struct {
		counts            Counts
		calls             int64
		failures, slowing float64
	}{
		{Counts{}, 0, 0, 0},
		{Counts{Consecutive: 3}, 0, 0, 0},
		{Counts{Successes: 1}, 1, 0, 0},
		{Counts{Successes: 1, Failures: 2, Slow: 1}, 4, 0.5, 0.25},
		{Counts{Successes: 2, Failures: 2, Slow: 2, both: 2}, 4, 0.5, 0.5},
		{Counts{Failures: 1, Slow: 1, both: 1}, 1, 1, 1},
	}
	for _, tt := range tests {
		if got := tt.counts.Calls(); got != tt.calls {
			t.Errorf("%+v: Calls() = %d, want %d", tt.counts, got, tt.calls)
		}
		if got := tt.counts.FailureRatio(); got != tt.failures {
			t.Errorf("%+v: FailureRatio() = %v, want %v", tt.counts, got, tt.failures)
		}
		if got := tt.counts.SlowRatio(); got != tt.slowing {
			t.Errorf("%+v: SlowRatio() = %v, want %v", tt.counts, got, tt.slowing)
		}
	}
}

func TestWindow(t *testing.T) {
	// One call, at add; how long does a window of three steps of 10 hold it?
	tests := []struct {
		name     string
		add, now time.Duration
		want     int64
	}{
		{"at once", 0, 0, 1},
		{"first step", 0, 9, 1},
		{"last moment", 0, 29, 1},
		{"gone", 0, 30, 0},
		{"long gone", 0, 1 << 60, 0},
		{"at the end of a step", 9, 29, 1},
		{"at the end of a step, gone", 9, 30, 0},
		{"at the start of a step", 10, 39, 1},
		{"at the start of a step, gone", 10, 40, 0},
		{"after a pause", 1000, 1029, 1},
		{"after a pause, gone", 1000, 1030, 0},
		{"the clock goes back", 25, 5, 1},
		{"the clock goes far back", 1000, 0, 1},
		{"before it was made", -25, -25, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, o := range []Outcome{Success, Failure, Slow} {
				w := newWindow(30, 3)
				w.add(tt.add, o)
				if got := w.counts(tt.now).Calls(); got != tt.want {
					t.Errorf("%v at %d: %d calls at %d, want %d", o, tt.add, got, tt.now, tt.want)
				}
			}
		})
	}
}

func TestWindow_Worsen(t *testing.T) {
	tests := []struct {
		name              string
		slow, failed, now time.Duration
		want              Counts
	}{
		{"in the same step", 0, 1, 1, Counts{Slow: 1, Failures: 1, both: 1}},
		{"in a later step", 0, 29, 29, Counts{Slow: 1, Failures: 1, both: 1}},
		{"they leave together", 0, 29, 30, Counts{}},
		{"the slowness has left", 0, 30, 30, Counts{Failures: 1}},
		{"the failure stays", 0, 30, 59, Counts{Failures: 1}},
		{"the failure leaves", 0, 30, 60, Counts{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWindow(30, 3)
			w.add(tt.slow, Slow)
			w.worsen(tt.failed, tt.slow)
			if got := w.counts(tt.now); got != tt.want {
				t.Errorf("counts = %+v, want %+v", got, tt.want)
			}
		})
	}
}

// TestWindow_Random compares windows with the list of what they counted.
func TestWindow_Random(t *testing.T) {
	type event struct {
		step int64
		o    Outcome
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		buckets := 1 + random.IntN(maxBuckets)
		step := time.Duration(1 + random.IntN(5))
		w := newWindow(step*time.Duration(buckets), buckets)
		var events []event
		now := time.Duration(0)
		for range 200 {
			now += time.Duration(random.IntN(4) * random.IntN(4) * random.IntN(4))
			o := Outcome(random.IntN(3))
			w.add(now, o)
			events = append(events, event{int64(now / step), o})

			var want Counts
			for _, e := range events {
				if int64(now/step)-e.step < int64(buckets) {
					add(&want, e.o)
				}
			}
			if got := w.counts(now); got != want {
				t.Fatalf("%d buckets of %d: counts at %d = %+v, want %+v", buckets, step, now, got, want)
			}
		}
	}
}

func TestWindow_Clear(t *testing.T) {
	w := newWindow(30, 3)
	for now := range time.Duration(30) {
		w.add(now, Failure)
	}
	w.clear()
	if got := w.counts(29); got != (Counts{}) {
		t.Errorf("counts = %+v after clear, want none", got)
	}
	w.add(29, Success)
	if got, want := w.counts(49), (Counts{Successes: 1}); got != want {
		t.Errorf("counts = %+v, want %+v", got, want)
	}
}

func TestWindow_AllocatesNothing(t *testing.T) {
	w := newWindow(time.Second, DefaultBuckets)
	now := time.Duration(0)
	if got := testing.AllocsPerRun(100, func() {
		now += 30 * time.Millisecond
		w.add(now, Success)
		w.counts(now)
	}); got != 0 {
		t.Errorf("%v allocations, want none", got)
	}
}
