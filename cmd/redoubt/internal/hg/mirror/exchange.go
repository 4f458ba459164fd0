package mirror

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// An Exchange is a request and its answer, whatever it took.
type Exchange struct {
	Source    string        `json:"source"`
	Command   string        `json:"command"`
	Attempts  int           `json:"attempts"`
	Status    int           `json:"status,omitempty"`
	Bytes     int64         `json:"bytes"`
	FirstByte time.Duration `json:"first_byte_ns"`
	Waited    time.Duration `json:"waited_ns"` // between attempts
	Total     time.Duration `json:"total_ns"`
	Error     string        `json:"error,omitempty"`
}

type exchangeKey struct{}

// exchange is an Exchange that is under way. A nil one records nothing.
type exchange struct {
	Exchange

	start time.Time
	done  func(Exchange)

	mu     sync.Mutex
	broke  time.Time // when the last attempt failed
	closed bool
}

// begin counts an attempt and returns how long it waited after the last.
func (x *exchange) begin() time.Duration {
	if x == nil {
		return 0
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.Attempts++
	if x.broke.IsZero() {
		return 0
	}
	waited := time.Since(x.broke)
	x.Waited += waited
	return waited
}

func (x *exchange) failed() {
	if x == nil {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.broke = time.Now()
}

func (x *exchange) command() string {
	if x == nil {
		return ""
	}
	return x.Command
}

func (x *exchange) end(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.closed {
		return
	}
	x.closed = true
	x.Total = time.Since(x.start)
	if err != nil {
		x.Error = err.Error()
	}
	if x.done != nil {
		x.done(x.Exchange)
	}
}

// A StallError says that a server fell silent within an answer.
type StallError struct {
	After time.Duration
	Bytes int64 // that had come
}

// Error says how long the silence was, and when.
func (e *StallError) Error() string {
	return fmt.Sprintf("no byte for %v, after %d bytes", e.After, e.Bytes)
}

// Timeout reports true.
func (e *StallError) Timeout() bool { return true }

// ErrorType is the class of the error in telemetry.
func (e *StallError) ErrorType() string { return "stall" }

// A RateError says that an answer came too slowly.
type RateError struct {
	Rate  int64 // bytes a second
	Floor int64
}

// Error tells both rates.
func (e *RateError) Error() string {
	return fmt.Sprintf("%d bytes a second, less than %d", e.Rate, e.Floor)
}

// Timeout reports true: it takes too long.
func (e *RateError) Timeout() bool { return true }

// ErrorType is the class of the error in telemetry.
func (e *RateError) ErrorType() string { return "slow" }

// rateWindow is the time over which a rate is measured: of waiting for the
// server, not of whatever the reader does between reads.
const rateWindow = 3 * time.Second

// body is the body of an answer, watched while somebody reads it.
type body struct {
	io.ReadCloser

	exchange *exchange
	limits   Limits
	cancel   func(error)
	ended    func(error) // told how, once
	err      error       // what ended it

	waited time.Duration // in this window
	got    int64
}

// Read reads, and gives up when nothing or too little comes.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	stalled := &StallError{After: b.limits.Stall, Bytes: b.exchange.Bytes}
	clock := time.AfterFunc(b.limits.Stall, func() { b.cancel(stalled) })
	start := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.exchange.Bytes += int64(n)
	if !clock.Stop() && err != nil && !errors.Is(err, io.EOF) {
		err = stalled
	}
	if err == nil {
		err = b.tooSlow(n, time.Since(start))
	}
	b.err = err
	return n, err
}

// tooSlow adds a read to the window and judges the window when it is full.
func (b *body) tooSlow(n int, took time.Duration) error {
	if b.limits.MinRate <= 0 {
		return nil
	}
	b.got += int64(n)
	b.waited += took
	if b.waited < rateWindow {
		return nil
	}
	rate := int64(float64(b.got) / b.waited.Seconds())
	b.got, b.waited = 0, 0
	if rate >= b.limits.MinRate {
		return nil
	}
	err := &RateError{Rate: rate, Floor: b.limits.MinRate}
	b.cancel(err)
	return err
}

// Close ends the exchange.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	if b.ended != nil {
		b.ended(b.err)
		b.ended = nil
	}
	failure := b.err
	if errors.Is(failure, io.EOF) {
		failure = nil
	}
	b.exchange.end(failure)
	return err
}
