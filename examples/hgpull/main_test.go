package main

import (
	"bytes"
	"regexp"
	"testing"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, nil); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	want := regexp.MustCompile(`^dead: retry: gave up after 2 attempts: hg: exit status 255: .*refused
hanging: retry: gave up after 2 attempts: timeout: exceeded 1s
stale: pulled
dead: breaker: dead is open \(2 failures in a row\), last: hg: exit status 255: .*refused
hanging: breaker: hanging is open \(2 failures in a row\), last: timeout: exceeded 1s
stale: it does not have the revision
upstream: pulled
$`)
	if !want.MatchString(out.String()) {
		t.Errorf("got:\n%s\nwant:\n%v", out.String(), want)
	}
}

func TestRunUsage(t *testing.T) {
	if err := run(t.Context(), new(bytes.Buffer), []string{"repo"}); err == nil {
		t.Error("one argument: got no error")
	}
}
