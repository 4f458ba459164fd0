// Package front is a reverse proxy before a dependency, to be driven by whatever
// makes load: with Redoubt's layers at one port, without them at another.
//
// The engine that drives it needs to know nothing. It sees answers; the front
// knows what they cost: attempts, arrivals at the dependency, the breaker's
// states, short-circuits. Both sides are reported like the clients of a run of
// redoubt load, on one axis of time, as JSON and as a page.
//
// A front cannot know when a request was meant to be sent. Latency counts from
// its arrival at the front, and an engine that waits for answers before it sends
// more (a closed loop) spares the dependency unseen: drive it in an open loop,
// such as k6's constant-arrival-rate.
package front
