package redoubttest

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"
)

// checkResponse compares the response with what base returned.
func checkResponse(s *stage) {
	s.serve(func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		w.Header()["X-Many"] = []string{"b", "a"}
		w.WriteHeader(http.StatusCreated)
		_, _ = io.WriteString(w, "hello")
	})
	req := s.request(s.ctx, http.MethodGet)
	resp, err := s.trip(req)
	if err != nil {
		s.r.Errorf("RoundTrip of a fresh transport: %v", err)
		return
	}
	last := s.answered()
	for _, field := range []struct {
		name      string
		got, want any
	}{
		{"Status", resp.Status, last.Status},
		{"StatusCode", resp.StatusCode, last.StatusCode},
		{"Proto", resp.Proto, last.Proto},
		{"Header", resp.Header, last.Header},
		{"ContentLength", resp.ContentLength, last.ContentLength},
		{"TransferEncoding", resp.TransferEncoding, last.TransferEncoding},
		{"Uncompressed", resp.Uncompressed, last.Uncompressed},
		{"Close", resp.Close, last.Close},
	} {
		if !reflect.DeepEqual(field.got, field.want) {
			s.r.Errorf("the response's %s is %v, want base's %v", field.name, field.got, field.want)
		}
	}
	if r := resp.Request; r == nil || r.Method != req.Method || r.URL.String() != req.URL.String() {
		s.r.Errorf("the response's Request is %v, want the one that was sent", r)
	} else if err := r.Context().Err(); err != nil {
		s.r.Errorf("the context of the response's Request has ended: %v", err)
	}
	if body := s.read(resp); body != "hello" {
		s.r.Errorf("the response body is %q, want %q", body, "hello")
	}
}

// checkStatuses has every status answered with, until there are no more
// attempts: what the server said last is the result, and no error.
func checkStatuses(s *stage) {
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		for _, status := range []int{200, 206, 400, 404, 408, 409, 413, 421, 422, 425, 429, 500, 501, 502, 503, 504, 599} {
			s.fresh()
			s.serve(func(got *receipt, w http.ResponseWriter, r *http.Request) {
				s.take(got, r)
				w.WriteHeader(status)
				_, _ = fmt.Fprint(w, "answer ", got.n)
			})
			resp, err := s.trip(s.upload(s.ctx, method, "order", true))
			if err != nil {
				s.r.Errorf("RoundTrip made an error of status %d: %v", status, err)
				continue
			}
			body := s.read(resp)
			if want := fmt.Sprint("answer ", len(s.receipts())); resp.StatusCode != status || body != want {
				s.r.Errorf("%s: RoundTrip returned %d with body %q, want the server's last: %d, %q", method, resp.StatusCode, body, status, want)
			}
		}
	}
}

func checkEmptyBodies(s *stage) {
	for method, status := range map[string]int{http.MethodHead: http.StatusOK, http.MethodGet: http.StatusNoContent} {
		s.answers(status)
		if resp, body := s.ok(s.request(s.ctx, method)); resp != nil && (resp.StatusCode != status || body != "") {
			s.r.Errorf("%s: %d with body %q, want %d and none", method, resp.StatusCode, body, status)
		}
	}
}

func checkRedirects(s *stage) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		s.fresh()
		s.serve(func(got *receipt, w http.ResponseWriter, _ *http.Request) {
			if got.n == 1 {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(status)
			}
		})
		resp, _ := s.ok(s.request(s.ctx, http.MethodGet))
		if resp == nil {
			return
		}
		if n := len(s.receipts()); resp.StatusCode != status || n != 1 {
			s.r.Errorf("the transport followed a redirect: status %d after %d requests, want %d after 1", resp.StatusCode, n, status)
		}
	}
}

func checkCookies(s *stage) {
	s.serve(func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
	})
	for range 2 {
		resp, _ := s.ok(s.request(s.ctx, http.MethodGet))
		if resp != nil && len(resp.Cookies()) != 1 {
			s.r.Errorf("the response has cookies %v, want the server's", resp.Cookies())
		}
	}
	for _, received := range s.receipts() {
		if got := received.header["Cookie"]; got != nil {
			s.r.Errorf("the transport sent a cookie by itself: %v", got)
		}
	}
}

func checkCredentials(s *stage) {
	for status, challenge := range map[int]string{
		http.StatusUnauthorized:      "Www-Authenticate",
		http.StatusProxyAuthRequired: "Proxy-Authenticate",
	} {
		s.fresh()
		s.serve(func(_ *receipt, w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(challenge, `Basic realm="x"`)
			w.WriteHeader(status)
		})
		req := s.request(s.ctx, http.MethodGet)
		resp, _ := s.ok(req)
		if resp == nil {
			return
		}
		if n := len(s.receipts()); resp.StatusCode != status || resp.Header.Get(challenge) == "" || n != 1 {
			s.r.Errorf("the transport handled a challenge: status %d after %d requests, want %d after 1", resp.StatusCode, n, status)
		}
		if got := s.receipts()[0].header["Authorization"]; got != nil {
			s.r.Errorf("the transport sent credentials by itself")
		}
	}
}

func checkCloseIdleConnections(s *stage) {
	s.ok(s.request(s.ctx, http.MethodGet))
	(&http.Client{Transport: s.rt}).CloseIdleConnections()
	time.Sleep(time.Second)
	if open := s.server.Open(); open > 0 {
		s.r.Errorf("http.Client.CloseIdleConnections did not reach base: %d connections are open", open)
	}
}

func checkErrorOfBase(s *stage) {
	cause := errors.New("redoubttest: cause")
	for _, content := range []string{"", "order"} {
		s.fresh()
		s.intercept(func(_ int, r *http.Request) (*http.Response, error, bool) {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return nil, &callError{cause}, true
		})
		req := s.request(s.ctx, http.MethodPost)
		if content != "" {
			req = s.upload(s.ctx, http.MethodPost, content, true)
		}
		resp, err := s.trip(req)
		s.drop(resp, err)
		var typed *callError
		if !errors.Is(err, cause) || !errors.As(err, &typed) {
			s.r.Errorf("the error is %v, want one that wraps base's", err)
		}
		if n := s.sent(); n > 1 {
			s.r.Errorf("a POST was sent %d times after an error that nobody knows, want once", n)
		}
	}
}
