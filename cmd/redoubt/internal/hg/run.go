package hg

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/checkout"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/failure"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/lock"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mercurial"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

// A BudgetError says that a run took longer than it may.
type BudgetError struct{ Budget time.Duration }

// Error tells the budget.
func (e *BudgetError) Error() string { return fmt.Sprintf("the budget of %v is used up", e.Budget) }

// Timeout reports true.
func (e *BudgetError) Timeout() bool { return true }

// Run makes the working copy. What happens goes into rep, the result too, and
// what hg says to stderr, which may be nil. An error is a *failure.Error.
func Run(ctx context.Context, o Options, rep *report.Report, stderr io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.Budget, &BudgetError{o.Budget})
	defer cancel()
	rep.Edit(func(res *report.Result) {
		res.URL, res.Dest, res.Asked, res.Verify = o.Primary.String(), o.Dest, o.Revision.String(), string(o.Verify)
	})
	ctx, span := otel.Tracer("github.com/redoubt-go/redoubt/cmd/redoubt").Start(ctx, "checkout", trace.WithAttributes(
		attribute.String("hg.url", o.Primary.String()), attribute.String("hg.revision", o.Revision.String())))
	defer span.End()
	err := run(ctx, o, rep, stderr)
	if err == nil {
		return nil
	}
	failed := failure.Of(ctx, err)
	span.SetStatus(codes.Error, failed.Error())
	span.SetAttributes(attribute.String("error.type", string(failed.Kind)))
	return failed
}

func run(ctx context.Context, o Options, rep *report.Report, stderr io.Writer) error {
	id := rand.Text()
	hg, err := mercurial.New(mercurial.Config{
		Path: o.HgPath, LockWait: o.LockWait, UserConfig: o.UserConfig, Run: id, Stderr: stderr, Ran: rep.Ran,
	})
	if err != nil {
		return err
	}
	defer hg.Close()
	r := &runner{Options: o, hg: hg, report: rep, id: id}
	r.connect()
	defer r.disconnect()
	r.begin(ctx)
	if err := r.version(ctx); err != nil {
		return err
	}
	defer r.remember(ctx)
	if r.NoUpdate {
		return r.makeStore(ctx)
	}
	if err := r.lockDest(ctx); err != nil {
		return err
	}
	defer r.dest.Release()
	return r.make(ctx)
}

// runner is a run under way.
type runner struct {
	Options

	hg      *mercurial.Hg
	report  *report.Report
	id      string
	remotes []*remote.Remote // the primary last
	breaker map[string]*shared.Breaker
	plain   bool // without bundles, as one was bad

	readOnly bool // leave the files of circuits, and of first revisions, as they are
	sorted   bool // the mirrors are, by time

	dest *lock.Lock
}

// lockDest takes the lock of the destination, beside which it makes the
// directories that lead there, and clears away what a killed run left.
func (r *runner) lockDest(ctx context.Context) error {
	r.report.Phase("lock")
	if resolved, err := filepath.EvalSymlinks(r.Dest); err == nil {
		r.Dest = resolved
	}
	if err := os.MkdirAll(filepath.Dir(r.Dest), 0o777); err != nil {
		return failure.New(failure.Disk, "%w", err)
	}
	l, err := r.lock(ctx, r.Dest+".lock", lock.Exclusive, true)
	if err != nil {
		return err
	}
	r.dest = l
	return nil
}

// lock takes a lock, saying whom it waits for. What children the last holder
// left are ended: it can't do that itself any more.
func (r *runner) lock(ctx context.Context, path string, mode lock.Mode, remove bool) (*lock.Lock, error) {
	host, _ := os.Hostname()
	l, err := lock.Acquire(ctx, lock.Request{
		Path: path, Mode: mode, Wait: r.LockWait, Remove: remove,
		Self: lock.Holder{PID: os.Getpid(), Host: host, Start: time.Now(), What: "redoubt hg " + r.Primary.String(), Run: r.id},
		Waiting: func(h lock.Holder) {
			r.report.Step("waiting for %s, held by %v", path, h)
		},
	})
	if err != nil {
		if errors.Is(err, os.ErrPermission) {
			return nil, failure.New(failure.Disk, "%w", err)
		}
		return nil, err
	}
	if n := mercurial.EndLeft(l.Left.Run); n > 0 {
		r.report.Repaired("%d processes of a run that was killed were still alive", n)
	}
	return l, nil
}

