package shared

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/redoubt-go/redoubt/breaker"
)

// format is the version of the encoding of a record.
const format = 1

// maxRecord bounds the size of an encoded record.
const maxRecord = 128 << 10

// maxWord bounds classes, host names and identifiers in a record.
const maxWord = 128

// A record is the state of a circuit as it is stored. The zero record is a
// closed circuit about which nothing is known. Records are values: no function
// changes what another record refers to.
type record struct {
	Format     int       `json:"format"`
	Name       string    `json:"name"`
	Key        string    `json:"key,omitempty"`
	Generation uint64    `json:"generation"`         // grows with each change of the state
	Updated    time.Time `json:"updated"`            // when this was written, for people
	Outcomes   []outcome `json:"outcomes,omitempty"` // while closed, oldest first
	Open       *opening  `json:"open,omitempty"`     // nil if closed
}

// An outcome is what a call said about the dependency.
type outcome struct {
	At    time.Time `json:"at"`
	OK    bool      `json:"ok,omitempty"`
	Class string    `json:"class,omitempty"` // of the failure, never its text
	Host  string    `json:"host,omitempty"`  // where the failure was seen
	PID   int       `json:"pid,omitempty"`
}

// An opening is a circuit that is not closed: open before Until, half-open from
// then on.
type opening struct {
	Since       time.Time      `json:"since"`
	Until       time.Time      `json:"open_until"`
	Reason      breaker.Reason `json:"reason"`
	Times       int            `json:"failed_probes,omitempty"` // since it was closed
	RetryAfter  float64        `json:"retry_after,omitempty"`   // seconds; what the server asked for
	Failures    int64          `json:"failures"`                // what tripped it
	Successes   int64          `json:"successes,omitempty"`
	Consecutive int64          `json:"consecutive,omitempty"`
	Last        outcome        `json:"last"` // the failure that tripped it
	Trace       string         `json:"trace,omitempty"`
	Lease       *lease         `json:"lease,omitempty"` // who probes
}

// A lease is the right to probe.
type lease struct {
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	ID    string    `json:"id"` // of this one probe
	Since time.Time `json:"since"`
	Until time.Time `json:"until"`
}

func (r record) state(now time.Time) breaker.State {
	switch {
	case r.Open == nil:
		return breaker.Closed
	case now.Before(r.Open.Until):
		return breaker.Open
	default:
		return breaker.HalfOpen
	}
}

var errGarbage = errors.New("breaker/shared: not a record")

// decode reads a stored value. No value is the zero record.
func decode(value []byte) (record, error) {
	if len(value) == 0 {
		return record{}, nil
	}
	if len(value) > maxRecord {
		return record{}, fmt.Errorf("%w: %d bytes long, at most %d", errGarbage, len(value), maxRecord)
	}
	var r record
	d := json.NewDecoder(bytes.NewReader(value))
	if err := d.Decode(&r); err != nil {
		return record{}, fmt.Errorf("%w: %w", errGarbage, err)
	}
	if d.More() {
		return record{}, fmt.Errorf("%w: text after its end", errGarbage)
	}
	if err := r.check(); err != nil {
		return record{}, fmt.Errorf("%w: %w", errGarbage, err)
	}
	return r, nil
}

// check reports what no writer of ours would have written.
func (r record) check() error {
	switch {
	case r.Format != format:
		return fmt.Errorf("format is %d, must be %d", r.Format, format)
	case r.Name == "" || len(r.Name) > maxName || len(r.Key) > maxName:
		return errors.New("name or key is of a length that can't be")
	case len(r.Outcomes) > maxOutcomes:
		return fmt.Errorf("%d outcomes, at most %d", len(r.Outcomes), maxOutcomes)
	case slices.ContainsFunc(r.Outcomes, outcome.absurd):
		return errors.New("an outcome has no date or too long a word")
	case r.Open == nil:
		return nil
	}
	o := r.Open
	switch {
	case o.Until.IsZero(), o.Last.absurd():
		return errors.New("open without a date")
	case !slices.Contains(reasons, o.Reason):
		return fmt.Errorf("reason is %q, must be one of %q", o.Reason, reasons)
	case o.Times < 0, o.Failures < 0, o.Successes < 0, o.Consecutive < 0, !(o.RetryAfter >= 0):
		return errors.New("a count is negative")
	case !isWord(o.Trace):
		return errors.New("trace is not a word")
	case o.Lease != nil && (o.Lease.ID == "" || !isWord(o.Lease.ID) || !isWord(o.Lease.Host)):
		return errors.New("a lease without an owner")
	}
	return nil
}

func (o outcome) absurd() bool {
	return o.At.IsZero() || !isWord(o.Class) || !isWord(o.Host)
}

// encode returns the stored form of r. A record is written for people too.
func (r record) encode() ([]byte, error) {
	r.Format = format
	value, err := json.MarshalIndent(r, "", "\t")
	if err != nil { // a year beyond 9999, for one
		return nil, fmt.Errorf("breaker/shared: %w", err)
	}
	return append(value, '\n'), nil
}

// isWord reports whether s is short and can be printed on a terminal.
func isWord(s string) bool {
	return len(s) <= maxWord && !strings.ContainsFunc(s, unprintable)
}

// word makes a word of s.
func word(s string) string {
	s = strings.Map(func(r rune) rune {
		if unprintable(r) {
			return '?'
		}
		return r
	}, s)
	for len(s) > maxWord {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) || r == utf8.RuneError }

// reasons are those for which this package opens a circuit.
var reasons = []breaker.Reason{
	breaker.ReasonConsecutive, breaker.ReasonFailureRatio,
	breaker.ReasonProbeFailed, breaker.ReasonProbeTimeout,
}
