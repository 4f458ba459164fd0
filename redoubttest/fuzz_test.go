package redoubttest

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"503, reset, slow 3s, 200",
		"3*503 retry-after=2, ok, end",
		"2*slow 1m30s 429 retry-after=date+5s body=12",
		`429 ratelimit="\"default\";r=0;t=5", truncated x="a, b" y=\`,
		"ok,", `ok x="`, "9999999999999*ok", "slow 1ns hang",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			checkParseError(t, text, err)
			return
		}
		again, err := Parse(s.String())
		if err != nil {
			t.Fatalf("Parse(%q.String()): %v", text, err)
		}
		if !reflect.DeepEqual(again, s) {
			t.Errorf("Parse(%q) = %+v, but as %q it is %+v", text, s, s, again)
		}
		for n := range 3 {
			s.at(n + 1).header(time.Time{})
		}
	})
}

func checkParseError(t *testing.T, text string, err error) {
	t.Helper()
	var pe *ParseError
	if !errors.As(err, &pe) {
		t.Fatalf("err = %v, want a *ParseError", err)
	}
	if pe.Script != text || pe.Step < 1 || pe.Offset < 0 || pe.Offset > len(text) || pe.Reason == "" {
		t.Errorf("Parse(%q): %+v is incomplete", text, pe)
	}
}
