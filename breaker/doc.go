// Package breaker stops calling a dependency that fails, and finds out when it
// is well again.
//
// A [Breaker] is closed while the dependency works: calls pass and their
// results are counted. When a rule is broken, such as half of the calls of the
// last ten seconds having failed, it opens: calls are refused at once with an
// [*OpenError], which spares the dependency and its callers. After a cooldown
// it is half-open and lets a few probes through. If they succeed it closes; if
// one fails it opens again, for longer.
//
//	br := breaker.New(breaker.Config{Name: "billing"})
//	stack := redoubt.Stack{
//		retry.Policy{},
//		br,                         // inside the retry: it sees every attempt
//		timeout.Limit(time.Second), // inside the breaker: a hang is a failure
//	}
//
// A [Group] has a breaker for each key, such as a host.
//
// # What counts
//
// [Success] and [Failure] are judged by Config.Classify. [Slow] is a call that
// took Config.SlowCall or longer, however it ends. It is counted while it is
// still running, as soon as another call begins or ends or anybody asks; if it
// then fails it is a Failure too. [Ignored] says nothing about the dependency
// and counts as nothing: a call whose caller cancelled it or ran out of its own
// deadline before the call was slow, unless Config.CallerDeadline says otherwise,
// and a call that a layer further in refused. A call that panics or calls
// [runtime.Goexit] is a Failure.
//
// Whether the caller gave up is judged by the caller's context and never by the
// error. The expiry of a timeout.Limit outside of the breaker is not the
// caller's doing and counts as a failure.
//
// The result of a call that began before the last state change is late and
// changes nothing.
//
// # What can't happen
//
// A probe that hangs counts as failed after Config.ProbeTimeout, and one that
// panics or calls [runtime.Goexit] counts as failed at once; a probe whose
// caller went away gives its place back and proves nothing. So a circuit never
// stays half-open forever. No user's function runs under the breaker's lock.
//
// # Pitfalls
//
// Put a timeout inside the breaker, or set Config.SlowCall: a dependency that
// hangs until its callers' own deadlines pass is otherwise not counted as
// failing.
//
// The window must be longer than a call may take, otherwise calls that fail
// late never meet in one window; redoubt.Check finds that.
//
// A quiet breaker moves from open to half-open only when it is asked, by a call
// or by State. OpenTelemetry's gauge shows it as half-open before that.
//
// # Built on gobreaker
//
// The states and the rules of passing between them are those of
// github.com/sony/gobreaker/v2, whose two-step form leaves room for what it
// does not have: probes with a deadline, growing and jittered cooldowns,
// failures counted when they are known, reasons, links and manual control.
//
// Sources: M. Nygard, "Release It!", chapter "Circuit Breaker"; the rolling
// window and the slow calls are those of Resilience4j's CircuitBreaker.
package breaker
