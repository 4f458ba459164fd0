package redoubttest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxRepeat = 1_000_000
	maxBody   = 64 << 20
)

// A Script says how a dependency answers its first call, its second, and so
// on. The zero Script answers every call with success. Scripts are immutable
// and safe for concurrent use.
type Script struct {
	steps []step
}

// A step is one entry of a Script: count calls that are answered alike.
type step struct {
	count   int
	wait    time.Duration // before the answer
	outcome outcome
	status  int // of the response, if there is one
	headers []header
	body    int // size of the response body, or -1 for the default text
}

type header struct{ name, value string }

type outcome string

const (
	outcomeStatus    outcome = "status" // never written: the number stands for it
	outcomeOK        outcome = "ok"
	outcomeTruncated outcome = "truncated"
	outcomeReset     outcome = "reset"
	outcomeRefused   outcome = "refused"
	outcomeEOF       outcome = "eof"
	outcomeTimeout   outcome = "timeout"
	outcomeHang      outcome = "hang"
	outcomeFail      outcome = "fail"
	outcomePanic     outcome = "panic"
	outcomeGoexit    outcome = "goexit"
	outcomeEnd       outcome = "end"
)

// responds reports whether the outcome is an HTTP response.
func (o outcome) responds() bool {
	return o == outcomeStatus || o == outcomeOK || o == outcomeTruncated
}

// at returns the step that answers the call with ordinal n, first = 1. After
// the last step it is the last step again.
func (s Script) at(n int) step {
	for _, st := range s.steps {
		if n <= st.count {
			return st
		}
		n -= st.count
	}
	if len(s.steps) == 0 {
		return newStep(outcomeOK)
	}
	return s.steps[len(s.steps)-1]
}

func newStep(o outcome) step {
	return step{count: 1, outcome: o, status: http.StatusOK, body: -1}
}

// String returns the script in the language of [Parse], which makes an equal
// script of it.
func (s Script) String() string {
	if len(s.steps) == 0 {
		return string(outcomeOK)
	}
	var b strings.Builder
	for i, st := range s.steps {
		if i > 0 {
			b.WriteString(", ")
		}
		if st.count > 1 {
			fmt.Fprintf(&b, "%d*", st.count)
		}
		b.WriteString(st.String())
	}
	return b.String()
}

// String returns the step without its count.
func (s step) String() string {
	var b strings.Builder
	if s.wait > 0 {
		fmt.Fprintf(&b, "slow %v ", s.wait)
	}
	if s.outcome == outcomeStatus {
		b.WriteString(strconv.Itoa(s.status))
	} else {
		b.WriteString(string(s.outcome))
	}
	if s.body >= 0 {
		fmt.Fprintf(&b, " body=%d", s.body)
	}
	for _, h := range s.headers {
		fmt.Fprintf(&b, " %s=%s", h.name, quote(h.value))
	}
	return b.String()
}

// quote quotes value if Parse could not read it back otherwise.
func quote(value string) string {
	plain := !strings.ContainsFunc(value, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || r == ',' || r == '"'
	})
	if plain && value != "" {
		return value
	}
	return strconv.Quote(value)
}

// header returns the headers of the step's response, sent at now.
func (s step) header(now time.Time) http.Header {
	h := make(http.Header)
	for _, f := range s.headers {
		value := f.value
		if d, ok := relativeDate(value); ok && f.name == "retry-after" {
			value = now.Add(d).UTC().Format(http.TimeFormat)
		}
		h.Add(f.name, value)
	}
	return h
}

// relativeDate reads "date+5s" and "date-5s".
func relativeDate(value string) (d time.Duration, ok bool) {
	rest, ok := strings.CutPrefix(value, "date")
	if !ok || rest == "" || !strings.ContainsAny(rest[:1], "+-") {
		return 0, false
	}
	d, err := time.ParseDuration(rest)
	return d, err == nil
}
