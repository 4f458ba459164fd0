package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// A server is an hg serve.
type server struct {
	url, tip string
	log      string // of requests
	cmd      *exec.Cmd
	stop     context.CancelFunc
}

// repository makes a repository whose revisions add a file each that does not
// compress, and serves it.
func (b *bench) repository(ctx context.Context, name string, revisions, size int) (*server, error) {
	dir := filepath.Join(b.dir, name)
	if _, err := b.run(ctx, "hg", "init", dir); err != nil {
		return nil, err
	}
	extension := filepath.Join(b.dir, "fill.py")
	if err := os.WriteFile(extension, []byte(fill), 0o600); err != nil {
		return nil, err
	}
	content := filepath.Join(b.dir, name+".content")
	data := make([]byte, revisions*size)
	_, _ = rand.Read(data)
	if err := os.WriteFile(content, data, 0o600); err != nil {
		return nil, err
	}
	if _, err := b.run(ctx, "hg", "-R", dir, "--config=extensions.fill="+extension, "fill", content, fmt.Sprint(size)); err != nil {
		return nil, err
	}
	tip, err := b.command(ctx, "hg", "-R", dir, "log", "--rev=tip", "--template={node}").Output()
	if err != nil {
		return nil, err
	}
	s := &server{tip: string(tip), log: dir + ".log"}
	ctx, s.stop = context.WithCancel(ctx)
	s.cmd = b.command(ctx, "hg", "serve", "-R", dir, "-a", "127.0.0.1", "-p", "0", "--print-url", "-A", s.log, "-E", os.DevNull)
	return s, s.start(ctx)
}

// fill commits pieces of a file, in one process.
const fill = `
from mercurial import registrar
cmdtable = {}
command = registrar.command(cmdtable)
@command(b'fill', [], b'CONTENT SIZE')
def fill(ui, repo, content, size):
    with open(content, 'rb') as f:
        for i, piece in enumerate(iter(lambda: f.read(int(size)), b'')):
            name = b'f%d' % i
            repo.wvfs.write(name, piece)
            with repo.wlock():
                repo[None].add([name])
            repo.commit(text=name)
`

func (s *server) start(ctx context.Context) error {
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return fmt.Errorf("hg serve: %w", err)
	}
	s.url = strings.TrimRight(strings.TrimSpace(line), "/")
	for range 3 { // it is slow, or even says 500, to the first
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/?cmd=capabilities", http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	return nil
}

// requests returns how many requests the server has had.
func (s *server) requests() (int, error) {
	text, err := os.ReadFile(s.log)
	return bytes.Count(text, []byte("\n")), err
}

func (s *server) close() {
	s.stop()
	_ = s.cmd.Wait()
}
