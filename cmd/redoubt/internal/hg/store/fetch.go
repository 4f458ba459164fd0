// Package store fills repositories: from bundles, by a whole pull, or in steps
// where a connection doesn't last for the whole.
//
// A repository is made by "hg init" and pulls, never by "hg clone": each pull is
// a transaction that stays, so that a failure costs one step and not all.
package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/bundle"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/failure"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mercurial"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mirror"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/remote"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/wire"
)

// Fetch brings a revision into a repository. All fields are needed but those
// that say otherwise.
type Fetch struct {
	Hg      *mercurial.Hg
	Report  *report.Report
	Remotes []*remote.Remote // in the order in which to ask them
	Rounds  int              // over the sources that broke off

	// Bundles are tried first if the repository is empty. There may be none.
	Bundles []bundle.Bundle

	// Guard returns the guarded server of a bundle. Nil means that no bundles
	// are to be used, those that a server recommends neither.
	Guard func(source.Source) *mirror.Mirror

	// Root is the hash of the first revision that the repository must have,
	// "" if any will do.
	Root string

	bundled bool
	round   int  // over the sources, from 0
	last    bool // the source at hand will not be asked again, or is the only one
}

// Local reports whether err is about what is on disk here, so that no other
// source can help.
func Local(err error) bool {
	switch remote.Verdict(err).Reaction {
	case classify.Environment, classify.Recover, classify.Rebuild, classify.Locked:
		return true
	default:
		return false
	}
}

// Into brings revision into repo, which exists, and returns its full hash. An
// error about what is on disk is returned as it is, for the caller to repair;
// all others are an *failure.Error.
func (f *Fetch) Into(ctx context.Context, repo string, revision source.Revision) (string, error) {
	for f.round = range max(f.Rounds, 1) {
		node, err := remote.First(ctx, f.Remotes, Local, func(ctx context.Context, r *remote.Remote) (string, error) {
			return f.ask(ctx, r, repo, revision)
		})
		if !errors.Is(err, remote.ErrNone) {
			return node, err
		}
		if !slices.ContainsFunc(f.Remotes, func(r *remote.Remote) bool { return r.Out == nil }) {
			break
		}
	}
	return "", f.Failure(revision)
}

// ask brings revision from one source, which is out if it can't, unless what
// broke off may do better in another round.
func (f *Fetch) ask(ctx context.Context, r *remote.Remote, repo string, revision source.Revision) (string, error) {
	final := f.round+1 == max(f.Rounds, 1)
	f.last = final || f.alone(r)
	node, err := f.from(ctx, r, repo, revision)
	switch {
	case err == nil:
		r.State.State = "ok"
		f.Report.Edit(func(res *report.Result) { res.Source = r.Source.String() })
	case ctx.Err() != nil || Local(err):
	case errors.Is(err, errTransfer) && !final:
		f.Report.Step("%s: gave up for now: %s", r.Source, remote.Verdict(err).Message)
	default:
		r.Drop(err)
	}
	return node, err
}

// errTransfer marks failures of a source that answers but breaks off.
var errTransfer = errors.New("transfer failed")

// from brings revision from one source.
func (f *Fetch) from(ctx context.Context, r *remote.Remote, repo string, revision source.Revision) (string, error) {
	if err := r.Probe(ctx, f.Root, revision.String()); err != nil {
		return "", err
	}
	node, err := r.Lookup(ctx, revision.String())
	if err != nil {
		return "", err
	}
	if !revision.Is(node) { // a branch or tag that looks like a hash
		return "", fmt.Errorf("%w: %s is the name of %.12s there", wire.ErrUnknownRevision, revision, node)
	}
	if err := f.pull(ctx, r, repo, node); err != nil {
		return "", err
	}
	got, root, err := f.Hg.Node(ctx, repo, node)
	if err != nil {
		return "", err
	}
	if got != node || root != r.Root() {
		return "", fmt.Errorf("after the pull %.12s is not there, or the first revision is %.12s", node, root)
	}
	return node, nil
}

