package redoubttest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

var (
	// ErrFail is what a "fail" step returns.
	ErrFail = errors.New("redoubttest: scripted failure")

	// ErrPanic is what a "panic" step panics with.
	ErrPanic = errors.New("redoubttest: scripted panic")

	// ErrEnd is what calls get after the end of a script that says "end".
	ErrEnd = errors.New("redoubttest: script has ended")
)

// A StatusError is what [Dependency.Call] returns for a status of 400 or more.
type StatusError struct {
	StatusCode int
	Header     http.Header // as in the script; not nil
}

// Error returns the status in words.
func (e *StatusError) Error() string {
	return "redoubttest: " + strconv.Itoa(e.StatusCode) + " " + http.StatusText(e.StatusCode)
}

// Retryable reports whether the status is one that a repeated call may cure:
// 408, 425, 429, 500, 502, 503 or 504.
func (e *StatusError) Retryable() bool {
	switch e.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests,
		http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// RetryAfter returns how long the Retry-After header asks to wait from now, and
// reports whether there is a valid one. It is never negative.
func (e *StatusError) RetryAfter() (time.Duration, bool) {
	value := e.Header.Get("Retry-After")
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(0, time.Until(date)), true
}

// A Dependency is a remote service that answers by a [Script] and records
// what it saw. Its method Call is the service as a function, and it is an
// [http.RoundTripper]; both take their answers from the one script, in the
// order in which calls begin.
//
// The zero value answers every call with success. A Dependency is safe for
// concurrent use and must not be copied after first use.
type Dependency struct {
	script Script

	mu    sync.Mutex
	calls []*Call
}

// NewDependency returns a dependency that answers by script.
func NewDependency(script Script) *Dependency {
	return &Dependency{script: script}
}

// A Call is what a [Dependency] wrote down about one call. The fields of the
// request and the response are for calls over HTTP only.
type Call struct {
	Attempt int       // ordinal among the calls the dependency saw, first = 1
	Step    string    // how it was answered, in the language of Parse
	Start   time.Time // when the call began
	End     time.Time // when it returned or panicked; zero while it runs

	Method string
	URL    string
	Header http.Header // of the request
	Body   []byte      // of the request, as far as it was read

	StatusCode int  // 0 if there was no response
	BodyEOF    bool // the response body was read to its end
	BodyClosed bool // the response body was closed
}

// Calls returns a copy of what was recorded, in the order in which the calls
// began. Every call counts, also one whose context had already ended.
func (d *Dependency) Calls() []Call {
	d.mu.Lock()
	defer d.mu.Unlock()
	calls := make([]Call, len(d.calls))
	for i, c := range d.calls {
		calls[i] = *c
		calls[i].Header = c.Header.Clone()
		calls[i].Body = slices.Clone(c.Body)
	}
	return calls
}

// Count returns the number of calls so far, running ones included.
func (d *Dependency) Count() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.calls)
}

// OpenBodies returns the number of responses whose body is not closed.
func (d *Dependency) OpenBodies() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	open := 0
	for _, c := range d.calls {
		if c.StatusCode != 0 && !c.BodyClosed {
			open++
		}
	}
	return open
}

// Call is one call of the dependency as a function. Success, and a status below
// 400, is nil; a higher status is a [*StatusError]; "truncated" is
// [io.ErrUnexpectedEOF]. If ctx ends before the answer, Call returns ctx.Err().
func (d *Dependency) Call(ctx context.Context) error {
	c, s := d.begin(nil)
	defer d.end(c)
	if err := sleep(ctx, s.wait); err != nil {
		return err
	}
	if s.outcome == outcomeTruncated {
		return io.ErrUnexpectedEOF
	}
	if !s.outcome.responds() {
		return s.fail(ctx)
	}
	if s.status >= http.StatusBadRequest {
		return &StatusError{StatusCode: s.status, Header: s.header(time.Now())}
	}
	return nil
}

// Value returns a function that is d with a result: v when d.Call succeeds, and
// the zero value of T with d.Call's error otherwise.
func Value[T any](d *Dependency, v T) func(context.Context) (T, error) {
	return func(ctx context.Context) (T, error) {
		if err := d.Call(ctx); err != nil {
			var zero T
			return zero, err
		}
		return v, nil
	}
}

// begin writes down a new call, of req if it is not nil.
func (d *Dependency) begin(req *http.Request) (*Call, step) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := len(d.calls) + 1
	s := d.script.at(n)
	c := &Call{Attempt: n, Step: s.String(), Start: time.Now()}
	if req != nil {
		c.Method = req.Method
		c.Header = req.Header.Clone()
		if req.URL != nil {
			c.URL = req.URL.String()
		}
	}
	d.calls = append(d.calls, c)
	return c, s
}

func (d *Dependency) end(c *Call) {
	d.note(func() { c.End = time.Now() })
}

// note changes what is written down.
func (d *Dependency) note(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

// fail ends a call that has no response.
func (s step) fail(ctx context.Context) error {
	switch s.outcome {
	case outcomeReset:
		return netError("read", os.NewSyscallError("read", syscall.ECONNRESET))
	case outcomeRefused:
		return netError("dial", os.NewSyscallError("connect", syscall.ECONNREFUSED))
	case outcomeTimeout:
		return netError("read", os.ErrDeadlineExceeded)
	case outcomeEOF:
		return io.EOF
	case outcomeFail:
		return ErrFail
	case outcomeEnd:
		return ErrEnd
	case outcomeHang:
		<-ctx.Done()
		return ctx.Err()
	case outcomePanic:
		panic(ErrPanic)
	case outcomeGoexit:
		runtime.Goexit()
	}
	panic(fmt.Sprintf("redoubttest: no such outcome %q", s.outcome))
}

func netError(op string, err error) error {
	return &net.OpError{Op: op, Net: "tcp", Err: err}
}

// sleep waits for d, and returns ctx.Err() if ctx ends first or has ended.
func sleep(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
