package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// A parser collects what is wrong with a file.
type parser struct {
	file string
	errs []error
}

func (p *parser) bad(n *yaml.Node, field string, value any, rule string) {
	p.errs = append(p.errs, fmt.Errorf("scenario %s:%d: %s is %v, must be %s", p.file, n.Line, field, value, rule))
}

// A table reads the fields of a mapping: each by its name, and those not asked
// for are mistakes.
type table struct {
	p     *parser
	where string
	node  *yaml.Node
	names []string // asked for
}

func (p *parser) table(n *yaml.Node, where string) *table {
	t := &table{p: p, where: where, node: n}
	if n.Kind != yaml.MappingNode {
		p.bad(n, orScenario(where), shape(n), "a mapping")
	}
	return t
}

func orScenario(where string) string {
	if where == "" {
		return "scenario"
	}
	return where
}

// shape describes a node in an error.
func shape(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	default:
		return fmt.Sprintf("%q", n.Value)
	}
}

// path returns the full name of a field.
func (t *table) path(name string) string {
	if t.where == "" {
		return name
	}
	return t.where + "." + name
}

// get returns the value of a field, or nil. The field is one that there may be.
func (t *table) get(name string) *yaml.Node {
	t.names = append(t.names, name)
	return t.find(name)
}

func (t *table) find(name string) *yaml.Node {
	if t.node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(t.node.Content); i += 2 {
		if t.node.Content[i].Value == name {
			return t.node.Content[i+1]
		}
	}
	return nil
}

// end reports the fields that were not asked for, and those that are there
// twice.
func (t *table) end() {
	if t.node.Kind != yaml.MappingNode {
		return
	}
	seen := map[string]bool{}
	for i := 0; i < len(t.node.Content); i += 2 {
		key := t.node.Content[i]
		switch {
		case seen[key.Value]:
			t.p.bad(key, t.path(key.Value), "given twice", "given once")
		case !slices.Contains(t.names, key.Value):
			t.p.bad(key, t.path(key.Value), "unknown", "one of "+strings.Join(t.names, ", "))
		}
		seen[key.Value] = true
	}
}

// read decodes a field, if it is there, and checks it. want describes what it
// must be.
func read[T any](t *table, name string, into *T, want string, ok func(T) bool) {
	n := t.get(name)
	if n == nil {
		return
	}
	var value T
	if n.Kind == yaml.AliasNode || n.Tag == "!!null" || n.Decode(&value) != nil || ok != nil && !ok(value) {
		t.p.bad(n, t.path(name), shape(n), want)
		return
	}
	*into = value
}

func (t *table) text(name string, into *string) { read(t, name, into, "text", nil) }

func (t *table) flag(name string, into *bool) { read(t, name, into, "true or false", nil) }

func (t *table) duration(name string, into *time.Duration, low, high time.Duration) {
	read(t, name, into, fmt.Sprintf("a duration such as 1.5s, from %v to %v", low, high),
		func(d time.Duration) bool { return d >= low && d <= high })
}

func (t *table) number(name string, into *float64, low, high float64) {
	read(t, name, into, fmt.Sprintf("a number from %v to %v", low, high),
		func(f float64) bool { return f >= low && f <= high })
}

func (t *table) integer(name string, into *int, low, high int) {
	read(t, name, into, fmt.Sprintf("a whole number from %d to %d", low, high),
		func(i int) bool { return i >= low && i <= high })
}

// list calls each with the items of a list, if it is there.
func (t *table) list(name string, each func(n *yaml.Node, where string)) {
	n := t.get(name)
	if n == nil {
		return
	}
	if n.Kind != yaml.SequenceNode {
		t.p.bad(n, t.path(name), shape(n), "a list")
		return
	}
	for i, item := range n.Content {
		each(item, fmt.Sprintf("%s[%d]", t.path(name), i))
	}
}
