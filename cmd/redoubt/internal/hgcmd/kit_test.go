package hgcmd_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/cmdtest"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/report"
)

// These tests run the built command against real repositories, which real hg
// serves on the loopback. A missing hg is a failure.

var binary string

func TestMain(m *testing.M) {
	if _, err := exec.LookPath("hg"); err != nil {
		fmt.Fprintln(os.Stderr, "these tests need Mercurial: apt-get install mercurial")
		os.Exit(1)
	}
	cmdtest.Main(m, &binary)
}

// shared returns the path of what all tests share.
func shared(name string) string { return filepath.Join(filepath.Dir(binary), name) }

// hgEnv is the environment in which tests run hg themselves.
func hgEnv() []string {
	return append(os.Environ(), "HGPLAIN=1", "HGRCPATH=/dev/null", "HGUSER=tester")
}

func hg(t testing.TB, args ...string) string {
	t.Helper()
	out, err := tryHg(args...)
	if err != nil {
		t.Fatalf("hg %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

func tryHg(args ...string) (string, error) {
	cmd := exec.Command("hg", args...)
	cmd.Env = hgEnv()
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// fill is an extension that commits many files fast.
const fill = `
import os
from mercurial import registrar
cmdtable = {}
command = registrar.command(cmdtable)
@command(b'fill', [], b'N SIZE NAME')
def fill(ui, repo, n, size, name):
    for i in range(int(n)):
        f = b'%s%d' % (name, i)
        repo.wvfs.write(f, os.urandom(int(size)).hex().encode() if int(size) < 1000 else os.urandom(int(size)))
        with repo.wlock():
            repo[None].add([f])
        repo.commit(text=b'%s %d' % (name, i), user=b'tester')
`

// A repo is a repository for others to pull from.
type repo struct {
	dir  string
	tip  string
	root string
}

func (r repo) node(t testing.TB, rev string) string {
	t.Helper()
	return hg(t, "-R", r.dir, "log", "-r", rev, "-T", "{node}")
}

func newRepo(t testing.TB, dir string, revisions, size int, name string) repo {
	t.Helper()
	ext := filepath.Join(t.TempDir(), "fill.py")
	if err := os.WriteFile(ext, []byte(fill), 0o600); err != nil {
		t.Fatal(err)
	}
	hg(t, "init", dir)
	hg(t, "-R", dir, "--config", "extensions.fill="+ext, "fill", fmt.Sprint(revisions), fmt.Sprint(size), name)
	return newest(t, dir)
}

func newest(t testing.TB, dir string) repo {
	t.Helper()
	return repo{
		dir:  dir,
		tip:  hg(t, "-R", dir, "log", "-r", "tip", "-T", "{node}"),
		root: hg(t, "-R", dir, "log", "-r", "0", "-T", "{node}"),
	}
}

var (
	smallOnce, bigOnce sync.Once
	smallRepo, bigRepo repo
)

// small returns a repository of 12 revisions, with a branch and a tag.
func small(t testing.TB) repo {
	t.Helper()
	smallOnce.Do(func() {
		dir := shared("small")
		newRepo(t, dir, 10, 100, "f")
		hg(t, "-R", dir, "tag", "-r", "3", "V1")
		smallRepo = newest(t, dir)
	})
	if smallRepo.tip == "" {
		t.Fatal("no small repository")
	}
	return smallRepo
}

// big returns a repository of 48 revisions and 18 MB that don't compress.
func big(t testing.TB) repo {
	t.Helper()
	bigOnce.Do(func() { bigRepo = newRepo(t, shared("big"), 48, 380_000, "b") })
	if bigRepo.tip == "" {
		t.Fatal("no big repository")
	}
	return bigRepo
}

// copyRepo returns a repository of its own with the revisions up to rev.
func copyRepo(t testing.TB, from repo, rev string) repo {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "copy")
	hg(t, "clone", "-q", "-U", "--pull", "-r", rev, from.dir, dir)
	return newest(t, dir)
}

// A server is an hg serve.
type server struct {
	url string
	cmd *exec.Cmd
}

func serve(t testing.TB, dir string, configs ...string) *server {
	t.Helper()
	args := []string{"serve", "-R", dir, "-a", "127.0.0.1", "-p", "0", "--print-url", "-A", os.DevNull, "-E", os.DevNull}
	for _, c := range configs {
		args = append(args, "--config", c)
	}
	cmd := exec.Command("hg", args...)
	cmd.Env = hgEnv()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &server{cmd: cmd}
	t.Cleanup(s.stop)
	line := make([]byte, 100)
	n, err := stdout.Read(line)
	if err != nil {
		t.Fatalf("hg serve: %v", err)
	}
	s.url = strings.TrimRight(strings.TrimSpace(string(line[:n])), "/")
	warm(s.url)
	return s
}

// warm makes the first requests, which hg serve answers slowly or with 500.
func warm(url string) {
	for range 3 {
		if resp, err := http.Get(url + "/?cmd=capabilities"); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
	}
}

func (s *server) stop() {
	if s.cmd.ProcessState == nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
	}
}

// A faulty is a server before another, which does to requests what a test says.
type faulty struct {
	*httptest.Server

	mu  sync.Mutex
	log []string // the commands
}

// A fault treats a request, the nth of its command from 1. It returns false for
// the request to be passed on.
type fault func(w http.ResponseWriter, r *http.Request, command string, n int) bool

func before(t testing.TB, backend string, f fault) *faulty {
	t.Helper()
	s := newFaulty(t, backend, f)
	s.Server = httptest.NewServer(s.Config.Handler)
	t.Cleanup(s.CloseNow)
	return s
}

func newFaulty(t testing.TB, backend string, f fault) *faulty {
	t.Helper()
	target, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, FlushInterval: -1, ErrorLog: quiet}
	s := &faulty{}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		command := r.URL.Query().Get("cmd")
		if command == "" {
			command = r.URL.Path
		}
		n := s.note(command)
		if f == nil || !f(w, r, command, n) {
			forward.ServeHTTP(w, r)
		}
	})
	s.Server = &httptest.Server{Config: &http.Server{Handler: handler}}
	return s
}

