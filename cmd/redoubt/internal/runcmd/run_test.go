//go:build unix

package runcmd

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
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/cmdtest"
)

// These tests run the command as it is built, in real time: waits are short and
// limits are long.

// generous is how long anything here may take at most.
const generous = 30 * time.Second

var binary string

func TestMain(m *testing.M) {
	// Under nohup a hangup is ignored, and by whatever is started too.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP)
	cmdtest.Main(m, &binary)
}

type outcome struct {
	code           int
	stdout, stderr string
	took           time.Duration
}

// runRedoubt runs "redoubt run" with a state directory of its own.
func runRedoubt(t *testing.T, args ...string) outcome {
	t.Helper()
	return finish(t, prepare(t, args...))
}

func prepare(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), generous)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, binary, append([]string{"run"}, args...)...)
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+t.TempDir(), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	return cmd
}

func finish(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	if _, ok := errors.AsType[*exec.ExitError](err); err != nil && !ok {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String(), time.Since(start)}
}

// countedScript is a script that appends a line to a file, so that its runs can
// be counted, and goes on with the rest.
func countedScript(t *testing.T, rest string) (script string, runs func() int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "runs")
	return "echo >>" + file + "; " + rest, func() int {
		data, err := os.ReadFile(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		return bytes.Count(data, []byte("\n"))
	}
}

// TestRedo has the cases in which redo's retry went wrong, and what is right.
func TestRedo(t *testing.T) {
	script, runs := countedScript(t, "exit 42")
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		runs   int
		stderr string
	}{
		{"no attempts", []string{"-a", "0", "sh", "-c", script}, 2, 0, "--attempts is 0, must be at least 1"},
		{"negative attempts", []string{"-a", "-3", "sh", "-c", script}, 2, 0, "--attempts is -3, must be at least 1"},
		{"no sleep", []string{"-a", "2", "-s", "0", "sh", "-c", script}, 42, 2, "next in 0s"},
		{"a fraction of a second", []string{"-a", "2", "-s", "0.01", "sh", "-c", script}, 42, 2, "next in "},
		{"more than the longest sleep", []string{"-a", "2", "-s", "100", "-m", "0.01", "sh", "-c", script}, 42, 2, "next in "},
		{"--", []string{"-a", "1", "--", "sh", "-c", script}, 42, 1, "exit status 42"},
		{"flags after COMMAND", []string{"-a", "1", "sh", "-c", script, "-a", "7"}, 42, 1, "sh -c '"},
		{"missing command", []string{"-a", "3", "no-such-command"}, 127, 0, "(1 attempt in"},
		{"no command", []string{"-a", "3"}, 2, 0, "COMMAND is missing"},
		{"no command after --", []string{"--"}, 2, 0, "COMMAND is missing"},
		{"empty command", []string{""}, 2, 0, "COMMAND is empty"},
		{"killed", []string{"-a", "2", "-s", "0", "sh", "-c", script + "; kill -9 $$"}, 42, 2, ""},
		{"killed by a signal", []string{"-a", "1", "sh", "-c", "kill -9 $$"}, 137, 0, "signal 9 (killed)"},
		{"passes the code on", []string{"-a", "1", "sh", "-c", script}, 42, 1, "failed with exit code 42"},
		{"hangs", []string{"-a", "1", "--timeout", "0.2", "sleep", "300"}, 124, 0, "--timeout 200ms is over"},
		{"-v", []string{"-v", "-a", "1", "sh", "-c", script}, 42, 1, "attempt 1 of 1: sh -c"},
		{"not an executable", []string{"-a", "3", "/dev/null"}, 126, 0, "permission denied"},
		{"success", []string{"true"}, 0, 0, "succeeded (1 attempt in"},
		{"quiet", []string{"-q", "-a", "2", "-s", "0", "sh", "-c", script}, 42, 2, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := runs()
			got := runRedoubt(t, tt.args...)
			if got.code != tt.code || runs()-before != tt.runs || !strings.Contains(got.stderr, tt.stderr) {
				t.Errorf("exit code %d after %d runs, want %d after %d; stderr:\n%swant …%s…",
					got.code, runs()-before, tt.code, tt.runs, got.stderr, tt.stderr)
			}
			if tt.name == "quiet" && got.stderr != "" {
				t.Errorf("stderr: %s", got.stderr)
			}
			if strings.Contains(got.stderr, "goroutine") || strings.Contains(got.stderr, "Usage:") {
				t.Errorf("stderr:\n%s", got.stderr)
			}
		})
	}
}

