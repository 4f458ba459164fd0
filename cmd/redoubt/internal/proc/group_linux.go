package proc

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// attributes has the system make a group for the program, and kill the program
// if this process dies.
func attributes(foreground bool) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: !foreground, Pdeathsig: syscall.SIGKILL}
}

// groupRuns reports whether the group has a member that is not a zombie. In a
// container whose first process reaps nobody, the orphans of a group stay
// zombies for ever.
func groupRuns(pgid int) bool {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return true // no /proc: believe kill
	}
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue // gone
		}
		if group, state, ok := parseStat(stat); ok && group == pgid && state != 'Z' && state != 'X' {
			return true
		}
	}
	return false
}

// parseStat returns the process group and the state out of a /proc/PID/stat:
// "pid (name) state ppid pgrp …", where the name may hold anything.
func parseStat(stat []byte) (pgrp int, state byte, ok bool) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 3 {
		return 0, 0, false
	}
	pgrp, err := strconv.Atoi(string(fields[2]))
	return pgrp, fields[0][0], err == nil
}
