package redoubttest

import (
	"errors"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	tests := []struct {
		script string
		want   string // String of the result; same as script if empty
	}{
		{"ok", ""},
		{"503, reset, slow 3s, 200", "503, reset, slow 3s ok, 200"},
		{"503,RESET,Slow 3s 503", "503, reset, slow 3s 503"},
		{"  ok\n,\tEOF ", "ok, eof"},
		{"3*503, ok", ""},
		{"1*503", "503"},
		{"2*slow 1s reset, end", ""},
		{"slow 0s fail", "fail"},
		{"slow 90s", "slow 1m30s ok"},
		{"refused, eof, timeout, hang, fail, panic, goexit, truncated", ""},
		{"503 Retry-After=2", "503 retry-after=2"},
		{"503 retry-after=date+5s, 429 retry-after=date-1m", ""},
		{`503 retry-after="Fri, 31 Dec 1999 23:59:59 GMT"`, ""},
		{`429 ratelimit="\"default\";r=0;t=5" x=1`, ""},
		{"200 body=2048", ""},
		{"ok x=1 body=0", "ok body=0 x=1"},
		{`ok x= y="plain"`, `ok x="" y=plain`},
		{`ok x="ä"`, ""},
		{"ok x=a=b", ""},
	}
	for _, tt := range tests {
		t.Run(tt.script, func(t *testing.T) {
			s, err := Parse(tt.script)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if want == "" {
				want = tt.script
			}
			if got := s.String(); got != want {
				t.Errorf("String() = %q, want %q", got, want)
			}
		})
	}
}

func TestParse_Error(t *testing.T) {
	tests := []struct {
		script string
		step   int
		offset int
		reason string
	}{
		{"", 1, 0, "step is empty"},
		{"   ", 1, 3, "step is empty"},
		{"ok,", 2, 3, "step is empty"},
		{"ok, ,fail", 2, 4, "step is empty"},
		{"503, rset", 2, 5, `unknown outcome "rset"`},
		{"status", 1, 0, `unknown outcome "status"`},
		{"199", 1, 0, "status 199 is not from 200 to 599"},
		{"ok, 600", 2, 4, "status 600 is not from 200 to 599"},
		{"-503", 1, 0, `unknown outcome "-503"`},
		{"slow", 1, 0, `"slow" needs a duration`},
		{"slow 3", 1, 5, `bad duration "3"`},
		{"slow -3s", 1, 5, `bad duration "-3s"`},
		{"slow 1s slow 1s", 1, 8, `unknown outcome "slow"`},
		{"0*503", 1, 0, `bad repetition "0": want a number from 1 to 1000000`},
		{"ok, x*503", 2, 4, `bad repetition "x": want a number from 1 to 1000000`},
		{"3* 503", 1, 2, "nothing to repeat right after the *"},
		{"2*3*503", 1, 2, `unknown outcome "3*503"`},
		{"end, ok", 1, 0, `"end" must be the last step`},
		{"503 retry-after", 1, 4, `unexpected "retry-after"`},
		{"reset x=1", 1, 6, `"reset" is not a response and takes no "x=1"`},
		{"ok body=-1", 1, 8, `bad body size "-1": want a number from 0 to 67108864`},
		{"ok body=99999999999", 1, 8, `bad body size "99999999999": want a number from 0 to 67108864`},
		{"ok =1", 1, 3, `bad header name ""`},
		{"ok a:b=1", 1, 3, `bad header name "a:b"`},
		{`ok, ok x="1`, 2, 9, "quote is not closed"},
		{`ok x="1"2`, 1, 5, `bad quoting "1"2`},
		{`ok x='"'`, 1, 6, "quote is not closed"},
		{`ok x="\n"`, 1, 5, `control character in header value "\n"`},
	}
	for _, tt := range tests {
		t.Run(tt.script, func(t *testing.T) {
			_, err := Parse(tt.script)
			var got *ParseError
			if !errors.As(err, &got) {
				t.Fatalf("err = %v, want a *ParseError", err)
			}
			want := ParseError{Script: tt.script, Step: tt.step, Offset: tt.offset, Reason: tt.reason}
			if *got != want {
				t.Errorf("err = %+v, want %+v", *got, want)
			}
		})
	}
}

func TestParseError(t *testing.T) {
	_, err := Parse("503, rset")
	want := `redoubttest: script "503, rset": step 2 (offset 5): unknown outcome "rset"`
	if err == nil || err.Error() != want {
		t.Errorf("err = %v, want %s", err, want)
	}
}

func TestMustParse_Panics(t *testing.T) {
	defer func() {
		if _, ok := recover().(*ParseError); !ok {
			t.Error("no panic with a *ParseError")
		}
	}()
	MustParse("nonsense")
}

func TestScript_at(t *testing.T) {
	tests := []struct {
		script string
		want   []string
	}{
		{"503, 2*reset, ok", []string{"503", "reset", "reset", "ok", "ok", "ok"}},
		{"ok, end", []string{"ok", "end", "end"}},
		{"3*fail", []string{"fail", "fail", "fail", "fail"}},
	}
	for _, tt := range tests {
		s := MustParse(tt.script)
		for i, want := range tt.want {
			if got := s.at(i + 1).String(); got != want {
				t.Errorf("%q: call %d is answered %q, want %q", tt.script, i+1, got, want)
			}
		}
	}
	if got := (Script{}).at(7).String(); got != "ok" {
		t.Errorf("zero Script answers %q, want ok", got)
	}
	if got := (Script{}).String(); got != "ok" {
		t.Errorf("zero Script is %q, want ok", got)
	}
}

func TestStep_header(t *testing.T) {
	now := time.Date(2000, 1, 1, 0, 0, 0, 0, time.FixedZone("CET", 3600))
	tests := []struct{ step, want string }{
		{"503 retry-after=2", "2"},
		{"503 retry-after=date+5s", "Fri, 31 Dec 1999 23:00:05 GMT"},
		{"503 retry-after=date-1m", "Fri, 31 Dec 1999 22:59:00 GMT"},
		{"503 retry-after=date", "date"},
		{"503 retry-after=date+soon", "date+soon"},
	}
	for _, tt := range tests {
		h := MustParse(tt.step).at(1).header(now)
		if got := h.Get("Retry-After"); got != tt.want {
			t.Errorf("%s: Retry-After = %q, want %q", tt.step, got, tt.want)
		}
	}
	h := MustParse("ok x-a=1 X-A=2 x-date=date+5s").at(1).header(now)
	if got := h.Values("X-A"); len(got) != 2 || got[0] != "1" || got[1] != "2" {
		t.Errorf("X-A = %q, want 1 and 2", got)
	}
	if got := h.Get("X-Date"); got != "date+5s" {
		t.Errorf("X-Date = %q, want it untouched", got)
	}
	if len(h) != 2 {
		t.Errorf("headers = %v, want 2", h)
	}
}
