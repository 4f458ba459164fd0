package report

import (
	"bytes"
	"fmt"
	"io"
	"strings"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

// Markdown writes a table for a pull request, with gains, costs, verdicts and
// warnings in words.
func Markdown(w io.Writer, r *engine.Report) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "### redoubt load: %s\n\n", escaped(r.Scenario.Name))
	fmt.Fprintf(&b, "%s. %s.\n\n", escaped(r.Scenario.Title), escaped(conditions(r)))
	for _, warning := range warnings(r) {
		fmt.Fprintf(&b, "> **Warning:** %s\n\n", escaped(warning))
	}
	b.WriteString("| |")
	for _, c := range r.Clients {
		fmt.Fprintf(&b, " %s |", escaped(c.Client))
	}
	b.WriteString("\n|---|" + strings.Repeat("---:|", len(r.Clients)) + "\n")
	for _, line := range headline(r) {
		name := strings.TrimSpace(line.Name)
		fmt.Fprintf(&b, "| %s |", escaped(name))
		for _, cell := range line.Cells {
			fmt.Fprintf(&b, " %s |", escaped(cell))
		}
		b.WriteByte('\n')
	}
	b.WriteByte('\n')
	for _, c := range compared(r) {
		for _, gain := range []bool{true, false} {
			fmt.Fprintf(&b, "- **%s%s** %s\n", escaped(c.Client), strings.TrimSuffix(verb(gain), " "), escaped(sentence(r, c.Client, gain, maxFindings)))
		}
	}
	for _, v := range r.Checks {
		fmt.Fprintf(&b, "- %s\n", escaped(Verdict(v)))
	}
	fmt.Fprintf(&b, "\n<sub>%s</sub>\n", escaped(definitions(r)))
	_, err := w.Write(b.Bytes())
	return err
}

var escaper = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, "`", "\\`", "\n", " ")

func escaped(text string) string { return escaper.Replace(text) }
