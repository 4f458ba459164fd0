package hg

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/checkout"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/failure"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mercurial"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

// own makes a working copy with a store of its own.
func (r *runner) own(ctx context.Context, info checkout.Info, revision source.Revision) (string, error) {
	if info.Kind != checkout.Repository || info.Store != "" {
		return r.build(ctx, revision, nil)
	}
	w := r.workingCopy(r.Dest, false)
	if r.Swap {
		if err := w.Refuse(ctx); err != nil {
			return "", err
		}
		here, err := source.Repository("DEST", r.Dest)
		if err != nil {
			return "", err
		}
		return r.build(ctx, revision, r.remote(here, false))
	}
	node, err := r.renew(ctx, w, revision)
	if err == nil || ctx.Err() != nil {
		return node, err
	}
	if isRefused(err) && r.Replace {
		for _, remote := range r.remotes {
			remote.Reset()
		}
		return r.build(ctx, revision, nil)
	}
	if !damaged(err) {
		return "", err
	}
	if !r.Repair {
		return "", failure.New(failure.Damaged, "%s is damaged, use --repair to rebuild it: %v", r.Dest, err)
	}
	return r.rebuild(ctx, w, revision, err)
}

func isRefused(err error) bool {
	f, ok := errors.AsType[*failure.Error](err)
	return ok && f.Kind == failure.Refused
}

func (r *runner) workingCopy(path string, isShared bool) checkout.WorkingCopy {
	return checkout.WorkingCopy{
		Path: path, Shared: isShared, Hg: r.hg, Report: r.report,
		DiscardChanges: r.DiscardChanges, DiscardCommits: r.DiscardCommits, Purge: r.Purge, Repair: r.Repair,
	}
}

// damaged reports whether err is about damage on disk that a rebuild cures.
func damaged(err error) bool {
	if errors.Is(err, checkout.ErrNotRight) {
		return true
	}
	hg, ok := errors.AsType[*mercurial.Failure](err)
	if !ok {
		return false
	}
	switch hg.Verdict.Reaction {
	case classify.Rebuild:
		return true
	case classify.Unknown, classify.Input: // "unknown revision" of what is there
		return hg.Command == "verify"
	default:
		return false
	}
}

// renew brings the working copy at the destination to the revision.
func (r *runner) renew(ctx context.Context, w checkout.WorkingCopy, revision source.Revision) (string, error) {
	if err := r.tidy(ctx, w.Path); err != nil {
		return "", err
	}
	node, root, err := r.hg.Node(ctx, w.Path, revision.String())
	if err != nil {
		return "", err
	}
	if r.Root != "" && root != "" && root != r.Root {
		return "", failure.New(failure.Refused, "%s is another repository, its first revision is %.12s and not %.12s; use --replace to lose it", w.Path, root, r.Root)
	}
	if node != "" {
		at, err := w.At(ctx, node, r.Verify)
		if err != nil {
			return "", err
		}
		if at && !r.Purge {
			return node, r.conclude(ctx, w, node, at)
		}
	}
	if err := w.Refuse(ctx); err != nil {
		return "", err
	}
	if node == "" {
		if node, err = r.fetchInto(ctx, w.Path, revision, root); err != nil {
			return "", err
		}
	}
	if err := w.NoteFetched(node); err != nil {
		return "", err
	}
	r.report.Phase("checkout")
	if err := w.Update(ctx, node); err != nil {
		return "", err
	}
	return node, r.conclude(ctx, w, node, false)
}

// conclude verifies the working copy, unless that was just done, and notes where
// it comes from.
func (r *runner) conclude(ctx context.Context, w checkout.WorkingCopy, node string, verified bool) error {
	r.report.Phase("verify")
	if !verified || r.Verify == checkout.Files || r.Verify == checkout.Store {
		if err := w.Verify(ctx, node, r.Verify); err != nil {
			return err
		}
	}
	return checkout.SetDefaultPath(w.Path, r.Primary.Operand())
}

// tidy undoes what a killed run, or another host's hg, left in a repository
// whose lock we hold.
func (r *runner) tidy(ctx context.Context, repo string) error {
	if mercurial.ForeignStoreLock(repo) || mercurial.ForeignLock(repo) {
		if err := r.hg.FreeLocks(ctx, repo, true); err != nil {
			return err
		}
		r.report.Repaired("a lock in %s that another host's hg left", repo)
	}
	return r.recover(ctx, repo)
}

func (r *runner) recover(ctx context.Context, repo string) error {
	if !mercurial.Abandoned(repo) {
		return nil
	}
	if err := r.hg.Recover(ctx, repo); err != nil {
		return err
	}
	r.report.Repaired("a transaction that was left half done in %s", repo)
	return nil
}

// recoveries is how often a fetch goes on after a recovery.
const recoveries = 3

// fetchInto brings the revision into a repository that is ours alone. root is
// the repository's first revision, "" if it is empty.
func (r *runner) fetchInto(ctx context.Context, repo string, revision source.Revision, root string) (string, error) {
	f, err := r.fetch(ctx)
	if err != nil {
		return "", err
	}
	f.Root = cmp.Or(r.Root, root)
	for attempt := 1; ; attempt++ {
		node, err := f.Into(ctx, repo, revision)
		if err == nil {
			return node, nil
		}
		if mercurial.Abandoned(repo) {
			if after := r.recoverAfter(ctx, repo); after != nil {
				return "", errors.Join(err, after)
			}
		}
		if ctx.Err() != nil || remote.Verdict(err).Reaction != classify.Recover || attempt == recoveries {
			return "", err
		}
	}
}

