package redoubt_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/timeout"
)

// misbehaviours are what a server may do with a request that it has read. They
// say how: an input of the fuzzer is a sequence of them.
var misbehaviours = []func(http.ResponseWriter, *http.Request){
	func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "done") },
	func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) },
	func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503); _, _ = w.Write(make([]byte, 10<<10)) },
	func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "7"); w.WriteHeader(429) },
	func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(421) },
	func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) },
	func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(502) },
	func(_ http.ResponseWriter, r *http.Request) { memhttp.Reset(r) },
	func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, // stalls before headers
	func(w http.ResponseWriter, r *http.Request) { // stalls in the body
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	},
	func(w http.ResponseWriter, r *http.Request) { // truncates
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	},
	func(w http.ResponseWriter, r *http.Request) { // is slow
		for range 5 {
			select {
			case <-time.After(time.Second):
			case <-r.Context().Done():
				return
			}
			_, _ = io.WriteString(w, "slow")
			_ = http.NewResponseController(w).Flush()
		}
	},
	func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503); endless(w, r) },
	func(w http.ResponseWriter, _ *http.Request) { // sends a huge header
		w.Header().Set("X-Huge", strings.Repeat("x", 20<<10))
		w.WriteHeader(503)
	},
	func(w http.ResponseWriter, r *http.Request) { // says nothing that is HTTP
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			_, _ = io.WriteString(conn, "220 mail.example.com ESMTP\r\n")
			_ = conn.Close()
		}
	},
}

// FuzzTransport has a server misbehave in any order. Whatever it does, there is
// exactly one of a response and an error, all bodies are closed, no request that
// is unsafe is seen twice, and what is seen again is the same.
func FuzzTransport(f *testing.F) {
	for n := range len(misbehaviours) {
		f.Add([]byte{byte(n), byte(n + 1), 0}, uint8(n))
		f.Add([]byte{byte(n), byte(n), byte(n), byte(n)}, uint8(n*37))
	}
	f.Fuzz(func(t *testing.T, sequence []byte, options uint8) {
		if len(sequence) > 20 {
			return // the shorter ones have it all
		}
		synctest.Test(t, func(t *testing.T) { misbehave(t, sequence, options) })
	})
}

func misbehave(t *testing.T, sequence []byte, options uint8) {
	var l log
	server := memhttp.NewServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := l.note(r); n <= len(sequence) {
			misbehaviours[int(sequence[n-1])%len(misbehaviours)](w, r)
		}
	}))
	server.Transport.MaxResponseHeaderBytes = 10 << 10
	has := func(bit uint8) bool { return options>>bit&1 == 1 }
	spy := &spyingBase{base: server.Transport}
	rt := &redoubt.Transport{
		Base:          spy,
		Layer:         redoubt.Stack{timeout.Limit(time.Minute), every(time.Second, 4), breaker.New(breaker.Config{Name: "b"}), timeout.Limit(20 * time.Second)},
		HeaderTimeout: 5 * time.Second,
		StallTimeout:  3 * time.Second,
	}
	if has(0) {
		rt.MaxRequestBuffer = 1 << 10
	}
	if has(1) {
		rt.MaxResponseBuffer = 1 << 10
	}
	method := "PUT"
	if has(2) {
		method = "POST"
	}
	for range 1 + len(sequence)/4 {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		if has(3) {
			time.AfterFunc(4*time.Second, cancel)
		}
		content := &body{Reader: strings.NewReader("order")}
		req := newRequest(ctx, t, method, content)
		req.ContentLength = 5
		if has(4) {
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader("order")), nil }
		}
		before := l.count()
		resp, err := rt.RoundTrip(req)
		if (resp == nil) == (err == nil) {
			t.Fatalf("response %v, error %v", resp, err)
		}
		if err == nil {
			// All of it if it ends, a part of it if it doesn't.
			_, err := io.CopyN(io.Discard, resp.Body, 1<<20)
			if err != nil && !errors.Is(err, io.EOF) && has(5) {
				_, _ = resp.Body.Read(make([]byte, 1)) // once more
			}
			resp.Body.Close()
		}
		cancel()
		synctest.Wait()
		seen := l.all()[before:]
		if acted := len(seen) - misdirected(sequence, before, len(seen)); method == "POST" && acted > 1 {
			t.Errorf("a POST was seen %d times by a server that may have acted on it", acted)
		}
		for _, r := range seen {
			if !strings.HasPrefix("order", r.body) || r.ContentLength != 5 {
				t.Errorf("a request brought %q of length %d", r.body, r.ContentLength)
			}
		}
		if content.closes.Load() == 0 {
			t.Error("the request body was not closed")
		}
	}
	time.Sleep(time.Minute)
	if open := spy.open(); open != 0 {
		t.Errorf("%d response bodies were not closed", open)
	}
}

// misdirected counts the requests from the first on that the server refused with
// 421, which says that it did not act.
func misdirected(sequence []byte, first, count int) int {
	n := 0
	for at := first; at < min(first+count, len(sequence)); at++ {
		if int(sequence[at])%len(misbehaviours) == 4 {
			n++
		}
	}
	return n
}

// A spyingBase counts the response bodies that are open.
type spyingBase struct {
	base *http.Transport

	mu    sync.Mutex
	count int
}

func (s *spyingBase) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.base.RoundTrip(r)
	if err == nil && resp.Body != http.NoBody {
		s.add(1)
		resp.Body = &spiedBody{ReadCloser: resp.Body, closed: sync.OnceFunc(func() { s.add(-1) })}
	}
	return resp, err
}

func (s *spyingBase) CloseIdleConnections() { s.base.CloseIdleConnections() }

func (s *spyingBase) add(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count += n
}

func (s *spyingBase) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

type spiedBody struct {
	io.ReadCloser
	closed func()
}

func (b *spiedBody) Close() error {
	defer b.closed()
	return b.ReadCloser.Close()
}
