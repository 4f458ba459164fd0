// Hgpull guards a subprocess that hangs and a set of mirrors that fail: "hg pull"
// from the first of several servers that works, with a breaker for each. The
// command redoubt hg does more; this is what the library does for it.
//
//	go run ./examples/hgpull                      # servers that it starts itself
//	go run ./examples/hgpull REPO REVISION URL…   # yours, in this order
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// mirrors are servers and their URLs. Names of endpoints and breakers show in
// errors and telemetry, so they are the URLs without users and passwords.
type mirrors struct {
	*failover.Failover

	urls map[string]string // by name
}

// newMirrors returns the servers at urls, in the order in which they are asked.
// Each has a stack of its own: one that fails says nothing about the others.
func newMirrors(urls []string, limit func(url string) time.Duration) mirrors {
	m := mirrors{urls: make(map[string]string)}
	var names []string
	for i, url := range urls {
		name := hideLogin(url)
		if m.urls[name] != "" {
			name = fmt.Sprintf("%s (%d)", name, i+1)
		}
		m.urls[name] = url
		names = append(names, name)
	}
	m.Failover = failover.New(failover.Config{
		Name:      "mirrors",
		Endpoints: names,
		Guard: func(name string) failover.Layer {
			return redoubt.Stack{
				retry.Policy{MaxAttempts: 2, Backoff: retry.FullJitter(100*time.Millisecond, time.Second)},
				breaker.New(breaker.Config{Name: name, Consecutive: 2, Cooldown: time.Minute, Classify: illness}),
				timeout.Limit(limit(m.urls[name])), // hg itself has none on https
			}
		},
		TryNext: func(error) bool { return true }, // even after "unknown revision"
	})
	return m
}

var login = regexp.MustCompile(`://[^\s/]*@`)

// hideLogin takes users and passwords out of the URLs in a text.
func hideLogin(text string) string { return login.ReplaceAllString(text, "://") }

var errStale = errors.New("it does not have the revision")

// illness keeps a mirror's circuit closed if it is well and only behind.
func illness(err error) breaker.Outcome {
	if errors.Is(err, errStale) {
		return breaker.Success
	}
	return breaker.DefaultClassify(err)
}

// pull gets a revision into repo from the first mirror that has it. It asks by
// hash: to "what is new?" a stale mirror says "nothing", and exits with 0.
func pull(ctx context.Context, out io.Writer, m mirrors, repo, revision string) error {
	_, err := failover.Do(ctx, m.Failover, func(ctx context.Context, name string) (struct{}, error) {
		err := hgPull(ctx, repo, m.urls[name], revision)
		if err == nil {
			fmt.Fprintf(out, "%s: pulled\n", name)
		} else {
			fmt.Fprintf(out, "%s: %v\n", name, err)
		}
		return struct{}{}, err
	})
	return err
}

// hgPull runs hg once. When ctx ends hg is asked to roll back, and killed if
// that takes too long. It finds the URL in a file, as all users of the machine
// can read its command line.
func hgPull(ctx context.Context, repo, url, revision string) error {
	config, err := os.CreateTemp("", "hgpull-*.rc")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(config.Name()) }()
	_, err = fmt.Fprintf(config, "[paths]\nmirror = %s\n", url)
	if err = errors.Join(err, config.Close()); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "hg", "-R", repo, "pull", "--rev="+revision, "--", "mirror")
	cmd.Env = append(os.Environ(), "HGPLAIN=+strictflags", "HGRCPATH="+config.Name(), "LC_ALL=C.UTF-8")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second
	text, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case strings.Contains(string(text), "unknown revision"):
		return retry.Permanent(errStale)
	default:
		return fmt.Errorf("hg: %w: %s", err, hideLogin(lastLine(string(text))))
	}
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func main() {
	if err := run(context.Background(), os.Stdout, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "hgpull:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	switch len(args) {
	case 0:
		return demonstrate(ctx, out)
	case 1, 2:
		return errors.New("usage: hgpull [REPO REVISION URL...]")
	}
	for _, url := range args[2:] {
		if strings.ContainsFunc(url, unicode.IsControl) {
			return errors.New("a URL must not have control characters")
		}
	}
	m := newMirrors(args[2:], func(string) time.Duration { return time.Hour })
	return pull(ctx, out, m, args[0], args[1])
}