func TestBadInput(t *testing.T) {
	script, runs := countedScript(t, "true")
	for _, tt := range []struct {
		flags []string
		want  string
	}{
		{[]string{"-a", "x"}, `invalid argument "x" for "-a, --attempts" flag: must be a whole number`},
		{[]string{"-a", "99999999999999999999"}, "must be a whole number"},
		{[]string{"-s", "-1"}, "must not be negative"},
		{[]string{"-s", "soon"}, "must be a number of seconds or a duration"},
		{[]string{"-m", "1e9h"}, "must be a number of seconds or a duration"},
		{[]string{"--timeout", "99999999999"}, "must be less than 292 years"},
		{[]string{"--timeout", "1", "--attempt-timeout", "2"}, "--attempt-timeout is 2s, must be shorter than --timeout, 1s"},
		{[]string{"--grace", "0"}, "--grace is 0s, must be positive"},
		{[]string{"--retry-on-exit", "0"}, `"0" must be an exit code from 1 to 255`},
		{[]string{"--retry-if-stderr", "("}, "missing closing )"},
		{[]string{"--fail-if-stdout", ""}, "must not be empty"},
		{[]string{"--breaker", ""}, "--breaker is empty, must name the breaker"},
		{[]string{"--breaker", strings.Repeat("x", 2000)}, "Name is 2000 bytes long, must be at most 1024"},
		{[]string{"--breaker", "x", "--breaker-failures", "101"}, "--breaker-failures is 101, must be from 1 to 100"},
		{[]string{"--breaker", "x", "--breaker-cooldown", "0"}, "--breaker-cooldown is 0s, must be positive"},
		{[]string{"--state-dir", ""}, "--state-dir is empty, must be a directory"},
		{[]string{"--stdin", "some"}, "must be one of pass, replay, null"},
		{[]string{"-v", "-q"}, "exclude each other"},
		{[]string{"--no-such-flag"}, "unknown flag: --no-such-flag"},
	} {
		got := runRedoubt(t, append(tt.flags, "sh", "-c", script)...)
		if got.code != 2 || !strings.Contains(got.stderr, tt.want) || strings.Count(got.stderr, "\n") != 1 {
			t.Errorf("%.60q: exit code %d, stderr:\n%swant 2, …%s… in one line", tt.flags, got.code, got.stderr, tt.want)
		}
	}
	if n := runs(); n > 0 {
		t.Errorf("the command ran %d times", n)
	}
}

