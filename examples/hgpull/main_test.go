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
	want := regexp.MustCompile(`^(http://\S+): hg: exit status 255: .*refused
(http://\S+): hg: exit status 255: .*refused
(http://\S+): timeout: exceeded 1s
(http://\S+): timeout: exceeded 1s
(http://\S+): pulled
(http://\S+): it does not have the revision
(http://\S+): pulled
$`)
	who := want.FindStringSubmatch(out.String())
	if who == nil {
		t.Fatalf("got:\n%s\nwant:\n%v", out.String(), want)
	}
	// The first two are asked twice and then left alone.
	if who[1] != who[2] || who[3] != who[4] || who[5] != who[6] || who[6] == who[7] {
		t.Errorf("the servers are not those that were expected:\n%s", out.String())
	}
}

func TestRunUsage(t *testing.T) {
	if err := run(t.Context(), new(bytes.Buffer), []string{"repo"}); err == nil {
		t.Error("one argument: got no error")
	}
}
