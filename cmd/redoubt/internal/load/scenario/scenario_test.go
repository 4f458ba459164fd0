package scenario

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

func TestCatalogue(t *testing.T) {
	all := Catalogue()
	var numbers []string
	for _, s := range all {
		number, _, _ := strings.Cut(s.Name, "-")
		numbers = append(numbers, number)
		if s.Title == "" || len(s.Targets) == 0 || !strings.Contains(s.Source, "name: "+s.Name) {
			t.Errorf("%s: title %q, %d targets", s.Name, s.Title, len(s.Targets))
		}
		if err := s.Plan.Check(); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	want := "01 02 03 04 05 06 07 08 09 10 11 12 13 14 15 16 17 18 18b 19 20 20b 21 22 23 24 26 28 29"
	if got := strings.Join(numbers, " "); got != want {
		t.Errorf("scenarios: %s\nwant       %s", got, want)
	}
}

func TestLookup(t *testing.T) {
	for _, name := range []string{"09", "overload-trigger", "09-overload-trigger"} {
		s, err := Lookup(name)
		if err != nil || s.Name != "09-overload-trigger" {
			t.Errorf("Lookup(%q) = %v, %v", name, s, err)
		}
	}
	if _, err := Lookup("99"); err == nil || !strings.Contains(err.Error(), `"99" is unknown, must be one of 01-healthy, `) {
		t.Errorf("Lookup of an unknown one: %v", err)
	}
}

func TestParse(t *testing.T) {
	s, err := Parse("x.yaml", []byte(`
name: all-of-it
title: everything
about: at once
duration: 30s
rate: 50
bursts: [{from: 1s, to: 2s, rate: 500}]
arrivals: poisson
method: POST
idempotency-key: true
body-limit: 1000
useful-within: 2s
patience: 4s
wire: http1
new-connections: true
idle-timeout: 100ms
line-latency: 1ms
replicas: 4
service:
  time: {lognormal: {median: 5ms, sigma: 0.5}}
  slots: 8
  queue: 100
  skips-abandoned: true
  body: 2000
  full: {code: 429, retry-after: 1s}
windows: [{from: 5s, to: 12s}]
faults:
  - {name: a, during: {from: 5s, to: 12s, every: 2s, for: 1s}, chance: 0.5, per: request, replicas: [3], status: {code: 502, header: {X-Why: [test]}}}
  - {rate-limit: {per-second: 100, burst: 10, retry-after: 1s}}
  - {delay: {uniform: [1ms, 5ms]}}
  - {work: {exponential: 5ms}, during: {to: 9s}}
  - {work: {ramp: [205ms, 5ms]}, during: {from: 9s, to: 15s}}
  - {reset: true}
  - {lost-answer: true}
  - {refuse: true}
  - {no-host: true}
  - {syn-loss: true}
  - {packet-loss: true}
  - {black-hole: true}
  - {freeze: true}
  - {truncate: {after: 700}}
  - {drip: {over: 5s}}
  - {bandwidth: {bytes-per-second: 1000000}}
  - {hangup: {requests: 50}}
targets: [useful >= 99]
`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Rate != 50 || s.RateAt(1500*time.Millisecond) != 500 || !s.Poisson || s.Wire != HTTP1 || !s.NewConnections || s.Plan.Service.Full.Code != 429 {
		t.Errorf("got %+v", s)
	}
	f := s.Plan.Faults
	if len(f) != len(effects)+1 || f[0].During.Every != 2*time.Second || f[0].Per != faults.PerRequest || f[0].Replicas[0] != 3 {
		t.Errorf("faults: %+v", f)
	}
	if got := f[4].Effect.(faults.Work).Time(0, 0.5); got != 105*time.Millisecond {
		t.Errorf("ramp, half way: %v", got)
	}
}

func TestParseErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{"", "scenario x.yaml: is empty, must be a scenario"},
		{"name: a\n---\nname: b", "scenario x.yaml: has more than one document, must have one"},
		{"- a", `scenario x.yaml:1: scenario is a list, must be a mapping`},
		{"rate: 10", "scenario x.yaml:1: name is missing, must be given"},
		{"name: A b", `scenario x.yaml:1: name is "A b", must be lower-case letters, digits and hyphens`},
		{"name: a\nrate: fast", `scenario x.yaml:2: rate is "fast", must be a number from 0.1 to 100000`},
		{"name: a\nrate: 1e9", `scenario x.yaml:2: rate is "1e9", must be a number from 0.1 to 100000`},
		{"name: a\nrate:", `scenario x.yaml:2: rate is "", must be a number from 0.1 to 100000`},
		{"name: a\nduration: 5", `scenario x.yaml:2: duration is "5", must be a duration such as 1.5s, from 100ms to 24h0m0s`},
		{"name: a\nrate: 1\nrate: 2", "scenario x.yaml:3: rate is given twice, must be given once"},
		{"name: a\nmethod: BREW", `scenario x.yaml:2: method is "BREW", must be one of GET, HEAD, POST, PUT, PATCH, DELETE`},
		{"name: a\nfaults:\n  - chance: 0.5", "scenario x.yaml:3: faults[0] is without an effect, must be one with an effect: status, "},
		{"name: a\nfaults:\n  - chance: 1.5\n    reset: true", `scenario x.yaml:3: faults[0].chance is "1.5", must be a number above 0 and at most 1`},
		{"name: a\nfaults:\n  - reset: true\n    status: {code: 503}", "scenario x.yaml:3: faults[0].reset is a second effect, must be the only one"},
		{"name: a\nfaults:\n  - status: {code: 42}", `scenario x.yaml:3: faults[0].status.code is "42", must be a whole number from 200 to 599`},
		{"name: a\nfaults:\n  - status: {cod: 503}", "scenario x.yaml:3: faults[0].status.cod is unknown, must be one of code, retry-after, header"},
		{"name: a\nfaults:\n  - reset: false", `scenario x.yaml:3: faults[0].reset is "false", must be true`},
		{"name: a\nfaults:\n  - during: {from: 5s, to: 4s}\n    reset: true", `scenario x.yaml:3: faults[0].during.to is "4s", must be a duration such as 1.5s, from 5.000000001s to 24h0m0s`},
		{"name: a\nfaults:\n  - during: {every: 1s}\n    reset: true", "scenario x.yaml:3: faults[0].during.for is 0s, must be positive and at most every, 1s"},
		{"name: a\nfaults:\n  - replicas: [1]\n    reset: true", `scenario x.yaml:3: faults[0].replicas[0] is "1", must be a whole number from 0 to 0`},
		{"name: a\nreplicas: 4\nfaults:\n  - packet-loss: true\n    replicas: [3]", `scenario x.yaml:5: faults[0].replicas is a list, must be left out with packet-loss`},
		{"name: a\nfaults:\n  - no-host: true\n    per: request", `scenario x.yaml:4: faults[0].per is "request", must be arrival, connection or window with no-host`},
		{"name: a\nfaults:\n  - delay: soon", `scenario x.yaml:3: faults[0].delay is "soon", must be a duration such as 5ms, or one of `},
		{"name: a\nfaults:\n  - delay: {uniform: [1ms]}", `scenario x.yaml:3: faults[0].delay.uniform is a list, must be two durations, none negative`},
		{"name: a\nservice: {queue: 5}", `scenario x.yaml:2: service.queue is "5", must be given with slots only`},
		{"name: a\nservice: {slots: 1, queue: some}", `scenario x.yaml:2: service.queue is "some", must be unbounded, none or a positive whole number`},
		{"name: a\ntargets: useful", `scenario x.yaml:2: targets is "useful", must be a list`},
		{"name: *x", "unknown anchor 'x' referenced"},
	}
	for _, tt := range tests {
		_, err := Parse("x.yaml", []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q):\n\t%v\nwant\n\t%s", tt.text, err, tt.want)
		}
	}
}

