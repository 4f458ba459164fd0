package faults_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt/redoubttest/faults"
)

// A fault in front of a real base: what the base answers comes late, or broken
// off, or not at all.
func TestRoundTripperBase(t *testing.T) {
	base, err := faults.New(faults.Plan{Service: faults.Service{Body: 100}})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name     string
		effect   faults.Effect
		status   int
		size     int
		err      error
		arrivals int64 // at the base
	}{
		{"none", faults.Delay{Time: faults.Constant(0)}, 200, 100, nil, 1},
		{"status", faults.Status{Code: 429, Header: http.Header{"X-Why": {"test"}}}, 429, 0, nil, 0},
		{"truncate", faults.Truncate{After: 10}, 200, 10, io.ErrUnexpectedEOF, 1},
		{"lost", faults.Reset{AfterWork: true}, 0, 0, syscall.ECONNRESET, 1},
		{"refuse", faults.Refuse{}, 0, 0, syscall.ECONNREFUSED, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := base.Counts().Arrivals
			inj := newInjector(t, faults.Plan{Faults: one(tt.effect)})
			client := &http.Client{Transport: inj.RoundTripper(base.RoundTripper(nil))}
			defer client.CloseIdleConnections()
			status, size, err := get(t.Context(), client.Transport, "")
			if status != tt.status || size != tt.size || !errors.Is(err, tt.err) {
				t.Errorf("got %d, %d bytes, %v; want %d, %d bytes, %v", status, size, err, tt.status, tt.size, tt.err)
			}
			if got := base.Counts().Arrivals - before; got != tt.arrivals {
				t.Errorf("%d arrivals at the base, want %d", got, tt.arrivals)
			}
		})
	}
}

// The request body is read and closed on every path.
func TestRequestBody(t *testing.T) {
	for _, effect := range []faults.Effect{
		faults.Status{}, faults.Reset{}, faults.Refuse{}, faults.NoHost{}, faults.Delay{Time: faults.Constant(0)},
	} {
		inj := newInjector(t, faults.Plan{Faults: one(effect)})
		body := &closeCounter{Reader: strings.NewReader("12.50")}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://dependency/", body)
		if err != nil {
			t.Fatal(err)
		}
		if resp, err := inj.RoundTripper(nil).RoundTrip(req); err == nil {
			resp.Body.Close()
		}
		if body.closed == 0 {
			t.Errorf("%T: the request body is not closed", effect)
		}
	}
}

type closeCounter struct {
	io.Reader
	closed int
}

func (c *closeCounter) Close() error {
	c.closed++
	return nil
}

// A caller that has left before the call is no arrival; one that leaves while
// the body drips gets its own cause.
func TestCallerLeaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inj := newInjector(t, faults.Plan{
			Service: faults.Service{Body: 1000},
			Faults:  one(faults.Drip{Over: 10 * time.Second}),
		})
		mine := errors.New("mine")
		gone, cancel := context.WithCancelCause(t.Context())
		cancel(mine)
		if _, _, err := get(gone, inj.RoundTripper(nil), ""); !errors.Is(err, mine) {
			t.Errorf("err = %v, want the cause", err)
		}
		if err := inj.Func(nil)(gone); !errors.Is(err, mine) {
			t.Errorf("err = %v, want the cause", err)
		}
		if c := inj.Counts(); c.Arrivals != 0 {
			t.Errorf("counts = %+v, want no arrival", c)
		}
		ctx, cancel2 := context.WithTimeoutCause(t.Context(), 3500*time.Millisecond, mine)
		defer cancel2()
		_, size, err := get(ctx, inj.RoundTripper(nil), "")
		if size != 300 || !errors.Is(err, mine) {
			t.Errorf("%d bytes, %v; want 300 of 1000 in 3.5 of 10 s", size, err)
		}
	})
}

