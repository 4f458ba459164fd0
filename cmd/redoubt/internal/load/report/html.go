package report

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

//go:embed assets
var assets embed.FS

// HTML writes a page that shows the reports, one after the other. Reports of the
// same scenario at several rates are also plotted as a sweep.
func HTML(w io.Writer, reports ...*engine.Report) error {
	page, err := template.New("page").ParseFS(assets, "assets/page.tmpl")
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	var b bytes.Buffer
	if err := page.ExecuteTemplate(&b, "page.tmpl", pageOf(reports)); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	_, err = w.Write(b.Bytes())
	return err
}

// A document is what the template of the page shows.
type document struct {
	Title    string
	Styles   []template.CSS
	Library  template.JS
	Script   template.JS
	License  string
	Reports  []part
	Overview bool
	Plots    []plots
	Words    []word
}

// A word is one that needs a definition.
type word struct{ Word, Meaning string }

// A part of the document is one report.
type part struct {
	*engine.Report

	Index      int
	Name       string // with the rate, in a sweep
	Conditions string
	Clients    []clientPart
	Table      []row
	Details    []detail
	Verdicts   []verdict
	Doubts     []string
	Begun      string
	Guarded    bool
	Budgeted   bool
	Swept      bool
}

type verdict struct {
	OK   bool
	Text string
}

// A clientPart is what the page says of one client.
type clientPart struct {
	*engine.Result

	Index        int
	Base         bool
	Gains, Costs []string
	Useful       string
	Recovery     string
	Load         string
}

func pageOf(reports []*engine.Report) document {
	d := document{
		Title:    "Redoubt load report",
		Styles:   []template.CSS{template.CSS(asset("uPlot.min.css")), template.CSS(asset("page.css"))},
		Library:  template.JS(asset("uPlot.iife.min.js")),
		Script:   template.JS(asset("page.js")),
		License:  asset("uPlot.LICENSE"),
		Overview: len(reports) > 1,
	}
	for _, def := range engine.Definitions {
		meaning := def.Meaning
		if def.Word == "useful answer" && len(reports) > 0 {
			meaning += fmt.Sprintf(" (here %s)", millis(reports[0].Scenario.UsefulMS))
		}
		d.Words = append(d.Words, word{def.Word, meaning})
	}
	if len(reports) == 1 {
		d.Title += ": " + reports[0].Scenario.Name
	}
	swept := make(map[string][]*engine.Report)
	for _, r := range reports {
		swept[r.Scenario.Name] = append(swept[r.Scenario.Name], r)
	}
	for i, r := range reports {
		p := partOf(i, r)
		data := plotsOf(r)
		same := swept[r.Scenario.Name]
		if same[0] == r {
			data.Sweep = sweepOf(same)
			p.Swept = data.Sweep != nil
		}
		if len(same) > 1 {
			p.Name += " at " + number(r.Scenario.Rate) + "/s"
		}
		d.Reports = append(d.Reports, p)
		d.Plots = append(d.Plots, data)
	}
	return d
}

func partOf(i int, r *engine.Report) part {
	p := part{
		Report:     r,
		Index:      i,
		Name:       r.Scenario.Name,
		Conditions: conditions(r),
		Table:      headline(r),
		Details:    details(r),
		Doubts:     warnings(r),
		Begun:      r.Started.UTC().Format(time.RFC3339),
	}
	findings := Findings(r)
	for i, c := range r.Clients {
		one := clientPart{
			Result:   c,
			Index:    i,
			Base:     i == 0,
			Useful:   usefulIn(c.Run),
			Recovery: recovery(c),
			Load:     fmt.Sprintf("%.2f", c.Run.Amplification),
		}
		for _, f := range findings {
			switch {
			case f.Client != c.Client:
			case f.Gain:
				one.Gains = append(one.Gains, f.Text)
			default:
				one.Costs = append(one.Costs, f.Text)
			}
		}
		p.Clients = append(p.Clients, one)
		p.Guarded = p.Guarded || guarded(c)
		p.Budgeted = p.Budgeted || len(c.Cells.Budget) > 0
	}
	for _, v := range r.Checks {
		p.Verdicts = append(p.Verdicts, verdict{v.OK, Verdict(v)})
	}
	return p
}

// asset returns the text of an embedded file.
func asset(name string) string {
	text, err := assets.ReadFile("assets/" + name)
	if err != nil {
		panic(err) // the tests see that this can't happen
	}
	return string(text)
}
