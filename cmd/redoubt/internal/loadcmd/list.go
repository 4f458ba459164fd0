package loadcmd

import (
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// list prints the catalogue.
func list(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, s := range scenario.Catalogue() {
		fmt.Fprintf(t, "%s\t%s\n", s.Name, s.Title)
	}
	return t.Flush()
}
