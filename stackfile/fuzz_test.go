package stackfile

import (
	"strings"
	"testing"

	"github.com/redoubt-go/redoubt"
)

// FuzzParse: a text is either refused with an error of the file, or makes a stack
// whose layers have nothing wrong by themselves, the same each time.
func FuzzParse(f *testing.F) {
	f.Add(everything)
	f.Add(usual)
	f.Add(`{"stack": [{"timeout": "1s"}]}`)
	f.Add("stack: [{breaker: {name: b, window: 1ns, failure_ratio: 1e-300}}]")
	f.Add("stack: [{retry: {max_attempts: 1000, backoff: {kind: constant, wait: 24h}, budget: {}}}]")
	f.Add("stack: [{breaker: {name: b, per: host_and_method}}]\nhttp: {hedge: {per: host, delay: 1ms, hedges: 10}}")
	f.Add("stack: []\nhttp: {failover: {name: m, endpoints: [http://a, http://b], guard: [{breaker: {name: b}}, {retry: {budget: {}}}]}, hedge: {per: endpoint}}")
	f.Add("a: &a [*a]")
	f.Add("stack: !!binary x\n--- \n{")
	f.Add("!%0A") // a tag with a line of its own
	f.Fuzz(func(t *testing.T, text string) {
		file, err := Parse("stack.yaml", []byte(text))
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "stackfile: stack.yaml") {
					t.Fatalf("an error that does not name the file: %q", line)
				}
			}
			return
		}
		report := file.Explain()
		for _, finding := range report.Findings {
			if finding.Rule == "misconfigured" || finding.Rule == "nil-layer" {
				t.Errorf("%s", finding.Text)
			}
			if !strings.HasPrefix(finding.Where, "stack.yaml:") {
				t.Errorf("found at %q", finding.Where)
			}
		}
		if one, two := redoubt.Explain(file.Stack(Options{})).String(), redoubt.Explain(file.Stack(Options{})).String(); one != two {
			t.Errorf("stacks differ:\n%s\n%s", one, two)
		}
		if text := report.String(); text == "" {
			t.Error("no report")
		}
	})
}
