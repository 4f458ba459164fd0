package loadcmd

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/stackfile"
)

// subject is the client whose place those of --target take.
const subject = "redoubt"

// aim puts the clients of --target where "redoubt" is among clients. One bears
// that name; several are named after their files.
func (o *options) aim(clients []engine.Client) ([]engine.Client, error) {
	if len(o.targetFiles) == 0 {
		return clients, nil
	}
	at := slices.IndexFunc(clients, func(c engine.Client) bool { return c.Name == subject })
	if at < 0 {
		return nil, fmt.Errorf("--target is for the client %s, which --clients does not have", subject)
	}
	var targets []engine.Client
	for _, path := range o.targetFiles {
		name := subject
		if len(o.targetFiles) > 1 {
			name = stem(path)
		}
		if slices.ContainsFunc(slices.Concat(clients[:at], clients[at+1:], targets), func(c engine.Client) bool { return c.Name == name }) {
			return nil, fmt.Errorf("--target is %q, must have a name that no other client has: %s", path, name)
		}
		file, err := stackfile.ReadFile(path)
		if err == nil {
			err = file.Check()
		}
		if err != nil {
			return nil, fmt.Errorf("--target: %w", err)
		}
		targets = append(targets, engine.Target(name, file))
	}
	return slices.Replace(clients, at, at+1, targets...), nil
}

// stem returns the name of a file without directory and extension.
func stem(path string) string {
	base := filepath.Base(path)
	return strings.TrimSuffix(base, filepath.Ext(base))
}
