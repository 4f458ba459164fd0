package shared

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
)

// These tests are about real processes and real time: this binary runs itself.

const (
	cooldown = 300 * time.Millisecond
	leased   = 600 * time.Millisecond
	generous = 20 * time.Second
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SHARED_TEST_DIR"); dir != "" {
		child(dir, os.Getenv("SHARED_TEST_CALL"), os.Getenv("SHARED_TEST_COOLDOWN"))
		return
	}
	os.Exit(m.Run())
}

// child is a process that makes one call, says so on stdout, and then says how
// it went.
func child(dir, what, wait string) {
	cooldown, err := time.ParseDuration(wait)
	if err != nil {
		panic(err)
	}
	b := New(Config{Name: "b", Store: NewFileStore(dir), Cooldown: cooldown, MaxCooldown: time.Hour, Jitter: NoJitter, Lease: leased})
	err = b.Do(context.Background(), func(context.Context) error {
		fmt.Println("called")
		switch what {
		case "fail":
			return errors.New("failed")
		case "hang":
			time.Sleep(time.Hour)
		case "slow":
			time.Sleep(3 * leased)
		}
		return nil
	})
	switch {
	case errors.Is(err, breaker.ErrOpen):
		fmt.Println("refused")
	case err != nil:
		fmt.Println("failed")
	default:
		fmt.Println("succeeded")
	}
}

type process struct {
	*exec.Cmd
	lines *bufio.Scanner
}

func start(t *testing.T, dir, what string) process {
	t.Helper()
	return startWith(t, dir, what, cooldown)
}

func startWith(t *testing.T, dir, what string, cooldown time.Duration) process {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "SHARED_TEST_DIR="+dir, "SHARED_TEST_CALL="+what, "GORACE=atexit_sleep_ms=0", "SHARED_TEST_COOLDOWN="+cooldown.String())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return process{cmd, bufio.NewScanner(out)}
}

// line returns the next line that the process says, "" at the end.
func (p process) line() string {
	p.lines.Scan()
	return p.lines.Text()
}

// rest returns all lines to come, after the process has ended.
func (p process) rest() string {
	var lines []string
	for p.lines.Scan() {
		lines = append(lines, p.lines.Text())
	}
	p.Wait()
	return strings.Join(lines, " ")
}

func trip(t *testing.T, dir string) {
	t.Helper()
	for i := range DefaultConsecutive {
		if got := start(t, dir, "fail").rest(); got != "called failed" {
			t.Fatalf("process %d: %s", i, got)
		}
	}
}

func TestFiveRefusalsInFiveProcesses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range DefaultConsecutive {
		if got := startWith(t, dir, "fail", time.Hour).rest(); got != "called failed" {
			t.Fatalf("process %d: %s", i, got)
		}
	}
	if got := startWith(t, dir, "", time.Hour).rest(); got != "refused" {
		t.Errorf("the sixth process: %s", got)
	}
}

func TestOneOfFourProcessesProbes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	trip(t, dir)
	time.Sleep(cooldown)
	var processes []process
	for range 4 {
		processes = append(processes, start(t, dir, "slow"))
	}
	got := make(map[string]int)
	for _, p := range processes {
		got[p.rest()]++
	}
	if got["called succeeded"] != 1 || got["refused"] != 3 {
		t.Errorf("got %v, want 1 called succeeded, 3 refused", got)
	}
	if got := start(t, dir, "").rest(); got != "called succeeded" {
		t.Errorf("after the probe: %s", got)
	}
}

func TestKilledProber(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	trip(t, dir)
	time.Sleep(cooldown)
	prober := start(t, dir, "hang")
	if got := prober.line(); got != "called" {
		t.Fatalf("the prober: %s", got)
	}
	time.Sleep(2 * leased) // it lives, and renews its lease
	if got := start(t, dir, "").rest(); got != "refused" {
		t.Errorf("while the prober lives: %s", got)
	}
	if err := prober.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	prober.rest()
	for limit := time.Now().Add(generous); ; {
		got := start(t, dir, "").rest()
		if got == "called succeeded" {
			break
		}
		if got != "refused" || time.Now().After(limit) {
			t.Fatalf("after the prober was killed: %s", got)
		}
		time.Sleep(leased / 10)
	}
}
