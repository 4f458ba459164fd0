// Package remote is a source during a run: what it is, what it has, and how hg
// gets at it.
package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/bundle"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mercurial"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mirror"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/proxy"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/wire"
)

// A Remote is a source in use. It is for one goroutine.
type Remote struct {
	Source source.Source
	State  *report.Source // what became of it, for the report
	Out    error          // why it is of no use in this run; nil if it is

	hg     *mercurial.Hg
	mirror *mirror.Mirror // nil unless HTTP
	direct bool           // hg dials by itself
	stall  time.Duration
	report *report.Report
	known  bool // it was probed
	root   string
	able   []string // capabilities

	nodes map[string]string // what lookups said, "" if unknown

	early chan error // of a probe that is under way
	stop  context.CancelFunc
}

// Config says how to use a source.
type Config struct {
	Source  source.Source
	Primary bool
	Mirror  *mirror.Mirror // for HTTP sources
	Direct  bool
	Stall   time.Duration // of an hg that dials by itself
	Hg      *mercurial.Hg
	Report  *report.Report
}

// New returns a source in use.
func New(c Config) *Remote {
	return &Remote{
		Source: c.Source, hg: c.Hg, mirror: c.Mirror, direct: c.Direct || c.Mirror == nil, stall: c.Stall, report: c.Report,
		State: &report.Source{URL: c.Source.String(), Primary: c.Primary, State: "unused"},
	}
}

// Mirror returns the guarded server, nil unless the source is HTTP.
func (r *Remote) Mirror() *mirror.Mirror { return r.mirror }

// Root returns the hash of the source's first revision, once it was probed.
func (r *Remote) Root() string { return r.root }

// Verdict judges any error of this package.
func Verdict(err error) classify.Verdict {
	var (
		wireError *wire.Error
		status    *proxy.StatusError
		file      *bundle.StatusError
		hg        *mercurial.Failure
		redirect  *mirror.RedirectError
	)
	switch {
	case errors.Is(err, breaker.ErrOpen):
		return classify.Verdict{Reaction: classify.Next, Message: err.Error()}
	case errors.Is(err, wire.ErrUnknownRevision):
		return classify.Verdict{Reaction: classify.Next, Message: "unknown revision"}
	case errors.As(err, &wireError) && wireError.Err == nil:
		return wireError.Verdict
	case errors.As(err, &status):
		return status.Verdict
	case errors.As(err, &file):
		return file.Verdict
	case errors.As(err, &hg):
		return hg.Verdict
	case errors.As(err, &redirect):
		return classify.Verdict{Reaction: classify.Next, Message: err.Error()}
	default:
		return classify.Transport(err)
	}
}

// Drop takes the source out of this run because of err, and says so once.
func (r *Remote) Drop(err error) {
	if r.Out != nil {
		return
	}
	r.Out = err
	v := Verdict(err)
	r.State.State, r.State.Reason = stateOf(err, v), v.Message
	r.report.Step("%s: %s: %s", r.Source, r.State.State, v.Message)
}

// Reset lets the source take part again, after what kept it out has changed.
func (r *Remote) Reset() {
	r.Out = nil
	r.nodes = nil
	r.State.State, r.State.Reason = "unused", ""
}

// Unauthorized is the state of a source that wants a password, or another one.
const Unauthorized = "unauthorized"

var unauthorized = regexp.MustCompile(`\b401\b|authorization required|Permission denied \(publickey`)

func stateOf(err error, v classify.Verdict) string {
	var state *stateError
	switch {
	case errors.As(err, &state):
		return state.state
	case errors.Is(err, breaker.ErrOpen):
		return "open"
	case errors.Is(err, wire.ErrUnknownRevision), strings.Contains(v.Message, "unknown revision"):
		return "stale"
	case v.Reaction == classify.Security:
		return "untrusted"
	case unauthorized.MatchString(v.Message):
		return Unauthorized
	case strings.Contains(v.Message, "repository is unrelated"):
		return "unrelated"
	case v.Reaction == classify.Next:
		return "foreign"
	default:
		return "unavailable"
	}
}

// A stateError says that a source answers and still is of no use.
type stateError struct{ state, why string }

