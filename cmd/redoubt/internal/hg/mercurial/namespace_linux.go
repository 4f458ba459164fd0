package mercurial

import (
	"fmt"
	"syscall"
)

// namespace is how hg tells the process namespaces of a host apart.
func namespace() string {
	var stat syscall.Stat_t
	if syscall.Stat("/proc/self/ns/pid", &stat) != nil {
		return ""
	}
	return fmt.Sprintf("/%x", stat.Ino)
}
