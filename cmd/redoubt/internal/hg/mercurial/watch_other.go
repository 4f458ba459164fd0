//go:build !linux

package mercurial

import (
	"context"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/proc"
)

// watch does nothing: there is no telling whether a process moves. The deadline
// of the run ends it.
func watch(context.Context, *proc.Process, Call, func(error)) {}

// EndLeft does nothing: there is no list of processes to look into.
func EndLeft(string) int { return 0 }
