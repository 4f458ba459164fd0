package runcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/proc"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/tracing"
	"github.com/redoubt-go/redoubt/timeout"
)

// An attemptError is how an attempt failed, and whether another may help.
type attemptError struct {
	err       error
	retryable bool
	why       string // it is or is not retryable, "" if that goes without saying
}

func (e *attemptError) Error() string {
	if e.why == "" {
		return e.err.Error()
	}
	return e.err.Error() + ", " + e.why
}

func (e *attemptError) Unwrap() error { return e.err }

// Retryable tells retry.Policy whether to go on.
func (e *attemptError) Retryable() bool { return e.retryable }

// A matchError says that a command failed although it exited with status 0.
type matchError struct {
	stream  string
	pattern *regexp.Regexp
}

func (e *matchError) Error() string { return fmt.Sprintf("%s matches %q", e.stream, e.pattern) }

// ExitCode returns 1, for want of one of the command's own.
func (e *matchError) ExitCode() int { return exit.Failure }

func (e *matchError) ErrorType() string { return "output_matched" }

// command runs the command once.
func (r *runner) command(ctx context.Context) error {
	r.runs++
	r.debugf("attempt %d of %d: %s", r.attempt.ordinal, r.maxAttempts, show(r.args))
	stdin, err := r.stdin.reader(r.runs)
	if err != nil {
		return &attemptError{err: err}
	}
	stdout := newWatch(os.Stdout, r.retryIfStdout, r.noRetryIfStdout, r.failIfStdout)
	stderr := newWatch(os.Stderr, r.retryIfStderr, r.noRetryIfStderr, r.failIfStderr)
	err = proc.Cmd{
		Path:       r.args[0],
		Args:       r.args[1:],
		Env:        append(append(os.Environ(), tracing.Environ(ctx)...), "REDOUBT_ATTEMPT="+strconv.Itoa(r.attempt.ordinal)),
		Stdin:      stdin,
		Stdout:     stdout.or(os.Stdout),
		Stderr:     stderr.or(os.Stderr),
		Grace:      r.grace.Duration(),
		Foreground: r.foreground,
	}.Run(ctx)
	stdout.flush()
	stderr.flush()
	return r.judge(err, stdout, stderr)
}

// newWatch returns a watch for all of these patterns, nil if there are none.
func newWatch(to io.Writer, sets ...patterns) *watch {
	var all []*regexp.Regexp
	for _, set := range sets {
		all = append(all, set...)
	}
	if len(all) == 0 {
		return nil
	}
	return &watch{to: to, patterns: all}
}

// or returns w, or else the file itself, which the command then has as its own:
// it can tell that it is a terminal.
func (w *watch) or(file *os.File) io.Writer {
	if w == nil {
		return file
	}
	return w
}

// judge says whether an attempt failed, and whether another may help.
func (o *options) judge(err error, stdout, stderr *watch) error {
	if err == nil {
		switch {
		case stdout.first(o.failIfStdout) != nil:
			err = &matchError{"stdout", stdout.first(o.failIfStdout)}
		case stderr.first(o.failIfStderr) != nil:
			err = &matchError{"stderr", stderr.first(o.failIfStderr)}
		default:
			return nil
		}
	}
	if start, ok := errors.AsType[*proc.StartError](err); ok {
		return &attemptError{err: err, retryable: start.Retryable()}
	}
	e := &attemptError{err: err}
	code := exitCode(err)
	_, matched := errors.AsType[*matchError](err)
	switch {
	case o.noRetryOnExit.contain(code):
		e.why = "which --no-retry-on-exit forbids to retry"
	case stdout.first(o.noRetryIfStdout) != nil:
		e.why = fmt.Sprintf("not retried since stdout matches %q", stdout.first(o.noRetryIfStdout))
	case stderr.first(o.noRetryIfStderr) != nil:
		e.why = fmt.Sprintf("not retried since stderr matches %q", stderr.first(o.noRetryIfStderr))
	case matched, code == exit.TimedOut && isTimeout(err), o.retryOnExit.contain(code), !o.choosy():
		e.retryable = true
	case stdout.first(o.retryIfStdout) != nil:
		e.retryable, e.why = true, fmt.Sprintf("stdout matches %q", stdout.first(o.retryIfStdout))
	case stderr.first(o.retryIfStderr) != nil:
		e.retryable, e.why = true, fmt.Sprintf("stderr matches %q", stderr.first(o.retryIfStderr))
	default:
		e.why = "not among what is to be retried"
	}
	return e
}

// choosy reports whether only some failures are to be retried.
func (o *options) choosy() bool {
	return len(o.retryOnExit)+len(o.retryIfStdout)+len(o.retryIfStderr) > 0
}

// exitCode returns the code that says how the command failed: that of a signal
// to redoubt, then 124 for a time limit, then the command's own.
func exitCode(err error) int {
	if signal, ok := errors.AsType[*proc.SignalError](err); ok {
		return signal.ExitCode()
	}
	if isTimeout(err) {
		return exit.TimedOut
	}
	return exit.Code(err)
}

func isTimeout(err error) bool {
	_, ok := errors.AsType[*timeout.Error](err)
	return ok
}
