// Package proc runs a program and answers for everything that it starts.
//
// A [Cmd] runs as a process group of its own. If its context ends, the whole
// group is asked to end by a signal, given a grace, and then killed, so that
// nothing that the program started keeps running, holds a lock or a pipe, or
// answers to a terminal that somebody else uses by then:
//
//	err := proc.Cmd{
//		Path:   "hg",
//		Args:   []string{"pull", "--", url},
//		Stdout: os.Stdout,
//		Tail:   proc.DefaultTail,
//	}.Run(ctx)
//
// Errors are of two types. A [*StartError] says that the program never ran. An
// [*ExitError] says how it ended, why it was ended if it was, and what it last
// wrote to stderr. Both know the exit code that a shell would report.
//
// [Notify] turns the signals that end a command into a context, whose end is
// passed on to the group as the same signal.
//
// # Limits
//
// A program that leaves its group, by setsid as daemons do, is out of reach.
// If this process itself is killed with SIGKILL, Linux kills the program
// (Pdeathsig), but not what the program started. On systems other than Unix
// there are no groups: only the program itself is killed, at once.
package proc
