package stackfile

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/limit"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// everything has every field of every block.
const everything = `
name: invoices
stack:
  - timeout: 10s
  - retry:
      max_attempts: 4
      backoff: {kind: decorrelated, base: 200ms, cap: 5s}
      budget: {name: billing, ratio: 0.1, burst: 5, min_per_second: none}
      max_retry_after: 30s
      restart_wait: 2s
      await_refusals: true
      nested: true
  - breaker:
      name: billing
      window: 30s
      buckets: 20
      min_calls: 5
      failure_ratio: 0.4
      slow_call: 900ms
      slow_ratio: 1
      consecutive: 7
      caller_deadline: 1s
      cooldown: 2s
      max_cooldown: 20s
      jitter: none
      probes: 3
      probe_timeout: 4s
      honor_retry_after: true
      shadow: true
  - limit:
      name: slots
      algorithm: gradient2
      initial: 11
      min: 7
      max: 70
      backoff: 0.8
      slow_call: 800ms
      caller_deadline: 700ms
      tolerance: 2
      max_wait: 100ms
      max_queue: 30
      reserved: 0.2
  - timeout: 1s
http:
  header_timeout: 900ms
  stall_timeout: none
  max_drain: 1024
  max_request_buffer: 2048
  max_response_buffer: 4096
  retry_rejected: [429, 503]
  retry_conflict: true
  retry_after_millis: [X-Ms-Retry-After-Ms]
  deadline_header: X-Deadline
  attempt_header: Retry-Attempt
  failover:
    name: mirrors
    endpoints: [https://a.test, https://b.test/base]
    from: https://api.test
    guard:
      - breaker: {name: mirrors, consecutive: 5}
    min_time: 300ms
    fail_open: true
  hedge:
    name: reads
    percentile: 0.9
    min_samples: 40
    hedges: 2
    max_extra: 0.02
    burst: 4
`