func TestWhatIsRetried(t *testing.T) {
	for _, tt := range []struct {
		name   string
		flags  []string
		script string
		code   int
		runs   int
	}{
		{"chosen code", []string{"--retry-on-exit", "3,75"}, "exit 75", 75, 3},
		{"other code", []string{"--retry-on-exit", "3,75"}, "exit 4", 4, 1},
		{"forbidden code", []string{"--no-retry-on-exit", "4"}, "exit 4", 4, 1},
		{"code that is not forbidden", []string{"--no-retry-on-exit", "4"}, "exit 5", 5, 3},
		{"forbidden and chosen", []string{"--retry-on-exit", "1-9", "--no-retry-on-exit", "4"}, "exit 4", 4, 1},
		{"signal as a code", []string{"--retry-on-exit", "137"}, "kill -9 $$", 137, 3},
		{"chosen stderr", []string{"--retry-if-stderr", "reset by (peer|beer)"}, "echo reset by peer >&2; exit 4", 4, 3},
		{"other stderr", []string{"--retry-if-stderr", "reset by (peer|beer)"}, "echo no such file >&2; exit 4", 4, 1},
		{"chosen stdout", []string{"--retry-if-stdout", "^try again$"}, "printf 'try again'; exit 4", 4, 3},
		{"the other stream", []string{"--retry-if-stdout", "again"}, "echo again >&2; exit 4", 4, 1},
		{"one of two patterns", []string{"--retry-if-stdout", "a", "--retry-if-stdout", "b"}, "echo b; exit 4", 4, 3},
		{"code or pattern", []string{"--retry-if-stdout", "a", "--retry-on-exit", "4"}, "exit 4", 4, 3},
		{"forbidden stderr", []string{"--no-retry-if-stderr", "authorization"}, "echo authorization failed >&2; exit 4", 4, 1},
		{"forbidden stdout", []string{"--no-retry-if-stdout", "fatal"}, "echo fatal; exit 4", 4, 1},
		{"success does not need to match", []string{"--retry-if-stdout", "a"}, "echo a", 0, 1},
		{"fails in spite of 0", []string{"--fail-if-stdout", "ERROR"}, "echo ERROR", 1, 3},
		{"fails in spite of 0, on stderr", []string{"--fail-if-stderr", "ERROR"}, "echo ERROR >&2", 1, 3},
		{"fails with its own code", []string{"--fail-if-stdout", "ERROR"}, "echo ERROR; exit 9", 9, 3},
		{"time limit, in spite of chosen codes", []string{"--retry-on-exit", "3", "--attempt-timeout", "1"}, "sleep 300", 124, 3},
		{"time limit forbidden", []string{"--no-retry-on-exit", "124", "--attempt-timeout", "1"}, "sleep 300", 124, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			script, runs := countedScript(t, tt.script)
			got := runRedoubt(t, append(append([]string{"-a", "3", "-s", "0"}, tt.flags...), "sh", "-c", script)...)
			if got.code != tt.code || runs() != tt.runs {
				t.Errorf("exit code %d after %d runs, want %d after %d; stderr:\n%s", got.code, runs(), tt.code, tt.runs, got.stderr)
			}
		})
	}
}

func TestSucceedsAtLast(t *testing.T) {
	got := runRedoubt(t, "-a", "5", "-s", "0.01", "sh", "-c", `echo out $REDOUBT_ATTEMPT; echo err >&2; [ "$REDOUBT_ATTEMPT" = 3 ]`)
	if got.code != 0 || got.stdout != "out 1\nout 2\nout 3\n" || strings.Count(got.stderr, "err\n") != 3 {
		t.Errorf("exit code %d, stdout %q, stderr:\n%s", got.code, got.stdout, got.stderr)
	}
	lines := regexp.MustCompile(`(?m)^redoubt: .*$`).FindAllString(got.stderr, -1)
	if len(lines) != 3 {
		t.Fatalf("said %q, want 3 lines", lines)
	}
	for i, want := range []string{
		`^redoubt: attempt 1 of 5 failed after \d+ms: exit status 1; next in \d+ms: sh -c '.*'$`,
		`^redoubt: attempt 2 of 5 failed after \d+ms: exit status 1; next in \d+ms: sh -c '.*'$`,
		`^redoubt: succeeded \(3 attempts in \S+, \S+ of it waiting\): sh -c '.*'$`,
	} {
		if !regexp.MustCompile(want).MatchString(lines[i]) {
			t.Errorf("said %s, want %s", lines[i], want)
		}
	}
}

