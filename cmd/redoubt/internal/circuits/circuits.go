// Package circuits shows the circuits that commands share.
package circuits

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/statedir"
)

// Open returns the store in a directory of state, "" being the default one.
func Open(dir string) (shared.Store, error) {
	if dir == "" {
		var err error
		if dir, err = statedir.Default(); err != nil {
			return nil, exit.With(exit.Usage, err)
		}
	}
	return shared.NewFileStore(statedir.Breakers(dir)), nil
}

// Known returns the circuits in a store that are a command's own, and says what
// can't be read.
func Known(cmd *cobra.Command, store shared.Store, own func(shared.Circuit) bool) []shared.Circuit {
	all, err := shared.Status(cmd.Context(), store)
	if err != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "redoubt: %v\n", err)
	}
	return slices.DeleteFunc(all, func(c shared.Circuit) bool { return !own(c) })
}

// Print prints circuits as a table or as JSON. label says what a circuit is of,
// and heading what kind of thing that is.
func Print(w io.Writer, heading string, list []shared.Circuit, label func(shared.Circuit) string, asJSON bool) error {
	if asJSON {
		return printJSON(w, heading, list, label)
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, strings.ToUpper(heading)+"\tSTATE\tFAILURES\tUNTIL\tLAST")
	for _, c := range list {
		until := "-"
		if c.State == breaker.Open {
			until = fmt.Sprintf("in %v", time.Until(c.Until).Round(time.Second))
		}
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\n", label(c), c.State, c.Failures, until, last(c))
	}
	return table.Flush()
}

func printJSON(w io.Writer, heading string, list []shared.Circuit, label func(shared.Circuit) string) error {
	out := make([]map[string]any, 0, len(list))
	for _, c := range list {
		circuit := map[string]any{heading: label(c), "state": c.State.String(), "failures": c.Failures}
		if c.State != breaker.Closed {
			circuit["reason"], circuit["until"] = c.Reason, c.Until
			circuit["failed_probes"], circuit["last"] = c.FailedProbes, last(c)
		}
		out = append(out, circuit)
	}
	return json.NewEncoder(w).Encode(out)
}

func last(c shared.Circuit) string {
	if c.Last == nil {
		return ""
	}
	return c.Last.Error()
}
