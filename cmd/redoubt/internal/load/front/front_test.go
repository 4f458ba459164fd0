package front

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/load/engine"
)

// The fronts here are real servers on loopback. Limits are long; what is waited
// for is short.
const generous = 30 * time.Second

// stand puts a front before a handler and returns the addresses of its ports.
func stand(t *testing.T, change func(*Config), upstream http.Handler) (f *Front, guarded, bare, admin string) {
	t.Helper()
	server := httptest.NewServer(upstream)
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return before(t, u, change)
}

func before(t *testing.T, upstream *url.URL, change func(*Config)) (f *Front, guarded, bare, admin string) {
	t.Helper()
	c := Config{Upstream: upstream, Limit: generous, AttemptTimeout: generous / 2, UsefulWithin: generous}
	if change != nil {
		change(&c)
	}
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.Close)
	serve := func(h http.Handler) string {
		s := httptest.NewServer(h)
		t.Cleanup(s.Close)
		return s.URL
	}
	return f, serve(f.Guarded()), serve(f.Bare()), serve(f.Admin())
}

type answer struct {
	status int
	header http.Header
	body   string
}

func send(t *testing.T, method, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(text)}
}

// side waits until a side has n requests that ended, and returns what is said of
// it.
func (f *Front) sideAfter(t *testing.T, client string, n int64) *engine.Result {
	t.Helper()
	for end := time.Now().Add(generous); ; time.Sleep(time.Millisecond) {
		for _, c := range f.Report().Clients {
			var ended int64
			for _, count := range c.Run.Outcomes {
				ended += count
			}
			if c.Client == client && ended == n {
				return c
			}
		}
		if time.Now().After(end) {
			t.Fatalf("%s: there are not %d requests: %+v", client, n, f.Report().Clients[0].Run)
		}
	}
}

// A failure that the layers cure is one for the side without them.
func TestSides(t *testing.T) {
	var served atomic.Int64
	f, guarded, bare, admin := stand(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if served.Add(1)%2 == 1 {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		body, _ := io.ReadAll(r.Body)
		_, _ = io.WriteString(w, r.Method+" "+r.URL.String()+" "+string(body)+" "+r.Header.Get("X-Forwarded-For"))
	}))
	if got := send(t, "PUT", guarded+"/a/b?c=d", "text"); got.status != 200 || got.body != "PUT /a/b?c=d text 127.0.0.1" {
		t.Errorf("guarded: %+v", got)
	}
	if got := send(t, "GET", bare+"/", ""); got.status != 503 || got.body != "not now\n" {
		t.Errorf("bare: %+v", got)
	}
	one, other := f.sideAfter(t, "redoubt", 1), f.sideAfter(t, "bare", 1)
	if r := one.Run; r.Useful != 1 || r.Attempts != 2 || r.Arrivals != 2 || r.Amplification != 2 || r.RetriesHelped != 1 || r.Retries[engine.ServerError] != 1 {
		t.Errorf("guarded: %+v", r)
	}
	if r := other.Run; r.Outcomes[engine.ServerError] != 1 || r.Arrivals != 1 {
		t.Errorf("bare: %+v", r)
	}
	if one.RequestsWritten != 2 || one.ConnectionsOpened == 0 || one.InFlightPeak != 1 {
		t.Errorf("guarded: %d written, %d connections, %d in flight", one.RequestsWritten, one.ConnectionsOpened, one.InFlightPeak)
	}

	var report engine.Report
	if err := json.Unmarshal([]byte(send(t, "GET", admin+"/report.json", "").body), &report); err != nil {
		t.Fatal(err)
	}
	if report.Schema != engine.Schema || len(report.Clients) != 2 || report.Clients[0].Client != "bare" || report.Clients[1].Run.Offered != 1 || len(report.Warnings) > 0 {
		t.Errorf("report: %+v", report)
	}
	if got := send(t, "GET", admin+"/", ""); got.status != 200 || !strings.Contains(got.body, "what passed through the front") {
		t.Errorf("page: %d", got.status)
	}
	if got := send(t, "GET", admin+"/ops/state", ""); got.status != 200 || !strings.Contains(got.body, `"redoubt"`) {
		t.Errorf("ops: %+v", got)
	}
	if got := send(t, "GET", admin+"/healthz", ""); got.status != 200 {
		t.Errorf("healthz: %+v", got)
	}
	if got := send(t, "GET", admin+"/reset", ""); got.status != http.StatusMethodNotAllowed {
		t.Errorf("GET /reset: %+v", got)
	}
	if got := send(t, "POST", admin+"/reset", ""); got.status != http.StatusNoContent {
		t.Errorf("POST /reset: %+v", got)
	}
	if r := f.Report(); len(r.Clients) != 1 || r.Clients[0].Run.Offered != 0 {
		t.Errorf("after the reset: %+v", r.Clients[0].Run)
	}
}

