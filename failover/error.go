package failover

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/says"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A Stop is why no further endpoint was asked.
type Stop string

// The reasons to stop.
const (
	StopExhausted Stop = "exhausted" // every endpoint failed or was skipped
	StopPermanent Stop = "permanent" // the error says that no other endpoint could do better
	StopUnsafe    Stop = "unsafe"    // the endpoint may have done what must not be done twice
	StopBudget    Stop = "budget"    // the budget is empty
	StopDeadline  Stop = "deadline"  // the caller's time is too short for another endpoint
	StopCancelled Stop = "cancelled" // the caller's context ended
)

// A Fate is what became of a call at one endpoint.
type Fate struct {
	Endpoint string // without user, password and query, if it is a URL
	Err      error  // what it answered, or why it was not asked
	Refused  bool   // whether it was not asked
}

// An Error says that no endpoint answered as it should. It unwraps to the errors
// of all endpoints. It is immutable and safe for concurrent use.
type Error struct {
	Name  string // the list's
	Stop  Stop   // why no further endpoint was asked
	Fates []Fate // in the order of asking; an endpoint that was not reached has none
	Cause error  // the context's cause if Stop is StopCancelled, else nil

	done    error             // the context's error if Stop is StopCancelled
	secrets *strings.Replacer // for texts; may be nil
}

// Bounds of an Error's text.
const (
	maxTold = 8   // endpoints
	maxText = 256 // bytes for one of them
)

// Error tells the fate of every endpoint, of the first eight if there are more,
// and each in at most 256 bytes.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("failover: " + e.Name + ": " + e.reason())
	if e.Cause != nil {
		b.WriteString(": " + e.clean(e.Cause.Error()))
	}
	for i, fate := range e.Fates {
		if i == maxTold {
			fmt.Fprintf(&b, "; and %d more", len(e.Fates)-maxTold)
			break
		}
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		b.WriteString(separator + fate.Endpoint + ": " + e.clean(fate.text()))
	}
	return b.String()
}

func (e *Error) reason() string {
	switch e.Stop {
	case StopPermanent:
		return "no other endpoint could do better"
	case StopUnsafe:
		return "not safe to ask another endpoint"
	case StopBudget:
		return "budget is empty"
	case StopDeadline:
		return "deadline is too near for another endpoint"
	case StopCancelled:
		if errors.Is(e.done, context.DeadlineExceeded) {
			return "time is up"
		}
		return "cancelled"
	default:
		if e.Rejected() {
			return "no endpoint takes calls"
		}
		return "every endpoint failed"
	}
}

func (f Fate) text() string {
	switch {
	case f.Err == nil:
		return "not asked"
	case !f.Refused:
		return f.Err.Error()
	}
	text := "skipped"
	if after, ok := says.RetryAfter(f.Err); ok {
		text += " for another " + after.Round(time.Millisecond).String()
	}
	return text + ": " + f.Err.Error()
}

// clean takes what is secret out of a text, and what is too much.
func (e *Error) clean(text string) string {
	if e.secrets != nil {
		text = e.secrets.Replace(text)
	}
	text = strings.ReplaceAll(text, "\n", "; ")
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText-len("…")], "") + "…"
}

// Unwrap returns the endpoints' errors, the last first since it is what
// errors.As should find first, and then the cause and the error of the caller's
// context if that ended.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, fate := range slices.Backward(e.Fates) {
		if fate.Err != nil {
			errs = append(errs, fate.Err)
		}
	}
	for _, err := range []error{e.Cause, e.done} {
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errs
}

// Retryable reports whether the same call could succeed later: never if it may
// have been carried out, or if its caller is gone.
func (e *Error) Retryable() bool {
	switch e.Stop {
	case StopPermanent, StopUnsafe, StopCancelled:
		return false
	case StopBudget, StopDeadline:
		return true
	}
	for _, fate := range e.Fates {
		if fate.Err != nil && retryable(fate.Err) {
			return true
		}
	}
	return false
}

// RetryAfter returns how long it takes until the first endpoint takes calls
// again, and whether that is known. It is not if an endpoint failed without
// saying so.
func (e *Error) RetryAfter() (time.Duration, bool) {
	soonest, known := noDeadline, false
	for _, fate := range e.Fates {
		if fate.Err == nil || !retryable(fate.Err) {
			continue
		}
		after, ok := says.RetryAfter(fate.Err)
		if !ok {
			return 0, false
		}
		soonest, known = min(soonest, after), true
	}
	if !known {
		return 0, false
	}
	return soonest, true
}

