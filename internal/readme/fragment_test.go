package readme

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// imports are the packages that a fragment may use without an import
// declaration, besides the public ones of the core module.
var imports = map[string]string{
	"backoff":     "github.com/cenkalti/backoff/v4",
	"context":     "context",
	"errors":      "errors",
	"exec":        "os/exec",
	"fmt":         "fmt",
	"gobreaker":   "github.com/sony/gobreaker/v2",
	"http":        "net/http",
	"httptest":    "net/http/httptest",
	"io":          "io",
	"json":        "encoding/json",
	"log":         "log",
	"net":         "net",
	"os":          "os",
	"otel":        "go.opentelemetry.io/otel",
	"propagation": "go.opentelemetry.io/otel/propagation",
	"sdkmetric":   "go.opentelemetry.io/otel/sdk/metric",
	"sdktrace":    "go.opentelemetry.io/otel/sdk/trace",
	"slog":        "log/slog",
	"sql":         "database/sql",
	"strconv":     "strconv",
	"strings":     "strings",
	"synctest":    "testing/synctest",
	"testing":     "testing",
	"time":        "time",
	"trace":       "go.opentelemetry.io/otel/trace",
	"url":         "net/url",
}

// given are the variables that a fragment may use without declaring them. Each
// needs the import that its type names.
var given = map[string]string{
	"ctx":    "context.Context",
	"logger": "*slog.Logger",
	"req":    "*http.Request",
	"t":      "*testing.T",
}

// isProgram reports whether the text of a Go block is a whole program.
func isProgram(text string) bool {
	f, err := parser.ParseFile(token.NewFileSet(), "", text, parser.PackageClauseOnly)
	return err == nil && f.Name.Name == "main"
}

// lineDirective tells the compiler that what comes next begins at a line of
// README.md.
func lineDirective(line int) string {
	return fmt.Sprintf("//line README.md:%d\n", line)
}

// A source is a package made of the fragments of one section.
type source struct {
	fset  *token.FileSet
	files []*ast.File
}

// needs returns the paths of the packages that s imports.
func (s *source) needs() []string {
	paths := make(map[string]bool)
	for _, f := range s.files {
		for _, spec := range f.Imports {
			paths[importPath(spec)] = true
		}
	}
	return slices.Sorted(maps.Keys(paths))
}

// check type-checks s. It is lenient where a reader is: a variable that a
// fragment introduces need not be used in it.
func (s *source) check(imp types.Importer) []error {
	var errs []error
	conf := types.Config{
		Importer: imp,
		Error: func(err error) {
			if e, ok := errors.AsType[types.Error](err); ok {
				pos := s.fset.Position(e.Pos)
				if e.Soft && (pos.Filename != "README.md" || strings.HasPrefix(e.Msg, "declared and not used")) {
					return
				}
				err = fmt.Errorf("%s: %s", pos, e.Msg)
			}
			errs = append(errs, err)
		},
	}
	_, _ = conf.Check("readme", s.fset, s.files, nil) // reported to Error
	return errs
}

// assemble makes a package of the fragments of each section. Declarations go to
// the package's level. Statements go into one function, each fragment nested in
// the one before, so that it may use what that one declares and may declare
// anew. A fragment that returns is a function of its own.
func assemble(fragments []block, known map[string]string) ([]*source, []error) {
	var (
		sources []*source
		errs    []error
	)
	for _, section := range bySection(fragments) {
		b := builder{known: known}
		for _, fragment := range section {
			if err := b.add(fragment); err != nil {
				errs = append(errs, err)
			}
		}
		s, err := b.source()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		sources = append(sources, s...)
	}
	return sources, errs
}

// bySection splits fragments, which are in order.
func bySection(fragments []block) [][]block {
	var sections [][]block
	for i, f := range fragments {
		if i == 0 || f.section != fragments[i-1].section {
			sections = append(sections, nil)
		}
		last := len(sections) - 1
		sections[last] = append(sections[last], f)
	}
	return sections
}

// A builder collects the parts of a section's package.
type builder struct {
	known   map[string]string // import paths by package name
	imports strings.Builder   // declarations that the fragments make themselves
	decls   strings.Builder
	stmts   strings.Builder
	depth   int             // blocks that stmts leaves open
	own     map[string]bool // package names in imports, names declared in decls
	used    map[string]bool // names before a dot, and given names
	whole   []*source       // fragments with a package clause
}

