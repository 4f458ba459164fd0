package hg

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/checkout"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/failure"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/lock"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mercurial"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

// A pool is a store that several working copies share, with its locks.
//
// STORE.lock is held Shared by whoever uses the store, and Exclusive only to
// recover or replace it, so that nothing is ever taken from under a neighbour.
// STORE.write is held by the one who pulls. Nobody waits for STORE.write while
// holding STORE.lock: the one who pulls may need that to itself.
type pool struct {
	*runner

	dir   string
	write *lock.Lock
	use   *lock.Lock
}

// pooled makes a working copy that shares a store.
func (r *runner) pooled(ctx context.Context, dir string, info checkout.Info, revision source.Revision) (string, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return "", failure.New(failure.Disk, "%w", err)
	}
	p := &pool{runner: r, dir: dir}
	defer p.release()
	for attempt := 1; ; attempt++ {
		node, err := p.ready(ctx, revision)
		if err != nil {
			return "", err
		}
		err = p.checkout(ctx, info, node)
		if err == nil || ctx.Err() != nil {
			return node, err
		}
		if !damaged(err) {
			return "", err
		}
		if !r.badBundle(err) && !r.Repair {
			return "", failure.New(failure.Damaged, "%s or its store %s is damaged, use --repair to rebuild them: %v", r.Dest, dir, err)
		}
		if attempt > 1 {
			return "", err
		}
		if info, err = p.repair(ctx, info, revision, err); err != nil {
			return "", err
		}
	}
}

// stored brings the revision into a shared store, and nothing else.
func (r *runner) stored(ctx context.Context, dir string, revision source.Revision) (string, error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o777); err != nil {
		return "", failure.New(failure.Disk, "%w", err)
	}
	p := &pool{runner: r, dir: dir}
	defer p.release()
	node, err := p.ready(ctx, revision)
	if err != nil || r.Verify != checkout.Store {
		return node, err
	}
	r.report.Phase("verify")
	broken := p.hg.Verify(ctx, dir)
	switch {
	case broken == nil:
		return node, nil
	case !damaged(broken):
		return "", broken
	case !r.Repair:
		return "", failure.New(failure.Damaged, "the store %s is damaged, use --repair to rebuild it: %v", dir, broken)
	}
	if _, err := p.repair(ctx, checkout.Info{}, revision, broken); err != nil {
		return "", err
	}
	if err := p.share(ctx); err != nil {
		return "", err
	}
	return node, p.hg.Verify(ctx, dir)
}

func (p *pool) release() {
	p.use.Release()
	p.write.Release()
}

// ready returns once the store has the revision and we hold its lock Shared.
func (p *pool) ready(ctx context.Context, revision source.Revision) (string, error) {
	if err := p.share(ctx); err != nil {
		return "", err
	}
	if node, err := p.look(ctx, revision); err == nil && node != "" {
		return node, nil
	}
	p.use.Release()
	var err error
	if p.write, err = p.lock(ctx, p.dir+".write", lock.Exclusive, false); err != nil {
		return "", err
	}
	defer func() { p.write.Release() }()
	for _, temp := range temps(p.dir) { // of runs that were killed
		p.remove(temp)
	}
	for attempt := 1; ; attempt++ {
		node, err := p.fill(ctx, revision)
		if err == nil || ctx.Err() != nil || attempt == recoveries {
			return node, err
		}
		switch {
		case remote.Verdict(err).Reaction == classify.Recover:
		case damaged(err) && (p.badBundle(err) || p.Repair):
			if err := p.replace(ctx, revision, err); err != nil {
				return "", err
			}
		case damaged(err):
			return "", failure.New(failure.Damaged, "the store %s is damaged, use --repair to rebuild it: %v", p.dir, err)
		default:
			return "", err
		}
	}
}

// share takes the store's lock as one of many.
func (p *pool) share(ctx context.Context) error {
	p.use.Release()
	var err error
	p.use, err = p.lock(ctx, p.dir+".lock", lock.Shared, false)
	return err
}

// alone takes the store's lock for us only. Whoever uses the store is waited
// for.
func (p *pool) alone(ctx context.Context) error {
	p.use.Release()
	var err error
	p.use, err = p.lock(ctx, p.dir+".lock", lock.Exclusive, false)
	return err
}

// look returns the full hash if the store has the revision, "" if it has not or
// if it is in no state to be asked.
func (p *pool) look(ctx context.Context, revision source.Revision) (string, error) {
	if !checkout.IsRepository(p.dir) || mercurial.Abandoned(p.dir) {
		return "", nil
	}
	node, root, err := p.hg.Node(ctx, p.dir, revision.String())
	if err == nil && p.Root != "" && root != "" && root != p.Root {
		return "", failure.New(failure.Refused, "the store %s is another repository, its first revision is %.12s", p.dir, root)
	}
	return node, err
}

// fill brings the revision into the store, whose write lock we hold, and leaves
// us with the lock Shared.
func (p *pool) fill(ctx context.Context, revision source.Revision) (string, error) {
	if err := p.prepare(ctx); err != nil {
		return "", err
	}
	if err := p.share(ctx); err != nil {
		return "", err
	}
	if node, err := p.look(ctx, revision); err != nil || node != "" {
		return node, err
	}
	f, err := p.fetch(ctx)
	if err != nil {
		return "", err
	}
	node, err := f.Into(ctx, p.dir, revision)
	if err != nil && mercurial.Abandoned(p.dir) {
		if after := p.recoverAfter(ctx); after != nil {
			return "", errors.Join(err, after)
		}
	}
	return node, err
}

