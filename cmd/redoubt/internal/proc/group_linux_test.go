package proc

import "testing"

func TestParseStat(t *testing.T) {
	for _, tt := range []struct {
		stat  string
		pgrp  int
		state byte
		ok    bool
	}{
		{"1 (init) S 0 1 1 0", 1, 'S', true},
		{"7 (a) Z 1 (b)) R 1 42 7", 42, 'R', true},
		{"7 (x", 0, 0, false},
		{"7 (x) R", 0, 0, false},
		{"", 0, 0, false},
	} {
		pgrp, state, ok := parseStat([]byte(tt.stat))
		if ok != tt.ok || ok && (pgrp != tt.pgrp || state != tt.state) {
			t.Errorf("parseStat(%q) = %d, %c, %v", tt.stat, pgrp, state, ok)
		}
	}
}
