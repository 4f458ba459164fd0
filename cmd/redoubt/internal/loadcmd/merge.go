package loadcmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

// ReportCommand returns the command report.
func ReportCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "report",
		Short:   "Work with what redoubt load has measured",
		Example: "  redoubt report merge a.json b.json",
	}
	cmd.AddCommand(mergeCommand())
	return cmd
}

const mergeLong = `Put the reports of all shards of a run together, and show the whole.

The files are what redoubt load --shard i/n --json FILE wrote: of the same
scenario, seed and clients. Counts and percentiles are exact. Calls in flight are
the sum of each shard's highest, and so an upper bound; each shard had a breaker
and a retry budget of its own.`

func mergeCommand() *cobra.Command {
	o := new(options)
	cmd := &cobra.Command{
		Use:   "merge [flags] FILE...",
		Short: "Put the reports of a run's shards together",
		Long:  mergeLong,
		Example: `  redoubt load --shard 1/2 --start-at 2026-01-02T15:04:05Z --json a.json   # here
  redoubt load --shard 2/2 --start-at 2026-01-02T15:04:05Z --json b.json   # there
  redoubt report merge a.json b.json`,
		DisableFlagsInUseLine: true,
		Args:                  cobra.MinimumNArgs(1),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"json"}, cobra.ShellCompDirectiveFilterFileExt
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.writable(); err != nil {
				return exit.With(exit.Usage, err)
			}
			merged, err := merge(args)
			if err != nil {
				return exit.With(exit.Usage, err)
			}
			r := &runner{options: o, stdout: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr()}
			for _, result := range merged {
				r.reports = append(r.reports, result)
				if err := r.show(result); err != nil {
					return err
				}
			}
			return r.write()
		},
	}
	o.files(cmd.Flags(), "redoubt-report.html")
	return cmd
}

// merge merges the reports of the files: the first of each, the second of each,
// and so on.
func merge(files []string) ([]*engine.Report, error) {
	var shards [][]*engine.Report
	for _, file := range files {
		reports, err := load(file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if len(shards) > 0 && len(reports) != len(shards[0]) {
			return nil, fmt.Errorf("%s has %d reports, must have as many as %s, %d", file, len(reports), files[0], len(shards[0]))
		}
		shards = append(shards, reports)
	}
	var merged []*engine.Report
	for i := range shards[0] {
		var same []*engine.Report
		for _, reports := range shards {
			same = append(same, reports[i])
		}
		whole, err := engine.Merge(same...)
		if err != nil {
			return nil, err
		}
		merged = append(merged, whole)
	}
	return merged, nil
}

// load reads the reports of a file.
func load(file string) ([]*engine.Report, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var reports []*engine.Report
	for decoder := json.NewDecoder(f); ; {
		r := new(engine.Report)
		if err := decoder.Decode(r); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("is not what redoubt load --json writes: %w", err)
		}
		if r.Schema != engine.Schema {
			return nil, fmt.Errorf("schema is %q, must be %q", r.Schema, engine.Schema)
		}
		reports = append(reports, r)
	}
	if len(reports) == 0 {
		return nil, errors.New("is empty, must be what redoubt load --json writes")
	}
	return reports, nil
}
