package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// printRivals prints, for each thing that Redoubt does, its cost as a multiple
// of each rival's: below 1 we win, above 1 we lose. Where the bare call was
// measured, both are less its cost.
func printRivals(out io.Writer, r results) error {
	w := tabwriter.NewWriter(out, 0, 0, 1, ' ', 0)
	fmt.Fprintf(w, "| what\t| rival\t| our CPU time of theirs\t| our allocations\t| theirs\t|\n")
	fmt.Fprintf(w, "|---\t|---\t|---\t|---\t|---\t|\n")
	names := slices.Sorted(maps.Keys(r[cpu]))
	for _, ours := range names {
		bench, rest, ok := strings.Cut(ours, "/impl=redoubt")
		if !ok || rest != "" && rest[0] != '/' || bench == "Scaling" || bench == "Loopback" {
			continue
		}
		for _, theirs := range names {
			rival, ok := strings.CutPrefix(theirs, bench+"/impl=")
			if ok {
				rival, ok = strings.CutSuffix(rival, rest)
			}
			if !ok || strings.Contains(rival, "/") || strings.HasPrefix(rival, "redoubt") || rival == "bare" {
				continue
			}
			less := ""
			if bare := bench + "/impl=bare" + rest; len(r[cpu][bare]) > 0 {
				less = " - " + bare
			}
			shown := "-" // of a rival that adds next to nothing
			if times, _ := r.ratio(cpu, ours+less, theirs+less); times > 0 && times < 100 {
				shown = fmt.Sprintf("%.2f", times)
			}
			a, _ := r.value(allocs, ours+less)
			b, _ := r.value(allocs, theirs+less)
			fmt.Fprintf(w, "| %s\t| %s\t| %s\t| %.0f\t| %.0f\t|\n", bench+strings.ReplaceAll(rest, "/", " "), rival, shown, a, b)
		}
	}
	return w.Flush()
}
