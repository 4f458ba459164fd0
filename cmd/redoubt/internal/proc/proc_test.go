//go:build unix

package proc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// generous is how long anything here may take at most.
const generous = 20 * time.Second

func TestMain(m *testing.M) {
	// Under nohup a hangup is ignored, and by whatever is started too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	os.Exit(m.Run())
}

func TestRun(t *testing.T) {
	notExecutable := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(notExecutable, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	noInterpreter := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(noInterpreter, []byte("#!/no/such/interpreter\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cmd  Cmd
		code int
		err  string
	}{
		{"success", Cmd{Path: "true"}, 0, ""},
		{"status", shell("exit 42"), 42, "sh: exit status 42"},
		{"signal", shell("kill -9 $$"), 137, "sh: signal 9 (killed)"},
		{"missing", Cmd{Path: "no-such-program"}, 127, "no-such-program: executable file not found in $PATH"},
		{"missing path", Cmd{Path: "/no/such/program"}, 127, "/no/such/program: no such file or directory"},
		{"empty", Cmd{}, 127, ": executable file not found in $PATH"},
		{"not executable", Cmd{Path: notExecutable}, 126, notExecutable + ": permission denied"},
		{"no interpreter", Cmd{Path: noInterpreter}, 126, noInterpreter + ": no such file or directory"},
		{"a directory", Cmd{Path: t.TempDir()}, 126, "is a directory"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.cmd.Run(t.Context())
			if tt.err == "" {
				if err != nil {
					t.Errorf("err = %v, want nil", err)
				}
				return
			}
			if err == nil || !strings.HasSuffix(err.Error(), tt.err) {
				t.Fatalf("err = %v, want …%s", err, tt.err)
			}
			var coder interface{ ExitCode() int }
			if !errors.As(err, &coder) || coder.ExitCode() != tt.code {
				t.Errorf("exit code of %v is not %d", err, tt.code)
			}
		})
	}
}

func TestOutput(t *testing.T) {
	var stdout, stderr bytes.Buffer
	cmd := shell("cat; echo one >&2; printf 0123456789 >&2; exit 3")
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.Tail = strings.NewReader("in"), &stdout, &stderr, 4
	err := cmd.Run(t.Context())
	if stdout.String() != "in" || stderr.String() != "one\n0123456789" {
		t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
	}
	e, ok := errors.AsType[*ExitError](err)
	if !ok || string(e.Stderr) != "6789" {
		t.Errorf("err = %#v, want an ExitError that ends in 6789", err)
	}
}

// A grandchild that would outlive its parent is the whole point of groups.
func TestContextEndsGroup(t *testing.T) {
	for _, tt := range []struct {
		name   string
		script string // writes the grandchild's number to $1
		cause  error
		signal syscall.Signal
	}{
		{"grandchild", `sleep 300 & echo $! >"$1.tmp"; mv "$1.tmp" "$1"; wait`, nil, syscall.SIGTERM},
		{"cause names a signal", `sleep 300 & echo $! >"$1.tmp"; mv "$1.tmp" "$1"; wait`, &SignalError{syscall.SIGHUP}, syscall.SIGHUP},
		{"deaf", `trap '' TERM; sh -c "sleep 300; true" & echo $! >"$1.tmp"; mv "$1.tmp" "$1"; wait`, nil, syscall.SIGKILL},
		{"deaf grandchild only", `(trap '' TERM; exec sleep 300) & echo $! >"$1.tmp"; mv "$1.tmp" "$1"; wait`, nil, syscall.SIGTERM},
		{"stopped", `sleep 300 & echo $! >"$1.tmp"; mv "$1.tmp" "$1"; kill -STOP $$; wait`, nil, syscall.SIGTERM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			file := filepath.Join(t.TempDir(), "pid")
			cmd := Cmd{Path: "sh", Args: []string{"-c", tt.script, "sh", file}, Grace: 300 * time.Millisecond, Stdout: io.Discard}
			p, err := cmd.Start(ctx)
			if err != nil {
				t.Fatal(err)
			}
			grandchild := pidFrom(t, file)
			if group, err := syscall.Getpgid(grandchild); err != nil || group != p.PID() {
				t.Fatalf("group of the grandchild is %d, %v; want %d", group, err, p.PID())
			}
			start := time.Now()
			cancel(tt.cause)
			err = p.Wait()
			if took := time.Since(start); took > generous {
				t.Errorf("took %v", took)
			}
			e, ok := errors.AsType[*ExitError](err)
			if !ok || e.Signal != tt.signal || !errors.Is(err, context.Canceled) {
				t.Errorf("err = %v, want signal %v and context.Canceled", err, tt.signal)
			}
			if alive(grandchild) {
				t.Errorf("grandchild %d is alive", grandchild)
			}
			if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
				t.Errorf("Signal after the end: %v", err)
			}
			if again := p.Wait(); !errors.Is(again, err) {
				t.Errorf("second Wait returned %v", again)
			}
		})
	}
}

