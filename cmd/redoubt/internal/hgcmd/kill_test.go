package hgcmd_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// throttled serves the big repository slowly enough to be interrupted, until
// told otherwise.
type throttled struct {
	*faulty

	sent atomic.Int64
	fast atomic.Bool
}

func throttle(t testing.TB, url string) *throttled {
	t.Helper()
	s := &throttled{}
	s.faulty = through(t, url, "getbundle", func(w http.ResponseWriter) http.ResponseWriter {
		if s.fast.Load() {
			return w
		}
		return &slowly{ResponseWriter: w, rate: 4 << 20, sent: &s.sent}
	})
	return s
}

// eventually waits until ok is true.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(500 * time.Microsecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("never: %s", what)
}

// begin starts a run and returns it and what it writes.
func (h *home) begin(args ...string) (*exec.Cmd, *bytes.Buffer) {
	h.t.Helper()
	cmd := h.command(args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	return cmd, &out
}

func TestHg_21_Killed(t *testing.T) {
	t.Parallel()
	for _, pool := range []bool{false, true} {
		for _, when := range []string{"clone", "pull", "update"} {
			t.Run(fmt.Sprint(when, " pool=", pool), func(t *testing.T) {
				t.Parallel()
				h, src := newHome(t), big(t)
				s := throttle(t, serve(t, src.dir).url)
				d := h.path("d")
				args := []string{"--rev", src.tip, s.URL, "d"}
				if pool {
					args = append([]string{"--share-base", h.path("pool")}, args...)
				}
				if when != "clone" {
					older := append([]string{}, args...)
					older[len(older)-3] = src.node(t, "0")
					s.fast.Store(true)
					h.run(older...).want(t, 0)
					s.fast.Store(when == "update")
					s.sent.Store(0)
				}
				cmd, out := h.begin(args...)
				if when == "update" {
					eventually(t, "the update begins", func() bool {
						_, err := os.Lstat(filepath.Join(d, ".hg", "updatestate"))
						return err == nil || cmd.ProcessState != nil
					})
				} else {
					eventually(t, "a megabyte is transferred", func() bool { return s.sent.Load() > 3<<20 })
				}
				cmd.Process.Kill()
				cmd.Wait()
				t.Logf("killed:\n%s", out)
				s.fast.Store(true)
				h.run(args...).want(t, 0)
				wantCopy(t, d, src.tip)
				wantSound(t, d)
				if unknown := hg(t, "-R", d, "status"); unknown != "" {
					t.Errorf("status:\n%s", unknown)
				}
				h.noneAlive()
			})
		}
	}
}

func TestHg_23_EightAtOnce(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), big(t)
	s := throttle(t, serve(t, src.dir).url)
	revisions := []string{src.tip, src.node(t, "30")}
	for _, kill := range []bool{false, true} {
		pool := h.path(fmt.Sprint("pool", kill))
		var all sync.WaitGroup
		var failed atomic.Int32
		cmds := make([]*exec.Cmd, 8)
		outs := make([]*bytes.Buffer, 8)
		for i := range cmds {
			// Two runs for each of four destinations, both for one revision.
			dest := fmt.Sprint("d", kill, i%4)
			cmds[i], outs[i] = h.begin("--share-base", pool, "--rev", revisions[i%2], s.URL, dest)
		}
		victim := -1
		if kill {
			victim = rand.IntN(8)
			before := s.sent.Load()
			eventually(t, "something is transferred", func() bool { return s.sent.Load() > before+1<<20 })
			cmds[victim].Process.Kill()
		}
		for i, cmd := range cmds {
			all.Go(func() {
				if err := cmd.Wait(); err != nil && i != victim {
					failed.Add(1)
					t.Errorf("run %d: %v\n%s", i, err, outs[i])
				}
			})
		}
		all.Wait()
		for i := range 4 {
			d := h.path(fmt.Sprint("d", kill, i))
			wantCopy(t, d, revisions[i%2])
			wantSound(t, d)
		}
	}
}

