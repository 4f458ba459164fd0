package stackfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"go.yaml.in/yaml/v3"
)

// MaxSize is the most bytes that a file may have.
const MaxSize = 1 << 20

// A parser collects what is wrong with a file.
type parser struct {
	file  string
	errs  []error
	guard bool // what is read guards the endpoints of a failover
}

// document returns the only document of a text.
func (p *parser) document(text []byte) *yaml.Node {
	if len(text) > MaxSize {
		p.fail(0, fmt.Errorf("has %d bytes, must have at most %d", len(text), MaxSize))
		return nil
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var root yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		p.fail(0, errEmpty)
		return nil
	case err != nil:
		p.syntax(err)
		return nil
	}
	var second yaml.Node
	if err := decoder.Decode(&second); err == nil {
		p.fail(second.Line, errors.New("a second document begins, must be the only one"))
		return nil
	} else if !errors.Is(err, io.EOF) {
		p.syntax(err)
		return nil
	}
	p.plain(&root)
	if len(p.errs) > 0 || len(root.Content) == 0 {
		return nil
	}
	return root.Content[0]
}

func (p *parser) fail(line int, err error) {
	p.errs = append(p.errs, &Error{File: p.file, Line: line, Err: err})
}

// lines finds the line in an error of the YAML package.
var lines = regexp.MustCompile(`^yaml: line (\d+): (.*)`)

func (p *parser) syntax(err error) {
	text, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if m := lines.FindStringSubmatch(err.Error()); m != nil {
		line, _ = strconv.Atoi(m[1])
		text = m[2]
	}
	p.fail(line, fmt.Errorf("is not YAML: %s", text))
}

// plain refuses what can make a small file large, or mean something that cannot
// be seen.
func (p *parser) plain(n *yaml.Node) {
	switch {
	case n.Kind == yaml.AliasNode:
		p.fail(n.Line, fmt.Errorf("the alias *%s is not allowed, write it out", n.Value))
		return
	case n.Anchor != "":
		p.fail(n.Line, fmt.Errorf("the anchor &%s is not allowed, write it out", n.Anchor))
	case n.Style&yaml.TaggedStyle != 0:
		p.fail(n.Line, fmt.Errorf("the tag %q is not allowed", n.Tag))
	}
	for _, inner := range n.Content {
		p.plain(inner)
	}
}

func (p *parser) bad(n *yaml.Node, field, value, rule string) {
	p.errs = append(p.errs, &Error{File: p.file, Line: n.Line, Column: n.Column, Field: field, Value: value, Rule: rule})
}

// A table reads the fields of a mapping, each by its name. Those that are not
// asked for are mistakes.
type table struct {
	p     *parser
	where string
	node  *yaml.Node
	names []string // asked for
}

func (p *parser) table(n *yaml.Node, where string) *table {
	if n.Kind != yaml.MappingNode {
		p.bad(n, where, shape(n), "a mapping")
	}
	return &table{p: p, where: where, node: n}
}

// shape describes a node in an error.
func shape(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "a mapping"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Tag == "!!null":
		return "empty"
	case n.Tag == "!!str":
		return strconv.Quote(shortened(n.Value))
	}
	return shortened(n.Value)
}

func shortened(text string) string {
	if len(text) > 60 {
		return strings.ToValidUTF8(text[:60], "") + "…"
	}
	return text
}

// field returns what a key is called in an error: quoted unless it is one that
// could be meant.
func field(key string) string {
	if strings.ContainsFunc(key, func(r rune) bool { return !unicode.IsPrint(r) || r == ' ' }) {
		return strconv.Quote(shortened(key))
	}
	return shortened(key)
}

// path returns the full name of a field.
func (t *table) path(name string) string {
	if t.where == "" {
		return name
	}
	return t.where + "." + name
}

// has reports whether a field is there.
func (t *table) has(name string) bool { return t.value(name) != nil }

// get returns the value of a field, or nil.
func (t *table) get(name string) *yaml.Node {
	t.names = append(t.names, name)
	return t.value(name)
}

func (t *table) value(name string) *yaml.Node {
	if t.node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(t.node.Content); i += 2 {
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
		case key.Kind != yaml.ScalarNode:
			t.p.bad(key, t.path("key"), shape(key), "text")
		case seen[key.Value]:
			t.p.bad(key, t.path(field(key.Value)), "given twice", "given once")
		case !slices.Contains(t.names, key.Value):
			t.p.bad(key, t.path(field(key.Value)), "unknown", "one of "+strings.Join(t.names, ", "))
		}
		seen[key.Value] = true
	}
}

