package sdktest

import (
	"bytes"
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/retry"
)

// logger returns a logger without times, and what it wrote.
func logger() (*slog.Logger, *bytes.Buffer) {
	var text bytes.Buffer
	return slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{
		ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	})), &text
}

// TestLogs holds that state changes and retries given up are logged once each,
// with the error and with the trace that they belong to: of a breaker that
// opens, the call that tripped it.
func TestLogs(t *testing.T) {
	tests := []struct {
		name string
		run  func(t *testing.T, s *sdk, l *slog.Logger)
		want string
	}{
		{
			name: "breaker",
			run: func(t *testing.T, s *sdk, l *slog.Logger) {
				t.Helper()
				br := twice(t, "billing", func(c *breaker.Config) { c.Logger = l })
				stack := redoubt.Stack{s.telemetry("billing"), br}
				do(t.Context(), stack, script(errDown))       // trace 1, spans 1 and 2
				do(t.Context(), stack, script(unavailable{})) // trace 2, spans 3 and 4
				do(t.Context(), stack, succeed)               // refused
				time.Sleep(5 * time.Second)
				do(t.Context(), stack, succeed) // trace 4, spans 7 and 8
			},
			want: `
				level=WARN msg="breaker: circuit is open" breaker=billing from=closed to=open reason=consecutive failures=2 slow=0 calls=2 cooldown=5s error="503 Service Unavailable" trace_id=00000000000000000000000000000002 span_id=0000000000000004
				level=INFO msg="breaker: circuit is half-open" breaker=billing from=open to=half-open reason=cooldown trace_id=00000000000000000000000000000004 span_id=0000000000000007
				level=INFO msg="breaker: circuit is closed" breaker=billing from=half-open to=closed reason=probes_succeeded trace_id=00000000000000000000000000000004 span_id=0000000000000007
			`,
		},
		{
			name: "probe that hangs",
			run: func(t *testing.T, s *sdk, l *slog.Logger) {
				t.Helper()
				br := twice(t, "billing", func(c *breaker.Config) { c.Logger = l })
				stack := redoubt.Stack{s.telemetry("billing"), br}
				do(t.Context(), stack, script(errDown))
				do(t.Context(), stack, script(errDown))
				time.Sleep(5 * time.Second)
				do(t.Context(), stack, func(context.Context) error { time.Sleep(time.Minute); return nil })
			},
			want: `
				level=WARN msg="breaker: circuit is open" breaker=billing from=closed to=open reason=consecutive failures=2 slow=0 calls=2 cooldown=5s error=down trace_id=00000000000000000000000000000002 span_id=0000000000000004
				level=INFO msg="breaker: circuit is half-open" breaker=billing from=open to=half-open reason=cooldown trace_id=00000000000000000000000000000003 span_id=0000000000000005
				level=WARN msg="breaker: circuit is open" breaker=billing from=half-open to=open reason=probe_timeout failures=2 slow=0 calls=2 cooldown=10s error="breaker: probe did not return in time" trace_id=00000000000000000000000000000003 span_id=0000000000000005
			`,
		},
		{
			name: "retry",
			run: func(t *testing.T, s *sdk, l *slog.Logger) {
				t.Helper()
				stack := redoubt.Stack{s.telemetry("billing"), retry.Policy{MaxAttempts: 2, Backoff: waits(time.Second), Logger: l}}
				do(t.Context(), stack, script(errDown))                // rescued
				do(t.Context(), stack, script(errDown, unavailable{})) // trace 2, spans 4 to 6
			},
			want: `
				level=WARN msg="retry: gave up" attempts=2 elapsed=1s reason=attempts error="503 Service Unavailable" trace_id=00000000000000000000000000000002 span_id=0000000000000006
			`,
		},
		{
			name: "retry without a trace",
			run: func(t *testing.T, _ *sdk, l *slog.Logger) {
				retry.Policy{MaxAttempts: 2, Backoff: waits(time.Second), Logger: l}.Do(t.Context(), script(errDown, errDown))
			},
			want: `
				level=WARN msg="retry: gave up" attempts=2 elapsed=1s reason=attempts error=down
			`,
		},
		{
			name: "what is no news to the caller",
			run: func(t *testing.T, s *sdk, l *slog.Logger) {
				t.Helper()
				stack := redoubt.Stack{s.telemetry("billing"), retry.Policy{Logger: l}}
				do(t.Context(), stack, script(retry.Permanent(errDown)))
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				do(ctx, stack, succeed)
			},
			want: ``,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logger, text := logger()
				tt.run(t, newSDK(), logger)
				same(t, "logs", text.String(), tt.want)
			})
		})
	}
}