func TestHg_34_Signals(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			t.Parallel()
			h, src := newHome(t), big(t)
			s := throttle(t, serve(t, src.dir).url)
			d := h.path("d")
			s.fast.Store(true)
			older := src.node(t, "0")
			h.run("--rev", older, s.URL, "d").want(t, 0)
			s.fast.Store(false)
			s.sent.Store(0)
			cmd, out := h.begin("--rev", src.tip, s.URL, "d")
			eventually(t, "something is transferred", func() bool { return s.sent.Load() > 2<<20 })
			start := time.Now()
			cmd.Process.Signal(sig)
			if sig == syscall.SIGINT {
				cmd.Process.Signal(sig)
			}
			cmd.Wait()
			if took := time.Since(start); took > 6*time.Second {
				t.Errorf("took %v", took)
			}
			if got := cmd.ProcessState.ExitCode(); got != 128+int(sig) {
				t.Errorf("exit %d\n%s", got, out)
			}
			wantAbsent(t, filepath.Join(d, ".hg/store/journal"))
			wantCopy(t, d, older)
			wantSound(t, d)
		})
	}
}

func TestHg_43_Deadline(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), big(t)
	s := throttle(t, serve(t, src.dir).url)
	r := h.run("--budget", "3s", "--rev", src.tip, s.URL, "d").want(t, 124)
	if r.took > 10*time.Second {
		t.Errorf("took %v", r.took)
	}
	wantAbsent(t, h.path("d"))
}

func TestHg_44_BusyLock(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), big(t)
	s := throttle(t, serve(t, src.dir).url)
	h.begin("--rev", src.tip, s.URL, "d")
	eventually(t, "something is transferred", func() bool { return s.sent.Load() > 1<<20 })
	r := h.run("--lock-wait", "200ms", "--rev", src.tip, s.URL, "d").want(t, 76)
	if !strings.Contains(r.stderr, "held by process") {
		t.Error("the holder is not told of")
	}
}

// sshWrapper is an ssh that runs the command here, or does what its host says.
const sshWrapper = `#!/bin/sh
host=$1; shift
case "$host" in
*hang*) sleep 600 & wait ;;
*denied*) echo "Permission denied (publickey)." >&2; exit 255 ;;
*hostkey*) echo "Host key verification failed." >&2; exit 255 ;;
esac
exec sh -c "$*"
`

func TestHg_47_SSH(t *testing.T) {
	t.Parallel()
	src := small(t)
	bin := t.TempDir()
	write(t, filepath.Join(bin, "ssh"), sshWrapper)
	os.Chmod(filepath.Join(bin, "ssh"), 0o755)
	h := newHome(t, "PATH="+bin+":"+os.Getenv("PATH"))
	good := "ssh://good/" + src.dir
	h.run("--rev", src.tip, good, "d").want(t, 0)
	wantCopy(t, h.path("d"), src.tip)
	h.run("--branch", "default", "--mirror", "ssh://denied/"+src.dir, good, "e").want(t, 0)
	r := h.run("--rev", src.tip, "--first-byte-timeout", "3s", "--stall-timeout", "3s", "--rounds", "1", "--mirror", "ssh://hang/"+src.dir, good, "f").want(t, 0)
	if r.took > 30*time.Second {
		t.Errorf("took %v", r.took)
	}
	h.noneAlive()
	h.run("--rev", src.tip, "ssh://hostkey/"+src.dir, "g").want(t, 77)
	h.run("--rev", strings.Repeat("ab", 20), good, "g").want(t, 65)
}

func TestHg_48_Direct(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), small(t)
	s := serve(t, src.dir)
	h.run("--direct", "--rev", src.tip, s.url, "d").want(t, 0)
	wantCopy(t, h.path("d"), src.tip)
	stalling := before(t, s.url, on("getbundle", 0, func(_ http.ResponseWriter, r *http.Request, _ string, _ int) bool {
		<-r.Context().Done()
		return true
	}))
	h.run("--direct", "--first-byte-timeout", "3s", "--stall-timeout", "3s", "--rounds", "1", "--rev", src.tip, "--mirror", stalling.URL, s.url, "e").want(t, 0)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	finish(ctx, t, h.command("--direct", "--rev", src.tip, src.dir, "l"), nil).want(t, 0)
}