func (s *faulty) CloseNow() {
	s.CloseClientConnections()
	s.Close()
}

func (s *faulty) note(command string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, command)
	n := 0
	for _, c := range s.log {
		if c == command {
			n++
		}
	}
	return n
}

func (s *faulty) commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

func (s *faulty) count(command string) int {
	n := 0
	for _, c := range s.commands() {
		if c == command {
			n++
		}
	}
	return n
}

// status answers with a status.
func status(code int) fault {
	return func(w http.ResponseWriter, _ *http.Request, _ string, _ int) bool {
		w.WriteHeader(code)
		return true
	}
}

// on applies f to one command, for the first times requests; 0 means all.
func on(command string, times int, f fault) fault {
	return func(w http.ResponseWriter, r *http.Request, c string, n int) bool {
		return c == command && (times == 0 || n <= times) && f(w, r, c, n)
	}
}

// cutter breaks connections off after some bytes of an answer.
type cutter struct {
	http.ResponseWriter

	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	if len(p) > c.left {
		c.ResponseWriter.Write(p[:c.left])
		c.ResponseWriter.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}
	c.left -= len(p)
	return c.ResponseWriter.Write(p)
}

func (c *cutter) Flush() { c.ResponseWriter.(http.Flusher).Flush() }

// slowly sends answers at a rate.
type slowly struct {
	http.ResponseWriter

	rate int // bytes a second
	sent *atomic.Int64
}

func (s *slowly) Write(p []byte) (int, error) {
	total := 0
	for len(p) > 0 {
		n := min(len(p), max(s.rate/50, 1))
		m, err := s.ResponseWriter.Write(p[:n])
		total += m
		if s.sent != nil {
			s.sent.Add(int64(m))
		}
		if err != nil {
			return total, err
		}
		s.Flush()
		p = p[n:]
		time.Sleep(20 * time.Millisecond)
	}
	return total, nil
}

func (s *slowly) Flush() { s.ResponseWriter.(http.Flusher).Flush() }

// through is a server before backend that wraps the answers to command.
func through(t testing.TB, backend, command string, wrap func(http.ResponseWriter) http.ResponseWriter) *faulty {
	t.Helper()
	target, err := url.Parse(backend)
	if err != nil {
		t.Fatal(err)
	}
	forward := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, FlushInterval: -1, ErrorLog: quiet}
	return before(t, backend, on(command, 0, func(w http.ResponseWriter, r *http.Request, _ string, _ int) bool {
		forward.ServeHTTP(wrap(w), r)
		return true
	}))
}

// A listener counts who comes, and does nothing with them.
type listener struct {
	net.Listener

	conns atomic.Int64
}

// blackHole accepts and never says a word.
func blackHole(t testing.TB) *listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := &listener{Listener: l}
	var mu sync.Mutex
	var open []net.Conn
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			b.conns.Add(1)
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	return b
}

// slammer resets every connection at once, and counts them: to the caller it is
// as good as a refusal, and we can see who dialled.
func slammer(t testing.TB) *listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &listener{Listener: l}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.conns.Add(1)
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close() })
	return s
}