// read decodes a field, if it is there. want describes what it must be.
func read[T any](t *table, name string, into *T, want string, decode func(*yaml.Node) (T, bool)) {
	n := t.get(name)
	if n == nil {
		return
	}
	value, ok := decode(n)
	if !ok {
		t.p.bad(n, t.path(name), shape(n), want)
		return
	}
	*into = value
}

// The longest duration that makes sense in any field.
const longest = 24 * time.Hour

const aDuration = "a duration such as 1.5s, above 0 and at most 24h"

func decodeDuration(n *yaml.Node) (time.Duration, bool) {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		return 0, false
	}
	d, err := time.ParseDuration(n.Value)
	return d, err == nil && d > 0 && d <= longest
}

func (t *table) duration(name string, into *time.Duration) {
	read(t, name, into, aDuration, decodeDuration)
}

// durationOrNone reads a duration that can be switched off.
func (t *table) durationOrNone(name string, into *time.Duration, none time.Duration) {
	read(t, name, into, aDuration+", or none", orNone(decodeDuration, none))
}

func orNone[T any](decode func(*yaml.Node) (T, bool), none T) func(*yaml.Node) (T, bool) {
	return func(n *yaml.Node) (T, bool) {
		if n.Kind == yaml.ScalarNode && n.Value == "none" {
			return none, true
		}
		return decode(n)
	}
}

// integer reads a whole number from low to high.
func integer[T ~int | ~int64](t *table, name string, into *T, low, high T) {
	read(t, name, into, fmt.Sprintf("a whole number from %d to %d", low, high), decodeInteger(low, high))
}

func integerOrNone[T ~int | ~int64](t *table, name string, into *T, low, high, none T) {
	read(t, name, into, fmt.Sprintf("a whole number from %d to %d, or none", low, high), orNone(decodeInteger(low, high), none))
}

func decodeInteger[T ~int | ~int64](low, high T) func(*yaml.Node) (T, bool) {
	return func(n *yaml.Node) (T, bool) {
		var v T
		ok := n.Kind == yaml.ScalarNode && n.Tag == "!!int" && n.Decode(&v) == nil && v >= low && v <= high
		return v, ok
	}
}

// number reads a number from low to high.
func (t *table) number(name string, into *float64, low, high float64) {
	read(t, name, into, fmt.Sprintf("a number from %v to %v", low, high), decodeNumber(low, high))
}

func (t *table) numberOrNone(name string, into *float64, low, high, none float64) {
	read(t, name, into, fmt.Sprintf("a number from %v to %v, or none", low, high), orNone(decodeNumber(low, high), none))
}

func decodeNumber(low, high float64) func(*yaml.Node) (float64, bool) {
	return func(n *yaml.Node) (float64, bool) {
		var v float64
		ok := n.Kind == yaml.ScalarNode && (n.Tag == "!!int" || n.Tag == "!!float") && n.Decode(&v) == nil && v >= low && v <= high
		return v, ok
	}
}

// ratio reads a share of calls, above 0.
func (t *table) ratio(name string, into *float64) {
	read(t, name, into, "a number above 0 and at most 1", func(n *yaml.Node) (float64, bool) {
		v, ok := decodeNumber(0, 1)(n)
		return v, ok && v > 0
	})
}

func (t *table) flag(name string, into *bool) {
	read(t, name, into, "true or false", func(n *yaml.Node) (v, ok bool) {
		ok = n.Kind == yaml.ScalarNode && n.Tag == "!!bool" && n.Decode(&v) == nil
		return v, ok
	})
}

// text reads the name of something.
func (t *table) text(name string, into *string) {
	read(t, name, into, "text of 1 to 100 printable characters", decodeText)
}

func decodeText(n *yaml.Node) (string, bool) {
	ok := n.Kind == yaml.ScalarNode && n.Tag == "!!str" && n.Value != "" && len(n.Value) <= 100 &&
		!strings.ContainsFunc(n.Value, func(r rune) bool { return !unicode.IsPrint(r) })
	return n.Value, ok
}

// choice reads one of several words.
func (t *table) choice(name string, into *string, words ...string) {
	read(t, name, into, oneOf(words), func(n *yaml.Node) (string, bool) {
		return n.Value, n.Kind == yaml.ScalarNode && slices.Contains(words, n.Value)
	})
}

func oneOf(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
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
