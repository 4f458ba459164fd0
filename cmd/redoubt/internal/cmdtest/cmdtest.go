// Package cmdtest builds redoubt for the tests of its commands, which run it as
// its users do.
package cmdtest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Main is what a TestMain does: it builds redoubt, sets binary to the program's
// path, runs the tests and ends the process. The program has a directory to
// itself, which the tests may use too, and which is gone in the end.
func Main(m *testing.M, binary *string) {
	code, err := run(m, binary)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func run(m *testing.M, binary *string) (code int, err error) {
	dir, err := os.MkdirTemp("", "redoubt-test-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	*binary = filepath.Join(dir, "redoubt")
	build := exec.CommandContext(context.Background(), "go", "build", "-o", *binary, "github.com/redoubt-go/redoubt/cmd/redoubt")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return m.Run(), nil
}
