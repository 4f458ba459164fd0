package classify

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Reaction is what to do about a failure.
type Reaction int

// The reactions.
const (
	Unknown     Reaction = iota // retry once, then the next source; never destroy anything
	Retry                       // the same source again
	Wait                        // the same source again, when it says so
	Next                        // another source; this one can't help in this run
	Security                    // stop, loudly
	Recover                     // hg recover, then again
	Rebuild                     // what is on disk is damaged
	Locked                      // somebody alive holds hg's lock
	Environment                 // stop: this machine can't do it
	Input                       // stop: nobody can do it
	Dirty                       // files in the way that are not ours
)

var names = [...]string{
	Unknown: "unknown", Retry: "retry", Wait: "wait", Next: "next", Security: "security",
	Recover: "recover", Rebuild: "rebuild", Locked: "locked", Environment: "environment",
	Input: "input", Dirty: "dirty",
}

// String returns the reaction in lower case.
func (r Reaction) String() string {
	if r < 0 || int(r) >= len(names) {
		return "unknown"
	}
	return names[r]
}

// MarshalText makes reactions words in JSON.
func (r Reaction) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads such a word.
func (r *Reaction) UnmarshalText(text []byte) error {
	i := slices.Index(names[:], string(text))
	if i < 0 {
		return fmt.Errorf("classify: %q is no reaction", text)
	}
	*r = Reaction(i)
	return nil
}

// Again reports whether the same source may do better if asked again.
func (r Reaction) Again() bool { return r == Retry || r == Wait }

// A Phase is what hg was doing, by which some messages have to be judged.
type Phase int

// The phases.
const (
	Fetch Phase = iota // reading from a source: pull, unbundle, identify
	Work               // working on what is there: update, status, log, verify
)

// A Verdict is what a failure means.
type Verdict struct {
	Reaction Reaction
	Message  string // the line that says it
	Source   bool   // the source is at fault, and its breaker is to know
}

// A rule gives a meaning to text. The first that matches counts.
type rule struct {
	pattern  *regexp.Regexp
	reaction Reaction
	phase    func(Phase) Reaction // overrides reaction
}

func on(reaction Reaction, patterns ...string) rule {
	return rule{pattern: regexp.MustCompile(strings.Join(patterns, "|")), reaction: reaction}
}

// transferOrStore judges damage that was found: during a transfer the stream
// brought it, and otherwise it is on disk.
func transferOrStore(p Phase) Reaction {
	if p == Fetch {
		return Retry
	}
	return Rebuild
}

var rules = []rule{
	on(Security,
		`CERTIFICATE_VERIFY_FAILED`, `certificate error: certificate is for`, `unexpected fingerprint`,
		`Host key verification failed`),
	on(Environment,
		`No space left on device`, `Disk quota exceeded`, `Read-only file system`, `File too large`,
		`Input/output error`, `Too many open files`,
		`could not lock .*: Permission denied`, `abort: Permission denied: `, `could not find web\.cacerts`, `config error at`,
		`Fatal Python error`, `error getting current working directory`,
		`Tunnel connection failed: 407`, `HTTP Error 407`),
	on(Recover, `abandoned transaction found`, `rollback failed - please run hg recover`),
	on(Locked, `timed out waiting for lock held by`, `: lock held by`),
	on(Rebuild,
		`index 0\w+ is corrupted`, `unknown version \(\d+\) in revlog`, `no match found`,
		`store/requires'`, `points to nonexistent directory`, `share source does not support`,
		`working directory state appears damaged`, `overflow in dirstate`, `abort: Directory not empty:`),
	{pattern: regexp.MustCompile(`integrity check failed on|unknown parent|revlog decompress error|ZstdError`), phase: transferOrStore},
	on(Input,
		`unknown branch`, `destination .* (is not empty|already exists)`, `potentially unsafe url`,
		`parse error`, `requires features unknown`, `may not be abbreviated`),
	// What ssh says stands on lines of its own, and comes before hg's
	// "no suitable response", which says nothing.
	on(Next, `(?m)^remote: (abort: repository .* not found|.*Permission denied)`),
	on(Next,
		`repository is unrelated`, `unknown revision`, `not a Mercurial bundle`, `packed bundles cannot`,
		`HTTP Error (403|404|410)`, `authorization required`, `WRONG_VERSION_NUMBER`,
		`abort: repository .* not found`,
		`does not appear to be an hg repository[\s\S]*\(text/html\)`, `bad HTTP status line: [^']`),
	on(Wait, `HTTP Error (429|503|408)`),
	on(Retry,
		`HTTP Error 5\d\d`, `Tunnel connection failed: 5`, `HTTP Error 400: method not found`,
		`does not appear to be an hg repository[\s\S]*\(no content-type\)`,
		`Name or service not known`, `Temporary failure in name resolution`,
		`Connection (refused|reset|timed out|closed)`, `No route to host`, `Network is unreachable`,
		`abort: error: timed out`, `TimeoutError`, `incomplete response`, `HTTP request error`,
		`stream ended unexpectedly`, `unexpected response`, `bad HTTP status line: ''`,
		`\[SSL: `, `closed \(EOF\)`, `error applying bundle`,
		`abort: module 'mercurial\.`),
	on(Next, `no suitable response from remote hg`, `HTTP Error 4\d\d`),
	on(Dirty, `uncommitted changes`, `untracked file differs`, `conflicts while merging`),
}

// Stderr judges a failure of hg by all that it wrote to stderr: hints in
// brackets and tracebacks follow the line that begins with "abort:".
func Stderr(text string, phase Phase) Verdict {
	for _, r := range rules {
		at := r.pattern.FindStringIndex(text)
		if at == nil {
			continue
		}
		v := Verdict{Reaction: r.reaction, Message: line(text, at[0])}
		if r.phase != nil {
			v.Reaction = r.phase(phase)
		}
		if phase == Work && v.Reaction == Next {
			v.Reaction = Input // there is no other source to update from
		}
		v.Source = v.Reaction.Again()
		return v
	}
	return Verdict{Reaction: Unknown, Message: lastLine(text)}
}

// line returns the line of text that holds position at.
func line(text string, at int) string {
	start := strings.LastIndexByte(text[:at], '\n') + 1
	end := strings.IndexByte(text[at:], '\n')
	if end < 0 {
		return strings.TrimSpace(text[start:])
	}
	return strings.TrimSpace(text[start : at+end])
}

// lastLine returns the line that says most about a failure nobody knows: hg's
// own, or else the last.
func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	for _, l := range lines {
		if strings.HasPrefix(l, "abort: ") {
			return l
		}
	}
	return strings.TrimSpace(lines[len(lines)-1])
}
