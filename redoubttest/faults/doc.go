// Package faults makes a dependency flaky on purpose and on schedule, so that a
// program can be tested against it: in a unit test, in a bubble of
// [testing/synctest], over real sockets, or under load.
//
// A [Plan] is data: what goes wrong, when, how often and for whom, and how the
// dependency works while nothing is wrong. An [Injector] plays it at one of four
// places:
//
//	inj, err := faults.New(faults.Plan{
//		Seed:    1,
//		Service: faults.Service{Time: faults.Constant(5 * time.Millisecond)},
//		Faults: []faults.Fault{{
//			During: faults.Window{From: 5 * time.Second, To: 12 * time.Second},
//			Chance: 0.2,
//			Effect: faults.Status{Code: 503, RetryAfter: time.Second},
//		}},
//	})
//
//	handler := inj.Handler(next)                // in a server
//	client.Transport = inj.RoundTripper(base)   // in a client
//	call = inj.Func(call)                       // around a function
//	transport.DialContext = inj.DialContext(nil) // where connections are made
//
// Without a next handler, base or call, the plan's [Service] is the dependency,
// and no socket is needed. A [Proxy] does to a TCP connection what only a network
// can do, whatever protocol it carries.
//
// # Chance
//
// Whether a fault strikes is a hash of the seed and of a number, never "every
// Nth": with every 5th arrival failing, a retry that takes as long as four
// arrivals meets the next bad one each time, and the test measures that
// coincidence. The same plan, load and seed have the same faults in every run.
//
// The number says whose fate is drawn, and these are different things, see
// [Unit]: of each arrival, so that a retry may be luckier; of each request
// id, so that no retry helps; of each connection; of each window as a whole. A
// fault can also be confined to some of the dependency's replicas, if it is one of
// arrivals.
//
// # Time
//
// The axis of all windows begins when [New] returns, or at the instant given to
// [Injector.StartAt]. A window has its say at the moment the effect belongs to:
//
//   - [Status], [RateLimit], [Reset], [BlackHole], [Delay], [Truncate], [Drip] and
//     [Hangup] when the request arrives;
//   - [Work] when the work starts, which in a queue may be much later: drawn at
//     arrival, an overload would never end for anybody;
//   - [Freeze] when the answer is ready;
//   - [Refuse] and [NoHost] when a connection is made, and Refuse also cuts what
//     is under way when its window opens;
//   - [SYNLoss] and [PacketLoss] each time that a packet is sent;
//   - [Bandwidth] at each piece of a body.
//
// # Callers that leave
//
// A dependency rarely learns that a caller has gone. A [Service] therefore ends
// what it was asked to do, and queues for it, unless told otherwise. That is what
// makes an overload outlast its cause; without it naive retries look harmless.
//
// # Counts
//
// [Injector.Counts] and [Plan].Observe tell what the dependency saw: arrivals,
// which include those that package net/http sends on its own account and no
// client-side count has; work that nobody waited for; effects that were repeated.
//
// # Pitfalls
//
// An http.Handler has no say in connections that are not made yet: [Refuse],
// [NoHost] and [SYNLoss] are for DialContext or RoundTripper, and a Proxy can
// refuse too. A handler that meets Refuse resets the connection.
//
// Two events at the same instant of a bubble happen in any order. Let requests
// begin at uneven instants if a run has to be exact.
package faults
