package redoubt

import (
	"net/http"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
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
			if d, ok := roundtrip.Delay(v, time.Millisecond); ok {
				return d, d > 0
			}
		}
	}
	for _, v := range h["Retry-After"] {
		if d, ok := roundtrip.RetryAfter(v, h.Get("Date"), now); ok {
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
			d, ok := roundtrip.Delay(v, time.Second)
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
