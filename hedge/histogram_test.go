package hedge

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestBucket: the buckets follow one another without a gap, and each is narrower
// than its lower bound by maxError.
func TestBucket(t *testing.T) {
	lower := time.Duration(0)
	for i := range buckets {
		if got := bucket(lower); got != i {
			t.Fatalf("bucket(%v) = %d, want %d", lower, got, i)
		}
		if i == buckets-1 {
			break
		}
		end := upper(i)
		if got := bucket(end); got != i {
			t.Fatalf("bucket(%v) = %d, want %d", end, got, i)
		}
		if i > 0 && float64(end-lower) > maxError*float64(lower) {
			t.Fatalf("bucket %d is from %v to %v, wider than %v of it", i, lower, end, maxError)
		}
		lower = end + 1
	}
	if lower != longest || bucket(math.MaxInt64) != buckets-1 || bucket(-1) != 0 {
		t.Errorf("the last bucket begins at %v, want %v, and there must be one for every latency", lower, longest)
	}
}

func FuzzBucket(f *testing.F) {
	f.Add(int64(time.Millisecond))
	f.Add(int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, n int64) {
		v := time.Duration(n)
		i := bucket(v)
		if i < 0 || i >= buckets {
			t.Fatalf("bucket(%v) = %d, want less than %d", v, i, buckets)
		}
		if v < longest && v > upper(i) {
			t.Errorf("bucket(%v) ends at %v", v, upper(i))
		}
	})
}

// TestHistogram_Error compares percentiles with the true ones.
func TestHistogram_Error(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 1))
		var h histogram
		var all []time.Duration
		for range 500 + r.IntN(2000) {
			v := time.Duration(math.Exp(r.NormFloat64()*2)*20*float64(time.Millisecond)) + 1<<minBits
			if v >= longest {
				continue
			}
			all = append(all, v)
			h.record(time.Second, v)
		}
		slices.Sort(all)
		for _, q := range []float64{0.5, 0.9, 0.95, 0.99, 0.999} {
			want := all[int(math.Ceil(q*float64(len(all))))-1]
			got := h.percentile(time.Second, q, 1)
			if excess := float64(got-want) / float64(want); excess < 0 || excess > maxError {
				t.Errorf("seed %d: percentile %v is %v, want %v and at most %.2f %% more", seed, q, got, want, 100*maxError)
			}
		}
	}
}

// TestHistogram_Windows has one latency recorded every second, so that the
// windows hold between 20 and 30 of them.
func TestHistogram_Windows(t *testing.T) {
	var h histogram
	for second := range 100 {
		now := time.Duration(second) * time.Second
		h.record(now, time.Millisecond)
		want := int64(min(second, 20+second%10) + 1)
		if got := h.samples(now); got != want {
			t.Errorf("after %v: %d latencies, want %d", now, got, want)
		}
	}
	if got := h.samples(200 * time.Second); got != 0 {
		t.Errorf("%d latencies after a long pause, want none", got)
	}
	if got := h.percentile(200*time.Second, 0.5, 1); got != 0 {
		t.Errorf("percentile of nothing is %v, want 0", got)
	}
}

func TestHistogram_Bounds(t *testing.T) {
	var h histogram
	for i := range 20 {
		h.record(0, time.Duration(i+1)*time.Millisecond)
	}
	if got := h.percentile(0, 0.95, 21); got != 0 {
		t.Errorf("percentile of too few latencies is %v, want 0", got)
	}
	if got, least := h.percentile(0, 0.95, 20), 19*time.Millisecond; got < least || got > least+least/subBuckets {
		t.Errorf("95th percentile of 1 to 20 ms is %v, want 19 ms and at most 3.2 %% more", got)
	}
	h.record(0, 0)
	for range 100 {
		h.record(0, time.Hour)
	}
	if got := h.percentile(0, 0.95, 20); got != longest {
		t.Errorf("percentile of hours is %v, want %v", got, longest)
	}
}

// TestHistogram_Concurrent has 8 workers record a latency every 100 ms, each by a
// clock of its own. However far one lags behind, what it records counts for its
// own time only: by the end for the last two windows.
func TestHistogram_Concurrent(t *testing.T) {
	const workers, each = 8, 100 // latencies in a window
	var h histogram
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := range 10 * each {
				now := time.Duration(i) * 100 * time.Millisecond
				h.record(now, time.Duration(worker+1)*time.Millisecond)
				if i%10 == 0 {
					h.percentile(now, 0.5, 1)
				}
			}
		})
	}
	group.Wait()
	const underWay = 2 * workers // into a window that changed hands meanwhile
	if got := h.samples(100 * time.Second); got < workers*each || got > 2*workers*each+underWay {
		t.Errorf("%d latencies, want from %d to %d", got, workers*each, 2*workers*each+underWay)
	}
}

// TestHistogram_Late holds that a latency which comes when its window has become
// another is not counted there.
func TestHistogram_Late(t *testing.T) {
	var h histogram
	h.record(windows*windowSize, time.Millisecond)
	h.record(0, time.Millisecond)
	if got := h.samples(windows * windowSize); got != 1 {
		t.Errorf("%d latencies, want 1: the other is too old", got)
	}
}
