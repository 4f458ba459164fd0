package engine

import (
	"net/http"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// Model returns the dependency of a scenario without sockets: a round tripper.
func Model(s *scenario.Scenario, seed uint64) Dependency {
	return &model{scenario: s, seed: seed}
}

type model struct {
	scenario *scenario.Scenario
	seed     uint64
	injector *faults.Injector
}

func (m *model) Start(t time.Time, observe func(faults.Event)) error {
	var err error
	m.injector, err = start(m.scenario, m.seed, t, observe)
	return err
}

func (m *model) Transport(time.Duration) http.RoundTripper { return m.injector.RoundTripper(nil) }

func (m *model) URL() string { return "http://dependency.test/" }

func (m *model) Counts() faults.Counts { return m.injector.Counts() }

func (m *model) Close() error { return nil }
