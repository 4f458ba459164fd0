package scenario

import (
	"math"
	"net/http"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

// A Scenario is one load test. It is not to be changed after it was read.
type Scenario struct {
	Name  string // a short name without spaces
	Title string // in a few words
	About string // in a few sentences; may be empty

	Duration time.Duration
	Rate     float64 // requests a second
	Bursts   []Burst
	Poisson  bool // arrivals come at random, rather than evenly

	Method         string
	IdempotencyKey bool // requests carry one
	BodyLimit      int  // bytes of answers that clients may keep to retry broken bodies; 0 is none

	UsefulWithin time.Duration // from the intended start
	Patience     time.Duration // after which callers leave

	Wire           Wire
	NewConnections bool          // each attempt makes one, as on the wire Model; else they are kept
	IdleTimeout    time.Duration // of the server's connections; 0 is never
	LineLatency    time.Duration // one way, on a wire that is not Model

	Plan    faults.Plan // without a seed and an observer
	Windows []faults.Window

	Targets []string // in the language of package engine's ParseCheck
	Source  string   // the text that it was read from
}

// A Burst is a stretch of time with another rate.
type Burst struct {
	From, To time.Duration
	Rate     float64
}

// A Wire is what is between client and dependency in virtual time. In real time
// it is always a socket.
type Wire string

// The wires. With Model there are no connections, and package net/http has no
// part in the run beyond http.Client.
const (
	Model Wire = "model"
	HTTP1 Wire = "http1"
	HTTP2 Wire = "http2"
)

// defaults are those of the catalogue.
func defaults() Scenario {
	return Scenario{
		Duration:     20 * time.Second,
		Rate:         200,
		Method:       http.MethodGet,
		UsefulWithin: time.Second,
		Patience:     2 * time.Second,
		Wire:         Model,
	}
}

// WithDuration returns a copy of s that runs for another time. The windows stay
// where they are.
func (s *Scenario) WithDuration(d time.Duration) *Scenario {
	other := *s
	other.Duration = d
	return &other
}

// RateAt returns the rate at t.
func (s *Scenario) RateAt(t time.Duration) float64 {
	for _, b := range s.Bursts {
		if t >= b.From && t < b.To {
			return b.Rate
		}
	}
	return s.Rate
}

// Schedule calls yield with the intended start of every request, in order, from
// the beginning of the run on. The same seed makes the same schedule.
func (s *Scenario) Schedule(seed uint64) func(yield func(n int, at time.Duration) bool) {
	return func(yield func(int, time.Duration) bool) {
		var next float64 // seconds
		for n := 0; ; n++ {
			if s.Poisson {
				next += exponential(seed, n) / s.RateAt(seconds(next))
			}
			at := seconds(next)
			if at >= s.Duration {
				return
			}
			if !s.Poisson {
				distance := 1 / s.RateAt(at)
				at += time.Duration(faults.Draw(seed, arrivals, uint64(n)) * float64(min(time.Millisecond, seconds(distance/10))))
				next += distance
				if at >= s.Duration { // sums of distances are not exact
					return
				}
			}
			if !yield(n, at) {
				return
			}
		}
	}
}

// arrivals tells the draws of the schedule from those of the faults.
const arrivals = 1 << 33

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// exponential returns a draw with mean 1.
func exponential(seed uint64, n int) float64 {
	return -math.Log1p(-faults.Draw(seed, arrivals, uint64(n)))
}

// InWindow reports whether t is within the fault windows. Without any, all of
// the run is.
func (s *Scenario) InWindow(t time.Duration) bool {
	if len(s.Windows) == 0 {
		return true
	}
	for _, w := range s.Windows {
		if w.Contains(t) {
			return true
		}
	}
	return false
}

// aftermath is how long after a fault window the run is looked at by itself.
const aftermath = 5 * time.Second

// InAftermath reports whether t is within 5 s after a fault window, and not
// within one.
func (s *Scenario) InAftermath(t time.Duration) bool {
	if s.InWindow(t) {
		return false
	}
	for _, w := range s.Windows {
		if t >= w.To && t < w.To+aftermath {
			return true
		}
	}
	return false
}

// LastFault returns when the last fault window begins and ends, and whether
// there is one that ends within the run.
func (s *Scenario) LastFault() (from, to time.Duration, ok bool) {
	for _, w := range s.Windows {
		if w.To > to {
			from, to = w.From, w.To
		}
	}
	return from, to, to > 0 && to < s.Duration
}