func parse(t *testing.T, text string) *File {
	t.Helper()
	f, err := Parse("stack.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Every field ends where it belongs.
func TestParse(t *testing.T) {
	const s = time.Second
	f := parse(t, everything)
	var policy retry.Policy
	var config breaker.Config
	var slots limit.Config
	var transport redoubt.Transport
	var hedges hedge.Config
	var mirrors failover.Config
	tr := f.Transport(Options{
		Retry: func(p *retry.Policy) { policy = *p },
		Breaker: func(c *breaker.Config) {
			if c.Name == "billing" {
				config = *c
			}
		},
		Limit:     func(c *limit.Config) { slots = *c },
		Hedge:     func(c *hedge.Config) { hedges = *c },
		Failover:  func(c *failover.Config) { mirrors = *c },
		Transport: func(t *redoubt.Transport) { transport = *t },
	})
	stack, ok := tr.Layer.(redoubt.Stack)
	if !ok || len(stack) != 6 {
		t.Fatalf("Layer is %T with %d layers, want a Stack of 6", tr.Layer, len(stack))
	}
	if got, want := stack[0], (redoubt.Telemetry{Name: "invoices"}); got != want {
		t.Errorf("stack[0] = %v, want %v", got, want)
	}
	if got, want := []redoubt.Layer{stack[1], stack[5]}, []redoubt.Layer{timeout.Limit(10 * s), timeout.Limit(s)}; !reflect.DeepEqual(got, want) {
		t.Errorf("limits are %v, want %v", got, want)
	}

	wait := policy.Backoff().NextBackOff()
	if wait < 200*time.Millisecond || wait > 600*time.Millisecond {
		t.Errorf("first wait is %v, want from 200ms to 600ms", wait)
	}
	if got := policy.Budget.Balance(); got != 5 {
		t.Errorf("balance is %v, want 5", got)
	}
	if policy.MaxAttempts != 4 || policy.MaxRetryAfter != 30*s || policy.RestartWait != 2*s || !policy.AwaitRefusals || !policy.Nested {
		t.Errorf("policy is %+v", policy)
	}

	if want := (breaker.Config{
		Name: "billing", Window: 30 * s, Buckets: 20, MinCalls: 5, FailureRatio: .4, SlowCall: 900 * time.Millisecond, SlowRatio: 1,
		Consecutive: 7, CallerDeadline: s, Cooldown: 2 * s, MaxCooldown: 20 * s, Jitter: breaker.NoJitter,
		Probes: 3, ProbeTimeout: 4 * s, HonorRetryAfter: true, Shadow: true,
	}); !reflect.DeepEqual(config, want) {
		t.Errorf("breaker is %+v, want %+v", config, want)
	}
	if want := (limit.Config{
		Name: "slots", Algorithm: limit.Gradient2, Initial: 11, Min: 7, Max: 70, Backoff: .8, SlowCall: 800 * time.Millisecond,
		CallerDeadline: 700 * time.Millisecond, Tolerance: 2, MaxWait: 100 * time.Millisecond, MaxQueue: 30, Reserved: .2,
	}); !reflect.DeepEqual(slots, want) {
		t.Errorf("limit is %+v, want %+v", slots, want)
	}
	if b, ok := stack[3].(*breaker.Breaker); !ok || b.Name() != "billing" {
		t.Errorf("stack[3] is %T", stack[3])
	}

	if hedges.Breaker == nil || hedges.Budgets == nil {
		t.Error("the hedge heeds no breaker and no budget")
	}
	hedges.Breaker, hedges.Budgets = nil, nil
	if want := (hedge.Config{Name: "reads", Percentile: .9, MinSamples: 40, Hedges: 2, MaxExtra: .02, Burst: 4}); !reflect.DeepEqual(hedges, want) {
		t.Errorf("hedge is %+v, want %+v", hedges, want)
	}
	if mirrors.Guard == nil || mirrors.Budget != failover.Budget(policy.Budget) || !mirrors.PaidElsewhere {
		t.Error("the failover has no guard, or not the retry's budget")
	}
	mirrors.Guard, mirrors.Budget, mirrors.PaidElsewhere = nil, nil, false
	if want := (failover.Config{
		Name: "mirrors", Endpoints: []string{"https://a.test", "https://b.test/base"}, MinTime: 300 * time.Millisecond, FailOpen: true,
	}); !reflect.DeepEqual(mirrors, want) {
		t.Errorf("failover is %+v, want %+v", mirrors, want)
	}

	transport.Layer = nil
	if want := (redoubt.Transport{
		Name: "invoices", HeaderTimeout: 900 * time.Millisecond, StallTimeout: redoubt.NoStallTimeout,
		MaxDrain: 1024, MaxRequestBuffer: 2048, MaxResponseBuffer: 4096,
		RetryRejected: []int{429, 503}, RetryConflict: true, RetryAfterMillis: []string{"X-Ms-Retry-After-Ms"},
		DeadlineHeader: "X-Deadline", AttemptHeader: "Retry-Attempt",
	}); !reflect.DeepEqual(transport, want) {
		t.Errorf("Transport is %+v, want %+v", transport, want)
	}
}

// The fields of the test above are all that the structs have, but for functions,
// and what a Transport has to itself.
func TestParse_LeavesNothingOut(t *testing.T) {
	elsewhere := map[string]bool{
		"Policy.Budgets": true, // see per: host
		"Transport.Base": true, "Transport.Layer": true, "Transport.TracerProvider": true, "Transport.MeterProvider": true,
		"Transport.Propagator": true, "Transport.SpansByBase": true,
		"Policy.Logger": true, "Config.Logger": true,
		"Config.Fixed":   true,                                                      // instead of most others
		"Config.Delay":   true,                                                      // instead of Percentile
		"Config.Breaker": true, "Config.Budget": true, "Config.PaidElsewhere": true, // that of the stack
		"Transport.Failover": true, "Transport.Failure": true,
		"Transport.once": true, "Transport.routes": true, "Transport.err": true,
	}
	for _, v := range []any{
		retry.Policy{},
		retry.BudgetConfig{},
		breaker.Config{},
		limit.Config{},
		redoubt.Transport{},
		hedge.Config{},
		failover.Config{},
		failover.Transport{},
	} {
		typ := reflect.TypeOf(v)
		for field := range typ.Fields() {
			name := snake(field.Name)
			if field.Type.Kind() == reflect.Func && field.Name != "Backoff" || elsewhere[typ.Name()+"."+field.Name] {
				continue
			}
			if !strings.Contains(everything, name+":") {
				t.Errorf("%v.%s has no field %s", typ, field.Name, name)
			}
		}
	}
}

func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if i > 0 && 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
		}
		b.WriteRune(r)
	}
	return strings.ToLower(b.String())
}

