package redoubt

import (
	"errors"
	"fmt"
	"time"

	"github.com/redoubt-go/redoubt/internal/explain"
)

// Check reports what is wrong with a layer, commonly a [Stack]: fields that make
// no sense, nil layers, and orders of layers that can't do what they are there
// for. All findings are joined into one error; it is nil if there are none.
//
// Call it in a test or at program start:
//
//	if err := redoubt.Check(stack); err != nil {
//		log.Fatal(err)
//	}
//
// A layer takes part with a method Check() error, which reports what is wrong
// with the layer alone.
func Check(layer Layer) error {
	var c checker
	c.visit(layer, "layer")
	c.order()
	return errors.Join(c.findings...)
}

type checker struct {
	findings []error
	layers   []explain.Facts // outermost first
}

func (c *checker) find(format string, args ...any) {
	c.findings = append(c.findings, fmt.Errorf("redoubt: "+format, args...))
}

func (c *checker) visit(layer Layer, where string) {
	if isNil(layer) {
		c.find("%s is nil", where)
		return
	}
	if s, ok := layer.(Stack); ok {
		for i, inner := range s {
			c.visit(inner, fmt.Sprintf("%s[%d]", stackName(where), i))
		}
		return
	}
	if l, ok := layer.(interface{ Check() error }); ok {
		if err := l.Check(); err != nil {
			c.findings = append(c.findings, err)
			return
		}
	}
	if l, ok := layer.(explain.Explainer); ok {
		c.layers = append(c.layers, l.Explain())
	}
}

func stackName(where string) string {
	if where == "layer" {
		return "stack"
	}
	return where
}

// order judges the layers by what is around and inside of them.
func (c *checker) order() {
	for i, layer := range c.layers {
		outside, inside := c.layers[:i], c.layers[i+1:]
		switch layer.Kind {
		case explain.Timeout:
			c.limit(layer, outside)
		case explain.Retry:
			c.retry(layer, outside)
		case explain.Breaker:
			c.breaker(layer, inside)
		}
	}
}

// limit finds a limit that can never expire.
func (c *checker) limit(layer explain.Facts, outside []explain.Facts) {
	if outer, ok := limit(outside); ok && layer.Limit >= outer {
		c.find("timeout.Limit(%v) inside of timeout.Limit(%v) can never expire first", layer.Limit, outer)
	}
}

// retry finds a retry that never repeats.
func (c *checker) retry(layer explain.Facts, outside []explain.Facts) {
	if layer.Nested || layer.MaxAttempts == 1 {
		return
	}
	for _, outer := range outside {
		if outer.Kind == explain.Retry {
			c.find("retry.Policy inside of another makes only one attempt; remove one of them or set Nested")
			return
		}
	}
}

// breaker finds a window in which slow failures never meet, and probes that are
// judged before they can have ended.
func (c *checker) breaker(layer explain.Facts, inside []explain.Facts) {
	longest := longestCall(inside)
	if longest == 0 {
		return
	}
	if layer.Window > 0 && layer.Window <= longest {
		c.find("breaker %q: Window %v is not longer than the %v that a call inside of it may take, so that calls that time out may never trip it",
			layer.Name, layer.Window, longest)
	}
	if layer.ProbeTimeout > 0 && layer.ProbeTimeout < longest {
		c.find("breaker %q: ProbeTimeout %v is shorter than the %v that a call inside of it may take, so that a slow probe fails though it succeeds",
			layer.Name, layer.ProbeTimeout, longest)
	}
}

// longestCall returns how long a call may take in the layers, the waits between
// attempts not counted, or 0 if nothing bounds it.
func longestCall(layers []explain.Facts) time.Duration {
	if len(layers) == 0 {
		return 0
	}
	inside := longestCall(layers[1:])
	switch layer := layers[0]; {
	case layer.Kind == explain.Timeout && layer.Limit > 0 && (inside == 0 || layer.Limit < inside):
		return layer.Limit
	case layer.Kind == explain.Retry:
		return inside * time.Duration(layer.MaxAttempts)
	}
	return inside
}

// limit returns the shortest time limit among layers.
func limit(layers []explain.Facts) (time.Duration, bool) {
	shortest := time.Duration(0)
	for _, layer := range layers {
		if layer.Kind == explain.Timeout && layer.Limit > 0 && (shortest == 0 || layer.Limit < shortest) {
			shortest = layer.Limit
		}
	}
	return shortest, shortest > 0
}
