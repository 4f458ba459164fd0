package sdktest

import (
	"regexp"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker/shared"
)

// TestShared holds what is told of a circuit that processes share: by the one that
// opens it, by the one that is refused and names the trace that tripped it, and by
// the one that probes.
func TestShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		store := shared.NewFileStore(t.TempDir())
		process := func() redoubt.Stack {
			return redoubt.Stack{s.telemetry("hg"), shared.New(shared.Config{
				Name: "circuit", Key: "a.test", Store: store, Consecutive: 2, Jitter: shared.NoJitter,
			})}
		}
		do(t.Context(), process(), script(errDown))
		do(t.Context(), process(), script(errDown))
		do(t.Context(), process(), succeed)
		time.Sleep(shared.DefaultCooldown)
		do(t.Context(), process(), succeed)
		// Which process saw the last failure differs from run to run.
		spans := regexp.MustCompile(` in process \d+ on [^)]*`).ReplaceAllString(s.spans(), "")
		same(t, "spans", spans, `
			#1 redoubt hg internal error(down) 0s-0s
			   error.type=_OTHER redoubt.attempts=1 redoubt.name=hg redoubt.outcome=failure
			   #2 attempt hg internal error(down) 0s-0s
			      error.type=_OTHER redoubt.attempt=1 redoubt.name=hg
			#3 redoubt hg internal error(down) 0s-0s
			   error.type=_OTHER redoubt.attempts=1 redoubt.name=hg redoubt.outcome=failure
			   event redoubt.breaker.transition at 0s: redoubt.breaker.from=closed redoubt.breaker.generation=1 redoubt.breaker.to=open redoubt.layer.name=circuit redoubt.reason=consecutive
			   #4 attempt hg internal error(down) 0s-0s
			      error.type=_OTHER redoubt.attempt=1 redoubt.name=hg
			#5 redoubt hg internal error(breaker: circuit a.test is open (2 failures in a row), last: _OTHER) 0s-0s
			   error.type=breaker_open redoubt.attempts=0 redoubt.name=hg redoubt.outcome=rejected
			   #6 redoubt short-circuit internal error(breaker: circuit a.test is open (2 failures in a row), last: _OTHER) 0s-0s
			      error.type=breaker_open redoubt.breaker.generation=1 redoubt.breaker.state=open redoubt.layer.name=circuit redoubt.layer=breaker redoubt.reason=breaker_open redoubt.retry_after=30
			      link to #4
			#7 redoubt hg internal unset 30s-30s
			   redoubt.attempts=1 redoubt.name=hg redoubt.outcome=success
			   event redoubt.breaker.transition at 30s: redoubt.breaker.from=open redoubt.breaker.generation=1 redoubt.breaker.to=half-open redoubt.layer.name=circuit redoubt.reason=cooldown
			   event redoubt.breaker.transition at 30s: redoubt.breaker.from=half-open redoubt.breaker.generation=2 redoubt.breaker.to=closed redoubt.layer.name=circuit redoubt.reason=probes_succeeded
			   #8 attempt hg internal unset 30s-30s
			      redoubt.attempt=1 redoubt.name=hg
		`)
		same(t, "metrics", only(s.metrics(t), "redoubt.breaker.", "redoubt.rejections"), `
			redoubt.breaker.transitions {transition} {redoubt.breaker.from=closed redoubt.breaker.to=open redoubt.layer.name=circuit redoubt.reason=consecutive} sum 1
			redoubt.breaker.transitions {transition} {redoubt.breaker.from=half-open redoubt.breaker.to=closed redoubt.layer.name=circuit redoubt.reason=probes_succeeded} sum 1
			redoubt.breaker.transitions {transition} {redoubt.breaker.from=open redoubt.breaker.to=half-open redoubt.layer.name=circuit redoubt.reason=cooldown} sum 1
			redoubt.rejections {rejection} {redoubt.layer.name=circuit redoubt.layer=breaker redoubt.name=hg redoubt.reason=breaker_open} sum 1
		`)
	})
}

// TestSharedGauges holds that the gauges are about what each process last saw.
func TestSharedGauges(t *testing.T) {
	if !inChild(t) {
		return
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSDK()
		s.install()
		b := shared.New(shared.Config{
			Name: "circuit", Store: shared.NewFileStore(t.TempDir()), FailureRatio: .5, MinCalls: 3, Jitter: shared.NoJitter,
		})
		gauges := func(when, want string) {
			t.Helper()
			same(t, when, only(s.metrics(t), "redoubt.breaker.state", "redoubt.breaker.failure_ratio"), want)
		}
		gauges("new", `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=circuit} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=circuit} gauge 1
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=circuit} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=circuit} gauge 0
		`)
		do(t.Context(), b, succeed)
		do(t.Context(), b, script(errDown))
		gauges("half of the calls failed", `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=circuit} gauge 0.5
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=circuit} gauge 1
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=circuit} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=circuit} gauge 0
		`)
		do(t.Context(), b, script(errDown))
		gauges("open", `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=circuit} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=circuit} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=circuit} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=circuit} gauge 1
		`)
		time.Sleep(shared.DefaultCooldown)
		gauges("half-open", `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=circuit} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=circuit} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=circuit} gauge 1
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=circuit} gauge 0
		`)
		do(t.Context(), b, succeed)
		gauges("closed", `
			redoubt.breaker.failure_ratio 1 {redoubt.layer.name=circuit} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=closed redoubt.layer.name=circuit} gauge 1
			redoubt.breaker.state {circuit} {redoubt.breaker.state=half-open redoubt.layer.name=circuit} gauge 0
			redoubt.breaker.state {circuit} {redoubt.breaker.state=open redoubt.layer.name=circuit} gauge 0
		`)
		runtime.KeepAlive(b)
	})
}
