// Package redoubttest helps to test code that makes remote calls: scripted
// failures, the law of a layer, and checks for leaks.
//
// It needs nothing but the standard library, and knows a layer by its method
// alone ([Layer]), so the tests of any package may import it.
//
// # A dependency that fails on cue
//
// A [Script] says how a dependency answers, call by call, and a [Dependency]
// plays it, as a function or as an [http.RoundTripper]:
//
//	dep := redoubttest.NewDependency(redoubttest.MustParse("503 retry-after=2, reset, slow 3s, ok"))
//
//	err := policy.Do(ctx, dep.Call)          // a function
//	client := &http.Client{Transport: dep}   // or HTTP
//
// It records every call, so that a test can ask how many there were, when
// they came, what they sent and whether every response body was closed.
// [Parse] has the whole grammar.
//
// # The law of a layer
//
// [CheckLayer] runs the law that package redoubt states for layers against any
// implementation of one. It takes milliseconds, because it runs in bubbles of
// [testing/synctest]:
//
//	func TestLayer(t *testing.T) {
//		redoubttest.CheckLayer(t, func() *mylayer.Layer { return mylayer.New() })
//	}
//
// # The contract of a transport
//
// [CheckTransport] runs the contract of [http.RoundTripper], and what a careful
// client expects beyond it, against your own stack of transports: bodies that
// are closed, requests that are not changed, nothing sent twice that must not
// be, nothing buffered, nothing left behind.
//
//	func TestTransport(t *testing.T) {
//		redoubttest.CheckTransport(t, func(base http.RoundTripper) http.RoundTripper {
//			return mystack.New(base)
//		})
//	}
//
// # Leaks
//
// [CheckGoroutines] fails a test that leaves goroutines behind, and [Conns]
// counts the connections of a client or a server, which is how to see that
// they are reused.
//
// # Time
//
// Everything here that waits does so with package time, so inside a bubble the
// waits cost nothing and are exact:
//
//	func TestGivesUp(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			dep := redoubttest.NewDependency(redoubttest.MustParse("hang"))
//			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
//			defer cancel()
//			start := time.Now()
//			err := billing.Charge(ctx, dep.Call)
//			if took := time.Since(start); took != time.Second {
//				t.Errorf("took %v, want 1s", took)
//			}
//			…
//		})
//	}
//
// # Pitfalls
//
// Make everything inside the bubble: the dependency's callers, contexts,
// layers, channels and timers. What was made outside does not let the clock
// move, and closing inside what belongs to another bubble is a fatal error.
//
// A bubble does not know network I/O: with real connections its clock stands
// still. A Dependency is used as the transport itself and needs none. For the
// same reason do not use [http.DefaultTransport] in a bubble.
//
// CheckLayer and CheckTransport make their own bubbles, so call them from an
// ordinary test.
//
// CheckGoroutines sees the goroutines of the whole process: outside a bubble
// do not use it in tests that run in parallel with others.
package redoubttest
