package roundtrip

import (
	"context"
	"errors"
	"testing"
)

// The standard library's key is learned from its own function, which has to go on
// asking for it.
func TestLifeKeyIsKnown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	if ctx.Value(lifeKey) == nil {
		t.Error("the key of package context is not known")
	}
}

func TestGraft(t *testing.T) {
	type key string
	cause := errors.New("cause")
	life, end := context.WithCancelCause(context.WithValue(t.Context(), key("life"), "life"))
	values, endValues := context.WithCancelCause(context.WithValue(context.Background(), key("values"), "values"))
	g := &Graft{Context: life, Values: values}
	child, cancel := context.WithCancel(g)
	defer cancel()
	for name, want := range map[key]any{"life": "life", "values": "values", "none": nil} {
		if got := g.Value(name); got != want {
			t.Errorf("value of %s is %v, want %v", name, got, want)
		}
	}
	endValues(errors.New("not of interest"))
	if err := context.Cause(child); err != nil {
		t.Errorf("it ended with its values: %v", err)
	}
	end(cause)
	if context.Cause(g) != cause || context.Cause(child) != cause { // at once, so by no goroutine
		t.Errorf("causes %v, %v, want %v", context.Cause(g), context.Cause(child), cause)
	}
}
