package hgcmd

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/bundle"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/checkout"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mirror"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/seconds"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/statedir"
)

// flags are the command line.
type flags struct {
	rev, branch, propsFile, shareBase, root, prefer, verify, minRate, stateDir, hgPath string
	mirrors, bundles                                                                   []string

	purge, swap, repair, staleOK, direct, userConfig bool
	discardChanges, discardCommits, replace          bool
	checkOutgoing, cloneByRevision, compat           bool
	verbose, json, plan, trace, noUpdate             bool
	outputProps                                      string
	attempts, rounds, breakerFailures                int
	connect, firstByte, stall, retryAfter            time.Duration
	budget, lockWait, breakerWait, breakerCooldown   time.Duration
}

func (f *flags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.SortFlags = false
	fs.StringVarP(&f.rev, "rev", "r", "", "`revision`: 12 to 40 hexadecimal digits, or a name (HG_REV)")
	fs.StringVarP(&f.branch, "branch", "b", "", "`branch` whose tip to get if there is no revision (HG_BRANCH)")
	fs.StringArrayVar(&f.mirrors, "mirror", nil, "`URL` to try before the primary; may be repeated")
	fs.StringArrayVar(&f.bundles, "bundle", nil, "`URL` or file to begin a clone with, with #sha256=… if known; may be repeated")
	fs.StringVar(&f.shareBase, "share-base", "", "`directory` of stores that working copies share (HG_SHARE_BASE_DIR)")
	fs.BoolVarP(&f.noUpdate, "noupdate", "U", false, "get the revision into the store of --share-base and leave DEST alone")
	fs.BoolVar(&f.purge, "purge", false, "remove files that are not tracked, ignored ones too")
	fs.BoolVar(&f.discardChanges, "discard-changes", false, "lose uncommitted changes in DEST")
	fs.BoolVar(&f.discardCommits, "discard-commits", false, "lose revisions in DEST that no source has")
	fs.BoolVar(&f.replace, "replace", false, "lose whatever else stands at DEST")
	fs.BoolVar(&f.repair, "repair", false, "rebuild what is damaged")
	fs.BoolVar(&f.swap, "swap", false, "build beside DEST and exchange, even if DEST could be updated")
	fs.StringVar(&f.verify, "verify", string(checkout.Normal), "how closely to look at the result: none, normal, files, store")
	fs.StringVar(&f.root, "expect-root", "", "`hash` of the repository's first revision")
	fs.BoolVar(&f.staleOK, "stale-ok", false, "let a mirror say what a name means if the primary can't")
	fs.StringVar(&f.prefer, "prefer", "given", "order of mirrors: given, fastest")

	fs.IntVar(&f.attempts, "attempts", 3, "attempts for each request")
	fs.IntVar(&f.rounds, "rounds", 2, "rounds over sources whose transfers break off")
	seconds.Var(fs, &f.budget, "budget", time.Hour, "time for everything")
	seconds.Var(fs, &f.connect, "connect-timeout", 10*time.Second, "time to connect, and again for TLS")
	seconds.Var(fs, &f.firstByte, "first-byte-timeout", time.Minute, "time until a server answers")
	seconds.Var(fs, &f.stall, "stall-timeout", time.Minute, "time of silence within an answer")
	fs.StringVar(&f.minRate, "min-rate", "0", "slowest rate of an answer, such as 100KB/s")
	seconds.Var(fs, &f.retryAfter, "max-retry-after", 5*time.Minute, "longest wait that a server may demand")
	seconds.Var(fs, &f.lockWait, "lock-wait", 10*time.Minute, "time to wait for somebody else's lock")
	fs.IntVar(&f.breakerFailures, "breaker-failures", 5, "failures in a row at which a server is left alone")
	seconds.Var(fs, &f.breakerCooldown, "breaker-cooldown", time.Minute, "for how long, at first")
	seconds.Var(fs, &f.breakerWait, "breaker-wait", 0, "time to wait if every server is left alone")
	fs.StringVar(&f.stateDir, "state-dir", "", "`directory` of what is known of servers (default: $XDG_STATE_HOME/redoubt)")
	fs.BoolVar(&f.direct, "direct", false, "let hg dial by itself")
	fs.BoolVar(&f.userConfig, "user-config", false, "let the user's and the system's hgrc count")
	fs.StringVar(&f.hgPath, "hg", "", "`path` of hg (default: in PATH)")

	fs.BoolVar(&f.plan, "plan", false, "print what would be done, and touch nothing")
	fs.BoolVar(&f.json, "json", false, "print one JSON object instead of the revision")
	fs.BoolVar(&f.trace, "trace", false, "print every request and where the time went")
	fs.StringVar(&f.outputProps, "output-props", "", "`file` to write got_revision to, as JSON")
	fs.BoolVarP(&f.verbose, "verbose", "v", false, "say more")

	fs.BoolVar(&f.compat, "compat", false, "behave as hgtool does")
	fs.StringVarP(&f.propsFile, "props-file", "p", "", "hgtool: buildbot's JSON `file` with the revision or branch (PROPERTIES_FILE)")
	fs.StringVarP(&f.shareBase, "shared-dir", "s", "", "hgtool: --share-base")
	fs.BoolVar(&f.checkOutgoing, "check-outgoing", false, "hgtool: --discard-commits")
	fs.BoolVar(&f.cloneByRevision, "clone-by-revision", false, "hgtool: nothing, as revisions are always pulled by hash")
}

