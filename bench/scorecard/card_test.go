package scorecard

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the page instead of comparing with it")

// page is where the verdicts are kept, for readers and for this test.
const page = "../../docs/scorecard.md"

// A section is one experiment.
type section struct {
	title string
	about string // the set-up, its source, what follows from it
	rows  []row
}

// A row is one question of an experiment.
type row struct {
	name      string // unique in its section
	reference string // the published or replayed figure
	target    string // "" if the row is for the record
	slow      bool   // too slow for the race detector

	// measure returns our figure, and whether it meets the target.
	measure func(t *testing.T) (ours string, met bool)
}

// An answer is what a row came to.
type answer struct {
	ours, verdict string
}

func (r row) answer(t *testing.T) answer {
	ours, met := r.measure(t)
	switch {
	case r.target == "":
		return answer{ours, "–"}
	case met:
		return answer{ours, "met"}
	default:
		return answer{ours, "MISSED"}
	}
}

func sections() []section {
	return []section{jitter(), tail(), layers(), budgets(), metastable(), lowerLoads(), cold(), outage(), rivals()}
}

// TestScorecard asks all questions.
func TestScorecard(t *testing.T) {
	want := committed(t)
	var out bytes.Buffer
	out.WriteString(preface)
	for _, s := range sections() {
		answers := make([]answer, len(s.rows))
		t.Run(s.title, func(t *testing.T) {
			for i, r := range s.rows {
				t.Run(r.name, func(t *testing.T) {
					if raceEnabled && r.slow {
						t.Log("too slow with the race detector; CI measures it without")
						return
					}
					t.Parallel()
					answers[i] = r.answer(t)
					t.Log(answers[i].ours)
					if *update {
						return
					}
					if verdict := want[s.title+"/"+r.name].verdict; answers[i].verdict != verdict {
						t.Errorf("%s: verdict %q (target %s), want %q as %s has it",
							answers[i].ours, answers[i].verdict, r.target, verdict, page)
					}
				})
			}
		})
		if *update && slices.Contains(answers, answer{}) {
			t.Fatal("-update is for the whole page: without -run, and without the race detector")
		}
		s.write(&out, answers)
	}
	if *update && !t.Failed() {
		if err := os.WriteFile(page, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPage: but for the figures, the page is what -update would write.
func TestPage(t *testing.T) {
	have := committed(t)
	var want bytes.Buffer
	want.WriteString(preface)
	for _, s := range sections() {
		answers := make([]answer, len(s.rows))
		for i, r := range s.rows {
			answers[i] = have[s.title+"/"+r.name]
		}
		s.write(&want, answers)
	}
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := strings.Split(string(text), "\n"), strings.Split(want.String(), "\n")
	for i := range min(len(got), len(wanted)) {
		if got[i] != wanted[i] {
			t.Fatalf("line %d of %s is\n%s\nwant\n%s", i+1, page, got[i], wanted[i])
		}
	}
	if len(got) != len(wanted) {
		t.Errorf("%s has %d lines, want %d", page, len(got), len(wanted))
	}
}

const preface = `# Scorecard

Does Redoubt do its job? Published experiments and their figures, ours beside
them, and what we demand. *Published* figures are those of the source; *replay*
means that a reference simulation, written before this one, gave them.

The experiments are in [bench/scorecard](../bench/scorecard), run in virtual time
and rewrite this page with

    make scorecard

A CI test fails when a verdict turns. A dash as a verdict means that the row is
for the record: nothing is demanded of it.
`

func (s section) write(out *bytes.Buffer, answers []answer) {
	fmt.Fprintf(out, "\n## %s\n\n%s\n\n", s.title, strings.TrimSpace(s.about))
	out.WriteString("| | reference | measured | target | verdict |\n|---|---|---|---|---|\n")
	for i, r := range s.rows {
		target := r.target
		if target == "" {
			target = "–"
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", r.name, r.reference, answers[i].ours, target, answers[i].verdict)
	}
}

// committed returns the answers of the page, by section and row.
func committed(t *testing.T) map[string]answer {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil && !*update {
		t.Fatal(err)
	}
	answers := make(map[string]answer)
	title := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "## "); ok {
			title = rest
		}
		if cells := strings.Split(line, " | "); len(cells) == 5 {
			answers[title+"/"+strings.TrimPrefix(cells[0], "| ")] = answer{cells[2], strings.TrimSuffix(cells[4], " |")}
		}
	}
	return answers
}
