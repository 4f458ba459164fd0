package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, false); err != nil {
		t.Fatal(err)
	}
	want := `billing: attempt 1 fails
billing: attempt 2 fails
billing: invoice 7 over 19.95 on attempt 3
billing: no such customer, after one attempt
export: attempt 1 was killed: timeout: exceeded 500ms
export: exported
`
	if got := out.String(); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestRunSpans(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, true); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"Name": "redoubt billing"`, `"Name": "attempt billing"`, `"redoubt.retry"`, `"redoubt.timeout"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the exported spans lack %s", want)
		}
	}
}
