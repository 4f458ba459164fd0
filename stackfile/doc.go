// Package stackfile reads stacks from files: a YAML file says which layers there are,
// in which order, and with which numbers, so that an operator can change them
// without a build, and a running program can pick up the change.
//
//	name: billing
//	stack:                     # outermost first
//	  - timeout: 10s           # the whole call
//	  - retry:
//	      max_attempts: 4
//	      budget: {ratio: 0.2}
//	  - breaker:
//	      name: billing
//	      window: 30s
//	      failure_ratio: 0.5
//	  - timeout: 1s            # each attempt
//
// All fields are those of the layers' own configurations, in lower case with
// underscores, with the same defaults: docs/stackfile.md lists them. Where Go
// has a constant that switches something off, such as breaker.NoJitter, a file
// says none.
//
// # Use
//
// [ReadFile] and [Parse] make a [File] of it, of which File.Stack makes a stack
// and File.Transport an [http.RoundTripper]. [Open] makes a [Live], which is both,
// and which [Live.Reload] brings up to date:
//
//	live, err := stackfile.Open("/etc/billing/stack.yaml", stackfile.Options{})
//	if err != nil {
//		return err
//	}
//	hup := make(chan os.Signal, 1)
//	signal.Notify(hup, syscall.SIGHUP)
//	go func() {
//		for range hup {
//			if changes, err := live.Reload(); err != nil {
//				slog.Error("stack.yaml is as it was", "err", err)
//			} else {
//				slog.Info("stack.yaml", "fresh", changes.Fresh, "kept", changes.Kept)
//			}
//		}
//	}()
//	client := &http.Client{Transport: live}
//
// Nothing runs in the background unless the program has [Live.Watch] do so.
//
// For HTTP a file also says, below http, which other servers to fail over to and
// when to hedge. Neither is a layer; for functions use packages failover and hedge.
//
// Functions can't be in a file: those that decide what is a failure, hooks and
// loggers are set by [Options].
//
// # Strictness
//
// A typing mistake in a file like this is noticed in the next outage, or never. So
// whatever is not understood is refused, with file, line, column, field, value and rule:
// unknown fields, fields given twice, numbers without a unit, values out of range.
// Zero is refused where Go takes it for the default: leave the field out. Anchors,
// aliases and tags are refused, and so is a file beyond [MaxSize] or with two
// documents. [File.Check] also judges the order of layers, and [Open] and Reload
// take no file that fails it.
//
// # Pitfalls
//
// A block that has changed begins anew on reload: its breaker is closed, its
// budget full. Changing the numbers of a breaker in an outage sends the full load
// to a dependency that is down, until it opens again.
//
// Breakers, budgets, limits and hedges are known by kind and name. To rename one is
// to begin anew.
//
// "per: host" goes by [redoubt.Host] and "per: host_and_method" by
// [redoubt.HostAndMethod], so they are for HTTP: calls of functions have no host
// and share one.
package stackfile
