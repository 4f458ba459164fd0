package redoubttest

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// goroutineGrace is how long CheckGoroutines waits for goroutines to end.
const goroutineGrace = 5 * time.Second

// CheckGoroutines fails the test at its end if goroutines that started after
// this call are still alive, and shows their stacks. It gives them five seconds
// to end. Call it first in the test, so that it looks last, after all other
// cleanups.
//
// In a bubble of testing/synctest it looks at the bubble's goroutines only.
// Outside of one it sees all others of the process, so the test must not run in
// parallel with others. A goroutine of an idle HTTP connection counts: close
// idle connections before the test ends.
func CheckGoroutines(t testing.TB) {
	t.Helper()
	before := goroutines()
	t.Cleanup(func() {
		t.Helper()
		left := before.since()
		for wait := time.Millisecond; len(left) > 0 && wait < goroutineGrace; wait *= 2 {
			time.Sleep(wait)
			left = before.since()
		}
		if len(left) > 0 {
			t.Errorf("goroutines left behind: %d\n\n%s", len(left), strings.Join(left, "\n\n"))
		}
	})
}

// A snapshot is the set of goroutines that were alive at one instant.
type snapshot map[string]bool

// goroutines returns a snapshot of now.
func goroutines() snapshot {
	ids := make(snapshot)
	for _, stack := range stacks() {
		ids[goroutineID(stack)] = true
	}
	return ids
}

// since returns the stacks of the goroutines that are alive now and were not
// in s.
func (s snapshot) since() []string {
	var started []string
	for _, stack := range stacks() {
		if !s[goroutineID(stack)] && !ofTesting(stack) {
			started = append(started, stack)
		}
	}
	return started
}

// stacks returns the stacks of the goroutines in the caller's bubble, or of
// those in no bubble, without the caller's own.
func stacks() []string {
	buf := make([]byte, 64<<10)
	n := runtime.Stack(buf, true)
	for n == len(buf) {
		buf = make([]byte, 2*len(buf))
		n = runtime.Stack(buf, true)
	}
	all := strings.Split(strings.TrimSpace(string(buf[:n])), "\n\n")
	own := bubble(all[0])
	var same []string
	for _, stack := range all[1:] {
		if bubble(stack) == own {
			same = append(same, stack)
		}
	}
	return same
}

// goroutineID returns "18" for the stack "goroutine 18 [select]:\n…".
func goroutineID(stack string) string {
	id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
	return id
}

// bubble returns "3]:" for "goroutine 18 [select (durable), synctest bubble 3]:\n…"
// and "" for a goroutine in no bubble.
func bubble(stack string) string {
	header, _, _ := strings.Cut(stack, "\n")
	_, id, _ := strings.Cut(header, "synctest bubble ")
	return id
}

// ofTesting reports whether the goroutine is one that package testing or the
// runtime starts on its own account.
func ofTesting(stack string) bool {
	for _, name := range []string{
		"created by testing.(*T).Run",
		"created by testing.(*M).",
		"created by testing.runFuzz",
		"created by os/signal.",
		"created by runtime.",
		"created by runtime/trace.",
	} {
		if strings.Contains(stack, name) {
			return true
		}
	}
	return false
}
