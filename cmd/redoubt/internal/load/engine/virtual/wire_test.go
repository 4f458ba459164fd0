package virtual_test

import (
	"testing"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine/virtual"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
)

// Dials whose callers have left once went on until TCP gave up, 127 s later, and
// were not among the arrivals of a run: over sockets they are given up with the
// callers' patience.
func TestWiredSYNLoss(t *testing.T) {
	s, err := scenario.Parse("syn-loss", []byte(`
name: syn-loss
duration: 10s
rate: 10
patience: 1500ms
wire: http1
new-connections: true
faults:
  - during: {to: 5s}
    syn-loss: true
`))
	if err != nil {
		t.Fatal(err)
	}
	run := virtual.Run(t, s, seed, engine.Bare()).Clients[0].Run
	// A dial of the last second before the window's end sends its second SYN after
	// it. The dials of the 4 s before are given up; all requests after arrive.
	// Which of a dial and its caller leaves first is not told.
	left := run.Outcomes[engine.AttemptTimeout] + run.Outcomes[engine.CallerTimeout]
	if left != 40 || run.Useful != 60 || run.Arrivals != 100 {
		t.Errorf("outcomes %v, %d arrivals", run.Outcomes, run.Arrivals)
	}
}
