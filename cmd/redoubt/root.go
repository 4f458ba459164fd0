package main

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/breakercmd"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/explaincmd"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hgcmd"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/loadcmd"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/runcmd"
)

// commands are redoubt's commands. Each is a package of its own below internal.
var commands = []func() *cobra.Command{
	hgcmd.Command,
	loadcmd.Command,
	loadcmd.ServeCommand,
	loadcmd.ReportCommand,
	runcmd.Command,
	breakercmd.Command,
	explaincmd.Command,
	versionCommand,
}

// newRoot returns the command that holds all others. Errors are returned, not
// printed; those about the command line have exit code 2.
func newRoot(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:   "redoubt",
		Short: "Guard commands that talk to things which fail",
		Long: `Redoubt guards commands that talk to things which fail: servers that are
down, mirrors that are stale, networks that hang.

Telemetry goes where OpenTelemetry's environment variables say, such as
OTEL_EXPORTER_OTLP_ENDPOINT, and nowhere if none is set. TRACEPARENT joins the
trace of the caller.`,
		Example: `  # Try up to five times, each for at most a minute:
  redoubt run -a 5 --attempt-timeout 1m -- ./upload.sh artifact.zip

  # Let all jobs on this machine leave a server alone once it fails:
  redoubt run --breaker releases.example.org -- ./upload.sh artifact.zip

  # Complete commands and flags in bash:
  source <(redoubt completion bash)`,
		Version:       version(),
		SilenceErrors: true,
		// As cobra has it for commands whose mistakes it finds itself.
		SuggestionsMinimumDistance: 2,
		SilenceUsage:               true,
		Args:                       cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		},
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetVersionTemplate("{{.Version}}\n")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return exit.With(exit.Usage, fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
	})
	for _, command := range commands {
		root.AddCommand(command())
	}
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	refuseUnknown(root)
	markUsage(root)
	return root
}

// refuseUnknown makes commands that only hold others fail if the name after them
// is none of those: cobra prints their help, and a script would take the exit
// code 0 for success. Without a name they print their help, as redoubt does.
func refuseUnknown(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		refuseUnknown(sub)
	}
	if cmd.Runnable() || !cmd.HasSubCommands() {
		return
	}
	cmd.SuggestionsMinimumDistance = 2
	cmd.DisableFlagsInUseLine = true
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return cmd.Help()
		}
		return unknownCommand(cmd, args[0])
	}
}

// markUsage gives the errors about arguments, which cobra finds, the exit code
// of all other mistakes on the command line.
func markUsage(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err != nil && exit.Code(err) == exit.Failure {
				err = exit.With(exit.Usage, fmt.Errorf("%w; see %s --help", err, cmd.CommandPath()))
			}
			return err
		}
	}
	for _, sub := range cmd.Commands() {
		markUsage(sub)
	}
}

func unknownCommand(cmd *cobra.Command, name string) error {
	message := fmt.Sprintf("unknown command %q", name)
	if near := cmd.SuggestionsFor(name); len(near) > 0 {
		message += ", did you mean " + strings.Join(near, " or ") + "?"
	}
	return exit.With(exit.Usage, fmt.Errorf("%s; see %s --help", message, cmd.CommandPath()))
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  redoubt version",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintln(cmd.OutOrStdout(), version())
			return err
		},
	}
}

// version says what was built, as far as the build knows.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "redoubt (unknown version)"
	}
	settings := make(map[string]string)
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	v := "redoubt " + info.Main.Version
	if revision := settings["vcs.revision"]; revision != "" && info.Main.Version == "(devel)" {
		v += " " + revision
		if settings["vcs.modified"] == "true" {
			v += " (modified)"
		}
	}
	return fmt.Sprintf("%s, %s %s/%s", v, info.GoVersion, runtime.GOOS, runtime.GOARCH)
}
