package hgcmd

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/circuits"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

// known returns the circuits of "redoubt hg".
func known(cmd *cobra.Command, store shared.Store) []shared.Circuit {
	return circuits.Known(cmd, store, func(c shared.Circuit) bool {
		return c.Name == hg.BreakerName || c.Name == hg.MemoryName && c.State == breaker.Open
	})
}

func statusCommand() *cobra.Command {
	var dir string
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "status",
		Short:   "Show which servers are left alone, and why",
		Example: "  redoubt hg status",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			store, err := circuits.Open(dir)
			if err != nil {
				return err
			}
			return circuits.Print(cmd.OutOrStdout(), "server", known(cmd, store), func(c shared.Circuit) string { return c.Key }, asJSON)
		},
	}
	cmd.Flags().StringVar(&dir, "state-dir", "", "`directory` of what is known of servers (default: $XDG_STATE_HOME/redoubt)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func resetCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "reset [URL]…",
		Short:   "Forget what is known of servers, or of those named",
		Example: "  redoubt hg reset https://hg.example.net/repo",
		RunE: func(cmd *cobra.Command, args []string) error {
			hideSecrets(args)
			store, err := circuits.Open(dir)
			if err != nil {
				return err
			}
			which, err := chosen(cmd, store, args)
			if err != nil {
				return err
			}
			var errs []error
			for _, c := range which {
				errs = append(errs, shared.Reset(cmd.Context(), store, c.Name, c.Key))
			}
			return errors.Join(errs...)
		},
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		store, err := circuits.Open(dir)
		if err != nil {
			return nil, cobra.ShellCompDirectiveError
		}
		var servers []string
		for _, c := range known(cmd, store) {
			server, _, _ := strings.Cut(c.Key, " for ")
			servers = append(servers, server)
		}
		return servers, cobra.ShellCompDirectiveNoFileComp
	}
	cmd.Flags().StringVar(&dir, "state-dir", "", "`directory` of what is known of servers (default: $XDG_STATE_HOME/redoubt)")
	return cmd
}

// chosen returns the circuits of the servers of urls, and of the mirrors at
// them, or all if there are none.
func chosen(cmd *cobra.Command, store shared.Store, urls []string) ([]shared.Circuit, error) {
	all := known(cmd, store)
	if len(urls) == 0 {
		return all, nil
	}
	var which []shared.Circuit
	for _, url := range urls {
		s, err := source.Repository("URL", url)
		if err != nil {
			return nil, exit.With(exit.Usage, err)
		}
		found := len(which)
		for _, c := range all {
			if c.Key == s.Endpoint() || strings.HasPrefix(c.Key, s.String()+" for ") {
				which = append(which, c)
			}
		}
		if len(which) == found {
			fmt.Fprintf(cmd.ErrOrStderr(), "redoubt: nothing was known of %s\n", s)
		}
	}
	return which, nil
}
