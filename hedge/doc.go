// Package hedge sends a call a second time while the first attempt is slow, and
// takes what succeeds first.
//
// A dependency that answers nearly always in 5 ms and sometimes in a second is
// slow for whoever asks it a hundred things at once. To ask again after 10 ms,
// which 2 % of all calls ever need, cuts the 99.9th percentile of such a fan-out
// by more than twenty times.
//
// [Func] hedges a function of any result type, [Transport] HTTP requests. Both
// follow a [Hedger], made with [New], which knows when a call is slow: after a
// fixed Delay or, by default, after the 96th percentile of recent latencies. A
// hedge is not a layer, since a layer never runs its call twice at the same time.
// It belongs inside the layers, as what they call:
//
//	hedger := hedge.New(hedge.Config{Name: "billing", Budget: budget, Breaker: circuit})
//
//	client := &http.Client{Transport: &redoubt.Transport{
//		Layer: redoubt.Stack{retry.Policy{Budget: budget}, circuit, timeout.Limit(time.Second)},
//		Base:  &hedge.Transport{Hedger: hedger},
//	}}
//
//	fetch := hedge.Func(hedger, fetchInvoice)
//	invoice, err := redoubt.Do(ctx, stack, fetch)
//
// There it is one attempt: a breaker gets one verdict, a retry sees one error.
//
// # Rules
//
//   - The first success wins. A failure, such as a 503, never beats an attempt
//     that is pending. If all fail, the result is that of the first attempt.
//   - Once an attempt has failed, no further hedge is sent. To repeat what failed
//     is the business of a retry.
//   - Losers are cancelled, and the bodies of their responses closed. That is
//     nobody's failure.
//   - Hedges are sent for at most MaxExtra of all calls that may be hedged, and
//     each must be granted by the retry budget too, if there is one.
//   - No hedge is sent while the breaker is not closed, nor for 10 s after the
//     dependency asked for less, by 429 or by an error with a method Throttled
//     that says so; up to a minute if it asked for that.
//   - A hedge inside of another's attempt sends nothing: they would multiply.
//
// The delay is measured by first attempts that succeeded, that ran out of time,
// and that a hedge overtook: without the latter two, only the quick would be
// counted.
//
// # Pitfalls
//
// A hedge runs the call twice at the same time. That is more than repeating it
// after a failure: hedge what only reads.
//
// Hedges take work from a tail that has other causes than load, such as a pause
// for garbage collection. Where slowness comes from load they make it worse; as a
// rule they help below a third of the dependency's capacity.
//
// A Hedger has one distribution of latencies. Calls of several kinds, or to
// several dependencies, want a Hedger each, which a [Group] makes by key, such as
// the host. With less than MinSamples calls in 20 s a measured delay is never
// known, and nothing hedged: of calls that are few, a Group makes fewer still.
//
// Cancelling a request costs its connection in HTTP/1, and next to nothing in
// HTTP/2. In HTTP/1 a hedge is therefore charged twice to MaxExtra.
//
// Both sends of a request have the same header, but for what redoubt.Transport
// itself writes and what its Prepare does: that is called for a hedge as for every
// send, while the first is under way, and finds what it found there. What else must
// differ belongs in a RoundTripper below [Transport].
//
// Sources: J. Dean and L. A. Barroso, "The Tail at Scale" (CACM 56(2), 2013); A.
// Vulimiri et al., "Low Latency via Redundancy" (CoNEXT 2013) for the load below
// which redundancy helps; Finagle's BackupRequestFilter for the percentile and
// the budget; gRFC A6 for the retry budget that hedges share.
package hedge
