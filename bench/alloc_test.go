package bench

import (
	"fmt"
	"testing"
)

// ours are the allocations of Redoubt's rows, exactly: with one more a change
// has a price, and with one less this table and README.md are to be corrected.
var ours = map[string]float64{
	"Retry/impl=redoubt":                    1,
	"TwoFailures/impl=redoubt/wait=none":    4,
	"TwoFailures/impl=redoubt/wait=real":    6,
	"Breaker/impl=redoubt/rule=ratio":       0,
	"Breaker/impl=redoubt/rule=consecutive": 0,
	"BreakerOpen/impl=redoubt":              0,
	"Timeout/impl=redoubt/callee=deaf":      1,
	"Timeout/impl=redoubt/callee=waits":     7,
	"Stack/impl=redoubt/callee=deaf":        2,
	"Stack/impl=redoubt/callee=waits":       8,
	"Stack/impl=redoubt-typed/callee=deaf":  6,
	"Stack/impl=redoubt-typed/callee=waits": 12,
	"StackOpen/impl=redoubt":                0,
	"StackOpen/impl=redoubt-typed":          4,
	"HTTP/impl=redoubt":                     21,
	"HTTP/impl=redoubt-retry-breaker":       20,
	"Telemetry/impl=redoubt/sdk=none":       2,
	"Telemetry/impl=redoubt/sdk=unsampled":  10,
	"Telemetry/impl=redoubt/sdk=sampled":    16,
	"Telemetry/impl=redoubt/sdk=metrics":    4,
}

func TestAllocs(t *testing.T) {
	unseen := len(ours)
	for _, r := range rows() {
		for _, s := range r.subjects {
			name := fmt.Sprintf("%s/%s", r.bench, s.name(r))
			want, ok := ours[name]
			if !ok {
				continue
			}
			unseen--
			t.Run(name, func(t *testing.T) {
				op := s.wrap(r.callee())
				ctx := t.Context()
				got := testing.AllocsPerRun(300, func() { _ = op(ctx) })
				if leaky := raceEnabled && r.keys == "sdk=sampled"; got < want || got > want && !leaky {
					t.Errorf("%v allocations, want %v", got, want) // the race detector drops what the SDK pools
				}
			})
		}
	}
	if unseen != 0 {
		t.Errorf("%d entries of the table have no row", unseen)
	}
}
