package redoubt_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/internal/memhttp"
)

// The first send met nobody, but the hedge beside it may have met the server.
func TestTransport_005_HedgeMayHaveBeenSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sends atomic.Int32
		rt := &redoubt.Transport{Base: &hedge.Transport{
			Hedger: hedge.New(hedge.Config{Name: "reads", Delay: time.Second, MaxExtra: 1}),
			Base: trip(func(*http.Request) (*http.Response, error) {
				if sends.Add(1) > 1 {
					return nil, io.EOF
				}
				time.Sleep(2 * time.Second)
				return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
			}),
		}}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil))
		failed, ok := errors.AsType[*redoubt.SendError](err)
		if !ok || !failed.Sent || failed.Unreached() || sends.Load() != 2 || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("err = %v after %d sends, want the refusal after 2, and Sent", err, sends.Load())
		}
	})
}

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
