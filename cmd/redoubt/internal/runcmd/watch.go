package runcmd

import (
	"bytes"
	"io"
	"regexp"
	"slices"
)

// maxLine is how much of a line is looked at as one. A longer one is looked at in
// pieces that overlap by half.
const maxLine = 64 << 10

// A watch passes what it is given on at once and finds out which patterns match
// a line of it. It is for one attempt and one goroutine. A nil watch saw nothing.
type watch struct {
	to       io.Writer
	patterns []*regexp.Regexp // that did not match yet
	matched  []*regexp.Regexp
	line     []byte // as much as there is of the last
}

// Write passes p on. What could not be passed on is looked at all the same.
func (w *watch) Write(p []byte) (int, error) {
	w.look(p)
	return w.to.Write(p)
}

func (w *watch) look(p []byte) {
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			w.line = append(w.line, p...)
			if len(w.line) > maxLine {
				w.match(w.line)
				w.line = append(w.line[:0], w.line[len(w.line)-maxLine/2:]...)
			}
			return
		}
		w.line = append(w.line, p[:end]...)
		w.flush()
		p = p[end+1:]
	}
}

// flush ends the line. It must be called once more after the last Write, for a
// line without an end. A nil watch has none.
func (w *watch) flush() {
	if w == nil {
		return
	}
	w.match(bytes.TrimSuffix(w.line, []byte("\r")))
	w.line = w.line[:0]
}

func (w *watch) match(line []byte) {
	left := w.patterns[:0:0]
	for _, re := range w.patterns {
		if re.Match(line) {
			w.matched = append(w.matched, re)
		} else {
			left = append(left, re)
		}
	}
	w.patterns = left
}

// first returns the first of these patterns that matched, nil if none did.
func (w *watch) first(patterns []*regexp.Regexp) *regexp.Regexp {
	if w == nil {
		return nil
	}
	for _, re := range patterns {
		if slices.Contains(w.matched, re) {
			return re
		}
	}
	return nil
}
