package hg

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

// MemoryName is the name of the circuits that remember mirrors which are no
// source of a repository: its server may be well, and have others. The key is
// the mirror's URL and the primary's.
const MemoryName = "hg-mirror"

// memory is how long such a mirror is not asked again.
const memory = 5 * time.Minute

func (r *runner) memoryOf(s source.Source) *shared.Breaker {
	return shared.New(shared.Config{
		Name: MemoryName, Key: s.String() + " for " + r.Primary.String(), Store: r.circuits(),
		Consecutive: 1, Cooldown: memory, MaxCooldown: memory,
	})
}

// recall takes mirrors out that were found to be no source a moment ago.
func (r *runner) recall(ctx context.Context) {
	for _, mirror := range r.remotes[:len(r.remotes)-1] {
		circuit, err := r.memoryOf(mirror.Source).Status(ctx)
		if err == nil && circuit.State == breaker.Open && mirror.Out == nil {
			mirror.Drop(remote.Remembered(circuit.Opened, circuit.Until))
		}
	}
}

// remember notes what this run found out about its mirrors.
func (r *runner) remember(ctx context.Context) {
	ctx, cancel := afterwards(ctx)
	defer cancel()
	for _, mirror := range r.remotes[:len(r.remotes)-1] {
		m := r.memoryOf(mirror.Source)
		switch {
		case mirror.State.State == "ok":
			_ = m.Reset(ctx) // nothing hangs on it
		case noSource(mirror):
			_ = m.Do(ctx, func(context.Context) error { return errNoSource })
		}
	}
}

var errNoSource = errors.New("no source of the repository")

// noSource reports whether a mirror is none for reasons that waiting for a
// moment does not cure, and that are not mended by whoever runs the command.
func noSource(r *remote.Remote) bool {
	if r.Out == nil || remote.IsRemembered(r.Out) {
		return false
	}
	return r.State.State == "unrelated" || strings.Contains(r.State.Reason, http.StatusText(http.StatusNotFound)) ||
		strings.Contains(r.State.Reason, http.StatusText(http.StatusGone))
}
