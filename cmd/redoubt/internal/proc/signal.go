package proc

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"
)

// A SignalError is the cause of a context that [Notify] ended.
type SignalError struct {
	Signal syscall.Signal
}

// Error names the signal.
func (e *SignalError) Error() string { return "received signal: " + e.Signal.String() }

// Is reports whether target is [context.Canceled].
func (e *SignalError) Is(target error) bool { return target == context.Canceled }

// ExitCode returns what a command should exit with that this signal ended: 128
// and its number.
func (e *SignalError) ExitCode() int { return 128 + int(e.Signal) }

// ErrorType is the class of the error in telemetry.
func (e *SignalError) ErrorType() string { return "cancelled" }

// Notify returns a context that ends when this process receives SIGHUP, SIGINT
// or SIGTERM, with a [*SignalError] as its cause. The first signal counts; until
// stop is called later ones are ignored, since what the first has set off takes
// a bounded time. Signals that were ignored when the process began, as nohup and
// shells' background jobs have it, stay ignored.
func Notify(parent context.Context) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(parent)
	received := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGTERM} {
		if !signal.Ignored(sig) {
			signal.Notify(received, sig)
		}
	}
	go func() {
		select {
		case sig := <-received:
			if sig, ok := sig.(syscall.Signal); ok {
				cancel(&SignalError{Signal: sig})
			}
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		signal.Stop(received)
		cancel(nil)
	}
}

// signalOf returns the signal by which to end a group whose context ended for
// this cause.
func signalOf(cause error) syscall.Signal {
	if e, ok := errors.AsType[*SignalError](cause); ok {
		return e.Signal
	}
	return syscall.SIGTERM
}
