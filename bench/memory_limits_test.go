//go:build !race

package bench

import "testing"

// TestMemory keeps what things hold from growing unnoticed. The race detector takes
// memory of its own, so make test runs it without.
func TestMemory(t *testing.T) {
	for _, m := range memories {
		t.Run(m.impl+"/"+m.what, func(t *testing.T) {
			got := m.measure()
			t.Logf("%.0f bytes", got)
			if got > m.limit {
				t.Errorf("%.0f bytes, want %.0f at most", got, m.limit)
			}
		})
	}
}
