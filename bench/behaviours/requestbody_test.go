package behaviours

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var requestBodyProbes = []probe{
	{number: "021", behaviour: "a body from a pipe is sent as it is produced", run: pipeBody},
	{number: "024", behaviour: "the request body is closed on every path", run: bodyClosed},
	{number: "028", behaviour: "a retry's body is intact though the first upload was still running", run: earlyAnswer, racy: true},
	{number: "031", behaviour: "a 64 MiB stream isn't held in memory", run: largeBody, alone: true},
}

func pipeBody(x *trial) error {
	first := make(chan struct{})
	s := x.serve(func(_ http.ResponseWriter, r *http.Request, _ int) {
		_, _ = io.ReadFull(r.Body, make([]byte, 5))
		close(first)
		_, _ = io.Copy(io.Discard, r.Body)
	})
	pr, pw := io.Pipe()
	streamed := make(chan error, 1)
	go func() {
		defer pw.Close()
		_, _ = io.WriteString(pw, "first")
		select {
		case <-first:
			streamed <- nil
		case <-time.After(3 * time.Second):
			streamed <- errors.New("the server had nothing while the producer was busy")
		}
	}()
	resp, err := x.client(settings{base: s.base}).Do(s.request(x, "PUT", pr))
	return errors.Join(<-streamed, s.wants(200, 1, resp, err))
}

func bodyClosed(x *trial) error {
	s := x.serve(func(w http.ResponseWriter, r *http.Request, n int) {
		_, _ = io.Copy(io.Discard, r.Body)
		if r.Header.Get("Path") == "503" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	s.base.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		if ctx.Value(refusedKey{}) != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: syscall.ECONNREFUSED}
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	s.base.DisableKeepAlives = true
	cancelled, cancel := context.WithCancel(x)
	cancel()
	c := x.client(settings{base: s.base})
	for path, ctx := range map[string]context.Context{
		"200": x, "503": x, "refused": context.WithValue(x, refusedKey{}, true), "cancelled before": cancelled,
	} {
		body := &closeCounter{Reader: strings.NewReader("file")}
		resp, _ := c.Do(s.request(ctx, "PUT", body, "Path", path))
		finish(resp)
		for start := time.Now(); body.closes.Load() == 0; time.Sleep(time.Millisecond) {
			if err := soon(start); err != nil {
				return fmt.Errorf("%s: not closed", path)
			}
		}
	}
	return nil
}

type refusedKey struct{}

type closeCounter struct {
	io.Reader

	closes atomic.Int32
}

func (c *closeCounter) Close() error {
	c.closes.Add(1)
	return nil
}

// earlyAnswer has the server answer before it has the body, and go on to read
// it, so that the transport is busy with the first attempt's body when the
// library gets the response.
func earlyAnswer(x *trial) error {
	want := payload(16 << 20)
	s := x.serve(func(w http.ResponseWriter, r *http.Request, n int) {
		if n > 1 {
			got, _ := io.ReadAll(r.Body)
			if !bytes.Equal(got, want) {
				w.WriteHeader(http.StatusBadRequest)
			}
			return
		}
		control := http.NewResponseController(w)
		_ = control.EnableFullDuplex()
		w.Header().Set("Content-Length", "4")
		w.WriteHeader(http.StatusServiceUnavailable)
		_ = control.Flush()
		for range 20 {
			_, _ = io.CopyN(io.Discard, r.Body, 64<<10)
			time.Sleep(5 * time.Millisecond)
		}
		_, _ = io.WriteString(w, "busy")
	})
	// The wait is longer than net/http may need to let go of the connection.
	c := x.client(settings{base: s.base, attempts: 2, wait: 500 * time.Millisecond})
	resp, err := c.Do(s.request(x, "PUT", bytes.NewReader(want)))
	return s.wants(200, 2, resp, err)
}

func largeBody(x *trial) error {
	const size = 64 << 20
	s := x.serve(statuses(503))
	c := x.client(settings{base: s.base})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	resp, err := c.Do(s.request(x, "PUT", io.LimitReader(zeros{}, size)))
	finish(resp)
	runtime.ReadMemStats(&after)
	if err != nil {
		return err
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > size/4 {
		return fmt.Errorf("%d MiB allocated", grown>>20)
	}
	return nil
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
