// Package redoubt makes remote calls that survive a dependency which fails,
// hangs and comes back.
//
// A remote call is a func(context.Context) error. A [Layer] runs it under one
// rule, and a [Stack] puts layers around one another, outermost first:
//
//	stack := redoubt.Stack{
//		timeout.Limit(10 * time.Second),              // the whole call
//		retry.Policy{MaxAttempts: 4},                 // exponential backoff, full jitter
//		breaker.New(breaker.Config{Name: "billing"}), // one for all callers
//		timeout.Limit(time.Second),                   // each attempt
//	}
//
// The same stack guards functions and HTTP:
//
//	out, err := redoubt.Do(ctx, stack, func(ctx context.Context) ([]byte, error) {
//		return exec.CommandContext(ctx, "billingctl", "export").Output()
//	})
//
//	client := &http.Client{Transport: &redoubt.Transport{Layer: stack}}
//
// [NewClient] returns an HTTP client with a stack that suits most services.
//
// # The layers
//
//   - Package timeout bounds how long a call may take.
//   - Package retry repeats a call that failed, within a budget.
//   - Package breaker stops calling a dependency that fails.
//   - Package limit bounds how many calls run at once, by a number or by what the
//     dependency copes with.
//   - Package failover makes a call at the first of several endpoints that works.
//
// Package hedge sends a call once more while the first attempt is slow. That is
// two runs at once, so it is no layer but goes inside of them.
//
// Package breaker/shared has a breaker for commands, which keeps its state in
// files; package ops shows breakers, budgets and limits live; module stackfile
// reads stacks from YAML.
//
// Fallback values, rate limits and interceptors need no layer of their own: the
// examples of [Do], [LayerFunc] and [Stack] show them in a few lines.
//
// Layers know nothing of each other. They talk through methods on errors, such
// as Retryable, RetryAfter and Rejected, which package retry documents.
//
// # Mistakes
//
// A configuration that makes no sense never panics and never goes unnoticed:
// [Check] reports it, with the field, the value and the rule, and until it is
// corrected the layer returns the same error for every call. Check also finds
// orders of layers that can't work.
//
// # Telemetry
//
// Every failure, retry, refusal and state change is recorded in OpenTelemetry as
// soon as the program installs an SDK, with nothing to configure. A call is one
// span, each attempt a span below it, and each refusal a short span that links to
// the failure that caused it. A call that a retry rescued is not an error. See
// [Telemetry] for names and other providers, and the README's section [Telemetry
// of every layer] for all spans, events and metrics.
//
// # Testing
//
// Package redoubttest has dependencies that fail on cue and a check that a layer
// keeps the law. Everything here waits by package time alone, so that a bubble of
// [testing/synctest] makes tests of it instant and exact.
//
// [Telemetry of every layer]: https://github.com/redoubt-go/redoubt#telemetry
package redoubt
