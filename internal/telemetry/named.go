package telemetry

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// maxNames bounds what is kept for call names. A name comes from code, not from
// users' data; those that do not are still recorded, only slower, and take the
// place of others that are made again when they are used again.
const maxNames = 1000

// named is what is made once of a call's name: all that a call needs that
// succeeds at its first attempt, which is what nearly all of them do.
type named struct {
	name        string
	callSpan    string
	attemptSpan string

	callOptions    []trace.SpanStartOption
	attemptOptions []trace.SpanStartOption // of the first attempt

	attemptsSet []metric.RecordOption
	durationSet []metric.RecordOption // of a success
	callsSets   [2][]metric.AddOption // of a success, without and with a retry
}

var names struct {
	sync.RWMutex
	known map[string]*named
}

func namedOf(name string) *named {
	names.RLock()
	n := names.known[name]
	names.RUnlock()
	if n != nil {
		return n
	}
	n = newNamed(valid(name))
	names.Lock()
	defer names.Unlock()
	if names.known == nil {
		names.known = map[string]*named{}
	}
	if len(names.known) >= maxNames {
		for old := range names.known {
			delete(names.known, old)
			break
		}
	}
	names.known[name] = n
	return n
}

func newNamed(name string) *named {
	key := attribute.String(keyName, name)
	success := attribute.String(keyOutcome, outcomeSuccess)
	n := &named{
		name:           name,
		callSpan:       spanCallPrefix + name,
		attemptSpan:    spanAttemptPrefix + name,
		callOptions:    internalSpan(key),
		attemptOptions: internalSpan(key, attribute.Int(keyAttempt, 1)),
		attemptsSet:    []metric.RecordOption{set(key)},
		durationSet:    []metric.RecordOption{set(key, success)},
	}
	for i := range n.callsSets {
		n.callsSets[i] = []metric.AddOption{set(key, success, attribute.Bool(keyRetried, i == 1))}
	}
	return n
}

// internalSpan returns the options of a span of kind INTERNAL.
func internalSpan(attrs ...attribute.KeyValue) []trace.SpanStartOption {
	return []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindInternal), trace.WithAttributes(attrs...)}
}

func set(attrs ...attribute.KeyValue) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attrs...))
}