// Rejected reports whether no endpoint was asked.
func (e *Error) Rejected() bool {
	for _, fate := range e.Fates {
		if !fate.Refused {
			return false
		}
	}
	return len(e.Fates) > 0
}

// Unreached reports whether no endpoint that was asked was there to take the call,
// and at least one was asked.
func (e *Error) Unreached() bool {
	asked := false
	for _, fate := range e.Fates {
		if fate.Refused {
			continue
		}
		if !says.Unreached(fate.Err) {
			return false
		}
		asked = true
	}
	return asked
}

// DependencyFailure reports whether an endpoint that was asked is to blame.
func (e *Error) DependencyFailure() bool {
	for _, fate := range e.Fates {
		if !fate.Refused && fate.Err != nil && dependencyFailure(fate.Err) {
			return true
		}
	}
	return false
}

// Timeout reports whether the caller's deadline passed or, unless the caller
// cancelled the call, whether the endpoint asked last took too long.
func (e *Error) Timeout() bool {
	if e.done != nil {
		return errors.Is(e.done, context.DeadlineExceeded) || says.TimedOut(e.Cause)
	}
	for _, fate := range slices.Backward(e.Fates) {
		if !fate.Refused {
			return says.TimedOut(fate.Err)
		}
	}
	return false
}

// ErrorType is the class of the error in telemetry: that of the endpoint asked
// last, or "no_endpoint" if none was.
func (e *Error) ErrorType() string {
	if e.done != nil {
		return telemetry.ErrorType(e.done)
	}
	for _, fate := range slices.Backward(e.Fates) {
		if !fate.Refused && fate.Err != nil {
			return telemetry.ErrorType(fate.Err)
		}
	}
	return "no_endpoint"
}

// A StatusError is what layers see of a response that is a failure. It is
// immutable and safe for concurrent use.
type StatusError struct {
	StatusCode int

	retryable  bool
	retryAfter time.Duration
}

// Error tells the status.
func (e *StatusError) Error() string {
	message := "failover: status " + strconv.Itoa(e.StatusCode)
	if text := http.StatusText(e.StatusCode); text != "" {
		message += " " + text
	}
	return message
}

// Retryable reports whether the request may be sent again after this response.
func (e *StatusError) Retryable() bool { return e.retryable }

// RetryAfter returns how long the server asks to be left alone, and whether it
// does.
func (e *StatusError) RetryAfter() (time.Duration, bool) { return e.retryAfter, e.retryAfter > 0 }

// Throttled reports whether the server turned the request away because it has
// too much to do.
func (e *StatusError) Throttled() bool {
	return e.StatusCode == http.StatusTooManyRequests || e.StatusCode == http.StatusServiceUnavailable
}

// ErrorType is the class of the error in telemetry: the status.
func (e *StatusError) ErrorType() string { return strconv.Itoa(e.StatusCode) }

// A requestError is about the request itself or its body: no endpoint is to
// blame, and none can help.
type requestError struct {
	err   error
	local bool // it was not sent
}

func (e *requestError) Error() string           { return e.err.Error() }
func (e *requestError) Unwrap() error           { return e.err }
func (e *requestError) Retryable() bool         { return false }
func (e *requestError) Rejected() bool          { return e.local }
func (e *requestError) DependencyFailure() bool { return false }
func (e *requestError) ErrorType() string {
	if e.local {
		return "invalid_request"
	}
	return "request_body"
}

// errBudget is what a guard is told in place of an endpoint's answer.
var errBudget error = budgetError{}

type budgetError struct{}

func (budgetError) Error() string     { return "budget is empty" }
func (budgetError) Rejected() bool    { return true }
func (budgetError) ErrorType() string { return "budget" }

// errPanicked stands in telemetry for the error of a call that did not return.
var errPanicked error = panicked{}

type panicked struct{}

func (panicked) Error() string     { return "failover: call panicked or called runtime.Goexit" }
func (panicked) ErrorType() string { return "panic" }

var (
	errNil         = law.Misuse("failover: Failover is nil or zero, must be made with New")
	errNilRoute    = law.Misuse("failover: Transport is nil")
	errNoResponse  = errors.New("failover: guard reports success without a response")
	errNilResponse = errors.New("failover: Base returned neither response nor error")
	errCancelled   = fmt.Errorf("failover: Request.Cancel was closed: %w", context.Canceled)
	errDone        = errors.New("failover: response has ended")
	errDiscarded   = errors.New("failover: response is not needed")
)
