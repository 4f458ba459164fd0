// Package readme tests README.md: its Go programs are built and run, its Go
// fragments type-checked, and the commands it names exist.
package readme

import (
	"context"
	"encoding/json"
	"fmt"
	"go/importer"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/internal/repo"
)

// readme returns the code blocks of README.md.
func readme(t *testing.T) []block {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repo.Root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	found, err := blocks(string(text))
	if err != nil {
		t.Fatalf("README.md: %v", err)
	}
	return found
}

// TestPrograms builds the Go blocks that are whole programs, and runs each. What
// it prints has to be the text or output block that comes next, if the next
// block is one.
func TestPrograms(t *testing.T) {
	for _, err := range runPrograms(t, readme(t)) {
		t.Error(err)
	}
}

// A program is a Go block that is one.
type program struct {
	block
	name    string
	want    string // what it prints
	compare bool   // whether there is such a block
}

// runPrograms builds the programs among the blocks, all of them at once, runs
// them one by one and returns what went wrong.
func runPrograms(t *testing.T, all []block) []error {
	t.Helper()
	root, temp := repo.Root(t), t.TempDir()
	var (
		errs     []error
		programs []program
		// Overlaid on the repository, the programs need no module of their own.
		overlay = make(map[string]string)
		build   = []string{"build", "-overlay", filepath.Join(temp, "overlay.json"), "-o", temp + "/"}
	)
	for i, b := range all {
		if b.lang != "go" || !isProgram(b.text) {
			continue
		}
		source := lineDirective(b.line) + b.text
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, "", source, parser.SkipObjectResolution)
		if err == nil {
			err = checkImports(fset, f)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p := program{block: b, name: fmt.Sprintf("line%d", b.line)}
		if i+1 < len(all) && slices.Contains([]string{"text", "output"}, all[i+1].lang) {
			p.want, p.compare = all[i+1].text, true
		}
		file := filepath.Join(temp, p.name+".go")
		if err := os.WriteFile(file, []byte(source), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay[filepath.Join(root, "internal", "readme", p.name, "main.go")] = file
		build = append(build, "./internal/readme/"+p.name)
		programs = append(programs, p)
	}
	if len(programs) == 0 {
		return errs
	}
	data, err := json.Marshal(map[string]any{"Replace": overlay})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(temp, "overlay.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	repo.Go(t, build...)
	for _, p := range programs {
		if err := p.run(t, filepath.Join(temp, p.name)); err != nil {
			errs = append(errs, fmt.Errorf("README.md:%d: %w", p.line, err))
		}
	}
	return errs
}

// run runs the program, which file holds, and compares what it prints.
func (p program) run(t *testing.T, file string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, file)
	cmd.Dir = t.TempDir()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	got, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w\n%s", err, stderr.String())
	}
	if p.compare && string(got) != p.want {
		return fmt.Errorf("the program prints\n%s\nbut the README says\n%s", got, p.want)
	}
	return nil
}

// TestFragments type-checks the Go blocks that are not whole programs.
func TestFragments(t *testing.T) {
	var fragments []block
	for _, b := range readme(t) {
		if b.lang == "go" && !isProgram(b.text) {
			fragments = append(fragments, b)
		}
	}
	for _, err := range checkFragments(t, known(t), fragments) {
		t.Error(err)
	}
}

// known returns the paths of the packages that fragments need not import, by
// their names.
func known(t *testing.T) map[string]string {
	t.Helper()
	known := maps.Clone(imports)
	for _, pkg := range repo.List(t, "./...") {
		if pkg.Public() {
			known[pkg.Name] = pkg.ImportPath
		}
	}
	return known
}

// checkFragments returns what is wrong with fragments of Go code.
func checkFragments(t *testing.T, known map[string]string, fragments []block) []error {
	t.Helper()
	checked, errs := assemble(fragments, known)

	if len(checked) == 0 {
		return errs
	}
	need := []string{"list", "-deps", "-export", "-f", "{{.ImportPath}}={{.Export}}"}
	for _, pkg := range checked {
		need = append(need, pkg.needs()...)
	}
	exports := make(map[string]string)
	for line := range strings.Lines(repo.Go(t, need...)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), "=")
		exports[path] = file
	}
	for _, pkg := range checked {
		errs = append(errs, pkg.check(importer.ForCompiler(pkg.fset, "gc", func(path string) (io.ReadCloser, error) {
			return os.Open(exports[path])
		}))...)
	}
	return errs
}

