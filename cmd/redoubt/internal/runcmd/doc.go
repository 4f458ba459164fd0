// Package runcmd is redoubt run: it repeats a command until it succeeds, bounded
// in time, with a circuit breaker that all runs share.
//
// It is put together from the library as any program would do it: a
// redoubt.Stack of a timeout, a retry, a shared breaker and another timeout
// around one run of a program, see [runner.stack].
package runcmd
