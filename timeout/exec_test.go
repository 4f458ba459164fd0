package timeout

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"testing"
	"time"
)

// A subprocess lives in real time, out of a bubble's reach.

const sleeper = "REDOUBT_TEST_SLEEPER"

// TestMain is the subprocess: one that does not end by itself.
func TestMain(m *testing.M) {
	if os.Getenv(sleeper) != "" {
		time.Sleep(time.Minute)
		os.Exit(3)
	}
	os.Exit(m.Run())
}

// The one deaf callee that matters is cut short.
func TestLimit_Subprocess(t *testing.T) {
	const limit, soon = 500 * time.Millisecond, 20 * time.Second
	var process *os.ProcessState
	start := time.Now()
	err := Limit(limit).Do(t.Context(), func(ctx context.Context) error {
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^$")
		cmd.Env = append(os.Environ(), sleeper+"=1")
		cmd.WaitDelay = time.Second
		_, err := cmd.Output()
		process = cmd.ProcessState
		return err
	})
	if took := time.Since(start); took < limit || took > soon {
		t.Errorf("took %v, want about %v", took, limit)
	}
	if _, ok := errors.AsType[*Error](err); !ok {
		t.Errorf("err = %v, want an *Error", err)
	}
	if _, ok := errors.AsType[*exec.ExitError](err); !ok {
		t.Errorf("err = %v, want it to tell how the process ended", err)
	}
	if process == nil || process.ExitCode() != -1 {
		t.Errorf("process ended with %v, want it killed", process)
	}
}
