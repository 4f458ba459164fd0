package engine

import (
	"strings"
	"testing"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

func TestTargets(t *testing.T) {
	for _, s := range scenario.Catalogue() {
		if checks, err := Targets(s); err != nil || len(checks) != len(s.Targets) {
			t.Errorf("%s: %d checks, %v", s.Name, len(checks), err)
		}
	}
	s := parse(t, "name: odd\ntargets: [useful >= 99, beauty >= 1]")
	if _, err := Targets(s); err == nil || !strings.Contains(err.Error(), `scenario odd: targets[1]: check "beauty >= 1": metric is "beauty", must be one of `) {
		t.Errorf("Targets: %v", err)
	}
}

// What the report says of the faults is what the report's plots shade.
func TestInfo(t *testing.T) {
	s, err := scenario.Lookup("11")
	if err != nil {
		t.Fatal(err)
	}
	r := NewReport(s, 1, true, report().Started, report().Clients...)
	f := r.Scenario.Faults[0]
	if f.Name != "status" || f.Chance != 1 || len(f.Spans) != 6 || f.Spans[5] != (Span{15_000, 16_000}) {
		t.Errorf("fault: %+v", f)
	}
	if w := r.Scenario.Windows; len(w) != 1 || w[0] != (Span{4_000, 16_000}) {
		t.Errorf("windows: %+v", w)
	}
	checks, err := Targets(s)
	if err != nil {
		t.Fatal(err)
	}
	if r.Judge("redoubt", checks...) || len(r.Checks) != 2 || !r.Checks[0].OK || r.Checks[1].OK {
		t.Errorf("verdicts: %v", r.Checks)
	}
}
