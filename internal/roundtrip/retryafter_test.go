package roundtrip

import (
	"math"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	const s = time.Second
	now := time.Date(2026, 11, 6, 8, 49, 37, 0, time.UTC)
	const sent = "Sun, 06 Nov 1994 08:49:37 GMT"
	tests := []struct {
		value, date string
		want        time.Duration
		ok          bool
	}{
		{"0", "", 0, true},
		{" 7 ", "", 7 * s, true},
		{"9223372036", "", 9223372036 * s, true},
		{"9223372037", "", math.MaxInt64, true},
		{"99999999999999999999", "", math.MaxInt64, true},
		{"", "", 0, false},
		{"-1", "", 0, false},
		{"+1", "", 0, false},
		{"1.5", "", 0, false},
		{"soon", "", 0, false},

		{"Fri, 06 Nov 2026 08:49:40 GMT", "", 3 * s, true},
		{"Fri, 06 Nov 2026 08:49:30 GMT", "", 0, true}, // over
		{"Fri, 06 Nov 2026 08:49:40 GMT", "soon", 3 * s, true},
		{"Sun, 06 Nov 1994 08:49:40 GMT", sent, 3 * s, true}, // by the server's clock
		{"Sun Nov  6 08:49:40 1994", sent, 3 * s, true},
		{"Friday, 06-Nov-26 08:49:40 GMT", "", 3 * s, true},

		// Years of two digits lie at most 50 years ahead.
		{"Sunday, 06-Nov-94 08:49:40 GMT", sent, 3 * s, true},
		{"Wednesday, 06-Nov-44 08:49:37 GMT", sent, days(1994, 2044), true},
		{"Sunday, 06-Nov-45 08:49:37 GMT", sent, 0, true},              // 1945
		{"Wednesday, 06-Nov-68 08:49:37 GMT", sent, 0, true},           // 1968, not 2068
		{"Friday, 06-Nov-76 08:49:37 GMT", "", days(2026, 2076), true}, // not 1976
		{"Friday, 06-Nov-76 08:49:38 GMT", "", 0, true},                // 1976, as 2076 is too late
	}
	for _, tt := range tests {
		if got, ok := RetryAfter(tt.value, tt.date, now); got != tt.want || ok != tt.ok {
			t.Errorf("RetryAfter(%q, %q) = %v, %t; want %v, %t", tt.value, tt.date, got, ok, tt.want, tt.ok)
		}
	}
}

// days returns the time from the sixth of November of one year to that of another.
func days(from, to int) time.Duration {
	return time.Date(to, 11, 6, 0, 0, 0, 0, time.UTC).Sub(time.Date(from, 11, 6, 0, 0, 0, 0, time.UTC))
}
