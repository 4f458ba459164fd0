package redoubt_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/timeout"
)

func TestTransport_084_RedirectIsReturned(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		var l log
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			l.note(r)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		}, func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			resp := send(t, rt, newRequest(t.Context(), t, "GET", nil))
			if resp.StatusCode != status || resp.Header.Get("Location") != "/elsewhere" || l.count() != 1 {
				t.Errorf("status %d after %d requests, want %d after 1", resp.StatusCode, l.count(), status)
			}
		})
	}
}

// A jar sees what http.Client sees: the cookies of the response that is
// returned. The names of those that were retried past are lost to it.
func TestTransport_085_CookiesOfDiscardedResponses(t *testing.T) {
	var l log
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		n := l.note(r)
		http.SetCookie(w, &http.Cookie{Name: fmt.Sprint("answer", n), Value: "1"})
		if n == 1 {
			w.WriteHeader(503)
		}
	}, func(t *testing.T, s *memhttp.Server) {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		client := &http.Client{Jar: jar, Transport: &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}}
		for range 2 {
			resp, err := client.Do(newRequest(t.Context(), t, "GET", nil))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
		}
		if got, want := l.all()[1].Header["Cookie"], []string(nil); len(got) != 0 {
			t.Errorf("the retry sent cookies %v, want %v: it is the same request", got, want)
		}
		if got := l.all()[2].Header.Get("Cookie"); got != "answer2=1" {
			t.Errorf("the next request sent %q, want the cookie of the response that was returned", got)
		}
	})
}

func TestTransport_086_ChallengesAreReturned(t *testing.T) {
	for status, challenge := range map[int]string{401: "Www-Authenticate", 407: "Proxy-Authenticate"} {
		var l log
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			l.note(r)
			w.Header().Set(challenge, `Basic realm="x"`)
			w.WriteHeader(status)
		}, func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
			resp := send(t, rt, newRequest(t.Context(), t, "GET", nil))
			if resp.StatusCode != status || resp.Header.Get(challenge) == "" || l.count() != 1 {
				t.Errorf("status %d after %d requests, want %d after 1", resp.StatusCode, l.count(), status)
			}
		})
	}
}

// A signature covers the body, whichever way the body can be had again.
func TestTransport_087_PreparedPerAttempt(t *testing.T) {
	for name, again := range map[string]bool{"GetBody": true, "buffered": false} {
		t.Run(name, func(t *testing.T) {
			var l log
			bubble(t, statuses(&l, 503, 503, 200), func(t *testing.T, s *memhttp.Server) {
				calls := 0
				rt := &redoubt.Transport{
					Base: s.Transport, Layer: every(time.Second, 3), MaxRequestBuffer: 1 << 10, AttemptHeader: "Retry-Attempt",
					Prepare: func(r *http.Request) error {
						calls++
						if got := r.Header.Get("X-Signature"); got != "" {
							t.Errorf("attempt %d begins with the signature of the one before", calls)
						}
						if got, want := r.Header.Get("Retry-Attempt"), []string{"", "1", "2"}[calls-1]; got != want {
							t.Errorf("attempt %d is prepared with Retry-Attempt %q, want %q", calls, got, want)
						}
						content, err := io.ReadAll(r.Body)
						if err != nil {
							return err
						}
						r.Header.Set("X-Signature", fmt.Sprintf("%d:%x", calls, sha256.Sum256(content)))
						return nil
					},
				}
				var content io.Reader = strings.NewReader("order")
				if !again {
					content = &body{Reader: content}
				}
				req := newRequest(t.Context(), t, "PUT", content)
				send(t, rt, req)
				if calls != 3 || l.count() != 3 {
					t.Errorf("prepared %d times for %d requests, want 3", calls, l.count())
				}
				for i, r := range l.all() {
					want := fmt.Sprintf("%d:%x", i+1, sha256.Sum256([]byte("order")))
					if got := r.Header.Get("X-Signature"); got != want || r.body != "order" {
						t.Errorf("request %d has signature %s and body %q, want %s", i+1, got, r.body, want)
					}
				}
				if len(req.Header) != 0 {
					t.Errorf("the caller's header has become %v", req.Header)
				}
			})
		})
	}
}

