// Package breakercmd is the command "redoubt breaker": the circuits that runs of
// "redoubt run --breaker NAME" share.
package breakercmd

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/circuits"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
)

const stateDirUsage = "`directory` of what outlives a run (default $XDG_STATE_HOME/redoubt or ~/.local/state/redoubt)"

// Command returns the command "breaker".
func Command() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "breaker",
		Short: "Show and reset the circuits that runs share",
		Long: `Show and reset the circuits that runs of "redoubt run --breaker NAME" share.
Those of "redoubt hg" have commands of their own: redoubt hg status, redoubt hg reset.`,
		Example: "  redoubt breaker status\n  redoubt breaker reset releases.example.org",
		Args:    cobra.NoArgs,
	}
	cmd.AddCommand(statusCommand(), resetCommand())
	return cmd
}

// named returns the circuits that have a name alone, as those of "redoubt run" do.
func named(cmd *cobra.Command, store shared.Store) []shared.Circuit {
	return circuits.Known(cmd, store, func(c shared.Circuit) bool { return c.Key == "" })
}

func statusCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show which circuits are open, and why",
		Example: "  redoubt breaker status --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := circuits.Open(dir)
			if err != nil {
				return err
			}
			return circuits.Print(cmd.OutOrStdout(), "name", named(cmd, store), func(c shared.Circuit) string { return c.Name }, asJSON)
		},
	}
	cmd.Flags().StringVar(&dir, "state-dir", "", stateDirUsage)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func resetCommand() *cobra.Command {
	var dir string
	var all bool
	cmd := &cobra.Command{
		Use:     "reset NAME…",
		Short:   "Close circuits and forget what was counted",
		Example: "  redoubt breaker reset releases.example.org\n  redoubt breaker reset --all",
		RunE: func(cmd *cobra.Command, names []string) error {
			if all == (len(names) > 0) {
				return exit.With(exit.Usage, errors.New("name the circuits to reset, or give --all"))
			}
			store, err := circuits.Open(dir)
			if err != nil {
				return err
			}
			if all {
				for _, c := range named(cmd, store) {
					names = append(names, c.Name)
				}
			}
			var errs []error
			for _, name := range names {
				errs = append(errs, shared.Reset(cmd.Context(), store, name, ""))
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().StringVar(&dir, "state-dir", "", stateDirUsage)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
		store, err := circuits.Open(dir)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var names []string
		for _, c := range named(cmd, store) {
			if !slices.Contains(given, c.Name) {
				names = append(names, c.Name)
			}
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.Flags().BoolVar(&all, "all", false, "reset all")
	return cmd
}
