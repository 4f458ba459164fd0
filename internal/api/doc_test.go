package api

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"testing"

	"github.com/redoubt-go/redoubt/internal/repo"
)

// TestDocumented holds that every public package and every exported name of it
// has a comment. Fields may do without: some are said by their type's.
func TestDocumented(t *testing.T) {
	for _, pkg := range repo.List(t, "./...") {
		if !pkg.Public() {
			continue
		}
		fset := token.NewFileSet()
		var files []*ast.File
		for _, name := range pkg.Files() {
			f, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, f)
		}
		d, err := doc.NewFromFiles(fset, files, pkg.ImportPath, doc.PreserveAST)
		if err != nil {
			t.Fatal(err)
		}
		if d.Doc == "" {
			t.Errorf("package %s has no comment", pkg.Rel())
		}
		for _, n := range undocumented(d) {
			pos := fset.Position(n.pos)
			t.Errorf("%s:%d: %s has no comment", filepath.Join(pkg.Rel(), filepath.Base(pos.Filename)), pos.Line, n.name)
		}
	}
}

type named struct {
	pos  token.Pos
	name string
}

func undocumented(d *doc.Package) []named {
	var missing []named
	check := func(name *ast.Ident, prefix string, comments ...*ast.CommentGroup) {
		for _, c := range comments {
			if c.Text() != "" {
				return
			}
		}
		if name.IsExported() {
			missing = append(missing, named{name.Pos(), prefix + name.Name})
		}
	}
	values := func(values []*doc.Value) {
		for _, v := range values {
			for _, spec := range v.Decl.Specs {
				if s, ok := spec.(*ast.ValueSpec); ok {
					for _, name := range s.Names {
						check(name, "", v.Decl.Doc, s.Doc, s.Comment)
					}
				}
			}
		}
	}
	funcs := func(funcs []*doc.Func, prefix string) {
		for _, f := range funcs {
			check(f.Decl.Name, prefix, f.Decl.Doc)
		}
	}

	values(d.Consts)
	values(d.Vars)
	funcs(d.Funcs, "")
	for _, typ := range d.Types {
		values(typ.Consts)
		values(typ.Vars)
		funcs(typ.Funcs, "")
		funcs(typ.Methods, typ.Name+".")
		for _, spec := range typ.Decl.Specs {
			s, ok := spec.(*ast.TypeSpec)
			if !ok {
				continue
			}
			check(s.Name, "", typ.Decl.Doc, s.Doc, s.Comment)
		}
	}
	return missing
}

func TestUndocumented(t *testing.T) {
	const src = `// Package p is documented.
package p

// Group is documented as a whole.
const (
	A = iota
	B
)

const C = 0

var D = 0 // D has a comment at its end.

// T is documented.
type T struct{}

func (T) M() {}

// N is documented.
func (T) N() {}

type (
	// U is documented.
	U int
	V int
)

func P() {}

func q() {}
`
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, "p.go", src, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	d, err := doc.NewFromFiles(fset, []*ast.File{f}, "example.com/p", doc.PreserveAST)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[string]bool)
	for _, n := range undocumented(d) {
		got[n.name] = true
	}
	want := []string{"C", "T.M", "V", "P"}
	for _, name := range want {
		if !got[name] {
			t.Errorf("%s is not reported", name)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is reported", name)
	}
}