// A function of its own, where HTTP has a queue, a refusal and a cut.
func TestFuncService(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inj := newInjector(t, faults.Plan{
			Service: faults.Service{
				Time: faults.Constant(time.Second), Slots: 1, Queue: faults.NoQueue,
				Full: faults.Status{Code: 429},
			},
			Faults: []faults.Fault{{During: faults.Window{From: 1500 * time.Millisecond, To: 3 * time.Second}, Effect: faults.Refuse{}}},
		})
		call := inj.Func(nil)
		first := make(chan error, 1)
		go func() { first <- call(t.Context()) }()
		synctest.Wait()
		err := call(t.Context())
		if full, ok := errors.AsType[*faults.StatusError](err); !ok || full.Code != 429 || full.DependencyFailure() ||
			full.Error() != "faults: 429 Too Many Requests" {
			t.Errorf("err = %v, want a full queue", err)
		}
		if err := <-first; err != nil {
			t.Errorf("first: %v", err)
		}
		synctest.Wait()                                                    // until its slot is free
		if err := call(t.Context()); !errors.Is(err, syscall.ECONNRESET) { // cut half way
			t.Errorf("err = %v, want a reset", err)
		}
		synctest.Wait()
		if err := call(t.Context()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("err = %v, want refused", err)
		}
	})
}

// Before the start nothing goes wrong.
func TestStartAt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		inj := newInjector(t, faults.Plan{Faults: one(faults.Status{Code: 502})})
		inj.StartAt(time.Now().Add(time.Second))
		if status, _, err := get(t.Context(), inj.RoundTripper(nil), ""); status != 200 || err != nil {
			t.Errorf("before: %d, %v", status, err)
		}
		time.Sleep(time.Second)
		if status, _, _ := get(t.Context(), inj.RoundTripper(nil), ""); status != 502 {
			t.Errorf("after: %d", status)
		}
	})
}

func TestCheckFields(t *testing.T) {
	effects := map[string]faults.Effect{
		"Effect.RetryAfter is -1ns":   faults.Status{RetryAfter: -1},
		"Effect.PerSecond is 0":       faults.RateLimit{},
		"Effect.Burst is 0.5":         faults.RateLimit{PerSecond: 1, Burst: 0.5},
		"Effect.After is -1":          faults.Truncate{After: -1},
		"Effect.Over is 0s":           faults.Drip{},
		"Effect.BytesPerSecond is 0":  faults.Bandwidth{},
		"Effect.Requests is -1":       faults.Hangup{Requests: -1},
		"Effect.Time is nil, must be": faults.Work{},
	}
	for want, effect := range effects {
		err := faults.Plan{Faults: one(effect)}.Check()
		if err == nil || !strings.Contains(err.Error(), "faults: Faults[0]."+want) {
			t.Errorf("%T: %v\nwant %s", effect, err, want)
		}
	}
	for want, window := range map[string]faults.Window{
		"During.From is -1ns": {From: -1},
		"During.Every is -1s": {Every: -time.Second},
		"During.For is 1s":    {For: time.Second},
		"During.For is 2s":    {Every: time.Second, For: 2 * time.Second},
	} {
		err := faults.Plan{Faults: []faults.Fault{{During: window, Effect: faults.Reset{}}}}.Check()
		if err == nil || !strings.Contains(err.Error(), "faults: Faults[0]."+want) {
			t.Errorf("%+v: %v\nwant %s", window, err, want)
		}
	}
	for want, service := range map[string]faults.Service{
		"Service.Slots is -1":          {Slots: -1},
		"Service.Queue is -2":          {Slots: 1, Queue: -2},
		"Service.Body is -1":           {Body: -1},
		"Service.Full is 7, must be f": {Full: faults.Status{Code: 7}},
	} {
		err := faults.Plan{Service: service}.Check()
		if err == nil || !strings.Contains(err.Error(), "faults: "+want) {
			t.Errorf("%+v: %v\nwant %s", service, err, want)
		}
	}
	bad := faults.Plan{Faults: []faults.Fault{{Per: "moon", Effect: faults.Reset{}}}}
	if err := bad.Check(); err == nil || !strings.Contains(err.Error(), `Faults[0].Per is "moon", must be arrival, request, connection or window`) {
		t.Errorf("Per: %v", err)
	}
}
