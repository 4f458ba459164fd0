package sdktest

import (
	"context"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/limit"
)

// busy has n calls under way at l, or waiting there, until the test is over.
func busy(t *testing.T, l *limit.Limiter, n int) *limit.Limiter {
	t.Helper()
	if err := l.Check(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	for range n {
		go l.Do(ctx, hang)
		synctest.Wait()
	}
	return l
}

// limitPaths are the ways in which a limiter refuses a call.
func limitPaths() []path {
	queue := limit.Config{Name: "billing", Fixed: 1, MaxWait: time.Second, MaxQueue: 1}
	limiter := func(config limit.Config, n int) func(*testing.T) redoubt.Layer {
		return func(t *testing.T) redoubt.Layer { return busy(t, limit.New(config), n) }
	}
	return []path{
		{name: "limit: reached", layer: func(t *testing.T) redoubt.Layer { return busy(t, limit.Fixed(1), 1) }, call: succeed},
		{name: "limit: adaptive, reached", layer: limiter(limit.Config{Max: 1}, 1), call: succeed},
		{name: "limit: queue is full", layer: limiter(queue, 2), call: succeed},
		{name: "limit: waited for too long", layer: limiter(queue, 1), call: succeed},
		{name: "limit: cancelled during a wait", layer: limiter(queue, 1), call: succeed, cancel: time.Millisecond},
		{name: "limit: deadline passes during a wait", layer: limiter(queue, 1), call: succeed, limit: time.Millisecond},
		{name: "limit: displaced", layer: func(t *testing.T) redoubt.Layer {
			l := busy(t, limit.New(queue), 1)
			return redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
				urgent, cancel := context.WithCancel(limit.WithCritical(context.Background()))
				defer cancel()
				time.AfterFunc(time.Millisecond, func() { l.Do(urgent, hang) })
				return l.Do(ctx, call)
			})
		}, call: succeed},
		{name: "limit: in a group", layer: func(t *testing.T) redoubt.Layer {
			g := limit.NewGroup(limit.GroupConfig{
				Limiter: limit.Config{Name: "group", Fixed: 1},
				Key:     func(context.Context) string { return "host" },
			})
			busy(t, g.For(context.Background()), 1)
			return g
		}, call: succeed},
		{name: "limit: negative", layer: func(*testing.T) redoubt.Layer { return limit.Fixed(-1) }, call: succeed, misuse: true},
		{name: "limit: nil", layer: func(*testing.T) redoubt.Layer { return (*limit.Limiter)(nil) }, call: succeed, misuse: true},
		{name: "limit: group without a key", layer: func(*testing.T) redoubt.Layer {
			return limit.NewGroup(limit.GroupConfig{})
		}, call: succeed, misuse: true},
	}
}

