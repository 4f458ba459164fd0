// Package wire asks a Mercurial server, in its own protocol and without hg, what
// it is and what it has: an answer takes two milliseconds where "hg identify"
// takes two hundred and four requests.
package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/classify"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/mirror"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
	"github.com/redoubt-go/redoubt/retry"
)

// maxAnswer bounds what is read of an answer.
const maxAnswer = 4 << 20

// An Error is a server's answer that is not what was asked for.
type Error struct {
	Command string
	Verdict classify.Verdict
	Err     error // nil if the server answered
}

// Error says what was asked and what came.
func (e *Error) Error() string { return e.Command + ": " + e.Verdict.Message }

// Unwrap returns the error of the request.
func (e *Error) Unwrap() error { return e.Err }

// Ask sends a command and returns its answer. Only safe commands are sent.
func Ask(ctx context.Context, m *mirror.Mirror, command string, args url.Values) (string, error) {
	return askFor(ctx, m, command, args, func(answer string) (string, error) { return answer, nil })
}

// askFor is Ask for what parse makes of the answer. What the mirror does not
// retry, since the header of an answer had come, is asked for again here: answers
// that broke off, at once, and those of a server that could not tell, soon.
func askFor[T any](ctx context.Context, m *mirror.Mirror, command string, args url.Values, parse func(answer string) (T, error)) (T, error) {
	waits := retry.FullJitter(100*time.Millisecond, time.Second)()
	for left := max(m.Limits().Attempts, 1) - 1; ; left-- {
		var parsed T
		var wait time.Duration
		answer, again, err := ask(ctx, m, command, args)
		if err == nil {
			parsed, err = parse(answer)
			if again = passing(err); again {
				wait = waits.NextBackOff()
			}
		}
		if left == 0 || !again {
			return parsed, err
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return parsed, err
		}
	}
}

// passing reports whether the server may do better in a moment.
func passing(err error) bool {
	e, ok := errors.AsType[*Error](err)
	return ok && e.Verdict.Reaction.Again()
}

