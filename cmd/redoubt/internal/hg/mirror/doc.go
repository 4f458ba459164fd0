// Package mirror guards all that redoubt hg asks of one HTTP server: timeouts
// for connecting, for the first byte and for silence, a floor under the rate,
// retries paid by a budget, a circuit breaker that all processes share, spans.
//
// Two kinds of requests pass: our own, of packages wire and bundle, and those of
// hg itself, which package proxy brings here.
package mirror
