package sdktest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestNamesAreProven holds that each name in internal/telemetry/names.go stands
// in what a test of this package wants to see.
func TestNamesAreProven(t *testing.T) {
	source, err := os.ReadFile("../telemetry/names.go")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		tests.Write(text)
	}
	names := regexp.MustCompile(`= "(redoubt[^"]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(names) < 30 {
		t.Fatalf("found %d names, want all of them", len(names))
	}
	for _, name := range names {
		seen := regexp.MustCompile(regexp.QuoteMeta(name[1]) + `[ =]`)
		if !strings.HasSuffix(name[1], " ") && !seen.MatchString(tests.String()) {
			t.Errorf("no test wants to see %s", name[1])
		}
	}
}