// Nothing of an attempt that a limit ends may be left, however deaf or deep.
func TestTimeoutKillsGrandchildren(t *testing.T) {
	for _, flag := range []string{"--attempt-timeout", "--timeout"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "pids")
			script := `trap '' TERM; sh -c 'sleep 300 & echo $! >>` + file + `; wait' & echo $! >>` + file + `; wait`
			got := runRedoubt(t, "-a", "1", flag, "2", "--grace", "0.2", "sh", "-c", script)
			if got.code != 124 {
				t.Errorf("exit code %d, want 124; stderr:\n%s", got.code, got.stderr)
			}
			data, err := os.ReadFile(file)
			pids := strings.Fields(string(data))
			if err != nil || len(pids) != 2 {
				t.Fatalf("%q, %v", data, err)
			}
			for _, pid := range pids {
				if running(t, pid) {
					t.Errorf("process %s is alive", pid)
				}
			}
		})
	}
}

func running(t *testing.T, pid string) bool {
	t.Helper()
	if _, err := strconv.Atoi(pid); err != nil {
		t.Fatal(err)
	}
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ")
}

// With a minute to wait and a second to live, nobody waits.
func TestNoSleepIntoTheDeadline(t *testing.T) {
	got := runRedoubt(t, "-a", "3", "-s", "1000", "-m", "1000", "--timeout", "20", "sh", "-c", "exit 7")
	if got.code != 7 || got.took > 15*time.Second || !strings.Contains(got.stderr, "no time for another attempt") {
		t.Errorf("exit code %d after %v; stderr:\n%s", got.code, got.took, got.stderr)
	}
	if strings.Contains(got.stderr, "next in") {
		t.Errorf("promised what did not come:\n%s", got.stderr)
	}
}

func TestSignals(t *testing.T) {
	for _, tt := range []struct {
		signal syscall.Signal
		code   int
	}{{syscall.SIGINT, 130}, {syscall.SIGTERM, 143}, {syscall.SIGHUP, 129}} {
		for _, where := range []string{"attempt", "wait"} {
			t.Run(fmt.Sprint(tt.signal, " in the ", where), func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "got")
				script := fmt.Sprintf(`trap 'echo %d >>%s; exit 9' %d; echo ready; while :; do sleep 0.02; done`, tt.signal, file, tt.signal)
				if where == "wait" {
					script = "echo ready; exit 1"
				}
				cmd := prepare(t, "-a", "3", "-s", "600", "-m", "600", "sh", "-c", script)
				out, err := cmd.StdoutPipe()
				if err != nil {
					t.Fatal(err)
				}
				stderr, err := cmd.StderrPipe()
				if err != nil {
					t.Fatal(err)
				}
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(out, make([]byte, len("ready"))); err != nil {
					t.Fatal(err)
				}
				if where == "wait" {
					buffer := make([]byte, 4096)
					if n, err := stderr.Read(buffer); err != nil || !bytes.Contains(buffer[:n], []byte("next in")) {
						t.Fatalf("%s, %v", buffer[:n], err)
					}
				}
				if err := cmd.Process.Signal(tt.signal); err != nil {
					t.Fatal(err)
				}
				rest, _ := io.ReadAll(stderr)
				cmd.Wait()
				if code := cmd.ProcessState.ExitCode(); code != tt.code || !bytes.Contains(rest, []byte("1 attempt in")) {
					t.Errorf("exit code %d, want %d; stderr:\n%s", code, tt.code, rest)
				}
				got, _ := os.ReadFile(file)
				if where == "attempt" && string(got) != fmt.Sprintf("%d\n", tt.signal) {
					t.Errorf("the command got %q, want %d once", got, tt.signal)
				}
			})
		}
	}
}

// A background job of a shell and nohup ignore signals, and so must we.
func TestIgnoredSignalStaysIgnored(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), generous)
	defer cancel()
	script := `trap '' HUP; exec "$0" run -a 1 -q sh -c 'kill -HUP $PPID; sleep 0.1; exit 5'`
	cmd := exec.CommandContext(ctx, "sh", "-c", script, binary)
	if got := finish(t, cmd); got.code != 5 {
		t.Errorf("exit code %d, want 5; stderr:\n%s", got.code, got.stderr)
	}
}

