package stackfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
)

// Options are what a file can't hold: functions and objects of the program. The
// zero Options are ready to use.
type Options struct {
	// Breaker, if not nil, is called with the configuration of each breaker
	// before that is made, to set OnTransition, Logger or Classify.
	Breaker func(*breaker.Config)

	// Limit, if not nil, is called with the configuration of each limit on
	// concurrent calls before that is made, to set Logger or Classify.
	Limit func(*limit.Config)

	// Retry, if not nil, is called with each policy, to set Retryable or
	// Logger, or to keep its budget at hand.
	Retry func(*retry.Policy)

	// Hedge, if not nil, is called with the configuration of the hedger
	// before that is made, to set Withhold.
	Hedge func(*hedge.Config)

	// Failover, if not nil, is called with the configuration of each
	// failover, to set TryNext.
	Failover func(*failover.Config)

	// Transport, if not nil, is called with each Transport, to set Base,
	// Failure, Prepare or the providers of telemetry. On a reload it is
	// called again: let it set the same Base, which holds the connections.
	// Afterwards the file's failover and hedge are put in front of Base, and
	// go by the same Failure.
	Transport func(*redoubt.Transport)
}

// A File is a stack as a file describes it: data, without a memory. It is not
// changed by use and is safe for concurrent use.
type File struct {
	path     string
	name     string
	nameLine int
	layers   []layer
	http     *httpBlock // nil if the file has none
}

// A layer is an item of a file's stack.
type layer struct {
	line, column int
	block        block
}

// ReadFile reads and parses the file at path.
func ReadFile(path string) (*File, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	return Parse(path, text)
}

// readFile reads no more than it takes to see that a file is too large.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, unreadable(path, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	text, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, unreadable(path, err)
	}
	return text, nil
}

// unreadable is err without the path, which an Error has by itself.
func unreadable(path string, err error) error {
	if e, ok := errors.AsType[*os.PathError](err); ok {
		err = fmt.Errorf("%s: %w", e.Op, e.Err)
	}
	return &Error{File: path, Err: err}
}

// Parse reads a file from its text. path stands for its origin in errors. All
// that is wrong is reported, each as an [*Error], joined into one: unknown fields
// and those given twice, values out of range, and what the layers' own Check
// finds. The order of layers is not judged here but by [File.Check].
func Parse(path string, text []byte) (*File, error) {
	p := &parser{file: path}
	root := p.document(text)
	if root == nil {
		return nil, errors.Join(p.errs...)
	}
	f := p.read(root)
	if len(p.errs) > 0 {
		return nil, errors.Join(p.errs...)
	}
	return f, nil
}

func (p *parser) read(n *yaml.Node) *File {
	f := &File{path: p.file}
	if n.Kind != yaml.MappingNode {
		p.bad(n, "the file", shape(n), "a mapping")
		return f
	}
	t := p.table(n, "")
	if name := t.value("name"); name != nil {
		f.nameLine = name.Line
	}
	t.text("name", &f.name)
	if !t.has("stack") {
		p.bad(n, "stack", "missing", "a list of layers, outermost first")
	}
	t.list("stack", func(n *yaml.Node, where string) { f.layers = append(f.layers, p.layer(n, where)) })
	if n := t.get("http"); n != nil {
		f.http = p.http(n)
	}
	t.end()
	p.unique(f)
	return f
}

// layer reads an item of the stack: a mapping of one name to a block.
func (p *parser) layer(n *yaml.Node, where string) layer {
	l := layer{line: n.Line, column: n.Column}
	if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
		p.bad(n, where, shape(n), "a mapping of one of "+strings.Join(blockNames(), ", ")+" to what it is like")
		return l
	}
	name := n.Content[0].Value
	read := readerOf(name)
	if read == nil {
		rule := "one of " + strings.Join(blockNames(), ", ")
		if name == "hedge" || name == "failover" {
			rule += "; " + name + " belongs below http"
		}
		p.bad(n.Content[0], where+"."+field(name), "unknown", rule)
		return l
	}
	before := len(p.errs)
	l.block = read(p, n.Content[1], where+"."+name)
	if len(p.errs) > before {
		return l
	}
	if c, ok := l.block.build(newMemory(), Options{}).(interface{ Check() error }); ok {
		if err := c.Check(); err != nil {
			p.errs = append(p.errs, &Error{File: p.file, Line: n.Line, Column: n.Column, Field: where + "." + name, Err: err})
		}
	}
	return l
}