// An open circuit answers by itself, says when to come back, and keeps the
// requests from the upstream.
func TestShortCircuit(t *testing.T) {
	var served atomic.Int64
	f, guarded, _, _ := stand(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		served.Add(1)
		w.WriteHeader(http.StatusInternalServerError)
	}))
	const calls = 60
	var refused answer
	for range calls {
		if got := send(t, "POST", guarded, ""); got.status == http.StatusServiceUnavailable {
			refused = got
		}
	}
	if refused.header.Get(OutcomeHeader) != "short_circuit" || refused.header.Get("Retry-After") == "" {
		t.Errorf("refusal: %+v", refused)
	}
	r := f.sideAfter(t, "redoubt", calls)
	if n := served.Load(); r.Run.Arrivals != n || r.Run.ShortCircuits == 0 || r.Run.ShortCircuits+r.Run.Outcomes[engine.ServerError] != calls || n >= calls {
		t.Errorf("%d served, %d arrivals: %v", n, r.Run.Arrivals, r.Run.Outcomes)
	}
	if b := r.Breaker; b.Opened == 0 || len(b.Transitions) == 0 || b.Transitions[0].To != "open" {
		t.Errorf("breaker: %+v", b)
	}
}

// What has no answer is told apart.
func TestFailures(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		closed := httptest.NewServer(nil)
		u, _ := url.Parse(closed.URL)
		closed.Close()
		f, guarded, bare, _ := before(t, u, nil)
		for client, side := range map[string]string{"redoubt": guarded, "bare": bare} {
			if got := send(t, "GET", side, ""); got.status != http.StatusBadGateway || got.header.Get(OutcomeHeader) != "refused" {
				t.Errorf("%s: %+v", client, got)
			}
			if r := f.sideAfter(t, client, 1).Run; r.Arrivals != r.Attempts || r.Outcomes[engine.RefusedConn] != 1 {
				t.Errorf("%s: %+v", client, r)
			}
		}
	})
	t.Run("timeout", func(t *testing.T) {
		f, guarded, _, _ := stand(t, func(c *Config) { c.Limit, c.AttemptTimeout = 200*time.Millisecond, 100*time.Millisecond },
			http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
		if got := send(t, "GET", guarded, ""); got.status != http.StatusGatewayTimeout || got.header.Get(OutcomeHeader) != "attempt_timeout" {
			t.Errorf("%+v", got)
		}
		if r := f.sideAfter(t, "redoubt", 1); r.Run.Outcomes[engine.AttemptTimeout] != 1 || r.SlowMadeFailures == 0 {
			t.Errorf("%+v", r.Run)
		}
	})
	t.Run("truncated", func(t *testing.T) {
		f, guarded, _, _ := stand(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "short")
		}))
		// Whether the headers still come is a matter of buffers.
		if resp, err := http.Get(guarded); err == nil {
			text, err := io.ReadAll(resp.Body)
			if err == nil {
				t.Errorf("%q came whole", text)
			}
			_ = resp.Body.Close()
		}
		if r := f.sideAfter(t, "redoubt", 1).Run; r.Useful != 0 || r.Outcomes[engine.Truncated] != 1 {
			t.Errorf("%v", r.Outcomes)
		}
	})
	t.Run("caller left", func(t *testing.T) {
		arrived := make(chan struct{})
		f, guarded, _, _ := stand(t, nil, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			close(arrived)
			<-r.Context().Done()
		}))
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			<-arrived
			cancel()
		}()
		req, _ := http.NewRequestWithContext(ctx, "GET", guarded, http.NoBody)
		if resp, err := http.DefaultClient.Do(req); !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v", resp, err)
		}
		if r := f.sideAfter(t, "redoubt", 1); r.Run.Outcomes[engine.Cancelled] != 1 || r.SlowMadeFailures != 0 || r.Breaker.Opened != 0 {
			t.Errorf("%v, %d cut off", r.Run.Outcomes, r.SlowMadeFailures)
		}
	})
}

// A connection that becomes another protocol's is left alone.
func TestUpgrade(t *testing.T) {
	f, guarded, _, _ := stand(t, nil, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		line, _ := rw.ReadString('\n')
		_, _ = rw.WriteString("echo " + line)
		_ = rw.Flush()
	}))
	conn, err := net.Dial("tcp", strings.TrimPrefix(guarded, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(generous))
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	if resp, err := http.ReadResponse(answers, nil); err != nil || resp.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("%+v, %v", resp, err)
	}
	if _, err := io.WriteString(conn, "hello\n"); err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(answers); err != nil || string(text) != "echo hello\n" {
		t.Errorf("%q, %v", text, err)
	}
	_ = conn.Close() // until then it is the other protocol's
	if r := f.sideAfter(t, "redoubt", 1).Run; r.Useful != 1 {
		t.Errorf("%v", r.Outcomes)
	}
}

// The trace of whoever drives the front goes on at the upstream.
func TestTrace(t *testing.T) {
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	_, guarded, bare, _ := stand(t, nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Header.Get("Traceparent"))
	}))
	for _, side := range []string{guarded, bare} {
		if got := send(t, "GET", side, "", "Traceparent", parent); !strings.HasPrefix(got.body, parent[:35]) {
			t.Errorf("upstream saw %q", got.body)
		}
	}
}
