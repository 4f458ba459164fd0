package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/bundle"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mercurial"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

// fromBundles begins an empty repository with the first bundle that is good:
// those of the user, then those that the server recommends. None is no failure,
// for a pull can do without.
func (f *Fetch) fromBundles(ctx context.Context, r *remote.Remote, repo string) error {
	if f.Guard == nil {
		return nil
	}
	bundles := append(append([]bundle.Bundle{}, f.Bundles...), r.Bundles(ctx)...)
	for _, b := range bundles {
		outcome := report.Bundle{URL: b.Source.String()}
		err := f.fromBundle(ctx, b, repo, r.Root(), &outcome)
		outcome.Used = err == nil
		if err != nil {
			outcome.Reason = reasonOf(err)
		}
		f.Report.Edit(func(res *report.Result) { res.Bundles = append(res.Bundles, outcome) })
		if err == nil {
			f.Report.Step("%s: used, %d bytes", b.Source, outcome.Bytes)
			return nil
		}
		if ctx.Err() != nil || Local(err) {
			return err
		}
		f.Report.Warn("bundle %s: %s", b.Source, outcome.Reason)
	}
	return nil
}

func reasonOf(err error) string {
	if m := remote.Verdict(err).Message; m != "" {
		return m
	}
	return err.Error()
}

// fromBundle downloads and applies one bundle.
func (f *Fetch) fromBundle(ctx context.Context, b bundle.Bundle, repo, root string, outcome *report.Bundle) error {
	file := b.Source.Path()
	if b.Source.Kind == source.HTTP {
		file = repo + ".tmp-partial"
		defer func() { _ = os.Remove(file) }()
		if err := f.download(ctx, b, file, outcome); err != nil {
			return err
		}
	} else if err := bundle.CheckFile(b); err != nil {
		return err
	}
	if err := f.Hg.Unbundle(ctx, repo, file, b.Packed); err != nil {
		return f.undone(ctx, repo, err)
	}
	_, got, err := f.Hg.Node(ctx, repo, "")
	if err != nil {
		return err
	}
	if b.SHA256 == "" {
		if err := f.inspect(ctx, repo); err != nil {
			return err
		}
	}
	if root != "" && got != root {
		if err := f.empty(ctx, repo); err != nil {
			return err
		}
		return remote.Unrelated(got, root)
	}
	return nil
}

// mostInspected is the size of a store that hg verifies in a moment.
const mostInspected = 64 << 20

// inspect has hg verify what came out of a bundle whose sum nobody knows, if
// that is small: hg takes much of a bundle on trust. In a large one damage is
// found when it is read.
func (f *Fetch) inspect(ctx context.Context, repo string) error {
	var size int64
	err := filepath.WalkDir(filepath.Join(repo, ".hg", "store"), func(_ string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	if err != nil || size > mostInspected {
		return err
	}
	if err := f.Hg.Verify(ctx, repo); err != nil {
		if ctx.Err() != nil {
			return err
		}
		if err := f.empty(ctx, repo); err != nil {
			return err
		}
		return &bundle.Error{Why: "hg verify finds damage"}
	}
	return nil
}

func (f *Fetch) download(ctx context.Context, b bundle.Bundle, file string, outcome *report.Bundle) error {
	if b.SHA256 == "" {
		_ = os.Remove(file) // what is left of another run may be of another file
	}
	m := f.Guard(b.Source)
	defer m.Close()
	f.Report.Step("%s: downloading", b.Source)
	began := time.Now()
	var err error
	outcome.Resumed, err = bundle.Download(ctx, m, b, file, func(n int64) {
		outcome.Bytes += n
		f.Report.Progress(b.Source.String(), outcome.Bytes, 0, began)
	})
	return err
}

// undone makes sure that a bundle that failed left nothing, and returns err. In
// an empty repository damage can only have come with the bundle.
func (f *Fetch) undone(ctx context.Context, repo string, err error) error {
	if ctx.Err() != nil {
		return err
	}
	hg, ok := errors.AsType[*mercurial.Failure](err)
	if !ok || hg.Verdict.Reaction == classify.Environment {
		return err
	}
	if mercurial.Abandoned(repo) {
		if err := f.Hg.Recover(ctx, repo); err != nil {
			return err
		}
	}
	_, root, look := f.Hg.Node(ctx, repo, "")
	if look != nil || root != "" {
		if err := f.empty(ctx, repo); err != nil {
			return err
		}
	}
	return &bundle.Error{Why: hg.Verdict.Message}
}

// empty makes repo, which was empty before a bundle came, empty again. Files
// beside it are not its own.
func (f *Fetch) empty(ctx context.Context, repo string) error {
	if err := os.RemoveAll(filepath.Join(repo, ".hg")); err != nil {
		return err
	}
	return f.Hg.Init(ctx, repo)
}
