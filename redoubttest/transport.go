package redoubttest

import (
	"net/http"
	"testing"
	"time"
)

// CheckTransport tests that transports keep the contract of
// [http.RoundTripper], leave nothing behind and send nothing twice that must not
// be, each clause in a subtest of its own. wrap returns a new transport that
// sends requests through base; it is called inside a bubble of testing/synctest,
// so all that the transport holds must be made in it:
//
//	redoubttest.CheckTransport(t, func(base http.RoundTripper) http.RoundTripper {
//		return &redoubt.Transport{Base: base, Layer: retry.Policy{}}
//	})
//
// A transport may repeat requests, refuse them and limit them in time, but
//
//   - it does not change the request, and closes its body on every path;
//   - it returns a response or an error, never both; whatever the status, a
//     response is no error;
//   - it leaves redirects, cookies and credentials alone;
//   - it sends a POST once if the server may have acted on it, and whatever it
//     repeats it repeats to the byte;
//   - it returns when the request's context ends, and lets the error show
//     through;
//   - it streams both bodies: at most 4 MiB of a response are held back, and
//     nothing of a stream of events;
//   - it puts no limit on a body that is being read, unless it stalls for more
//     than a minute, and none at all on a connection after 101;
//   - it lets a panic or Goexit of base pass, and works again within an hour;
//   - it lets [http.Client.CloseIdleConnections] reach base;
//   - it leaves neither a response body open nor a connection nor a goroutine.
//
// Where the clauses depend on the wire, base is an [http.Transport] that talks
// to a server in memory over HTTP/1.1. Run the tests with the race detector,
// which finds what the clauses cannot see.
//
// CheckTransport must not be called in a bubble.
func CheckTransport(t *testing.T, wrap func(base http.RoundTripper) http.RoundTripper) {
	t.Helper()
	for _, law := range transportLaws() {
		t.Run(law.name, func(t *testing.T) {
			t.Helper()
			law.run(t, t, wrap, time.Minute)
		})
	}
}

// A transportLaw is one clause of what a transport has to keep.
type transportLaw struct {
	name  string
	check func(s *stage)
}

// run checks the law in a bubble and reports to r.
func (l transportLaw) run(t *testing.T, r reporter, wrap func(http.RoundTripper) http.RoundTripper, patience time.Duration) {
	r.Helper()
	inBubble(t, r, "transport", patience, func(t *testing.T) {
		s := newStage(t, r, wrap)
		defer s.server.Close()
		l.check(s)
		s.settle()
	})
}
