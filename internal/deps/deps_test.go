// Package deps tests what the core module depends on, and in which direction
// its packages depend on one another.
package deps

import (
	"encoding/json"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/redoubt-go/redoubt/internal/repo"
)

const (
	gobreaker = "github.com/sony/gobreaker/v2"
	backoff   = "github.com/cenkalti/backoff/v4"
	otel      = "go.opentelemetry.io/otel"
)

// direct are the modules that the core module requires by itself.
var direct = []string{backoff, gobreaker, otel, otel + "/metric", otel + "/trace"}

// indirect are the modules whose packages come along with those.
var indirect = []string{
	"github.com/cespare/xxhash/v2", // otel's attribute sets
	"github.com/go-logr/logr",      // otel's internal log
	"github.com/go-logr/stdr",      // the same
	"go.opentelemetry.io/auto/sdk", // trace's hook for instrumentation by eBPF
	"go.opentelemetry.io/otel/log", // otel's global providers
}

// A room is a directory of the core module.
type room struct {
	// imports are the packages a room may import besides the standard
	// library; those of the core module by their path below it. A path that
	// ends in "/..." stands for everything below it as well.
	imports []string
	// only limits an import to some files.
	only map[string][]string
}

// rooms is the dependency direction: root → layers → internal/telemetry →
// OpenTelemetry's API.
var rooms = map[string]room{
	".": {
		imports: []string{
			"internal/...", "breaker", "retry", "timeout", "limit", "hedge", "failover",
			// For fields that hold the user's providers and propagator.
			otel + "/trace", otel + "/metric", otel + "/propagation",
		},
		only: map[string][]string{
			"breaker": {"client.go", "stack.go"}, "retry": {"client.go", "stack.go"}, "timeout": {"client.go", "stack.go"},
			"limit": {"client.go"}, "hedge": {"client.go"}, "failover": {"client.go"},
		},
	},

	"breaker":  layer(gobreaker),
	"retry":    layer(backoff),
	"timeout":  layer(),
	"limit":    layer(),
	"hedge":    layer("internal/roundtrip"),
	"failover": layer("internal/roundtrip"),

	"breaker/shared": {imports: []string{"breaker", "internal/telemetry", "internal/law", "internal/says", "internal/explain"}},

	"ops": {imports: []string{".", "breaker", "breaker/shared", "retry", "limit", "internal/explain", "internal/law"}},

	"redoubttest": {imports: []string{".", "internal/law", "internal/memhttp"}},

	"redoubttest/faults": {},

	"internal/telemetry": {imports: []string{"internal/says", otel + "/..."}},
	"internal/explain":   {},
	"internal/keyed":     {},
	"internal/law":       {},
	"internal/says":      {},
	"internal/memhttp":   {},
	"internal/roundtrip": {},
	"internal/repo":      {},

	// These hold nothing but tests.
	"internal/api":    {},
	"internal/deps":   {},
	"internal/readme": {},
}

func layer(imports ...string) room {
	return room{imports: append(imports,
		"internal/telemetry", "internal/law", "internal/says", "internal/explain", "internal/keyed")}
}

func (r room) allows(path string) bool {
	return slices.ContainsFunc(r.imports, func(allowed string) bool {
		below, all := strings.CutSuffix(allowed, "/...")
		return path == allowed || all && (path == below || strings.HasPrefix(path, below+"/"))
	})
}

func TestDirection(t *testing.T) {
	for _, pkg := range repo.List(t, "./...") {
		room, ok := rooms[pkg.Rel()]
		if !ok {
			t.Errorf("%s: no rule says what this package may import; add one to rooms", pkg.Rel())
			continue
		}
		for _, file := range pkg.Files() {
			for _, path := range imports(t, file) {
				name := filepath.Join(pkg.Rel(), filepath.Base(file))
				if !room.allows(path) {
					t.Errorf("%s may not import %s", name, path)
				}
				if only, ok := room.only[path]; ok && !slices.Contains(only, filepath.Base(file)) {
					t.Errorf("%s may not import %s; of this package only %s may", name, path, strings.Join(only, " and "))
				}
			}
		}
	}
}

// imports returns what a file imports outside the standard library, packages
// of the core module by their path below it.
func imports(t *testing.T, file string) []string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, spec := range f.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
			continue
		}
		if path == repo.Module {
			path = "."
		}
		paths = append(paths, strings.TrimPrefix(path, repo.Module+"/"))
	}
	return paths
}

// TestModules holds what a user's build takes in along with Redoubt.
func TestModules(t *testing.T) {
	t.Setenv("GOWORK", "off")
	allowed := slices.Concat(direct, indirect)
	users := make(map[string]string)
	for _, pkg := range repo.List(t, "-deps", "./...") {
		if !pkg.Standard && !pkg.InCore() {
			users[pkg.Module.Path] = pkg.ImportPath
		}
	}
	for _, module := range slices.Sorted(maps.Keys(users)) {
		if !slices.Contains(allowed, module) {
			t.Errorf("the core module depends on %s (package %s)", module, users[module])
		}
	}
}

func TestRequirements(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
		Replace []any
	}
	if err := json.Unmarshal([]byte(repo.Go(t, "mod", "edit", "-json")), &mod); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range mod.Require {
		switch {
		case !r.Indirect:
			got = append(got, r.Path)
		case !slices.Contains(indirect, r.Path):
			t.Errorf("go.mod requires %s indirectly", r.Path)
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, direct) {
		t.Errorf("go.mod requires\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(direct, "\n\t"))
	}
	if len(mod.Replace) > 0 {
		t.Error("go.mod replaces modules, which has no effect for those who import this one")
	}
}
