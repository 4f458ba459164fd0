package engine

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite schema.json")

// TestSchema holds schema.json, which documents the JSON of a report, to the
// types and to their comments.
func TestSchema(t *testing.T) {
	d := descriptions(t)
	defs := map[string]any{}
	root := d.schema(reflect.TypeFor[Report](), defs)
	document := map[string]any{
		"$schema":     "https://json-schema.org/draft/2020-12/schema",
		"title":       Schema,
		"description": "The report of redoubt load.",
		"$defs":       defs,
		"$ref":        root.(map[string]any)["$ref"],
	}
	want, err := json.MarshalIndent(document, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile("schema.json", want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("schema.json is not what the types say; run go test -run TestSchema -update")
	}
	if string(JSONSchema()) != string(got) {
		t.Error("JSONSchema is not schema.json")
	}
}

// comments are the comments of types and fields, by "Type" and "Type.Field".
type comments map[string]string

func descriptions(t *testing.T) comments {
	t.Helper()
	c := comments{}
	for _, name := range []string{"result.go", "check.go"} {
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range f.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.TYPE {
				continue
			}
			for _, spec := range gen.Specs {
				typ := spec.(*ast.TypeSpec)
				c[typ.Name.Name] = text(gen.Doc)
				s, ok := typ.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range s.Fields.List {
					for _, name := range field.Names {
						c[typ.Name.Name+"."+name.Name] = text(field.Doc, field.Comment)
					}
				}
			}
		}
	}
	return c
}

func text(groups ...*ast.CommentGroup) string {
	for _, g := range groups {
		if s := strings.Join(strings.Fields(g.Text()), " "); s != "" {
			return s
		}
	}
	return ""
}

// schema returns the JSON schema of a type; those of structs go into defs.
func (c comments) schema(t reflect.Type, defs map[string]any) any {
	switch {
	case t == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[Outcome]():
		return map[string]any{"enum": Outcomes}
	}
	switch t.Kind() {
	case reflect.Struct:
		c.define(t, defs)
		return map[string]any{"$ref": "#/$defs/" + t.Name()}
	case reflect.Pointer:
		return map[string]any{"anyOf": []any{c.schema(t.Elem(), defs), map[string]any{"type": "null"}}}
	case reflect.Slice:
		return map[string]any{"type": []string{"array", "null"}, "items": c.schema(t.Elem(), defs)}
	case reflect.Map:
		m := map[string]any{"type": []string{"object", "null"}, "additionalProperties": c.schema(t.Elem(), defs)}
		if t.Key() == reflect.TypeFor[Outcome]() {
			m["propertyNames"] = c.schema(t.Key(), defs)
		}
		return m
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Float64:
		return map[string]any{"type": "number"}
	default:
		return map[string]any{"type": "integer"}
	}
}

func (c comments) define(t reflect.Type, defs map[string]any) {
	if defs[t.Name()] != nil {
		return
	}
	properties := map[string]any{}
	required := []string{}
	def := map[string]any{"type": "object", "properties": properties, "additionalProperties": false}
	defs[t.Name()] = def
	if doc := c[t.Name()]; doc != "" {
		def["description"] = doc
	}
	for field := range t.Fields() {
		name, options, _ := strings.Cut(field.Tag.Get("json"), ",")
		property := c.schema(field.Type, defs).(map[string]any)
		if doc := c[t.Name()+"."+field.Name]; doc != "" {
			property["description"] = doc
		}
		properties[name] = property
		if options != "omitempty" {
			required = append(required, name)
		}
	}
	def["required"] = required
}
