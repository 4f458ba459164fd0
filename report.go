package redoubt

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strings"
	"text/tabwriter"
	"time"
)

// A Report says what layers do to a call.
type Report struct {
	// Layers are the layers, outermost first, stacks resolved. In the report
	// of a [Transport] its own limits and its Base follow.
	Layers []LayerReport

	// Longest is how long a call may take at most, waits included, if every
	// attempt takes as long as it may and every error asks for the longest
	// wait that the layers grant. It is Unbounded if nothing bounds it. It
	// takes for granted that a call heeds its context, and counts neither
	// what opaque layers add nor the deadline of the caller. For a Transport
	// it ends with the response's headers, and a request body that is
	// produced slowly is not counted.
	Longest time.Duration

	// LongestUnasked is the same, if no error asks for a longer wait than
	// layers have by themselves.
	LongestUnasked time.Duration

	// MaxAttempts is how many times one call may run at most: what layers
	// make of the load in an outage.
	MaxAttempts int

	// Findings are what is wrong or worth knowing: first what is wrong
	// with single layers, then what concerns their order, from
	// the outermost layer on.
	Findings []Finding
}

// A LayerReport is a layer's row in a [Report].
type LayerReport struct {
	Where   string // in the stack, such as "stack[1][0]"
	Type    string // in Go, such as "timeout.Limit"; or a field of Transport
	Facts   Facts  // as the layer tells them
	Opaque  bool   // whether the layer tells nothing
	Numbers string // the facts in words
	Place   string // what the layer means in its place
}

// A Severity tells mistakes from what is only worth knowing.
type Severity string

// The severities.
const (
	Mistake Severity = "mistake" // the layer can't do what it is there for
	Note    Severity = "note"    // it depends: know what it means
)

// A Finding is a sentence about the layers.
type Finding struct {
	Severity Severity
	Rule     string // by which it was found, such as "window-too-short"; it stays the same
	Where    string // the layer's place, such as "stack[2]"
	Text     string // one sentence
	Err      error  // of a mistake; what a layer's own Check returned, if that found it
}

// Err returns the mistakes among the findings as one error, or nil if there are
// none.
func (r Report) Err() error {
	var errs []error
	for _, f := range r.Findings {
		if f.Severity == Mistake {
			errs = append(errs, f.Err)
		}
	}
	return errors.Join(errs...)
}

// String returns the report as text: a table of the layers, the worst case, and
// the findings, mistakes first.
func (r Report) String() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, l := range r.Layers {
		name := l.Type
		if l.Facts.Name != "" {
			name += " " + l.Facts.Name
		}
		numbers, place := strings.Split(l.Numbers, "; "), strings.Split(l.Place, "; ")
		for i := range max(len(numbers), len(place)) {
			fmt.Fprintf(w, "%s\t%s\t%s\n", line(name, i == 0), at(numbers, i), at(place, i))
		}
	}
	if len(r.Layers) == 0 {
		fmt.Fprintln(w, "no layers")
	}
	fmt.Fprintf(w, "\nlongest call\t%s\n", r.longest())
	fmt.Fprintf(w, "most attempts\t%d\n", r.MaxAttempts)
	_ = w.Flush()
	table := trailing.ReplaceAllString(b.String(), "")
	b.Reset()
	b.WriteString(table)
	r.list(&b, Mistake, "mistakes")
	r.list(&b, Note, "notes")
	return b.String()
}

// trailing are the spaces that a table leaves at the end of a line.
var trailing = regexp.MustCompile(`(?m) +$`)

func line(text string, shown bool) string {
	if shown {
		return text
	}
	return ""
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return ""
}

func (r Report) list(b *strings.Builder, severity Severity, title string) {
	for _, f := range r.Findings {
		if f.Severity != severity {
			continue
		}
		if title != "" {
			fmt.Fprintf(b, "\n%s\n", title)
			title = ""
		}
		fmt.Fprintf(b, "  %s: %s\n", f.Where, f.Text)
	}
}

func (r Report) longest() string {
	text := span(r.Longest)
	if r.LongestUnasked != r.Longest {
		text = fmt.Sprintf("%s, or %s if no error asks for a longer wait", text, span(r.LongestUnasked))
	}
	opaque := 0
	for _, l := range r.Layers {
		if l.Opaque {
			opaque++
		}
	}
	if opaque > 0 {
		text += ", and what " + count(opaque, "opaque layer") + " may add"
	}
	return text
}

// span returns a duration in words.
func span(d time.Duration) string {
	switch {
	case d < 0:
		return "unbounded"
	case d == math.MaxInt64:
		return "longer than 292 years"
	}
	return d.String()
}

// count returns a number of things in words.
func count(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
