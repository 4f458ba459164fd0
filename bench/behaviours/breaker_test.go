package behaviours

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"
)

var breakerProbes = []probe{
	{number: "099", behaviour: "callers that cancel don't open the circuit", run: cancellations, needs: breakers},
	{number: "101", behaviour: "a probe that its caller cancels decides nothing: the next call probes", run: cancelledProbe, needs: breakers},
}

// A dependency works, fails or hangs, behind a circuit breaker.
type dependency struct {
	*server

	client client
	mode   atomic.Int32
	came   chan struct{} // of requests that hang
}

const (
	works = iota
	fails
	hangs
)

func (x *trial) guarded() *dependency {
	d := &dependency{came: make(chan struct{})}
	d.server = x.serve(func(w http.ResponseWriter, r *http.Request, _ int) {
		switch d.mode.Load() {
		case fails:
			w.WriteHeader(http.StatusServiceUnavailable)
		case hangs:
			select {
			case d.came <- struct{}{}:
				hang(r)
			case <-r.Context().Done():
			}
		}
	})
	d.client = x.client(settings{base: d.base, attempts: 1, breaker: true})
	return d
}

// call makes a call and reports whether it came to the server. The breaker may
// take a moment to know the result.
func (d *dependency) call(ctx context.Context) bool {
	before := d.requests.Load()
	resp, _ := d.client.Do(d.request(ctx, "GET", nil))
	finish(resp)
	time.Sleep(50 * time.Millisecond)
	return d.requests.Load() > before
}

// cancelled makes a call that its caller cancels once it hangs, and reports
// whether it came to that.
func (d *dependency) cancelled(ctx context.Context) (came bool) {
	d.mode.Store(hangs)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		d.call(ctx)
	}()
	select {
	case <-d.came:
		cancel()
		came = true
	case <-done:
	}
	<-done
	return came
}

func cancellations(x *trial) error {
	d := x.guarded()
	for i := range 6 {
		if !d.cancelled(x) {
			return fmt.Errorf("open after %d cancelled calls", i)
		}
	}
	return nil
}

func cancelledProbe(x *trial) error {
	d := x.guarded()
	d.mode.Store(fails)
	for d.call(x) {
		if x.Err() != nil {
			return errors.New("never open")
		}
	}
	for !d.cancelled(x) {
		if x.Err() != nil {
			return errors.New("never half-open")
		}
	}
	d.mode.Store(fails)
	switch {
	case !d.call(x):
		return errors.New("the next call was refused")
	case d.call(x):
		return errors.New("the circuit was closed")
	}
	return nil
}