func (e *stateError) Error() string   { return e.why }
func (e *stateError) Retryable() bool { return false }

// Unrelated returns the error for a source with another root.
func Unrelated(root, want string) error {
	return &stateError{"unrelated", fmt.Sprintf("its first revision is %.12s, not %.12s", root, want)}
}

// Remembered returns the error for a source that an earlier run found to be
// none, and that is left alone until a moment.
func Remembered(since, until time.Time) error {
	return &stateError{stateRemembered, fmt.Sprintf("it was no source %v ago, is asked again in %v",
		time.Since(since).Round(time.Second), time.Until(until).Round(time.Second))}
}

const stateRemembered = "remembered"

// IsRemembered reports whether err is one of Remembered's.
func IsRemembered(err error) bool {
	state, ok := errors.AsType[*stateError](err)
	return ok && state.state == stateRemembered
}

// Probe asks the source what it is, unless it was asked before. want is the
// expected first revision, "" if any will do. revision is what it will be asked
// for next: a server tells both at once.
func (r *Remote) Probe(ctx context.Context, want, revision string) error {
	if r.early != nil {
		err := <-r.early
		r.Stop()
		if err != nil {
			return err
		}
		r.known = true
	}
	if !r.known {
		if err := r.probe(ctx, revision); err != nil {
			return err
		}
		r.known = true
	}
	switch {
	case r.root == source.NullNode:
		return &stateError{"empty", "it has no revisions"}
	case want != "" && r.root != want:
		return Unrelated(r.root, want)
	default:
		return nil
	}
}

// Begin begins to probe an HTTP source, for the next Probe to go on with, while
// hg is still starting. Stop must be called, too.
func (r *Remote) Begin(ctx context.Context, revision string) {
	if r.mirror == nil {
		return
	}
	ctx, r.stop = context.WithCancel(ctx)
	early := make(chan error, 1)
	r.early = early
	go func() {
		defer close(early)
		early <- r.probe(ctx, revision)
	}()
}

// Stop ends what Begin began, unless Probe has seen to it.
func (r *Remote) Stop() {
	if r.early == nil {
		return
	}
	r.stop()
	for range r.early { // until it is closed
	}
	r.early = nil
}

func (r *Remote) probe(ctx context.Context, revision string) error {
	var err error
	if r.mirror != nil {
		if r.able, err = wire.Capabilities(ctx, r.mirror); err != nil {
			return err
		}
		if slices.Contains(r.able, "batch") && revision != "" {
			return r.probeBoth(ctx, revision)
		}
	}
	r.root, err = r.ask(ctx, "0")
	if errors.Is(err, wire.ErrUnknownRevision) {
		r.root, err = source.NullNode, nil
	}
	return err
}

// probeBoth asks for the root and a revision in one request.
func (r *Remote) probeBoth(ctx context.Context, revision string) error {
	nodes, err := wire.Lookups(ctx, r.mirror, "0", revision)
	if err != nil {
		return err
	}
	r.root = cmp.Or(nodes[0], source.NullNode)
	r.note(revision, nodes[1])
	return nil
}

func (r *Remote) note(revision, node string) {
	if r.nodes == nil {
		r.nodes = make(map[string]string)
	}
	r.nodes[revision] = node
	if node != "" {
		r.nodes[node] = node
	}
}

// Lookup returns the full hash of a revision that the source has. What it said
// in this run holds until Reset.
func (r *Remote) Lookup(ctx context.Context, revision string) (string, error) {
	node, known := r.nodes[revision]
	switch {
	case known && node == "":
		return "", wire.ErrUnknownRevision
	case known:
		return node, nil
	}
	node, err := r.ask(ctx, revision)
	if err == nil {
		r.note(revision, node)
	}
	return node, err
}

// ask asks the source, whatever is known.
func (r *Remote) ask(ctx context.Context, revision string) (string, error) {
	if r.mirror != nil {
		return wire.Lookup(ctx, r.mirror, revision)
	}
	return r.identify(ctx, revision)
}