func TestTransport_087_PreparationFails(t *testing.T) {
	expired := errors.New("token service is down")
	var l log
	bubble(t, statuses(&l, 200), func(t *testing.T, s *memhttp.Server) {
		br := breaker.New(breaker.Config{Name: "b", Consecutive: 1})
		rt := &redoubt.Transport{
			Base: s.Transport, Layer: redoubt.Stack{every(time.Second, 3), br},
			Prepare: func(*http.Request) error { return expired },
		}
		content := &body{Reader: strings.NewReader("order")}
		_, err := rt.RoundTrip(newRequest(t.Context(), t, "PUT", content))
		if !errors.Is(err, expired) || l.count() != 0 || content.closes.Load() != 1 || br.State() != breaker.Closed {
			t.Errorf("err = %v, %d requests, body closed %d times, breaker %v", err, l.count(), content.closes.Load(), br.State())
		}
		if _, err := rt.RoundTrip(newRequest(t.Context(), t, "GET", nil)); !errors.Is(err, expired) || l.count() != 0 {
			t.Errorf("without a body: err = %v, %d requests", err, l.count())
		}
	})
}

// A body that was put in the place of the one that Prepare found is closed as that
// one is, if Prepare fails after all.
func TestTransport_087_PreparationFailsWithAnotherBody(t *testing.T) {
	expired := errors.New("no key")
	content, sealed := &body{Reader: strings.NewReader("order")}, &body{Reader: strings.NewReader("sealed")}
	rt := &redoubt.Transport{
		Base:    trip(func(*http.Request) (*http.Response, error) { t.Error("it was sent"); return nil, expired }),
		Prepare: func(r *http.Request) error { r.Body = sealed; return expired },
	}
	_, err := rt.RoundTrip(newRequest(t.Context(), t, "PUT", content))
	if !errors.Is(err, expired) || content.closes.Load() != 1 || sealed.closes.Load() != 1 {
		t.Errorf("err = %v, bodies closed %d and %d times, want once", err, content.closes.Load(), sealed.closes.Load())
	}
}

// What Prepare sees of a body: all of it if it can be had twice, also if net/http
// is not to send it twice, and otherwise an error that says what to do.
func TestTransport_087_PrepareLooks(t *testing.T) {
	for name, tt := range map[string]struct {
		once    bool
		content io.Reader
		sees    string
	}{
		"GetBody":      {false, strings.NewReader("order"), "order"},
		"WithoutRetry": {true, strings.NewReader("order"), "order"},
		"no GetBody":   {false, &body{Reader: strings.NewReader("order")}, "redoubt: Prepare can't look at a request body that can't be read twice; set GetBody or Transport.MaxRequestBuffer"},
	} {
		var saw string
		var l log
		bubble(t, statuses(&l, 200), func(t *testing.T, s *memhttp.Server) {
			rt := &redoubt.Transport{Base: s.Transport, Prepare: func(r *http.Request) error {
				content, err := io.ReadAll(r.Body)
				if saw = string(content); err != nil {
					saw = err.Error()
				}
				return nil
			}}
			ctx := t.Context()
			if tt.once {
				ctx = redoubt.WithoutRetry(ctx)
			}
			send(t, rt, newRequest(ctx, t, "PUT", tt.content))
		})
		if got := l.all()[0].body; saw != tt.sees || got != "order" {
			t.Errorf("%s: Prepare sees %q, want %q; sent is %q", name, saw, tt.sees, got)
		}
	}
}

// What net/http itself refuses later, a request without a header, may be written
// to by all that the Transport and Prepare write.
func TestTransport_NilHeader(t *testing.T) {
	for name, rt := range map[string]*redoubt.Transport{
		"DeadlineHeader": {DeadlineHeader: "Deadline", Layer: timeout.Limit(time.Minute)},
		"Prepare":        {Prepare: func(r *http.Request) error { r.Header.Set("Deadline", "1"); return nil }},
	} {
		sent := ""
		rt.Base = trip(func(r *http.Request) (*http.Response, error) {
			sent = r.Header.Get("Deadline")
			return answer(r, 200, ""), nil
		})
		req := newRequest(t.Context(), t, "GET", http.NoBody)
		req.Header = nil
		if send(t, rt, req); sent == "" || req.Header != nil {
			t.Errorf("%s: sent %q, and the caller's header is %v", name, sent, req.Header)
		}
	}
}

