// Package failure says how a run of redoubt hg can fail, and with which exit
// code. The codes are those of sysexits.h where they fit.
package failure

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/lock"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mercurial"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/proc"
)

// A Kind is why a run failed.
type Kind string

// The kinds.
const (
	Usage       Kind = "usage"       // what was asked makes no sense, or is not safe
	NotFound    Kind = "not-found"   // no source has the revision
	Unavailable Kind = "unavailable" // no source could be used; later one may
	Open        Kind = "open"        // every circuit is open; nothing was dialled
	Internal    Kind = "internal"    // none of the others
	Damaged     Kind = "damaged"     // what is on disk is damaged, and not repaired
	Refused     Kind = "refused"     // the destination holds what would be lost
	Disk        Kind = "disk"        // disk full, or no permission
	Busy        Kind = "busy"        // somebody else holds a lock
	Security    Kind = "security"    // a source is not who it should be
	Environment Kind = "environment" // this machine has no hg or no proxy that works
	Deadline    Kind = "deadline"    // the budget of time was used up
	Interrupted Kind = "interrupted" // a signal
)

// codes are the exit codes, but for Interrupted. 72 is what Mozilla's run-task
// takes for "purge the cache and try again".
var codes = map[Kind]int{
	Usage: exit.Usage, NotFound: 65, Unavailable: 69, Internal: 70, Damaged: 72, Refused: 73,
	Disk: 74, Open: exit.BreakerOpen, Busy: 76, Security: 77, Environment: 78, Deadline: exit.TimedOut,
}

// An Error is how a run ended that failed.
type Error struct {
	Kind Kind
	Err  error
}

// Error says what Err says.
func (e *Error) Error() string { return e.Err.Error() }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// New returns an Error of a kind.
func New(kind Kind, format string, args ...any) *Error {
	return &Error{Kind: kind, Err: fmt.Errorf(format, args...)}
}

// Of returns err as an Error, judging it unless it is one.
func Of(ctx context.Context, err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok {
		return e
	}
	return &Error{Kind: kind(ctx, err), Err: err}
}

func kind(ctx context.Context, err error) Kind {
	if _, ok := errors.AsType[*proc.SignalError](context.Cause(ctx)); ok {
		return Interrupted
	}
	if ctx.Err() != nil {
		return Deadline
	}
	var (
		input   *source.Error
		busy    *lock.BusyError
		missing *mercurial.MissingError
		hg      *mercurial.Failure
	)
	switch {
	case errors.As(err, &input):
		return Usage
	case errors.As(err, &busy):
		return Busy
	case errors.As(err, &missing):
		return Environment
	case errors.As(err, &hg):
		return ofReaction(hg.Verdict)
	default:
		return ofReaction(classify.Transport(err))
	}
}

// disk matches what is said of a disk, as opposed to the rest of a machine.
var disk = regexp.MustCompile(`(?i)no space left|quota exceeded|read-only file system|file too large|input/output error|permission denied|operation not permitted`)

func ofReaction(v classify.Verdict) Kind {
	switch v.Reaction {
	case classify.Retry, classify.Wait, classify.Next:
		return Unavailable
	case classify.Security:
		return Security
	case classify.Recover, classify.Rebuild:
		return Damaged
	case classify.Locked:
		return Busy
	case classify.Environment:
		if disk.MatchString(v.Message) {
			return Disk
		}
		return Environment
	case classify.Input:
		return NotFound
	case classify.Dirty:
		return Refused
	default:
		return Internal
	}
}

// ExitCode returns the code to exit with.
func (e *Error) ExitCode() int {
	if e.Kind == Interrupted {
		if sig, ok := errors.AsType[*proc.SignalError](e.Err); ok {
			return sig.ExitCode()
		}
		return 130
	}
	return codes[e.Kind]
}
