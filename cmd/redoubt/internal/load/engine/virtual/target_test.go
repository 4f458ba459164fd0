package virtual_test

import (
	"strings"
	"testing"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine/virtual"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/scenario"
	"github.com/redoubt-go/redoubt/stackfile"
)

// target is much like the default client.
const target = `
name: billing
stack:
  - timeout: 2s
  - retry: {backoff: {base: 50ms}, budget: {name: billing, PER}}
  - breaker: {name: billing, window: 2s, failure_ratio: 0.5, cooldown: 500ms, max_cooldown: 1s, probes: 10, jitter: none, PER}
http:
  header_timeout: 500ms
`

// The layers of a file are watched as ours are: the breaker's changes and probes,
// what the budget has left, and the retries that it denies. That holds for one
// breaker and for one for each host.
func TestTarget(t *testing.T) {
	s, err := scenario.Lookup("04")
	if err != nil {
		t.Fatal(err)
	}
	for _, per := range []string{"", ", per: host"} {
		text := strings.ReplaceAll(target, ", PER", per)
		file, err := stackfile.Parse("billing.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Check(); err != nil {
			t.Fatal(err)
		}
		client := engine.Target("billing", file)
		if client.Parameters["attempt_timeout"] != 500 || client.Parameters["cooldown"] != 1000 {
			t.Errorf("parameters %v", client.Parameters)
		}
		report := virtual.Run(t, s, seed, engine.Bare(), client)
		got := report.Clients[1]
		if got.Client != "billing" || !strings.Contains(got.Explanation, "breaker.") {
			t.Errorf("client %q, explanation:\n%s", got.Client, got.Explanation)
		}
		if len(got.Breaker.Transitions) < 3 || got.Breaker.Probes == 0 {
			t.Errorf("%q: breaker %+v", per, got.Breaker)
		}
		if got.Run.Amplification >= 1.5 || got.Run.ShortCircuits == 0 {
			t.Errorf("%q: amplification %v, %d short-circuits", per, got.Run.Amplification, got.Run.ShortCircuits)
		}
		lowest := 10.0
		for _, b := range got.Cells.Budget {
			lowest = min(lowest, b)
		}
		if lowest > 5 {
			t.Errorf("%q: the budget's lowest balance is %v: %d cells", per, lowest, len(got.Cells.Budget))
		}
	}
}
