package bench

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/afex/hystrix-go/hystrix"
	eapache "github.com/eapache/go-resiliency/breaker"
	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/sony/gobreaker/v2"

	"github.com/redoubt-go/redoubt/breaker"
)

func BenchmarkBreaker(b *testing.B)     { run(b, breakerRows()) }
func BenchmarkBreakerOpen(b *testing.B) { run(b, breakerRows()) }

// The rule: half of at least 20 calls failed within 10 s, or 20 failures in a
// row where a breaker knows no ratio, and for rule=consecutive.
const (
	window   = 10 * time.Second
	buckets  = 10
	minCalls = 20
	cooldown = time.Hour // no benchmark runs into the end of it
)

func breakerRows() []row {
	var open []subject
	for _, s := range append(ratioBreakers(), eapacheSubject) {
		open = append(open, subject{impl: s.impl, wrap: tripped(s.wrap), runs: refused, want: errAny})
	}
	return []row{
		{bench: "Breaker", keys: "rule=ratio", callee: deaf, subjects: ratioBreakers()},
		{bench: "Breaker", keys: "rule=consecutive", callee: deaf, subjects: []subject{
			{impl: "redoubt", wrap: redoubtBreaker(breaker.Config{Name: "bench", Consecutive: minCalls})},
			{impl: "gobreaker", wrap: gobreakerExecute(consecutiveSettings)},
			{impl: "gobreaker-twostep", wrap: gobreakerTwoStep(consecutiveSettings)},
			eapacheSubject,
			{impl: "floor", wrap: breakerFloor},
		}},
		{bench: "BreakerOpen", callee: deaf, subjects: open},
	}
}

func ratioBreakers() []subject {
	return []subject{
		{impl: "redoubt", wrap: redoubtBreaker(ratioConfig)},
		{impl: "failsafe", wrap: failsafeBreaker},
		{impl: "gobreaker", wrap: gobreakerExecute(ratioSettings)},
		{impl: "gobreaker-twostep", wrap: gobreakerTwoStep(ratioSettings)},
		{impl: "hystrix", wrap: hystrixCommand},
	}
}

// tripped wraps as wrap does, in a circuit that has been opened by failures.
func tripped(wrap wrapper) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		fail := true
		op := wrap(func(ctx context.Context) error {
			if fail {
				return errDown
			}
			return call(ctx)
		})
		for range 3 * minCalls {
			_ = op(context.Background())
		}
		time.Sleep(20 * time.Millisecond) // hystrix counts on another goroutine
		_ = op(context.Background())
		fail = false
		return op
	}
}

var ratioConfig = breaker.Config{
	Name:         "bench",
	Window:       window,
	Buckets:      buckets,
	MinCalls:     minCalls,
	FailureRatio: 0.5,
	Cooldown:     cooldown,
}

func redoubtBreaker(config breaker.Config) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		b := breaker.New(config)
		return func(ctx context.Context) error { return b.Do(ctx, call) }
	}
}

func newFailsafeBreaker() circuitbreaker.CircuitBreaker[any] {
	return circuitbreaker.NewBuilder[any]().
		WithFailureRateThreshold(0.5, minCalls, window).
		WithDelay(cooldown).
		Build()
}

func failsafeBreaker(call func(context.Context) error) func(context.Context) error {
	return failsafeCall(failsafe.With[any](newFailsafeBreaker()), call)
}

var ratioSettings = gobreaker.Settings{
	Name:         "bench",
	Interval:     window,
	BucketPeriod: window / buckets,
	Timeout:      cooldown,
	ReadyToTrip: func(c gobreaker.Counts) bool {
		return c.Requests >= minCalls && 2*c.TotalFailures >= c.Requests
	},
}

var consecutiveSettings = gobreaker.Settings{
	Name:        "bench",
	Timeout:     cooldown,
	ReadyToTrip: func(c gobreaker.Counts) bool { return c.ConsecutiveFailures >= minCalls },
}

func gobreakerExecute(settings gobreaker.Settings) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		b := gobreaker.NewCircuitBreaker[struct{}](settings)
		return func(ctx context.Context) error {
			_, err := b.Execute(func() (struct{}, error) { return struct{}{}, call(ctx) })
			return err
		}
	}
}

func gobreakerTwoStep(settings gobreaker.Settings) wrapper {
	return func(call func(context.Context) error) func(context.Context) error {
		b := gobreaker.NewTwoStepCircuitBreaker[struct{}](settings)
		return func(ctx context.Context) error {
			done, err := b.Allow()
			if err != nil {
				return err
			}
			err = call(ctx)
			done(err)
			return err
		}
	}
}

var eapacheSubject = subject{impl: "eapache", wrap: func(call func(context.Context) error) func(context.Context) error {
	b := eapache.New(minCalls, 1, cooldown)
	return func(ctx context.Context) error { return b.Run(func() error { return call(ctx) }) }
}}

// commands numbers hystrix's circuits, which are global.
var commands struct {
	sync.Mutex
	made int
}

func hystrixCommand(call func(context.Context) error) func(context.Context) error {
	commands.Lock()
	commands.made++
	name := "bench" + string(rune('a'+commands.made%26)) + time.Now().String()
	commands.Unlock()
	hystrix.ConfigureCommand(name, hystrix.CommandConfig{
		Timeout:                int(time.Minute.Milliseconds()),
		MaxConcurrentRequests:  1000,
		RequestVolumeThreshold: minCalls,
		SleepWindow:            int(cooldown.Milliseconds()),
		ErrorPercentThreshold:  50,
	})
	return func(ctx context.Context) error { return hystrix.DoC(ctx, name, call, nil) }
}

// breakerFloor is what a breaker with a lock does at the least: on the way in
// and on the way out it locks and reads the clock.
func breakerFloor(call func(context.Context) error) func(context.Context) error {
	var state struct {
		sync.Mutex
		until                time.Time
		successes, failures  int
		consecutive, inState int
	}
	state.until = time.Now().Add(-time.Hour)
	errOpen := errors.New("open")
	return func(ctx context.Context) error {
		state.Lock()
		open := time.Now().Before(state.until)
		state.inState++
		state.Unlock()
		if open {
			return errOpen
		}
		err := call(ctx)
		state.Lock()
		now := time.Now()
		if err == nil {
			state.successes++
			state.consecutive = 0
		} else {
			state.failures++
			state.consecutive++
			if state.consecutive >= minCalls {
				state.until = now.Add(cooldown)
			}
		}
		state.Unlock()
		return err
	}
}
