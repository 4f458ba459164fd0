package proc

import (
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The exit codes by which shells say that a program never ran.
const (
	ExitNotExecutable = 126
	ExitNotFound      = 127
)

// A StartError says that a program could not be started.
type StartError struct {
	Path string // as in Cmd
	Err  error

	found bool // there is such a program
}

// Error names the program and says what is wrong with it.
func (e *StartError) Error() string {
	err := e.Err
	if inner, ok := errors.AsType[*exec.Error](err); ok {
		err = inner.Err // it repeats the name
	} else if inner, ok := errors.AsType[*fs.PathError](err); ok && inner.Op == "fork/exec" {
		err = inner.Err
	}
	return fmt.Sprintf("%s: %v", e.Path, err)
}

// Unwrap returns the system's error.
func (e *StartError) Unwrap() error { return e.Err }

// ExitCode returns what a shell would exit with: ExitNotFound if there is no
// such program, ExitNotExecutable if there is.
func (e *StartError) ExitCode() int {
	if !e.found && (errors.Is(e.Err, exec.ErrNotFound) || errors.Is(e.Err, fs.ErrNotExist)) {
		return ExitNotFound
	}
	return ExitNotExecutable
}

// Retryable reports whether the system only lacked something for the moment,
// such as memory. What does not exist now will not exist later.
func (e *StartError) Retryable() bool {
	return slices.ContainsFunc(shortages, func(err error) bool { return errors.Is(e.Err, err) })
}

var shortages = []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ETXTBSY}

// ErrorType is the class of the error in telemetry.
func (e *StartError) ErrorType() string { return "exec" }

// An ExitError says how a program ended: with another status than 0, by a
// signal, or because its context did.
type ExitError struct {
	Path   string         // as in Cmd
	Status int            // its exit status; 0 if a signal ended it
	Signal syscall.Signal // what ended it; 0 if it exited
	Cause  error          // the cause of the end of its context, if that is why it was ended
	Stderr []byte         // the end of its stderr, as Cmd.Tail says
	Err    error          // what else went wrong, such as an error of a writer
}

// Error says how the program ended, and why it was ended if it was.
func (e *ExitError) Error() string {
	var b strings.Builder
	b.WriteString(e.Path + ": ")
	switch {
	case e.Signal != 0:
		b.WriteString("signal " + strconv.Itoa(int(e.Signal)) + " (" + e.Signal.String() + ")")
	default:
		b.WriteString("exit status " + strconv.Itoa(e.Status))
	}
	if e.Err != nil {
		b.WriteString(", " + e.Err.Error())
	}
	if e.Cause != nil {
		b.WriteString(", ended because: " + e.Cause.Error())
	}
	return b.String()
}

// Unwrap returns Cause and Err.
func (e *ExitError) Unwrap() []error {
	var errs []error
	for _, err := range []error{e.Cause, e.Err} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// ExitCode returns what a shell would exit with: the program's status, or 128
// and the number of the signal that ended it.
func (e *ExitError) ExitCode() int {
	if e.Signal != 0 {
		return 128 + int(e.Signal)
	}
	return e.Status
}

// ErrorType is the class of the error in telemetry.
func (e *ExitError) ErrorType() string {
	switch {
	case e.Cause != nil:
		return "ended"
	case e.Signal != 0:
		return "signal_" + strconv.Itoa(int(e.Signal))
	default:
		return "exit_" + strconv.Itoa(e.Status)
	}
}