// What is left out has the layers' defaults.
func TestParse_Least(t *testing.T) {
	f := parse(t, "stack: [{retry: {}}, {breaker: {name: b, per: host}}, {limit: {per: host, fixed: 7}}, {limit: {name: l, fixed: 8}}, {retry: {nested: true, budget: {per: host, burst: 3}}}]")
	stack := f.Stack(Options{})
	if got, want := stack[0].(retry.Policy).Explain(), (retry.Policy{}).Explain(); got != want {
		t.Errorf("stack[0] is %+v, want %+v", got, want)
	}
	if g, ok := stack[1].(*breaker.Group); !ok || g.Name() != "b" {
		t.Errorf("stack[1] is %T, want a group", stack[1])
	}
	if g, ok := stack[2].(*limit.Group); !ok || g.For(t.Context()).Limit() != 7 {
		t.Errorf("stack[2] is %T, want a group with limits of 7", stack[2])
	}
	if l, ok := stack[3].(*limit.Limiter); !ok || l.Limit() != 8 {
		t.Errorf("stack[3] is %T, want a limit of 8", stack[3])
	}
	if p, ok := stack[4].(retry.Policy); !ok || p.Budgets.For(t.Context()).Balance() != 3 || p.Budget != nil {
		t.Errorf("stack[4] is %+v, want one with Budgets of 3", stack[4])
	}
	if f.Name() != "" || f.Transport(Options{}).Name != "" {
		t.Error("there is a name")
	}
	if got := parse(t, "stack: []").Stack(Options{}); len(got) != 0 {
		t.Errorf("an empty stack has %d layers", len(got))
	}
}

// JSON is YAML.
func TestParse_JSON(t *testing.T) {
	f := parse(t, `{"name": "x", "stack": [{"timeout": "1s"}, {"retry": {"max_attempts": 2, "backoff": {"kind": "constant", "wait": "1ms"}}}]}`)
	if got := f.Explain().MaxAttempts; got != 2 {
		t.Errorf("%d attempts, want 2", got)
	}
}

