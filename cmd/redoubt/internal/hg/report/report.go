// Package report tells what a run of redoubt hg does and did: lines for people
// while it runs, one JSON object for programs at the end, and where the time
// went.
package report

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mercurial"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mirror"
)

// A Report collects what happens and shows it as it happens. It is safe for
// concurrent use.
type Report struct {
	out      io.Writer
	terminal bool
	verbose  bool
	start    time.Time

	mu       sync.Mutex
	result   Result
	phase    string
	since    time.Time
	shown    time.Time // when progress was last shown
	drawn    bool      // a line of progress stands on the terminal
	exchange []mirror.Exchange
	commands []mercurial.Command
}

// A Result is all there is to know about a run.
type Result struct {
	URL      string             `json:"url"`
	Dest     string             `json:"dest"`
	Asked    string             `json:"asked"`
	Got      string             `json:"got,omitempty"`
	Source   string             `json:"source,omitempty"` // which brought the revision; "" if it was here
	Stale    bool               `json:"stale,omitempty"`  // a mirror said what a name means
	Sources  []*Source          `json:"sources"`
	Attempts []Attempt          `json:"failed_attempts"`
	Bundles  []Bundle           `json:"bundles"`
	Bytes    int64              `json:"bytes"`
	Waited   float64            `json:"waited_seconds"`
	Steps    int                `json:"pulls"`
	Phases   map[string]float64 `json:"phase_seconds"`
	Seconds  float64            `json:"seconds"`
	Repaired []string           `json:"repaired"`
	Deleted  []string           `json:"deleted"`
	Warnings []string           `json:"warnings"`
	Plan     []string           `json:"plan,omitempty"`
	Verify   string             `json:"verify"`
	Exit     int                `json:"exit"`
	Kind     string             `json:"kind,omitempty"`
	Error    string             `json:"error,omitempty"`
}

// A Source is what became of a source.
type Source struct {
	URL     string `json:"url"`
	Primary bool   `json:"primary"`
	State   string `json:"state"` // unused, ok, stale, empty, unrelated, open, unavailable, foreign, remembered, unauthorized, untrusted
	Reason  string `json:"reason,omitempty"`
	Before  string `json:"breaker_before,omitempty"`
	After   string `json:"breaker_after,omitempty"`
}

// An Attempt is a request that failed.
type Attempt struct {
	Source  string            `json:"source"`
	Command string            `json:"command"`
	Ordinal int               `json:"attempt"`
	Class   classify.Reaction `json:"class"`
	Message string            `json:"message"`
	Waited  float64           `json:"waited_seconds"`
}

// A Bundle is what became of a bundle.
type Bundle struct {
	URL     string `json:"url"`
	Used    bool   `json:"used"`
	Reason  string `json:"reason,omitempty"`
	Bytes   int64  `json:"bytes"`
	Resumed int    `json:"resumed,omitempty"`
}

// New returns a report that shows lines on out.
func New(out io.Writer, terminal, verbose bool) *Report {
	return &Report{
		out: out, terminal: terminal, verbose: verbose, start: time.Now(),
		result: Result{
			Sources: []*Source{}, Attempts: []Attempt{}, Bundles: []Bundle{}, Phases: make(map[string]float64),
			Repaired: []string{}, Deleted: []string{}, Warnings: []string{},
		},
	}
}

// Edit changes the result.
func (r *Report) Edit(change func(*Result)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.result)
}

// Result returns the result so far, with the times of all that has ended.
func (r *Report) Result() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enter("")
	r.result.Seconds = time.Since(r.start).Seconds()
	return r.result
}

// Phase says that a phase begins, and the one before it ends.
func (r *Report) Phase(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.enter(name)
}

func (r *Report) enter(name string) {
	now := time.Now()
	if r.phase != "" {
		r.result.Phases[r.phase] += now.Sub(r.since).Seconds()
	}
	r.phase, r.since = name, now
}

// Step shows a line.
func (r *Report) Step(format string, args ...any) { r.line(fmt.Sprintf(format, args...)) }

// Detail shows a line to those who want to know everything.
func (r *Report) Detail(format string, args ...any) {
	if r.verbose {
		r.line(fmt.Sprintf(format, args...))
	}
}

// Warn shows a line and keeps it for the result.
func (r *Report) Warn(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.Edit(func(res *Result) { res.Warnings = append(res.Warnings, text) })
	r.line("warning: " + text)
}

// Repaired shows what was repaired and keeps it for the result.
func (r *Report) Repaired(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.Edit(func(res *Result) { res.Repaired = append(res.Repaired, text) })
	r.line("repaired: " + text)
}

// Deleted shows what was deleted and keeps it for the result.
func (r *Report) Deleted(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	r.Edit(func(res *Result) { res.Deleted = append(res.Deleted, text) })
	r.line("deleted: " + text)
}

