package redoubttest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A ParseError describes why [Parse] refused a script.
type ParseError struct {
	Script string // as it was given
	Step   int    // ordinal of the step at fault, first = 1
	Offset int    // in bytes, of the place at fault
	Reason string
}

// Error returns the script, the place and the reason.
func (e *ParseError) Error() string {
	return fmt.Sprintf("redoubttest: script %q: step %d (offset %d): %s", e.Script, e.Step, e.Offset, e.Reason)
}

// Parse reads a script: steps with commas between them, one for each call, in
// order. The last step answers all further calls too, unless it is "end".
// Words may be in upper or lower case. A step is one of
//
//	ok             success; as HTTP a 200
//	503            a response with this status, 200 to 599
//	truncated      a 200 whose body breaks off with io.ErrUnexpectedEOF
//	reset          the connection was reset by the peer
//	refused        the connection was refused: nothing was sent
//	eof            io.EOF instead of an answer
//	timeout        a network timeout: a net.Error whose Timeout is true
//	fail           ErrFail, an error with no properties
//	hang           no answer until the context ends
//	panic          panic(ErrPanic)
//	goexit         runtime.Goexit()
//	end            ErrEnd for this call and all after it; only as the last step
//	slow 3s        waits, then ok; the wait ends early with the context
//	slow 3s reset  waits, then any of the above
//
// and may be repeated: 3*503 stands for three steps, 2*slow 1s reset for two.
//
// A response (a status, ok, truncated) takes headers after it: name=value, the
// value in double quotes as in Go if it has spaces, commas or quotes in it.
// The body is a short text, or body=2048 sets its size in bytes. A Retry-After
// may be a date relative to the answer:
//
//	503 retry-after=2, 429 retry-after=date+5s ratelimit="\"default\";r=0;t=5", 200 body=2048
//
// Waits are Go durations. The error is a [*ParseError].
func Parse(script string) (Script, error) {
	var s Script
	fields, err := split(script)
	for i := 0; err == nil && i < len(fields); i++ {
		var st step
		st, err = parseStep(fields[i])
		if err == nil && st.outcome == outcomeEnd && i < len(fields)-1 {
			err = problem(fields[i][0].offset, `"end" must be the last step`)
		}
		if err != nil {
			err.Step = i + 1
		}
		s.steps = append(s.steps, st)
	}
	if err != nil {
		err.Script = script
		return Script{}, err
	}
	return s, nil
}

// MustParse is like [Parse] but panics if the script is wrong.
func MustParse(script string) Script {
	s, err := Parse(script)
	if err != nil {
		panic(err)
	}
	return s
}

// problem returns an error that Parse completes.
func problem(offset int, format string, args ...any) *ParseError {
	return &ParseError{Offset: offset, Reason: fmt.Sprintf(format, args...)}
}

// A field is a word of a script.
type field struct {
	text   string
	offset int
}

// cut splits the field around the first sep.
func (f field) cut(sep string) (before, after field, ok bool) {
	b, a, ok := strings.Cut(f.text, sep)
	return field{b, f.offset}, field{a, f.offset + len(b) + len(sep)}, ok
}

// split returns the words of every step; every step has at least one.
func split(script string) ([][]field, *ParseError) {
	var steps [][]field
	var words []field
	for at := 0; ; {
		word := nextWord(script[at:])
		if word.text == "," || word.text == "" {
			if len(words) == 0 {
				return nil, &ParseError{Step: len(steps) + 1, Offset: at + word.offset, Reason: "step is empty"}
			}
			steps = append(steps, words)
			words = nil
		}
		switch word.text {
		case "":
			return steps, nil
		case ",":
		case `"`:
			return nil, &ParseError{Step: len(steps) + 1, Offset: at + word.offset, Reason: "quote is not closed"}
		default:
			words = append(words, field{word.text, at + word.offset})
		}
		at += word.offset + len(word.text)
	}
}

// nextWord returns the first word of s: "," for a comma, "" at the end, and a
// lone quote for a word whose quote is not closed.
func nextWord(s string) field {
	start := len(s) - len(strings.TrimLeft(s, " \t\r\n"))
	quoted := false
	for i := start; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case quoted:
		case c == ',' && i == start:
			return field{",", start}
		case strings.IndexByte(", \t\r\n", c) >= 0:
			return field{s[start:i], start}
		}
	}
	if quoted {
		return field{`"`, start + strings.IndexByte(s[start:], '"')}
	}
	return field{s[start:], start}
}

