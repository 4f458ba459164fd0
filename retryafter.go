package redoubt

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// retryAfter returns how long the server that answered with status and h asks to
// be left alone. It reports false if the server does not say, says something
// that makes no sense, or names a time that has come.
func (t *Transport) retryAfter(status int, h http.Header, now time.Time) (time.Duration, bool) {
	if !tellsRetryAfter(status) {
		return 0, false
	}
	for _, name := range t.RetryAfterMillis {
		for _, v := range h.Values(name) {
			if d, ok := parseDelay(v, time.Millisecond); ok {
				return d, d > 0
			}
		}
	}
	for _, v := range h["Retry-After"] {
		if d, ok := parseRetryAfter(v, h.Get("Date"), now); ok {
			return d, d > 0
		}
	}
	if status == http.StatusTooManyRequests {
		return parseRateLimit(h["Ratelimit"])
	}
	return 0, false
}

// tellsRetryAfter reports whether Retry-After means something to us on status.
// On a redirect it is the business of whoever follows it.
func tellsRetryAfter(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusRequestEntityTooLarge, http.StatusTooEarly,
		http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return true
	}
	return false
}

// parseRetryAfter reads one value of the field Retry-After: seconds, or a date in
// one of three formats. A date is taken against the response's own Date, if
// there is one, since the clocks of both sides may differ.
//
// Source: RFC 9110, sections 10.2.3 and 5.6.7.
func parseRetryAfter(value, date string, now time.Time) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if d, ok := parseDelay(value, time.Second); ok {
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

// parseDelay reads a number of units, in digits only. What is too long for a
// Duration becomes the longest.
func parseDelay(value string, unit time.Duration) (time.Duration, bool) {
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

// parseRateLimit reads the field RateLimit, a list of policies such as
// "default";r=0;t=5, and returns the longest time after which a policy that is
// used up grants something again.
//
// Source: draft-ietf-httpapi-ratelimit-headers-10, section 4.
func parseRateLimit(values []string) (time.Duration, bool) {
	longest := time.Duration(0)
	for _, item := range splitQuoted(strings.Join(values, ","), ',') {
		usedUp := false
		reset := time.Duration(0)
		for _, param := range splitQuoted(item, ';')[1:] {
			name, v, _ := strings.Cut(strings.TrimSpace(param), "=")
			d, ok := parseDelay(v, time.Second)
			switch {
			case !ok:
			case name == "r":
				usedUp = d == 0
			case name == "t":
				reset = d
			}
		}
		if usedUp {
			longest = max(longest, reset)
		}
	}
	return longest, longest > 0
}

// splitQuoted splits s at sep, but not within double quotes.
func splitQuoted(s string, sep byte) []string {
	var parts []string
	start, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quoted:
			i++
		case s[i] == '"':
			quoted = !quoted
		case s[i] == sep && !quoted:
			parts = append(parts, s[start:i])
			start = i + 1
		}
	}
	return append(parts, s[start:])
}