func TestParse_Mistakes(t *testing.T) {
	const waits = "a duration such as 1.5s, above 0 and at most 24h"
	tests := []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{"stack.yaml: is empty, must describe a stack"}},
		{"no YAML, nobody knows where", "stack: []\n\x01", []string{"stack.yaml: is not YAML: control characters are not allowed"}},
		{"only a comment", "# nothing\n", []string{"stack.yaml: is empty, must describe a stack"}},
		{"null", "---\n", []string{"stack.yaml:2: the file is empty, must be a mapping"}},
		{"a list", "- timeout: 1s", []string{"stack.yaml:1: the file is a list, must be a mapping"}},
		{"not YAML", "stack:\n  - timeout: 1s\n - retry: {}", []string{"stack.yaml:2: is not YAML: did not find expected key"}},
		{"a tab", "stack:\n\t- timeout: 1s", []string{"stack.yaml:2: is not YAML: found character that cannot start any token"}},
		{"two documents", "stack: []\n---\nstack: []", []string{"stack.yaml:2: a second document begins, must be the only one"}},
		{"rubbish behind", "stack: []\n---\n{", []string{"stack.yaml:3: is not YAML: did not find expected node content"}},
		{"no stack", "name: x", []string{"stack.yaml:1: stack is missing, must be a list of layers, outermost first"}},
		{"the stack is none", "stack: {timeout: 1s}", []string{"stack.yaml:1: stack is a mapping, must be a list"}},
		{"unknown", "stack: []\nstak: []", []string{"stack.yaml:2: stak is unknown, must be one of name, stack, http"}},
		{"a field with a line end", "stack: []\n\"a\\nb\": 1", []string{`stack.yaml:2: "a\nb" is unknown, must be one of name, stack, http`}},
		{"twice", "stack: []\nname: a\nname: b", []string{"stack.yaml:3: name is given twice, must be given once"}},
		{"a mapping as a key", "stack: []\n? {a: b}\n: c", []string{"stack.yaml:2: key is a mapping, must be text"}},
		{"an alias", "stack:\n  - &a {timeout: 1s}\n  - *a", []string{
			"stack.yaml:2: the anchor &a is not allowed, write it out",
			"stack.yaml:3: the alias *a is not allowed, write it out",
		}},
		{"a merge", "stack: []\nhttp:\n  <<: {max_drain: 1}", []string{"stack.yaml:3: http.<< is unknown, must be one of header_timeout, " +
			"stall_timeout, max_drain, max_request_buffer, max_response_buffer, retry_rejected, retry_conflict, retry_after_millis, deadline_header, attempt_header, failover, hedge"}},
		{"a tag", "name: !!str 5\nstack: []", []string{`stack.yaml:1: the tag "!!str" is not allowed`}},
		{"a tag with a line of its own", "!%0A", []string{`stack.yaml:1: the tag "!\n" is not allowed`}},
		{"a name that is a number", "name: 5\nstack: []", []string{"stack.yaml:1: name is 5, must be text of 1 to 100 printable characters"}},
		{"an empty name", "name: ''\nstack: []", []string{`stack.yaml:1: name is "", must be text of 1 to 100 printable characters`}},
		{"a name with a line end", `name: "a\nb"` + "\nstack: []", []string{`stack.yaml:1: name is "a\nb", must be text of 1 to 100 printable characters`}},
		{"long values are shortened", "name: [" + strings.Repeat("a", 200) + "]\nstack: []\n" + strings.Repeat("b", 200) + ": 1", []string{
			"stack.yaml:1: name is a list, must be text of 1 to 100 printable characters",
			"stack.yaml:3: " + strings.Repeat("b", 60) + "… is unknown, must be one of name, stack, http",
		}},

		{"a layer that is a word", "stack: [retry]", []string{`stack.yaml:1: stack[0] is "retry", must be a mapping of one of BLOCKS to what it is like`}},
		{"a layer that is a list", "stack: [[retry, {}]]", []string{`stack.yaml:1: stack[0] is a list, must be a mapping of one of BLOCKS to what it is like`}},
		{"two in one", "stack:\n  - timeout: 1s\n    retry: {}", []string{`stack.yaml:2: stack[0] is a mapping, must be a mapping of one of BLOCKS to what it is like`}},
		{"an unknown layer", "stack:\n  - timeout: 1s\n  - retrys: {}", []string{"stack.yaml:3: stack[1].retrys is unknown, must be one of timeout, retry, breaker, limit"}},
		{"a list of fields", "stack: [{retry: [tries, 3]}]", []string{"stack.yaml:1: stack[0].retry is a list, must be a mapping"}},
		{"an unknown field with a space", "stack: []\nna me: x", []string{`stack.yaml:2: "na me" is unknown, must be one of name, stack, http`}},
		{"an empty layer", "stack:\n  - retry:", []string{"stack.yaml:2: stack[0].retry is empty, must be a mapping"}},

		{"a limit without a unit", "stack: [{timeout: 10}]", []string{"stack.yaml:1: stack[0].timeout is 10, must be " + waits}},
		{"a limit of zero", "stack: [{timeout: 0s}]", []string{`stack.yaml:1: stack[0].timeout is "0s", must be ` + waits}},
		{"a negative limit", "stack: [{timeout: -1s}]", []string{`stack.yaml:1: stack[0].timeout is "-1s", must be ` + waits}},
		{"a limit of two days", "stack: [{timeout: 48h}]", []string{`stack.yaml:1: stack[0].timeout is "48h", must be ` + waits}},
		{"a limit in a list", "stack: [{timeout: [1s]}]", []string{"stack.yaml:1: stack[0].timeout is a list, must be " + waits}},

		{"many at once", `
stack:
  - retry:
      max_attempts: 0
      backoff: {kind: linear}
      budget: {ratio: 2, burst: 0, min_per_second: -1, per: user}
      max_retry_after: 1
      await_refusals: yes
      nested: "true"
      tries: 3
`, []string{
			"stack.yaml:4: stack[0].retry.max_attempts is 0, must be a whole number from 1 to 1000",
			`stack.yaml:5: stack[0].retry.backoff.kind is "linear", must be full_jitter, equal_jitter, decorrelated, exponential or constant`,
			"stack.yaml:6: stack[0].retry.budget.ratio is 2, must be a number above 0 and at most 1",
			"stack.yaml:6: stack[0].retry.budget.burst is 0, must be a number from 1 to 1e+09",
			"stack.yaml:6: stack[0].retry.budget.min_per_second is -1, must be a number from 1e-06 to 1e+06, or none",
			`stack.yaml:6: stack[0].retry.budget.per is "user", must be host, host_and_method or none`,
			"stack.yaml:7: stack[0].retry.max_retry_after is 1, must be " + waits,
			`stack.yaml:8: stack[0].retry.await_refusals is "yes", must be true or false`,
			`stack.yaml:9: stack[0].retry.nested is "true", must be true or false`,
			"stack.yaml:10: stack[0].retry.tries is unknown, must be one of max_attempts, backoff, budget, max_retry_after, restart_wait, await_refusals, nested",
		}},
		{"attempts that are a fraction", "stack: [{retry: {max_attempts: 1.5}}]", []string{"stack.yaml:1: stack[0].retry.max_attempts is 1.5, must be a whole number from 1 to 1000"}},
		{"attempts beyond any number", "stack: [{retry: {max_attempts: 99999999999999999999}}]", []string{"stack.yaml:1: stack[0].retry.max_attempts is 99999999999999999999, must be a whole number from 1 to 1000"}},
		{"not a number", "stack: [{retry: {budget: {ratio: .nan}}}]", []string{"stack.yaml:1: stack[0].retry.budget.ratio is .nan, must be a number above 0 and at most 1"}},
		{"infinite", "stack: [{retry: {budget: {burst: .inf}}}]", []string{"stack.yaml:1: stack[0].retry.budget.burst is .inf, must be a number from 1 to 1e+09"}},
		{"a constant backoff without its wait", "stack: [{retry: {backoff: {kind: constant, base: 1s}}}]", []string{
			"stack.yaml:1: stack[0].retry.backoff.wait is missing, must be given for a constant backoff",
			"stack.yaml:1: stack[0].retry.backoff.base is unknown, must be one of kind, wait",
		}},
		{"a cap below base", "stack: [{retry: {backoff: {base: 2s, cap: 1s}}}]", []string{"stack.yaml:1: stack[0].retry.backoff.cap is 1s, must be at least base, 2s"}},
		{"a cap below the default base", "stack: [{retry: {backoff: {cap: 50ms}}}]", []string{"stack.yaml:1: stack[0].retry.backoff.cap is 50ms, must be at least base, 100ms"}},

		{"a breaker without a name", "stack: [{breaker: {}}]", []string{"stack.yaml:1: stack[0].breaker: breaker: Name is empty, must name the breaker"}},
		{"a ratio without a window", "stack:\n  - breaker: {name: b, failure_ratio: 0.5}", []string{"stack.yaml:2: stack[0].breaker: breaker: b: Window is 0s, must be positive if a ratio is given"}},
		{"no jitter in numbers", "stack: [{breaker: {name: b, jitter: 0}}]", []string{"stack.yaml:1: stack[0].breaker.jitter is 0, must be a number above 0 and at most 1, or none"}},
		{"an algorithm that is none", "stack: [{limit: {algorithm: vegas}}]", []string{`stack.yaml:1: stack[0].limit.algorithm is "vegas", must be aimd or gradient2`}},
		{"a limit that is fixed and adapts", "stack:\n  - limit: {fixed: 8, max: 9}", []string{"stack.yaml:2: stack[0].limit: limit: Fixed is 8, must be zero if Max is given: a fixed limit does not adapt"}},
		{"two breakers of one name", "stack:\n  - breaker: {name: b}\n  - breaker: {name: b, per: host}", []string{"stack.yaml:3: stack[1]: there is a breaker b in line 2 already, give each a name of its own"}},
		{"two budgets without a name", "stack:\n  - retry: {budget: {}}\n  - retry: {nested: true, budget: {}}", []string{"stack.yaml:3: stack[1]: there is a budget in line 2 already, give each a name of its own"}},

		{"http", "stack: []\nhttp: {stall_timeout: 0s, max_drain: none, retry_rejected: [200, x], deadline_header: 'a b'}", []string{
			`stack.yaml:2: http.stall_timeout is "0s", must be ` + waits + ", or none",
			"stack.yaml:2: http.retry_rejected[0] is 200, must be a status from 400 to 599",
			`stack.yaml:2: http.retry_rejected[1] is "x", must be a status from 400 to 599`,
		}},
		{"a header that is none", "stack: []\nhttp: {deadline_header: 'a b'}", []string{"stack.yaml:2: http: redoubt: Transport: DeadlineHeader is a b, must be the name of a header"}},
		{"a delay and a percentile", "stack: []\nhttp:\n  hedge: {delay: 1s, percentile: 0.9}", []string{`stack.yaml:3: http.hedge: hedge: "": Percentile is 0.9, must be zero if Delay is given`}},
		{"too many hedges", "stack: []\nhttp: {hedge: {hedges: 11}}", []string{"stack.yaml:2: http.hedge.hedges is 11, must be a whole number from 1 to 10"}},
		{"a hedge that is a layer", "stack: [{hedge: {}}]", []string{"stack.yaml:1: stack[0].hedge is unknown, must be one of BLOCKS; hedge belongs below http"}},
		{"a failover that is a layer", "stack: [{failover: {}}]", []string{"stack.yaml:1: stack[0].failover is unknown, must be one of BLOCKS; failover belongs below http"}},
		{"a failover without endpoints", "stack: []\nhttp: {failover: {name: m}}", []string{"stack.yaml:2: http.failover.endpoints is missing, must be a list of base URLs, the preferred one first"}},
		{"an endpoint without a host", "stack: []\nhttp: {failover: {name: m, endpoints: ['ftp://u:secret@a.test']}}", []string{"stack.yaml:2: http.failover: failover: m: Endpoints[0] is ftp://a.test, must be a URL with scheme http or https"}},
		{"an endpoint that is a number", "stack: []\nhttp: {failover: {name: m, endpoints: [1]}}", []string{"stack.yaml:2: http.failover.endpoints[0] is not one, must be a URL of 1 to 2000 bytes"}},
		{"a list of endpoints as one", "stack: []\nhttp: {failover: {name: m, endpoints: [[http://a]], from: [http://a]}}", []string{
			"stack.yaml:2: http.failover.endpoints[0] is not one, must be a URL of 1 to 2000 bytes",
			"stack.yaml:2: http.failover.from is not one, must be a URL of 1 to 2000 bytes",
		}},
		{"too many endpoints", "stack: []\nhttp: {failover: {name: m, endpoints: [" + endpoints(101) + "]}}", []string{"stack.yaml:2: http.failover.endpoints is a list of 101, must be of at most 100"}},
		{"an endpoint twice", "stack: []\nhttp: {failover: {name: m, endpoints: [http://a, http://a]}}", []string{"stack.yaml:2: http.failover: failover: m: Endpoints[1] is http://a, as Endpoints[0] is, must be there once"}},
		{"a breaker around and in a guard", "stack:\n  - breaker: {name: b}\nhttp:\n  failover:\n    name: m\n    endpoints: [http://a]\n    guard:\n      - breaker: {name: b}", []string{"stack.yaml:8: http.failover.guard[0]: there is a breaker b in line 2 already, give each a name of its own"}},
		{"headers", "stack: []\nhttp: {retry_after_millis: [5]}", []string{"stack.yaml:2: http.retry_after_millis[0] is 5, must be the name of a header"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse("stack.yaml", []byte(tt.text))
			got := columns.ReplaceAllString(fmt.Sprint(err), "$1: ")
			want := "stackfile: " + strings.ReplaceAll(strings.Join(tt.want, "\nstackfile: "), "BLOCKS", strings.Join(blockNames(), ", "))
			if got != want {
				t.Errorf("Parse:\n%s\nwant\n%s", got, want)
			}
			if e, ok := errors.AsType[*Error](err); !ok || e.File != "stack.yaml" || e.Retryable() {
				t.Errorf("error is %T, want an *Error of the file", err)
			}
		})
	}
}

