// Package statedir knows where redoubt keeps what outlives a run.
package statedir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Default returns $XDG_STATE_HOME/redoubt, or ~/.local/state/redoubt if that is
// not set. As the XDG Base Directory Specification demands, a relative
// XDG_STATE_HOME counts as not set.
func Default() (string, error) {
	if dir := os.Getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "redoubt"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("no directory for state: neither XDG_STATE_HOME nor HOME is set: %w", err)
	}
	if !filepath.IsAbs(home) {
		return "", errors.New("no directory for state: HOME is " + home + ", must be absolute")
	}
	return filepath.Join(home, ".local", "state", "redoubt"), nil
}

// Breakers returns the directory of shared circuits below a state directory. All
// commands have one, so that what redoubt run learns about an endpoint and what
// redoubt hg does stand side by side.
func Breakers(dir string) string { return filepath.Join(dir, "breakers") }
