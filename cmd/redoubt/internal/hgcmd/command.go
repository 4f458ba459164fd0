package hgcmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/checkout"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/failure"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

const long = `Make a clean working copy of a Mercurial repository, from mirrors, bundles and
the primary server at URL, whatever fails on the way.

When it exits with 0, DEST is a clean working copy at exactly the revision that
is printed. When it does not, DEST is as it was, or absent, and never half.

A revision that is here already is checked out without any network. Names are
resolved by the primary only, and pulled from the mirrors by hash. Nothing that
the command did not make is destroyed unless a flag allows it.

The command line and the environment of Mozilla's hgtool are understood; --compat,
a name that begins with "hgtool", or one of hgtool's own flags makes it
behave so: it discards what is in the way, repairs, and prints "Got revision".

A store below --share-base is named by the repository's first revision, as in the
pools of hg share and robustcheckout: repositories that began as one share it,
and a pool that is there is gone on with, but not while robustcheckout runs on it.

With --noupdate only the store below --share-base is made ready: 0 then means that
it has the revision. DEST is not looked at.

With --plan the servers are asked what they have, without counting for or against
them; no file and no lock is touched. Working copies are whole: there are no sparse
profiles. Times are in seconds, or durations such as 500ms and 1m30s.

Passwords belong in ~/.netrc. Those in URLs show nowhere but, for an instant,
in the list of processes.`

const examples = `  # A revision, from a mirror if that has it:
  redoubt hg --mirror https://hg.example.net/repo --rev 8f4c7ce0a3de https://hg.mozilla.org/repo

  # The tip of a branch, all working copies of this machine sharing one store:
  redoubt hg --share-base /builds/hg --branch default --purge https://hg.mozilla.org/repo src

  # Fill the store when the machine starts, so that later jobs need no network:
  redoubt hg --share-base /builds/hg --branch default --noupdate https://hg.mozilla.org/repo

  # What would be done, and where the time goes:
  redoubt hg --plan https://hg.mozilla.org/repo src
  redoubt hg --trace https://hg.mozilla.org/repo src

  # Which servers are left alone, and to forget it:
  redoubt hg status
  redoubt hg reset https://hg.example.net:443`

const exitCodes = `
Exit codes:
    0  done
    2  the command line makes no sense, or is not safe, and nothing was touched;
       or the primary wants another user and password
   65  no source has the revision
   69  no source could be used; later one may
   72  what is on disk is damaged; use --repair, or purge the cache
   73  DEST holds what would be lost; a flag can allow it
   74  disk full, or no permission
   75  every circuit is open; nothing was dialled
   76  somebody else held a lock for too long
   77  a source is not who it should be
   78  no hg, or no proxy, that works
  124  the budget of time is used up
  128+n  signal n`

// Command returns the command "hg".
func Command() *cobra.Command {
	var f flags
	cmd := &cobra.Command{
		Use:     "hg [flags] URL [DEST]",
		Aliases: []string{"hgtool", "hgtool.py"},
		Short:   "Make a working copy of a Mercurial repository, whatever fails",
		Long:    long + "\n" + exitCodes,
		Example: examples,
		Args:    checkArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.run(cmd, args)
		},
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	f.add(cmd)
	complete(cmd)
	cmd.AddCommand(statusCommand(), resetCommand())
	return cmd
}

func checkArgs(_ *cobra.Command, args []string) error {
	switch {
	case len(args) == 0:
		return errors.New("URL is missing")
	case len(args) > 2:
		err := fmt.Errorf("%q is one too many after URL and DEST", source.Redact(args[2]))
		hideSecrets(args)
		return err
	default:
		return nil
	}
}

// complete tells the shell what the flags with few values may be.
func complete(cmd *cobra.Command) {
	var levels []string
	for _, level := range checkout.Levels {
		levels = append(levels, string(level))
	}
	for flag, values := range map[string][]string{"verify": levels, "prefer": {"given", "fastest"}} {
		// It fails for flags that there are not, and main's tests ask for these.
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
}

func (f *flags) run(cmd *cobra.Command, args []string) error {
	hideSecrets(args, f.mirrors, f.bundles)
	stderr := cmd.ErrOrStderr()
	o, err := f.options(cmd, args)
	if err != nil {
		return exit.With(exit.Usage, err)
	}
	rep := report.New(stderr, isTerminal(stderr), f.verbose)
	if f.plan {
		err = hg.Plan(cmd.Context(), o, rep)
	} else {
		err = hg.Run(cmd.Context(), o, rep, f.hgStderr(stderr))
	}
	return f.finish(cmd, rep, err)
}

// hgStderr is where hg's own words go: what matters of them is told anyway.
func (f *flags) hgStderr(stderr io.Writer) io.Writer {
	if f.verbose {
		return stderr
	}
	return nil
}

// finish tells the end: to people on stderr, to programs on stdout.
func (f *flags) finish(cmd *cobra.Command, rep *report.Report, err error) error {
	rep.Edit(func(res *report.Result) {
		if e, ok := errors.AsType[*failure.Error](err); ok {
			res.Exit, res.Kind, res.Error = e.ExitCode(), string(e.Kind), e.Error()
		}
	})
	result := rep.Result()
	if f.trace {
		rep.Trace(cmd.ErrOrStderr())
	}
	if err == nil && f.outputProps != "" {
		if err := writeProps(f.outputProps, result.Got); err != nil {
			return exit.With(failure.New(failure.Disk, "%w", err).ExitCode(), err)
		}
	}
	if f.json {
		encoder := json.NewEncoder(cmd.OutOrStdout())
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(result); err != nil {
			return err
		}
	} else if err == nil {
		f.printResult(cmd.OutOrStdout(), result)
	}
	if err != nil {
		rep.Step("failed: %v", firstLine(err))
		for line := range strings.Lines(rest(err)) {
			rep.Step("%s", strings.TrimRight(line, "\n"))
		}
	}
	return exit.Quietly(result.Exit)
}

func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

func rest(err error) string {
	_, text, _ := strings.Cut(err.Error(), "\n")
	return text
}

func (f *flags) printResult(w io.Writer, result report.Result) {
	switch {
	case f.plan:
		for _, line := range result.Plan {
			fmt.Fprintln(w, line)
		}
	case f.compat:
		fmt.Fprintf(w, "Got revision %.12s\n", result.Got)
	default:
		fmt.Fprintln(w, result.Got)
	}
}

// writeProps writes what buildbot reads.
func writeProps(path, got string) error {
	text, err := json.Marshal(map[string]string{"got_revision": got})
	if err != nil {
		return err
	}
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	if err := os.WriteFile(temp, append(text, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb" && info.Name() != os.DevNull && info.Name() != "null"
}
