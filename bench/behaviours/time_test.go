package behaviours

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

var limitProbes = []probe{
	{number: "048", behaviour: "an attempt's time limit doesn't cut a body that trickles", run: tricklingBody},
	{number: "049", behaviour: "… nor a large one that is read later", run: largeResponse},
	{number: "051", behaviour: "a server that stays silent is cut off, and asked again", run: silentServer},
	{number: "052", behaviour: "a body that falls silent doesn't hang its reader", run: silentBody},
	{number: "054", behaviour: "when attempts time out, the error says so to `errors.Is` and `Timeout()`", run: timeoutError},
}

func tricklingBody(x *trial) error {
	s := x.serve(func(w http.ResponseWriter, _ *http.Request, _ int) {
		for range 12 {
			fmt.Fprint(w, "x")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(250 * time.Millisecond)
		}
	})
	resp, err := x.client(settings{base: s.base, limit: 2 * time.Second}).Do(s.request(x, "GET", nil))
	return s.wants(200, 1, resp, err)
}

func largeResponse(x *trial) error {
	want := payload(8 << 20)
	s := x.serve(func(w http.ResponseWriter, _ *http.Request, _ int) {
		_, _ = w.Write(want)
	})
	resp, err := x.client(settings{base: s.base, limit: patience}).Do(s.request(x, "GET", nil))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	time.Sleep(100 * time.Millisecond)
	got, err := io.ReadAll(resp.Body)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("%d other bytes", len(got))
	}
	return err
}

func silentServer(x *trial) error {
	s := x.serve(func(_ http.ResponseWriter, r *http.Request, n int) {
		if n == 1 {
			hang(r)
		}
	})
	resp, err := x.client(settings{base: s.base, limit: 2 * time.Second}).Do(s.request(x, "GET", nil))
	return s.wants(200, 2, resp, err)
}

func silentBody(x *trial) error {
	s := x.serve(func(w http.ResponseWriter, r *http.Request, _ int) {
		fmt.Fprint(w, "begin")
		_ = http.NewResponseController(w).Flush()
		hang(r)
	})
	resp, err := x.client(settings{base: s.base, limit: 2 * time.Second}).Do(s.request(x, "GET", nil))
	if err != nil {
		return err
	}
	start := time.Now()
	err = finish(resp)
	if took := time.Since(start); err == nil || took > patience*2/3 {
		return fmt.Errorf("%w after %v, want a timeout", err, took)
	}
	return nil
}

func timeoutError(x *trial) error {
	s := x.serve(func(_ http.ResponseWriter, r *http.Request, _ int) { hang(r) })
	resp, err := x.client(settings{base: s.base, limit: 200 * time.Millisecond}).Do(s.request(x, "GET", nil))
	finish(resp)
	var says interface{ Timeout() bool }
	if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &says) || !says.Timeout() {
		return fmt.Errorf("err = %w", err)
	}
	return nil
}

var waitProbes = []probe{
	{number: "059", behaviour: "`Retry-After` is waited for", run: retryAfter},
	{number: "063", behaviour: "… and one of an hour is neither slept out nor ignored: the caller has the response", run: longRetryAfter},
	{number: "073", behaviour: "cancelling ends a wait at once, with `context.Canceled`", run: cancelledWait},
	{number: "074", behaviour: "if the deadline is too near for a retry, the caller has the response at once", run: nearDeadline},
}

// retryAfterOf returns a handler that sends clients away for so long, once.
func retryAfterOf(seconds int) func(http.ResponseWriter, *http.Request, int) {
	return func(w http.ResponseWriter, _ *http.Request, n int) {
		if n == 1 {
			w.Header().Set("Retry-After", strconv.Itoa(seconds))
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}
}

func retryAfter(x *trial) error {
	s := x.serve(retryAfterOf(3))
	start := time.Now()
	resp, err := x.client(settings{base: s.base}).Do(s.request(x, "GET", nil))
	if took := time.Since(start); took < 3*time.Second {
		return fmt.Errorf("it took %v", took)
	}
	return s.wants(200, 2, resp, err)
}

func longRetryAfter(x *trial) error {
	s := x.serve(retryAfterOf(3600))
	ctx, cancel := context.WithCancel(x)
	defer cancel()
	defer time.AfterFunc(4*time.Second, cancel).Stop()
	start := time.Now()
	resp, err := x.client(settings{base: s.base}).Do(s.request(ctx, "GET", nil))
	return errors.Join(soon(start), s.wants(503, 1, resp, err))
}

func cancelledWait(x *trial) error {
	s := x.serve(statuses(503))
	ctx, cancel := context.WithCancel(x)
	cancelled := make(chan time.Time, 1)
	time.AfterFunc(300*time.Millisecond, func() {
		cancelled <- time.Now()
		cancel()
	})
	resp, err := x.client(settings{base: s.base, attempts: 2, wait: 4 * time.Second}).Do(s.request(ctx, "GET", nil))
	finish(resp)
	if !errors.Is(err, context.Canceled) {
		return fmt.Errorf("err = %w", err)
	}
	return soon(<-cancelled)
}

func nearDeadline(x *trial) error {
	s := x.serve(statuses(503))
	ctx, cancel := context.WithTimeout(x, 4*time.Second)
	defer cancel()
	start := time.Now()
	resp, err := x.client(settings{base: s.base, attempts: 2, wait: 5 * time.Second}).Do(s.request(ctx, "GET", nil))
	return errors.Join(soon(start), s.wants(503, 1, resp, err))
}
