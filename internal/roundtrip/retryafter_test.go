package roundtrip

import (
	"math"
	"testing"
	"time"
)

func TestRetryAfterOverflow(t *testing.T) {
	for _, value := range []string{"9223372036", "9223372037", "9223372036854775807", "9223372036854775808", "1000000000000000000000"} {
		d, ok := RetryAfter(value, "", time.Now())
		if !ok || d < math.MaxInt64/10*9 {
			t.Errorf("%s: %v, %v", value, d, ok)
		}
	}
}

func TestRetryAfterShortYear(t *testing.T) {
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for year, want := range map[string]int{"26": 2026, "70": 2070, "76": 2076, "77": 1977, "94": 1994} {
		at, err := time.Parse(time.RFC850, "Sunday, 01-Nov-"+year+" 00:00:00 GMT")
		if err != nil {
			t.Fatal(err)
		}
		if got := nearestCentury(at, now).Year(); got != want {
			t.Errorf("%s: %d, want %d", year, got, want)
		}
	}
}
