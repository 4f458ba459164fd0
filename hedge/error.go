package hedge

import (
	"context"
	"errors"

	"github.com/redoubt-go/redoubt/internal/law"
)

// ErrLost is the cause with which the context of an attempt ends when another
// attempt succeeded first, see [context.Cause]. It matches [context.Canceled]
// under [errors.Is]. The caller of the hedged function never sees it.
var ErrLost error = &lostError{}

type lostError struct{}

func (*lostError) Error() string { return "hedge: another attempt succeeded first" }

func (*lostError) Is(target error) bool { return target == context.Canceled }

// Retryable reports false: the call has its result already.
func (*lostError) Retryable() bool { return false }

// ErrorType is the class of the error in telemetry.
func (*lostError) ErrorType() string { return "cancelled" }

// An unpreparedError says why a hedge could not be prepared as the first send was.
// Nobody sees it: the hedge is not sent.
type unpreparedError struct{ error }

func (e *unpreparedError) Unwrap() error { return e.error }

// reasonOf returns why a hedge that was granted could not begin.
func reasonOf(err error) string {
	if _, ok := errors.AsType[*unpreparedError](err); ok {
		return reasonPrepare
	}
	return reasonBody
}

var (
	errZeroHedger   = law.Misuse("hedge: Hedger is zero, must be made with New")
	errZeroGroup    = law.Misuse("hedge: Group is nil or zero, must be made with NewGroup")
	errTwoHedgers   = law.Misuse("hedge: Transport: Hedger and Hedgers are both set, want at most one")
	errNilContext   = law.Misuse("hedge: context is nil")
	errNilFunc      = law.Misuse("hedge: function is nil")
	errNoResponse   = errors.New("hedge: Base returned neither response nor error")
	errNilTransport = law.Misuse("hedge: Transport is nil")
)