// BlameBundles notes that a bundle that was used turned out to be bad, and
// reports whether one was used at all.
func (r *Report) BlameBundles(reason string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := false
	for i := range r.result.Bundles {
		if b := &r.result.Bundles[i]; b.Used {
			b.Used, b.Reason = false, reason
			found = true
		}
	}
	return found
}

func (r *Report) line(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.drawn {
		fmt.Fprint(r.out, "\r\x1b[K")
		r.drawn = false
	}
	fmt.Fprintln(r.out, mercurial.Printable(text))
}

// Attempted takes note of an attempt that failed.
func (r *Report) Attempted(a mirror.Attempt) {
	r.Edit(func(res *Result) {
		res.Attempts = append(res.Attempts, Attempt{
			Source: a.Source, Command: a.Command, Ordinal: a.Ordinal,
			Class: a.Verdict.Reaction, Message: a.Verdict.Message, Waited: a.Waited.Seconds(),
		})
	})
	of := fmt.Sprintf("%d of %d", a.Ordinal, a.Of)
	if !a.Verdict.Reaction.Again() {
		of = fmt.Sprintf("%d, not to be retried", a.Ordinal)
	}
	after := ""
	if a.Waited > 0 {
		after = fmt.Sprintf(", after a wait of %v", a.Waited.Round(10*time.Millisecond))
	}
	r.line(fmt.Sprintf("%s: %s: attempt %s%s: %s", a.Source, a.Command, of, after, a.Verdict.Message))
}

// Exchanged takes note of a request that ended.
func (r *Report) Exchanged(x mirror.Exchange) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exchange = append(r.exchange, x)
	r.result.Bytes += x.Bytes
	r.result.Waited += x.Waited.Seconds()
}

// Ran takes note of a run of hg that ended.
func (r *Report) Ran(c mercurial.Command) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.commands = append(r.commands, c)
}

// Progress shows how far a transfer is: on a terminal in place, four times a
// second, otherwise in lines, one in ten seconds.
func (r *Report) Progress(what string, bytes, total int64, began time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	every := 10 * time.Second
	if r.terminal {
		every = 250 * time.Millisecond
	}
	now := time.Now()
	if now.Sub(began) < time.Second || now.Sub(r.shown) < every {
		return
	}
	r.shown = now
	text := progress(what, bytes, total, now.Sub(began))
	if r.terminal {
		fmt.Fprint(r.out, "\r\x1b[K"+text)
		r.drawn = true
		return
	}
	fmt.Fprintln(r.out, text)
}

func progress(what string, bytes, total int64, took time.Duration) string {
	rate := float64(bytes) / took.Seconds()
	text := fmt.Sprintf("%s: %s, %s/s", mercurial.Printable(what), size(bytes), size(int64(rate)))
	if total > bytes && rate > 0 {
		left := time.Duration(float64(total-bytes) / rate * float64(time.Second))
		text += fmt.Sprintf(", %v left", left.Round(time.Second))
	}
	return text
}

func size(bytes int64) string {
	switch {
	case bytes < 10<<10:
		return fmt.Sprintf("%d B", bytes)
	case bytes < 10<<20:
		return fmt.Sprintf("%d KiB", bytes>>10)
	default:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	}
}

// Trace writes every request with its source, attempts, bytes and times, and
// which share of the run was spent waiting for first bytes.
func (r *Report) Trace(w io.Writer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	total := time.Since(r.start)
	fmt.Fprintf(w, "%-14s %8s %6s %12s %11s %11s  %s\n", "command", "attempts", "status", "bytes", "first byte", "total", "source")
	var trips time.Duration
	for _, x := range r.exchange {
		trips += x.FirstByte
		fmt.Fprintf(w, "%-14s %8d %6d %12d %11s %11s  %s", x.Command, x.Attempts, x.Status, x.Bytes, milliseconds(x.FirstByte), milliseconds(x.Total), x.Source)
		if x.Error != "" {
			fmt.Fprintf(w, "  (%s)", mercurial.Printable(x.Error))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%d requests, %s; %s of %s (%.0f %%) waiting for first bytes\n",
		len(r.exchange), size(r.result.Bytes), milliseconds(trips), milliseconds(total), 100*trips.Seconds()/max(total.Seconds(), 1e-9))
	var ran time.Duration
	var names []string
	for _, c := range r.commands {
		ran += c.Took
		names = append(names, fmt.Sprintf("%s %s", c.Name, milliseconds(c.Took)))
	}
	fmt.Fprintf(w, "%d hg commands, %s of %s (%.0f %%): %s\n",
		len(names), milliseconds(ran), milliseconds(total), 100*ran.Seconds()/max(total.Seconds(), 1e-9), strings.Join(names, ", "))
	var phases []string
	for _, name := range []string{"lock", "look", "resolve", "fetch", "checkout", "verify"} {
		if seconds, ok := r.result.Phases[name]; ok {
			phases = append(phases, fmt.Sprintf("%s %.0f ms", name, 1000*seconds))
		}
	}
	fmt.Fprintf(w, "phases: %s\n", strings.Join(phases, ", "))
}

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
