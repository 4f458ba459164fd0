package engine

import (
	"strings"
	"testing"
)

func report() *Report {
	return &Report{Clients: []*Result{
		{
			Client: "bare", Run: &Summary{UsefulPercent: 80, Amplification: 1}, Fault: &Summary{UsefulPercent: 50, Seconds: 7},
			InFlightPeak: 400, RecoveryMS: new(800.0),
		},
		{
			Client: "redoubt", Parameters: map[string]float64{"cooldown": 1000},
			Run:   &Summary{UsefulPercent: 92, Amplification: 1.2, Latency: Quantiles{P99MS: 530}},
			Fault: &Summary{UsefulPercent: 65, Transitions: 14, Seconds: 7}, InFlightPeak: 130, RecoveryMS: new(1200.0),
		},
		{Client: "naive", Run: &Summary{}, Fault: &Summary{}},
	}}
}

func TestCheck(t *testing.T) {
	tests := []struct {
		check  string
		client string
		ok     bool
	}{
		{"useful >= 92", "redoubt", true},
		{"useful >= 92.1%", "redoubt", false},
		{"useful > 92", "redoubt", false},
		{"useful == 92", "redoubt", true},
		{"useful@fault >= bare + 15", "redoubt", true},
		{"useful@fault>=bare+15.5", "redoubt", false},
		{"in_flight <= 0.35 * bare", "redoubt", true},
		{"in_flight < 0.3*bare + 10", "redoubt", false},
		{"recovery <= bare + 0.4s", "redoubt", true},
		{"recovery <= cooldown + 200ms", "redoubt", true},
		{"recovery <= cooldown + 199999us", "redoubt", false},
		{"recovery <= 2s", "naive", false}, // never
		{"recovery <= naive", "redoubt", true},
		{"recovery <= naive", "naive", true},
		{"p99 <= 530", "redoubt", true},
		{"p99 <= 0.5s", "redoubt", false},
		{"transitions_per_second@fault <= 2", "redoubt", true},
		{"amplification <= 1 or useful >= bare + 10", "redoubt", true},
		{"amplification <= 1 or useful >= bare + 20", "redoubt", false},
		{"time_to_open <= 1s", "redoubt", false}, // it did not
		{"useful@after >= 1", "redoubt", false},  // there is none
		{"recovery <= rival", "redoubt", false},  // there is none
		{"useful >= 1", "rival", false},
	}
	for _, tt := range tests {
		c, err := ParseCheck(tt.check)
		if err != nil {
			t.Errorf("ParseCheck(%q): %v", tt.check, err)
			continue
		}
		if v := c.Judge(report(), tt.client); v.OK != tt.ok {
			t.Errorf("%v, want %v", v, tt.ok)
		}
	}
}

func TestCheckErrors(t *testing.T) {
	tests := []struct{ check, want string }{
		{"", `check "": "" is not of the form METRIC <= BOUND`},
		{"useful", `check "useful": "useful" is not of the form METRIC <= BOUND`},
		{"uselessness >= 1", `check "uselessness >= 1": metric is "uselessness", must be one of useful, `},
		{"useful@later >= 1", `scope is "later", must be run, fault or after`},
		{"recovery@fault >= 1", `scope is "fault", must not be given for recovery`},
		{"useful >= ", `bound is "", must be like 10, 2s, bare + 15, 0.35 * bare or cooldown + 0.2s`},
		{"useful >= + 5", `bound is "+ 5"`},
		{"useful >= bare 5", `bound is "bare 5"`},
		{"useful >= 2 * 5", `bound is "2 * 5"`},
		{"useful >= 1.2.3", `number is "1.2.3", must be a decimal number`},
		{"useful >= 10s", `unit is "s", does not suit useful`},
		{"recovery <= 10%", `unit is "%", does not suit recovery`},
		{"useful >= 1 or nonsense", `"nonsense" is not of the form`},
	}
	for _, tt := range tests {
		if _, err := ParseCheck(tt.check); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("ParseCheck(%q): %v\nwant %s", tt.check, err, tt.want)
		}
	}
}

func TestVerdictString(t *testing.T) {
	c, err := ParseCheck("recovery <= bare + 0.5s")
	if err != nil {
		t.Fatal(err)
	}
	for client, want := range map[string]string{
		"redoubt": "ok   redoubt: recovery <= bare + 0.5s (1200 against 1300)",
		"naive":   "MISS naive: recovery <= bare + 0.5s (never against 1300)",
		"rival":   "MISS rival: recovery <= bare + 0.5s (no such client)",
	} {
		if got := c.Judge(report(), client).String(); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
