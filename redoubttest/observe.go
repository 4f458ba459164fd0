package redoubttest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// anHour is an hour and a bit, so that it coincides with nothing.
const anHour = time.Hour + time.Second

var errCutShort = errors.New("redoubttest: call panicked or exited")

// An ending is how a Do ended.
type ending struct {
	err      error
	returned bool // normally, rather than by panic or Goexit
	panicked any
	stuck    bool // it has not ended
	runs     int
	last     error // what the last run of the call returned
}

// ok reports whether Do returned nil.
func (e ending) ok() bool {
	return e.returned && e.err == nil
}

// String returns the ending in the past tense, for use after "Do".
func (e ending) String() string {
	switch {
	case e.stuck:
		return "has not returned"
	case e.returned:
		return fmt.Sprintf("returned %v", e.err)
	case e.panicked != nil:
		return fmt.Sprintf("panicked with %v", e.panicked)
	}
	return "exited its goroutine"
}

// do has the layer run call, with an hour to do so, and reports whatever is
// wrong with any Do at all.
func do(ctx context.Context, r reporter, layer Layer, call func(context.Context) error) ending {
	r.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	w := &watch{r: r}
	end := start(ctx, layer, w.wrap(call))
	w.settle(&end)
	switch {
	case end.stuck:
		r.Errorf("Do has not returned, long after the deadline of its context")
	case !end.returned && end.runs == 0:
		r.Errorf("Do %v without running the call", end)
	case end.ok() && end.runs == 0:
		r.Errorf("Do returned nil, but it never ran the call")
	case end.ok() && end.last != nil:
		r.Errorf("Do returned nil, but the last run of the call ended with %v", end.last)
	}
	return end
}

// start has the layer run call and waits for its end.
func start(ctx context.Context, layer Layer, call func(context.Context) error) ending {
	return await(func() error { return layer.Do(ctx, call) })
}

// await runs f on a goroutine of its own, which survives Goexit, and waits for
// its end.
func await(f func() error) ending {
	ended := make(chan ending, 1)
	go func() {
		var end ending
		defer func() {
			if !end.returned {
				end.panicked = recover()
			}
			ended <- end
		}()
		end.err = f()
		end.returned = true
	}()
	timer := time.NewTimer(24 * time.Hour)
	defer timer.Stop()
	select {
	case end := <-ended:
		return end
	case <-timer.C:
		return ending{stuck: true}
	}
}

// A watch follows the runs of one call.
type watch struct {
	r reporter

	mu      sync.Mutex
	running int
	runs    int
	last    error
	settled bool
}

// wrap returns call, watched.
func (w *watch) wrap(call func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		w.begin()
		err := errCutShort
		defer func() { w.end(err) }()
		err = call(ctx)
		return err
	}
}

func (w *watch) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.settled {
		w.r.Errorf("the call was run after Do had returned")
	}
	if w.running > 0 {
		w.r.Errorf("the call was run while another run of it was in progress")
	}
	w.running++
	w.runs++
}

func (w *watch) end(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running--
	w.last = err
}

// settle completes end with what the watch saw. From here on every run is a
// violation.
func (w *watch) settle(end *ending) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.settled = true
	end.runs, end.last = w.runs, w.last
	if w.running > 0 && !end.stuck {
		w.r.Errorf("Do returned while the call was still running")
	}
}