// The group has its grace even if its leader is gone at once: hg under a shell
// rolls back.
func TestGraceIsTheGroups(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	script := `sh -c 'trap "sleep 0.3; echo rolled >back; exit" TERM; echo $$ >tmp; mv tmp pid; while :; do sleep 0.05; done' & wait`
	p, err := Cmd{Path: "sh", Args: []string{"-c", script}, Dir: dir, Grace: generous}.Start(ctx)
	if err != nil {
		t.Fatal(err)
	}
	pidFrom(t, filepath.Join(dir, "pid"))
	cancel()
	p.Wait()
	if _, err := os.Stat(filepath.Join(dir, "back")); err != nil {
		t.Errorf("grandchild had no time to roll back: %v", err)
	}
}

func TestEndedAlthoughStatusIsZero(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	err := shell(`trap 'exit 0' TERM; while :; do sleep 0.05; done`).Run(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("err = %v, want DeadlineExceeded", err)
	}
}

func TestContextEndedBefore(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("over")
	cancel(cause)
	if err := (Cmd{Path: "true"}).Run(ctx); !errors.Is(err, cause) {
		t.Errorf("err = %v, want %v", err, cause)
	}
}

// What a program leaves behind may hold its output open, but not for ever.
func TestLeftBehind(t *testing.T) {
	start := time.Now()
	cmd := shell("sleep 300 & echo $!")
	var out bytes.Buffer
	cmd.Stdout, cmd.Grace = &out, 100*time.Millisecond
	if err := cmd.Run(t.Context()); err != nil {
		t.Errorf("err = %v, want nil", err)
	}
	if took := time.Since(start); took > generous {
		t.Errorf("took %v", took)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(out.String()))
	if err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
}

func TestDeadParent(t *testing.T) {
	if os.Getenv("PROC_TEST") == "parent" {
		p, err := Cmd{Path: "sleep", Args: []string{"300"}}.Start(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println(p.PID())
		select {}
	}
	parent := exec.Command(os.Args[0], "-test.run=^TestDeadParent$")
	parent.Env = append(os.Environ(), "PROC_TEST=parent")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Fscan(out, &pid); err != nil {
		t.Fatal(err)
	}
	parent.Process.Kill()
	parent.Wait()
	for limit := time.Now().Add(generous); alive(pid); time.Sleep(poll) {
		if time.Now().After(limit) {
			syscall.Kill(pid, syscall.SIGKILL)
			t.Fatalf("child %d survived its parent", pid)
		}
	}
}

func TestNotify(t *testing.T) {
	ctx, stop := Notify(t.Context())
	defer stop()
	self := os.Getpid()
	syscall.Kill(self, syscall.SIGTERM)
	select {
	case <-ctx.Done():
	case <-time.After(generous):
		t.Fatal("context did not end")
	}
	e, ok := errors.AsType[*SignalError](context.Cause(ctx))
	if !ok || e.ExitCode() != 143 || !errors.Is(e, context.Canceled) {
		t.Errorf("cause = %v, want SIGTERM", context.Cause(ctx))
	}
}

func TestTail(t *testing.T) {
	for size := range 6 {
		for _, writes := range [][]string{
			{}, {""}, {"a"}, {"abc"}, {"abc", "d"}, {"abcde", "fgh"}, {"a", "b", "c", "d", "e", "f", "g"}, {"abcdefghijklmnop", "q"},
		} {
			tail := NewTail(size)
			all := strings.Join(writes, "")
			for _, w := range writes {
				if n, err := tail.Write([]byte(w)); n != len(w) || err != nil {
					t.Fatalf("Write(%q) = %d, %v", w, n, err)
				}
			}
			want := all[max(0, len(all)-size):]
			if got := string(tail.Bytes()); got != want {
				t.Errorf("size %d, %q: kept %q, want %q", size, writes, got, want)
			}
		}
	}
}

func shell(script string) Cmd { return Cmd{Path: "sh", Args: []string{"-c", script}} }

// pidFrom waits for a file and returns the number in it.
func pidFrom(t *testing.T, file string) int {
	t.Helper()
	for limit := time.Now().Add(generous); ; time.Sleep(poll) {
		data, err := os.ReadFile(file)
		if err == nil {
			pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
		if time.Now().After(limit) {
			t.Fatal(err)
		}
	}
}

// alive reports whether a process runs; a zombie does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(stat), ") Z ")
}
