package loadcmd

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/seconds"
)

// positive is a flag for a duration above zero. Zero is not given.
type positive time.Duration

func (p *positive) String() string {
	if *p == 0 {
		return ""
	}
	return time.Duration(*p).String()
}

// Type is what the help calls it.
func (*positive) Type() string { return "duration" }

// shortest is the shortest run; a cell of the report is as long.
const shortest = 100 * time.Millisecond

func (p *positive) Set(text string) error {
	d, err := seconds.Parse(text)
	if err == nil && d < shortest {
		err = fmt.Errorf("must be at least %v, as a number of seconds or a duration such as 500ms or 1m30s", shortest)
	}
	if err != nil {
		return err
	}
	*p = positive(d)
	return nil
}

// rate is a flag for requests a second.
type rate float64

func (r *rate) String() string { return strconv.FormatFloat(float64(*r), 'g', -1, 64) }

// Type is what the help calls it.
func (*rate) Type() string { return "rate" }

func (r *rate) Set(text string) error {
	v, err := parseRate(text)
	*r = rate(v)
	return err
}

// rates is a flag for several rates.
type rates []float64

func (r *rates) String() string {
	var parts []string
	for _, v := range *r {
		parts = append(parts, strconv.FormatFloat(v, 'g', -1, 64))
	}
	return strings.Join(parts, ",")
}

// Type is what the help calls it.
func (*rates) Type() string { return "rates" }

func (r *rates) Set(text string) error {
	*r = nil
	for part := range strings.SplitSeq(text, ",") {
		v, err := parseRate(strings.TrimSpace(part))
		if err != nil {
			return err
		}
		*r = append(*r, v)
	}
	return nil
}

var errRate = errors.New("must be a number of requests a second, above 0 and at most " + strconv.Itoa(scenario.MaxRate))

func parseRate(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(v) || v <= 0 || v > scenario.MaxRate {
		return 0, errRate
	}
	return v, nil
}