func parseStep(words []field) (step, *ParseError) {
	count, words, err := parseCount(words)
	if err != nil {
		return step{}, err
	}
	wait, words, err := parseWait(words)
	if err != nil {
		return step{}, err
	}
	s, err := parseOutcome(words[0])
	if err != nil {
		return step{}, err
	}
	s.count, s.wait = count, wait
	for _, w := range words[1:] {
		if err := s.parseAttribute(w); err != nil {
			return step{}, err
		}
	}
	return s, nil
}

func parseCount(words []field) (int, []field, *ParseError) {
	number, rest, ok := words[0].cut("*")
	if !ok {
		return 1, words, nil
	}
	n, err := strconv.Atoi(number.text)
	if err != nil || n < 1 || n > maxRepeat {
		return 0, nil, problem(number.offset, "bad repetition %q: want a number from 1 to %d", number.text, maxRepeat)
	}
	if rest.text == "" {
		return 0, nil, problem(rest.offset, "nothing to repeat right after the *")
	}
	words[0] = rest
	return n, words, nil
}

func parseWait(words []field) (time.Duration, []field, *ParseError) {
	if !strings.EqualFold(words[0].text, "slow") {
		return 0, words, nil
	}
	if len(words) == 1 {
		return 0, nil, problem(words[0].offset, `"slow" needs a duration`)
	}
	d, err := time.ParseDuration(words[1].text)
	if err != nil || d < 0 {
		return 0, nil, problem(words[1].offset, "bad duration %q", words[1].text)
	}
	if len(words) == 2 {
		return d, []field{{text: string(outcomeOK)}}, nil
	}
	return d, words[2:], nil
}

func parseOutcome(word field) (step, *ParseError) {
	switch o := outcome(strings.ToLower(word.text)); o {
	case outcomeOK, outcomeTruncated, outcomeReset, outcomeRefused, outcomeEOF, outcomeTimeout,
		outcomeHang, outcomeFail, outcomePanic, outcomeGoexit, outcomeEnd:
		return newStep(o), nil
	}
	code, err := strconv.ParseUint(word.text, 10, 0)
	if err != nil {
		return step{}, problem(word.offset, "unknown outcome %q", word.text)
	}
	if code < http.StatusOK || code > 599 {
		return step{}, problem(word.offset, "status %s is not from 200 to 599", word.text)
	}
	s := newStep(outcomeStatus)
	s.status = int(code)
	return s, nil
}

// parseAttribute adds a word such as retry-after=2 or body=2048 to the step.
func (s *step) parseAttribute(word field) *ParseError {
	name, value, ok := word.cut("=")
	switch {
	case !ok:
		return problem(word.offset, "unexpected %q", word.text)
	case !s.outcome.responds():
		return problem(word.offset, "%q is not a response and takes no %q", s.outcome, word.text)
	}
	text, err := unquote(value)
	if err != nil {
		return err
	}
	if strings.EqualFold(name.text, "body") {
		return s.setBody(field{text, value.offset})
	}
	return s.addHeader(name, field{text, value.offset})
}

func unquote(value field) (string, *ParseError) {
	if !strings.Contains(value.text, `"`) {
		return value.text, nil
	}
	text, err := strconv.Unquote(value.text)
	if err != nil || value.text[0] != '"' {
		return "", problem(value.offset, "bad quoting %s", value.text)
	}
	return text, nil
}

func (s *step) setBody(size field) *ParseError {
	n, err := strconv.ParseUint(size.text, 10, 0)
	if err != nil || n > maxBody {
		return problem(size.offset, "bad body size %q: want a number from 0 to %d", size.text, maxBody)
	}
	s.body = int(n)
	return nil
}

func (s *step) addHeader(name, value field) *ParseError {
	if !isToken(name.text) {
		return problem(name.offset, "bad header name %q", name.text)
	}
	if strings.ContainsFunc(value.text, isControl) {
		return problem(value.offset, "control character in header value %q", value.text)
	}
	s.headers = append(s.headers, header{strings.ToLower(name.text), value.text})
	return nil
}

// isToken reports whether s is a token of RFC 9110, section 5.6.2.
func isToken(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, r)
	})
}

func isControl(r rune) bool {
	return r < ' ' && r != '\t' || r == 0x7f
}
