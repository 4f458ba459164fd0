package explaincmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/cmdtest"
)

// These tests run the command as it is built.

var binary string

func TestMain(m *testing.M) { cmdtest.Main(m, &binary) }

type outcome struct {
	code           int
	stdout, stderr string
}

// run runs "redoubt explain" in dir.
func run(t *testing.T, dir, stdin string, args ...string) outcome {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, append([]string{"explain"}, args...)...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if _, ok := errors.AsType[*exec.ExitError](err); !ok {
			t.Fatal(err)
		}
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

const good = `
stack:
  - timeout: 10s
  - retry: {max_attempts: 4, budget: {}}
  - timeout: 1s
`

const bad = `
stack:
  - timeout: 1s
  - retry: {max_attempts: 4, budget: {}}
  - timeout: 2s
`

func TestExplain(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{"good.yaml": good, "bad.yaml": bad, "wrong.yaml": "stack: [{timeout: 1}]\nstak: 1"}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		stdin string
		args  []string
		want  outcome
	}{
		{"good", "", []string{"good.yaml"}, outcome{0, `timeout.Limit  10s                              bounds the whole call: all attempts, and the waits between
retry.Policy   4 attempts, waits of at most 7s  repeats attempts
               on a budget
timeout.Limit  1s                               bounds each attempt

longest call   10s
most attempts  4
`, ""}},
		{"bad", "", []string{"bad.yaml"}, outcome{1, `timeout.Limit  1s                               bounds the whole call: all attempts, and the waits between
retry.Policy   4 attempts, waits of at most 7s  repeats attempts
               on a budget
timeout.Limit  2s                               bounds each attempt

longest call   1s
most attempts  4

mistakes
  bad.yaml:5: timeout.Limit(2s) inside of timeout.Limit(1s) can never expire first

notes
  bad.yaml:4: if attempts take the 2s that they may, retry.Policy does not come to all of its 4 attempts within timeout.Limit(1s)
`, ""}},
		{"stdin", "stack: [{timeout: 1s}]", []string{"-"}, outcome{0, `timeout.Limit  1s  bounds the call

longest call   1s
most attempts  1
`, ""}},
		{"wrong", "", []string{"wrong.yaml"}, outcome{2, "", `redoubt: stackfile: wrong.yaml:1:19: stack[0].timeout is 1, must be a duration such as 1.5s, above 0 and at most 24h
stackfile: wrong.yaml:2:1: stak is unknown, must be one of name, stack, http
`}},
		{"missing", "", []string{"missing.yaml"}, outcome{2, "", "redoubt: stackfile: missing.yaml: open: no such file or directory\n"}},
		{"empty", "", []string{"-"}, outcome{2, "", "redoubt: stackfile: stdin: is empty, must describe a stack\n"}},
		{"no file", "", nil, outcome{2, "", "redoubt: accepts 1 arg(s), received 0; see redoubt explain --help\n"}},
		{"unknown flag", "", []string{"--yaml", "good.yaml"}, outcome{2, "", "redoubt: unknown flag: --yaml; see redoubt explain --help\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := run(t, dir, tt.stdin, tt.args...); got != tt.want {
				t.Errorf("code %d\n%s%s\nwant %d\n%s%s", got.code, got.stdout, got.stderr, tt.want.code, tt.want.stdout, tt.want.stderr)
			}
		})
	}
}

func TestExplain_JSON(t *testing.T) {
	got := run(t, t.TempDir(), bad, "--json", "-")
	var v reportView
	if err := json.Unmarshal([]byte(got.stdout), &v); err != nil || got.code != 1 {
		t.Fatalf("code %d, %v: %s", got.code, err, got.stdout)
	}
	if len(v.Layers) != 3 || v.Layers[1].Kind != "retry" || v.Longest == nil || *v.Longest != 1 || v.MaxAttempts != 4 {
		t.Errorf("JSON: %s", got.stdout)
	}
	if f := v.Findings[len(v.Findings)-1]; f.Severity != "mistake" || f.Rule != "limit-never-expires" || f.Where != "stdin:5" {
		t.Errorf("last finding: %+v", f)
	}

	got = run(t, t.TempDir(), "stack: []", "--json", "-")
	const want = `{
  "layers": [],
  "longest": null,
  "longest_unasked": null,
  "max_attempts": 1,
  "findings": []
}
`
	if got.stdout != want || got.code != 0 {
		t.Errorf("code %d: %s", got.code, got.stdout)
	}
}
