package telemetry

import (
	"net/url"
	"testing"
)

func TestRedact_Opaque(t *testing.T) {
	for opaque, want := range map[string]string{
		"":                                 "http:",
		"//host/path":                      "http://host/path",
		"//user:hunter2@host/path@2?k=v&x": "http://host/path@2?k=REDACTED&REDACTED",
		"//host/path?k=v#hunter2":          "http://host/path?k=REDACTED",
		"user:hunter2@host":                "http:host",
	} {
		if got := redact(&url.URL{Scheme: "http", Opaque: opaque}); got != want {
			t.Errorf("%q is redacted as %q, want %q", opaque, got, want)
		}
	}
}

func TestProtocolVersion(t *testing.T) {
	for version, want := range map[[2]int]string{{1, 0}: "1.0", {1, 1}: "1.1", {2, 0}: "2", {3, 0}: "3"} {
		if got := protocolVersion(version[0], version[1]); got != want {
			t.Errorf("HTTP %v is %q, want %q", version, got, want)
		}
	}
}