// refusing returns the URL of a port where nobody listens.
func refusing(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

// A home is where a run finds its home, its state and its temporary files.
type home struct {
	t   testing.TB
	dir string
	env []string
}

func newHome(t testing.TB, env ...string) *home {
	t.Helper()
	dir := t.TempDir()
	h := &home{t: t, dir: dir}
	for _, sub := range []string{"home", "tmp", "work"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HG_") && !strings.HasPrefix(v, "XDG_") && !strings.HasPrefix(v, "TMPDIR=") && !strings.HasPrefix(v, "HOME=") {
			h.env = append(h.env, v)
		}
	}
	h.env = append(h.env, "HOME="+filepath.Join(dir, "home"), "XDG_STATE_HOME="+filepath.Join(dir, "state"), "TMPDIR="+filepath.Join(dir, "tmp"))
	h.env = append(h.env, env...)
	t.Cleanup(func() { h.noneAlive() })
	return h
}

// passCooldowns makes every cooldown be over, as a wait for its end would.
func (h *home) passCooldowns() {
	h.t.Helper()
	passed := 0
	until := regexp.MustCompile(`"open_until":\s*"[^"]*"`)
	err := filepath.WalkDir(filepath.Join(h.dir, "state"), func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".json") {
			return err
		}
		record, err := os.ReadFile(path)
		if err != nil || !until.Match(record) {
			return err
		}
		passed++
		now := time.Now().UTC().Format(time.RFC3339Nano)
		return os.WriteFile(path, until.ReplaceAll(record, []byte(`"open_until":"`+now+`"`)), 0o600)
	})
	if err != nil || passed == 0 {
		h.t.Fatalf("%d cooldowns, %v", passed, err)
	}
}

func (h *home) path(name string) string { return filepath.Join(h.dir, "work", name) }

// A result is how a run ended.
type result struct {
	exit           int
	stdout, stderr string
	took           time.Duration
}

func (h *home) command(args ...string) *exec.Cmd {
	cmd := exec.Command(binary, append([]string{"hg"}, args...)...)
	cmd.Dir = filepath.Join(h.dir, "work")
	cmd.Env = h.env
	return cmd
}

// run runs redoubt hg. A minute is for ever.
func (h *home) run(args ...string) result {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := h.command(args...)
	return finish(ctx, h.t, cmd, args)
}

func finish(ctx context.Context, t testing.TB, cmd *exec.Cmd, args []string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
	cmd.Wait()
	if !stop() {
		t.Errorf("%v: still ran after %v\n%s", args, time.Since(start), stderr.String())
	}
	r := result{exit: cmd.ProcessState.ExitCode(), stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	t.Logf("redoubt hg %s: exit %d in %v\n%s%s", strings.Join(args, " "), r.exit, r.took.Round(time.Millisecond), r.stderr, r.stdout)
	return r
}

// want fails the test unless the run ended with exit.
func (r result) want(t testing.TB, exit int) result {
	t.Helper()
	if r.exit != exit {
		t.Fatalf("exit %d, want %d", r.exit, exit)
	}
	return r
}

// json returns what the run printed.
func (r result) json(t testing.TB) report.Result {
	t.Helper()
	var out report.Result
	decoder := json.NewDecoder(strings.NewReader(r.stdout))
	if err := decoder.Decode(&out); err != nil {
		t.Fatalf("stdout is not JSON: %v", err)
	}
	return out
}

// wantCopy fails the test unless dir is a clean working copy at node.
func wantCopy(t testing.TB, dir, node string) {
	t.Helper()
	if got := hg(t, "-R", dir, "id", "-i", "--debug"); got != node {
		t.Errorf("%s is at %s, want %s", dir, got, node)
	}
	if got := hg(t, "-R", dir, "status", "-mard"); got != "" {
		t.Errorf("%s is not clean:\n%s", dir, got)
	}
}

// wantSound fails the test unless hg verify passes and nothing is left over.
func wantSound(t testing.TB, dir string) {
	t.Helper()
	hg(t, "-R", dir, "verify", "-q")
	left, _ := filepath.Glob(filepath.Join(filepath.Dir(dir), "*.tmp-*"))
	if len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func wantAbsent(t testing.TB, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("%s is there: %v", path, err)
	}
}

// alive returns the command lines of processes that a run of this home started
// and that are still there.
func (h *home) alive() []string {
	var found []string
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	mark := []byte("TMPDIR=" + filepath.Join(h.dir, "tmp"))
	for _, name := range environs {
		env, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(env, mark) {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(name), "cmdline"))
		if len(cmdline) > 0 {
			found = append(found, strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return found
}

// noneAlive fails the test if a process is left.
func (h *home) noneAlive() {
	h.t.Helper()
	var left []string
	for range 100 {
		if left = h.alive(); len(left) == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	h.t.Errorf("still alive: %v", left)
}

// snapshot returns the names, sizes and contents below dir as one string.
func snapshot(t testing.TB, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %v %d", name, info.Mode(), info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			text, _ := os.ReadFile(name)
			fmt.Fprintf(&b, " %x", text)
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
