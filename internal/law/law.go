// Package law holds what every layer checks before it runs a call.
package law

import (
	"context"
	"errors"
)

var (
	errNilContext = errors.New("redoubt: context is nil")
	errNilCall    = errors.New("redoubt: call is nil")
)

// Args reports what is wrong with the arguments of a layer's Do, or nil. A
// layer returns that error instead of running into a nil pointer in the middle
// of a caller's request.
func Args(ctx context.Context, call func(context.Context) error) error {
	if ctx == nil {
		return errNilContext
	}
	if call == nil {
		return errNilCall
	}
	return nil
}