// recoverAfter recovers even if the run is over, for which there is a little
// time left.
func (r *runner) recoverAfter(ctx context.Context, repo string) error {
	ctx, cancel := outlasting(ctx)
	defer cancel()
	return r.recover(ctx, repo)
}

// aLittle is what remains for putting things in order after the end.
const aLittle = 3 * time.Second

// afterwards returns a context for what must not take long, even if ctx has ended.
func afterwards(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), aLittle)
}

// outlasting returns a context that ends a little later than ctx.
func outlasting(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(aLittle, cancel) })
	return longer, func() { stop(); cancel() }
}

// build makes the working copy beside the destination and puts it in place. here
// is a repository of this machine to be asked first; it may be nil.
func (r *runner) build(ctx context.Context, revision source.Revision, here *remote.Remote) (string, error) {
	temp, err := r.adopt(ctx)
	if err != nil {
		return "", err
	}
	if here != nil {
		r.remotes = append([]*remote.Remote{here}, r.remotes...)
	}
	w := r.workingCopy(temp, false)
	node, err := r.fill(ctx, w, revision)
	if err != nil && ctx.Err() == nil && r.badBundle(err) {
		r.remove(temp)
		if err := r.hg.Init(ctx, temp); err != nil {
			return "", err
		}
		node, err = r.fill(ctx, w, revision)
	}
	if err != nil {
		r.abandon(ctx, temp, err)
		return "", err
	}
	if err := r.place(temp); err != nil {
		r.remove(temp)
		return "", err
	}
	return node, nil
}

// fill fetches, updates and verifies what is built.
func (r *runner) fill(ctx context.Context, w checkout.WorkingCopy, revision source.Revision) (string, error) {
	node, root, err := r.hg.Node(ctx, w.Path, revision.String())
	if err != nil {
		return "", err
	}
	if node == "" {
		if node, err = r.fetchInto(ctx, w.Path, revision, root); err != nil {
			return "", err
		}
	}
	r.report.Phase("checkout")
	if err := w.NoteFetched(node); err != nil {
		return "", err
	}
	if err := r.hg.Update(ctx, w.Path, node, true); err != nil {
		return "", err
	}
	return node, r.conclude(ctx, w, node, false)
}

// adopt returns a repository beside the destination: one that an earlier run
// began, if it is sound, so that what it fetched is not fetched again, or else a
// new one. All others are removed.
func (r *runner) adopt(ctx context.Context) (string, error) {
	adopted := ""
	for _, temp := range temps(r.Dest) {
		if adopted == "" && r.sound(ctx, temp) {
			adopted = temp
			continue
		}
		r.remove(temp)
	}
	if adopted != "" {
		r.report.Repaired("going on with %s, which an earlier run left", adopted)
		return adopted, nil
	}
	temp := r.newTemp()
	if err := r.hg.Init(ctx, temp); err != nil {
		r.remove(temp)
		return "", err
	}
	return temp, nil
}

// sound reports whether a repository that an earlier run left can be gone on
// with: its own store, nothing but that, and a first revision.
func (r *runner) sound(ctx context.Context, temp string) bool {
	info, err := checkout.Inspect(temp)
	if err != nil || info.Kind != checkout.Repository || info.Store != "" || !checkout.IsRepository(temp) {
		return false
	}
	if r.tidy(ctx, temp) != nil {
		return false
	}
	_, root, err := r.hg.Node(ctx, temp, "")
	return err == nil && root != "" && (r.Root == "" || r.Root == root)
}

// abandon gives up what was being built. What holds revisions is left for the
// next run to go on with, unless the disk needs the room.
func (r *runner) abandon(ctx context.Context, temp string, err error) {
	switch failure.Of(ctx, err).Kind {
	case failure.Unavailable, failure.Deadline, failure.Interrupted:
		if _, err := os.Stat(filepath.Join(temp, ".hg", "store", "00changelog.i")); err == nil {
			r.report.Step("what was fetched so far is kept in %s for the next run", temp)
			return
		}
	}
	r.remove(temp)
}

// place puts what was built where it belongs.
func (r *runner) place(temp string) error {
	before, err := checkout.Inspect(r.Dest)
	if err != nil {
		return err
	}
	if err := checkout.Place(temp, r.Dest); err != nil {
		return failure.New(failure.Disk, "%w", err)
	}
	if before.Kind != checkout.Absent {
		r.report.Deleted("what was at %s before", r.Dest)
	}
	return nil
}

func (r *runner) remove(path string) {
	if err := os.RemoveAll(path); err != nil {
		r.report.Warn("%v", err)
	}
}

// rebuild fetches a damaged repository anew, beside it, and exchanges the two
// ".hg" directories, so that files that are not tracked stay.
func (r *runner) rebuild(ctx context.Context, w checkout.WorkingCopy, revision source.Revision, because error) (string, error) {
	if err := w.Refuse(ctx); isRefused(err) { // if it can be told at all
		return "", err
	}
	r.report.Step("%s is damaged (%v), rebuilding it", w.Path, because)
	temp, err := r.adopt(ctx)
	if err != nil {
		return "", err
	}
	defer r.remove(temp)
	node, err := r.fetchInto(ctx, temp, revision, "")
	if err != nil {
		return "", err
	}
	if err := checkout.Place(filepath.Join(temp, ".hg"), filepath.Join(w.Path, ".hg")); err != nil {
		return "", failure.New(failure.Disk, "%w", err)
	}
	r.report.Repaired("the store of %s was fetched anew: %v", w.Path, because)
	r.report.Phase("checkout")
	if err := w.NoteFetched(node); err != nil {
		return "", err
	}
	if err := r.hg.Update(ctx, w.Path, node, true); err != nil {
		return "", err
	}
	return node, r.conclude(ctx, w, node, false)
}
