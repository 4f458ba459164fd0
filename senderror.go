package redoubt

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A SendError says that an attempt of a [Transport] got no response. It is
// immutable and safe for concurrent use.
type SendError struct {
	// Err is what Base returned, or else why the attempt was cut short.
	Err error

	// Sent reports whether the server may have seen the request. If not, it
	// is certain that nothing was done because of it.
	Sent bool

	fault     fault
	retryable bool
}

// Error returns the text of Err, in one line.
func (e *SendError) Error() string { return strings.ReplaceAll(e.Err.Error(), "\n", "; ") }

// Unwrap returns Err.
func (e *SendError) Unwrap() error { return e.Err }

// Timeout reports whether Err is a timeout.
func (e *SendError) Timeout() bool { return says.TimedOut(e.Err) }

// Retryable reports whether the request may be sent again and whether that could
// help.
func (e *SendError) Retryable() bool { return e.retryable }

// Rejected reports whether the request was refused before there was any attempt
// to reach the server, such as one with a malformed header.
func (e *SendError) Rejected() bool { return e.fault.local }

// Unreached reports whether the connection was refused, so that nobody took the
// request and the server, if there is one, did no work for it. A [retry.Policy]
// asks no budget for another attempt, and gives the server time to come back.
//
// [retry.Policy]: https://pkg.go.dev/github.com/redoubt-go/redoubt/retry#Policy
func (e *SendError) Unreached() bool { return e.fault.refused && !e.Sent }

// Throttled reports whether the server asked its client to send less, as HTTP/2
// does with ENHANCE_YOUR_CALM.
func (e *SendError) Throttled() bool { return e.fault.throttled }

// DependencyFailure reports whether the server or the way to it is to blame,
// rather than the request or its body.
func (e *SendError) DependencyFailure() bool { return !e.fault.local && !e.fault.ours }

// ErrorType is the class of the error in telemetry.
func (e *SendError) ErrorType() string {
	if e.fault.class != "" {
		return e.fault.class
	}
	return telemetry.ErrorType(e.Err)
}

// A TimeoutError says that an attempt exceeded HeaderTimeout or StallTimeout of
// its [Transport], rather than that the caller's own deadline has passed. It
// matches [context.DeadlineExceeded] under [errors.Is]. It is immutable and safe
// for concurrent use.
type TimeoutError struct {
	Phase Phase         // what took too long
	Limit time.Duration // how long it may take
}

// Error says what did not happen in time.
func (e *TimeoutError) Error() string {
	return "redoubt: " + e.Phase.missing() + " within " + e.Limit.String()
}

// Is reports whether target is [context.DeadlineExceeded].
func (e *TimeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// Timeout reports true, as [net.Error] has it.
func (e *TimeoutError) Timeout() bool { return true }

// ErrorType is the class of the error in telemetry.
func (e *TimeoutError) ErrorType() string { return "timeout" }

func (p Phase) missing() string {
	switch p {
	case PhaseConnect:
		return "no connection"
	case PhaseWrite:
		return "no progress in writing the request"
	case PhaseBody:
		return "no more of the response body"
	default:
		return "no response headers"
	}
}

// interruptedError says that a layer's limit cut an attempt short.
type interruptedError struct {
	phase Phase
	cause error
}

func (e *interruptedError) Error() string { return e.phase.missing() + " so far" }
func (e *interruptedError) Unwrap() error { return e.cause }

var (
	errRequestCancel = fmt.Errorf("redoubt: Request.Cancel was closed: %w", context.Canceled)
	errNoResponse    = errors.New("redoubt: layers report success without a response")
	errRewind        = errors.New("redoubt: request body can't be read again; set GetBody or Transport.MaxRequestBuffer")
	errEndless       = errors.New("redoubt: server refuses the request on one new connection after another")
	errDiscarded     = errors.New("redoubt: response is not needed")
	errDone          = errors.New("redoubt: response has ended")
	errNilResponse   = errors.New("redoubt: Base returned neither response nor error")
)

// A callError is what RoundTrip returns: the error of the layers, with what
// http.Client and a reader of logs want to know besides.
type callError struct {
	err     error // may be nil
	earlier []string
	done    error // the caller's context's error, if it ended
	cause   error // and its cause, if that is another
}

// failed makes the error of a call that the layers ended with err.
func (x *exchange) failed(err error) error {
	f := &callError{err: err, earlier: x.earlier}
	if f.done = x.ctx.Err(); f.done != nil {
		if cause := context.Cause(x.ctx); cause != f.done { //nolint:errorlint // Is it another?
			f.cause = cause
		}
	}
	return f
}

func (f *callError) Error() string {
	var parts []string
	for _, err := range []error{f.err, f.cause, f.done} {
		if err != nil && !strings.Contains(strings.Join(parts, " "), err.Error()) {
			parts = append(parts, err.Error())
		}
	}
	message := strings.Join(parts, ": ")
	if earlier := summary(f.earlier); earlier != "" {
		message += " (earlier: " + earlier + ")"
	}
	return message
}

func (f *callError) Unwrap() []error {
	var errs []error
	for _, err := range []error{f.err, f.done, f.cause} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Timeout is for url.Error, which does not unwrap: a caller's cancellation is
// none, whatever befell the attempts before.
func (f *callError) Timeout() bool {
	if f.done != nil {
		return errors.Is(f.done, context.DeadlineExceeded)
	}
	return says.TimedOut(f.err)
}

// Temporary is for url.Error as well, which net/http's own errors tell it: each
// timeout is temporary.
func (f *callError) Temporary() bool {
	if f.done != nil || f.Timeout() {
		return f.Timeout()
	}
	e, ok := errors.AsType[interface {
		error
		Temporary() bool
	}](f.err)
	return ok && e.Temporary()
}

// maxEarlier bounds what is remembered of earlier attempts.
const maxEarlier = 8

// remember keeps the class of an attempt that others follow.
func (x *exchange) remember(err error) {
	if err != nil && len(x.earlier) < maxEarlier {
		x.earlier = append(x.earlier, telemetry.ErrorType(err))
	}
}

// summary writes classes down, equal neighbours once.
func summary(classes []string) string {
	var parts []string
	for i := 0; i < len(classes); {
		n := slices.IndexFunc(classes[i:], func(c string) bool { return c != classes[i] })
		if n < 0 {
			n = len(classes) - i
		}
		part := classes[i]
		if n > 1 {
			part += " ×" + strconv.Itoa(n)
		}
		parts = append(parts, part)
		i += n
	}
	return strings.Join(parts, ", ")
}

// ended returns the error of a context that has ended, with its cause.
func ended(ctx context.Context) error {
	cause := context.Cause(ctx)
	if errors.Is(cause, ctx.Err()) {
		return cause
	}
	return &callError{done: ctx.Err(), cause: cause}
}
