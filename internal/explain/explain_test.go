package explain

import "testing"

func TestKind_String(t *testing.T) {
	for kind, want := range map[Kind]string{
		Opaque:   "opaque",
		Timeout:  "timeout",
		Retry:    "retry",
		Breaker:  "breaker",
		Limit:    "limit",
		Hedge:    "hedge",
		Failover: "failover",
		-1:       "opaque",
	} {
		if got := kind.String(); got != want {
			t.Errorf("Kind(%d).String() = %q, want %q", int(kind), got, want)
		}
	}
}
