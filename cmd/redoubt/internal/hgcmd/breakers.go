package hgcmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/statedir"
)

func openStore(dir string) (shared.Store, error) {
	if dir == "" {
		var err error
		if dir, err = statedir.Default(); err != nil {
			return nil, exit.With(exit.Usage, err)
		}
	}
	return shared.NewFileStore(statedir.Breakers(dir)), nil
}

// circuits returns the circuits of "redoubt hg" and says what can't be read.
func circuits(cmd *cobra.Command, store shared.Store) []shared.Circuit {
	all, err := shared.Status(cmd.Context(), store)
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "redoubt: %v\n", err)
	}
	var ours []shared.Circuit
	for _, c := range all {
		if c.Name == hg.BreakerName {
			ours = append(ours, c)
		}
	}
	return ours
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
			store, err := openStore(dir)
			if err != nil {
				return err
			}
			list := circuits(cmd, store)
			if asJSON {
				return printJSON(cmd.OutOrStdout(), list)
			}
			return printTable(cmd.OutOrStdout(), list)
		},
	}
	cmd.Flags().StringVar(&dir, "state-dir", "", "`directory` of what is known of servers (default: $XDG_STATE_HOME/redoubt)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

type circuitJSON struct {
	Server       string    `json:"server"`
	State        string    `json:"state"`
	Failures     int64     `json:"failures"`
	Reason       string    `json:"reason,omitempty"`
	Until        time.Time `json:"until,omitzero"`
	FailedProbes int       `json:"failed_probes,omitempty"`
	Last         string    `json:"last,omitempty"`
}

func printJSON(w io.Writer, list []shared.Circuit) error {
	out := make([]circuitJSON, 0, len(list))
	for _, c := range list {
		out = append(out, circuitJSON{
			Server: c.Key, State: c.State.String(), Failures: c.Failures, Reason: string(c.Reason),
			Until: c.Until, FailedProbes: c.FailedProbes, Last: lastOf(c),
		})
	}
	return json.NewEncoder(w).Encode(out)
}

func lastOf(c shared.Circuit) string {
	if c.Last == nil {
		return ""
	}
	return c.Last.Error()
}

func printTable(w io.Writer, list []shared.Circuit) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SERVER\tSTATE\tFAILURES\tUNTIL\tLAST")
	for _, c := range list {
		until := "-"
		if c.State == breaker.Open {
			until = fmt.Sprintf("in %v", time.Until(c.Until).Round(time.Second))
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", c.Key, c.State, c.Failures, until, lastOf(c))
	}
	return table.Flush()
}

func resetCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:     "reset [URL]…",
		Short:   "Forget what is known of servers, or of those named",
		Example: "  redoubt hg reset https://hg.example.net/repo",
		RunE: func(cmd *cobra.Command, args []string) error {
			hideSecrets(args)
			store, err := openStore(dir)
			if err != nil {
				return err
			}
			keys, err := keysOf(cmd, store, args)
			if err != nil {
				return err
			}
			var errs []error
			for _, key := range keys {
				errs = append(errs, shared.Reset(cmd.Context(), store, hg.BreakerName, key))
			}
			return errors.Join(errs...)
		},
	}
	cmd.Flags().StringVar(&dir, "state-dir", "", "`directory` of what is known of servers (default: $XDG_STATE_HOME/redoubt)")
	return cmd
}

// keysOf returns the circuits of the servers of urls, or all if there are none.
func keysOf(cmd *cobra.Command, store shared.Store, urls []string) ([]string, error) {
	var keys []string
	for _, url := range urls {
		s, err := source.Repository("URL", url)
		if err != nil {
			return nil, exit.With(exit.Usage, err)
		}
		keys = append(keys, s.Endpoint())
	}
	if len(urls) > 0 {
		return keys, nil
	}
	for _, c := range circuits(cmd, store) {
		keys = append(keys, c.Key)
	}
	return keys, nil
}
