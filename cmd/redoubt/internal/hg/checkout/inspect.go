// Package checkout looks after the working copy: what is in the destination, may
// it be touched, how does it get its revision, and is the result right.
//
// A new working copy is built beside its place and renamed into it, so that the
// destination holds all of it or is not there.
package checkout

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

// A Kind is what stands at the destination.
type Kind int

// The kinds.
const (
	Absent     Kind = iota // nothing, or an empty directory
	Repository             // a working copy, with a store of its own or a shared one
	Strange                // anything else
)

// Info is what can be seen of a destination without running hg, which could be
// misled by it.
type Info struct {
	Kind   Kind
	Store  string // of a share: the repository that it shares; else ""
	Parent string // the revision of the working copy; "" if it can't be told
	What   string // of a Strange one, what it is
}

// Inspect looks at path and changes nothing.
func Inspect(path string) (Info, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Lstat(path); err == nil {
			return Info{Kind: Strange, What: "a link to nothing"}, nil
		}
		return Info{Kind: Absent}, nil
	}
	if err != nil {
		return Info{}, err
	}
	if !info.IsDir() {
		return Info{Kind: Strange, What: "a file"}, nil
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		return Info{}, err
	}
	if len(entries) == 0 {
		return Info{Kind: Absent}, nil
	}
	if !isDir(filepath.Join(path, ".hg")) {
		return Info{Kind: Strange, What: "a directory with files and no repository"}, nil
	}
	return Info{Kind: Repository, Store: sharedStore(path), Parent: dirstateParent(path)}, nil
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// sharedStore returns the repository whose store the one at path shares, "" if
// it has its own.
func sharedStore(path string) string {
	text, err := os.ReadFile(filepath.Join(path, ".hg", "sharedpath"))
	if err != nil {
		return ""
	}
	shared := strings.TrimRight(string(text), "\n")
	if !filepath.IsAbs(shared) {
		shared = filepath.Join(path, ".hg", shared)
	}
	return filepath.Dir(filepath.Clean(shared))
}

// dirstateParent reads the first parent of a working copy: the first 20 bytes,
// or in the second format what follows its mark.
func dirstateParent(path string) string {
	text, err := os.ReadFile(filepath.Join(path, ".hg", "dirstate"))
	if err != nil {
		return ""
	}
	text = bytes.TrimPrefix(text, []byte("dirstate-v2\n"))
	if len(text) < 20 {
		return ""
	}
	node := hex.EncodeToString(text[:20])
	if !source.IsNode(node) {
		return ""
	}
	return node
}

// IsRepository reports whether a repository that hg can open is at path.
func IsRepository(path string) bool {
	_, err := os.Stat(filepath.Join(path, ".hg", "requires"))
	return err == nil
}