// hgtoolFlags turn on hgtool's manners.
var hgtoolFlags = []string{"compat", "props-file", "shared-dir", "check-outgoing", "clone-by-revision"}

// options judges the command line and the environment. It touches nothing but
// the file of properties, which it reads.
func (f *flags) options(cmd *cobra.Command, args []string) (hg.Options, error) {
	f.compat = slices.ContainsFunc(hgtoolFlags, cmd.Flags().Changed) || strings.HasPrefix(cmd.CalledAs(), "hgtool") ||
		strings.HasPrefix(filepath.Base(os.Args[0]), "hgtool")
	o := hg.Options{
		DiscardChanges: f.discardChanges || f.compat,
		DiscardCommits: f.discardCommits || f.checkOutgoing || f.compat,
		Replace:        f.replace || f.compat, Repair: f.repair || f.compat,
		NoUpdate: f.noUpdate, Purge: f.purge, Swap: f.swap, StaleOK: f.staleOK, Fastest: f.prefer == "fastest",
		Direct: f.direct, UserConfig: f.userConfig, HgPath: f.hgPath,
		Rounds: f.rounds, Budget: f.budget, LockWait: f.lockWait, BreakerWait: f.breakerWait,
		BreakerFailures: f.breakerFailures, BreakerCooldown: f.breakerCooldown,
		Verify: checkout.Level(f.verify),
		Limits: mirror.Limits{
			Attempts: f.attempts, Connect: f.connect, FirstByte: f.firstByte, Stall: f.stall, MaxRetryAfter: f.retryAfter,
		},
	}
	for _, judge := range []func(*hg.Options) error{
		f.judgeNumbers,
		func(o *hg.Options) error { return f.judgeRevision(cmd, o) },
		func(o *hg.Options) error { return f.judgeSources(args[0], o) },
		func(o *hg.Options) error { return f.judgePlaces(args, o) },
	} {
		if err := judge(&o); err != nil {
			return hg.Options{}, err
		}
	}
	return o, nil
}

func (f *flags) judgeNumbers(o *hg.Options) error {
	for _, n := range []struct {
		name  string
		value int
	}{{"attempts", f.attempts}, {"rounds", f.rounds}, {"breaker-failures", f.breakerFailures}} {
		if n.value < 1 || n.value > 100 {
			return fmt.Errorf("--%s is %d, must be from 1 to 100", n.name, n.value)
		}
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"budget", f.budget},
		{"connect-timeout", f.connect},
		{"first-byte-timeout", f.firstByte},
		{"stall-timeout", f.stall},
		{"breaker-cooldown", f.breakerCooldown},
	} {
		if d.value <= 0 {
			return fmt.Errorf("--%s is %v, must be positive", d.name, d.value)
		}
	}
	if f.prefer != "given" && f.prefer != "fastest" {
		return fmt.Errorf("--prefer is %q, must be given or fastest", f.prefer)
	}
	if !slices.Contains(checkout.Levels, o.Verify) {
		return fmt.Errorf("--verify is %q, must be one of %v", f.verify, checkout.Levels)
	}
	var err error
	o.Limits.MinRate, err = parseRate(f.minRate)
	return err
}

// parseRate reads a number of bytes a second: 1000, 300KB/s, 1MiB.
func parseRate(text string) (int64, error) {
	number := strings.TrimSuffix(text, "/s")
	unit := 1.0
	for _, u := range []struct {
		suffix string
		size   float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"B", 1}} {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = rest, u.size
			break
		}
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !(n >= 0 && n*unit < 1e15) {
		return 0, fmt.Errorf("--min-rate is %q, must be a number of bytes a second such as 100KB/s", text)
	}
	return int64(n * unit), nil
}

