package behaviours

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

var sendingProbes = []probe{
	{number: "001", behaviour: "a POST answered by 503 isn't sent again", run: failedPost},
	{number: "002", behaviour: "… but with an `Idempotency-Key` it is, key and body unchanged", run: keyedPost},
	{number: "003", behaviour: "a PUT whose connection died is sent again", run: brokenPut},
	{number: "004", behaviour: "a POST whose connection died isn't", run: brokenPost},
	{number: "005", behaviour: "… but if the connection was refused, it is", run: refusedPost},
	{number: "017", behaviour: "with the retry budget empty the caller has the response, unchanged and at once", run: emptyBudget, needs: budgets},
}

func failedPost(x *trial) error {
	s := x.serve(statuses(503, 200))
	return s.wantsOnce(x.client(settings{base: s.base}).Do(s.request(x, "POST", strings.NewReader("order"))))
}

func keyedPost(x *trial) error {
	s := x.serve(func(w http.ResponseWriter, r *http.Request, n int) {
		body, _ := io.ReadAll(r.Body)
		if n == 1 || r.Header.Get("Idempotency-Key") != "7" || string(body) != "order" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	resp, err := x.client(settings{base: s.base}).Do(s.request(x, "POST", strings.NewReader("order"), "Idempotency-Key", "7"))
	return s.wants(200, 2, resp, err)
}

// resetFirst breaks the connection of the first request.
func resetFirst(w http.ResponseWriter, r *http.Request, n int) {
	if n == 1 {
		reset(w, r)
	}
}

func brokenPut(x *trial) error {
	s := x.serve(resetFirst)
	resp, err := x.client(settings{base: s.base}).Do(s.request(x, "PUT", strings.NewReader("file")))
	return s.wants(200, 2, resp, err)
}

func brokenPost(x *trial) error {
	s := x.serve(resetFirst)
	return s.wantsOnce(x.client(settings{base: s.base}).Do(s.request(x, "POST", strings.NewReader("order"))))
}

func refusedPost(x *trial) error {
	s := x.serve(statuses(200))
	dials := 0
	s.base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if dials++; dials == 1 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	resp, err := x.client(settings{base: s.base}).Do(s.request(x, "POST", strings.NewReader("order")))
	return s.wants(200, 1, resp, err)
}

// emptyBudget has one call use up the budget, by a retry that is under way while
// another call fails.
func emptyBudget(x *trial) error {
	retrying := make(chan struct{})
	s := x.serve(func(w http.ResponseWriter, r *http.Request, n int) {
		if n == 2 {
			close(retrying)
			hang(r)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		fmt.Fprint(w, "busy")
	})
	ctx, cancel := context.WithCancel(x)
	c := x.client(settings{base: s.base, budget: true, wait: 4 * time.Second})
	done := make(chan struct{})
	go func() {
		defer close(done)
		resp, _ := c.Do(s.request(ctx, "GET", nil))
		finish(resp)
	}()
	defer func() { cancel(); <-done }()
	select {
	case <-retrying:
	case <-x.Done():
		return errors.New("no retry at all")
	}
	start := time.Now()
	resp, err := c.Do(s.request(x, "GET", nil))
	return errors.Join(soon(start), s.wants(503, 3, resp, err))
}
