package shared

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
)

// FuzzDecode has the decoder read anything, and the decisions go on from there:
// they must come to an end that can be stored and read again.
func FuzzDecode(f *testing.F) {
	full := openRecord(t0.Add(time.Second), &lease{Host: "h", PID: 1, ID: "i", Since: t0, Until: t0.Add(time.Second)})
	full.Name, full.Key = "b", "k"
	closed := record{Name: "b", Outcomes: append(failures(3, t0), outcome{At: t0, OK: true})}
	for _, r := range []record{full, closed, {Name: "b"}} {
		value, err := r.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
		f.Add(value[:len(value)/2])
		f.Add(append(value, value...))
	}
	for _, s := range []string{"", "{}", "null", "[]", "\x00", `{"format":1,"name":"b","open":{}}`, `{"format":2,"name":"b"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := decode(value)
		if err != nil {
			if !errors.Is(err, errGarbage) {
				t.Fatalf("err = %v, want errGarbage", err)
			}
			return
		}
		if len(value) == 0 {
			return
		}
		r, _ = exact.settled(r, t0)
		if r.state(t0) == breaker.Open && r.Open.Until.After(t0.Add(exact.MaxCooldown)) {
			t.Fatalf("open until %v", r.Open.Until)
		}
		v, r := exact.admit(r, t0, lease{ID: "mine", Until: t0.Add(exact.Lease)})
		res := result{outcome: breaker.Failure, what: outcome{At: t0, Class: "x"}, generation: r.Generation}
		if v == probe {
			res.lease = "mine"
		}
		r, changed := exact.count(r, t0, res)
		if v != refuse && !changed {
			t.Fatalf("a failure was not counted: %+v", r)
		}
		again, err := r.encode()
		if err != nil {
			return // a year that JSON can't write
		}
		if _, err := decode(again); err != nil {
			t.Fatalf("wrote what can't be read: %v\n%s", err, again)
		}
	})
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct{ value, err string }{
		{"garbage", "invalid character"},
		{"null", "format is 0"},
		{`{"format":7,"name":"b"}`, "format is 7, must be 1"},
		{`{"format":1,"name":""}`, "length"},
		{`{"format":1,"name":"b"}{}`, "after its end"},
		{`{"format":1,"name":"b","generation":-1}`, "cannot unmarshal"},
		{`{"format":1,"name":"b","outcomes":[{}]}`, "no date"},
		{`{"format":1,"name":"b","outcomes":[{"at":"2026-01-01T00:00:00Z","class":"\u001b[2J"}]}`, "word"},
		{`{"format":1,"name":"b","open":{"open_until":"2026-01-01T00:00:00Z","last":{"at":"2026-01-01T00:00:00Z"},"reason":"forced"}}`, "reason"},
		{`{"format":1,"name":"b","open":{"open_until":"2026-01-01T00:00:00Z","last":{"at":"2026-01-01T00:00:00Z"},"reason":"consecutive","failures":-1}}`, "negative"},
		{`{"format":1,"name":"b","open":{"open_until":"2026-01-01T00:00:00Z","last":{"at":"2026-01-01T00:00:00Z"},"reason":"consecutive","lease":{}}}`, "owner"},
		{strings.Repeat(" ", maxRecord+1), "long"},
	} {
		_, err := decode([]byte(tt.value))
		if !errors.Is(err, errGarbage) || !strings.Contains(err.Error(), tt.err) {
			t.Errorf("decode(%.40q): %v, want …%s…", tt.value, err, tt.err)
		}
	}
}

// What is at its bound can be read, what is beyond it can't.
func TestDecode_Bounds(t *testing.T) {
	long, longest := strings.Repeat("x", maxWord+1), strings.Repeat("x", maxWord)
	open := func(change func(*opening)) record {
		r := openRecord(t0, &lease{ID: "i", Host: "h"})
		r.Name = "b"
		change(r.Open)
		return r
	}
	for name, tt := range map[string]struct {
		record record
		ok     bool
	}{
		"name":                     {record{Name: strings.Repeat("n", maxName)}, true},
		"name too long":            {record{Name: strings.Repeat("n", maxName+1)}, false},
		"key":                      {record{Name: "b", Key: strings.Repeat("k", maxName)}, true},
		"key too long":             {record{Name: "b", Key: strings.Repeat("k", maxName+1)}, false},
		"outcomes":                 {record{Name: "b", Outcomes: failures(maxOutcomes, t0)}, true},
		"too many outcomes":        {record{Name: "b", Outcomes: failures(maxOutcomes+1, t0)}, false},
		"class":                    {record{Name: "b", Outcomes: []outcome{{At: t0, Class: longest}}}, true},
		"class too long":           {record{Name: "b", Outcomes: []outcome{{At: t0, Class: long}}}, false},
		"host too long":            {record{Name: "b", Outcomes: []outcome{{At: t0, Host: long}}}, false},
		"open":                     {open(func(*opening) {}), true},
		"no end":                   {open(func(o *opening) { o.Until = time.Time{} }), false},
		"no last failure":          {open(func(o *opening) { o.Last = outcome{} }), false},
		"failed probes below zero": {open(func(o *opening) { o.Times = -1 }), false},
		"successes below zero":     {open(func(o *opening) { o.Successes = -1 }), false},
		"in a row below zero":      {open(func(o *opening) { o.Consecutive = -1 }), false},
		"wish below zero":          {open(func(o *opening) { o.RetryAfter = -0.1 }), false},
		"trace":                    {open(func(o *opening) { o.Trace = long }), false},
		"no lease":                 {open(func(o *opening) { o.Lease = nil }), true},
		"owner too long":           {open(func(o *opening) { o.Lease.ID = long }), false},
		"host of a lease":          {open(func(o *opening) { o.Lease.Host = "\x1b" }), false},
	} {
		value, err := tt.record.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(value); (err == nil) != tt.ok {
			t.Errorf("%s: %v, want readable %v", name, err, tt.ok)
		}
	}
}

func TestWord(t *testing.T) {
	for _, s := range []string{"", "exit_1", "a\x1b[2J\nb", "\xff", strings.Repeat("ä", maxWord), strings.Repeat("x", 1<<12)} {
		if w := word(s); !isWord(w) {
			t.Errorf("word(%.20q) = %q", s, w)
		}
	}
}

func TestEncodeIsDeterministic(t *testing.T) {
	r := openRecord(t0, nil)
	r.Name = "b"
	a, errA := r.encode()
	b, errB := r.encode()
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Error("two encodings differ")
	}
}
