package main

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/memhttp"
)

// TestCompare runs in a bubble, where a busy machine can't spoil it.
func TestCompare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := schedule{seed: 1, flaky: 10 * time.Second, dead: 2 * time.Second, flakyToo: 10 * time.Second}
		start := time.Now()
		g := newGuarded(start)
		bare := &http.Client{}
		lanes := []*lane{{client: bare}, {client: g.client}}
		for i, base := range []*http.RoundTripper{&bare.Transport, &g.transport.Base} {
			lanes[i].dependency = &dependency{schedule: s, start: start}
			lanes[i].url = "http://billing.test" + path
			server := memhttp.NewServer(t, lanes[i].dependency)
			server.Transport.MaxIdleConnsPerHost = 100
			*base = server.Transport
		}
		var out bytes.Buffer
		if err := compare(t.Context(), &out, s, start, g, lanes); err != nil {
			t.Fatal(err)
		}
		if missing := missingIn(t, out.String()); len(missing) > 0 {
			t.Errorf("%s\n%s", strings.Join(missing, "\n"), out.String())
		}
	})
}

// How it goes on loopback depends on how busy the machine is.
func TestEmbedded(t *testing.T) {
	var out bytes.Buffer
	s := schedule{seed: 1, flaky: 500 * time.Millisecond, dead: 500 * time.Millisecond}
	if err := runEmbedded(t.Context(), &out, s); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`requests +50 +50\n`, `reached the server +[1-9]\d* +[1-9]`, `The breaker's transitions\n`, `(?s)A call .+redoubt billing  internal`} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("output lacks %s:\n%s", want, out.String())
		}
	}
}

// missingIn returns what the example's output should show and does not.
func missingIn(t *testing.T, out string) (missing []string) {
	t.Helper()
	note := func(format string, args ...any) { missing = append(missing, fmt.Sprintf(format, args...)) }
	for _, want := range []string{
		`requests +1100 +1100\n`,
		`short-circuits +0 +[1-9]`,
		`recovery after the outage +[^n]`,
		`closed    -> open       failure_ratio, \d+ of \d+ calls failed, last: .+; for \d`,
		`open      -> half-open  cooldown`,
		`half-open -> closed     probes_succeeded`,
		`(?s)A call that was rescued.+redoubt billing  internal.+outcome=success.+GET  client.+resend_count=1`,
		`(?s)A call that was refused.+outcome=rejected.+redoubt short-circuit.+linked to span`,
		`(?s)A call that was exhausted.+resend_count=2`,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			note("output lacks %s", want)
		}
	}
	if bare, guarded := row(t, out, `outside of the outage +([\d.]+) % +([\d.]+) %`); guarded <= bare {
		note("%v %% of the guarded client's answers were useful outside of the outage, want more than the bare one's %v %%", guarded, bare)
	}
	if bare, guarded := row(t, out, `reached the server +(\d+) +(\d+)`); guarded > 1.25*bare {
		note("%v requests of the guarded client reached the server, want at most a quarter more than the bare one's %v", guarded, bare)
	}
	if strings.Contains(out, "secret") {
		note("output shows the query of the URL")
	}
	return missing
}

// row returns the two numbers of a row of the table.
func row(t *testing.T, table, pattern string) (bare, guarded float64) {
	t.Helper()
	match := regexp.MustCompile(pattern).FindStringSubmatch(table)
	if match == nil {
		t.Fatalf("no row %s", pattern)
	}
	bare, err1 := strconv.ParseFloat(match[1], 64)
	guarded, err2 := strconv.ParseFloat(match[2], 64)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return bare, guarded
}

func TestURL(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNoContent)
	}))
	defer server.Close()
	var out bytes.Buffer
	if err := run(t.Context(), &out, 1, server.URL); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`requests +40 +40\n`,
		`useful answers +100.0 % +[1-9]`, // fewer than all if the machine is busy for 300 ms
		`requests that reached the server +40 +[1-9]`,
		`short-circuits +0 +\d`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("output lacks %s:\n%s", want, out.String())
		}
	}
}

func TestURLRefused(t *testing.T) {
	for _, target := range []string{"billing", "ftp://127.0.0.1/", "http://", "http://%zz/"} {
		if err := run(t.Context(), &bytes.Buffer{}, 1, target); err == nil {
			t.Errorf("run with URL %q: no error, want one", target)
		}
	}
}

func TestFault(t *testing.T) {
	s := schedule{seed: 7, flaky: time.Second, dead: time.Second, flakyToo: time.Second}
	const n = 100_000
	var during, before [overloaded + 1]int
	for i := range uint64(n) {
		before[s.fault(i, 0)]++
		during[s.fault(i, s.flaky)]++
	}
	for fault, want := range map[fault]float64{
		busy: shareBusy, busyAfter: shareBusyAfter, reset: shareReset, stall: shareStall,
		none: 1 - shareBusy - shareBusyAfter - shareReset - shareStall, overloaded: 0,
	} {
		if got := share(before[fault], n); got < want-0.005 || got > want+0.005 {
			t.Errorf("share of fault %d is %.4f, want %.2f", fault, got, want)
		}
	}
	if got := during[overloaded] + during[reset]; got != n {
		t.Errorf("%d of %d arrivals failed in the outage, want all", got, n)
	}
	if again := (schedule{seed: 7, flaky: time.Second}); s.fault(42, 0) != again.fault(42, 0) {
		t.Error("the same seed and arrival drew two fates")
	}
}
