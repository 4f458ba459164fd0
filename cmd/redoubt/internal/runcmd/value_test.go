package runcmd

import "testing"

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