// unique reports parts of one kind and name: a reload could not tell them apart,
// nor could metrics.
func (p *parser) unique(f *File) {
	if len(p.errs) > 0 {
		return
	}
	seen := map[part]int{}
	list := func(where string, layers []layer) {
		for i, l := range layers {
			m := newMemory()
			l.block.build(m, Options{})
			for at := range m.now {
				if first, ok := seen[at]; ok {
					p.errs = append(p.errs, &Error{
						File: p.file, Line: l.line, Column: l.column, Field: fmt.Sprintf("%s[%d]", where, i),
						Err: fmt.Errorf("there is a %v in line %d already, give each a name of its own", at, first),
					})
					continue
				}
				seen[at] = l.line
			}
		}
	}
	list("stack", f.layers)
	if f.http != nil && f.http.failover != nil {
		list("http.failover.guard", f.http.failover.guard)
	}
}

// Name returns the name of the calls, or "" if the file gives none.
func (f *File) Name() string { return f.name }

// Stack returns a new stack, with breakers, budgets and limits of its own. It
// begins with a [redoubt.Telemetry] if the file has a name.
func (f *File) Stack(options Options) redoubt.Stack {
	return f.build(newMemory(), options)
}

// Transport returns a new Transport around a new stack, as the file's http part
// describes it; without one its fields are zero.
func (f *File) Transport(options Options) *redoubt.Transport {
	m := newMemory()
	t := f.around(f.build(m, options), m, options)
	m.use()
	return t
}

func (f *File) build(m *memory, options Options) redoubt.Stack {
	var stack redoubt.Stack
	if f.name != "" {
		stack = append(stack, redoubt.Telemetry{Name: f.name})
	}
	for _, l := range f.layers {
		stack = append(stack, l.block.build(m, options))
	}
	return stack
}

func (f *File) around(stack redoubt.Stack, m *memory, options Options) *redoubt.Transport {
	t := &redoubt.Transport{}
	if f.http != nil {
		*t = f.http.transport
	}
	t.Name, t.Layer = f.name, stack
	if options.Transport != nil {
		options.Transport(t)
	}
	if f.http != nil {
		f.http.base(t, stack, m, options)
	}
	return t
}

// Explain says what the file's stack does to a call, or if the file has an http
// part what its Transport does to a request. The layers are named by file and
// line.
func (f *File) Explain() redoubt.Report {
	var r redoubt.Report
	if f.http != nil {
		r = f.Transport(Options{}).Explain()
	} else {
		r = redoubt.Explain(f.Stack(Options{}))
	}
	for i := range r.Layers {
		r.Layers[i].Where = f.where(r.Layers[i].Where)
	}
	for i := range r.Findings {
		r.Findings[i].Where = f.where(r.Findings[i].Where)
	}
	return r
}

// Check returns the mistakes that Explain finds, each as an [*Error], or nil.
func (f *File) Check() error {
	var errs []error
	seen := map[string]bool{} // the guards of all endpoints have the same
	for _, finding := range f.Explain().Findings {
		if finding.Severity != redoubt.Mistake {
			continue
		}
		err := &Error{File: f.path, Line: lineOf(finding.Where), Err: finding.Err}
		if !seen[err.Error()] {
			seen[err.Error()] = true
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// where returns file and line of what the report of a built stack names.
func (f *File) where(place string) string {
	return fmt.Sprintf("%s:%d", f.path, f.line(place))
}

func (f *File) line(place string) int {
	var i int
	if n, _ := fmt.Sscanf(place, "stack[%d]", &i); n == 1 {
		if f.name != "" {
			i--
		}
		if i >= 0 && i < len(f.layers) {
			return f.layers[i].line
		}
		return f.nameLine
	}
	if f.http == nil {
		return 0
	}
	return f.http.lineOf(place)
}

// lineOf returns the line of what is further in than the layers.
func (b *httpBlock) lineOf(place string) int {
	further, ok := strings.CutPrefix(place, "Transport.Base")
	if ok && b.failover != nil {
		var i int
		if n, _ := fmt.Sscanf(place[strings.LastIndexByte(place, ')')+1:], "[%d]", &i); n == 1 && i < len(b.failover.guard) {
			return b.failover.guard[i].line
		}
		if further, ok = strings.CutPrefix(further, ".Base"); !ok {
			return b.failover.line
		}
	}
	if ok && b.hedge != nil && further == "" {
		return b.hedge.line
	}
	return b.line
}

// lineOf returns the line that where ends with.
func lineOf(where string) int {
	var line int
	_, _ = fmt.Sscanf(where[strings.LastIndexByte(where, ':')+1:], "%d", &line)
	return line
}
