package stackfile

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The page of reference names every field, and its examples can be used.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile("../docs/stackfile.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(text)
	for _, block := range blockNames() {
		if !strings.Contains(page, "`"+block+"`") {
			t.Errorf("the page does not name the layer %s", block)
		}
	}
	for _, probe := range []string{
		"stack: []\nx: 1", "stack: []\nhttp: {x: 1}", "stack: [{retry: {x: 1}}]", "stack: [{retry: {backoff: {x: 1}}}]",
		"stack: [{retry: {backoff: {kind: constant, wait: 1s, x: 1}}}]", "stack: [{retry: {budget: {x: 1}}}]", "stack: [{breaker: {x: 1}}]", "stack: [{limit: {x: 1}}]",
		"stack: []\nhttp: {hedge: {x: 1}}", "stack: []\nhttp: {failover: {name: m, endpoints: [http://a], x: 1}}",
	} {
		_, err := Parse("x", []byte(probe))
		e, ok := errors.AsType[*Error](err)
		if !ok {
			t.Fatalf("%s: %v", probe, err)
		}
		for name := range strings.SplitSeq(strings.TrimPrefix(e.Rule, "one of "), ", ") {
			if !strings.Contains(page, fmt.Sprintf("| `%s` |", name)) {
				t.Errorf("the page has no row for %s", name)
			}
		}
	}
	examples := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(page, -1)
	if len(examples) == 0 {
		t.Error("the page has no example")
	}
	for _, example := range examples {
		if err := parse(t, example[1]).Check(); err != nil {
			t.Errorf("%v in\n%s", err, example[1])
		}
	}
}