// add adds a fragment. Its error is one of syntax, or names a bad import.
func (b *builder) add(fragment block) error {
	if b.own == nil {
		b.own, b.used = make(map[string]bool), make(map[string]bool)
	}
	fset := token.NewFileSet()
	at := lineDirective(fragment.line)
	if f, err := parser.ParseFile(fset, "", at+fragment.text, parser.SkipObjectResolution); err == nil {
		b.whole = append(b.whole, &source{fset, []*ast.File{f}})
		return checkImports(fset, f)
	}

	head, body := splitImports(fragment.text)
	f, err := parser.ParseFile(fset, "", "package p\n"+at+head, parser.ImportsOnly)
	if err != nil {
		return err
	}
	if err := checkImports(fset, f); err != nil {
		return err
	}
	if head != "" {
		b.imports.WriteString(at + head + "\n")
	}
	for _, spec := range f.Imports {
		b.own[importName(spec)] = true
	}

	at = lineDirective(fragment.line + strings.Count(head, "\n"))
	if f, err := parser.ParseFile(fset, "", "package p\n"+at+body, parser.SkipObjectResolution); err == nil {
		b.decls.WriteString(at + body + "\n")
		b.note(f)
		for _, decl := range f.Decls {
			b.declare(decl)
		}
		return nil
	}
	f, err = parser.ParseFile(fset, "", "package p\nfunc _() {\n"+at+body+"\n}", parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	b.note(f)
	if n := results(f); n >= 0 {
		types := strings.TrimSuffix(strings.Repeat("any, ", n), ", ")
		fmt.Fprintf(&b.stmts, "_ = func() (%s) {\n%s%s\npanic(0)\n}\n", types, at, body)
		return nil
	}
	fmt.Fprintf(&b.stmts, "{\n%s%s\n", at, body)
	b.depth++
	return nil
}

// note notes the names that may be packages or given variables.
func (b *builder) note(f *ast.File) {
	ast.Inspect(f, func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			b.used[id.Name] = true
		}
		return true
	})
}

// declare notes the names that a declaration adds to the package.
func (b *builder) declare(decl ast.Decl) {
	switch decl := decl.(type) {
	case *ast.FuncDecl:
		if decl.Recv == nil {
			b.own[decl.Name.Name] = true
		}
	case *ast.GenDecl:
		for _, spec := range decl.Specs {
			switch spec := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					b.own[name.Name] = true
				}
			case *ast.TypeSpec:
				b.own[spec.Name.Name] = true
			}
		}
	}
}

// source returns the packages that the fragments make.
func (b *builder) source() ([]*source, error) {
	var vars strings.Builder
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if b.used[name] && !b.own[name] {
			fmt.Fprintf(&vars, "var %s %s\n", name, given[name])
			pkg, _, _ := strings.Cut(strings.TrimPrefix(given[name], "*"), ".")
			b.used[pkg] = true
		}
	}
	var file strings.Builder
	file.WriteString("package p\n")
	for _, name := range slices.Sorted(maps.Keys(b.known)) {
		if b.used[name] && !b.own[name] {
			fmt.Fprintf(&file, "import %s %q\n", name, b.known[name])
		}
	}
	file.WriteString(b.imports.String() + "\n//line given.go:1\n" + vars.String() + b.decls.String())
	file.WriteString("func _() {\n" + b.stmts.String() + strings.Repeat("}\n", b.depth) + "}\n")

	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "section.go", file.String(), parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("the fragments do not go together: %w", err)
	}
	return append(b.whole, &source{fset, []*ast.File{f}}), nil
}

// splitImports splits the import declarations off the beginning of text.
func splitImports(text string) (head, body string) {
	const clause = "package p;"
	fset := token.NewFileSet()
	f, _ := parser.ParseFile(fset, "", clause+text, parser.ImportsOnly) // stops where the imports do
	end := 0
	if f != nil {
		for _, decl := range f.Decls {
			if d, ok := decl.(*ast.GenDecl); ok && d.Tok == token.IMPORT {
				end = fset.Position(d.End()).Offset - len(clause)
			}
		}
	}
	if end > 0 && end < len(text) && text[end] == '\n' {
		end++
	}
	return text[:end], text[end:]
}

// results returns how many results the return statements of a file have, those
// in function literals left out, or -1 if there are no such statements.
func results(f *ast.File) int {
	count := -1
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncLit:
			return false
		case *ast.ReturnStmt:
			count = max(count, len(n.Results))
		}
		return true
	})
	return count
}

// checkImports returns an error if a file imports what its readers cannot.
func checkImports(fset *token.FileSet, f *ast.File) error {
	for _, spec := range f.Imports {
		if slices.Contains(strings.Split(importPath(spec), "/"), "internal") {
			pos := fset.Position(spec.Pos())
			return fmt.Errorf("%s:%d: imports internal package %s", pos.Filename, pos.Line, importPath(spec))
		}
	}
	return nil
}

func importPath(spec *ast.ImportSpec) string {
	path, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value // the type checker says so
	}
	return path
}

// importName returns the name that an import has in its file: that which it is
// given or, as a guess, the last element of its path that is not a version.
func importName(spec *ast.ImportSpec) string {
	if spec.Name != nil {
		return spec.Name.Name
	}
	elems := strings.Split(importPath(spec), "/")
	last := elems[len(elems)-1]
	if len(elems) > 1 && len(last) > 1 && last[0] == 'v' && strings.Trim(last[1:], "0123456789") == "" {
		last = elems[len(elems)-2]
	}
	return last
}
