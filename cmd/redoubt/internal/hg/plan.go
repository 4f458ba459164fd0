package hg

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/checkout"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/failure"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mercurial"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

// Plan finds out what Run would do and touches nothing: no file, no lock, and of
// the servers only what tells what they are and have. The plan goes into rep.
func Plan(ctx context.Context, o Options, rep *report.Report) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.Budget, &BudgetError{o.Budget})
	defer cancel()
	rep.Edit(func(res *report.Result) {
		res.URL, res.Dest, res.Asked, res.Verify = o.Primary.String(), o.Dest, o.Revision.String(), string(o.Verify)
	})
	if err := plan(ctx, o, rep); err != nil {
		return failure.Of(ctx, err)
	}
	return nil
}

func plan(ctx context.Context, o Options, rep *report.Report) error {
	hg, err := mercurial.New(mercurial.Config{Path: o.HgPath, LockWait: o.LockWait, UserConfig: o.UserConfig, Ran: rep.Ran})
	if err != nil {
		return err
	}
	defer hg.Close()
	r := &runner{Options: o, hg: hg, report: rep, readOnly: true}
	r.connect()
	defer r.disconnect()
	if err := r.version(ctx); err != nil {
		return err
	}
	if resolved, err := filepath.EvalSymlinks(r.Dest); err == nil {
		r.Dest = resolved
	}
	return r.plan(ctx)
}

func (r *runner) say(format string, args ...any) {
	r.report.Edit(func(res *report.Result) { res.Plan = append(res.Plan, fmt.Sprintf(format, args...)) })
}

func (r *runner) plan(ctx context.Context) error {
	if r.NoUpdate {
		return r.planStore(ctx)
	}
	info, err := r.inspect()
	if err != nil {
		return err
	}
	revision, err := r.resolve(ctx)
	if err != nil {
		return err
	}
	store, err := r.storeOf(ctx, info, revision)
	if err != nil {
		return err
	}
	node, err := r.planNode(ctx, cmp.Or(store, r.Dest), revision)
	if err != nil {
		return err
	}
	r.planCheckout(info, store, node)
	return nil
}

func (r *runner) planStore(ctx context.Context) error {
	revision, err := r.resolve(ctx)
	if err != nil {
		return err
	}
	dir, err := r.pooledStore(ctx, revision)
	if err != nil {
		return err
	}
	if _, err := r.planNode(ctx, dir, revision); err != nil {
		return err
	}
	r.say("leave the working copy alone")
	return nil
}

// planNode says where the revision comes from.
func (r *runner) planNode(ctx context.Context, repo string, revision source.Revision) (node string, err error) {
	if node = r.localNode(ctx, repo, revision); node != "" {
		r.say("use revision %.12s, which is in %s; no network", node, repo)
	} else if node, err = r.planFetch(ctx, repo, revision); err != nil {
		return "", err
	}
	r.report.Edit(func(res *report.Result) { res.Got = node })
	return node, nil
}

func (r *runner) localNode(ctx context.Context, repo string, revision source.Revision) string {
	if !checkout.IsRepository(repo) {
		return ""
	}
	node, _, err := r.hg.Node(ctx, repo, revision.String())
	if err != nil {
		return ""
	}
	return node
}

// planFetch finds the source that a run would use.
func (r *runner) planFetch(ctx context.Context, repo string, revision source.Revision) (string, error) {
	f, err := r.fetch(ctx)
	if err != nil {
		return "", err
	}
	for _, from := range r.remotes {
		if from.Out != nil {
			continue
		}
		node, err := r.planFrom(ctx, from, revision)
		if err != nil {
			from.Drop(err)
			r.say("skip %s: %s", from.Source, from.State.Reason)
			continue
		}
		if !checkout.IsRepository(repo) {
			for _, b := range append(f.Bundles, from.Bundles(ctx)...) {
				r.say("try the bundle %s", b.Source)
			}
		}
		r.say("pull %.12s from %s", node, from.Source)
		from.State.State = "ok"
		r.report.Edit(func(res *report.Result) { res.Source = from.Source.String() })
		return node, nil
	}
	return "", f.Failure(revision)
}

func (r *runner) planFrom(ctx context.Context, from *remote.Remote, revision source.Revision) (string, error) {
	if err := from.Probe(ctx, r.Root, revision.String()); err != nil {
		return "", err
	}
	return from.Lookup(ctx, revision.String())
}

func (r *runner) planCheckout(info checkout.Info, store, node string) {
	switch {
	case info.Kind == checkout.Repository && info.Store == store && !r.Swap:
		if info.Parent == node {
			r.say("verify %s, which is at %.12s already", r.Dest, node)
			return
		}
		if r.Purge {
			r.say("purge %s", r.Dest)
		}
		r.say("update %s to %.12s", r.Dest, node)
	case store != "":
		r.say("build a share of %s beside %s and rename it", store, r.Dest)
	default:
		r.say("build a repository beside %s and rename it", r.Dest)
	}
	r.say("verify %s (%s)", r.Dest, r.Verify)
}
