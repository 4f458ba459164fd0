package runcmd

import (
	"testing"
	"time"
)

func TestParseSeconds(t *testing.T) {
	for _, tt := range []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"0", 0, true},
		{"30", 30 * time.Second, true},
		{"0.5", 500 * time.Millisecond, true},
		{".5", 500 * time.Millisecond, true},
		{"500ms", 500 * time.Millisecond, true},
		{"1m30s", 90 * time.Second, true},
		{"+3", 3 * time.Second, true},
		{"", 0, false},
		{"-1", 0, false},
		{"-1s", 0, false},
		{"1e3", 0, false},
		{"0x10", 0, false},
		{"inf", 0, false},
		{"NaN", 0, false},
		{"1_000", 0, false},
		{"99999999999999", 0, false},
		{"ten", 0, false},
		{"5 s", 0, false},
	} {
		got, err := parseSeconds(tt.text)
		if got != tt.want || (err == nil) != tt.ok {
			t.Errorf("parseSeconds(%q) = %v, %v; want %v, %v", tt.text, got, err, tt.want, tt.ok)
		}
	}
}

func FuzzParseSeconds(f *testing.F) {
	for _, s := range []string{"1", "0.5", "1h", "9223372036.854775807", "-0"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if d, err := parseSeconds(text); err == nil && d < 0 {
			t.Errorf("parseSeconds(%q) = %v", text, d)
		}
	})
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		texts []string
		want  string // "" if the last must be refused
		in    []int
		out   []int
	}{
		{[]string{"1"}, "1", []int{1}, []int{0, 2}},
		{[]string{"1,75", "128-143"}, "1,75,128-143", []int{1, 75, 128, 130, 143}, []int{2, 127, 144}},
		{[]string{" 3 , 4"}, "3,4", []int{3, 4}, []int{34}},
		{[]string{""}, "", nil, nil},
		{[]string{"0"}, "", nil, nil},
		{[]string{"256"}, "", nil, nil},
		{[]string{"5-3"}, "", nil, nil},
		{[]string{"1,"}, "", nil, nil},
		{[]string{"-1"}, "", nil, nil},
		{[]string{"x"}, "", nil, nil},
	} {
		var c exitCodes
		var err error
		for _, text := range tt.texts {
			err = c.Set(text)
		}
		if (err == nil) != (tt.want != "") || err == nil && c.String() != tt.want {
			t.Errorf("%q: %v, %v; want %q", tt.texts, c.String(), err, tt.want)
		}
		for _, code := range tt.in {
			if !c.contain(code) {
				t.Errorf("%q does not contain %d", tt.texts, code)
			}
		}
		for _, code := range tt.out {
			if c.contain(code) {
				t.Errorf("%q contains %d", tt.texts, code)
			}
		}
	}
}
