package mercurial

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
)

// The oldest Mercurial that will do, and the oldest that this was tried with.
const (
	oldestVersion = 4.9
	triedVersion  = 5.2
)

// Version returns hg's version, and a warning if it is older than what was
// tried. An hg that is too old, or none, is a *MissingError.
func (h *Hg) Version(ctx context.Context) (version, warning string, err error) {
	out, err := h.Run(ctx, Call{Args: []string{"version", "--template={ver}"}, Phase: classify.Work})
	if err != nil {
		return "", "", &MissingError{Path: h.path, Why: err.Error()}
	}
	number, ok := parseVersion(out)
	switch {
	case !ok:
		return "", "", &MissingError{Path: h.path, Why: fmt.Sprintf("not Mercurial, its version is %.40q", out)}
	case number < oldestVersion:
		return "", "", &MissingError{Path: h.path, Why: "Mercurial " + out + " is too old, must be 4.9 or later"}
	case number < triedVersion:
		warning = "Mercurial " + out + " is older than 5.2, with which nothing was tried"
	}
	return out, warning, nil
}

// parseVersion reads "6.3.2" and "6.5rc0+20-abc" as 6.3 and 6.5, and 5.10 as
// later than 5.9.
func parseVersion(text string) (float64, bool) {
	major, rest, _ := strings.Cut(strings.TrimSpace(text), ".")
	m, err := strconv.Atoi(major)
	if err != nil {
		return 0, false
	}
	digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
	minor, _ := strconv.Atoi(rest[:digits])
	return float64(m) + float64(min(minor, 9))/10, true
}

// Init makes an empty repository, and the directories above it.
func (h *Hg) Init(ctx context.Context, repo string) error {
	_, err := h.Run(ctx, Call{Args: []string{"init", "--", repo}, Phase: classify.Work})
	return err
}

// Node returns the hash of the revision that begins with prefix, and that of
// the repository's first revision. Either is "" if there is none.
func (h *Hg) Node(ctx context.Context, repo, prefix string) (node, root string, err error) {
	revset := "0"
	if prefix != "" {
		revset = "id(" + prefix + ")+0"
	}
	out, err := h.Run(ctx, Call{
		Repo:  repo,
		Args:  []string{"log", "--template={rev} {node}\\n", "--rev=present(" + revset + ")"},
		Phase: classify.Work,
	})
	if err != nil {
		return "", "", err
	}
	for line := range strings.Lines(out) {
		rev, hash, _ := strings.Cut(strings.TrimSpace(line), " ")
		if rev == "0" {
			root = hash
		}
		if prefix != "" && strings.HasPrefix(hash, prefix) {
			node = hash
		}
	}
	return node, root, nil
}

// A Parent is what a working copy is based on.
type Parent struct {
	Node   string
	Second string // of a merge, else ""
	Dirty  bool   // a tracked file differs
}

// Parent returns what repo's working copy is based on and whether it is clean.
func (h *Hg) Parent(ctx context.Context, repo string) (Parent, error) {
	out, err := h.Run(ctx, Call{
		Repo:  repo,
		Args:  []string{"identify", "--template={dirty}{parents % ' {node}'}"},
		Phase: classify.Work,
	})
	if err != nil {
		return Parent{}, err
	}
	dirty, nodes, _ := strings.Cut(out, " ")
	p := Parent{Dirty: strings.Contains(dirty, "+")}
	fields := strings.Fields(nodes)
	if len(fields) > 0 {
		p.Node = fields[0]
	}
	if len(fields) > 1 {
		p.Second = fields[1]
	}
	return p, nil
}

// Status returns the files of a working copy in the given states, such as
// "--modified", each as "M name".
func (h *Hg) Status(ctx context.Context, repo string, states ...string) ([]string, error) {
	out, err := h.Run(ctx, Call{
		Repo:  repo,
		Args:  append([]string{"status", "--print0"}, states...),
		Phase: classify.Work,
	})
	if err != nil {
		return nil, err
	}
	var files []string
	for name := range strings.SplitSeq(out, "\x00") {
		if name != "" {
			files = append(files, name)
		}
	}
	return files, nil
}

// Local returns the hashes of revisions that no source has given us: neither
// public nor an ancestor of fetched.
func (h *Hg) Local(ctx context.Context, repo string, fetched []string) ([]string, error) {
	out, err := h.Run(ctx, Call{
		Repo:  repo,
		Args:  []string{"log", "--template={node}\\n", "--rev=" + localRevset(fetched)},
		Phase: classify.Work,
	})
	if err != nil {
		return nil, err
	}
	return strings.Fields(out), nil
}

func localRevset(fetched []string) string {
	var revset strings.Builder
	revset.WriteString("not public()")
	for _, node := range fetched {
		revset.WriteString(" and not ::present(" + node + ")")
	}
	return revset.String()
}

// Strip removes local revisions for good.
func (h *Hg) Strip(ctx context.Context, repo string, nodes []string) error {
	args := []string{"strip", "--no-backup", "--force", "--keep"}
	for _, node := range nodes {
		args = append(args, "--rev="+node)
	}
	_, err := h.Run(ctx, Call{Repo: repo, Args: args, Phase: classify.Work})
	return err
}

