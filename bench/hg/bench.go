package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

// A bench has two repositories, their servers and a place for copies.
type bench struct {
	dir        string
	redoubt    string
	env        []string
	small, big *server
	count      int
}

func newBench(ctx context.Context, redoubt string) (*bench, error) {
	dir, err := os.MkdirTemp("", "redoubt-bench-hg-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir, redoubt: redoubt}
	b.env = append(os.Environ(), "HGPLAIN=1", "HGRCPATH=", "HGUSER=bench",
		"HOME="+dir, "XDG_STATE_HOME="+filepath.Join(dir, "state"), "OTEL_SDK_DISABLED=true")
	if err := b.prepare(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) error {
	if b.redoubt == "" {
		b.redoubt = filepath.Join(b.dir, "redoubt")
		build := exec.CommandContext(ctx, "go", "build", "-o", b.redoubt, "github.com/redoubt-go/redoubt/cmd/redoubt")
		if text, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, text)
		}
	}
	var err error
	if b.small, err = b.repository(ctx, "small", 20, 2_000); err != nil {
		return err
	}
	b.big, err = b.repository(ctx, "big", 48, 380_000)
	return err
}

func (b *bench) close() {
	for _, s := range []*server{b.small, b.big} {
		if s != nil {
			s.close()
		}
	}
	_ = os.RemoveAll(b.dir)
}

// command returns a command that finds nothing of the user's.
func (b *bench) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = b.dir, b.env
	return cmd
}

// run runs a command and returns how long it took.
func (b *bench) run(ctx context.Context, name string, args ...string) (time.Duration, error) {
	var stderr bytes.Buffer
	cmd := b.command(ctx, name, args...)
	cmd.Stderr = &stderr
	start := time.Now()
	err := cmd.Run()
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w\n%s", filepath.Base(name), strings.Join(args, " "), err, stderr.String())
	}
	return took, nil
}

// fresh returns a path where nothing is.
func (b *bench) fresh() string {
	b.count++
	return filepath.Join(b.dir, fmt.Sprintf("copy%d", b.count))
}

// A side is one of two that are compared.
type side func(context.Context) (time.Duration, error)

func (b *bench) plainClone(url string) side {
	return func(ctx context.Context) (time.Duration, error) {
		dest := b.fresh()
		defer func() { _ = os.RemoveAll(dest) }()
		return b.run(ctx, "hg", "clone", "--quiet", url, dest)
	}
}

func (b *bench) redoubtClone(url string, flags ...string) side {
	return func(ctx context.Context) (time.Duration, error) {
		dest := b.fresh()
		defer func() { _ = os.RemoveAll(dest) }()
		return b.run(ctx, b.redoubt, slices.Concat([]string{"hg"}, flags, []string{url, dest})...)
	}
}

// all is a side that runs several commands.
func (b *bench) all(commands ...[]string) side {
	return func(ctx context.Context) (time.Duration, error) {
		var sum time.Duration
		for _, c := range commands {
			took, err := b.run(ctx, c[0], c[1:]...)
			if err != nil {
				return 0, err
			}
			sum += took
		}
		return sum, nil
	}
}

// pairs runs two sides in turn, changing which comes first, after one round
// that does not count. It passes each pair to judge and returns the median.
func pairs(ctx context.Context, rounds int, one, two side, judge func(one, two time.Duration) float64) (float64, error) {
	var figures []float64
	for round := range rounds + 1 {
		sides, took := []side{one, two}, make([]time.Duration, 2)
		for i := range sides {
			n := (i + round) % 2
			var err error
			if took[n], err = sides[n](ctx); err != nil {
				return 0, err
			}
		}
		if round > 0 {
			figures = append(figures, judge(took[0], took[1]))
		}
	}
	slices.Sort(figures)
	return figures[len(figures)/2], nil
}

func ratio(one, two time.Duration) float64 { return two.Seconds() / one.Seconds() }

// more is how many milliseconds two took longer than one.
func more(one, two time.Duration) float64 { return 1000 * (two - one).Seconds() }

