package redoubt_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/internal/memhttp"
)

// TestTransport_107_113_NothingIsHedged: an answer may take its time. However
// slow it is, a Transport never sends a request a second time beside the first.
func TestTransport_107_113_NothingIsHedged(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodGet} {
		for _, upgrade := range []string{"", "websocket"} {
			t.Run(method+" "+upgrade, func(t *testing.T) {
				var l log
				slow := func(w http.ResponseWriter, r *http.Request) {
					l.note(r)
					time.Sleep(time.Hour)
					w.WriteHeader(http.StatusNoContent)
				}
				bubble(t, slow, func(t *testing.T, s *memhttp.Server) {
					rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
					req := newRequest(t.Context(), t, method, strings.NewReader("order"))
					if upgrade != "" {
						req.Header.Set("Connection", "Upgrade")
						req.Header.Set("Upgrade", upgrade)
					}
					start := time.Now()
					resp := send(t, rt, req)
					if took := time.Since(start); resp.StatusCode != http.StatusNoContent || took != time.Hour || l.count() != 1 {
						t.Errorf("status %d after %v and %d requests, want 204 after 1h and 1", resp.StatusCode, took, l.count())
					}
				})
			})
		}
	}
}
