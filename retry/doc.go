// Package retry repeats a call that failed, as often and as late as is good for
// both sides.
//
// A [Policy] is a literal and its zero value is useful: three attempts in all,
// with exponential backoff and full jitter from 100 ms to 20 s. Under load a
// policy wants a [Budget], which stops retries when the dependency fails for
// everybody rather than for one call.
//
// # When a policy stops
//
// After a failed attempt a policy asks, in this order:
//
//  1. Is the caller gone? Then it stops: [StopCancelled].
//  2. Does the error say that a repetition is pointless, or that a layer refused
//     the call? [StopPermanent].
//  3. Are the attempts used up? [StopAttempts].
//  4. Did the server or a breaker say when to come back? Then it never comes
//     earlier, and if that is later than MaxRetryAfter it stops at once:
//     [StopRetryAfter].
//  5. Could the next attempt not begin before the caller's deadline? Then it
//     stops now, with the real error, instead of sleeping into the deadline:
//     [StopDeadline].
//  6. Is the budget empty? [StopBudget].
//
// # What errors can say
//
// Errors speak by methods, so that no layer needs to know another's types:
//
//   - Retryable() bool: false means that a repetition is pointless. An error
//     without the method may be retried.
//   - RetryAfter() (time.Duration, bool): the earliest time to come back.
//   - Throttled() bool: true means that the dependency has too much to do. The
//     default backoff is then ten times as long, up to the same 20 s; one of
//     your own is left as it is.
//   - Unreached() bool: true means that the call found nobody to take it, such as
//     a connection that was refused. Another attempt costs the dependency
//     nothing, so that it withdraws nothing from the budget, and it comes later,
//     see Policy.RestartWait.
//   - Rejected() bool: true means that a layer refused the call and the
//     dependency never saw it. Such an error ends the attempts, unless
//     Policy.AwaitRefusals is set, and withdraws nothing from the budget.
//
// Breakers and limits also ask DependencyFailure() bool, as the documentation of
// their DefaultClassify says.
//
// [Permanent] marks an error as not to be retried, as does
// [backoff.Permanent].
//
// # Pitfalls
//
// A retry runs the call again. Retry only what may be done twice.
//
// Retries at several levels of a program multiply. A policy that finds itself
// inside another makes one attempt, see Policy.Nested; between processes only a
// budget helps.
//
// Sources: M. Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog,
// 2015) and "Timeouts, retries, and backoff with jitter" (Amazon Builders'
// Library); gRFC A6, "gRPC Retry Design", for the budget; Beyer et al., "Site
// Reliability Engineering", chapter 21.
//
// [backoff.Permanent]: https://pkg.go.dev/github.com/cenkalti/backoff/v4#Permanent
package retry