func TestStdin(t *testing.T) {
	file := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(file, []byte("skipped read"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		flags []string
		pipe  bool
		want  string
		note  bool
	}{
		{"file", nil, false, "[ read][ read]", false},
		{"file, null", []string{"--stdin=null"}, false, "[][]", false},
		{"file, replay", []string{"--stdin=replay"}, false, "[ read][ read]", false},
		{"pipe", nil, true, "[ read][]", true},
		{"pipe, null", []string{"--stdin=null"}, true, "[][]", false},
		{"pipe, replay", []string{"--stdin=replay"}, true, "[ read][ read]", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := prepare(t, append(append([]string{"-a", "2", "-s", "0"}, tt.flags...), "sh", "-c", "printf '['; cat; printf ']'; exit 1")...)
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if _, err := f.Seek(int64(len("skipped")), io.SeekStart); err != nil {
				t.Fatal(err)
			}
			cmd.Stdin = f
			if tt.pipe {
				cmd.Stdin = struct{ io.Reader }{f} // exec makes a pipe of it
			}
			got := finish(t, cmd)
			if got.stdout != tt.want || strings.Contains(got.stderr, "without the input") != tt.note {
				t.Errorf("stdout %q, want %q; stderr:\n%s", got.stdout, tt.want, got.stderr)
			}
		})
	}
}

func TestStdinThatNeverEnds(t *testing.T) {
	cmd := prepare(t, "--timeout", "0.3", "--stdin=replay", "cat")
	if _, err := cmd.StdinPipe(); err != nil { // open until Wait
		t.Fatal(err)
	}
	if got := finish(t, cmd); got.code != 124 {
		t.Errorf("exit code %d, want 124; stderr:\n%s", got.code, got.stderr)
	}
}

func TestForeground(t *testing.T) {
	ours := strconv.Itoa(syscall.Getpgrp())
	for _, flags := range [][]string{{"--foreground"}, nil} {
		got := runRedoubt(t, append(flags, "sh", "-c", "cut -d' ' -f5 /proc/$$/stat")...)
		if group := strings.TrimSpace(got.stdout); group == "" || (group == ours) != (flags != nil) {
			t.Errorf("%q: process group %s, that of the test is %s; stderr:\n%s", flags, group, ours, got.stderr)
		}
	}
	// Limits still reach the command itself.
	if got := runRedoubt(t, "--foreground", "-a", "1", "--timeout", "0.2", "sleep", "300"); got.code != 124 {
		t.Errorf("exit code %d, want 124; stderr:\n%s", got.code, got.stderr)
	}
}

func TestBreakerAcrossProcesses(t *testing.T) {
	dir := t.TempDir()
	script, runs := countedScript(t, "exit 3")
	guarded := func(more ...string) outcome {
		t.Helper()
		return runRedoubt(t, append([]string{"-a", "1", "--breaker", "b", "--state-dir", dir, "--breaker-cooldown", "1h"}, more...)...)
	}
	// What is not to be retried says nothing about the dependency.
	for range 6 {
		guarded("--no-retry-on-exit", "3", "sh", "-c", "exit 3")
		guarded("no-such-command")
	}
	for i := range 5 {
		if got := guarded("sh", "-c", script); got.code != 3 {
			t.Fatalf("run %d: exit code %d; stderr:\n%s", i, got.code, got.stderr)
		}
	}
	got := guarded("sh", "-c", script)
	if got.code != 75 || runs() != 5 || !strings.Contains(got.stderr, "b is open (5 failures in a row), last: exit_3 in process ") {
		t.Errorf("the sixth: exit code %d, %d runs; stderr:\n%s", got.code, runs(), got.stderr)
	}
	if got := runRedoubt(t, "-a", "1", "--breaker", "other", "--state-dir", dir, "true"); got.code != 0 {
		t.Errorf("another circuit: exit code %d; stderr:\n%s", got.code, got.stderr)
	}
	if got := runRedoubt(t, "true"); got.code != 0 {
		t.Errorf("without a breaker: exit code %d", got.code)
	}
}

