package loadcmd

import (
	"strings"
	"testing"
)

// A file that can't be written does not take the rest with it.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	got, dir := drive(t, "--scenario", write(t, short), "--duration", "200ms", "--clients", "bare",
		"--json", "/dev/full", "--hdr", "/dev/full", "--vegeta", "/dev/full")
	if got.code != 1 {
		t.Errorf("exit code %d", got.code)
	}
	if n := strings.Count(got.stderr, "no space left on device"); n != 3 {
		t.Errorf("%d of 3 files are told of: %s", n, got.stderr)
	}
	contains(t, "stderr", got.stderr, "redoubt: /dev/full: ")
	contains(t, "stdout", got.stdout, "useful answers")
	read(t, dir, "redoubt-report.html")
}