func TestTransport_088_AddressAppearsTwice(t *testing.T) {
	address := refusedAddress(t)
	br := breaker.New(breaker.Config{Name: "b"})
	client := &http.Client{Transport: &redoubt.Transport{Base: &http.Transport{}, Layer: redoubt.Stack{atOnce(4), br}}}
	_, err := client.Get("http://" + address)
	if err == nil {
		t.Fatal("no error")
	}
	if n := strings.Count(err.Error(), address); n != 2 {
		t.Errorf("the address appears %d times, want 2: %v", n, err)
	}
	var outer *url.Error
	if errors.As(err, &outer); outer == nil || outer.Timeout() {
		t.Errorf("err = %#v, want a url.Error that is no timeout", err)
	}
	if errors.As(outer.Err, new(*url.Error)) {
		t.Errorf("there is a url.Error within a url.Error: %v", err)
	}
}

// refusedAddress returns an address where nobody listens.
func refusedAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func TestTransport_089_RedirectWithBody(t *testing.T) {
	for _, status := range []int{307, 308} {
		var l log
		bubble(t, func(w http.ResponseWriter, r *http.Request) {
			switch n := l.note(r); n {
			case 1, 3:
				w.WriteHeader(503)
			case 2:
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			}
		}, func(t *testing.T, s *memhttp.Server) {
			client := &http.Client{Transport: &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}}
			resp, err := client.Do(newRequest(t.Context(), t, "PUT", strings.NewReader("order")))
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != 200 || resp.Request.URL.Path != "/elsewhere" || l.count() != 4 {
				t.Errorf("status %d from %v after %d requests, want 200 from /elsewhere after 4", resp.StatusCode, resp.Request.URL, l.count())
			}
			for i, r := range l.all() {
				if r.body != "order" || r.ContentLength != 5 {
					t.Errorf("request %d brought %q, want the order", i+1, r.body)
				}
			}
		})
	}
}

// Each hop is a RoundTrip with attempts of its own. What bounds them all is the
// caller's context.
func TestTransport_090_RedirectHops(t *testing.T) {
	var l log
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		if n := l.note(r); n%2 == 1 {
			w.WriteHeader(503)
			return
		}
		w.Header().Set("Location", "/again")
		w.WriteHeader(302)
	}, func(t *testing.T, s *memhttp.Server) {
		client := &http.Client{Transport: &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}}
		ctx, cancel := context.WithTimeout(t.Context(), 4500*time.Millisecond)
		defer cancel()
		start := time.Now()
		resp, err := client.Do(newRequest(ctx, t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		// Four hops, a second each. In the fifth there is no time for a retry.
		if took := time.Since(start); resp.StatusCode != 503 || l.count() != 9 || took != 4*time.Second {
			t.Errorf("status %d after %d requests and %v, want 503 after 9 and 4s", resp.StatusCode, l.count(), took)
		}
	})
}

// All that http.Client does above us, at once: a login that sets a cookie and
// redirects, an outage behind each hop, and one time limit over all.
func TestTransport_RedirectsCookiesAndClientTimeout(t *testing.T) {
	var l log
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		if l.note(r)%2 == 1 {
			w.WriteHeader(502)
			return
		}
		switch r.URL.Path {
		case "/path":
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
			http.Redirect(w, r, "/home", http.StatusSeeOther)
		case "/home":
			_, _ = io.WriteString(w, "welcome "+r.Header.Get("Cookie")+" "+r.Method)
		}
	}, func(t *testing.T, s *memhttp.Server) {
		jar, _ := cookiejar.New(nil)
		client := &http.Client{
			Jar:       jar,
			Timeout:   time.Minute,
			Transport: &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)},
		}
		req := newRequest(t.Context(), t, "POST", strings.NewReader("password"), "Idempotency-Key", "k")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if got, err := io.ReadAll(resp.Body); string(got) != "welcome session=1 GET" || err != nil || l.count() != 4 {
			t.Errorf("%q, %v after %d requests", got, err, l.count())
		}
	})
}