// temps returns what runs left beside path: nobody else can be using it while we
// hold the lock.
func temps(path string) []string {
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		return nil
	}
	var found []string
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), filepath.Base(path)+tempInfix) {
			found = append(found, filepath.Join(filepath.Dir(path), entry.Name()))
		}
	}
	slices.Sort(found)
	return found
}

const tempInfix = ".tmp-"

// newTemp returns a name for what is to become the destination.
func (r *runner) newTemp() string { return r.Dest + tempInfix + r.id[:8] }

// make does all the work under the destination's lock.
func (r *runner) make(ctx context.Context) error {
	r.report.Phase("look")
	info, err := r.inspect()
	if err != nil {
		return err
	}
	revision, err := r.resolve(ctx)
	if err != nil {
		return err
	}
	expected := r.Root
	node, err := r.checkout(ctx, info, revision)
	if r.movedOn(err) && r.Replace && ctx.Err() == nil {
		node, err = r.startOver(ctx, revision, expected)
	}
	if err != nil {
		return err
	}
	r.report.Edit(func(res *report.Result) { res.Got = node })
	return nil
}

// inspect looks at the destination, and refuses one that is not ours to lose.
func (r *runner) inspect() (checkout.Info, error) {
	info, err := checkout.Inspect(r.Dest)
	if err != nil {
		return info, failure.New(failure.Disk, "%w", err)
	}
	if info.Kind == checkout.Strange && !r.Replace {
		return info, failure.New(failure.Refused, "%s is %s, use --replace to lose it", r.Dest, info.What)
	}
	return info, nil
}

// checkout makes the working copy with the store that it is to have.
func (r *runner) checkout(ctx context.Context, info checkout.Info, revision source.Revision) (string, error) {
	dir, err := r.storeOf(ctx, info, revision)
	if err != nil {
		return "", err
	}
	if dir != "" {
		return r.pooled(ctx, dir, info, revision)
	}
	return r.own(ctx, info, revision)
}

// makeStore brings the revision into the shared store and looks at nothing else.
func (r *runner) makeStore(ctx context.Context) error {
	r.report.Phase("look")
	revision, err := r.resolve(ctx)
	if err != nil {
		return err
	}
	dir, err := r.pooledStore(ctx, revision)
	if err != nil {
		return err
	}
	node, err := r.stored(ctx, dir, revision)
	if err != nil {
		return err
	}
	r.report.Step("the store %s has %.12s", dir, node)
	r.report.Edit(func(res *report.Result) { res.Got = node })
	return nil
}

// storeOf returns the shared store that the destination uses, or is to use, ""
// if it has its own.
func (r *runner) storeOf(ctx context.Context, info checkout.Info, revision source.Revision) (string, error) {
	if r.ShareBase == "" {
		return info.Store, nil
	}
	wanted, err := r.pooledStore(ctx, revision)
	if err != nil || info.Kind != checkout.Repository || info.Store == wanted {
		return wanted, err
	}
	if r.Replace {
		return wanted, nil
	}
	has := "a store of its own"
	if info.Store != "" {
		has = "the store " + info.Store
	}
	return "", failure.New(failure.Refused, "%s has %s, not %s, use --replace to build it anew", r.Dest, has, wanted)
}

// version looks at hg's version, and so whether there is an hg that works,
// before anything is touched.
func (r *runner) version(ctx context.Context) error {
	version, warning, err := r.hg.Version(ctx)
	if err != nil {
		return err
	}
	if warning != "" {
		r.report.Warn("%s", warning)
	}
	r.report.Detail("Mercurial %s", version)
	return nil
}
