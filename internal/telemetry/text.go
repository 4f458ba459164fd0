package telemetry

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxDescription bounds a span's status description, in bytes. An error's text
// may hold a whole response.
const maxDescription = 1024

// describe returns err's text for a span's status. It does not panic even if
// err.Error does.
func describe(err error) string {
	const ellipsis = "…"
	s := valid(fmt.Sprint(err))
	if len(s) <= maxDescription {
		return s
	}
	end := maxDescription - len(ellipsis)
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + ellipsis
}

// valid returns s with "?" for what is not UTF-8. One string that is not would
// cost an exporter the whole batch.
func valid(s string) string { return strings.ToValidUTF8(s, "?") }
