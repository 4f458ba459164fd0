// Package exit holds the exit codes that redoubt's commands share, and the
// errors that carry them.
package exit

import "errors"

// The exit codes that mean the same for every command. A command may have more
// of its own, between 64 and 78 as sysexits.h has them.
const (
	OK          = 0
	Failure     = 1   // an error of no other kind
	Usage       = 2   // the command line makes no sense; nothing was done
	BreakerOpen = 75  // a circuit is open (EX_TEMPFAIL): try again later
	TimedOut    = 124 // a time limit ended the command, as timeout(1) says it
)

// Code returns the exit code for what a command returned: 0 for nil, what the
// error's method ExitCode() int says, and otherwise Failure.
func Code(err error) int {
	if err == nil {
		return OK
	}
	var says interface{ ExitCode() int }
	if errors.As(err, &says) {
		return says.ExitCode()
	}
	return Failure
}

// An Error is an error with an exit code.
type Error struct {
	Status int
	Err    error // nil if there is nothing more to say
}

// Error returns the text of Err, "" if that is nil.
func (e *Error) Error() string {
	if e.Err == nil {
		return ""
	}
	return e.Err.Error()
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// ExitCode returns Status.
func (e *Error) ExitCode() int { return e.Status }

// With returns err with an exit code, or nil if err is nil.
func With(status int, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Status: status, Err: err}
}

// Quietly returns an error with an exit code and no text, for a command that has
// said all that there is to say. Status 0 is nil.
func Quietly(status int) error {
	if status == OK {
		return nil
	}
	return &Error{Status: status}
}