// endpoints returns n different ones, as items of a list.
func endpoints(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "http://%d.test, ", i)
	}
	return b.String()
}

// The ends of each range, as the page of reference has them, are inside.
func TestParse_Ranges(t *testing.T) {
	const (
		name     = "name: %s\nstack: []"
		limits   = "stack: [{timeout: %s}]"
		retries  = "stack: [{retry: {%s}}]"
		budgets  = "stack: [{retry: {budget: {%s}}}]"
		breakers = "stack: [{breaker: {name: b, window: 1m, %s}}]"
		slots    = "stack: [{limit: {%s}}]"
		web      = "stack: []\nhttp: {%s}"
		hedges   = "stack: []\nhttp: {hedge: {%s}}"
		mirrors  = "stack: []\nhttp: {failover: {name: m, endpoints: [%s]}}"
	)
	url := "http://a.test/" + strings.Repeat("a", 2000-len("http://a.test/"))
	tests := []struct {
		text         string
		good, beyond []string
	}{
		{
			name,
			[]string{"a", strings.Repeat("a", 100)},
			[]string{strings.Repeat("a", 101)},
		},
		{
			limits,
			[]string{"1ns", "24h"},
			[]string{"0s", "24h0m0.000000001s"},
		},
		{
			retries,
			[]string{"max_attempts: 1", "max_attempts: 1000"},
			[]string{"max_attempts: 0", "max_attempts: 1001"},
		},
		{
			budgets,
			[]string{"ratio: 1", "burst: 1", "burst: 1e9", "min_per_second: 1e-6", "min_per_second: 1e6", "min_per_second: none"},
			[]string{"ratio: 0", "ratio: 1.001", "burst: .99", "burst: 1.1e9", "min_per_second: 0", "min_per_second: 1.1e6"},
		},
		{
			breakers,
			[]string{"buckets: 1", "buckets: 60", "min_calls: 1", "failure_ratio: 1", "consecutive: 1", "jitter: 1", "jitter: none", "probes: 1"},
			[]string{"buckets: 0", "buckets: 61", "min_calls: 0", "failure_ratio: 0", "failure_ratio: 1.001", "consecutive: 0", "jitter: 0", "jitter: 1.001", "probes: 0"},
		},
		{
			slots,
			[]string{"fixed: 1", "initial: 1, min: 1, max: 1", "backoff: .5", "algorithm: aimd", "algorithm: gradient2, tolerance: 1", "max_wait: 1s, max_queue: 1", "reserved: .9"},
			[]string{"fixed: 0", "initial: 0", "min: 0", "max: 0", "backoff: .499", "backoff: 1", "algorithm: gradient2, tolerance: .999", "max_wait: 1s, max_queue: 0", "reserved: .901", "reserved: null"},
		},
		{
			web,
			[]string{"max_drain: 1", "max_drain: none", "max_request_buffer: 1", "max_response_buffer: 1", "retry_rejected: [400, 599]"},
			[]string{"max_drain: 0", "max_request_buffer: 0", "max_response_buffer: 0", "retry_rejected: [399]", "retry_rejected: [600]"},
		},
		{
			hedges,
			[]string{"percentile: .5", "percentile: .999", "percentile: .5, min_samples: 2", "hedges: 1", "hedges: 10", "max_extra: 1", "burst: 1", "burst: 1e6"},
			[]string{"percentile: .499", "percentile: .9991", "percentile: .5, min_samples: 1", "hedges: 0", "hedges: 11", "max_extra: 0", "burst: .99", "burst: 1.1e6"},
		},
		{
			mirrors,
			[]string{endpoints(100), url},
			[]string{endpoints(101), url + "a", "''"},
		},
	}
	for _, tt := range tests {
		for i, values := range [][]string{tt.good, tt.beyond} {
			for _, value := range values {
				text := fmt.Sprintf(tt.text, value)
				if _, err := Parse("stack.yaml", []byte(text)); (err != nil) != (i == 1) {
					t.Errorf("%.120s: %v", text, err)
				}
			}
		}
	}
}

