package source

import (
	"os"
	"path/filepath"
	"strings"
)

// Dest judges the directory for the working copy and returns its absolute path.
// It must not be a directory whose loss would be a disaster, nor lie in one of
// others, the store or the sources, or have one of them within.
func Dest(field, text string, others ...string) (string, error) {
	switch {
	case text == "":
		return "", refuse(field, text, "must not be empty")
	case strings.IndexFunc(text, unprintable) >= 0:
		return "", refuse(field, text, "must not have control characters")
	}
	abs, err := filepath.Abs(text)
	if err != nil {
		return "", refuse(field, text, "must be a path from a working directory that exists")
	}
	if rule := precious(abs); rule != "" {
		return "", refuse(field, text, rule)
	}
	for _, other := range others {
		if other != "" && (within(abs, other) || within(other, abs)) {
			return "", refuse(field, text, "must be apart from "+other)
		}
	}
	return abs, nil
}

// precious returns the rule that forbids abs as a destination, "" if none.
func precious(abs string) string {
	resolved := Resolve(abs)
	if abs == "/" || resolved == "/" {
		return "must not be the root of the file system"
	}
	if home, err := os.UserHomeDir(); err == nil && home != "" && within(Resolve(home), resolved) {
		return "must not be the home directory or above it"
	}
	if wd, err := os.Getwd(); err == nil && within(Resolve(wd), resolved) && Resolve(wd) != resolved {
		return "must not be above the working directory"
	}
	if base := filepath.Base(abs); base == ".hg" {
		return `must not be a ".hg" directory`
	}
	return ""
}

// Resolve follows the links of the part of path that exists.
func Resolve(path string) string {
	if target, err := filepath.EvalSymlinks(path); err == nil {
		return target
	}
	dir, base := filepath.Split(filepath.Clean(path))
	if dir == "" || dir == path {
		return path
	}
	return filepath.Join(Resolve(filepath.Clean(dir)), base)
}

// within reports whether path is dir or lies in it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
