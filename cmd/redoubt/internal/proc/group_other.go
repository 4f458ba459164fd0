//go:build !unix

package proc

import (
	"os"
	"syscall"
)

func attributes(bool) *syscall.SysProcAttr { return nil }

// signalGroup kills p, whatever the signal: there is nothing gentler.
func signalGroup(p *os.Process, _ syscall.Signal) error { return p.Kill() }

func resume(*os.Process, bool) {}

func groupAlive(int) bool { return false }

func status(state *os.ProcessState) (int, syscall.Signal) { return state.ExitCode(), 0 }