// A switch that is written as off is off.
func TestParse_False(t *testing.T) {
	stack := parse(t, "stack: [{retry: {nested: false}}, {breaker: {name: b, shadow: false}}]").Stack(Options{})
	if p, b := stack[0].(retry.Policy), stack[1].(*breaker.Breaker); p.Nested || b.Config().Shadow {
		t.Errorf("nested is %t, shadow %t", p.Nested, b.Config().Shadow)
	}
}

// columns are those that errors tell, which TestParse_Columns is about.
var columns = regexp.MustCompile(`(?m)^(stackfile: [^:]+:\d+):\d+: `)

func TestParse_Columns(t *testing.T) {
	for text, want := range map[string]string{
		"stack:\n  - timeout: 10":                                `stackfile: stack.yaml:2:14: stack[0].timeout is 10, must be a duration such as 1.5s, above 0 and at most 24h`,
		"stack:\n  - retry: {tries: 3}":                          `stackfile: stack.yaml:2:13: stack[0].retry.tries is unknown, must be one of max_attempts, backoff, budget, max_retry_after, restart_wait, await_refusals, nested`,
		"stack:\n  - breaker: {name: b, per: user}":              `stackfile: stack.yaml:2:29: stack[0].breaker.per is "user", must be host, host_and_method or none`,
		"stack:\n  - limit: {per: endpoint}":                     `stackfile: stack.yaml:2:18: stack[0].limit.per is "endpoint", must be host, host_and_method or none`,
		"stack:\n  - retry: {budget: {per: [host]}}":             `stackfile: stack.yaml:2:27: stack[0].retry.budget.per is a list, must be host, host_and_method or none`,
		"stack: []\nhttp: {hedge: {per: endpoint}}":              `stackfile: stack.yaml:2:21: http.hedge.per is "endpoint", must be host, host_and_method or none`,
		"stack: []\nhttp: {deadline_header: 'a b'}":              `stackfile: stack.yaml:2:7: http: redoubt: Transport: DeadlineHeader is a b, must be the name of a header`,
		"stack:\n  - breaker: {}":                                `stackfile: stack.yaml:2:5: stack[0].breaker: breaker: Name is empty, must name the breaker`,
		"stack:\n  - breaker: {name: b}\n  - breaker: {name: b}": `stackfile: stack.yaml:3:5: stack[1]: there is a breaker b in line 2 already, give each a name of its own`,
		"stack: []\nhttp: {failover: {name: m, endpoints: [http://a.test], guard: [{breaker: {name: b, per: host}}]}}": `stackfile: stack.yaml:2:89: http.failover.guard[0].breaker.per is "host", must be endpoint`,
	} {
		if _, err := Parse("stack.yaml", []byte(text)); fmt.Sprint(err) != want {
			t.Errorf("%s:\n%v\nwant\n%s", text, err, want)
		}
	}
}

