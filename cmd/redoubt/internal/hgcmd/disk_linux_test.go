package hgcmd_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestHg_28_DiskFull(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), big(t)
	url := serve(t, src.dir).url
	disk := smallDisk(t, h)
	d := filepath.Join(disk, "d")
	h.run("--rev", src.tip, url, d).want(t, 74)
	wantAbsent(t, d)
	wantFree(t, disk)
	enlarge(t, disk)
	h.run("--rev", src.tip, url, d).want(t, 0)
	wantCopy(t, d, src.tip)
}

// The disk is full, and so the holder of a lock can't write its name. The room is
// given back all the same, and the next run begins.
func TestHg_66_DiskOfThePoolFull(t *testing.T) {
	t.Parallel()
	h, src := newHome(t), big(t)
	url := serve(t, src.dir).url
	disk := smallDisk(t, h)
	args := []string{"--share-base", filepath.Join(disk, "base"), "--rev", src.tip, url, "d"}
	h.run(args...).want(t, 74)
	wantFree(t, disk)
	enlarge(t, disk)
	h.run(args...).want(t, 0)
}

// smallDisk mounts a disk that is too small for a repository.
func smallDisk(t *testing.T, h *home) string {
	t.Helper()
	disk := h.path("disk")
	os.Mkdir(disk, 0o755)
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=12m"); err != nil {
		t.Fatalf("this test mounts a tmpfs, for which it must be root: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(disk, 0) })
	return disk
}

// wantFree reports a disk on which something was left.
func wantFree(t *testing.T, disk string) {
	t.Helper()
	var fs syscall.Statfs_t
	if err := syscall.Statfs(disk, &fs); err != nil || fs.Bavail*uint64(fs.Bsize) < 11<<20 {
		t.Errorf("the disk is still full: %d blocks free, %v", fs.Bavail, err)
	}
}

func enlarge(t *testing.T, disk string) {
	t.Helper()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", syscall.MS_REMOUNT, "size=60m"); err != nil {
		t.Fatal(err)
	}
}
