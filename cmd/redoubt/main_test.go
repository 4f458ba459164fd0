package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		{nil, 0, "Usage:", ""},
		{[]string{"--help"}, 0, "Examples:", ""},
		{[]string{"version"}, 0, "redoubt ", ""},
		{[]string{"--version"}, 0, "redoubt ", ""},
		{[]string{"version", "x"}, 2, "", `redoubt: unknown command "x" for "redoubt version"`},
		{[]string{"rum"}, 2, "", `redoubt: unknown command "rum", did you mean run?; see redoubt --help`},
		{[]string{"breaker"}, 0, "redoubt breaker status", ""},
		{[]string{"breaker", "rest", "x"}, 2, "", `redoubt: unknown command "rest", did you mean reset?; see redoubt breaker --help`},
		{[]string{"report", "nonsense"}, 2, "", `redoubt: unknown command "nonsense"; see redoubt report --help`},
		{[]string{"completion", "nonsense"}, 2, "", `redoubt: unknown command "nonsense"; see redoubt completion --help`},
		{[]string{"hg"}, 2, "", "redoubt: URL is missing; see redoubt hg --help"},
		{[]string{"hg", "http://h/r", "d", "e"}, 2, "", `redoubt: "e" is one too many after URL and DEST; see redoubt hg --help`},
		{[]string{"__complete", "hg", "--verify", ""}, 0, "none\nnormal\nfiles\nstore\n", ""},
		{[]string{"__complete", "hg", "--prefer", ""}, 0, "given\nfastest\n", ""},
		{[]string{"__complete", "run", "--stdin", ""}, 0, "pass\nreplay\nnull\n", ""},
		{[]string{"--nonsense"}, 2, "", "redoubt: unknown flag: --nonsense; see redoubt --help"},
		{[]string{"completion", "bash"}, 0, "__start_redoubt", ""},
		{[]string{"completion", "zsh"}, 0, "#compdef redoubt", ""},
		{[]string{"completion", "fish"}, 0, "complete -c redoubt", ""},
		{[]string{"__complete", "run", "--retry-o"}, 0, "--retry-on-exit", ""},
		{[]string{"help", "run"}, 0, "Exit codes:", ""},
	} {
		t.Run(strings.Join(tt.args, " "), func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(append([]string{}, tt.args...), &stdout, &stderr)
			if code != tt.code || !strings.Contains(stdout.String(), tt.stdout) || !strings.Contains(stderr.String(), tt.stderr) {
				t.Errorf("exit code %d, want %d; stdout %.300q, stderr %q", code, tt.code, &stdout, &stderr)
			}
			if tt.code != 0 && stdout.Len() > 0 {
				t.Errorf("stdout of a mistake: %s", &stdout)
			}
		})
	}
}

// Every command says what it is for, and shows it.
func TestHelp(t *testing.T) {
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Name() == "help" || cmd.Name() == "completion" || cmd.Hidden {
			return // cobra's own
		}
		if cmd.Short == "" || cmd.Runnable() && cmd.Example == "" {
			t.Errorf("%s: no short description or no example", cmd.CommandPath())
		}
		if strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short description ends with a period", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(newRoot(nil, nil))
}
