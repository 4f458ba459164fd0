package checkout

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/failure"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mercurial"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
)

// Level is how closely the result is looked at.
type Level string

// The levels. Each does what the ones before it do.
const (
	None   Level = "none"   // not at all
	Normal Level = "normal" // revision, one parent, nothing modified by size and time
	Files  Level = "files"  // the content of every file
	Store  Level = "store"  // hg verify
)

// Levels are all of them.
var Levels = []Level{None, Normal, Files, Store}

// A WorkingCopy is a repository whose files are to become those of a revision.
type WorkingCopy struct {
	Path   string
	Shared bool // its store is not its own
	Hg     *mercurial.Hg
	Report *report.Report

	DiscardChanges bool // uncommitted ones, and files in the way
	DiscardCommits bool // that no source has
	Purge          bool // files that are not tracked
	Repair         bool // what is damaged
}

// mark is the file that says that an update of ours was under way, and to what.
const mark = "redoubt-updating"

// fetched is the file with the revisions that sources gave us: in repositories
// that don't publish, all are drafts, and would look like the user's own.
const fetched = "redoubt-fetched"

func (w WorkingCopy) file(name string) string { return filepath.Join(w.Path, ".hg", name) }

// Interrupted reports whether an update did not come to its end.
func (w WorkingCopy) Interrupted() bool {
	for _, name := range []string{mark, "updatestate"} {
		if _, err := os.Stat(w.file(name)); err == nil {
			return true
		}
	}
	return false
}

// At reports whether the working copy is clean and at node, so that nothing is
// to be done. From level Files on, a change counts that kept size and time.
func (w WorkingCopy) At(ctx context.Context, node string, level Level) (bool, error) {
	if w.Interrupted() {
		return false, nil
	}
	at, err := w.at(ctx, node)
	if err != nil || level != Files && level != Store {
		return at, err
	}
	if err := w.Hg.RebuildDirstate(ctx, w.Path); err != nil {
		return false, err
	}
	return w.at(ctx, node)
}

func (w WorkingCopy) at(ctx context.Context, node string) (bool, error) {
	parent, err := w.Hg.Parent(ctx, w.Path)
	return parent.Node == node && parent.Second == "" && !parent.Dirty, err
}

// Refuse returns an error that says what would be lost if the working copy were
// updated, unless all of it may be.
func (w WorkingCopy) Refuse(ctx context.Context) error {
	if !w.DiscardChanges && !w.Interrupted() {
		changed, err := w.Hg.Status(ctx, w.Path, "--modified", "--added", "--removed")
		if err != nil {
			return err
		}
		if len(changed) > 0 {
			return failure.New(failure.Refused, "%s has uncommitted changes, use --discard-changes to lose them: %s", w.Path, some(changed))
		}
	}
	if w.Shared || w.DiscardCommits {
		return nil
	}
	local, err := w.local(ctx)
	if err != nil {
		return err
	}
	if len(local) > 0 {
		return failure.New(failure.Refused, "%s has %d revisions that no source gave us, use --discard-commits to lose them: %s", w.Path, len(local), some(short(local)))
	}
	return nil
}

func (w WorkingCopy) local(ctx context.Context) ([]string, error) {
	return w.Hg.Local(ctx, w.Path, w.Fetched())
}

// Fetched returns the revisions that sources gave us.
func (w WorkingCopy) Fetched() []string {
	text, err := os.ReadFile(w.file(fetched))
	if err != nil {
		return nil
	}
	return strings.Fields(string(text))
}

// mostFetched bounds the list of fetched revisions, and so the time of a query.
const mostFetched = 50

// NoteFetched adds node to the revisions that sources gave us.
func (w WorkingCopy) NoteFetched(node string) error {
	nodes := w.Fetched()
	if slices.Contains(nodes, node) {
		return nil
	}
	nodes = append(nodes, node)
	nodes = nodes[max(0, len(nodes)-mostFetched):]
	return replaceFile(w.file(fetched), strings.Join(nodes, "\n")+"\n")
}