// ask asks once. broken reports whether the answer broke off, which the mirror
// does not retry as its header had come.
func ask(ctx context.Context, m *mirror.Mirror, command string, args url.Values) (answer string, broken bool, err error) {
	u := m.Source().URL()
	query := url.Values{"cmd": {command}}
	maps.Copy(query, args)
	u.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
	if err != nil {
		return "", false, err
	}
	req.Header.Set("Accept", "application/mercurial-0.1")
	req.Header.Set("User-Agent", "mercurial/proto-1.0 (redoubt)")
	resp, err := m.Do(req, command)
	if err != nil {
		return "", false, &Error{Command: command, Verdict: classify.Transport(err), Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return "", false, &Error{Command: command, Verdict: classify.Status(resp.StatusCode)}
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return "", true, &Error{Command: command, Verdict: classify.Transport(err), Err: err}
	}
	return string(text), false, foreign(command, resp.Header.Get("Content-Type"), len(text))
}

// foreign returns an error unless a Mercurial server answered.
func foreign(command, contentType string, length int) error {
	if strings.HasPrefix(contentType, "application/mercurial-") {
		return nil
	}
	v := classify.Verdict{Reaction: classify.Next, Message: fmt.Sprintf("not a Mercurial server, the answer is %q", contentType)}
	if contentType == "" && length == 0 {
		v = classify.Verdict{Reaction: classify.Retry, Message: "an empty answer", Source: true}
	}
	return &Error{Command: command, Verdict: v}
}

// Capabilities returns what the server can do, such as "getbundle".
func Capabilities(ctx context.Context, m *mirror.Mirror) ([]string, error) {
	answer, err := Ask(ctx, m, "capabilities", nil)
	if err != nil {
		return nil, err
	}
	capabilities := strings.Fields(answer)
	if !slices.Contains(capabilities, "lookup") {
		return nil, &Error{Command: "capabilities", Verdict: classify.Verdict{
			Reaction: classify.Next, Message: "not a Mercurial server, it can't look up a revision",
		}}
	}
	return capabilities, nil
}

// ErrUnknownRevision says that the server does not have a revision.
var ErrUnknownRevision = errors.New("unknown revision")

// Lookup returns the full hash of a revision, which may be a hash, a name, or a
// number. If the server has none, or several, the error is ErrUnknownRevision.
func Lookup(ctx context.Context, m *mirror.Mirror, revision string) (string, error) {
	return askFor(ctx, m, "lookup", url.Values{"key": {revision}}, func(answer string) (string, error) {
		return parseLookup(answer, revision)
	})
}

func parseLookup(answer, revision string) (string, error) {
	found, rest, _ := strings.Cut(strings.TrimSpace(answer), " ")
	switch {
	case found == "1" && (source.IsNode(rest) || rest == source.NullNode):
		return rest, nil
	case found == "0" && isAbout(rest, revision):
		return "", ErrUnknownRevision
	case found == "0":
		return "", &Error{Command: "lookup", Verdict: classify.Verdict{
			Reaction: classify.Retry, Message: fmt.Sprintf("the server failed: %.80q", rest), Source: true,
		}}
	default:
		return "", &Error{Command: "lookup", Verdict: classify.Verdict{
			Reaction: classify.Next, Message: fmt.Sprintf("not a Mercurial server, the answer to lookup is %.40q", answer),
		}}
	}
}

var missing = regexp.MustCompile(`(?i)unknown revision|no match found|ambiguous identifier|(hidden|filtered) revision|no node`)

// isAbout reports whether the text of an error is about a revision. A server that
// fails inside answers in the same way as one that has no such revision: one that
// has just been started and is asked by several at once says "module
// 'mercurial.changelog' has no attribute 'changelog'". It may speak any language,
// but names the revision in all of them.
func isAbout(text, revision string) bool {
	return missing.MatchString(text) || strings.Contains(text, "'"+revision+"'") || strings.Contains(text, "@"+revision+":")
}

// A batch is several commands in one request. What separates them is escaped
// within them.
var (
	escape   = strings.NewReplacer(":", ":c", ",", ":o", ";", ":s", "=", ":e")
	unescape = strings.NewReplacer(":c", ":", ":o", ",", ":s", ";", ":e", "=")
)

// Lookups is Lookup for several revisions, in one request. A revision that the
// server does not have is "".
func Lookups(ctx context.Context, m *mirror.Mirror, revisions ...string) ([]string, error) {
	commands := make([]string, len(revisions))
	for i, revision := range revisions {
		commands[i] = "lookup key=" + escape.Replace(revision)
	}
	return askFor(ctx, m, "batch", url.Values{"cmds": {strings.Join(commands, ";")}}, func(answer string) ([]string, error) {
		return parseLookups(answer, revisions)
	})
}

func parseLookups(answer string, revisions []string) ([]string, error) {
	nodes := strings.Split(answer, ";")
	if len(nodes) != len(revisions) {
		return nil, &Error{Command: "batch", Verdict: classify.Verdict{
			Reaction: classify.Next, Message: fmt.Sprintf("not a Mercurial server, the answer to batch is %.40q", answer),
		}}
	}
	for i, node := range nodes {
		var err error
		nodes[i], err = parseLookup(unescape.Replace(node), revisions[i])
		if err != nil && !errors.Is(err, ErrUnknownRevision) {
			return nil, err
		}
	}
	return nodes, nil
}

// A Bundle is an entry of a server's clonebundles manifest.
type Bundle struct {
	URL        string
	Attributes map[string]string
}

// Bundles returns the manifest of the bundles that a server recommends to begin
// a clone with, in its order.
func Bundles(ctx context.Context, m *mirror.Mirror) ([]Bundle, error) {
	answer, err := Ask(ctx, m, "clonebundles", nil)
	if err != nil {
		return nil, err
	}
	return parseManifest(answer), nil
}

// parseManifest reads lines of a URL and attributes: "URL key=value …", keys and
// values percent-encoded. Lines that are not so are passed over.
func parseManifest(text string) []Bundle {
	var bundles []Bundle
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, maxAnswer)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) == 0 {
			continue
		}
		b := Bundle{URL: fields[0], Attributes: make(map[string]string)}
		for _, field := range fields[1:] {
			key, value, ok := strings.Cut(field, "=")
			if !ok {
				continue
			}
			key, err1 := url.PathUnescape(key)
			value, err2 := url.PathUnescape(value)
			if err1 == nil && err2 == nil {
				b.Attributes[key] = value
			}
		}
		bundles = append(bundles, b)
	}
	return bundles
}

// Usable reports whether this hg can apply the bundle, by its BUNDLESPEC; an
// entry without one is worth a try.
func (b Bundle) Usable() bool {
	spec, given := b.Attributes["BUNDLESPEC"]
	if !given {
		return true
	}
	spec, _, _ = strings.Cut(spec, ";")
	compression, version, _ := strings.Cut(spec, "-")
	return slices.Contains([]string{"none", "gzip", "bzip2", "zstd"}, compression) &&
		slices.Contains([]string{"v1", "v2", "packed1"}, version)
}
