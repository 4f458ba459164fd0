package failover

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/internal/says"
)

// An opinion is an error with an opinion of itself.
type opinion struct {
	text      string
	retryable bool
	rejected  bool
	after     time.Duration // negative if it says nothing
	well      bool          // the dependency is
	timeout   bool
}

func (o opinion) Error() string                     { return o.text }
func (o opinion) Retryable() bool                   { return o.retryable }
func (o opinion) Rejected() bool                    { return o.rejected }
func (o opinion) RetryAfter() (time.Duration, bool) { return max(o.after, 0), o.after >= 0 }
func (o opinion) DependencyFailure() bool           { return !o.well }
func (o opinion) Timeout() bool                     { return o.timeout }

func TestAnswer_Stop(t *testing.T) {
	plenty := place{left: noDeadline, more: true}
	tests := []struct {
		name string
		a    answer
		p    place
		want Stop
	}{
		{"failed", answer{}, plenty, ""},
		{"refused", answer{refused: true}, plenty, ""},
		{"refused, whatever it says", answer{refused: true, final: true}, plenty, ""},
		{"refused, whatever the time", answer{refused: true}, place{left: 1, need: 2, more: true}, ""},
		{"caller gone", answer{}, place{ended: true, more: true, left: noDeadline}, StopCancelled},
		{"caller gone, whatever else", answer{unsafe: true, final: true, unfunded: true}, place{ended: true}, StopCancelled},
		{"no budget", answer{unfunded: true}, plenty, StopBudget},
		{"unsafe", answer{unsafe: true}, plenty, StopUnsafe},
		{"unsafe and refused, as its body is used up", answer{unsafe: true, refused: true}, plenty, StopUnsafe},
		{"unsafe and final", answer{unsafe: true, final: true}, plenty, StopUnsafe},
		{"final", answer{final: true}, plenty, StopPermanent},
		{"final at the last", answer{final: true}, place{left: noDeadline}, StopPermanent},
		{"the last", answer{}, place{left: noDeadline}, StopExhausted},
		{"the last refused", answer{refused: true}, place{left: noDeadline}, StopExhausted},
		{"the last, late", answer{}, place{left: 0}, StopExhausted},
		{"late", answer{}, place{left: 0, more: true}, StopDeadline},
		{"too little time", answer{}, place{left: time.Second, need: time.Second, more: true}, StopDeadline},
		{"just enough time", answer{}, place{left: time.Second + 1, need: time.Second, more: true}, ""},
		{"no deadline", answer{}, place{left: noDeadline, need: noDeadline, more: true}, ""},
	}
	for _, tt := range tests {
		if got := tt.a.stop(tt.p); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestSoonest(t *testing.T) {
	open := func(after time.Duration) Fate {
		return Fate{Err: opinion{retryable: true, rejected: true, after: after}, Refused: true}
	}
	forced := Fate{Err: opinion{rejected: true, after: -1}, Refused: true}
	asked := Fate{Err: errors.New("down")}
	tests := []struct {
		name  string
		fates []Fate
		want  int
	}{
		{"none", nil, -1},
		{"one", []Fate{open(5)}, 0},
		{"the second", []Fate{open(5), open(4), open(6)}, 1},
		{"two at one time", []Fate{open(6), open(5), open(5)}, 1},
		{"a probe is under way", []Fate{open(6), open(-1)}, 1},
		{"shut by hand", []Fate{forced, open(6)}, 1},
		{"all shut by hand", []Fate{forced, forced}, -1},
		{"one was asked", []Fate{asked, open(6)}, 1},
	}
	for _, tt := range tests {
		if got := soonest(tt.fates); got != tt.want {
			t.Errorf("%s: got %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestError_Says(t *testing.T) {
	down := Fate{Endpoint: "a", Err: errors.New("down")}
	slow := Fate{Endpoint: "a", Err: opinion{text: "slow", retryable: true, after: -1, timeout: true}}
	busy := Fate{Endpoint: "b", Err: opinion{text: "busy", retryable: true, after: time.Minute}}
	open := Fate{Endpoint: "c", Err: opinion{text: "open", retryable: true, rejected: true, after: time.Second}, Refused: true}
	forced := Fate{Endpoint: "d", Err: opinion{text: "forced", rejected: true, after: -1}, Refused: true}
	patience := errors.New("out of patience")
	gone := Fate{Endpoint: "e", Err: opinion{text: "gone", after: -1, well: true}}
	tests := []struct {
		name  string
		err   Error
		text  string
		said  string // retryable rejected failure timeout
		after time.Duration
		class string
	}{
		{"down", Error{Stop: StopExhausted, Fates: []Fate{down, open}}, "every endpoint failed: a: down; c: skipped for another 1s: open", "retryable failure", -1, "_OTHER"},
		{"busy and open", Error{Stop: StopExhausted, Fates: []Fate{busy, open}}, "every endpoint failed: b: busy; c: skipped for another 1s: open", "retryable failure", time.Second, "_OTHER"},
		{"open", Error{Stop: StopExhausted, Fates: []Fate{open, forced}}, "no endpoint takes calls: c: skipped for another 1s: open; d: skipped: forced", "retryable rejected", time.Second, "no_endpoint"},
		{"forced", Error{Stop: StopExhausted, Fates: []Fate{forced}}, "no endpoint takes calls: d: skipped: forced", "rejected", -1, "no_endpoint"},
		{"permanent", Error{Stop: StopPermanent, Fates: []Fate{open, gone}}, "no other endpoint could do better: c: skipped for another 1s: open; e: gone", "", time.Second, "_OTHER"},
		{"unsafe", Error{Stop: StopUnsafe, Fates: []Fate{open, slow}}, "not safe to ask another endpoint: c: skipped for another 1s: open; a: slow", "failure timeout", -1, "timeout"},
		{"budget", Error{Stop: StopBudget, Fates: []Fate{down, {Endpoint: "b", Err: errBudget, Refused: true}}}, "budget is empty: a: down; b: skipped: budget is empty", "retryable failure", -1, "_OTHER"},
		{"time is up", Error{Stop: StopCancelled, Fates: []Fate{down}, Cause: patience, done: context.DeadlineExceeded}, "time is up: out of patience: a: down", "failure timeout", -1, "timeout"},
		{"cancelled", Error{Stop: StopCancelled, Fates: []Fate{slow}, Cause: patience, done: context.Canceled}, "cancelled: out of patience: a: slow", "failure", -1, "cancelled"},
		{"cancelled by a limit", Error{Stop: StopCancelled, Fates: []Fate{down}, Cause: slow.Err, done: context.Canceled}, "cancelled: slow: a: down", "failure timeout", -1, "cancelled"},
		{"deadline", Error{Stop: StopDeadline, Fates: []Fate{slow}}, "deadline is too near for another endpoint: a: slow", "retryable failure timeout", -1, "timeout"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e := tt.err
			e.Name = "x"
			var said []string
			for _, s := range []struct {
				name string
				is   bool
			}{{"retryable", e.Retryable()}, {"rejected", e.Rejected()}, {"failure", e.DependencyFailure()}, {"timeout", e.Timeout()}} {
				if s.is {
					said = append(said, s.name)
				}
			}
			after, ok := e.RetryAfter()
			if !ok {
				after = -1
			}
			if got := e.Error(); got != "failover: x: "+tt.text {
				t.Errorf("text %q", got)
			}
			if got := strings.Join(said, " "); got != tt.said || after != tt.after || e.ErrorType() != tt.class {
				t.Errorf("says %q, %v, %s, want %q, %v, %s", got, after, e.ErrorType(), tt.said, tt.after, tt.class)
			}
			for _, fate := range e.Fates {
				if !errors.Is(&e, fate.Err) {
					t.Errorf("does not unwrap to %v", fate.Err)
				}
			}
		})
	}
}

// An unreached says whether an endpoint was there.
type unreached bool

func (unreached) Error() string     { return "refused" }
func (u unreached) Unreached() bool { return bool(u) }

// TestError_Unreached: that the last endpoint was not there hid that another had
// done its work, and a retry of it all cost no budget.
// What the errors of this package say to layers. A request that was bad opens no
// circuit, and is not sent again.
func TestErrors_Say(t *testing.T) {
	type says struct {
		retryable, rejected, throttled, blames bool
		after                                  time.Duration
		class                                  string
	}
	for _, tt := range []struct {
		err  error
		want says
	}{
		{&StatusError{StatusCode: 503, retryable: true, retryAfter: 7 * time.Second}, says{retryable: true, throttled: true, blames: true, after: 7 * time.Second, class: "503"}},
		{&StatusError{StatusCode: 429}, says{throttled: true, blames: true, class: "429"}},
		{&StatusError{StatusCode: 500}, says{blames: true, class: "500"}},
		{&requestError{err: errors.New("bad header"), local: true}, says{rejected: true, class: "invalid_request"}},
		{&requestError{err: errors.New("file vanished")}, says{class: "request_body"}},
		{errBudget, says{rejected: true, blames: true, class: "budget"}},
	} {
		var got says
		if e, ok := tt.err.(interface{ Retryable() bool }); ok {
			got.retryable = e.Retryable()
		}
		if e, ok := tt.err.(interface{ Rejected() bool }); ok {
			got.rejected = e.Rejected()
		}
		if e, ok := tt.err.(interface{ Throttled() bool }); ok {
			got.throttled = e.Throttled()
		}
		if e, ok := tt.err.(interface{ DependencyFailure() bool }); !ok || e.DependencyFailure() {
			got.blames = true
		}
		if e, ok := tt.err.(interface {
			RetryAfter() (time.Duration, bool)
		}); ok {
			after, known := e.RetryAfter()
			if got.after = after; known != (after > 0) {
				t.Errorf("%v: RetryAfter %v, %v", tt.err, after, known)
			}
		}
		if e, ok := tt.err.(interface{ ErrorType() string }); ok {
			got.class = e.ErrorType()
		}
		if got != tt.want {
			t.Errorf("%v says %+v, want %+v", tt.err, got, tt.want)
		}
	}
}

func TestError_Unreached(t *testing.T) {
	nobody := Fate{Err: unreached(true)}
	somebody := Fate{Err: unreached(false)}
	down := Fate{Err: errors.New("down")}
	skipped := Fate{Err: opinion{rejected: true}, Refused: true}
	for _, tt := range []struct {
		name  string
		fates []Fate
		want  bool
	}{
		{"one", []Fate{nobody}, true},
		{"both", []Fate{nobody, nobody}, true},
		{"one, the other skipped", []Fate{skipped, nobody, skipped}, true},
		{"one, the other failed before", []Fate{down, nobody}, false},
		{"one, the other failed after", []Fate{nobody, down}, false},
		{"one, the other reached", []Fate{somebody, nobody}, false},
		{"all skipped", []Fate{skipped, skipped}, false},
		{"none", nil, false},
	} {
		if got := says.Unreached(&Error{Name: "x", Fates: tt.fates}); got != tt.want {
			t.Errorf("%s: %t, want %t", tt.name, got, tt.want)
		}
	}
}

// TestError_Bounded: whatever endpoints there are and whatever they answer, the
// text is short and without their passwords.
func TestError_Bounded(t *testing.T) {
	long := strings.Repeat("ä", 1<<20) + "\n" + strings.Repeat("x", 1<<20)
	e := &Error{Name: "x", Stop: StopExhausted}
	for i := range 1000 {
		e.Fates = append(e.Fates, Fate{Endpoint: fmt.Sprint("host", i), Err: errors.New(long)})
	}
	text := e.Error()
	if len(text) > 4096 || strings.Contains(text, "\n") || !strings.HasSuffix(text, "; and 992 more") {
		t.Errorf("%d bytes: %.300s", len(text), text)
	}
	for _, raw := range []string{
		"https://user:hunter2@host.test/x", "https://user:hunter2@host.test/x?token=hunter2", "ssh://hunter2@host.test/x",
		"://user:hunter2@host.test", "https://user:hunter2@ho st.test/",
	} {
		f := New(Config{Name: "x", Endpoints: []string{raw, "other"}})
		err := f.Do(t.Context(), func(context.Context) error { return fmt.Errorf("dial %s: refused", raw) })
		if strings.Contains(fmt.Sprint(err, f.Endpoints()), "hunter2") {
			t.Errorf("%s: %v %v", raw, err, f.Endpoints())
		}
	}
}

func TestBelow(t *testing.T) {
	tests := []struct {
		from, url, to string
		want          string // "" if it is not below
	}{
		{"http://a.test", "http://a.test/x?q=1#f", "https://b.test", "https://b.test/x?q=1#f"},
		{"http://a.test", "http://a.test", "https://b.test", "https://b.test"},
		{"http://a.test", "http://a.test/", "https://b.test", "https://b.test/"},
		{"http://a.test", "http://A.TEST:80/x", "https://b.test:8443", "https://b.test:8443/x"},
		{"https://a.test:443", "https://a.test/x", "http://[::1]:80", "http://[::1]:80/x"},
		{"http://a.test", "http://user:pw@a.test/x", "http://b.test", "http://b.test/x"},
		{"http://a.test", "http://a.test/x", "http://u:p@b.test", "http://b.test/x"},
		{"http://a.test/base", "http://a.test/base/x", "http://b.test", "http://b.test/x"},
		{"http://a.test/base/", "http://a.test/base/x", "http://b.test/other/", "http://b.test/other/x"},
		{"http://a.test/base", "http://a.test/base", "http://b.test/other", "http://b.test/other"},
		{"http://a.test", "http://a.test/a%2Fb/../c//d", "http://b.test/x%20y", "http://b.test/x%20y/a%2Fb/../c//d"},
		{"http://a.test/base", "http://a.test/basement", "http://b.test", ""},
		{"http://a.test/base", "http://a.test/", "http://b.test", ""},
		{"http://a.test", "http://a.test.evil.test/", "http://b.test", ""},
		{"http://a.test", "http://b.test/x", "http://b.test", ""},
		{"http://a.test", "https://a.test/x", "http://b.test", ""},
		{"http://a.test", "http://a.test:8080/x", "http://b.test", ""},
		{"http://a.test", "http:opaque", "http://b.test", ""},
	}
	for _, tt := range tests {
		from, to, u := parse(t, tt.from), parse(t, tt.to), parse(t, tt.url)
		before := u.String()
		got := ""
		if rest, ok := below(from, u); ok {
			got = rewritten(u, to, rest).String()
		}
		if got != tt.want {
			t.Errorf("%s from %s to %s: %q, want %q", tt.url, tt.from, tt.to, got, tt.want)
		}
		if u.String() != before {
			t.Errorf("%s was changed to %s", before, u)
		}
	}
	if _, ok := below(parse(t, "http://a.test"), nil); ok {
		t.Error("nil is below")
	}
}
