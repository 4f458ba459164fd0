package redoubt

import (
	"net/http"
	"testing"
	"time"
)

func FuzzRetryAfter(f *testing.F) {
	for _, seed := range []string{
		"", "0", "7", "-1", "1.5", "soon", "9223372036854775807", "99999999999999999999",
		"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994",
		`"default";r=0;t=5`, `"a\";,";r=0;t=9223372036854775807`, `;;;,,"`,
	} {
		f.Add(seed, "Sun, 06 Nov 1994 08:49:30 GMT", 429)
	}
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, value, date string, status int) {
		for _, name := range []string{"Retry-After", "Ratelimit", "Retry-After-Ms"} {
			tr := &Transport{RetryAfterMillis: []string{"Retry-After-Ms"}}
			d, ok := tr.retryAfter(status, http.Header{name: {value}, "Date": {date}}, now)
			if ok != (d > 0) {
				t.Errorf("%s: %q: %v, %v", name, value, d, ok)
			}
			if ok && !tellsRetryAfter(status) {
				t.Errorf("%s: %q means something on %d", name, value, status)
			}
		}
	})
}
