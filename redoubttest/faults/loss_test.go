package faults_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/internal/memhttp"
	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

// lossy returns a plan that loses packets with a chance until a time.
func lossy(effect faults.Effect, chance float64, until time.Duration) faults.Plan {
	return faults.Plan{Seed: 1, Faults: []faults.Fault{{
		During: faults.Window{To: until}, Chance: chance, Effect: effect,
	}}}
}

// pipe stands for a dial that succeeds at once.
func pipe(context.Context, string, string) (net.Conn, error) {
	conn, _ := net.Pipe()
	return conn, nil
}

// edges are the places where a connection is made, or may be.
func edges(inj *faults.Injector) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"function": inj.Func(nil),
		"round tripper": func(ctx context.Context) error {
			_, _, err := get(ctx, inj.RoundTripper(nil), "")
			return err
		},
		"dial": func(ctx context.Context) error {
			conn, err := inj.DialContext(pipe)(ctx, "tcp", "dependency:80")
			if err == nil {
				err = conn.Close()
			}
			return err
		},
	}
}

// A SYN is sent after 0, 1, 3, 7 … 63 s, and the dial given up after 127.
func TestSYNLoss(t *testing.T) {
	const sec = time.Second
	tests := []struct {
		name               string
		until, limit, took time.Duration
		err                error
	}{
		{"the second gets through", sec, 0, sec, nil},
		{"the third gets through", sec + 1, 0, 3 * sec, nil},
		{"the last gets through", 63 * sec, 0, 63 * sec, nil},
		{"none gets through", 64 * sec, 0, 127 * sec, syscall.ETIMEDOUT},
		{"for ever", 0, 0, 127 * sec, syscall.ETIMEDOUT},
		{"caller leaves", 0, 2500 * time.Millisecond, 2500 * time.Millisecond, context.DeadlineExceeded},
	}
	for _, tt := range tests {
		for edge := range edges(nil) {
			t.Run(tt.name+"/"+edge, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					inj := newInjector(t, lossy(faults.SYNLoss{}, 1, tt.until))
					ctx := t.Context()
					if tt.limit > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, tt.limit)
						defer cancel()
					}
					start := time.Now()
					err := edges(inj)[edge](ctx)
					if took := time.Since(start); took != tt.took || !errors.Is(err, tt.err) {
						t.Errorf("%v after %v, want %v after %v", err, took, tt.err, tt.took)
					}
					var says net.Error
					if tt.err != nil && (!errors.As(err, &says) || !says.Timeout()) {
						t.Errorf("%v is no timeout", err)
					}
					if got, want := inj.Counts().Refused, map[bool]int64{true: 1}[tt.err != nil]; got != want {
						t.Errorf("%d refused, want %d", got, want)
					}
				})
			})
		}
	}
}

// Both the request and the answer are sent after 0, 200 ms, 600 ms and so on.
func TestPacketLoss(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name    string
		during  faults.Window
		service time.Duration
		took    time.Duration
		err     error
	}{
		{"request, once", faults.Window{To: 1}, 0, 200 * ms, nil},
		{"request, twice", faults.Window{To: 300 * ms}, 0, 600 * ms, nil},
		{"answer, twice", faults.Window{From: 1, To: 400 * ms}, 150 * ms, 750 * ms, nil},
		{"both", faults.Window{Every: 300 * ms, For: 100 * ms}, 150 * ms, 550 * ms, nil},
		{"for ever", faults.Window{}, 0, 924_600 * ms, syscall.ETIMEDOUT},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			plan := faults.Plan{
				Service: faults.Service{Time: faults.Constant(tt.service)},
				Faults:  []faults.Fault{{During: tt.during, Effect: faults.PacketLoss{}}},
			}
			for _, edge := range []string{"function", "round tripper", "handler"} {
				synctest.Test(t, func(t *testing.T) {
					inj := newInjector(t, plan)
					call := edges(inj)[edge]
					if edge == "handler" {
						base := memhttp.NewServer(t, inj.Handler(nil)).Transport
						call = func(ctx context.Context) error {
							_, _, err := get(ctx, base, "")
							return err
						}
					}
					want := tt.err
					if edge == "handler" && want != nil {
						want = io.EOF // the server has given up
					}
					start := time.Now()
					err := call(t.Context())
					if took := time.Since(start); took != tt.took || !errors.Is(err, want) {
						t.Errorf("%s: %v after %v, want %v after %v", edge, err, took, want, tt.took)
					}
				})
			}
		})
	}
}