func TestBreakerOneProbe(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"-a", "1", "--breaker", "b", "--state-dir", dir, "--breaker-failures", "1", "--breaker-cooldown", "0.2"}
	runRedoubt(t, append(flags, "false")...)
	time.Sleep(300 * time.Millisecond) // jitter included
	script, runs := countedScript(t, "sleep 2")
	codes := make(chan int, 4)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() { codes <- runRedoubt(t, append(flags, "sh", "-c", script)...).code })
	}
	wg.Wait()
	close(codes)
	got := make(map[int]int)
	for code := range codes {
		got[code]++
	}
	if got[0] != 1 || got[75] != 3 || runs() != 1 {
		t.Errorf("exit codes %v after %d runs, want one 0 and three 75 after one", got, runs())
	}
}

func TestBreakerIsWaitedFor(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"--breaker", "b", "--state-dir", dir, "--breaker-failures", "1", "--breaker-cooldown", "4"}
	runRedoubt(t, append(flags, "-a", "1", "false")...)
	got := runRedoubt(t, append(flags, "-a", "3", "-s", "0", "--timeout", "60", "true")...)
	if got.code != 0 || !strings.Contains(got.stderr, "next in at least ") {
		t.Errorf("exit code %d; stderr:\n%s", got.code, got.stderr)
	}
}

func TestBreakerWithoutState(t *testing.T) {
	got := runRedoubt(t, "-a", "9", "-s", "0", "--breaker", "b", "--state-dir", "/dev/null/x", "false")
	if got.code != 75 || strings.Count(got.stderr, "store can't be used") != 1 {
		t.Errorf("exit code %d, want 75 and one warning; stderr:\n%s", got.code, got.stderr)
	}
	cmd := prepare(t, "--breaker", "b", "true")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if got := finish(t, cmd); got.code != 2 || !strings.Contains(got.stderr, "--state-dir") {
		t.Errorf("without HOME: exit code %d; stderr:\n%s", got.code, got.stderr)
	}
}

func TestTelemetry(t *testing.T) {
	cmd := prepare(t, "-a", "2", "-s", "0", "--name", "upload", "sh", "-c", "echo $TRACEPARENT; exit 3")
	cmd.Env = append(cmd.Env, "OTEL_TRACES_EXPORTER=console", "TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	got := finish(t, cmd)
	if strings.Count(got.stdout, "00-0af7651916cd43dd8448eb211c80319c-") != 2 || strings.Contains(got.stdout, "b7ad6b7169203331") {
		t.Errorf("the command's traces:\n%s", got.stdout)
	}
	for _, want := range []string{`"Name":"redoubt upload"`, `"Name":"attempt upload"`, `"Value":"exit_3"`, `"Value":"redoubt"`} {
		if !strings.Contains(got.stderr, want) {
			t.Errorf("no %s in stderr:\n%s", want, got.stderr)
		}
	}
	cmd = prepare(t, "true")
	cmd.Env = append(cmd.Env, "OTEL_TRACES_EXPORTER=nonsense")
	if got := finish(t, cmd); got.code != 2 || !strings.Contains(got.stderr, "OTEL_TRACES_EXPORTER") {
		t.Errorf("a bad exporter: exit code %d; stderr:\n%s", got.code, got.stderr)
	}
}

// A collector that is down costs an exit code nothing and little time.
func TestTelemetryCollectorDown(t *testing.T) {
	cmd := prepare(t, "-a", "1", "-q", "sh", "-c", "exit 3")
	cmd.Env = append(cmd.Env, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1")
	if got := finish(t, cmd); got.code != 3 || got.took > 15*time.Second || strings.Count(got.stderr, "redoubt: telemetry:") != 1 {
		t.Errorf("exit code %d after %v; stderr:\n%s", got.code, got.took, got.stderr)
	}
}
