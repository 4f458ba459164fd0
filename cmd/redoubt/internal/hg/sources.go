package hg

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mirror"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/store"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/statedir"
)

// BreakerName is the name of the circuits of all runs; the key is the server's
// scheme, host and port.
const BreakerName = "hg"

// connect makes the sources ready; nothing is dialled.
func (r *runner) connect() {
	r.breaker = make(map[string]*shared.Breaker)
	for _, s := range r.Mirrors {
		r.remotes = append(r.remotes, r.remote(s, false))
	}
	r.remotes = append(r.remotes, r.remote(r.Primary, true))
	r.report.Edit(func(res *report.Result) {
		for _, remote := range r.remotes {
			res.Sources = append(res.Sources, remote.State)
		}
	})
}

// begin begins to ask the source that is going to be asked first, if it is
// certain that one is: a name has to be resolved, or there is nothing here yet.
func (r *runner) begin(ctx context.Context) {
	first := r.remotes[len(r.remotes)-1]
	if r.Revision.IsHash() {
		if _, err := os.Lstat(r.Dest); err == nil || r.ShareBase != "" || r.Fastest || len(temps(r.Dest)) > 0 {
			return
		}
		r.recall(ctx)
		first = r.remotes[slices.IndexFunc(r.remotes, func(r *remote.Remote) bool { return r.Out == nil })]
	}
	r.look()
	first.Begin(ctx, r.wanted())
}

func (r *runner) disconnect() {
	for _, remote := range r.remotes {
		remote.Stop()
		if m := remote.Mirror(); m != nil {
			m.Close()
		}
		if b := r.breaker[remote.Source.Endpoint()]; b != nil && remote.State.State != "unused" {
			remote.State.After = b.State().String()
		}
	}
}

func (r *runner) remote(s source.Source, primary bool) *remote.Remote {
	c := remote.Config{
		Source: s, Primary: primary, Direct: r.Direct, Stall: max(r.Limits.Stall, r.Limits.FirstByte), Hg: r.hg, Report: r.report,
	}
	if s.Kind == source.HTTP {
		c.Mirror = r.guard(s)
	}
	return remote.New(c)
}

// guard returns the guarded server of s. Sources of one server share a breaker.
func (r *runner) guard(s source.Source) *mirror.Mirror {
	return mirror.New(mirror.Config{
		Source: s, Limits: r.Limits, Breaker: r.circuit(s),
		Attempted: r.report.Attempted, Exchanged: r.report.Exchanged,
	})
}

// circuits returns where circuits are kept.
func (r *runner) circuits() shared.Store {
	files := shared.NewFileStore(statedir.Breakers(r.StateDir))
	if r.readOnly {
		return &overlay{Store: files}
	}
	return files
}

func (r *runner) circuit(s source.Source) *shared.Breaker {
	key := s.Endpoint()
	if b := r.breaker[key]; b != nil {
		return b
	}
	b := shared.New(shared.Config{
		Name: BreakerName, Key: key, Store: r.circuits(),
		Consecutive: r.BreakerFailures, Cooldown: r.BreakerCooldown, HonorRetryAfter: true,
		Classify: mirror.BreakerOutcome,
		Logger:   slog.New(warnings{r.report, key}),
	})
	r.breaker[key] = b
	return b
}

// fetch returns what brings a revision into a repository.
func (r *runner) fetch(ctx context.Context) (*store.Fetch, error) {
	r.report.Phase("fetch")
	r.look()
	r.recall(ctx)
	if r.Fastest && !r.sorted {
		r.sortByTime(ctx)
		r.sorted = true
	}
	f := &store.Fetch{Hg: r.hg, Report: r.report, Remotes: r.remotes, Rounds: r.Rounds, Root: r.Root}
	if !r.plain {
		f.Bundles, f.Guard = r.Bundles, r.guard
	}
	return f, r.awaitBreaker(ctx)
}

// badBundle reports whether err is damage that came with a bundle in this run:
// hg believes much of what a bundle says, and finds out when it is read. From
// then on the run does without bundles.
func (r *runner) badBundle(err error) bool {
	if !damaged(err) || !r.report.BlameBundles(err.Error()) {
		return false
	}
	r.report.Warn("a bundle was bad (%v), going on without", err)
	r.plain = true
	for _, remote := range r.remotes {
		remote.Reset()
	}
	return true
}

// look notes where the circuits stand before anything is fetched.
func (r *runner) look() {
	for _, remote := range r.remotes {
		if b := r.breaker[remote.Source.Endpoint()]; b != nil && remote.State.Before == "" {
			remote.State.Before = b.State().String()
		}
	}
}

// awaitBreaker waits for the first circuit to half-open if all are open and one
// does so soon enough.
func (r *runner) awaitBreaker(ctx context.Context) error {
	soonest := time.Duration(-1)
	for _, remote := range r.remotes {
		b := r.breaker[remote.Source.Endpoint()]
		if b == nil || remote.Out != nil {
			return nil //nolint:nilerr // nobody waits for a source that is out
		}
		wait, open := openFor(ctx, b)
		if !open {
			return nil
		}
		if soonest < 0 || wait < soonest {
			soonest = wait
		}
	}
	if soonest < 0 || soonest > r.BreakerWait {
		return nil
	}
	r.report.Step("every circuit is open, waiting %v for the first", soonest.Round(time.Millisecond))
	select {
	case <-time.After(soonest + time.Millisecond):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// openFor returns how long a circuit stays open, and whether it is. One whose
// state can't be read keeps nothing shut.
func openFor(ctx context.Context, b *shared.Breaker) (time.Duration, bool) {
	circuit, err := b.Status(ctx)
	return time.Until(circuit.Until), err == nil && circuit.State == breaker.Open
}

// sortByTime puts the mirrors first that answer first. The primary stays last.
func (r *runner) sortByTime(ctx context.Context) {
	mirrors := r.remotes[:len(r.remotes)-1]
	took := make(map[*remote.Remote]time.Duration)
	for _, m := range mirrors {
		if m.Out != nil {
			continue
		}
		start := time.Now()
		if err := m.Probe(ctx, r.Root, r.wanted()); err != nil && ctx.Err() == nil {
			m.Drop(err)
		}
		took[m] = time.Since(start)
	}
	slices.SortStableFunc(mirrors, func(a, b *remote.Remote) int { return int(took[a] - took[b]) })
}

// warnings shows the one warning of a breaker whose store can't be used, and
// that a circuit opens or closes.
type warnings struct {
	report *report.Report
	server string
}

func (w warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

func (w warnings) Handle(_ context.Context, record slog.Record) error {
	attrs := make(map[string]slog.Value)
	text := record.Message
	record.Attrs(func(a slog.Attr) bool {
		attrs[a.Key] = a.Value
		text += " " + a.String()
		return true
	})
	if to, ok := attrs["to"]; ok {
		text = fmt.Sprintf("%s: circuit is %v", w.server, to)
	}
	if until, ok := attrs["cooldown"]; ok {
		text = fmt.Sprintf("%s: left alone for %v (%v)", w.server, until.Duration().Round(time.Second), attrs["class"])
	}
	if record.Level >= slog.LevelWarn {
		w.report.Warn("%s", text)
	} else {
		w.report.Detail("%s", text)
	}
	return nil
}

func (w warnings) WithAttrs([]slog.Attr) slog.Handler { return w }
func (w warnings) WithGroup(string) slog.Handler      { return w }
