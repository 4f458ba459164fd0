// Package timeout bounds how long a call may take.
//
// A [Limit] is a duration that is a layer. Put one outside of a retry to bound
// the whole call, waits included, and one inside to bound each attempt:
//
//	stack := redoubt.Stack{
//		timeout.Limit(10 * time.Second), // the whole call
//		retry.Policy{MaxAttempts: 4},
//		timeout.Limit(time.Second), // each attempt
//	}
//
// # Pitfalls
//
// A limit is cooperative. It cancels the call's context and then waits for the
// call to notice, because a call that was left running could still write to
// what its caller reads. A call that does not look at its context is not cut
// short; a subprocess is, if it was started by [os/exec.CommandContext] with
// WaitDelay set.
//
// A limit that is not shorter than what is left of the caller's own deadline
// does nothing: the caller's deadline comes first, and its expiry is the
// caller's error and not a [*Error].
//
// If both the limit has passed and the caller has cancelled before anybody asked
// the call's context for its state, the context's cause is the caller's.
package timeout
