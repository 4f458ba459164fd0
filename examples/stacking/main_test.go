package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
)

// took is the one number that differs from run to run.
var took = regexp.MustCompile(`took \d+ ms, `)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	run(t.Context(), &out)
	got := took.ReplaceAllString(out.String(), "")
	for _, want := range []string{
		"timeout > retry, and the dependency hangs\n",
		"calls of the dependency: 1, breaker: closed\n  error: retry: gave up after 1 attempt (time is up): timeout: exceeded 100ms\n",
		"calls of the dependency: 3, breaker: closed\n  error: retry: gave up after 3 attempts: timeout: exceeded 100ms\n",
		"calls of the dependency: 2, breaker: closed\n  error: retry: gave up after 2 attempts (time is up): timeout: exceeded 200ms\n",
		"calls of the dependency: 2, breaker: open\n  error: retry: gave up after 3 attempts: breaker: billing is open (2 failures in a row), last: connection refused\n",
		"calls of the dependency: 3, breaker: closed\n  error: retry: gave up after 3 attempts: connection refused\n",
		"calls of the dependency: 1, breaker: closed\n  error: timeout: exceeded 100ms\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("output lacks %q", want)
		}
	}
	if n := strings.Count(got, "error: "); n != len(orders) {
		t.Errorf("%d orders shown, want %d", n, len(orders))
	}
	if t.Failed() {
		t.Logf("output:\n%s", got)
	}
}