// Count returns how many revisions the source has. It asks for the last but one,
// the last but three and so on, until there is none: unlike others, negative
// numbers can't be taken for hashes.
func (r *Remote) Count(ctx context.Context) (int, error) {
	has := func(n int) (bool, error) {
		_, err := r.ask(ctx, strconv.Itoa(-n))
		if errors.Is(err, wire.ErrUnknownRevision) {
			return false, nil
		}
		return err == nil, err
	}
	return count(has)
}

// most is how many revisions a repository can have in Mercurial's format.
const most = min(1<<31, math.MaxInt/2)

// count returns the largest number that a source has, which has all that are
// smaller.
func count(has func(int) (bool, error)) (int, error) {
	low, high := 0, 1 // it has the low one, and perhaps the high one
	for {
		if high > most {
			return 0, &stateError{"foreign", "it claims to have any number of revisions"}
		}
		ok, err := has(high)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		low, high = high, 2*high
	}
	for high-low > 1 {
		middle := low + (high-low)/2
		ok, err := has(middle)
		if err != nil {
			return 0, err
		}
		if ok {
			low = middle
		} else {
			high = middle
		}
	}
	return low, nil
}

func (r *Remote) identify(ctx context.Context, revision string) (string, error) {
	node, err := r.hg.Identify(ctx, mercurial.Pull{From: r.Source.Operand(), Shown: r.Source.String(), Rev: revision, Stall: r.stall})
	if err != nil && strings.Contains(Verdict(err).Message, "unknown revision") {
		return "", wire.ErrUnknownRevision
	}
	if err == nil && !source.IsNode(node) && node != source.NullNode {
		return "", &stateError{"foreign", fmt.Sprintf("hg identify says %.40q", node)}
	}
	return node, err
}

// Pull has hg get a revision, a hash or a number of the source's, into repo.
func (r *Remote) Pull(ctx context.Context, repo, revision string) error {
	r.report.Edit(func(res *report.Result) { res.Steps++ })
	if r.direct {
		return r.hg.Pull(ctx, repo, mercurial.Pull{From: r.Source.Operand(), Shown: r.Source.String(), Rev: revision, Stall: r.stall})
	}
	p, err := proxy.Start(ctx, r.mirror, r.able)
	if err != nil {
		return err
	}
	defer p.Close()
	done := make(chan struct{})
	defer close(done)
	go r.progress(p, done)
	err = r.hg.Pull(ctx, repo, mercurial.Pull{From: p.URL(), Shown: r.Source.String(), Rev: revision})
	if err == nil {
		return nil
	}
	return sourceFailure(err, p.Failure())
}

// sourceFailure picks, of what hg says and what the proxy saw, the cause: what
// the proxy saw, unless hg has trouble of its own.
func sourceFailure(hg, seen error) error {
	if seen == nil {
		return hg
	}
	switch Verdict(hg).Reaction {
	case classify.Environment, classify.Recover, classify.Rebuild, classify.Locked:
		return hg
	}
	if f, ok := errors.AsType[*mercurial.Failure](hg); ok && f.Cause() != nil {
		return hg
	}
	return seen
}

func (r *Remote) progress(p *proxy.Proxy, done <-chan struct{}) {
	began := time.Now()
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			r.report.Progress(r.Source.String(), p.Bytes(), 0, began)
		}
	}
}

// Bundles returns the bundles that the server recommends and this hg can use.
// A server that names files of this machine is not listened to.
func (r *Remote) Bundles(ctx context.Context) []bundle.Bundle {
	if r.mirror == nil || !slices.Contains(r.able, "clonebundles") {
		return nil
	}
	entries, err := wire.Bundles(ctx, r.mirror)
	if err != nil {
		r.report.Warn("%s: clonebundles: %v", r.Source, Verdict(err).Message)
		return nil
	}
	var bundles []bundle.Bundle
	for _, entry := range entries {
		if !entry.Usable() {
			continue
		}
		b, err := bundle.Parse("clone bundle", entry.URL)
		if err == nil && b.Source.Kind != source.HTTP {
			err = errors.New("must be http or https")
		}
		if err != nil {
			r.report.Warn("%s: %v", r.Source, err)
			continue
		}
		b.Packed = strings.Contains(entry.Attributes["BUNDLESPEC"], "-packed1")
		bundles = append(bundles, b)
	}
	return bundles
}
