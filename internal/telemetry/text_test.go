package telemetry

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func FuzzDescribe(f *testing.F) {
	for _, s := range []string{"", "down", "a\xffb", strings.Repeat("€", 400), strings.Repeat("\xff", 2000), strings.Repeat("a", 1024)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := describe(errors.New(s))
		if !utf8.ValidString(got) {
			t.Errorf("%q is not UTF-8", got)
		}
		if len(got) > maxDescription {
			t.Errorf("%d bytes, want at most %d", len(got), maxDescription)
		}
		if utf8.ValidString(s) && len(s) <= maxDescription && got != s {
			t.Errorf("%q, want it unchanged: %q", got, s)
		}
	})
}
