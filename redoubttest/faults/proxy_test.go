package faults_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

// echo starts a server that sends back what it gets, and a proxy before it.
func echo(t *testing.T) *faults.Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
	p, err := faults.NewProxy(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		start := time.Now()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		_ = l.Close()
	})
	return p
}

func dial(t *testing.T, p *faults.Proxy) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func set(t *testing.T, p *faults.Proxy, l faults.Link) {
	t.Helper()
	start := time.Now()
	if err := p.Set(l); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took > 500*time.Millisecond {
		t.Errorf("Set took %v", took)
	}
}

// say sends a line and returns how long the echo took.
func say(c net.Conn, within time.Duration) (time.Duration, error) {
	start := time.Now()
	if err := c.SetDeadline(start.Add(within)); err != nil {
		return 0, err
	}
	if _, err := io.WriteString(c, "hello"); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, make([]byte, 5))
	return time.Since(start), err
}

func TestProxyLatency(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	if took, err := say(c, time.Second); err != nil || took > 40*time.Millisecond {
		t.Errorf("plain: %v, %v", took, err)
	}
	set(t, p, faults.Link{Latency: 50 * time.Millisecond})
	if took, err := say(c, time.Second); err != nil || took < 100*time.Millisecond {
		t.Errorf("slow: %v, %v; want 50ms each way", took, err)
	}
}

func TestProxyFreeze(t *testing.T) {
	p := echo(t)
	c := dial(t, p)
	if _, err := say(c, time.Second); err != nil {
		t.Fatal(err)
	}
	set(t, p, faults.Link{Freeze: true})
	if _, err := say(c, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("frozen: %v", err)
	}
	set(t, p, faults.Link{})
	_ = c.SetDeadline(time.Now().Add(time.Second))
	if _, err := io.ReadFull(c, make([]byte, 5)); err != nil {
		t.Errorf("thawed: %v", err)
	}
}

func TestProxyBlackHole(t *testing.T) {
	p := echo(t)
	old := dial(t, p)
	if _, err := say(old, time.Second); err != nil {
		t.Fatal(err)
	}
	set(t, p, faults.Link{BlackHole: true})
	if _, err := say(old, 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("in the hole: %v", err)
	}
	if _, err := say(dial(t, p), 50*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("new, in the hole: %v", err)
	}
	set(t, p, faults.Link{})
	if _, err := say(old, time.Second); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("after the hole: %v, want a reset", err)
	}
	if _, err := say(dial(t, p), time.Second); err != nil {
		t.Errorf("new, after the hole: %v", err)
	}
}

func TestProxyRefuse(t *testing.T) {
	p := echo(t)
	old := dial(t, p)
	if _, err := say(old, time.Second); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		set(t, p, faults.Link{Refuse: true})
		if _, err := net.Dial("tcp", p.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v, want refused", err)
		}
		if _, err := say(old, time.Second); err != nil {
			t.Errorf("old connection: %v", err)
		}
		set(t, p, faults.Link{})
		if _, err := say(dial(t, p), time.Second); err != nil {
			t.Errorf("listening again: %v", err)
		}
	}
	p.Cut()
	if _, err := say(old, time.Second); !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
		t.Errorf("cut: %v, want a reset", err)
	}
}

func TestProxyEnds(t *testing.T) {
	p := echo(t)
	for _, tt := range []struct {
		link faults.Link
		err  error
	}{
		{faults.Link{CloseAfter: 3}, io.ErrUnexpectedEOF},
		{faults.Link{ResetAfter: 3}, syscall.ECONNRESET},
		{faults.Link{CloseAfter: 3, ResetAfter: 4}, io.ErrUnexpectedEOF},
	} {
		set(t, p, tt.link)
		if _, err := say(dial(t, p), time.Second); !errors.Is(err, tt.err) {
			t.Errorf("%+v: %v, want %v", tt.link, err, tt.err)
		}
	}
}

func TestProxyBandwidth(t *testing.T) {
	p := echo(t)
	set(t, p, faults.Link{BytesPerSecond: 1 << 20})
	c := dial(t, p)
	const size = 256 << 10
	start := time.Now()
	go func() {
		_, _ = c.Write(make([]byte, size))
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	n, err := io.Copy(io.Discard, c)
	took := time.Since(start)
	if n != size || err != nil || took < 230*time.Millisecond {
		t.Errorf("%d bytes in %v, %v; want %d in 250ms or more", n, took, err, size)
	}
}

// Bodies under way, callers that time out and a fault that is taken away: this
// is what hangs other proxies.
func TestProxyNeverHangs(t *testing.T) {
	s := httptest.NewServer(faults.Service{Body: 256 << 10})
	t.Cleanup(s.Close)
	p, err := faults.NewProxy(s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(client.CloseIdleConnections)
	for _, link := range []faults.Link{
		{Latency: 300 * time.Millisecond},
		{BytesPerSecond: 10_000},
		{Freeze: true},
		{BlackHole: true},
	} {
		set(t, p, link)
		for range 10 {
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
				defer cancel()
				_, _, _ = fetch(ctx, client, "http://"+p.Addr())
			}()
		}
		time.Sleep(20 * time.Millisecond)
		set(t, p, faults.Link{})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		if _, size, err := fetch(ctx, &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, "http://"+p.Addr()); size != 256<<10 || err != nil {
			t.Errorf("after %+v: %d bytes, %v", link, size, err)
		}
		cancel()
	}
	closed := make(chan error, 1)
	go func() { closed <- p.Close() }()
	select {
	case err := <-closed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Fatal("Close hangs")
	}
	if err := p.Set(faults.Link{}); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Set after Close: %v", err)
	}
}

func TestLinkCheck(t *testing.T) {
	err := faults.Link{Latency: -1, CloseAfter: -2}.Check()
	want := "faults: Link.Latency is -1ns, must not be negative\nfaults: Link.CloseAfter is -2, must not be negative"
	if got := fmt.Sprint(err); got != want {
		t.Errorf("Check: %s\nwant %s", got, want)
	}
}
