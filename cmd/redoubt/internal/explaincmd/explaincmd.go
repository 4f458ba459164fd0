// Package explaincmd is the command "redoubt explain": what the stack of a file
// does to a call, and what is wrong with it.
package explaincmd

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/exit"
	"github.com/redoubt-go/redoubt/stackfile"
)

// Command returns the command "explain".
func Command() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain [flags] FILE",
		Short: "Say what a stack does to a call, and what is wrong with it",
		Long: `Say what the stack of a file does to a call: a row for each layer with what it
means in its place, how long a call may take and how often it may be made at
most, mistakes, and notes on what is worth knowing. Nothing is called.

FILE is YAML or JSON, "-" is standard input. Its form is that of
docs/stackfile.md.

Exit codes:
  0  there is no mistake, perhaps notes
  1  there are mistakes
  2  the file can't be read or understood; what is wrong is on standard error`,
		Example: `  redoubt explain billing.yaml

  # A gate for CI:
  redoubt explain billing.yaml >/dev/null

  # What a machine wants to know:
  redoubt explain --json billing.yaml | jq .max_attempts`,
		DisableFlagsInUseLine: true,
		Args:                  cobra.ExactArgs(1),
		ValidArgsFunction:     cobra.FixedCompletions([]string{"yaml", "yml", "json"}, cobra.ShellCompDirectiveFilterFileExt),
		RunE: func(cmd *cobra.Command, args []string) error {
			file, err := read(args[0], cmd.InOrStdin())
			if err != nil {
				return exit.With(exit.Usage, err)
			}
			report := file.Explain()
			if err := show(cmd.OutOrStdout(), report, asJSON); err != nil {
				return err
			}
			if report.Err() != nil {
				return exit.Quietly(exit.Failure)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func read(path string, stdin io.Reader) (*stackfile.File, error) {
	if path != "-" {
		return stackfile.ReadFile(path)
	}
	text, err := io.ReadAll(io.LimitReader(stdin, stackfile.MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return stackfile.Parse("stdin", text)
}

func show(w io.Writer, report redoubt.Report, asJSON bool) error {
	if !asJSON {
		_, err := fmt.Fprint(w, report)
		return err
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(view(report))
}

// A reportView is a report as JSON has it. Durations are in seconds, and null if
// nothing bounds them.
type reportView struct {
	Layers         []layerView   `json:"layers"`
	Longest        *float64      `json:"longest"`
	LongestUnasked *float64      `json:"longest_unasked"` // if no error asks for a longer wait
	MaxAttempts    int           `json:"max_attempts"`
	Findings       []findingView `json:"findings"`
}

type layerView struct {
	Where   string `json:"where"`
	Type    string `json:"type"`
	Kind    string `json:"kind"`
	Name    string `json:"name,omitempty"`
	Numbers string `json:"numbers,omitempty"`
	Place   string `json:"place"`
}

type findingView struct {
	Severity redoubt.Severity `json:"severity"`
	Rule     string           `json:"rule"`
	Where    string           `json:"where"`
	Text     string           `json:"text"`
}

func view(report redoubt.Report) reportView {
	v := reportView{
		Layers:         []layerView{},
		Longest:        seconds(report.Longest),
		LongestUnasked: seconds(report.LongestUnasked),
		MaxAttempts:    report.MaxAttempts,
		Findings:       []findingView{},
	}
	for _, l := range report.Layers {
		v.Layers = append(v.Layers, layerView{
			Where: l.Where, Type: l.Type, Kind: l.Facts.Kind.String(), Name: l.Facts.Name, Numbers: l.Numbers, Place: l.Place,
		})
	}
	for _, f := range report.Findings {
		v.Findings = append(v.Findings, findingView{f.Severity, f.Rule, f.Where, f.Text})
	}
	return v
}

func seconds(d time.Duration) *float64 {
	if d < 0 {
		return nil
	}
	s := d.Seconds()
	return &s
}
