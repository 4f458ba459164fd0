package hedge

import (
	"math"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"
)

// The histogram's buckets grow with the latency: subBuckets to each power of
// two, so that a bucket is narrower than its lower bound by that factor.
const (
	subBits    = 5
	subBuckets = 1 << subBits
	minBits    = 19 // 524 µs: what is less is one bucket
	maxBits    = 37 // 137 s: what is more is another
	buckets    = (maxBits-minBits)*subBuckets + 2
)

// maxError is the most by which a percentile exceeds the true one, as a share of
// it, if that lies between the bounds. It never falls short of it.
const maxError = 1.0 / subBuckets

// longest is the latency from which on none is told apart from another.
const longest = time.Duration(1 << maxBits)

// A histogram counts latencies over the last 20 to 30 s, in windows.
type histogram struct {
	mu      sync.Mutex // of a window's change of hands
	windows [windows]window
}

const (
	windows    = 3
	windowSize = 10 * time.Second
)

type window struct {
	turn   atomic.Int64 // which stretch of time it counts, from 1; 0 is none
	count  atomic.Int64
	counts [buckets]atomic.Uint32
}

// record counts a latency. now is the time since some fixed moment.
func (h *histogram) record(now, latency time.Duration) {
	if w := h.window(turn(now)); w != nil {
		w.counts[bucket(latency)].Add(1)
		w.count.Add(1)
	}
}

func turn(now time.Duration) int64 { return int64(now/windowSize) + 1 }

// window returns the window of a turn, emptied if it was that of an earlier one,
// or nil if it is that of a later one. A record on its way into the old one may be
// lost, or counted in the new one.
func (h *histogram) window(turn int64) *window {
	w := &h.windows[turn%windows]
	if w.turn.Load() < turn {
		h.empty(w, turn)
	}
	if w.turn.Load() > turn {
		return nil
	}
	return w
}

// empty gives w to a turn, unless another goroutine was quicker.
func (h *histogram) empty(w *window, turn int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if w.turn.Load() >= turn {
		return
	}
	for i := range w.counts {
		w.counts[i].Store(0)
	}
	w.count.Store(0)
	w.turn.Store(turn)
}

// current calls use with each window that is not too old.
func (h *histogram) current(now time.Duration, use func(*window)) {
	oldest := turn(now) - windows + 1
	for i := range h.windows {
		w := &h.windows[i]
		if w.turn.Load() >= max(oldest, 1) {
			use(w)
		}
	}
}

// samples returns how many latencies the windows hold.
func (h *histogram) samples(now time.Duration) int64 {
	var n int64
	h.current(now, func(w *window) { n += w.count.Load() })
	return n
}

// percentile returns the latency that a share q of all do not exceed, rounded up
// to the end of its bucket, or longest if that is too long to be told. It
// returns 0 if the windows hold fewer than least latencies.
func (h *histogram) percentile(now time.Duration, q float64, least int64) time.Duration {
	var sum [buckets]int64
	var total int64
	h.current(now, func(w *window) {
		for i := range w.counts {
			n := int64(w.counts[i].Load())
			sum[i] += n
			total += n
		}
	})
	if total < max(least, 1) {
		return 0
	}
	rank := int64(math.Ceil(q * float64(total)))
	for i, n := range sum {
		rank -= n
		if rank <= 0 {
			return upper(i)
		}
	}
	return longest
}

// bucket returns the bucket of a latency.
func bucket(latency time.Duration) int {
	switch {
	case latency < 1<<minBits:
		return 0
	case latency >= longest:
		return buckets - 1
	}
	shift := bits.Len64(uint64(latency)) - 1 - subBits
	return 1 + (shift+subBits-minBits)<<subBits + int(latency>>shift) - subBuckets
}

// upper returns the longest latency of a bucket.
func upper(bucket int) time.Duration {
	switch bucket {
	case 0:
		return 1<<minBits - 1
	case buckets - 1:
		return longest
	}
	octave, sub := (bucket-1)>>subBits, (bucket-1)&(subBuckets-1)
	return time.Duration(subBuckets+sub+1)<<(octave+minBits-subBits) - 1
}