// ratios measures what has a bound.
func (b *bench) ratios(ctx context.Context, rounds int) ([]row, error) {
	var rows []row
	clone, err := pairs(ctx, rounds, b.plainClone(b.big.url), b.redoubtClone(b.big.url), ratio)
	if err != nil {
		return nil, err
	}
	rows = append(rows, row{"clone of 18 MB, of `hg clone`", clone, 1.25, "×"})

	dest := b.fresh()
	noop := []string{b.redoubt, "hg", "--rev=" + b.big.tip, b.big.url, dest}
	if _, err := b.all(noop)(ctx); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second) // or hg reads files that changed in this very second
	nothing, err := pairs(ctx, rounds, b.all(
		[]string{"hg", "-R", dest, "log", "--rev=" + b.big.tip, "--template={node}"},
		[]string{"hg", "-R", dest, "identify", "--id"},
	), b.all(noop), ratio)
	if err != nil {
		return nil, err
	}
	rows = append(rows, row{"revision is here, of `hg log` and `hg identify`", nothing, 1.3, "×"})

	dead, err := b.dead(ctx)
	if err != nil {
		return nil, err
	}
	added, err := pairs(ctx, rounds, b.redoubtClone(b.small.url), b.redoubtClone(b.small.url, "--mirror="+dead), more)
	if err != nil {
		return nil, err
	}
	return append(rows, row{"dead mirror in front, its circuit open, adds", added, 50, " ms"}), nil
}

// dead returns a URL where nobody answers, and sees that its circuit is open.
func (b *bench) dead(ctx context.Context) (string, error) {
	p, err := faults.NewProxy("127.0.0.1:1")
	if err != nil {
		return "", err
	}
	url := "http://" + p.Addr()
	if err := p.Close(); err != nil {
		return "", err
	}
	_, err = b.redoubtClone(b.small.url, "--mirror="+url, "--breaker-failures=1", "--breaker-cooldown=10m")(ctx)
	return url, err
}

// latencies measures both over links that get longer, and counts what the server
// is asked.
func (b *bench) latencies(ctx context.Context, rounds int, each ...time.Duration) ([]trip, error) {
	link, err := faults.NewProxy(strings.TrimPrefix(b.small.url, "http://"))
	if err != nil {
		return nil, err
	}
	defer func() { _ = link.Close() }()
	url := "http://" + link.Addr()
	dest := b.fresh()
	if _, err := b.run(ctx, "hg", "clone", "--quiet", url, dest); err != nil {
		return nil, err
	}
	kinds := []struct {
		what           string
		plain, redoubt side
	}{
		{"clone", b.plainClone(url), b.redoubtClone(url)},
		{
			"nothing new on the branch",
			b.all([]string{"hg", "-R", dest, "pull", "--quiet", url}, []string{"hg", "-R", dest, "update", "--quiet", "--rev=default"}),
			b.all([]string{b.redoubt, "hg", url, dest}),
		},
	}
	var trips []trip
	for _, latency := range each {
		if err := link.Set(faults.Link{Latency: latency}); err != nil {
			return nil, err
		}
		for _, k := range kinds {
			t := trip{latency: latency, what: k.what}
			if t.plain, err = b.cost(ctx, link, k.plain); err != nil {
				return nil, err
			}
			if t.redoubt, err = b.cost(ctx, link, k.redoubt); err != nil {
				return nil, err
			}
			if t.ratio, err = pairs(ctx, rounds, k.plain, k.redoubt, ratio); err != nil {
				return nil, err
			}
			trips = append(trips, t)
		}
	}
	return trips, nil
}

func (b *bench) cost(ctx context.Context, link *faults.Proxy, s side) (cost, error) {
	requests, err := b.small.requests()
	if err != nil {
		return cost{}, err
	}
	connections := link.Accepted()
	if _, err := s(ctx); err != nil {
		return cost{}, err
	}
	after, err := b.small.requests()
	return cost{after - requests, int(link.Accepted() - connections)}, err
}
