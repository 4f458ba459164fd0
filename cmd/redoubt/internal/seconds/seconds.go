// Package seconds is the flag for a time of all commands: a number of seconds,
// as redo and hgtool take it, or what Go calls a duration.
package seconds

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// A Value is a flag for a time that is not negative. The zero Value is 0s.
type Value time.Duration

// Var adds the flag name to fs, whose value goes into d and is begin without it.
func Var(fs *pflag.FlagSet, d *time.Duration, name string, begin time.Duration, usage string) {
	*d = begin
	fs.Var((*Value)(d), name, usage)
}

// String returns the time as Go writes it.
func (v *Value) String() string { return time.Duration(*v).String() }

// Type is what the help calls it.
func (*Value) Type() string { return "duration" }

// Set reads a time.
func (v *Value) Set(text string) error {
	d, err := Parse(text)
	if err != nil {
		return err
	}
	*v = Value(d)
	return nil
}

// Duration returns the time.
func (v *Value) Duration() time.Duration { return time.Duration(*v) }

// Parse reads a time: 30 and 0.5 are seconds, 500ms and 1m30s are what they say.
func Parse(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if err != nil {
		number, err := strconv.ParseFloat(text, 64)
		if err != nil || !isDecimal(text) {
			return 0, errors.New("must be a number of seconds or a duration such as 500ms or 1m30s")
		}
		if number*float64(time.Second) >= math.MaxInt64 {
			return 0, errors.New("must be less than 292 years")
		}
		d = time.Duration(number * float64(time.Second))
	}
	if d < 0 {
		return 0, errors.New("must not be negative")
	}
	return d, nil
}

// isDecimal rules out numbers such as 0x1p4, Inf and 1_000.
func isDecimal(text string) bool { return strings.Trim(text, "+-.0123456789") == "" }
