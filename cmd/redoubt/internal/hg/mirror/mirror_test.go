package mirror

import (
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/breaker/shared"
	"github.com/redoubt-go/redoubt/cmd/redoubt/internal/hg/source"
)

func TestFindLogin(t *testing.T) {
	const text = "machine a.example login alice password pa\nmachine b.example\n  login bob\n  password pb\ndefault login any password pd\n"
	for host, want := range map[string]string{"a.example": "alice:pa", "B.example": "bob:pb", "c.example": "any:pd"} {
		user, password, ok := findLogin(text, host)
		if got := user + ":" + password; !ok || got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
	for _, text := range []string{"", "machine", "machine h", "machine other login x password y", "macdef m machine h login x"} {
		if user, _, ok := findLogin(text, "h"); ok {
			t.Errorf("%q: found %q", text, user)
		}
	}
}

func FuzzFindLogin(f *testing.F) {
	f.Add("machine h login x password y default", "h")
	f.Fuzz(func(_ *testing.T, text, host string) { findLogin(text, host) })
}

func limits() Limits {
	return Limits{Attempts: 2, Connect: 5 * time.Second, FirstByte: 5 * time.Second, Stall: 5 * time.Second, MaxRetryAfter: time.Second}
}

// get reads what a server says, through a mirror.
func get(t *testing.T, l Limits, handler http.HandlerFunc) ([]byte, []Exchange, error) {
	t.Helper()
	server := httptest.NewServer(handler)
	defer server.Close()
	s, err := source.Repository("URL", server.URL)
	if err != nil {
		t.Fatal(err)
	}
	var exchanges []Exchange
	m := New(Config{Source: s, Limits: l, Exchanged: func(x Exchange) { exchanges = append(exchanges, x) }})
	defer m.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL().String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := m.Do(req, "test")
	if err != nil {
		return nil, exchanges, err
	}
	text, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	return text, exchanges, err
}

func TestExchange(t *testing.T) {
	n := 0
	text, exchanges, err := get(t, limits(), func(w http.ResponseWriter, _ *http.Request) {
		if n++; n == 1 {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		io.WriteString(w, "hello")
	})
	if err != nil || string(text) != "hello" || len(exchanges) != 1 {
		t.Fatalf("%q, %v, %+v", text, err, exchanges)
	}
	x := exchanges[0]
	if x.Attempts != 2 || x.Bytes != 5 || x.Status != 200 || x.Waited <= 0 || x.Command != "test" {
		t.Errorf("%+v", x)
	}
}

func TestStall(t *testing.T) {
	l := limits()
	l.Stall = 50 * time.Millisecond
	_, _, err := get(t, l, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "hel")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	stall, ok := errors.AsType[*StallError](err)
	if !ok || stall.Bytes != 3 {
		t.Errorf("err = %v", err)
	}
}

func TestTooSlow(t *testing.T) {
	b := &body{exchange: &exchange{}, limits: Limits{MinRate: 1000}, cancel: func(error) {}}
	for range 9 {
		if err := b.tooSlow(1000, time.Second); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	for range 3 {
		err = b.tooSlow(900, time.Second)
	}
	if slow, ok := errors.AsType[*RateError](err); !ok || slow.Rate != 900 {
		t.Errorf("err = %v", err)
	}
}

// An answer counts once, when it has ended: a good header does not make up for a
// body that breaks off, and an answer that nobody wants proves nothing.
func TestBreakerHearsTheEnd(t *testing.T) {
	const good, cut, unwanted, missing, ill = "good", "cut", "unwanted", "missing", "ill"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.RawQuery {
		case cut:
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "hel")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		case missing:
			w.WriteHeader(http.StatusNotFound)
		case ill:
			w.WriteHeader(http.StatusServiceUnavailable)
		default:
			io.WriteString(w, "hello")
		}
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	defer server.Close()
	for _, test := range []struct {
		answers []string
		want    breaker.State
	}{
		{[]string{cut, cut}, breaker.Closed},
		{[]string{cut, cut, cut}, breaker.Open},
		{[]string{cut, unwanted, cut, unwanted, cut}, breaker.Open},
		{[]string{cut, ill, cut}, breaker.Open},
		{[]string{ill, ill}, breaker.Closed},
		{[]string{cut, cut, good, cut, cut}, breaker.Closed},
		{[]string{cut, cut, missing, cut, cut}, breaker.Closed},
	} {
		s, err := source.Repository("URL", server.URL)
		if err != nil {
			t.Fatal(err)
		}
		l := limits()
		l.Attempts = 1
		guard := shared.New(shared.Config{
			Name: "test", Store: shared.NewFileStore(t.TempDir()), Consecutive: 3, Classify: BreakerOutcome,
		})
		m := New(Config{Source: s, Limits: l, Breaker: guard})
		for _, answer := range test.answers {
			u := s.URL()
			u.RawQuery = answer
			resp, err := m.Do(&http.Request{Method: http.MethodGet, URL: u, Header: make(http.Header)}, "test")
			if err != nil {
				t.Fatalf("%v: %s: %v", test.answers, answer, err)
			}
			if answer != unwanted {
				io.Copy(io.Discard, resp.Body)
			}
			resp.Body.Close()
			resp.Body.Close() // counts no more
		}
		if got := guard.State(); got != test.want {
			t.Errorf("%v: %v, want %v", test.answers, got, test.want)
		}
		m.Close()
	}
}
