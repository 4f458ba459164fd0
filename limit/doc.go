// Package limit bounds how many calls to a dependency run at once, so that one
// that is slow or overloaded gets no more than it can cope with.
//
// A [Limiter] lets calls run up to its limit. Others are refused at once with an
// [*Error], or wait for their turn, in the order in which they came, if
// Config.MaxWait is given. The limit is fixed, or it adapts to what the calls show:
//
//	stack := redoubt.Stack{
//		retry.Policy{},
//		breaker.New(breaker.Config{Name: "billing"}),
//		limit.New(limit.Config{Name: "billing"}), // inside the breaker: a refusal is no failure
//		timeout.Limit(time.Second),               // inside the limit: waits don't count
//	}
//
// [Fixed] is for what is known, such as a pool of ten connections. A [Group] has
// a limiter for each key, such as a host.
//
// # When to use it
//
// By Little's law, calls that take longer are more calls under way: a dependency
// that slows down to a tenth gets ten times as many at once, each of which makes
// the others slower still. Once callers give up on work that the dependency goes
// on doing, the overload feeds itself and stays after its cause has gone. A
// breaker ends that by stopping all calls and beginning anew; an adaptive limit
// finds how much the dependency can take, and goes on with that.
//
// The tests of this package replay two such overloads, with calls that are
// repeated carelessly. The first is that of Bronson et al., "Metastable Failures
// in Distributed Systems", HotOS 2021: ten seconds of outage of a database at
// 93 % of its capacity. In the second, work takes ten times as long for two
// seconds. Without a limit neither recovers at all. With the zero
// Config nineteen of twenty calls succeed again less than half a second after the
// cause is over. [Gradient2], which moves once a second, takes half a minute at
// the first and a tenth of a second at the other.
//
// # Fixed or adaptive, with a queue or without
//
// A fixed limit is right only for as long as the dependency is what it was when
// the number was chosen. Chosen by the mean it refuses calls that come in
// bunches: of Poisson arrivals of which 28 are under way on average, a limit of
// 30 refuses one in nine. A short queue takes those in: give MaxWait a fraction
// of what callers have left. A long one only makes them wait for an answer that
// comes too late.
//
// # What counts
//
// Config.Classify judges a call that has returned: a [Success] can raise the
// limit, a [Dropped] call lowers it. [Ignored] says nothing: a call that a layer
// further in refused, one that panicked, and one whose caller gave up, unless
// Config.CallerDeadline or Config.SlowCall says otherwise. Whether the caller
// gave up is judged by the caller's context and never by the error. The expiry
// of a timeout.Limit outside of the limiter is not the caller's doing.
//
// The limit rises only while at least half of it is in use: a limit that nobody
// needs is not known to be safe.
//
// # What can't happen
//
// A permit is given back when its call returns, panics or calls
// [runtime.Goexit]. A call whose context ends while it waits leaves the queue at
// once, and if its turn came at that moment the permit goes to the next. A call
// that finds others waiting does not overtake them, unless it is critical, see
// [WithCritical]. No user's function runs under the limiter's lock.
//
// # Pitfalls
//
// Put a timeout inside of an adaptive limit. Without one a dependency that hangs
// drops nothing, and keeps the permits: calls are refused, which is what a limit
// is for, but nobody learns of it before Config.SlowCall has passed.
//
// An error that says nothing about itself is Ignored, see [DefaultClassify]. The
// errors of redoubt.Transport speak; those of functions commonly don't.
//
// After some minutes Gradient2 comes to take lasting slowness for normal, and rises with
// it. Reset lets it begin anew. It suits calls that take about as long as
// one another; AIMD does not care.
//
// A limit at Config.Min still takes as many calls as come one after another; if
// calls come in bunches that are larger, some are refused until the limit has
// risen: it doubles in the time that a call takes.
//
// The limit is that of one process. A dependency with a hundred clients gets up
// to a hundred times Config.Min when it is worst off.
//
// Through redoubt.Transport a call ends when the response's headers have
// arrived. The limit is on what the server does until then, not on bodies being
// read.
//
// A breaker with a SlowCall, outside of a limiter with a queue, takes the waits
// for slowness.
//
// # Sources
//
// The algorithms and their numbers are those of Netflix's concurrency-limits
// (AIMDLimit, Gradient2Limit, WindowedLimit); AIMD is from D. Chiu and
// R. Jain, "Analysis of the Increase and Decrease Algorithms for Congestion
// Avoidance in Computer Networks", 1989, except that it rises by one for each call
// rather than for each round trip. The rule of classes of calls is from "Site
// Reliability Engineering", chapter "Handling Overload".
package limit
