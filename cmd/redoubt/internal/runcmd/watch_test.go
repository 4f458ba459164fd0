package runcmd

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

func TestWatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, text string
		want          bool
	}{
		{"b", "abc", true},
		{"^b", "abc", false},
		{"^b$", "a\nb\nc", true},
		{"^b$", "a\r\nb\r\n", true},
		{"^c$", "a\nb\nc", true},
		{"^$", "a\n\nb", true},
		{"a.b", "a\nb", false},
		{"needle", strings.Repeat("x", 3*maxLine) + "\nneedle", true},
		{"needle", strings.Repeat("x", 3*maxLine) + "needle\n", true},
	} {
		re := regexp.MustCompile(tt.pattern)
		for _, size := range []int{1, 2, 3, 1000, 1 << 20} { // of the pieces
			var out bytes.Buffer
			w := &watch{to: &out, patterns: []*regexp.Regexp{re}}
			for text := tt.text; text != ""; {
				n := min(size, len(text))
				if written, err := w.Write([]byte(text[:n])); written != n || err != nil {
					t.Fatal(written, err)
				}
				text = text[n:]
			}
			w.flush()
			if got := w.first([]*regexp.Regexp{re}) != nil; got != tt.want {
				t.Errorf("%q in %.20q in pieces of %d: %v", tt.pattern, tt.text, size, got)
			}
			if out.String() != tt.text {
				t.Errorf("passed on %.20q, want %.20q", &out, tt.text)
			}
			if cap(w.line) > 4*maxLine {
				t.Errorf("keeps %d bytes", cap(w.line))
			}
		}
	}
}