// judgeRevision finds what to get, as hgtool does: the command line before the
// environment before the file of properties, and a revision before a branch.
func (f *flags) judgeRevision(cmd *cobra.Command, o *hg.Options) error {
	props, err := f.props()
	if err != nil {
		return err
	}
	choices := []struct {
		field, text string
		given       bool
	}{
		{"--rev", f.rev, cmd.Flags().Changed("rev")},
		{"HG_REV", os.Getenv("HG_REV"), false},
		{"revision of the properties", props.Revision, false},
		{"--branch", f.branch, cmd.Flags().Changed("branch")},
		{"HG_BRANCH", os.Getenv("HG_BRANCH"), false},
		{"branch of the properties", props.Branch, false},
	}
	for _, choice := range choices {
		if choice.text == "" && !choice.given {
			continue
		}
		if o.Revision, err = source.ParseRevision(choice.field, choice.text); err != nil {
			return err
		}
		break
	}
	if f.root == "" {
		return nil
	}
	root, err := source.ParseRevision("--expect-root", f.root)
	if err == nil && !root.IsFull() {
		err = fmt.Errorf("--expect-root is %q, must be 40 hexadecimal digits", f.root)
	}
	o.Root = root.String()
	return err
}

type sourcestamp struct {
	Revision string `json:"revision"`
	Branch   string `json:"branch"`
}

// props reads buildbot's file of properties.
func (f *flags) props() (sourcestamp, error) {
	path := f.propsFile
	if path == "" {
		path = os.Getenv("PROPERTIES_FILE")
	}
	if path == "" {
		return sourcestamp{}, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return sourcestamp{}, fmt.Errorf("--props-file: %w", err)
	}
	var content struct {
		Sourcestamp sourcestamp `json:"sourcestamp"`
	}
	if err := json.Unmarshal(text, &content); err != nil {
		return sourcestamp{}, fmt.Errorf("--props-file %s: %w", path, err)
	}
	return content.Sourcestamp, nil
}

func (f *flags) judgeSources(url string, o *hg.Options) error {
	var err error
	if o.Primary, err = source.Repository("URL", url); err != nil {
		return err
	}
	sources := []source.Source{o.Primary}
	for _, text := range f.mirrors {
		mirror, err := source.Repository("--mirror", text)
		if err != nil {
			return err
		}
		sources = append(sources, mirror)
	}
	o.Mirrors = sources[1:]
	if f.direct {
		for _, s := range sources {
			if _, _, given := s.Login(); given && s.Kind == source.HTTP {
				return fmt.Errorf("%s has a user or password, which hg would show in the list of processes: leave out --direct", s)
			}
		}
	}
	for _, text := range f.bundles {
		b, err := bundle.Parse("--bundle", text)
		if err != nil {
			return err
		}
		o.Bundles = append(o.Bundles, b)
	}
	return nil
}

// judgePlaces judges the directories.
func (f *flags) judgePlaces(args []string, o *hg.Options) error {
	base := f.shareBase
	if base == "" {
		base = os.Getenv("HG_SHARE_BASE_DIR")
	}
	if base != "" {
		abs, err := filepath.Abs(base)
		if err != nil {
			return fmt.Errorf("--share-base is %q, must be a path from a working directory that exists", base)
		}
		o.ShareBase = abs
	}
	var err error
	o.StateDir = f.stateDir
	if o.StateDir == "" {
		if o.StateDir, err = statedir.Default(); err != nil {
			return err
		}
	}
	if o.NoUpdate && o.ShareBase == "" {
		return errors.New("--noupdate needs --share-base, as a store of DEST's own is a part of it")
	}
	dest := o.Primary.Base()
	switch {
	case len(args) > 1:
		dest = args[1]
	case o.NoUpdate:
		return nil
	case dest == "":
		return errors.New("DEST is missing, and URL has no last element to name it by")
	case o.Primary.Kind == source.Local && filepath.Clean(dest) == filepath.Clean(args[0]):
		return fmt.Errorf("DEST is missing, and URL is %q, a path here; see redoubt hg --help for other commands", args[0])
	}
	others := []string{o.ShareBase}
	for _, s := range append(o.Mirrors, o.Primary) {
		if s.Kind == source.Local {
			others = append(others, s.Path())
		}
	}
	o.Dest, err = source.Dest("DEST", dest, others...)
	return err
}
