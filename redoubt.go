package redoubt

import (
	"context"

	"github.com/redoubt-go/redoubt/internal/law"
)

// A Layer runs a call under one rule: bounded in time, repeated, refused,
// counted.
//
// Every Layer keeps this law:
//
//   - it never runs call twice at the same time;
//   - it returns only after its last run of call has returned;
//   - it hands call a context that derives from ctx;
//   - it lets call's error show through, so that [errors.Is] and [errors.As]
//     find it in what Do returns;
//   - it lets a panic or a [runtime.Goexit] of call pass, after putting its own
//     state in order.
//
// Because of the law a result that call stores in a variable may be read, with
// no lock, once Do has returned, and nothing is left running behind the
// caller's back. redoubttest.CheckLayer tests the law against any
// implementation.
//
// A Layer is safe for concurrent use unless its documentation says otherwise.
type Layer interface {
	// Do runs call under the layer's rule and returns call's error, an
	// error that wraps it, or the layer's own reason for not running it.
	Do(ctx context.Context, call func(context.Context) error) error
}

// LayerFunc is a function that is a [Layer]. It has to keep the law that Layer
// states. A nil LayerFunc refuses every call with an error.
type LayerFunc func(ctx context.Context, call func(context.Context) error) error

// Do calls f. It returns an error if f, ctx or call is nil, so that f need not
// check them.
func (f LayerFunc) Do(ctx context.Context, call func(context.Context) error) error {
	if f == nil {
		return errNilLayer
	}
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	return f(ctx, call)
}

// Check reports whether f can be used: it returns an error if f is nil.
func (f LayerFunc) Check() error {
	if f == nil {
		return errNilLayer
	}
	return nil
}

var errNilLayer = law.Misuse("redoubt: layer is nil")

// errPanicked stands in telemetry for the error of a call that did not return.
var errPanicked error = panicked{}

type panicked struct{}

func (panicked) Error() string     { return "redoubt: call panicked or called runtime.Goexit" }
func (panicked) ErrorType() string { return "panic" }
