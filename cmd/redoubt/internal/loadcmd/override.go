package loadcmd

import (
	"slices"
	"strconv"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// override returns a scenario with another rate and duration, where they are not
// zero. Its source has them too, so that a report tells what was run and reports
// of shards can be merged.
func override(s *scenario.Scenario, rate float64, duration time.Duration) (*scenario.Scenario, error) {
	if rate == 0 && duration == 0 {
		return s, nil
	}
	return edited(s, func(top *yaml.Node) {
		if rate != 0 {
			if bursts := field(top, "bursts"); bursts != nil {
				for i, b := range s.Bursts {
					set(bursts.Content[i], "rate", strconv.FormatFloat(b.Rate*rate/s.Rate, 'g', -1, 64))
				}
			}
			set(top, "rate", strconv.FormatFloat(rate, 'g', -1, 64))
		}
		if duration != 0 {
			set(top, "duration", duration.String())
		}
	})
}

// asItIs returns the load of a scenario, without what goes wrong: for a server that
// is taken as it is.
func asItIs(s *scenario.Scenario) (*scenario.Scenario, error) {
	return edited(s, func(top *yaml.Node) {
		for _, name := range []string{"faults", "windows", "targets", "about"} {
			remove(top, name)
		}
		set(top, "name", "as-it-is")
		set(top, "title", "the server as it is, with the load of "+s.Name)
	})
}

// edited returns what a scenario is after a change of its source.
func edited(s *scenario.Scenario, change func(top *yaml.Node)) (*scenario.Scenario, error) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(s.Source), &root); err != nil {
		return nil, err
	}
	change(root.Content[0])
	text, err := yaml.Marshal(&root)
	if err != nil {
		return nil, err
	}
	return scenario.Parse(s.Name, text)
}

// remove takes a field out of a mapping.
func remove(mapping *yaml.Node, name string) {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			mapping.Content = slices.Delete(mapping.Content, i, i+2)
			return
		}
	}
}

// field returns the value of a field of a mapping, or nil.
func field(mapping *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		if mapping.Content[i].Value == name {
			return mapping.Content[i+1]
		}
	}
	return nil
}

// set gives a field of a mapping a value.
func set(mapping *yaml.Node, name, value string) {
	n := field(mapping, name)
	if n == nil {
		n = new(yaml.Node)
		mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: name}, n)
	}
	*n = yaml.Node{Kind: yaml.ScalarNode, Value: value}
}
