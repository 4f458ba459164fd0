package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	for _, tt := range []struct{ title, want string }{
		{"trigger, while all is well", "answer: 1\n  requests to the server: 1"},
		{"trigger without a key, and the answer is lost", "look before asking again\n  requests to the server: 1"},
		{"trigger with a key, and the answer is lost", "answer: 3\n  requests to the server: 2"},
		{"trigger with the same key once more", "answer: 3\n  requests to the server: 1"},
		{"cancel, and the server hangs once", "answer: cancelled\n  requests to the server: 2"},
		{"ask for the status, and the server hangs", "gave up after 3 attempts: redoubt: no response headers within 200ms (earlier: timeout ×2)\n"},
		{"ask for the status, and the server is broken", "the build server says 500 Internal Server Error\n  advice: ask the server's owner\n  requests to the server: 2"},
		{"trigger, after all that", "the server was not asked; come back in about "},
		{"trigger, after all that", "0s\n  requests to the server: 0"}, // 20, 30 or 40: cooldowns are jittered
		{"", "\n3 builds were triggered, as many as were ordered.\n"},
	} {
		if !strings.Contains(section(text, tt.title), tt.want) {
			t.Errorf("after %q: want %q", tt.title, tt.want)
		}
	}
	if t.Failed() {
		t.Logf("output:\n%s", text)
	}
}

// section returns the part of text that begins with the line title.
func section(text, title string) string {
	if title == "" {
		return text
	}
	_, rest, _ := strings.Cut(text, title+"\n")
	before, _, _ := strings.Cut(rest, "took ")
	return before
}
