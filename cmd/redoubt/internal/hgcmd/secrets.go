package hgcmd

import (
	"os"
	"runtime"
	"strings"
	"unsafe"
)

// hideSecrets copies the lists of strings in place, and then blanks users and
// passwords out of this process's own command line, which all users of the
// machine can read.
//
// On Linux os.Args are the very bytes that the kernel shows in /proc, and all
// that was parsed from them are parts of those.
func hideSecrets(lists ...[]string) {
	for _, list := range lists {
		for i, text := range list {
			list[i] = strings.Clone(text)
		}
	}
	if runtime.GOOS != "linux" {
		return
	}
	for _, arg := range os.Args[1:] {
		blank(arg)
	}
}

// blank overwrites what may be secret in arg with stars: all from "://" to the
// last "@", and a query.
func blank(arg string) {
	start := strings.Index(arg, "://")
	if start < 0 {
		return
	}
	start += len("://")
	bytes := unsafe.Slice(unsafe.StringData(arg), len(arg))
	if end := strings.LastIndexByte(arg, '@'); end > start {
		fill(bytes[start:end])
	}
	if query := strings.IndexByte(arg, '?'); query > start {
		fill(bytes[query+1:])
	}
}

func fill(bytes []byte) {
	for i := range bytes {
		bytes[i] = '*'
	}
}
