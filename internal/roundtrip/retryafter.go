package roundtrip

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// RetryAfter reads one value of the field Retry-After: seconds, or a date in
// one of three formats. A date is taken against the response's own Date, if
// there is one, since the clocks of both sides may differ.
//
// Source: RFC 9110, sections 10.2.3 and 5.6.7.
func RetryAfter(value, date string, now time.Time) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if d, ok := Delay(value, time.Second); ok {
		return d, true
	}
	if sent, err := http.ParseTime(date); err == nil {
		now = sent
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	if shortYear, err := time.Parse(time.RFC850, value); err == nil {
		at = nearestCentury(shortYear, now)
	}
	return max(at.Sub(now), 0), true
}

// nearestCentury places a date with a year of two digits: not more than 50 years
// ahead.
func nearestCentury(at, now time.Time) time.Time {
	for at.After(now.AddDate(50, 0, 0)) {
		at = at.AddDate(-100, 0, 0)
	}
	for next := at.AddDate(100, 0, 0); !next.After(now.AddDate(50, 0, 0)); next = at.AddDate(100, 0, 0) {
		at = next
	}
	return at
}

// Delay reads a number of units, in digits only. What is too long for a
// Duration becomes the longest.
func Delay(value string, unit time.Duration) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if value == "" || strings.Trim(value, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n > math.MaxInt64/int64(unit) {
		return math.MaxInt64, true
	}
	return time.Duration(n) * unit, true
}
