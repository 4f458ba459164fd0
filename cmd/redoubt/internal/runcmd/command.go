package runcmd

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/proc"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/seconds"
)

// options are what the flags say.
type options struct {
	maxAttempts    count
	sleepTime      seconds.Value
	maxSleepTime   seconds.Value
	attemptTimeout seconds.Value
	timeout        seconds.Value
	grace          seconds.Value

	retryOnExit, noRetryOnExit   exitCodes
	retryIfStdout, retryIfStderr patterns
	noRetryIfStdout              patterns
	noRetryIfStderr              patterns
	failIfStdout, failIfStderr   patterns

	breaker         string
	stateDir        string
	breakerFailures count
	breakerCooldown seconds.Value

	name           string
	stdinMode      choice
	foreground     bool
	verbose, quiet bool
}

const long = `Run a command until it succeeds, at most as many times as --attempts says.

Between attempts it waits for a random time of at most --sleeptime, a bound that
doubles after each attempt until it is --max-sleeptime. Times are in seconds,
or durations such as 500ms and 1m30s.

An attempt has failed if the command exits with a status other than 0, if a
signal or a time limit ends it, or if a line of its output matches --fail-if-….
Every failure is retried, unless --retry-… chooses some; then one of the
conditions must hold. A time limit and --fail-if-… are always retried. What
--no-retry-… names never is, nor is a command that cannot be started.

The command runs in a process group of its own. When a time limit ends it, or a
signal to redoubt (HUP, INT, TERM), the whole group gets TERM, or that signal,
and whatever is left of it after --grace gets KILL. --timeout bounds everything,
waits included; nobody waits if no attempt could follow. Its output is passed on
as it comes, that of failed attempts too. It finds the number of its attempt in
REDOUBT_ATTEMPT, and TRACEPARENT if it is traced.

Standard input goes to the command. If it is a file, each attempt reads it from
the beginning. If it is a pipe, only the first attempt can have it, and others
read nothing: use --stdin=replay to keep a copy for them. A terminal is only
given to a command that is in the --foreground, where time limits and signals
reach the command itself but not what it started.

With --breaker, runs that give the same NAME share a circuit breaker in
--state-dir: after some failures in a row, in whatever runs, the command is not
run any more until a cooldown is over. Then one run tries; the others go on
refusing until it is known how that went. "redoubt breaker status" shows it and
"redoubt breaker reset NAME" closes it. Failures that are not to be retried do not
count. A run with a --timeout waits for the circuit if there is time. NAME is
stored and shown in telemetry: put no secret in it.

Messages go to stderr, a line for each retry and one at the end, and show the
command with its arguments unless --quiet, but no user and password of a URL.

Exit codes:
  0        the command succeeded
  1-255    its own, of the last attempt; 128+N if signal N ended it;
           1 if --fail-if-… matched
  2        the command line of redoubt makes no sense; nothing was run
  75       the circuit is open; the last attempt was not made
  124      a time limit ended the last attempt
  126      the command cannot be started
  127      there is no such command
  128+N    signal N ended redoubt: 129, 130, 143`

const example = `  # Five attempts, at most 10 s and then at most 20, 40, 60 s apart:
  redoubt run -a 5 -s 10 -m 60 -- ./upload.sh artifact.zip

  # Each attempt at most a minute, all of it at most ten:
  redoubt run --attempt-timeout 1m --timeout 10m -- hg pull

  # Retry what may be cured by waiting, and nothing else:
  redoubt run --retry-on-exit 6,7,28,52-56 -- curl -fsSO https://example.org/f
  redoubt run --retry-if-stderr 'timed out|reset by peer' -- git fetch

  # All jobs on this machine leave the server alone once it fails:
  redoubt run --breaker releases.example.org -- ./upload.sh artifact.zip`