// prepare makes the store if there is none, and recovers it if it needs that.
func (p *pool) prepare(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(p.dir, ".hg")); errors.Is(err, os.ErrNotExist) {
		return p.create(ctx)
	}
	if !mercurial.Abandoned(p.dir) && !mercurial.ForeignStoreLock(p.dir) {
		return nil
	}
	if err := p.alone(ctx); err != nil {
		return err
	}
	defer p.use.Release()
	return p.tidy(ctx, p.dir)
}

func (p *pool) recoverAfter(ctx context.Context) error {
	soon, cancel := afterwards(ctx)
	defer cancel()
	if err := p.alone(soon); err != nil { // whoever comes next recovers the store
		return err
	}
	defer p.use.Release()
	return p.runner.recoverAfter(ctx, p.dir)
}

// create makes an empty store, in one step.
func (p *pool) create(ctx context.Context) error {
	temp := p.dir + tempInfix + p.id[:8]
	defer p.remove(temp)
	if err := p.hg.Init(ctx, temp); err != nil {
		return err
	}
	_ = os.Remove(p.dir) // a directory that somebody emptied
	return os.Rename(temp, p.dir)
}

// replace fetches a damaged store anew, beside it, and exchanges the two. Our
// write lock keeps others from pulling meanwhile, and the exclusive one from
// using what goes away.
func (p *pool) replace(ctx context.Context, revision source.Revision, because error) error {
	p.report.Step("the store %s is damaged (%v), rebuilding it", p.dir, because)
	temp := p.dir + tempInfix + p.id[:8]
	defer p.remove(temp)
	if err := p.hg.Init(ctx, temp); err != nil {
		return err
	}
	if _, err := p.fetchInto(ctx, temp, revision, ""); err != nil {
		return err
	}
	if err := p.alone(ctx); err != nil {
		return err
	}
	defer p.use.Release()
	if err := checkout.Place(temp, p.dir); err != nil {
		return failure.New(failure.Disk, "%w", err)
	}
	p.report.Repaired("the store %s was fetched anew: %v", p.dir, because)
	return nil
}

// checkout makes or renews the destination, a share of the store.
func (p *pool) checkout(ctx context.Context, info checkout.Info, node string) error {
	if info.Kind != checkout.Repository || info.Store != p.dir || p.Swap {
		return p.build(ctx, info, node)
	}
	w := p.workingCopy(p.Dest, true)
	if mercurial.ForeignLock(p.Dest) {
		if err := p.hg.FreeLocks(ctx, p.Dest, false); err != nil {
			return err
		}
		p.report.Repaired("a lock in %s that another host's hg left", p.Dest)
	}
	p.report.Phase("checkout")
	at, err := w.At(ctx, node, p.Verify)
	if err != nil {
		return err
	}
	if at && !p.Purge {
		return p.conclude(ctx, w, node, at)
	}
	if err := w.Refuse(ctx); err != nil {
		return err
	}
	if err := w.Update(ctx, node); err != nil {
		return err
	}
	return p.conclude(ctx, w, node, false)
}

// build makes the destination beside its place.
func (p *pool) build(ctx context.Context, info checkout.Info, node string) error {
	if info.Kind == checkout.Repository && info.Store == p.dir {
		if err := p.workingCopy(p.Dest, true).Refuse(ctx); err != nil {
			return err
		}
	}
	return p.anew(ctx, node)
}

func (p *pool) anew(ctx context.Context, node string) error {
	p.report.Phase("checkout")
	for _, temp := range temps(p.Dest) {
		p.remove(temp)
	}
	temp := p.newTemp()
	defer p.remove(temp)
	if err := p.hg.Share(ctx, p.dir, temp); err != nil {
		return err
	}
	w := p.workingCopy(temp, true)
	if err := p.hg.Update(ctx, temp, node, true); err != nil {
		return err
	}
	if err := p.conclude(ctx, w, node, false); err != nil {
		return err
	}
	return p.place(temp)
}

// repair rebuilds what is damaged: the store if hg verify says so, and otherwise
// the working copy.
func (p *pool) repair(ctx context.Context, info checkout.Info, revision source.Revision, because error) (checkout.Info, error) {
	if info.Kind == checkout.Repository {
		if err := p.workingCopy(p.Dest, true).Refuse(ctx); isRefused(err) { // if it can be told at all
			return info, err
		}
	}
	p.use.Release()
	var err error
	if p.write, err = p.lock(ctx, p.dir+".write", lock.Exclusive, false); err != nil {
		return info, err
	}
	defer p.write.Release()
	if err := p.share(ctx); err != nil {
		return info, err
	}
	if broken := p.hg.Verify(ctx, p.dir); broken != nil {
		return info, p.replace(ctx, revision, broken)
	}
	p.report.Repaired("the working copy %s was made anew: %v", p.Dest, because)
	p.report.Edit(func(res *report.Result) { res.Deleted = append(res.Deleted, "the working copy "+p.Dest) })
	return checkout.Info{Kind: checkout.Strange}, nil
}
