package mercurial

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/proc"
)

// look is how often a process is looked at.
const look = 250 * time.Millisecond

// watch ends a process group that does nothing for c.Stall: none of its
// processes reads or writes a byte. A process that waits for the network reads
// nothing.
func watch(ctx context.Context, p *proc.Process, c Call, end func(error)) {
	tick := time.NewTicker(min(look, c.Stall/4+1))
	defer tick.Stop()
	last, since := int64(-1), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.Done():
			return
		case <-tick.C:
		}
		if now := moved(p.PID()); now != last {
			last, since = now, time.Now()
		} else if time.Since(since) >= c.Stall {
			end(&StallError{After: c.Stall})
			return
		}
	}
}

// moved returns how many bytes the processes of a group have read and written,
// and how much time they have computed, as one number that only grows stale.
func moved(group int) int64 {
	var total int64
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, name := range stats {
		stat, err := os.ReadFile(name)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 13 || fields[2] != strconv.Itoa(group) {
			continue
		}
		for _, ticks := range fields[11:13] { // utime, stime
			n, _ := strconv.ParseInt(ticks, 10, 64)
			total += n
		}
		total += readWritten(filepath.Join(filepath.Dir(name), "io"))
	}
	return total
}

func readWritten(name string) int64 {
	text, err := os.ReadFile(name)
	if err != nil {
		return 0
	}
	var total int64
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		if key == "rchar" || key == "wchar" {
			n, _ := strconv.ParseInt(value, 10, 64)
			total += n
		}
	}
	return total
}

// EndLeft kills what is left of a run that was killed: every process that has
// its mark in the environment. It returns how many there were.
func EndLeft(run string) int {
	if run == "" {
		return 0
	}
	mark := []byte(RunVariable + "=" + run + "\x00")
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	ended := 0
	for _, name := range environs {
		env, err := os.ReadFile(name)
		if err != nil || !bytes.Contains(append([]byte{0}, env...), append([]byte{0}, mark...)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		if process, err := os.FindProcess(pid); err == nil && process.Kill() == nil {
			ended++
		}
	}
	return ended
}
