package behaviours

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

var responseProbes = []probe{
	{number: "034", behaviour: "a call with its retries takes one connection", run: oneConnection},
	{number: "035", behaviour: "a failed response that never ends doesn't hold up the retry", run: endlessBody},
	{number: "036", behaviour: "… nor one that stalls", run: stallingBody},
	{number: "038", behaviour: "when retries end, the last response is there with its body", run: lastResponse},
	{number: "039", behaviour: "there is never a response together with an error", run: neverBoth},
	{number: "044", behaviour: "`CloseIdleConnections` closes the connections", run: closeIdle, needs: standardClient},
}

func oneConnection(x *trial) error {
	s := x.serve(func(w http.ResponseWriter, _ *http.Request, n int) {
		if n%3 != 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprint(w, strings.Repeat("x", 2<<10))
	})
	c := x.client(settings{base: s.base})
	for i := range 5 {
		resp, err := c.Do(s.request(x, "GET", nil))
		if err := s.wants(200, 3*(i+1), resp, err); err != nil {
			return err
		}
	}
	if n := s.conns.Opened(); n != 1 {
		return fmt.Errorf("%d connections for 15 requests", n)
	}
	return nil
}

// failedBody asks for a retry after a 503 with this body.
func failedBody(x *trial, write func(w http.ResponseWriter, r *http.Request)) error {
	s := x.serve(func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, "begin")
			_ = http.NewResponseController(w).Flush()
			write(w, r)
		}
	})
	start := time.Now()
	resp, err := x.client(settings{base: s.base}).Do(s.request(x, "GET", nil))
	return errors.Join(soon(start), s.wants(200, 2, resp, err))
}

func endlessBody(x *trial) error {
	return failedBody(x, func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = w.Write(make([]byte, 32<<10))
			time.Sleep(time.Millisecond)
		}
	})
}

func stallingBody(x *trial) error {
	return failedBody(x, func(_ http.ResponseWriter, r *http.Request) { hang(r) })
}

func lastResponse(x *trial) error {
	s := x.serve(func(w http.ResponseWriter, _ *http.Request, n int) {
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "busy ", n)
	})
	resp, err := x.client(settings{base: s.base}).Do(s.request(x, "GET", nil))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusServiceUnavailable || string(body) != "busy 3") {
		err = fmt.Errorf("status %d with %q, want the last", resp.StatusCode, body)
	}
	return err
}

// neverBoth asks for a response after an error, and for an error after a
// response.
func neverBoth(x *trial) error {
	s := x.serve(func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			reset(w, r)
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if resp, err := x.client(settings{base: s.base}).Do(s.request(x, "GET", nil)); resp != nil && err != nil {
		return fmt.Errorf("status %d, and %w", resp.StatusCode, err)
	}
	ctx, cancel := context.WithCancel(x)
	defer cancel()
	s = x.serve(func(w http.ResponseWriter, _ *http.Request, _ int) {
		time.AfterFunc(200*time.Millisecond, cancel)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	if resp, err := x.client(settings{base: s.base, wait: 2 * time.Second}).Do(s.request(ctx, "GET", nil)); resp != nil && err != nil {
		return fmt.Errorf("status %d, and %w", resp.StatusCode, err)
	}
	return nil
}

func closeIdle(x *trial) error {
	s := x.serve(statuses(200))
	c := x.client(settings{base: s.base})
	resp, err := c.Do(s.request(x, "GET", nil))
	if err := s.wants(200, 1, resp, err); err != nil {
		return err
	}
	c.(*http.Client).CloseIdleConnections()
	ctx, cancel := context.WithTimeout(x, 2*time.Second)
	defer cancel()
	return s.conns.Wait(ctx)
}
