package faults

import (
	"net/http"
	"time"
)

// An Effect is what a [Fault] does to a call. The effects are the types of this
// package that say so.
type Effect interface {
	// name is the effect in lower case.
	name() string
	check(report)
}

// Status is an [Effect]: the dependency answers at once, with this status and
// without doing any work.
type Status struct {
	Code       int           // from 200 to 599; zero means 503
	Header     http.Header   // of the answer
	RetryAfter time.Duration // the Retry-After header, rounded up to seconds; zero is none
}

// RateLimit is an [Effect]: a token bucket grants arrivals, the others are
// answered with 429.
type RateLimit struct {
	PerSecond  float64
	Burst      float64       // what the bucket holds; zero means 1
	RetryAfter time.Duration // the Retry-After header of refusals; zero is none
}

// Delay is an [Effect]: the answer comes later by this much. No slot of the
// service is taken meanwhile.
type Delay struct{ Time Latency }

// Work is an [Effect]: work that starts in the window takes this long, instead
// of Service.Time. An arrival's fate is drawn when its work starts.
type Work struct{ Time Latency }

// Reset is an [Effect]: the connection is reset.
type Reset struct {
	// AfterWork resets it once the work is done, so that the effect has
	// happened and the answer is lost.
	AfterWork bool
}

// Refuse is an [Effect]: nobody listens. New connections are refused, and what
// is under way is reset when the window opens. It has no Chance, and befalls all
// replicas.
type Refuse struct{}

// NoHost is an [Effect]: the dependency's name does not resolve, drawn for each
// dial and whatever the replica. Connections that exist go on.
type NoHost struct{}

// SYNLoss is an [Effect]: packets that ask for a connection are lost, each with
// the fault's Chance. No packet really is, which would take privileges: the dial
// waits as long as TCP does, which sends one again after a second, and then after
// 2, 4, 8, 16 and 32 more; 127 s after the first the dial fails with ETIMEDOUT. A
// packet that is sent after the window gets through. If its answer, the SYN-ACK,
// is lost, that looks the same: let the chance be that either is. With PerConn
// all packets of a dial share their fate. A dial belongs to no replica and no
// request.
type SYNLoss struct{}

// PacketLoss is an [Effect]: packets of connections that exist are lost, each
// with the fault's Chance. A request is one, and so is its answer, whatever their
// size. No packet really is lost: calls wait as long as TCP on Linux does, which
// sends one again after 200 ms, then after twice as long each time, up to two
// minutes; after 15 minutes the connection fails with ETIMEDOUT. An answer that
// comes without any work, such as that of [Status], is not lost. Packets belong to
// no replica; with PerRequest those of all attempts share their fate.
type PacketLoss struct{}

// BlackHole is an [Effect]: the request is taken and never answered.
type BlackHole struct{}

// Freeze is an [Effect]: answers that are ready are held until the window
// closes.
type Freeze struct{}

// Truncate is an [Effect]: the body breaks off after this many bytes. A body
// that is shorter is complete.
type Truncate struct{ After int }

// Drip is an [Effect]: the headers come at once, the body in pieces over this
// time. It has no effect on a function.
type Drip struct{ Over time.Duration }

// Bandwidth is an [Effect]: all bodies together, whatever the replica, move this
// fast. It has no effect on a function.
type Bandwidth struct{ BytesPerSecond int }

// Hangup is an [Effect]: the answer is good, and the connection is closed after
// it. Over HTTP/2 that is a GOAWAY. Only a handler does it.
type Hangup struct {
	// Requests, if not zero, spares all but each Requests-th request of a
	// connection, as servers do that limit the requests on one. Otherwise
	// the chance decides.
	Requests int
}

func (Status) name() string    { return "status" }
func (RateLimit) name() string { return "rate limit" }
func (Delay) name() string     { return "delay" }
func (Work) name() string      { return "work" }
func (r Reset) name() string {
	if r.AfterWork {
		return "lost answer"
	}
	return "reset"
}
func (Refuse) name() string     { return "refuse" }
func (NoHost) name() string     { return "no host" }
func (SYNLoss) name() string    { return "syn loss" }
func (PacketLoss) name() string { return "packet loss" }
func (BlackHole) name() string  { return "black hole" }
func (Freeze) name() string     { return "freeze" }
func (Truncate) name() string   { return "truncate" }
func (Drip) name() string       { return "drip" }
func (Bandwidth) name() string  { return "bandwidth" }
func (Hangup) name() string     { return "hangup" }

func (s Status) check(bad report) {
	if s.Code != 0 && (s.Code < 200 || s.Code > 599) {
		bad("Effect.Code", s.Code, "from 200 to 599")
	}
	if s.RetryAfter < 0 {
		bad("Effect.RetryAfter", s.RetryAfter, "zero or positive")
	}
}

func (r RateLimit) check(bad report) {
	if !(r.PerSecond > 0) {
		bad("Effect.PerSecond", r.PerSecond, "positive")
	}
	if r.Burst != 0 && !(r.Burst >= 1) {
		bad("Effect.Burst", r.Burst, "zero or at least 1")
	}
	if r.RetryAfter < 0 {
		bad("Effect.RetryAfter", r.RetryAfter, "zero or positive")
	}
}

func (d Delay) check(bad report) { checkLatency(d.Time, bad) }
func (w Work) check(bad report)  { checkLatency(w.Time, bad) }

func checkLatency(l Latency, bad report) {
	if l == nil {
		bad("Effect.Time", "nil", "a Latency")
	}
}

func (Reset) check(report)      {}
func (Refuse) check(report)     {}
func (NoHost) check(report)     {}
func (SYNLoss) check(report)    {}
func (PacketLoss) check(report) {}
func (BlackHole) check(report)  {}
func (Freeze) check(report)     {}

func (t Truncate) check(bad report) {
	if t.After < 0 {
		bad("Effect.After", t.After, "zero or positive")
	}
}

func (d Drip) check(bad report) {
	if d.Over <= 0 {
		bad("Effect.Over", d.Over, "positive")
	}
}

func (b Bandwidth) check(bad report) {
	if b.BytesPerSecond <= 0 {
		bad("Effect.BytesPerSecond", b.BytesPerSecond, "positive")
	}
}

func (h Hangup) check(bad report) {
	if h.Requests < 0 {
		bad("Effect.Requests", h.Requests, "zero or positive")
	}
}
