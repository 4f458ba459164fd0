package report

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

// width is how wide the words of the summary may be.
const width = 100

// Terminal writes a summary of some fifteen lines.
func Terminal(w io.Writer, r *engine.Report) error {
	var b bytes.Buffer
	for _, warning := range warnings(r) {
		paragraph(&b, "WARNING: "+warning)
	}
	fmt.Fprintf(&b, "%s: %s\n", r.Scenario.Name, r.Scenario.Title)
	fmt.Fprintf(&b, "%s\n\n", conditions(r))
	table(&b, r)
	b.WriteByte('\n')
	for _, c := range compared(r) {
		for _, gain := range []bool{true, false} {
			if text := sentence(r, c.Client, gain, maxShort); text != nothing || gain == (sentence(r, c.Client, !gain, 1) == nothing) {
				paragraph(&b, c.Client+verb(gain)+text)
			}
		}
	}
	fmt.Fprintf(&b, "useful: right within %s s of the intended start; amplification: arrivals / requests\n", number(r.Scenario.UsefulMS/1000))
	_, err := w.Write(b.Bytes())
	return err
}

// warnings returns what casts doubt on the numbers. What an attempt timeout made
// of slow answers does not; it is among the costs.
func warnings(r *engine.Report) []string {
	return slices.DeleteFunc(slices.Clone(r.Warnings), func(text string) bool {
		return strings.Contains(text, ": the attempt timeout cut off ")
	})
}

// compared returns the clients that are compared with the first.
func compared(r *engine.Report) []*engine.Result {
	if len(r.Clients) == 0 {
		return nil
	}
	return r.Clients[1:]
}

func verb(gain bool) string {
	if gain {
		return " gains: "
	}
	return " costs: "
}

// How many gains, and how many costs, of a client are told: on a terminal, and
// elsewhere.
const (
	maxShort    = 2
	maxFindings = 3
)

const nothing = "nothing that shows"

func sentence(r *engine.Report, client string, gain bool, most int) string {
	var texts []string
	for _, f := range Findings(r) {
		if f.Client == client && f.Gain == gain && len(texts) < most {
			texts = append(texts, f.Text)
		}
	}
	if len(texts) == 0 {
		return nothing
	}
	return strings.Join(texts, "; ")
}

// definitions are the words that the summary rests on.
func definitions(r *engine.Report) string {
	text := fmt.Sprintf("useful: right and complete within %s of the intended start; "+
		"amplification: arrivals at the dependency / requests", millis(r.Scenario.UsefulMS))
	if len(r.Scenario.Windows) > 0 {
		text += "; recovery: until half a second with 95 % useful"
	}
	return text
}

// conditions says how the run was made.
func conditions(r *engine.Report) string {
	parts := []string{fmt.Sprintf("%s requests/s for %s s, seed %d", number(r.Scenario.Rate), number(r.Scenario.DurationMS/1000), r.Seed)}
	for _, f := range r.Scenario.Faults {
		parts = append(parts, faultText(r, f))
	}
	if len(r.Scenario.Faults) == 0 {
		parts = append(parts, "no faults of ours")
	}
	return strings.Join(parts, "; ")
}

func faultText(r *engine.Report, f engine.FaultInfo) string {
	text := f.Name
	if f.Chance < 1 {
		text += fmt.Sprintf(" (%s %%)", number(100*f.Chance))
	}
	switch n := len(f.Spans); {
	case n == 0:
		return text + " never"
	case n == 1 && f.Spans[0].FromMS <= 0 && f.Spans[0].ToMS >= r.Scenario.DurationMS:
		return text + " always"
	case n == 1:
		return fmt.Sprintf("%s at %s–%s s", text, number(f.Spans[0].FromMS/1000), number(f.Spans[0].ToMS/1000))
	default:
		return fmt.Sprintf("%s at %s–%s s and %d times more", text, number(f.Spans[0].FromMS/1000), number(f.Spans[0].ToMS/1000), n-1)
	}
}

func number(v float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", v), "0"), ".")
}

// table writes the headline figures in columns.
func table(b *bytes.Buffer, r *engine.Report) {
	rows := []row{{}}
	for _, c := range r.Clients {
		rows[0].Cells = append(rows[0].Cells, c.Client)
	}
	rows = append(rows, headline(r)...)
	first, columns := 0, make([]int, len(r.Clients))
	for _, line := range rows {
		first = max(first, utf8.RuneCountInString(line.Name))
		for i, cell := range line.Cells {
			columns[i] = max(columns[i], utf8.RuneCountInString(cell))
		}
	}
	for _, line := range rows {
		pad(b, line.Name, -first)
		for i, cell := range line.Cells {
			b.WriteString("   ")
			pad(b, cell, columns[i])
		}
		b.WriteByte('\n')
	}
}

// pad writes text at the right of n columns, or at the left of -n.
func pad(b *bytes.Buffer, text string, n int) {
	space := strings.Repeat(" ", max(max(n, -n)-utf8.RuneCountInString(text), 0))
	if n < 0 {
		b.WriteString(text + space)
	} else {
		b.WriteString(space + text)
	}
}

// paragraph writes words in lines that are not too long, later ones indented.
func paragraph(b *bytes.Buffer, text string) {
	column := 0
	for i, word := range strings.Split(text, " ") {
		n := utf8.RuneCountInString(word)
		switch {
		case i == 0:
		case column+1+n > width:
			b.WriteString("\n  ")
			column = 2
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += n
	}
	b.WriteByte('\n')
}
