// Package engine runs a scenario against a dependency, with one or more clients,
// and measures what a resilience layer gains and costs.
//
// # Definitions
//
// People argue about these words, so here they are once, and every report
// repeats them ([Definitions]):
//
//   - A request is one call by the user's code. An attempt is one send by the
//     middleware. An arrival is one request seen by the dependency; a connection
//     that was refused, a name that did not resolve, or a dial that was given up
//     since its packets were lost, counts as one too.
//   - A useful answer is the right one, complete, within the caller's limit,
//     measured from the intended start. Goodput is useful answers a second.
//   - Amplification is arrivals / requests, policy amplification is attempts /
//     requests; the difference is what package net/http sends on its own
//     account. Extra load is arrivals / arrivals of the first client.
//   - Recovery is the time from the end of the last fault to the beginning of
//     the first half second in which at least 95 % of what was offered was
//     useful. It can be never.
//
// # Open loop
//
// Requests begin when the schedule says, however many are under way: a closed
// loop would spare a dependency that is slow, and hide the very thing to be
// measured. Latency counts from the intended start. How late the generator was
// is measured, and what it could not start is counted: a run with a lag p99 over
// 5 ms or any drop gets a warning.
//
// The core is our own and not vegeta's attacker. Vegeta takes the time of a request
// when a worker picks it up, so that a generator that falls behind does not show;
// it keeps errors as strings, and knows neither the calls in flight nor those it
// could not start; its quantiles are of a t-digest, which makes 990 ms of a p99 of
// 299. What remains of it is a loop of thirty lines, and ours costs about as much
// processor time a request, see BenchmarkGenerator. The results go to vegeta's
// commands by [VegetaLog].
//
// # Time
//
// [Run] waits by package time alone, so that the same code runs in real time and
// in a bubble of testing/synctest, where package virtual provides the
// dependency without sockets and every number is the same each time.
//
// # Memory
//
// A run keeps cells of time, and histograms of fixed size: memory does not grow
// with the number of requests.
package engine

// Definitions are the words that a report has to explain.
var Definitions = []struct{ Word, Meaning string }{
	{"request", "one call by the user's code"},
	{"attempt", "one send by the middleware"},
	{"arrival", "one request seen by the dependency; a refused connection, a name that does not resolve and a dial that is given up count too"},
	{"useful answer", "the right one, complete, within the caller's limit, measured from the intended start"},
	{"goodput", "useful answers a second"},
	{"amplification", "arrivals / requests"},
	{"policy amplification", "attempts / requests; the difference to amplification is what net/http sends on its own account"},
	{"extra load", "arrivals / arrivals of the first client"},
	{"short-circuit", "a request that was refused by an open breaker without being sent"},
	{"good call refused", "a short-circuit outside of the fault windows"},
	{"retry that helped", "an attempt after the first whose answer was the caller's success; every other retry was wasted"},
	{"recovery", "from the end of the last fault to the beginning of the first half second in which 95 % of what was offered was useful"},
}