// Update makes repo's working copy that of node. Clean discards what differs.
func (h *Hg) Update(ctx context.Context, repo, node string, clean bool) error {
	args := []string{"update", "--rev=" + node}
	if clean {
		args = append(args, "--clean")
	}
	_, err := h.Run(ctx, Call{Repo: repo, Args: args, Phase: classify.Work})
	return err
}

// Purge removes all files that are not tracked, ignored ones too, and empty
// directories. Repositories within are kept.
func (h *Hg) Purge(ctx context.Context, repo string) error {
	_, err := h.Run(ctx, Call{Repo: repo, Args: []string{"purge", "--all"}, Phase: classify.Work})
	return err
}

// Share makes dest a working copy of the store, without files yet.
func (h *Hg) Share(ctx context.Context, store, dest string) error {
	_, err := h.Run(ctx, Call{Args: []string{"share", "--noupdate", "--", store, dest}, Phase: classify.Work})
	return err
}

// Recover undoes what a killed hg left half done. None to undo is no failure.
func (h *Hg) Recover(ctx context.Context, repo string) error {
	_, err := h.Run(ctx, Call{Repo: repo, Args: []string{"recover"}, Phase: classify.Work})
	if statusOf(err) == 1 && !Abandoned(repo) {
		return nil
	}
	return err
}

// Verify has hg check the whole store.
func (h *Hg) Verify(ctx context.Context, repo string) error {
	_, err := h.Run(ctx, Call{Repo: repo, Args: []string{"verify", "--quiet"}, Phase: classify.Work})
	return err
}

// RebuildDirstate has hg read every file again, so that it sees changes that
// kept size and time.
func (h *Hg) RebuildDirstate(ctx context.Context, repo string) error {
	_, err := h.Run(ctx, Call{Repo: repo, Args: []string{"debugrebuilddirstate"}, Phase: classify.Work})
	return err
}

// Abandoned reports whether a transaction was left half done in repo.
func Abandoned(repo string) bool {
	_, err := os.Lstat(filepath.Join(repo, ".hg", "store", "journal"))
	return err == nil
}

// ForeignStoreLock reports whether hg's own lock of repo's store is held by a
// process of another host or process namespace, which hg would wait for in vain:
// nobody can see whether it lives.
func ForeignStoreLock(repo string) bool {
	return foreignLock(filepath.Join(repo, ".hg", "store", "lock"))
}

// ForeignLock reports the same of hg's lock of repo's working copy.
func ForeignLock(repo string) bool { return foreignLock(filepath.Join(repo, ".hg", "wlock")) }

func foreignLock(path string) bool {
	text, err := os.Readlink(path)
	if err != nil {
		return false
	}
	host, _, _ := strings.Cut(text, ":")
	return host != lockHost()
}

// lockHost is how hg calls this host and process namespace.
func lockHost() string {
	host, err := os.Hostname()
	if err != nil {
		return ""
	}
	return host + namespace()
}

// FreeLocks removes hg's own locks of repo: of its working copy, and of its
// store unless that is shared. Only who knows that nobody alive holds them may
// call it.
func (h *Hg) FreeLocks(ctx context.Context, repo string, store bool) error {
	args := []string{"debuglocks", "--force-free-wlock"}
	if store {
		args = append(args, "--force-free-lock")
	}
	_, err := h.Run(ctx, Call{Repo: repo, Args: args, Phase: classify.Work})
	return err
}

// A Pull is what to get from where.
type Pull struct {
	From  string        // what hg is to dial
	Shown string        // what the user knows it by
	Rev   string        // a hash, or a number of the source's
	Stall time.Duration // for sources that hg dials itself
}

func (p Pull) call(repo string, args ...string) Call {
	c := Call{Repo: repo, Args: args, Phase: classify.Fetch, Stall: p.Stall}
	if p.From != p.Shown {
		c.Hide = strings.NewReplacer(p.From+"/", p.Shown, p.From, p.Shown)
	}
	return c
}

// Pull gets a revision and its ancestors.
func (h *Hg) Pull(ctx context.Context, repo string, p Pull) error {
	_, err := h.Run(ctx, p.call(repo, "pull", "--rev="+p.Rev, "--", p.From))
	return err
}

// Identify has hg ask a source for the full hash of a revision.
func (h *Hg) Identify(ctx context.Context, p Pull) (string, error) {
	out, err := h.Run(ctx, p.call("", "identify", "--template={node}", "--rev="+p.Rev, "--", p.From))
	return strings.TrimSpace(out), err
}

// Unbundle applies a bundle that was downloaded; packed ones need an empty
// repository.
func (h *Hg) Unbundle(ctx context.Context, repo, file string, packed bool) error {
	args := []string{"unbundle", "--", file}
	if packed {
		args = []string{"debugapplystreamclonebundle", "--", file}
	}
	_, err := h.Run(ctx, Call{Repo: repo, Args: args, Phase: classify.Fetch})
	return err
}