// TestCommands holds that the commands in shell blocks, and those of go and make
// in the text, name packages and make targets that exist.
func TestCommands(t *testing.T) {
	makefile, err := os.ReadFile(filepath.Join(repo.Root(t), "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(repo.Root(t), "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	shell := &shell{root: os.DirFS(repo.Root(t)), targets: makeTargets(string(makefile))}
	for _, b := range slices.Concat(readme(t), inlineCommands(string(text))) {
		for _, err := range shell.check(b) {
			t.Error(err)
		}
	}
}

// inlineCommands returns the commands of go and make that stand in the text, as
// shell blocks.
func inlineCommands(markdown string) []block {
	var found []block
	for i, line := range prose(markdown) {
		for _, span := range codeSpan.FindAllString(line, -1) {
			command := strings.Trim(span, "`")
			if word, _, _ := strings.Cut(command, " "); word == "go" || word == "make" {
				found = append(found, block{lang: "sh", text: command, line: i + 1})
			}
		}
	}
	return found
}

// TestRunPrograms runs the whole of the programs' test on a small README.
func TestRunPrograms(t *testing.T) {
	const markdown = `
~~~go
package main

import "fmt"

func main() { fmt.Println("printed") }
~~~

This prints

~~~text
printed
~~~

~~~go
package main

func main() {}
~~~
~~~output
nothing
~~~
~~~go
package main

import "os"

func main() { os.Exit(3) }
~~~
~~~sh
make test
~~~
~~~go
package main

import _ "github.com/redoubt-go/redoubt/internal/law"

func main() {}
~~~
~~~go
x := 1
~~~
`
	all, err := blocks(markdown)
	if err != nil {
		t.Fatal(err)
	}
	errs := runPrograms(t, all)
	want := []string{
		"README.md:37: imports internal package",
		"README.md:17: the program prints\n\nbut the README says\nnothing\n",
		"README.md:25: exit status 3",
	}
	if len(errs) != len(want) {
		t.Fatalf("got %v, want %d errors", errs, len(want))
	}
	for i, err := range errs {
		if !strings.HasPrefix(err.Error(), want[i]) {
			t.Errorf("got %v, want %s", err, want[i])
		}
	}
}

// TestCheckFragments runs the whole of the fragments' test on small READMEs.
func TestCheckFragments(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, markdown string
		want           string // in the error; none if empty
	}{
		{"statements", "```go\nx, err := strconv.Atoi(\"1\")\nfmt.Println(x, err)\n```", ""},
		{"unused variable", "```go\nx := time.Second\n```", ""},
		{"declarations", "```go\ntype T struct{}\n\nfunc (T) Do() error { return errors.New(\"x\") }\n```", ""},
		{"own imports", "```go\nimport \"container/list\"\n\nl := list.New()\n```", ""},
		{"whole file", "```go\npackage billing\n\nimport \"time\"\n\nconst Wait = time.Second\n```", ""},
		{"ours", "```go\nvar l redoubt.Layer = timeout.Limit(time.Second)\n```", ""},
		{"goes on", "# A\n```go\nx := 1\n```\n\n### B\n```go\nfmt.Println(x)\n```", ""},
		{"may declare again", "```go\nx := 1\n```\n```go\nx := \"a\"\nfmt.Println(x + \"b\")\n```", ""},
		{"given", "```go\nreq = req.WithContext(ctx)\n```", ""},
		{"given, but declared", "```go\nvar ctx = context.Background()\n```", ""},
		{"return", "```go\nif err := ctx.Err(); err != nil {\n\treturn 0, err\n}\n```\n```go\nreturn nil\n```", ""},
		{"return in a literal", "```go\nf := func() error { return nil }\n```\n```go\nerr := f()\n```", ""},

		{"does not parse", "text\n```go\nx := := 1\n```", "README.md:3:"},
		{"undefined", "```go\nx := 1\ny := z\n```", "README.md:3: undefined: z"},
		{"ends with its section", "# A\n```go\nx := 1\n```\n## B\n```go\n_ = x\n```", "README.md:7: undefined: x"},
		{"mistyped", "```go\nvar l redoubt.Layer = time.Second\n```", "README.md:2:"},
		{"no such name", "```go\n_ = timeout.Maximum\n```", "undefined: timeout.Maximum"},
		{"import not used", "```go\nimport \"fmt\"\n\nx := 1\n```", "\"fmt\" imported and not used"},
		{"internal import", "```go\nimport \"github.com/redoubt-go/redoubt/internal/law\"\n```", "README.md:2: imports internal"},
	}
	known := known(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			fragments, err := blocks(tt.markdown)
			if err != nil {
				t.Fatal(err)
			}
			errs := checkFragments(t, known, fragments)
			switch {
			case tt.want == "" && len(errs) > 0:
				t.Errorf("got %v, want no error", errs)
			case tt.want != "" && (len(errs) != 1 || !strings.Contains(errs[0].Error(), tt.want)):
				t.Errorf("got %v, want one error with %q", errs, tt.want)
			}
		})
	}
}
