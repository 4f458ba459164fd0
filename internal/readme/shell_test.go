package readme

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/redoubt-go/redoubt/internal/repo"
)

// A shell checks the commands of shell blocks without running them.
type shell struct {
	root    fs.FS
	targets []string // of the Makefile
}

// check returns what is wrong with the commands of a block.
func (s *shell) check(b block) []error {
	session := b.lang == "console"
	if !session && !slices.Contains([]string{"sh", "bash", "shell"}, b.lang) {
		return nil
	}
	var errs []error
	dir := "."
	for i, line := range strings.Split(b.text, "\n") {
		prompted, ok := strings.CutPrefix(line, "$ ")
		if session && !ok {
			continue // output
		}
		command, _, _ := strings.Cut(prompted, " #")
		for part := range strings.SplitSeq(command, "&&") {
			if err := s.command(&dir, strings.Fields(part)); err != nil {
				errs = append(errs, fmt.Errorf("README.md:%d: %w", b.line+i, err))
			}
		}
	}
	return errs
}

// command checks a command that runs in *dir, and moves *dir if it is a cd.
func (s *shell) command(dir *string, words []string) error {
	for len(words) > 0 && strings.Contains(words[0], "=") {
		words = words[1:] // a variable of the command's environment
	}
	if len(words) < 2 {
		return nil
	}
	switch words[0] {
	case "cd":
		*dir = path.Join(*dir, words[1])
		return s.exists(*dir, false)
	case "make":
		for _, word := range words[1:] {
			if !strings.HasPrefix(word, "-") && !strings.Contains(word, "=") && !slices.Contains(s.targets, word) {
				return fmt.Errorf("the Makefile has no target %s", word)
			}
		}
	case "go":
		in := *dir
		if words[1] == "-C" && len(words) > 3 {
			in, words = path.Join(in, words[2]), words[2:]
		}
		for _, word := range words[2:] {
			pkg, _, _ := strings.Cut(strings.TrimSuffix(word, "/..."), "@")
			below, ours := strings.CutPrefix(pkg+"/", repo.Module+"/")
			switch {
			case ours:
				pkg = path.Clean(below)
			case pkg == "." || strings.HasPrefix(pkg, "./") || strings.HasPrefix(pkg, "../"):
				pkg = path.Join(in, pkg)
			default:
				continue // a flag, or a package of another module
			}
			if err := s.exists(pkg, words[1] == "run" || words[1] == "install"); err != nil {
				return err
			}
			if words[1] == "run" {
				break // what comes next are the program's own arguments
			}
		}
	}
	return nil
}

// exists returns an error if there is no such directory or, if a program is
// wanted, no program in it.
func (s *shell) exists(dir string, program bool) error {
	if _, err := fs.Stat(s.root, dir); err != nil {
		return fmt.Errorf("there is no directory %s", dir)
	}
	if !program {
		return nil
	}
	files, err := fs.Glob(s.root, path.Join(dir, "*.go"))
	if err != nil {
		return err
	}
	for _, file := range files {
		text, err := fs.ReadFile(s.root, file)
		if err != nil {
			return err
		}
		if !strings.HasSuffix(file, "_test.go") && isProgram(string(text)) {
			return nil
		}
	}
	return fmt.Errorf("there is no program in %s", dir)
}

// makeTargets returns the targets of a Makefile.
func makeTargets(makefile string) []string {
	var targets []string
	for line := range strings.Lines(makefile) {
		names, rest, ok := strings.Cut(line, ":")
		if ok && !strings.HasPrefix(rest, "=") && !strings.ContainsAny(names[:min(1, len(names))], "\t#. ") {
			targets = append(targets, strings.Fields(names)...)
		}
	}
	return targets
}

func TestShell(t *testing.T) {
	s := &shell{
		root: fstest.MapFS{
			"redoubt.go":             {Data: []byte("package redoubt\n")},
			"examples/get/main.go":   {Data: []byte("package main\n")},
			"examples/get/x_test.go": {Data: []byte("package main\n")},
			"cmd/redoubt/main.go":    {Data: []byte("// Command redoubt.\npackage main\n")},
			"breaker/breaker.go":     {Data: []byte("package breaker\n")},
		},
		targets: makeTargets("GO ?= go\nx := y\n.PHONY: help\nhelp: ## a: b\n\techo a:b\ntest lint: deps\n# no: comment\n"),
	}
	tests := []struct{ lang, text, want string }{
		{"sh", "go get github.com/redoubt-go/redoubt", ""},
		{"sh", "go get github.com/redoubt-go/redoubt@latest", ""},
		{"sh", "go get github.com/redoubt-go/redoubt/cache", "README.md:1: there is no directory cache"},
		{"sh", "go get example.com/other", ""},
		{"sh", "go install github.com/redoubt-go/redoubt/cmd/redoubt@latest", ""},
		{"sh", "go install github.com/redoubt-go/redoubt/breaker@latest", "there is no program in breaker"},
		{"sh", "go run ./examples/get", ""},
		{"sh", "\n# comment\nGOFLAGS=-race go run ./examples/put -v", "README.md:3: there is no directory examples/put"},
		{"sh", "go run ./breaker", "there is no program in breaker"},
		{"sh", "go run ./examples/get ./none", ""},
		{"sh", "cd examples && go run ./get", ""},
		{"sh", "cd examples\ngo run ./put", "README.md:2: there is no directory examples/put"},
		{"sh", "cd elsewhere", "there is no directory elsewhere"},
		{"sh", "go -C examples run ./get", ""},
		{"sh", "go -C examples run ./put", "there is no directory examples/put"},
		{"sh", "go test ./...", ""},
		{"sh", "go test ./breaker/... # all of it", ""},
		{"bash", "make help test FUZZTIME=1s -k lint", ""},
		{"shell", "make world", "the Makefile has no target world"},
		{"sh", "make no", "no target no"},
		{"console", "$ make test\nmake world", ""},
		{"console", "$ make world\nerror", "README.md:1: the Makefile has no target world"},
		{"text", "make world", ""},
	}
	for _, tt := range tests {
		t.Run(tt.lang+" "+tt.text, func(t *testing.T) {
			errs := s.check(block{lang: tt.lang, text: tt.text, line: 1})
			switch {
			case tt.want == "" && len(errs) > 0:
				t.Errorf("got %v, want no error", errs)
			case tt.want != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), tt.want)):
				t.Errorf("got %v, want one error with %q", errs, tt.want)
			}
		})
	}
}
