package redoubt

import (
	"net/http"
	"slices"
	"strings"

	"github.com/redoubt-go/redoubt/internal/roundtrip"
)

// idempotent reports whether req may be sent twice, by itself or because its
// caller says so.
func idempotent(req *http.Request, o overrides) bool {
	return o.idempotent || roundtrip.Idempotent(req)
}

func hasIdempotencyKey(req *http.Request) bool { return roundtrip.HasIdempotencyKey(req) }

// expectsContinue reports whether req asks the server for its leave to send the
// body.
func expectsContinue(req *http.Request) bool {
	return slices.ContainsFunc(req.Header["Expect"], func(v string) bool {
		return strings.EqualFold(strings.TrimSpace(v), "100-continue")
	})
}

// FailureStatus reports whether a response with this status is a failure by
// default: 408, 425, 429, 500, 502, 503 and 504. The other statuses from 400 on
// say something about the request rather than the server, or do not change with
// time.
func FailureStatus(status int) bool { return roundtrip.FailureStatus(status) }