// Command returns the command run.
func Command() *cobra.Command {
	o := &options{
		maxAttempts:     5,
		sleepTime:       seconds.Value(time.Minute),
		maxSleepTime:    seconds.Value(5 * time.Minute),
		grace:           seconds.Value(proc.DefaultGrace),
		breakerFailures: 5,
		breakerCooldown: seconds.Value(30 * time.Second),
		stdinMode:       choice{value: stdinPass, words: []string{stdinPass, stdinReplay, stdinNull}},
	}
	cmd := &cobra.Command{
		Use:                   "run [flags] [--] COMMAND [ARG...]",
		Short:                 "Repeat a command until it succeeds",
		Long:                  long,
		Example:               example,
		DisableFlagsInUseLine: true,
		Args:                  arguments,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveDefault
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(cmd); err != nil {
				return exit.With(exit.Usage, err)
			}
			stdin, err := newInput(os.Stdin, o.stdinMode.value, o.foreground)
			if err != nil {
				return err
			}
			r := &runner{options: o, args: args, stdin: stdin, stderr: cmd.ErrOrStderr()}
			return r.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.SetInterspersed(false) // what follows COMMAND is its own
	f.VarP(&o.maxAttempts, "attempts", "a", "how many times to run the command at most, the first included")
	f.VarP(&o.sleepTime, "sleeptime", "s", "how long to wait at most before the second attempt; doubles after each")
	f.VarP(&o.maxSleepTime, "max-sleeptime", "m", "how long to wait at most before any attempt")
	f.Var(&o.attemptTimeout, "attempt-timeout", "how long an attempt may take; 0 is no limit")
	f.Var(&o.timeout, "timeout", "how long everything may take, waits included; 0 is no limit")
	f.Var(&o.grace, "grace", "how long the command has between TERM and KILL")
	f.Var(&o.retryOnExit, "retry-on-exit", "retry these exit codes, such as 1,75,128-143")
	f.Var(&o.noRetryOnExit, "no-retry-on-exit", "never retry these exit codes; 124 is a time limit")
	f.Var(&o.retryIfStdout, "retry-if-stdout", "retry if a line of stdout matches")
	f.Var(&o.retryIfStderr, "retry-if-stderr", "retry if a line of stderr matches")
	f.Var(&o.noRetryIfStdout, "no-retry-if-stdout", "never retry if a line of stdout matches")
	f.Var(&o.noRetryIfStderr, "no-retry-if-stderr", "never retry if a line of stderr matches")
	f.Var(&o.failIfStdout, "fail-if-stdout", "take the attempt for failed if a line of stdout matches")
	f.Var(&o.failIfStderr, "fail-if-stderr", "take the attempt for failed if a line of stderr matches")
	f.StringVar(&o.breaker, "breaker", "", "share a circuit breaker with all runs that give this `NAME`")
	f.StringVar(&o.stateDir, "state-dir", "", "`directory` of what outlives a run (default $XDG_STATE_HOME/redoubt or ~/.local/state/redoubt)")
	f.Var(&o.breakerFailures, "breaker-failures", "how many failures in a row open the circuit, at most 100")
	f.Var(&o.breakerCooldown, "breaker-cooldown", "how long it stays open; doubles, up to 10m, each time that a try fails")
	f.Var(&o.stdinMode, "stdin", "what the command reads: pass it stdin, replay it for each attempt, or null")
	// It fails for a flag that there is not.
	_ = cmd.RegisterFlagCompletionFunc("stdin", cobra.FixedCompletions(o.stdinMode.words, cobra.ShellCompDirectiveNoFileComp))
	f.BoolVar(&o.foreground, "foreground", false, "let the command read from the terminal")
	f.StringVar(&o.name, "name", "", "what telemetry calls it (default the name of COMMAND)")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "say when an attempt begins")
	f.BoolVarP(&o.quiet, "quiet", "q", false, "say nothing about attempts")
	return cmd
}

func arguments(_ *cobra.Command, args []string) error {
	if len(args) == 0 {
		return errors.New("COMMAND is missing")
	}
	if args[0] == "" {
		return errors.New("COMMAND is empty, must name a program")
	}
	return nil
}

// check reports the first flag that makes no sense.
func (o *options) check(cmd *cobra.Command) error {
	switch {
	case o.maxAttempts < 1:
		return fmt.Errorf("--attempts is %d, must be at least 1", o.maxAttempts)
	case o.timeout > 0 && o.attemptTimeout >= o.timeout:
		return fmt.Errorf("--attempt-timeout is %v, must be shorter than --timeout, %v", o.attemptTimeout.Duration(), o.timeout.Duration())
	case o.grace == 0:
		return errors.New("--grace is 0s, must be positive")
	case o.breaker == "" && cmd.Flags().Changed("breaker"):
		return errors.New("--breaker is empty, must name the breaker")
	case o.breakerFailures < 1 || o.breakerFailures > 100:
		return fmt.Errorf("--breaker-failures is %d, must be from 1 to 100", o.breakerFailures)
	case o.breakerCooldown == 0:
		return errors.New("--breaker-cooldown is 0s, must be positive")
	case o.stateDir == "" && cmd.Flags().Changed("state-dir"):
		return errors.New("--state-dir is empty, must be a directory")
	case o.verbose && o.quiet:
		return errors.New("--verbose and --quiet exclude each other")
	}
	return nil
}
