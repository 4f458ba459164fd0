// Package scenario is the data of a load test: how much load, what the
// dependency is, what goes wrong with it and when, and what good middleware
// should reach.
//
// [Catalogue] has the scenarios that come with the command, and [Parse] reads
// those that users write:
//
//	name: flaky-friday
//	title: every fifth answer is a 503 for seven seconds
//	rate: 200                  # requests a second, in an open loop
//	duration: 20s
//	service: {time: 5ms, slots: 8, queue: 100}
//	faults:
//	  - during: {from: 5s, to: 12s}
//	    chance: 0.2
//	    per: arrival           # or request, connection, window
//	    status: {code: 503, retry-after: 1s}
//	targets:
//	  - useful@fault >= bare + 15
//
// A fault has exactly one effect, named as in package faults: status,
// rate-limit, delay, work, reset, lost-answer, refuse, no-host, syn-loss,
// packet-loss, black-hole, freeze, truncate, drip, bandwidth or hangup. With
// replicas, of which 4 are numbered from 0 to 3, a fault may have replicas: [3].
// Refuse, no-host, syn-loss, packet-loss and bandwidth befall all of them; and
// no-host and syn-loss are for no certain request, so not per: request.
//
// Packets are not really lost, which takes privileges: dials and calls are put off
// by as much time as TCP takes to send packets again. So it is the same on every
// system, and before the server at a URL. There, and on the wire model, syn-loss
// and no-host befall each request, as if it made a connection; elsewhere they
// befall those that do, which is each with new-connections.
//
// Times that vary are written {uniform: [1ms, 5ms]}, {exponential: 5ms},
// {lognormal: {median: 5ms, sigma: 0.5}} or, for effects with a window,
// {ramp: [205ms, 5ms]}.
//
// # Arrivals
//
// Even arrivals, the default, come at equal distances, each put off by a drawn
// bit of at most a tenth of the distance and a millisecond, so that no two
// events of a run in virtual time coincide. Poisson arrivals come at random.
package scenario