// What can't be confined to replicas or requests in a plan can't be in a file.
func TestParseConfined(t *testing.T) {
	values := map[string]string{
		"status": "{}", "rate-limit": "{}", "delay": "1ms", "work": "1ms", "truncate": "{}", "drip": "{}", "bandwidth": "{}", "hangup": "{}",
	}
	for _, e := range effects {
		value := cmp.Or(values[e.name], "true")
		plain, err := Parse("x.yaml", []byte("name: a\nreplicas: 4\nfaults: [{"+e.name+": "+value+"}]"))
		if err != nil {
			t.Fatal(err)
		}
		for field, confine := range map[string]func(*faults.Fault){
			"replicas: [3]": func(f *faults.Fault) { f.Replicas = []int{3} },
			"per: request":  func(f *faults.Fault) { f.Per = faults.PerRequest },
		} {
			_, got := Parse("x.yaml", []byte("name: a\nreplicas: 4\nfaults: [{"+e.name+": "+value+", "+field+"}]"))
			plan := plain.Plan
			plan.Faults = slices.Clone(plan.Faults)
			confine(&plan.Faults[0])
			if want := plan.Check(); (got == nil) != (want == nil) {
				t.Errorf("%s with %s: file %v, plan %v", e.name, field, got, want)
			}
		}
	}
}

