package hg

import (
	"context"
	"errors"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/failure"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/store"
)

// resolve says what revision to get. A name means what the primary says that it
// means: a mirror may be behind.
func (r *runner) resolve(ctx context.Context) (source.Revision, error) {
	if r.Revision.IsHash() {
		return r.Revision, nil
	}
	r.report.Phase("resolve")
	defer r.report.Phase("look")
	primary := r.remotes[len(r.remotes)-1]
	node, err := r.lookup(ctx, primary)
	if err != nil && r.StaleOK && ctx.Err() == nil {
		node, err = r.resolveStale(ctx, err)
	}
	if err != nil {
		primary.Drop(err)
		if primary.State.State == remote.Unauthorized {
			return source.Revision{}, failure.New(failure.Usage, "%s wants a user and a password, which belong in ~/.netrc: %s", r.Primary, remote.Verdict(err).Message)
		}
		return source.Revision{}, r.unresolved(ctx, err)
	}
	r.report.Step("%s: %s is %.12s", r.Primary, r.name(), node)
	return source.ParseRevision("revision", node)
}

func (r *runner) name() string {
	if r.Revision.IsZero() {
		return "the tip of the default branch"
	}
	return r.Revision.String()
}

// lookup asks one source what the name means.
func (r *runner) lookup(ctx context.Context, from *remote.Remote) (string, error) {
	name := r.wanted()
	if err := from.Probe(ctx, r.Root, name); err != nil {
		return "", err
	}
	node, err := from.Lookup(ctx, name)
	if err != nil && r.Revision.IsZero() && store.Unknown(err) {
		return from.Lookup(ctx, "tip")
	}
	return node, err
}

// wanted is the revision as sources are asked for it.
func (r *runner) wanted() string {
	if r.Revision.IsZero() {
		return "default"
	}
	return r.Revision.String()
}

// resolveStale asks the mirrors, in order, as the primary gave no answer.
func (r *runner) resolveStale(ctx context.Context, because error) (string, error) {
	nobody := func(error) bool { return false } // what a mirror says is about that mirror
	node, err := remote.First(ctx, r.remotes[:len(r.remotes)-1], nobody, func(ctx context.Context, mirror *remote.Remote) (string, error) {
		node, err := r.lookup(ctx, mirror)
		if err != nil {
			mirror.Drop(err)
			return "", err
		}
		r.report.Warn("%s does not answer (%v): %s says what %s is, and may be behind", r.Primary, remote.Verdict(because).Message, mirror.Source, r.name())
		r.report.Edit(func(res *report.Result) { res.Stale = true })
		return node, nil
	})
	if err != nil {
		return "", because
	}
	return node, nil
}

// unresolved is how a run ends without knowing its revision.
func (r *runner) unresolved(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return err
	}
	if store.Unknown(err) {
		return failure.New(failure.NotFound, "%s does not know %s", r.Primary, r.name())
	}
	kind := failure.Of(ctx, err).Kind
	if errors.Is(err, breaker.ErrOpen) {
		kind = failure.Open
	} else if kind == failure.Internal || kind == failure.NotFound {
		kind = failure.Unavailable
	}
	return failure.New(kind, "%s can't say what %s is: %s", r.Primary, r.name(), remote.Verdict(err).Message)
}
