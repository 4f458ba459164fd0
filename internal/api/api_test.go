// Package api holds the exported API of every public package as a golden file
// in testdata, so that a change of it shows in review, and tests that all of it
// is documented.
//
// After a change that is meant, "make api" rewrites the files.
package api

import (
	"flag"
	"fmt"
	"go/constant"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/internal/repo"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestGolden(t *testing.T) {
	packages, load := loader(t)
	var files []string
	for _, pkg := range packages {
		file := filepath.Join("testdata", strings.ReplaceAll(pkg.Rel(), "/", "_")+".txt")
		if pkg.Rel() == "." {
			file = filepath.Join("testdata", pkg.Name+".txt")
		}
		files = append(files, file)
		got := render(load(pkg.ImportPath))
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Errorf("%v; run \"make api\"", err)
			continue
		}
		if diff := diff(lines(string(want)), lines(got)); diff != "" {
			t.Errorf("the API of %s differs from %s (- there, + now); if that is meant, run \"make api\"\n%s",
				pkg.ImportPath, file, diff)
		}
	}

	golden, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range golden {
		if slices.Contains(files, file) {
			continue
		}
		if *update {
			if err := os.Remove(file); err != nil {
				t.Error(err)
			}
			continue
		}
		t.Errorf("%s belongs to no package; run \"make api\"", file)
	}
}

// loader returns the public packages and a function that returns the types of
// one of them.
func loader(t *testing.T) ([]*repo.Package, func(path string) *types.Package) {
	t.Helper()
	var public []*repo.Package
	exports := make(map[string]string)
	for _, pkg := range repo.List(t, "-deps", "-export", "./...") {
		exports[pkg.ImportPath] = pkg.Export
		if pkg.Public() {
			public = append(public, pkg)
		}
	}
	if len(public) == 0 {
		t.Fatal("there are no public packages")
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	return public, func(path string) *types.Package {
		t.Helper()
		pkg, err := imp.Import(path)
		if err != nil {
			t.Fatal(err)
		}
		return pkg
	}
}

// render returns the exported API of pkg, a line for each constant, variable,
// function, type, field and method; the last two stand below their type.
func render(pkg *types.Package) string {
	qualify := func(other *types.Package) string {
		if other == pkg {
			return ""
		}
		return other.Name()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "package %s // import %q\n\n", pkg.Name(), pkg.Path())

	// A scope's names come sorted. Sorted by kind as well, the file reads like
	// go doc's: constants, variables, functions, types.
	var consts, vars, funcs, others []string
	for _, name := range pkg.Scope().Names() {
		obj := pkg.Scope().Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch obj := obj.(type) {
		case *types.Const:
			consts = append(consts, renderConst(obj, qualify))
		case *types.Var:
			vars = append(vars, types.ObjectString(obj, qualify))
		case *types.Func:
			funcs = append(funcs, types.ObjectString(obj, qualify))
		case *types.TypeName:
			others = append(others, renderType(obj, qualify)...)
		}
	}
	for _, line := range slices.Concat(consts, vars, funcs, others) {
		b.WriteString(line + "\n")
	}
	return b.String()
}

// renderConst returns the declaration of a constant, with a duration as people
// read it.
func renderConst(obj *types.Const, qualify types.Qualifier) string {
	decl := types.ObjectString(obj, qualify)
	if basic, ok := obj.Type().(*types.Basic); ok && basic.Info()&types.IsUntyped != 0 {
		decl = "const " + obj.Name()
	}
	if obj.Type().String() == "time.Duration" {
		if n, ok := constant.Int64Val(obj.Val()); ok {
			return decl + " = " + time.Duration(n).String()
		}
	}
	return decl + " = " + obj.Val().String()
}

// renderType returns the declaration of a type, then its exported fields in
// their order and its exported methods in that of their names.
func renderType(obj *types.TypeName, qualify types.Qualifier) []string {
	if obj.IsAlias() {
		return []string{types.ObjectString(obj, qualify)}
	}
	typ := obj.Type()
	var members []string
	unexported := false
	decl := types.ObjectString(obj, qualify)
	switch under := typ.Underlying().(type) {
	case *types.Struct:
		decl = strings.TrimSuffix(decl, types.TypeString(under, qualify)) + "struct"
		for field := range under.Fields() {
			switch {
			case !field.Exported():
				unexported = true
			case field.Embedded():
				members = append(members, types.TypeString(field.Type(), qualify))
			default:
				members = append(members, field.Name()+" "+types.TypeString(field.Type(), qualify))
			}
		}
		if unexported {
			members = append(members, "// and fields that are not exported")
		}
	case *types.Interface:
		decl = strings.TrimSuffix(decl, types.TypeString(under, qualify)) + "interface"
		if !under.IsMethodSet() {
			return []string{types.ObjectString(obj, qualify)} // a constraint
		}
		for method := range under.Methods() {
			if unexported = unexported || !method.Exported(); method.Exported() {
				members = append(members, method.Name()+signature(method, qualify))
			}
		}
		if unexported {
			members = append(members, "// and methods that are not exported")
		}
	}
	if !types.IsInterface(typ) {
		members = append(members, renderMethods(typ, qualify)...)
	}
	lines := []string{decl}
	for _, member := range members {
		lines = append(lines, "\t"+member)
	}
	return lines
}

// renderMethods returns the exported methods of typ and of a pointer to it, the
// promoted ones included.
func renderMethods(typ types.Type, qualify types.Qualifier) []string {
	var lines []string
	byValue := types.NewMethodSet(typ)
	for selection := range types.NewMethodSet(types.NewPointer(typ)).Methods() {
		method, ok := selection.Obj().(*types.Func)
		if !ok || !method.Exported() {
			continue
		}
		receiver := types.TypeString(typ, qualify)
		if byValue.Lookup(method.Pkg(), method.Name()) == nil {
			receiver = "*" + receiver
		}
		lines = append(lines, fmt.Sprintf("func (%s) %s%s", receiver, method.Name(), signature(method, qualify)))
	}
	return lines
}

func signature(f *types.Func, qualify types.Qualifier) string {
	return strings.TrimPrefix(types.TypeString(f.Type(), qualify), "func")
}

func lines(s string) []string {
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// diff returns the lines that a has and b does not, and the other way round, in
// order and marked; it is empty if a and b are equal.
func diff(a, b []string) string {
	// common[i][j] is the length of the longest common subsequence of a[i:]
	// and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i, x := range slices.Backward(a) {
		for j, y := range slices.Backward(b) {
			if x == y {
				common[i][j] = 1 + common[i+1][j+1]
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var out strings.Builder
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			out.WriteString("- " + a[i] + "\n")
			i++
		default:
			out.WriteString("+ " + b[j] + "\n")
			j++
		}
	}
	return out.String()
}

func TestDiff(t *testing.T) {
	tests := []struct{ name, a, b, want string }{
		{"equal", "x\ny", "x\ny", ""},
		{"added", "x\nz", "x\ny\nz", "+ y\n"},
		{"removed", "x\ny\nz", "x\nz", "- y\n"},
		{"changed", "x\ny\nz", "x\nw\nz", "- y\n+ w\n"},
		{"all", "x", "y", "- x\n+ y\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := diff(lines(tt.a), lines(tt.b)); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
