//go:build !unix

package shared

import (
	"io/fs"
	"os"
)

// share does nothing where there is no umask.
func share(*os.File, fs.FileInfo) {}
