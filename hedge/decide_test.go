package hedge

import "testing"

func TestWithhold(t *testing.T) {
	for _, test := range []struct {
		facts facts
		want  string
	}{
		{facts{}, ""},
		{facts{cancelled: true}, "cancelled"},
		{facts{failed: true}, "failed"},
		{facts{throttled: true}, "throttled"},
		{facts{open: true}, "breaker"},
		{facts{withheld: true}, "rule"},
		{facts{cancelled: true, failed: true, throttled: true, open: true, withheld: true}, "cancelled"},
		{facts{failed: true, throttled: true, open: true, withheld: true}, "failed"},
		{facts{throttled: true, open: true, withheld: true}, "throttled"},
		{facts{open: true, withheld: true}, "breaker"},
	} {
		if got := withhold(test.facts); got != test.want {
			t.Errorf("withhold(%+v) = %q, want %q", test.facts, got, test.want)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, test := range []struct {
		attempts []state
		n        int
		known    bool
	}{
		{[]state{pending}, 0, false},
		{[]state{succeeded}, 0, true},
		{[]state{failed}, 0, true},
		{[]state{pending, pending}, 0, false},
		{[]state{pending, failed}, 0, false},
		{[]state{failed, pending}, 0, false},
		{[]state{succeeded, pending}, 0, true},
		{[]state{pending, succeeded}, 1, true},
		{[]state{failed, succeeded}, 1, true},
		{[]state{succeeded, failed}, 0, true},
		{[]state{failed, failed}, 0, true},
		{[]state{failed, failed, pending}, 0, false},
		{[]state{failed, pending, succeeded}, 2, true},
		{[]state{failed, failed, failed}, 0, true},
	} {
		if n, known := verdict(test.attempts); n != test.n || known != test.known {
			t.Errorf("verdict(%v) = %d, %v, want %d, %v", test.attempts, n, known, test.n, test.known)
		}
	}
}
