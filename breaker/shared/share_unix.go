//go:build unix

package shared

import (
	"io/fs"
	"os"
	"syscall"
)

// share gives the group of dir the access to f that the umask has taken away, if
// the directory is the group's to write to and so is the file.
//
// A file that has another name, or something in it, may be anybody's: whoever may
// write to the directory can link it there. A file of another user stays as it is.
func share(f *os.File, dir fs.FileInfo) {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() || info.Size() > 0 {
		return
	}
	file, ok := info.Sys().(*syscall.Stat_t)
	owner, known := dir.Sys().(*syscall.Stat_t)
	if !ok || !known || file.Nlink != 1 || file.Gid != owner.Gid {
		return
	}
	perm, group := info.Mode().Perm(), modeIn(dir)&0o060
	if group&0o020 != 0 && perm&group != group {
		_ = f.Chmod(perm | group)
	}
}
