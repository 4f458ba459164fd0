package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// demonstrate pulls two revisions from four servers on loopback: a port where
// nobody listens, one that accepts and never answers, one that is a revision
// behind, and one that is well.
func demonstrate(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	dir, err := os.MkdirTemp("", "redoubt-hgpull-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	upstream, stale, local := filepath.Join(dir, "upstream"), filepath.Join(dir, "stale"), filepath.Join(dir, "local")
	if err := hgAll(ctx, []string{"init", upstream}, []string{"init", local}); err != nil {
		return err
	}
	first, err := commit(ctx, upstream, "one")
	if err != nil {
		return err
	}
	if err := hgAll(ctx, []string{"clone", upstream, stale}); err != nil {
		return err
	}
	second, err := commit(ctx, upstream, "two")
	if err != nil {
		return err
	}

	var servers []*exec.Cmd
	defer func() {
		cancel() // kills them
		for _, server := range servers {
			_ = server.Wait()
		}
	}()
	var urls []string
	for _, repo := range []string{stale, upstream} {
		server, url, err := serve(ctx, repo)
		if err != nil {
			return err
		}
		servers, urls = append(servers, server), append(urls, url)
	}
	hanging, err := listen(ctx) // the system accepts; nobody answers
	if err != nil {
		return err
	}
	defer func() { _ = hanging.Close() }()
	dead, err := listen(ctx)
	if err != nil {
		return err
	}
	if err := dead.Close(); err != nil {
		return err
	}

	hangs := "http://" + hanging.Addr().String()
	urls = append([]string{"http://" + dead.Addr().String(), hangs}, urls...)
	m := newMirrors(urls, func(url string) time.Duration {
		if url == hangs {
			return time.Second
		}
		return time.Minute
	})
	for _, revision := range []string{first, second} {
		if err := pull(ctx, out, m, local, revision); err != nil {
			return err
		}
	}
	tip, err := hg(ctx, "-R", local, "log", "--rev=tip", "--template={node}")
	if err == nil && tip != second {
		err = fmt.Errorf("the local tip is %s, want %s", tip, second)
	}
	return err
}

// commit adds a revision to the repository at dir and returns its hash.
func commit(ctx context.Context, dir, text string) (string, error) {
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o600); err != nil {
		return "", err
	}
	if err := hgAll(ctx, []string{"-R", dir, "commit", "--addremove", "--user=someone", "--message=" + text}); err != nil {
		return "", err
	}
	return hg(ctx, "-R", dir, "log", "--rev=.", "--template={node}")
}

// serve starts hg serve and waits until it listens. It ends with ctx.
func serve(ctx context.Context, repo string) (_ *exec.Cmd, url string, err error) {
	cmd := command(ctx, "-R", repo, "serve", "--address=127.0.0.1", "--port=0", "--print-url")
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, "", err
	}
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	url, err = bufio.NewReader(stdout).ReadString('\n')
	return cmd, strings.TrimSpace(url), err
}

func listen(ctx context.Context) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
}

func hgAll(ctx context.Context, commands ...[]string) error {
	for _, args := range commands {
		if _, err := hg(ctx, args...); err != nil {
			return err
		}
	}
	return nil
}

func hg(ctx context.Context, args ...string) (string, error) {
	text, err := command(ctx, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("hg %v: %w: %s", args, err, text)
	}
	return strings.TrimSpace(string(text)), err
}

func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "hg", args...)
	cmd.Env = append(os.Environ(), "HGPLAIN=1", "HGRCPATH=")
	return cmd
}
