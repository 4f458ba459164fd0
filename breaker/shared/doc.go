// Package shared is a circuit breaker whose state outlives the process, so that
// an open circuit of one run of a command is honoured by the next.
//
// A breaker in memory is of no use to a command that makes three calls and
// exits: it never learns enough to open, and forgets when it does. A [Breaker]
// of this package keeps its state in a [Store], commonly a directory:
//
//	br := shared.New(shared.Config{
//		Name:  "hg",
//		Key:   "https://mirror.example.org",
//		Store: shared.NewFileStore(dir),
//	})
//	stack := redoubt.Stack{retry.Policy{}, br, timeout.Limit(time.Minute)}
//
// It is a layer like breaker.Breaker and refuses with the same
// [*breaker.OpenError].
//
// # How it differs from breaker.Breaker
//
// Commands make few calls, so the default rule is a number of failures in a row
// rather than a ratio. Failures older than Config.Window are forgotten. [Slow]
// counts as a failure.
//
// After the cooldown one call of one process probes: the one that takes the
// lease, which it renews while the probe runs. If that process is killed the
// lease runs out and another probes. A probe may take as long as
// Config.ProbeTimeout.
//
// What is kept of a failure is its class and not its text, since texts have
// passwords in them. So mind what Config.Name and Config.Key hold.
//
// # The store
//
// A Store loads and compares-and-swaps small values. Nothing is locked while a
// call runs, and each access has Config.StoreTimeout.
//
// Whatever the store holds or does never fails a call. Garbage counts as a
// closed circuit and is overwritten. Times further in the future than this
// configuration could have put them are brought back, so that a clock that
// jumped cannot keep a circuit open. A store that can't be used, such as an
// unwritable directory, is replaced by memory, with one warning, and asked again
// later.
//
// Processes on several hosts compare their wall clocks: those should agree to
// within a second or so.
//
// [Slow]: https://pkg.go.dev/github.com/redoubt-go/redoubt/breaker#Slow
package shared
