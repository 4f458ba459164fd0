package telemetry

import "testing"

func TestTraceparent(t *testing.T) {
	for _, s := range []string{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
	} {
		if got := LinkTo(s).Traceparent(); got != s {
			t.Errorf("LinkTo(%q).Traceparent() = %q", s, got)
		}
	}
	for _, s := range []string{
		"",
		"garbage",
		"01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-xx",
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
	} {
		if got := LinkTo(s).Traceparent(); got != "" {
			t.Errorf("LinkTo(%q).Traceparent() = %q, want nothing", s, got)
		}
	}
}
