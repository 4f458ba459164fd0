package scenario

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
	"sync"
)

//go:embed catalogue/*.yaml
var files embed.FS

// Catalogue returns the scenarios that come with the command, in the order of
// their names.
func Catalogue() []*Scenario { return catalogue() }

var catalogue = sync.OnceValue(func() []*Scenario {
	entries, err := fs.ReadDir(files, "catalogue")
	if err != nil {
		panic(err)
	}
	var all []*Scenario
	for _, e := range entries {
		text, err := files.ReadFile("catalogue/" + e.Name())
		if err != nil {
			panic(err)
		}
		s, err := Parse(e.Name(), text)
		if err != nil {
			panic(err) // the tests see that this can't happen
		}
		all = append(all, s)
	}
	return all
})

// Lookup returns the scenario of the catalogue with this name, its number or
// the rest of its name.
func Lookup(name string) (*Scenario, error) {
	var known []string
	for _, s := range Catalogue() {
		number, rest, _ := strings.Cut(s.Name, "-")
		if name == s.Name || name == number || name == rest {
			return s, nil
		}
		known = append(known, s.Name)
	}
	return nil, fmt.Errorf("scenario: %q is unknown, must be one of %s", name, strings.Join(known, ", "))
}
