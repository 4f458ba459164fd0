// Package ops shows an operator what Redoubt is doing: every breaker, retry
// budget and limit, by name and key, and how it came to be so.
//
//	view := ops.New(ops.Config{
//		Name:    "checkout",
//		Clients: []*http.Client{payments, search},
//		Layers:  []redoubt.Layer{mail},
//	})
//	mux.Handle("/debug/redoubt/", view)
//
// A [View] is one handler with a page for people and the same as JSON for
// programs, see [View.ServeHTTP]. The page shows the troubled first: the states
// of the last minutes as a timeline, the share of failures beside what the
// breaker allows, why a circuit opened, with the error and the trace of the call
// that opened it, the balances of budgets, and how much of a limit is in use. It
// is sent changes as they happen, by server-sent events. It needs nothing
// from anywhere else: no other files, no fonts, no scripts of others.
//
// # Acting
//
// Config.Authorize decides who may force a circuit open or closed, and reset it.
// Without Authorize nobody may. Commands are sent by POST, as JSON, from the
// page's own origin or from what is not a browser; those of another site's page
// are refused. Config.Logger gets a record of each.
//
//	Authorize: func(r *http.Request) error {
//		if !sre(auth.User(r.Context())) {
//			return errors.New("is not an SRE")
//		}
//		return nil
//	},
//
// A command acts on this process alone: each instance of a service has breakers
// of its own.
//
// # Looking
//
// Authorize is about acting. Whoever can reach the handler can look, and sees
// names, keys, and texts of errors, which may tell what was asked of whom. Serve
// it where expvar and net/http/pprof are served: on a listener of its own, or
// behind authentication. An Authorize that lets everybody act has to see to it
// that no web page can reach the handler under a name of its own; [Loopback]
// does.
//
// Looking is cheap and changes nothing: an open circuit whose cooldown is
// over stays so until a call comes. Nothing runs and nothing is remembered while
// nobody looks, but for the last 16 state changes of each breaker, which the
// breaker keeps. So the timeline is complete from the first moment on; the curves
// of calls and failures begin when the page is opened.
//
// # Watching
//
// Those who watch are bounded in number, and one who does not read for ten
// seconds is let go. Their streams end when their server begins to shut down, so
// that http.Server.Shutdown does not wait for them. A server's WriteTimeout does
// not apply to them. Where too many watch, a page asks every few seconds instead.
//
// # Sources
//
// The page is modelled on Hystrix Dashboard, whose circles showed a moment but
// not how it came about. What browsers are asked to keep away is from
// [http.CrossOriginProtection], the OWASP cheat sheets on cross-site request
// forgery and clickjacking, and CSP Level 3 with Trusted Types.
package ops
