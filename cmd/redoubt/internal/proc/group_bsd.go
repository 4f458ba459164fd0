//go:build unix && !linux

package proc

import "syscall"

// attributes has the system make a group for the program.
func attributes(foreground bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !foreground}
}

func groupRuns(int) bool { return true }
