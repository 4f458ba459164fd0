package redoubt

import (
	"context"
	"strconv"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/law"
	"github.com/redoubt-go/redoubt/internal/telemetry"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A Stack is a list of layers around a call, outermost first, and is itself a
// [Layer]. An empty or nil Stack runs the call and nothing else.
//
// The order matters: a timeout outside of a retry bounds the whole call,
// inside it bounds each attempt; a breaker inside a retry sees every attempt.
// [Check] finds orders that can't work.
//
// A Stack is as safe for concurrent use as its layers, and must not be changed
// once it is in use.
type Stack []Layer

// Do runs call inside of all layers. It is one logical call in telemetry, unless
// the stack is part of another. If a layer is nil, Do returns an error that says
// which, and runs nothing.
func (s Stack) Do(ctx context.Context, call func(context.Context) error) error {
	// As run does, without making a Layer of s, which allocates.
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	if err := s.checkNil(); err != nil {
		return err
	}
	if s.namesTelemetry() || telemetry.RecordingGlobally() {
		return s.recorded(ctx, call)
	}
	return s.unrecorded(ctx, call)
}

// recorded is Do if telemetry may want to know. It is apart so that without
// telemetry a call pays for none of it, in time or on the goroutine's stack.
func (s Stack) recorded(ctx context.Context, call func(context.Context) error) error {
	if t := s.telemetry(); t.applies(ctx) {
		return t.record(ctx, s, call)
	}
	return s.unrecorded(ctx, call)
}

// unrecorded runs call, of which nothing is recorded here.
func (s Stack) unrecorded(ctx context.Context, call func(context.Context) error) error {
	if err := s.refusal(ctx); err != nil {
		return err
	}
	return s.do(ctx, call)
}

// refusal returns the error of an open breaker that has nothing before it but
// layers which would pass that error on: to prepare their work would be in vain,
// and takes four times as long as the refusal itself.
func (s Stack) refusal(ctx context.Context) error {
	for i, layer := range s {
		switch layer := layer.(type) {
		case timeout.Limit, retry.Policy:
		case *breaker.Breaker:
			if i == 0 {
				return nil
			}
			if err := layer.Refusal(); err != nil && s[:i].passesOn(ctx) {
				return err
			}
			return nil
		default:
			return nil
		}
	}
	return nil
}

// passesOn reports whether s, which consists of limits and policies, would do
// nothing about a refusal but return it.
func (s Stack) passesOn(ctx context.Context) bool {
	for _, layer := range s {
		switch layer := layer.(type) {
		case timeout.Limit:
			if layer.Check() != nil {
				return false
			}
		case retry.Policy:
			if layer.AwaitRefusals || layer.Check() != nil {
				return false
			}
		}
	}
	return ctx.Err() == nil && telemetry.Silent(ctx)
}

// namesTelemetry reports whether s may begin with a Telemetry.
func (s Stack) namesTelemetry() bool {
	if len(s) == 0 {
		return false
	}
	switch s[0].(type) {
	case Telemetry, Stack:
		return true
	}
	return false
}

// do runs call inside of all layers, without telemetry.
func (s Stack) do(ctx context.Context, call func(context.Context) error) error {
	switch len(s) {
	case 0:
		return call(ctx)
	case 1:
		return s[0].Do(ctx, call)
	}
	// What is inside of these layers needs no memory: the compiler sees that they
	// do not keep it, which it can't of an interface. For three layers that is
	// two allocations fewer.
	inside := func(ctx context.Context) error { return s[1:].do(ctx, call) }
	switch layer := s[0].(type) {
	case timeout.Limit:
		return layer.Do(ctx, inside)
	case retry.Policy:
		return layer.Do(ctx, inside)
	case *breaker.Breaker:
		return layer.Do(ctx, inside)
	case *breaker.Group:
		return layer.Do(ctx, inside)
	default:
		return s.doOther(ctx, call)
	}
}

// doOther is do if of the first layer nothing is known.
func (s Stack) doOther(ctx context.Context, call func(context.Context) error) error {
	return s[0].Do(ctx, func(ctx context.Context) error { return s[1:].do(ctx, call) })
}

// missing returns the indices of the first nil layer, such as "[1][0]" if it is
// in a stack within s, or "" if there is none.
func (s Stack) missing() string {
	for i, layer := range s {
		within := ""
		if inner, ok := layer.(Stack); ok {
			within = inner.missing()
		}
		if within != "" || isNil(layer) {
			return "[" + strconv.Itoa(i) + "]" + within
		}
	}
	return ""
}

// checkNil reports a layer that is nil, or that has a nil layer in it. It is
// asked before the first layer begins, so that none of them takes the mistake
// for a failure of the call, to be repeated or counted.
func checkNil(layer Layer) error {
	if isNil(layer) {
		return errNilLayer
	}
	if s, ok := layer.(Stack); ok {
		return s.checkNil()
	}
	return nil
}

func (s Stack) checkNil() error {
	if at := s.missing(); at != "" {
		return law.Misuse("redoubt: stack%s is nil", at)
	}
	return nil
}

func isNil(layer Layer) bool {
	if f, ok := layer.(LayerFunc); ok {
		return f == nil
	}
	return layer == nil
}

// Do runs fn inside of layer, commonly a [Stack], and returns fn's result.
//
//	out, err := redoubt.Do(ctx, stack, func(ctx context.Context) ([]byte, error) {
//		return exec.CommandContext(ctx, "billingctl", "export").Output()
//	})
//
// If fn runs several times, the result is that of its last run; if it never
// runs, the result is the zero value. The error is fn's own, or one that wraps
// it, or a layer's reason for not running it. A function without a result needs
// no Do but the layer's own.
//
// The context of fn may end when Do returns, as it does inside of a
// timeout.Limit. So the result must be complete by then: read the rows of a query
// or the body of a response in fn.
//
// A nil layer or a nil fn is an error.
func Do[T any](ctx context.Context, layer Layer, fn func(context.Context) (T, error)) (T, error) {
	var result T
	if fn == nil {
		return result, law.Args(ctx, nil)
	}
	err := run(ctx, layer, func(ctx context.Context) error {
		var err error
		result, err = fn(ctx)
		return err
	})
	return result, err
}

// run is what every edge for functions does: it makes one logical call of it.
func run(ctx context.Context, layer Layer, call func(context.Context) error) error {
	if err := law.Args(ctx, call); err != nil {
		return err
	}
	if err := checkNil(layer); err != nil {
		return err
	}
	if t := telemetryOf(layer); t.applies(ctx) {
		return t.record(ctx, layer, call)
	}
	return through(ctx, layer, call)
}

// through runs call inside of layer and makes no call of it: a stack would.
func through(ctx context.Context, layer Layer, call func(context.Context) error) error {
	if s, ok := layer.(Stack); ok {
		return s.unrecorded(ctx, call)
	}
	return layer.Do(ctx, call)
}

// nameOf is what telemetry calls a call: the name of the first layer that has
// one by a method Name() string, as breakers do.
func nameOf(layer Layer) string {
	if name := firstName(layer); name != "" {
		return name
	}
	return "call"
}

func firstName(layer Layer) string {
	switch l := layer.(type) {
	case Stack:
		for _, inner := range l {
			if name := firstName(inner); name != "" {
				return name
			}
		}
	case Telemetry:
		return l.Name
	case interface{ Name() string }:
		return l.Name()
	}
	return ""
}
