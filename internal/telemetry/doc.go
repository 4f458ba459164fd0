// Package telemetry turns what the layers do into OpenTelemetry spans, events
// and metrics, and into log records.
//
// It is the one room that knows OpenTelemetry: every name of a span, attribute
// and metric of Redoubt's own stands in names.go, since no convention exists
// yet for breakers, budgets and retries. Where the semantic conventions have a
// name (error.type, http.*, server.*), that name is used.
//
// # How a call is followed
//
// An edge (redoubt.Do, Stack.Do, redoubt.Transport) begins a [Call] and puts it
// into the context. Layers below it find the Call there and add to it; they do
// so only when something went wrong, so that a healthy call pays for its edge
// alone. The innermost function runs as an [Attempt], whose context hides the
// Call: what the user's function calls in turn is a call of its own.
//
// A layer used without an edge has no Call. It then adds its events to the span
// that the context carries and its rejections and metrics go to the global
// providers, so that nothing that fails or refuses is ever silent.
//
// # What it costs when nobody listens
//
// OpenTelemetry's default providers forward to nothing, yet starting a span on
// them costs several allocations. Start therefore looks whether an SDK was
// installed, and returns a nil *Call if none was. All methods accept a nil
// receiver.
//
// # What it costs otherwise
//
// A call that succeeds at its first attempt allocates three times more than the
// SDK does for its two spans, sampled or not: the Call, the Attempt and the
// closure that begins it. Attributes, options and span names are made once for
// each call name. The text of an error is not asked for unless a span records
// it.
package telemetry
