package hg

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/checkout"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/failure"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/store"
)

// pooledStore returns the store of the primary's repository below ShareBase. It
// is named by the first revision, as the pools of hg share and robustcheckout
// are: repositories that began as one share it, whatever their URLs.
func (r *runner) pooledStore(ctx context.Context, revision source.Revision) (string, error) {
	r.ShareBase = source.Resolve(r.ShareBase) // hg notes where links lead to
	root, err := r.findRoot(ctx, revision)
	if err != nil {
		return "", err
	}
	r.Root = root
	return filepath.Join(r.ShareBase, root), nil
}

// findRoot returns the first revision of the primary's repository: the one that
// is expected, or that an earlier run learned, which takes no network, or that
// of the first source that has the revision.
func (r *runner) findRoot(ctx context.Context, revision source.Revision) (string, error) {
	if r.Root != "" {
		return r.Root, nil
	}
	if root := r.knownRoot(); root != "" {
		return root, nil
	}
	f, err := r.fetch(ctx)
	if err != nil {
		return "", err
	}
	defer r.report.Phase("look")
	root, err := remote.First(ctx, r.remotes, store.Local, func(ctx context.Context, from *remote.Remote) (string, error) {
		if _, err := r.planFrom(ctx, from, revision); err != nil {
			if ctx.Err() == nil {
				from.Drop(err)
			}
			return "", err
		}
		return from.Root(), nil
	})
	if errors.Is(err, remote.ErrNone) {
		return "", f.Failure(revision)
	}
	if err != nil || r.readOnly {
		return root, err
	}
	return root, r.noteRoot(root)
}

// rootFile is where runs leave for others what the first revision at the
// primary's URL is.
func (r *runner) rootFile() string {
	return filepath.Join(r.ShareBase, store.Name(r.Primary)+".root")
}

func (r *runner) knownRoot() string {
	text, err := os.ReadFile(r.rootFile())
	root := strings.TrimSpace(string(text))
	if err != nil || !source.IsNode(root) {
		return ""
	}
	return root
}

func (r *runner) noteRoot(root string) error {
	if err := os.MkdirAll(r.ShareBase, 0o777); err != nil {
		return failure.New(failure.Disk, "%w", err)
	}
	temp := r.rootFile() + tempInfix + r.id[:8]
	defer func() { _ = os.Remove(temp) }() // gone if all is well
	if err := os.WriteFile(temp, []byte(root+"\n"), 0o666); err != nil {
		return failure.New(failure.Disk, "%w", err)
	}
	if err := os.Rename(temp, r.rootFile()); err != nil {
		return failure.New(failure.Disk, "%w", err)
	}
	return nil
}

// movedOn reports whether the primary has another repository than the one that
// is here, so that only Replace helps.
func (r *runner) movedOn(err error) bool {
	return err != nil && r.remotes[len(r.remotes)-1].State.State == "unrelated"
}

// startOver makes the working copy of the repository that the primary has now.
// The store of the other stays for those who use it.
func (r *runner) startOver(ctx context.Context, revision source.Revision, root string) (string, error) {
	for _, remote := range r.remotes {
		remote.Reset()
	}
	if r.ShareBase == "" {
		return r.build(ctx, revision, nil)
	}
	r.Root = root
	_ = os.Remove(r.rootFile()) // or the next write of it fails
	dir, err := r.pooledStore(ctx, revision)
	if err != nil {
		return "", err
	}
	return r.pooled(ctx, dir, checkout.Info{Kind: checkout.Strange}, revision)
}
