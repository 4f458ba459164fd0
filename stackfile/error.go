package stackfile

import (
	"errors"
	"fmt"
)

// An Error says what is wrong with a file, and where.
type Error struct {
	File   string // as given
	Line   int    // from 1; 0 if it is the file as a whole
	Column int    // from 1; 0 if it is the line, or not known
	Field  string // such as "stack[2].breaker.window"; may be empty
	Value  string // as it stands there; may be empty
	Rule   string // what the value must be

	// Err is what a layer's own Check or redoubt.Check found, or why the
	// file could not be read. Then Value and Rule are empty.
	Err error
}

// Error returns all of that in one line.
func (e *Error) Error() string {
	where := e.File
	if e.Line > 0 {
		where = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	if e.Column > 0 {
		where = fmt.Sprintf("%s:%d", where, e.Column)
	}
	switch {
	case e.Err != nil && e.Field != "":
		return fmt.Sprintf("stackfile: %s: %s: %v", where, e.Field, e.Err)
	case e.Err != nil:
		return fmt.Sprintf("stackfile: %s: %v", where, e.Err)
	}
	return fmt.Sprintf("stackfile: %s: %s is %s, must be %s", where, e.Field, e.Value, e.Rule)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports false: a file does not get better by itself.
func (e *Error) Retryable() bool { return false }

// A misuse is an error of the program, not of a file.
type misuse string

func (m misuse) Error() string { return string(m) }
func (misuse) Retryable() bool { return false }

var (
	errZero  error = misuse("stackfile: Live is nil or zero, must be made with Open")
	errEmpty       = errors.New("is empty, must describe a stack")
)