// some lists what fits into a message.
func some(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

func short(nodes []string) []string {
	names := make([]string, len(nodes))
	for i, node := range nodes {
		names[i] = fmt.Sprintf("%.12s", node)
	}
	return names
}

// Update makes the working copy that of node. It is repeated from where it was
// if it is interrupted.
func (w WorkingCopy) Update(ctx context.Context, node string) error {
	clean := w.DiscardChanges
	if w.Interrupted() {
		clean = true
		if err := w.finish(ctx); err != nil {
			return err
		}
		w.Report.Repaired("an interrupted update of %s", w.Path)
	}
	if w.DiscardCommits && !w.Shared {
		if err := w.discardCommits(ctx); err != nil {
			return err
		}
	}
	missing, err := w.Hg.Status(ctx, w.Path, "--deleted")
	if err != nil {
		return err
	}
	if len(missing) > 0 { // nothing is lost by bringing them back
		clean = true
	}
	if err := w.purge(ctx); err != nil {
		return err
	}
	if err := replaceFile(w.file(mark), node+"\n"); err != nil {
		return err
	}
	if err := w.update(ctx, node, clean); err != nil {
		return err
	}
	return os.Remove(w.file(mark))
}

// update updates, and says what is in the way if something is.
func (w WorkingCopy) update(ctx context.Context, node string, clean bool) error {
	err := w.Hg.Update(ctx, w.Path, node, clean)
	if f, ok := errors.AsType[*mercurial.Failure](err); ok && f.Verdict.Reaction == classify.Dirty {
		_ = os.Remove(w.file(mark)) // hg looks before it touches
		return failure.New(failure.Refused, "%s has untracked files in the way, use --purge or --discard-changes to lose them: %s", w.Path, f.Verdict.Message)
	}
	return err
}

// finish completes the update that was interrupted, so that files which it had
// written already are tracked, and not left lying about as unknown ones.
func (w WorkingCopy) finish(ctx context.Context) error {
	text, err := os.ReadFile(w.file(mark))
	if err != nil {
		return nil //nolint:nilerr // not one of ours: the next update will do
	}
	node := strings.TrimSpace(string(text))
	if found, _, err := w.Hg.Node(ctx, w.Path, node); err != nil || found == "" {
		return err
	}
	return w.Hg.Update(ctx, w.Path, node, true)
}

func (w WorkingCopy) discardCommits(ctx context.Context) error {
	local, err := w.local(ctx)
	if err != nil || len(local) == 0 {
		return err
	}
	w.Report.Deleted("%d local revisions of %s: %s", len(local), w.Path, some(short(local)))
	if parent, err := w.Hg.Parent(ctx, w.Path); err != nil || slices.Contains(local, parent.Node) {
		if err != nil {
			return err
		}
		if err := w.Hg.Update(ctx, w.Path, "p1(roots("+strings.Join(local, "+")+"))", true); err != nil {
			return err
		}
	}
	return w.Hg.Strip(ctx, w.Path, local)
}

// purge removes what is not tracked, if it may, and tells of repositories
// within, which it leaves alone.
func (w WorkingCopy) purge(ctx context.Context) error {
	if !w.Purge {
		return nil
	}
	if err := w.Hg.Purge(ctx, w.Path); err != nil {
		return err
	}
	for _, nested := range nestedRepositories(w.Path) {
		w.Report.Warn("%s is a repository within %s, and is kept", nested, w.Path)
	}
	return nil
}

func nestedRepositories(path string) []string {
	var found []string
	_ = filepath.WalkDir(path, func(name string, entry os.DirEntry, err error) error {
		if err != nil || !entry.IsDir() || name == path {
			return nil //nolint:nilerr // what can't be read is not for this to report
		}
		if entry.Name() == ".hg" {
			return filepath.SkipDir
		}
		if _, err := os.Stat(filepath.Join(name, ".hg")); err == nil {
			found = append(found, name)
			return filepath.SkipDir
		}
		return nil
	})
	return found
}

// ErrNotRight says that the working copy is not what it should be, though hg
// said that it was.
var ErrNotRight = errors.New("working copy is not what it should be")

// Verify looks whether the working copy is what it should be.
func (w WorkingCopy) Verify(ctx context.Context, node string, level Level) error {
	if level == None {
		return nil
	}
	if level == Files || level == Store {
		if err := w.Hg.RebuildDirstate(ctx, w.Path); err != nil {
			return err
		}
	}
	parent, err := w.Hg.Parent(ctx, w.Path)
	if err != nil {
		return err
	}
	switch {
	case parent.Node != node:
		return fmt.Errorf("%w: %s is at %.12s, not %.12s", ErrNotRight, w.Path, parent.Node, node)
	case parent.Second != "":
		return fmt.Errorf("%w: %s has a second parent, %.12s", ErrNotRight, w.Path, parent.Second)
	case parent.Dirty:
		return w.different(ctx)
	}
	if w.Purge {
		if err := w.onlyTracked(ctx); err != nil {
			return err
		}
	}
	if level == Store {
		return w.Hg.Verify(ctx, w.Path)
	}
	return nil
}

func (w WorkingCopy) different(ctx context.Context) error {
	files, err := w.Hg.Status(ctx, w.Path, "--modified", "--added", "--removed", "--deleted")
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: files differ in %s: %s", ErrNotRight, w.Path, some(files))
}

func (w WorkingCopy) onlyTracked(ctx context.Context) error {
	left, err := w.Hg.Status(ctx, w.Path, "--unknown", "--ignored")
	if err != nil {
		return err
	}
	if len(left) > 0 {
		return fmt.Errorf("%w: files that are not tracked are left in %s: %s", ErrNotRight, w.Path, some(left))
	}
	return nil
}