// All mistakes are told at once.
func TestParseAllErrors(t *testing.T) {
	_, err := Parse("x.yaml", []byte("nam: a\nrate: x\nwire: wet"))
	if n := strings.Count(err.Error(), "\n") + 1; n != 4 {
		t.Errorf("%d mistakes:\n%v\nwant 4", n, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range Catalogue() {
		f.Add(s.Source)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse("fuzz", []byte(text))
		if err != nil {
			return
		}
		if err := s.Plan.Check(); err != nil {
			t.Errorf("a scenario that parses has a plan that makes no sense: %v", err)
		}
	})
}

func TestSchedule(t *testing.T) {
	s := &Scenario{Duration: 20 * time.Second, Rate: 200}
	var last time.Duration
	requests := 0
	for n, at := range s.Schedule(1) {
		if nominal := time.Duration(n) * 5 * time.Millisecond; at < nominal || at > nominal+500*time.Microsecond {
			t.Fatalf("request %d at %v", n, at)
		}
		if at <= last && n > 0 {
			t.Fatalf("request %d is not after the one before", n)
		}
		last = at
		requests++
	}
	if requests != 4000 {
		t.Errorf("%d requests, want 4000", requests)
	}

	s.Poisson = true
	var gaps, squares float64
	requests, last = 0, 0
	for _, at := range s.Schedule(1) {
		gap := (at - last).Seconds() * s.Rate
		gaps += gap
		squares += gap * gap
		last = at
		requests++
	}
	mean := gaps / float64(requests)
	deviation := math.Sqrt(squares/float64(requests) - mean*mean)
	if requests < 3800 || requests > 4200 || mean < 0.95 || mean > 1.05 || deviation < 0.9 || deviation > 1.1 {
		t.Errorf("%d requests, gaps %v ± %v, want about 4000 and 1 ± 1", requests, mean, deviation)
	}

	s.Poisson = false
	s.Bursts = []Burst{{From: time.Second, To: 2 * time.Second, Rate: 2000}}
	burst := 0
	for _, at := range s.Schedule(1) {
		if at >= time.Second && at < 2*time.Second {
			burst++
		}
	}
	if burst < 1995 || burst > 2005 {
		t.Errorf("%d requests in the burst, want 2000", burst)
	}
}

func TestWindows(t *testing.T) {
	s, err := Lookup("11")
	if err != nil {
		t.Fatal(err)
	}
	if s.InWindow(3*time.Second) || !s.InWindow(4*time.Second) || s.InWindow(16*time.Second) {
		t.Error("the window is not from 4 to 16 s")
	}
	if !s.InAftermath(16*time.Second) || s.InAftermath(15*time.Second) {
		t.Error("the aftermath does not begin at 16 s")
	}
	if _, end, ok := s.LastFault(); !ok || end != 16*time.Second {
		t.Errorf("the last fault ends at %v", end)
	}
	always, err := Lookup("02")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, ok := always.LastFault(); ok || !always.InWindow(0) || always.InAftermath(time.Hour) {
		t.Error("a fault without end is not in all of the run")
	}
}

func TestWithDuration(t *testing.T) {
	s, err := Lookup("26")
	if err != nil {
		t.Fatal(err)
	}
	if other := s.WithDuration(10 * time.Second); other.Duration != 10*time.Second || other.Rate != s.Rate {
		t.Errorf("got %+v", other)
	}
	if s.Duration != 20*time.Second {
		t.Errorf("the scenario itself was changed: %+v", s)
	}
}
