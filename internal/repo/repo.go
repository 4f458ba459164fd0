// Package repo lets a test look at the repository it is part of: its root
// directory and its packages.
package repo

import (
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Module is the path of the core module.
const Module = "github.com/redoubt-go/redoubt"

// A Package is what "go list -json" says of a package.
type Package struct {
	ImportPath     string
	Name           string
	Dir            string
	Export         string // file of export data, if asked for with -export
	Standard       bool
	Module         *struct{ Path string }
	GoFiles        []string
	IgnoredGoFiles []string // built on other systems only
}

// InCore reports whether p is a package of the core module.
func (p *Package) InCore() bool {
	return p.Module != nil && p.Module.Path == Module
}

// Public reports whether p is a package of the core module that others import.
func (p *Package) Public() bool {
	return p.InCore() && p.Name != "main" &&
		!slices.Contains(strings.Split(p.ImportPath, "/"), "internal")
}

// Rel returns the path of p below the core module: "." for the root package.
func (p *Package) Rel() string {
	if p.ImportPath == Module {
		return "."
	}
	return strings.TrimPrefix(p.ImportPath, Module+"/")
}

// Files returns the paths of p's Go files for every system, without its tests.
func (p *Package) Files() []string {
	var files []string
	for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles) {
		if !strings.HasSuffix(name, "_test.go") {
			files = append(files, filepath.Join(p.Dir, name))
		}
	}
	return files
}

// Root returns the root directory of the repository.
func Root(tb testing.TB) string {
	tb.Helper()
	dir, err := os.Getwd()
	if err != nil {
		tb.Fatal(err)
	}
	for {
		mod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module "+Module+"\n") {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			tb.Fatal("the test runs outside the repository")
		}
		dir = parent
	}
}

// List returns what "go list -json args" prints in the repository's root.
func List(tb testing.TB, args ...string) []*Package {
	tb.Helper()
	watch(tb)
	out := Go(tb, append([]string{"list", "-json"}, args...)...)
	var packages []*Package
	for dec := json.NewDecoder(strings.NewReader(out)); ; {
		var p Package
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return packages
		} else if err != nil {
			tb.Fatal(err)
		}
		packages = append(packages, &p)
	}
}

// Go runs the go command in the repository's root and returns what it prints.
// If the command fails, so does the test.
func Go(tb testing.TB, args ...string) string {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), "go", args...)
	cmd.Dir = Root(tb)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// watch opens every directory of the repository. The go command takes a test's
// result from its cache unless a file that the test itself opened has changed;
// it does not see what a command run by the test reads.
func watch(tb testing.TB) {
	tb.Helper()
	err := filepath.WalkDir(Root(tb), func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.HasPrefix(d.Name(), ".") {
			return fs.SkipDir
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}
