// Package failover makes a call at the first of several endpoints that works,
// such as a server and its mirrors, in the order in which they are preferred.
//
// A [Failover] has the list and, for each endpoint, the layer that guards it:
//
//	mirrors := failover.New(failover.Config{
//		Name:      "packages",
//		Endpoints: []string{"https://packages.example", "https://mirror.example/packages"},
//		Guard: func(endpoint string) failover.Layer {
//			return breaker.New(breaker.Config{Name: endpoint})
//		},
//		Budget:        budget, // that of the retries, if there are any,
//		PaidElsewhere: true,   // which then pay into it
//	})
//
// [Do] makes a call of any result type, a [Transport] sends HTTP requests:
//
//	out, err := failover.Do(ctx, mirrors, func(ctx context.Context, endpoint string) ([]byte, error) {
//		return fetch(ctx, endpoint)
//	})
//
//	client := &http.Client{Transport: &failover.Transport{Failover: mirrors}}
//
// # What a call does
//
// It asks the endpoints in order, each at most once. After an answer that is an
// error it goes by these questions:
//
//  1. Is the caller gone? Then it stops: [StopCancelled].
//  2. May the endpoint have done what must not be done twice? [StopUnsafe]. Only
//     a Transport knows.
//  3. Did a layer refuse the call, so that the endpoint was not asked? Then the
//     next one is, at no cost.
//  4. Does the error say that another endpoint could not do better?
//     [StopPermanent]. It says so by a method Retryable() bool that reports
//     false, but Config.TryNext overrules that.
//  5. Is there no other endpoint? [StopExhausted].
//  6. Is too little left of the caller's time? [StopDeadline].
//  7. Does the budget not grant another? [StopBudget].
//
// # Coming home
//
// A call always begins with the first endpoint. While that one's breaker is open
// this takes no time; after its cooldown the next call is let through as a probe,
// and if it succeeds everybody is home again. While the probe is under way others
// go on with the next endpoint. So there is no state but that of the breakers,
// and nothing to be switched back.
//
// Without breakers every call would wait for a first endpoint that is dead.
// A [Failover] without guards therefore needs them further in.
//
// # Among other layers
//
// A Failover is a layer. In a redoubt.Stack the layers after it run at each
// endpoint, and [Endpoint] is the key for those that keep something for each:
//
//	stack := redoubt.Stack{
//		timeout.Limit(10 * time.Second), // all endpoints together
//		mirrors,
//		breaker.NewGroup(breaker.GroupConfig{Breaker: config, Key: failover.Endpoint}),
//		timeout.Limit(2 * time.Second), // each of them
//	}
//
// Then the budget pays for a second endpoint before that one's breaker is asked;
// with Config.Guard it pays afterwards.
//
// A retry around a Failover asks every endpoint again, after a wait; if none can
// be asked it does not wait. A retry inside of it asks an endpoint several times
// before the next. The first is right if the endpoints share what fails, such as
// the way to them, the second if each fails for moments of its own.
//
// For HTTP there are two orders. As Base of a redoubt.Transport, a Transport makes
// several sends of what is one attempt outside:
//
//	&redoubt.Transport{
//		Layer:       redoubt.Stack{timeout.Limit(10 * time.Second), retry.Policy{}},
//		Base:        &failover.Transport{Failover: mirrors},
//		SpansByBase: true, // one for each endpoint asked
//	}
//
// HeaderTimeout then bounds them together; what bounds each is the guard. With a
// redoubt.Transport as its Base, all layers of that one are at work for each
// endpoint, and redoubt.Host is the key for its breakers:
//
//	&failover.Transport{
//		Failover:    mirrors, // without Guard
//		Base:        &redoubt.Transport{Layer: redoubt.Stack{breakers, timeout.Limit(2 * time.Second)}},
//		SpansByBase: true,
//	}
//
// # Telemetry
//
// A Failover, or a Transport, that is the edge of a call records it with
// OpenTelemetry's global providers. To have it recorded elsewhere, make something
// else the edge that has providers: for functions a redoubt.Telemetry before it,
//
//	stack := redoubt.Stack{redoubt.Telemetry{TracerProvider: tracers, MeterProvider: meters}, mirrors}
//
// and for HTTP a redoubt.Transport with a TracerProvider and a MeterProvider of
// which the Transport is the Base, and SpansByBase, as above. Then the calls, and
// the spans of each endpoint asked, go to those providers.
//
// # Pitfalls
//
// The endpoints must be one service: whatever a request holds, such as its
// credentials, goes to all of them.
//
// What one endpoint answered is not what another would have: a mirror may be
// behind. Ask for what does not change, such as a version or a hash.
//
// When all is well the endpoints but the first see nothing. Whether they could
// take the load shows when it comes.
//
// Sources: Finagle's user guide, "Clients", for failing open when every endpoint
// is out; M. Brooker, "Avoiding fallback in distributed systems" (Amazon Builders'
// Library), for why the second endpoint should be one that is in use; RFC 9110,
// section 9.2.2, for what may be sent twice.
package failover
