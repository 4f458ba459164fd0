//go:build unix

package proc

import (
	"errors"
	"os"
	"syscall"
)

// signalGroup sends sig to the group that p leads.
func signalGroup(p *os.Process, sig syscall.Signal) error {
	err := syscall.Kill(-p.Pid, sig)
	if errors.Is(err, syscall.ESRCH) {
		return os.ErrProcessDone
	}
	return err
}

// resume lets processes that are stopped go on.
func resume(p *os.Process, group bool) {
	if group {
		_ = syscall.Kill(-p.Pid, syscall.SIGCONT)
		return
	}
	_ = p.Signal(syscall.SIGCONT)
}

// groupAlive reports whether a process of the group is left that can still do
// anything.
func groupAlive(pgid int) bool {
	return !errors.Is(syscall.Kill(-pgid, 0), syscall.ESRCH) && groupRuns(pgid)
}

// status returns the exit status and the signal of a process that ended.
func status(state *os.ProcessState) (int, syscall.Signal) {
	if ws, ok := state.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 0, ws.Signal()
	}
	return state.ExitCode(), 0
}
