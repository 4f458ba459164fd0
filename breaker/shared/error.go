package shared

import (
	"fmt"
	"time"

	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/telemetry"
)

// A Failure is what is remembered of the failure that opened a circuit, perhaps
// in another process. It is the Cause of a breaker.OpenError.
type Failure struct { //nolint:errname // It is remembered and never returned by itself.
	Class string    // of the error, see ErrorType
	At    time.Time // when it was counted
	Host  string    // where
	PID   int       // in which process
}

// Error tells the class of the failure and who saw it.
func (f *Failure) Error() string {
	return fmt.Sprintf("%s in process %d on %s", f.Class, f.PID, f.Host)
}

// ErrorType is the class of the failure. It is what the error's own method
// ErrorType said, or one of a few classes such as connection_refused.
func (f *Failure) ErrorType() string { return f.Class }

func (o outcome) failure() *Failure {
	return &Failure{Class: o.Class, At: o.At, Host: o.Host, PID: o.PID}
}

// classOf returns the class of a failure. Not every failure is an error: a
// Classify may find fault with a nil one.
func classOf(err error) string {
	if err == nil {
		return "failure"
	}
	return word(telemetry.ErrorType(err))
}

var (
	errZero         = law.Misuse("breaker/shared: Breaker is nil or zero, must be made with New")
	errNoReturn     = &lost{"call panicked or called runtime.Goexit", "panic"}
	errProbeTimeout = &lost{"probe did not return in time", "probe_timeout"}
)

// lost stands for the error of a call that did not return.
type lost struct{ what, class string }

func (e *lost) Error() string     { return "breaker/shared: " + e.what }
func (e *lost) ErrorType() string { return e.class }
