package report

import (
	"fmt"
	"regexp"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

// The parts of a check that say what its value is compared with, and how.
var compares = regexp.MustCompile(`^([a-z0-9_]+)(?:@[a-z]+)?\s*(<=|>=|<|>|==)`)

// Verdict says in a line whether a client met a check, and what was measured and
// demanded.
func Verdict(v engine.Verdict) string {
	word := "met"
	if !v.OK {
		word = "missed"
	}
	if v.Problem != "" {
		return fmt.Sprintf("%s: %s: %s: %s", word, v.Client, v.Check, v.Problem)
	}
	operator, isTime := "", false
	if m := compares.FindStringSubmatch(v.Check); m != nil {
		operator = m[2] + " "
		for _, metric := range engine.Metrics() {
			isTime = isTime || metric.Name == m[1] && metric.Time
		}
	}
	return fmt.Sprintf("%s: %s: %s: got %s, want %s%s", word, v.Client, v.Check,
		quantity(v.Value, isTime), operator, quantity(v.Bound, isTime))
}

// never is above what a recovery takes that happens.
const never = 1e12

func quantity(v float64, isTime bool) string {
	switch {
	case v > never:
		return "never"
	case isTime && v < 0:
		return "-" + millis(-v)
	case isTime:
		return millis(v)
	}
	return number(v)
}