// TestLimit holds what spans and metrics tell of calls that wait or are refused.
func TestLimit(t *testing.T) {
	tests := []struct {
		name    string
		config  limit.Config
		busy    int
		cancel  time.Duration
		limit   time.Duration
		free    time.Duration // when those under way end
		spans   string
		metrics string // the limit's own
	}{
		{
			name: "refused", config: limit.Config{Name: "billing", Fixed: 2}, busy: 2,
			spans: `
				#1 redoubt call internal error(limit: billing: 2 of 2 calls are under way) 0s-0s
				   error.type=limit_reached redoubt.attempts=0 redoubt.name=call redoubt.outcome=rejected
				   #2 redoubt short-circuit internal error(limit: billing: 2 of 2 calls are under way) 0s-0s
				      error.type=limit_reached redoubt.layer.name=billing redoubt.layer=limit redoubt.reason=limit_reached
			`,
			metrics: `
				redoubt.rejections {rejection} {redoubt.layer.name=billing redoubt.layer=limit redoubt.name=call redoubt.reason=limit_reached} sum 1
			`,
		},
		{
			name: "its turn comes", config: limit.Config{Name: "billing", Fixed: 1, MaxWait: time.Minute}, busy: 1, free: time.Second,
			spans: `
				#1 redoubt call internal unset 0s-1s
				   redoubt.attempts=1 redoubt.name=call redoubt.outcome=success
				   event redoubt.limit.wait at 1s: redoubt.layer.name=billing redoubt.limit.wait.duration=1
				   #2 attempt call internal unset 1s-1s
				      redoubt.attempt=1 redoubt.name=call
			`,
			metrics: `
				redoubt.limit.wait.duration s {redoubt.layer.name=billing redoubt.name=call} n 1 sum 1
			`,
		},
		{
			name: "its turn does not come", config: limit.Config{Name: "billing", Fixed: 1, MaxWait: time.Minute}, busy: 1,
			spans: `
				#1 redoubt call internal error(limit: billing: waited 1m0s, 1 of 1 calls are under way) 0s-1m0s
				   error.type=limit_wait redoubt.attempts=0 redoubt.name=call redoubt.outcome=rejected
				   event redoubt.limit.wait at 1m0s: error.type=limit_wait redoubt.layer.name=billing redoubt.limit.wait.duration=60
				   #2 redoubt short-circuit internal error(limit: billing: waited 1m0s, 1 of 1 calls are under way) 1m0s-1m0s
				      error.type=limit_wait redoubt.layer.name=billing redoubt.layer=limit redoubt.reason=limit_wait
			`,
			metrics: `
				redoubt.limit.wait.duration s {error.type=limit_wait redoubt.layer.name=billing redoubt.name=call} n 1 sum 60
				redoubt.rejections {rejection} {redoubt.layer.name=billing redoubt.layer=limit redoubt.name=call redoubt.reason=limit_wait} sum 1
			`,
		},
		{
			name: "the caller goes", config: limit.Config{Name: "billing", Fixed: 1, MaxWait: time.Minute}, busy: 1, cancel: time.Second,
			spans: `
				#1 redoubt call internal unset 0s-1s
				   redoubt.attempts=0 redoubt.name=call redoubt.outcome=cancelled
				   event redoubt.limit.wait at 1s: error.type=limit_cancelled redoubt.layer.name=billing redoubt.limit.wait.duration=1
			`,
			metrics: `
				redoubt.limit.wait.duration s {error.type=limit_cancelled redoubt.layer.name=billing redoubt.name=call} n 1 sum 1
			`,
		},
		{
			name: "the caller's deadline", config: limit.Config{Name: "billing", Fixed: 1, MaxWait: time.Minute}, busy: 1, limit: time.Second,
			spans: `
				#1 redoubt call internal error(limit: billing: waited 1s, 1 of 1 calls are under way: context deadline exceeded) 0s-1s
				   error.type=limit_wait redoubt.attempts=0 redoubt.name=call redoubt.outcome=rejected
				   event redoubt.limit.wait at 1s: error.type=limit_wait redoubt.layer.name=billing redoubt.limit.wait.duration=1
				   #2 redoubt short-circuit internal error(limit: billing: waited 1s, 1 of 1 calls are under way: context deadline exceeded) 1s-1s
				      error.type=limit_wait redoubt.layer.name=billing redoubt.layer=limit redoubt.reason=limit_wait
			`,
			metrics: `
				redoubt.limit.wait.duration s {error.type=limit_wait redoubt.layer.name=billing redoubt.name=call} n 1 sum 1
				redoubt.rejections {rejection} {redoubt.layer.name=billing redoubt.layer=limit redoubt.name=call redoubt.reason=limit_wait} sum 1
			`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSDK()
				l := limit.New(tt.config)
				occupied, end := context.WithCancel(t.Context())
				defer end()
				for range tt.busy {
					go l.Do(occupied, hang)
				}
				synctest.Wait()
				if tt.free > 0 {
					time.AfterFunc(tt.free, end)
				}
				path{layer: func(*testing.T) redoubt.Layer { return l }, call: succeed, cancel: tt.cancel, limit: tt.limit}.
					run(t, func(ctx context.Context, layer redoubt.Layer, call func(context.Context) error) error {
						return do(ctx, redoubt.Stack{s.telemetry("call"), layer}, call)
					}, func() {})
				same(t, "spans", s.spans(), tt.spans)
				same(t, "metrics", only(s.metrics(t), "redoubt.limit.", "redoubt.rejections"), tt.metrics)
			})
		})
	}
}