func TestParse_TooLarge(t *testing.T) {
	if _, err := Parse("stack.yaml", []byte("stack: []\n"+strings.Repeat("#", MaxSize-len("stack: []\n")))); err != nil {
		t.Errorf("as large as may be: %v", err)
	}
	text := "stack: []\n" + strings.Repeat("#", MaxSize)
	want := fmt.Sprintf("stackfile: stack.yaml: has %d bytes, must have at most 1048576", MaxSize+10)
	if _, err := Parse("stack.yaml", []byte(text)); fmt.Sprint(err) != want {
		t.Errorf("err = %v, want %s", err, want)
	}
	path := filepath.Join(t.TempDir(), "stack.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadFile(path); err == nil || !strings.HasSuffix(err.Error(), "must have at most 1048576") {
		t.Errorf("err = %v", err)
	}
}

// Deeply nested YAML is refused, not followed into a stack overflow.
func TestParse_Deep(t *testing.T) {
	for _, text := range []string{
		"stack: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"stack: " + strings.Repeat("[", 200_000),
		strings.Repeat("{a: ", 100_000),
	} {
		if _, err := Parse("stack.yaml", []byte(text)); err == nil {
			t.Error("no error")
		}
	}
}

func TestReadFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "stack.yaml")
	if err := os.WriteFile(path, []byte(everything), 0o600); err != nil {
		t.Fatal(err)
	}
	if f, err := ReadFile(path); err != nil || f.Name() != "invoices" {
		t.Errorf("ReadFile = %v, %v", f, err)
	}
	_, err := ReadFile(filepath.Join(dir, "missing.yaml"))
	want := "stackfile: " + filepath.Join(dir, "missing.yaml") + ": open: no such file or directory"
	if fmt.Sprint(err) != want || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("err = %v, want %s", err, want)
	}
	want = "stackfile: " + dir + ": read: is a directory"
	if _, err := ReadFile(dir); fmt.Sprint(err) != want {
		t.Errorf("err = %v, want %s", err, want)
	}
}