// pull brings node by the shortest way that works.
func (f *Fetch) pull(ctx context.Context, r *remote.Remote, repo, node string) error {
	_, root, err := f.Hg.Node(ctx, repo, "")
	if err != nil {
		return err
	}
	if root == "" && !f.bundled {
		f.bundled = true
		if err := f.fromBundles(ctx, r, repo); err != nil {
			return err
		}
	}
	f.Report.Step("%s: pulling %.12s", r.Source, node)
	err = r.Pull(ctx, repo, node)
	if err == nil || ctx.Err() != nil || Local(err) || !broken(err) {
		return err
	}
	if err := settle(repo); err != nil {
		return err
	}
	if !f.stepping(err) {
		return fmt.Errorf("%w: %w", errTransfer, err)
	}
	f.Report.Step("%s: %s; going on in steps", r.Source, remote.Verdict(err).Message)
	if err := f.steps(ctx, r, repo, node); err != nil {
		if ctx.Err() != nil || Local(err) || !broken(err) {
			return err
		}
		return fmt.Errorf("%w: %w", errTransfer, err)
	}
	return nil
}

// broken reports whether a transfer broke off, so that a shorter one may not.
func broken(err error) bool {
	r := remote.Verdict(err).Reaction
	return r == classify.Retry || r == classify.Unknown || r == classify.Wait
}

// stepping reports whether shorter transfers may do where one broke off. One
// that was too slow stays so; and silence costs so much time that another source
// is tried first, if there is one.
func (f *Fetch) stepping(err error) bool {
	if _, slow := errors.AsType[*mirror.RateError](err); slow {
		return false
	}
	var timeout interface{ Timeout() bool }
	return f.last || !errors.As(err, &timeout) || !timeout.Timeout()
}

// alone reports whether r is the only source that is left.
func (f *Fetch) alone(r *remote.Remote) bool {
	for _, other := range f.Remotes {
		if other != r && other.Out == nil {
			return false
		}
	}
	return true
}

// settle returns an error if hg, which was ended, left a transaction half done.
// To undo it takes more locks than we have; the caller sees to that.
func settle(repo string) error {
	if mercurial.Abandoned(repo) {
		return &mercurial.Failure{Command: "pull", Verdict: classify.Verdict{
			Reaction: classify.Recover, Message: "abandoned transaction found",
		}}
	}
	return nil
}

// Failure says why no source could help.
func (f *Fetch) Failure(revision source.Revision) error {
	counts := make(map[string]int)
	var text strings.Builder
	locked := false
	for _, r := range f.Remotes {
		counts[r.State.State]++
		locked = locked || r.State.Primary && r.State.State == remote.Unauthorized
		fmt.Fprintf(&text, "\n  %s: %s", r.Source, r.State.State)
		if r.State.Reason != "" {
			text.WriteString(": " + r.State.Reason)
		}
	}
	all := len(f.Remotes)
	switch {
	case counts["untrusted"] > 0:
		return failure.New(failure.Security, "a source is not who it should be%s%s", hint(text.String()), text.String())
	case locked:
		return failure.New(failure.Usage, "%s%s", Login(f.Remotes[len(f.Remotes)-1].Source), text.String())
	case counts["stale"]+counts["empty"] > 0 && counts["stale"]+counts["empty"]+counts["unrelated"]+counts["foreign"] == all:
		return failure.New(failure.NotFound, "no source has revision %s%s", revision, text.String())
	case counts["open"] == all:
		return failure.New(failure.Open, "the circuit of every source is open, nothing was dialled%s", text.String())
	case counts["unrelated"] == all:
		return failure.New(failure.Refused, "every source is another repository than the one that is here, use --replace to lose that%s", text.String())
	default:
		return failure.New(failure.Unavailable, "no source could be used%s", text.String())
	}
}

// Login says what a source wants that does not let us in.
func Login(s source.Source) string {
	if s.Kind == source.SSH {
		return s.String() + " does not accept our ssh key"
	}
	return s.String() + " wants a user and a password, which belong in ~/.netrc"
}

// hint says what helps if it is only that a certificate's authority is not known
// here.
func hint(text string) string {
	if !strings.Contains(text, "certificate") {
		return ""
	}
	return "; an authority of your own belongs in the file that SSL_CERT_FILE names"
}