// only returns the lines that begin with one of the prefixes.
func only(text string, prefixes ...string) string {
	var lines strings.Builder
	for line := range strings.Lines(text) {
		for _, prefix := range prefixes {
			if strings.HasPrefix(line, prefix) {
				lines.WriteString(line)
			}
		}
	}
	return lines.String()
}

// TestLimitGauges holds that limiters are observed, those made before the SDK
// was installed too, that those of one name and those of a group are told of as
// one, without keys, and that what is garbage is not.
func TestLimitGauges(t *testing.T) {
	if !inChild(t) {
		return
	}
	type hostKey struct{}
	host := func(ctx context.Context) string {
		name, _ := ctx.Value(hostKey{}).(string)
		return name
	}
	synctest.Test(t, func(t *testing.T) {
		early := limit.New(limit.Config{Name: "billing", Fixed: 2, MaxWait: time.Hour})
		func() {
			limit.New(limit.Config{Name: "made before"})
			limit.NewGroup(limit.GroupConfig{Limiter: limit.Config{Name: "group made before"}, Key: host})
		}()
		s := newSDK()
		s.install()
		group := limit.NewGroup(limit.GroupConfig{Limiter: limit.Config{Name: "hosts", Initial: 7}, Key: host})
		runtime.GC()
		runtime.GC()
		same(t, "gauges when idle", s.metrics(t), `
			redoubt.limit.current {call} {redoubt.layer.name=billing} gauge 2
			redoubt.limit.current {call} {redoubt.layer.name=hosts} gauge 7
			redoubt.limit.in_flight {call} {redoubt.layer.name=billing} gauge 0
			redoubt.limit.in_flight {call} {redoubt.layer.name=hosts} gauge 0
			redoubt.limit.waiting {call} {redoubt.layer.name=billing} gauge 0
			redoubt.limit.waiting {call} {redoubt.layer.name=hosts} gauge 0
		`)

		namesake := busy(t, limit.New(limit.Config{Name: "billing", Fixed: 1}), 1)
		busy(t, early, 5)
		well := group.For(context.WithValue(t.Context(), hostKey{}, "well"))
		ill := group.For(context.WithValue(t.Context(), hostKey{}, "ill"))
		busy(t, well, 3)
		for range 3 {
			well.Do(t.Context(), succeed)
			ill.Do(t.Context(), func(context.Context) error { return context.DeadlineExceeded })
		}
		same(t, "gauges in use", only(s.metrics(t), "redoubt.limit."), `
			redoubt.limit.current {call} {redoubt.layer.name=billing} gauge 1
			redoubt.limit.current {call} {redoubt.layer.name=hosts} gauge 5
			redoubt.limit.in_flight {call} {redoubt.layer.name=billing} gauge 3
			redoubt.limit.in_flight {call} {redoubt.layer.name=hosts} gauge 3
			redoubt.limit.waiting {call} {redoubt.layer.name=billing} gauge 3
			redoubt.limit.waiting {call} {redoubt.layer.name=hosts} gauge 0
		`)
		runtime.KeepAlive([]any{early, namesake, group})
	})
}

// TestLimitCosts holds that neither a call nor a refusal allocates as long as
// nobody listens.
func TestLimitCosts(t *testing.T) {
	ctx := context.Background()
	l := limit.New(limit.Config{Name: "billing", Max: 1})
	if got := testing.AllocsPerRun(1000, func() { l.Do(ctx, succeed) }); got != 0 {
		t.Errorf("a call makes %v allocations, want none", got)
	}
	l.Do(ctx, func(ctx context.Context) error {
		if got := testing.AllocsPerRun(1000, func() { l.Do(ctx, succeed) }); got != 0 {
			t.Errorf("a refusal makes %v allocations, want none", got)
		}
		return nil
	})
}