// Each packet is drawn anew, with PerConn each connection. The same seed draws the
// same.
func TestLossChance(t *testing.T) {
	const dials = 1000
	waits := func(t *testing.T, per faults.Unit, seed uint64) (waits []time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			plan := lossy(faults.SYNLoss{}, 0.3, 0)
			plan.Seed, plan.Faults[0].Per = seed, per
			dial := edges(newInjector(t, plan))["dial"]
			for range dials {
				start := time.Now()
				_ = dial(t.Context())
				waits = append(waits, time.Since(start))
			}
		})
		return waits
	}
	longer := func(all []time.Duration, than time.Duration) (n int) {
		for _, w := range all {
			if w >= than {
				n++
			}
		}
		return n
	}
	each, conn := waits(t, faults.PerArrival, 1), waits(t, faults.PerConn, 1)
	if once, twice := longer(each, time.Second), longer(each, 3*time.Second); once < 260 || once > 340 || twice < 65 || twice > 115 {
		t.Errorf("%d of %d SYNs lost, %d twice; want about 300 and 90", once, dials, twice)
	}
	if once, all := longer(conn, time.Second), longer(conn, 127*time.Second); once != all || once < 260 || once > 340 {
		t.Errorf("%d of %d connections lost a SYN, %d all; want about 300, and all", once, dials, all)
	}
	if !slices.Equal(each, waits(t, faults.PerArrival, 1)) {
		t.Error("one seed made two different runs")
	}
	if slices.Equal(each, waits(t, faults.PerArrival, 2)) {
		t.Error("two seeds made the same run")
	}
}

// A dial that was put off meets what is there by then.
func TestSYNLossThenRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := lossy(faults.SYNLoss{}, 1, time.Second)
		plan.Faults = append(plan.Faults, faults.Fault{During: faults.Window{From: 500 * time.Millisecond}, Effect: faults.Refuse{}})
		inj := newInjector(t, plan)
		start := time.Now()
		err := edges(inj)["dial"](t.Context())
		if took := time.Since(start); took != time.Second || !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%v after %v, want a refusal after 1s", err, took)
		}
	})
}

// A connection that is kept has no more SYNs to lose.
func TestSYNLossKeepAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inj := newInjector(t, lossy(faults.SYNLoss{}, 1, time.Second))
		base := memhttp.NewServer(t, inj.Handler(nil)).Transport
		base.DialContext = inj.DialContext(base.DialContext)
		for _, want := range []time.Duration{time.Second, 0} {
			inj.StartAt(time.Now())
			start := time.Now()
			if _, _, err := get(t.Context(), base, ""); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took != want {
				t.Errorf("took %v, want %v", took, want)
			}
		}
	})
}

// The name was once looked up with the same draw for every connection, so that
// either all of them were made or none.
func TestNoHostChance(t *testing.T) {
	for edge := range edges(nil) {
		call := edges(newInjector(t, lossy(faults.NoHost{}, 0.3, 0)))[edge]
		failed := 0
		for range 1000 {
			if _, ok := errors.AsType[*net.DNSError](call(t.Context())); ok {
				failed++
			}
		}
		if failed < 260 || failed > 340 {
			t.Errorf("%s: %d of 1000 look-ups failed, want about 300", edge, failed)
		}
	}
}

// A handler once reset the connections that a name no longer led to.
func TestNoHostHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := lossy(faults.NoHost{}, 1, 0)
		plan.Faults[0].During.From = time.Second
		inj := newInjector(t, plan)
		base := memhttp.NewServer(t, inj.Handler(nil)).Transport
		base.DialContext = inj.DialContext(base.DialContext)
		for range 2 {
			if status, _, err := get(t.Context(), base, ""); status != http.StatusOK {
				t.Errorf("after %v: %d, %v", inj.Elapsed(), status, err)
			}
			time.Sleep(2 * time.Second)
		}
		base.CloseIdleConnections()
		if _, _, err := get(t.Context(), base, ""); err == nil || !strings.Contains(err.Error(), "no such host") {
			t.Errorf("a new connection: %v", err)
		}
	})
}