// http.Client.Timeout covers the body, which no limit of ours does.
func TestTransport_ClientTimeoutInTheBody(t *testing.T) {
	bubble(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "begin")
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}, func(t *testing.T, s *memhttp.Server) {
		client := &http.Client{Timeout: 10 * time.Second, Transport: &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}}
		start := time.Now()
		resp, err := client.Do(newRequest(t.Context(), t, "GET", nil))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		var timeout net.Error
		if took := time.Since(start); !errors.As(err, &timeout) || !timeout.Timeout() || took != 10*time.Second {
			t.Errorf("err = %v after %v, want a timeout after 10s", err, took)
		}
	})
}

// What http.Client's error says of itself is what it says without a Transport.
func TestTransport_ClientErrorIsTemporary(t *testing.T) {
	for name, cause := range map[string]error{
		"mute":      errors.New("down"),
		"timeout":   context.DeadlineExceeded,
		"temporary": &net.DNSError{IsTemporary: true},
		"final":     &net.DNSError{IsNotFound: true},
	} {
		ask := func(rt http.RoundTripper) (says [2]bool) {
			_, err := (&http.Client{Transport: rt}).Do(newRequest(t.Context(), t, "POST", nil))
			outer, ok := errors.AsType[*url.Error](err)
			return [2]bool{ok && outer.Timeout(), ok && outer.Temporary()}
		}
		base := trip(func(*http.Request) (*http.Response, error) { return nil, cause })
		if got, want := ask(&redoubt.Transport{Base: base, Layer: every(time.Second, 3)}), ask(base); got != want {
			t.Errorf("%s: timeout and temporary %v, want %v", name, got, want)
		}
	}
	for _, expired := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			base := trip(func(r *http.Request) (*http.Response, error) {
				if !expired {
					cancel()
				}
				<-r.Context().Done()
				return nil, &net.DNSError{IsTemporary: true}
			})
			_, err := (&http.Client{Transport: &redoubt.Transport{Base: base}}).Do(newRequest(ctx, t, "POST", nil))
			outer, ok := errors.AsType[*url.Error](err)
			if !ok || outer.Timeout() != expired || outer.Temporary() != expired {
				t.Errorf("err = %v, want timeout and temporary %t", err, expired)
			}
		})
	}
}

// A proxy is the base's business: it gets the whole URL, and a body that is
// streamed to it.
func TestTransport_Proxy(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 200), func(t *testing.T, s *memhttp.Server) {
		s.Transport.Proxy = http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy:3128", User: url.UserPassword("user", "secret")})
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3)}
		send(t, rt, newRequest(t.Context(), t, "PUT", strings.NewReader("order")))
		for i, r := range l.all() {
			if r.RequestURI != "http://example.com/path?secret=hunter2" || r.Header.Get("Proxy-Authorization") == "" || r.body != "order" {
				t.Errorf("request %d of %d: %s %v", i+1, l.count(), r.RequestURI, r.Header)
			}
		}
	})
}

// The client's own Clone-and-go habits: a request may be sent again by its
// caller once the response is closed.
func TestTransport_RequestIsUsedAgain(t *testing.T) {
	var l log
	bubble(t, statuses(&l, 503, 200, 503, 200), func(t *testing.T, s *memhttp.Server) {
		rt := &redoubt.Transport{Base: s.Transport, Layer: every(time.Second, 3), AttemptHeader: "Retry-Attempt"}
		req := newRequest(t.Context(), t, "PUT", strings.NewReader("order"))
		for range 2 {
			req.Body, _ = req.GetBody()
			if resp := send(t, rt, req); resp.StatusCode != 200 {
				t.Errorf("status %d", resp.StatusCode)
			}
		}
		synctest.Wait()
		for i, r := range l.all() {
			if r.body != "order" || (r.Header.Get("Retry-Attempt") == "1") != (i%2 == 1) {
				t.Errorf("request %d brought %q, header %v", i+1, r.body, r.Header)
			}
		}
	})
}