// What is wrong with the order is told with its line.
func TestFile_Check(t *testing.T) {
	f := parse(t, `
name: billing
stack:
  - timeout: 1s
  - retry: {}
  - breaker: {name: billing}
  - timeout: 2s
http:
  header_timeout: 3s
`)
	want := `stackfile: stack.yaml:7: redoubt: timeout.Limit(2s) inside of timeout.Limit(1s) can never expire first
stackfile: stack.yaml:9: redoubt: HeaderTimeout 3s inside of timeout.Limit(1s) can never expire first`
	if err := f.Check(); fmt.Sprint(err) != want {
		t.Errorf("Check() = %v\nwant %s", err, want)
	}
	r := f.Explain()
	if got := r.Layers[0].Where; got != "stack.yaml:2" {
		t.Errorf("the name is at %s", got)
	}
	if got := r.Layers[3].Where; got != "stack.yaml:6" {
		t.Errorf("the breaker is at %s", got)
	}
	f = parse(t, "stack: [{timeout: 2s}, {retry: {}}, {timeout: 1s}]")
	if err := f.Check(); err != nil {
		t.Errorf("Check() = %v", err)
	}
	if got := len(f.Explain().Layers); got != 3 {
		t.Errorf("%d layers explained, want 3 and no Transport: the file has no http", got)
	}
}

// Two stacks of one file know nothing of each other.
func TestFile_StacksAreIndependent(t *testing.T) {
	f := parse(t, "stack: [{breaker: {name: b, consecutive: 1}}]")
	one, two := f.Stack(Options{})[0].(*breaker.Breaker), f.Stack(Options{})[0].(*breaker.Breaker)
	one.ForceOpen()
	if two.State() != breaker.Closed {
		t.Error("one breaker for two stacks")
	}
}

func TestBackoffs(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"":                             200 * time.Millisecond,
		"{}":                           200 * time.Millisecond,
		"{kind: full_jitter}":          200 * time.Millisecond,
		"{kind: equal_jitter}":         200 * time.Millisecond,
		"{kind: exponential}":          200 * time.Millisecond,
		"{kind: decorrelated}":         900 * time.Millisecond,
		"{kind: exponential, cap: 1s}": 200 * time.Millisecond,
		"{base: 1s, cap: 1s}":          time.Second,
		"{kind: constant, wait: 3s}":   3 * time.Second,
	} {
		block := "stack: [{retry: {backoff: " + text + "}}]"
		if text == "" {
			block = "stack: [{retry: {}}]"
		}
		facts := parse(t, block).Stack(Options{})[0].(retry.Policy).Explain()
		first := parse(t, strings.Replace(block, "retry: {", "retry: {max_attempts: 2, ", 1)).Stack(Options{})[0].(retry.Policy).Explain()
		got := facts.MostWaits - first.MostWaits
		if text == "" {
			got /= 10 // throttled
		}
		if got != want {
			t.Errorf("%s: the second wait is at most %v, want %v", text, got, want)
		}
	}
}

func TestDecodeNumber(t *testing.T) {
	f := parse(t, "stack: [{breaker: {name: b, window: 1s, failure_ratio: 1}}]")
	if got := f.layers[0].block.(breakerBlock).config.FailureRatio; got != 1 || math.IsNaN(got) {
		t.Errorf("ratio is %v, want 1", got)
	}
}

var _ http.RoundTripper = (*Live)(nil)
