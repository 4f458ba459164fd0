package redoubt_test

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/hedge"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

// A foreign is a layer of somebody else's that tells its facts.
type foreign struct {
	redoubt.Facts
}

func (f *foreign) Explain() redoubt.Facts { return f.Facts }

func (*foreign) Do(ctx context.Context, call func(context.Context) error) error { return call(ctx) }

func (*foreign) RoundTrip(*http.Request) (*http.Response, error) { return nil, errors.New("unused") }

// Mistakes and notes, one a case: the stack, and the sentence that explains what
// is wrong with it.
func TestExplain_Findings(t *testing.T) {
	const s = time.Second
	limit := func(d time.Duration) timeout.Limit { return timeout.Limit(d) }
	br := func(change func(*breaker.Config)) *breaker.Breaker {
		c := breaker.Config{Name: "billing", Consecutive: 5}
		if change != nil {
			change(&c)
		}
		return breaker.New(c)
	}
	of := func(f redoubt.Facts) *foreign { return &foreign{f} }
	opaque := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error { return call(ctx) })
	budget := retry.NewBudget(retry.BudgetConfig{})
	twice := br(nil)
	slots := of(redoubt.Facts{Kind: redoubt.KindLimit, Name: "slots", MaxInFlight: 1})
	tests := []struct {
		name     string
		layer    redoubt.Layer
		severity redoubt.Severity
		rule     string
		where    string
		text     string
	}{
		{
			"nothing at all", nil,
			redoubt.Mistake, "nil-layer", "layer",
			"layer is nil",
		},
		{
			"a layer is missing",
			redoubt.Stack{limit(s), redoubt.Stack{nil}},
			redoubt.Mistake, "nil-layer", "stack[1][0]",
			"stack[1][0] is nil",
		},
		{
			"a field makes no sense",
			redoubt.Stack{limit(-s)},
			redoubt.Mistake, "misconfigured", "stack[0]",
			"timeout: Limit is -1s, must not be negative",
		},
		{
			"total limit shorter than an attempt",
			redoubt.Stack{limit(s), retry.Policy{}, limit(2 * s)},
			redoubt.Mistake, "limit-never-expires", "stack[2]",
			"timeout.Limit(2s) inside of timeout.Limit(1s) can never expire first",
		},
		{
			"a retry in a retry",
			redoubt.Stack{retry.Policy{}, retry.Policy{}},
			redoubt.Mistake, "retry-nested", "stack[1]",
			"retry.Policy inside of another makes only one attempt; remove one of them or set Nested",
		},
		{
			"waits longer than the limit",
			redoubt.Stack{limit(5 * s), retry.Policy{MaxAttempts: 4, Backoff: retry.Constant(2 * s)}},
			redoubt.Mistake, "attempts-never-happen", "stack[1]",
			"retry.Policy can never make all of its 4 attempts: the waits between them come to 6s or more, and timeout.Limit(5s) around it is over by then",
		},
		{
			"a window in which hangs never meet",
			redoubt.Stack{br(func(c *breaker.Config) { c.Window, c.FailureRatio = s, .5 }), limit(2 * s)},
			redoubt.Mistake, "window-too-short", "stack[0]",
			`breaker "billing": Window 1s is not longer than the 2s that a call inside of it may take, so that calls that time out may never trip it`,
		},
		{
			"probes judged too soon",
			redoubt.Stack{br(nil), limit(11 * s)},
			redoubt.Mistake, "probe-timeout-too-short", "stack[0]",
			`breaker "billing": ProbeTimeout 10s is shorter than the 11s that a call inside of it may take, so that a slow probe fails though it succeeds`,
		},
		{
			"slower than a call can be",
			redoubt.Stack{br(func(c *breaker.Config) { c.SlowCall, c.Window = 3*s, 60*s }), limit(2 * s)},
			redoubt.Mistake, "never-slow", "stack[0]",
			`breaker "billing": SlowCall 3s is not shorter than the 2s that a call may take, so that no call is ever slow`,
		},
		{
			"slower than the limit around it",
			redoubt.Stack{limit(s), br(func(c *breaker.Config) { c.SlowCall, c.Window = s, 60*s })},
			redoubt.Mistake, "never-slow", "stack[1]",
			`breaker "billing": SlowCall 1s is not shorter than the 1s that a call may take, so that no call is ever slow`,
		},
		{
			"a breaker in itself",
			redoubt.Stack{twice, retry.Policy{}, twice},
			redoubt.Mistake, "inside-itself", "stack[2]",
			`breaker "billing" is inside of itself: each call asks it twice, and a call that it admits is then in its own way`,
		},
		{
			"a concurrency limit in itself",
			redoubt.Stack{slots, slots},
			redoubt.Mistake, "inside-itself", "stack[1]",
			`redoubt_test.foreign "slots" is inside of itself: each call asks it twice, and a call that it admits is then in its own way`,
		},
		{
			"telemetry too late",
			redoubt.Stack{limit(s), redoubt.Telemetry{Name: "billing"}},
			redoubt.Mistake, "telemetry-not-first", "stack[1]",
			"redoubt.Telemetry is not the first layer: when a call comes to it, the call is recorded already, without its name and its providers",
		},
		{
			"a turn that never comes",
			redoubt.Stack{limit(s), of(redoubt.Facts{Kind: redoubt.KindLimit, MaxInFlight: 8, MaxWait: s})},
			redoubt.Mistake, "turn-never-comes", "stack[1]",
			"redoubt_test.foreign lets a call wait 1s for its turn, and timeout.Limit(1s) around it is over by then",
		},
		{
			"a hedge outside of a breaker",
			redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1}), br(nil)},
			redoubt.Mistake, "hedge-outside-breaker", "stack[0]",
			`redoubt_test.foreign is outside of breaker "billing": one call counts there several times, and takes the probes of others; put the breaker outside`,
		},
		{
			"a hedge after the limit around it",
			redoubt.Stack{limit(s), of(redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1, Delay: s})},
			redoubt.Mistake, "hedge-never-sent", "stack[1]",
			"redoubt_test.foreign waits 1s before it sends a second attempt, and timeout.Limit(1s) around it is over by then",
		},
		{
			"a hedge after the limit inside",
			redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1, Delay: 2 * s}), limit(s)},
			redoubt.Mistake, "hedge-never-sent", "stack[0]",
			"redoubt_test.foreign waits 2s before it sends a second attempt, and the first has ended after 1s",
		},

		{
			"no limit on the whole",
			redoubt.Stack{retry.Policy{}},
			redoubt.Note, "no-limit", "stack[0]",
			"nothing bounds the whole call: unless the caller has a deadline, one that hangs lasts for ever; put a timeout.Limit first",
		},
		{
			"no limit on an attempt",
			redoubt.Stack{limit(s), retry.Policy{}},
			redoubt.Note, "no-attempt-limit", "stack[1]",
			"nothing inside of retry.Policy limits an attempt: one that hangs takes all of the call's time, and is not repeated",
		},
		{
			"a limit of zero",
			redoubt.Stack{limit(0)},
			redoubt.Note, "limit-zero", "stack[0]",
			"timeout.Limit is zero and limits nothing",
		},
		{
			"no budget",
			redoubt.Stack{retry.Policy{MaxAttempts: 10}},
			redoubt.Note, "no-budget", "stack[0]",
			"retry.Policy has no budget: when the dependency fails for everybody, it gets 10 times the load",
		},
		{
			"a retry that is none",
			retry.Policy{MaxAttempts: 1},
			redoubt.Note, "never-repeats", "layer",
			"retry.Policy makes one attempt and never repeats",
		},
		{
			"attempts that do not fit",
			redoubt.Stack{limit(5 * s), retry.Policy{MaxAttempts: 4, Budget: budget}, limit(2 * s)},
			redoubt.Note, "attempts-do-not-fit", "stack[1]",
			"if attempts take the 2s that they may, retry.Policy does not come to all of its 4 attempts within timeout.Limit(5s)",
		},
		{
			"attempts that multiply",
			redoubt.Stack{retry.Policy{}, retry.Policy{MaxAttempts: 4, Nested: true}},
			redoubt.Note, "attempts-multiply", "stack[0]",
			"layers that repeat multiply: one call may become 12 attempts, and so may the load of an outage",
		},
		{
			"refusals awaited without a deadline",
			redoubt.Stack{retry.Policy{AwaitRefusals: true}, br(nil)},
			redoubt.Note, "awaits-without-deadline", "stack[0]",
			"retry.Policy waits for an open breaker only under a deadline, and no layer around it sets one",
		},
		{
			"a breaker inside a retry",
			redoubt.Stack{retry.Policy{}, br(nil)},
			redoubt.Note, "breaker-inside-retry", "stack[1]",
			`breaker "billing" is inside of the retry: it sees every attempt, and once it is open the call fails at once instead of trying on`,
		},
		{
			"a breaker outside a retry",
			redoubt.Stack{br(nil), retry.Policy{}},
			redoubt.Note, "breaker-outside-retry", "stack[0]",
			`breaker "billing" is outside of the retry: it sees a call only when its last attempt has ended, so it opens late, and failures that a retry cured do not count`,
		},
		{
			"hangs that are never counted",
			redoubt.Stack{br(nil)},
			redoubt.Note, "hang-never-counted", "stack[0]",
			`breaker "billing" never learns of a call that hangs, since nothing limits the call; put a timeout.Limit inside`,
		},
		{
			"hangs that are counted late",
			redoubt.Stack{limit(30 * s), br(nil)},
			redoubt.Note, "hang-counted-late", "stack[1]",
			`breaker "billing" learns of a call that hangs only when timeout.Limit(30s) around it is over, since nothing inside limits the call`,
		},
		{
			"a shadow",
			redoubt.Stack{br(func(c *breaker.Config) { c.Shadow = true })},
			redoubt.Note, "shadow", "stack[0]",
			`breaker "billing" is a shadow: it counts, and refuses nothing`,
		},
		{
			"two breakers of one name",
			redoubt.Stack{br(nil), br(nil)},
			redoubt.Note, "same-name", "stack[1]",
			`two breakers are named "billing", so that errors and metrics do not tell which it was`,
		},
		{
			"places kept while a retry waits",
			redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindLimit, Name: "billing", MaxInFlight: 8}), retry.Policy{Backoff: retry.Constant(s)}, limit(s)},
			redoubt.Note, "permit-held-while-waiting", "stack[0]",
			`redoubt_test.foreign "billing" is outside of the retry: a call keeps its place while it waits (at most 2s) for its next attempt, and others are refused for it`,
		},
		{
			"waits taken for slowness",
			redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindLimit, MaxInFlight: 8, Adaptive: true}), of(redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 2, MostWaits: redoubt.Unbounded})},
			redoubt.Note, "permit-held-while-waiting", "stack[0]",
			"redoubt_test.foreign is outside of the retry: a call keeps its place while it waits (unknown length) for its next attempt, and others are refused for it, and it takes these waits for slowness of the dependency",
		},
		{
			"a stranger",
			redoubt.Stack{opaque},
			redoubt.Note, "opaque", "stack[0]",
			"redoubt.LayerFunc tells nothing of itself, so that what it adds is not counted here; a method Explain() redoubt.Facts would tell",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			report := redoubt.Explain(tt.layer)
			found := false
			for _, f := range report.Findings {
				if f.Rule != tt.rule {
					continue
				}
				found = true
				if f.Severity != tt.severity || f.Where != tt.where || f.Text != tt.text {
					t.Errorf("%s at %s: %s\nwant %s at %s: %s", f.Severity, f.Where, f.Text, tt.severity, tt.where, tt.text)
				}
				if (f.Err != nil) != (f.Severity == redoubt.Mistake) {
					t.Errorf("Err = %v for a %s", f.Err, f.Severity)
				}
			}
			if !found {
				t.Errorf("no finding by rule %s in\n%v", tt.rule, report)
			}
			for _, f := range report.Findings {
				if f.Severity == redoubt.Mistake && tt.severity == redoubt.Note {
					t.Errorf("a mistake in a stack that has none: %s", f.Text)
				}
			}
			if err := redoubt.Check(tt.layer); (err != nil) != (tt.severity == redoubt.Mistake) {
				t.Errorf("Check = %v, for a %s", err, tt.severity)
			}
		})
	}
}

// listed is a layer whose type has no ==.
type listed struct {
	foreign
	_ []int
}

func (l listed) Explain() redoubt.Facts { return l.Facts }

func (listed) Do(ctx context.Context, call func(context.Context) error) error { return call(ctx) }

// TestExplain_Rules: a stack breaks these rules and no others, in particular not
// those that it comes close to.
func TestExplain_Rules(t *testing.T) {
	const s = time.Second
	limit := func(d time.Duration) timeout.Limit { return timeout.Limit(d) }
	br := func(c breaker.Config) *breaker.Breaker {
		c.Name, c.Consecutive = cmp.Or(c.Name, "billing"), 5
		return breaker.New(c)
	}
	of := func(f redoubt.Facts) *foreign { return &foreign{f} }
	budget := retry.NewBudget(retry.BudgetConfig{})
	four := func(waits time.Duration) retry.Policy {
		return retry.Policy{MaxAttempts: 4, Budget: budget, Backoff: retry.Constant(waits)}
	}
	repeat := func(most, asked time.Duration) *foreign {
		return of(redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 2, Budgeted: true, MostWaits: most, AskedWaits: asked})
	}
	slots := of(redoubt.Facts{Kind: redoubt.KindLimit, Name: "billing", MaxInFlight: 1})
	nameless := redoubt.Facts{Kind: redoubt.KindBreaker}
	quota := of(redoubt.Facts{Does: "lets 50 calls pass a second"})
	tests := []struct {
		name  string
		stack redoubt.Stack
		want  []string
	}{
		{"what is wrong alone is not judged by its place", redoubt.Stack{limit(s), retry.Policy{MaxAttempts: -1}}, []string{"misconfigured"}},
		{"a limiter within a breaker of its name", redoubt.Stack{limit(2 * s), br(breaker.Config{}), slots, limit(s)}, nil},
		{"a breaker within a limiter of its name", redoubt.Stack{limit(2 * s), slots, br(breaker.Config{}), limit(s)}, nil},
		{"breakers of two names", redoubt.Stack{limit(2 * s), br(breaker.Config{}), br(breaker.Config{Name: "tax"}), limit(s)}, nil},
		{"breakers without a name", redoubt.Stack{limit(2 * s), of(nameless), of(nameless), limit(s)}, nil},
		{"breakers of a type without ==", redoubt.Stack{limit(2 * s), listed{foreign: foreign{nameless}}, listed{foreign: foreign{nameless}}, limit(s)}, nil},
		{"what has no memory, twice", redoubt.Stack{limit(s), quota, quota}, nil},
		{"the tightest limit counts", redoubt.Stack{limit(3 * s), limit(2 * s), limit(2500 * time.Millisecond)}, []string{"limit-never-expires"}},
		{"no limit at all", redoubt.Stack{four(s)}, []string{"no-attempt-limit", "no-limit"}},
		{"waits as long as the limit", redoubt.Stack{limit(6 * s), four(2 * s), limit(s)}, []string{"attempts-never-happen"}},
		{"waits and attempts that just fit", redoubt.Stack{limit(6*s + 4), four(2 * s), limit(1)}, nil},
		{"three attempts as long as the limit", redoubt.Stack{limit(3 * s), four(0), limit(s)}, []string{"attempts-do-not-fit"}},
		{"three attempts just shorter", redoubt.Stack{limit(3*s + 1), four(0), limit(s)}, nil},
		{"slow calls without a limit", redoubt.Stack{br(breaker.Config{SlowCall: s})}, []string{"no-limit"}},
		{"callers' deadlines without a limit", redoubt.Stack{br(breaker.Config{CallerDeadline: s})}, []string{"no-limit"}},
		{"a hedge as late as the attempt's end", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1, Delay: s}), limit(s)}, []string{"hedge-never-sent"}},
		{"a hedge just before", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1, Delay: s - 1}), limit(s)}, nil},
		{"a hedge with a measured delay", redoubt.Stack{limit(2 * s), of(redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1}), limit(s)}, nil},
		{"waits that nothing bounds", redoubt.Stack{repeat(redoubt.Unbounded, 0), limit(s)}, []string{"no-limit"}},
		{"waits that errors ask for", redoubt.Stack{repeat(s, redoubt.Unbounded), limit(s)}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range redoubt.Explain(tt.stack).Findings {
				got = append(got, f.Rule)
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("rules broken: %q, want %q", got, tt.want)
			}
		})
	}
}

// TestExplain_Words: a layer's numbers and its place among others, in words.
func TestExplain_Words(t *testing.T) {
	const s = time.Second
	of := func(f redoubt.Facts) *foreign { return &foreign{f} }
	again := of(redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 3, MostWaits: s, Nested: true})
	once := of(redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 1})
	circuit := redoubt.Facts{
		Kind: redoubt.KindBreaker, FailureRatio: .5, SlowRatio: .25, SlowCall: s, MinCalls: 20, Window: 10 * s,
		Consecutive: 5, Cooldown: s, MaxCooldown: 2 * s, Probes: 1, PerKey: true,
	}
	simple := redoubt.Facts{Kind: redoubt.KindBreaker, Consecutive: 5, Cooldown: s, MaxCooldown: s, Probes: 2}
	slots := redoubt.Facts{Kind: redoubt.KindLimit, MaxInFlight: 8}
	const simply = "opens at 5 failures in a row; for 1s, then 2 probes"
	tests := []struct {
		name           string
		stack          redoubt.Stack
		at             int // the layer in question
		numbers, place string
	}{
		{"limit", redoubt.Stack{timeout.Limit(s)}, 0, "1s", "bounds the call"},
		{"no limit", redoubt.Stack{timeout.Limit(0)}, 0, "no limit", "bounds nothing"},
		{"limit around", redoubt.Stack{timeout.Limit(s), again}, 0, "1s", "bounds the whole call: all attempts, and the waits between"},
		{"limit around one attempt", redoubt.Stack{timeout.Limit(s), once}, 0, "1s", "bounds the call"},
		{"limit inside", redoubt.Stack{again, timeout.Limit(s)}, 1, "1s", "bounds each attempt"},
		{"limit between", redoubt.Stack{again, timeout.Limit(s), again}, 1, "1s", "bounds each attempt of the retry around it, all of the retry inside"},
		{"a limit that is wrong", redoubt.Stack{timeout.Limit(-s)}, 0, "-1s", "is wrong by itself, see below"},
		{"retry", redoubt.Stack{again}, 0, "3 attempts, waits of at most 1s; no budget", "repeats attempts"},
		{
			"retry on a budget, with waits of its own",
			redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 2, MostWaits: redoubt.Unbounded, Budgeted: true})},
			0,
			"2 attempts, waits of unknown length; on a budget", "repeats attempts",
		},
		{"retry that is none", redoubt.Stack{once}, 0, "1 attempt", "never repeats"},
		{"retry in another", redoubt.Stack{again, of(redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 3})}, 1, "3 attempts, waits of at most 0s; no budget", "makes one attempt: the retry around it does the repeating"},
		{"retry in another that means it", redoubt.Stack{again, again}, 1, "3 attempts, waits of at most 1s; no budget", "repeats attempts"},
		{"retry around a breaker", redoubt.Stack{again, of(simple)}, 0, "3 attempts, waits of at most 1s; no budget", "repeats attempts, until the breaker inside refuses"},
		{"retry in a breaker", redoubt.Stack{of(simple), again}, 1, "3 attempts, waits of at most 1s; no budget", "repeats attempts, of which the breaker outside sees the last"},
		{
			"breaker with all rules",
			redoubt.Stack{of(circuit)},
			0,
			"opens at 50 % failures; or 25 % slower than 1s of 20 or more calls in 10s; or 5 failures in a row; for 1s to 2s, then 1 probe; one for each key",
			"judges each call; once open, nothing is sent",
		},
		{"breaker inside", redoubt.Stack{again, of(simple)}, 1, simply, "judges each attempt; once open, it ends the call"},
		{"breaker around", redoubt.Stack{of(simple), again}, 0, simply, "judges each call by its last attempt; once open, nothing is sent"},
		{"slots", redoubt.Stack{of(slots)}, 0, "8 at once; no waiting", "counts calls"},
		{"slots inside", redoubt.Stack{again, of(slots)}, 1, "8 at once; no waiting", "counts attempts: while a retry waits, its place is free"},
		{"slots around", redoubt.Stack{of(slots), again}, 0, "8 at once; no waiting", "counts calls: they keep their places while a retry waits"},
		{
			"slots that adapt",
			redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindLimit, MaxInFlight: 8, Adaptive: true, MaxWait: s, PerKey: true})},
			0,
			"at most 8 at once, adaptive; waits up to 1s for a turn; one for each key", "counts calls",
		},
		{"hedge", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1, Delay: s, PerKey: true})}, 0, "1 hedge after 1s; one for each key", "sends another attempt beside one that takes long"},
		{"hedge that measures", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 2})}, 0, "2 hedges after a measured delay", "sends another attempt beside one that takes long"},
		{"failover", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindFailover, Endpoints: 3})}, 0, "3 endpoints", "sends an attempt to one endpoint after the other until one answers"},
		{"quota", redoubt.Stack{of(redoubt.Facts{Does: "lets 50 calls pass"})}, 0, "", "lets 50 calls pass"},
		{"stranger", redoubt.Stack{redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error { return call(ctx) })}, 0, "", "tells nothing of itself"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := redoubt.Explain(tt.stack).Layers[tt.at]
			if got.Numbers != tt.numbers || got.Place != tt.place {
				t.Errorf("%q, %q\nwant %q, %q", got.Numbers, got.Place, tt.numbers, tt.place)
			}
		})
	}
}

// TestReport_Longest: what a report says of the longest call.
func TestReport_Longest(t *testing.T) {
	const s = time.Second
	stranger := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error { return call(ctx) })
	patient := &foreign{redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 2, MostWaits: s, AskedWaits: 2 * s}}
	for _, tt := range []struct {
		stack redoubt.Stack
		want  string
	}{
		{redoubt.Stack{}, "no layers\n\nlongest call unbounded\nmost attempts 1\n"},
		{redoubt.Stack{timeout.Limit(s)}, "\nlongest call 1s\n"},
		{redoubt.Stack{patient, timeout.Limit(s)}, "\nlongest call 4s, or 3s if no error asks for a longer wait\n"},
		{redoubt.Stack{timeout.Limit(s), stranger}, "\nlongest call 1s, and what 1 opaque layer may add\n"},
		{redoubt.Stack{timeout.Limit(s), stranger, stranger}, "\nlongest call 1s, and what 2 opaque layers may add\n"},
		{redoubt.Stack{timeout.Limit(math.MaxInt64)}, "\nlongest call longer than 292 years\n"},
	} {
		if got := squeeze(redoubt.Explain(tt.stack).String()); !strings.Contains(got+"\n", tt.want) {
			t.Errorf("%q does not hold %q", got, tt.want)
		}
	}
}

// A stack that an expert would write has nothing wrong, and little to say.
func TestExplain_String(t *testing.T) {
	stack := redoubt.Stack{
		redoubt.Telemetry{Name: "invoices"},
		timeout.Limit(10 * time.Second),
		retry.Policy{MaxAttempts: 4, Budget: retry.NewBudget(retry.BudgetConfig{})},
		&foreign{redoubt.Facts{Name: "quota", Does: "lets 50 calls pass a second"}},
		breaker.New(breaker.Config{Name: "billing", Window: 10 * time.Second, FailureRatio: .5, Consecutive: 20, SlowCall: time.Second / 2}),
		&foreign{redoubt.Facts{Kind: redoubt.KindLimit, MaxInFlight: 64, Adaptive: true, MaxWait: time.Second / 10}},
		timeout.Limit(time.Second),
	}
	const want = `redoubt.Telemetry invoices                                                     names the call in telemetry
timeout.Limit               10s                                                bounds the whole call: all attempts, and the waits between
retry.Policy                4 attempts, waits of at most 7s                    repeats attempts, until the breaker inside refuses
                            on a budget                                        
redoubt_test.foreign quota                                                     lets 50 calls pass a second
breaker.Breaker billing     opens at 50 % failures                             judges each attempt
                            or 100 % slower than 500ms of 20 or more calls in 10s  once open, it ends the call
                            or 20 failures in a row
                            for 5s to 1m0s, then 1 probe
redoubt_test.foreign        at most 64 at once, adaptive                       counts attempts: while a retry waits, its place is free
                            waits up to 100ms for a turn
timeout.Limit               1s                                                 bounds each attempt

longest call   10s
most attempts  4

notes
  stack[4]: breaker "billing" is inside of the retry: it sees every attempt, and once it is open the call fails at once instead of trying on
`
	got := redoubt.Explain(stack).String()
	if squeeze(got) != squeeze(want) {
		t.Errorf("String():\n%s\nwant\n%s", got, want)
	}
	for line := range strings.Lines(got) {
		if trimmed := strings.TrimRight(line, "\n"); strings.HasSuffix(trimmed, " ") {
			t.Errorf("spaces at the end of %q", trimmed)
		}
	}
}

// squeeze makes one space of several.
func squeeze(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	return strings.Join(lines, "\n")
}

func TestExplain_WorstCase(t *testing.T) {
	const ms, s = time.Millisecond, time.Second
	constant := retry.Policy{MaxAttempts: 3, MaxRetryAfter: s, Backoff: retry.Constant(100 * ms)}
	nested := retry.Policy{MaxAttempts: 2, Nested: true, MaxRetryAfter: 1, Backoff: retry.Constant(0)}
	of := func(f redoubt.Facts) *foreign { return &foreign{f} }
	const unbounded = redoubt.Unbounded
	tests := []struct {
		name             string
		layer            redoubt.Layer
		longest, unasked time.Duration
		attempts         int
	}{
		{"nothing", redoubt.Stack{}, unbounded, unbounded, 1},
		{"a limit", timeout.Limit(s), s, s, 1},
		{"no limit", timeout.Limit(0), unbounded, unbounded, 1},
		{"the shortest counts", redoubt.Stack{timeout.Limit(2 * s), timeout.Limit(s)}, s, s, 1},
		{"a retry alone", constant, unbounded, unbounded, 3},
		{"attempts and waits", redoubt.Stack{constant, timeout.Limit(s)}, 3*s + 2*1100*ms, 3*s + 200*ms, 3},
		{"a limit on it all", redoubt.Stack{timeout.Limit(4 * s), constant, timeout.Limit(s)}, 4 * s, 3*s + 200*ms, 3},
		{"one in another", redoubt.Stack{constant, retry.Policy{}, timeout.Limit(s)}, 3*s + 2*1100*ms, 3*s + 200*ms, 3},
		{"one in another that means it", redoubt.Stack{constant, nested, timeout.Limit(s)}, 6*s + 2*1100*ms + 3, 6*s + 200*ms, 6},
		{"breakers take no time", redoubt.Stack{breaker.New(breaker.Config{Name: "b"}), timeout.Limit(s)}, s, s, 1},
		{"a turn", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindLimit, MaxWait: s}), timeout.Limit(s)}, 2 * s, 2 * s, 1},
		{"a hedge", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 2, Delay: 100 * ms}), timeout.Limit(s)}, 1200 * ms, 1200 * ms, 3},
		{"a hedge with a measured delay", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1}), timeout.Limit(s)}, 2 * s, 2 * s, 2},
		{"a failover", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindFailover, Endpoints: 3}), timeout.Limit(s)}, 3 * s, 3 * s, 3},
		{"a retry around it", redoubt.Stack{constant, of(redoubt.Facts{Kind: redoubt.KindFailover, Endpoints: 3}), timeout.Limit(s)}, 9*s + 2*1100*ms, 9*s + 200*ms, 9},
		{"waits that nobody knows", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 2, MostWaits: unbounded}), timeout.Limit(s)}, unbounded, unbounded, 2},
		{"waits that only errors know", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 2, MostWaits: s, AskedWaits: unbounded}), timeout.Limit(s)}, unbounded, 3 * s, 2},
		{"longer than a Duration", redoubt.Stack{of(redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: math.MaxInt/2 + 1}), of(redoubt.Facts{Kind: redoubt.KindRetry, MaxAttempts: 8, Nested: true}), timeout.Limit(s)}, 1<<63 - 1, 1<<63 - 1, math.MaxInt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := redoubt.Explain(tt.layer)
			if r.Longest != tt.longest || r.LongestUnasked != tt.unasked || r.MaxAttempts != tt.attempts {
				t.Errorf("Longest = %v, %v unasked, MaxAttempts = %d; want %v, %v, %d",
					r.Longest, r.LongestUnasked, r.MaxAttempts, tt.longest, tt.unasked, tt.attempts)
			}
		})
	}
}

// No run of any stack takes longer, or makes more attempts, than Explain says.
func TestExplain_WorstCaseHolds(t *testing.T) {
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			stack := randomStack(random)
			report := redoubt.Explain(stack)
			attempts := 0
			start := time.Now()
			_ = stack.Do(t.Context(), func(ctx context.Context) error {
				attempts++
				wait := time.Hour // hangs, unless nothing would end it
				if report.Longest < 0 || random.IntN(2) == 0 {
					wait = time.Duration(random.IntN(3)) * time.Second
				}
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(wait):
					return later(random.IntN(3)) * later(time.Second)
				}
			})
			if took := time.Since(start); report.Longest >= 0 && took > report.Longest {
				t.Errorf("seed %d: a call took %v\n%v", seed, took, report)
			}
			if attempts > report.MaxAttempts {
				t.Errorf("seed %d: %d attempts\n%v", seed, attempts, report)
			}
		})
	}
}

func randomStack(random *rand.Rand) redoubt.Stack {
	var stack redoubt.Stack
	for range 1 + random.IntN(4) {
		switch random.IntN(4) {
		case 0:
			stack = append(stack, retry.Policy{
				MaxAttempts:   1 + random.IntN(4),
				MaxRetryAfter: time.Duration(1+random.IntN(2)) * time.Second,
				Nested:        random.IntN(2) == 0,
			})
		case 1:
			stack = append(stack, retry.Policy{MaxAttempts: 3, Backoff: retry.Decorrelated(time.Second, 5*time.Second)})
		case 2:
			stack = append(stack, redoubt.Stack{breaker.New(breaker.Config{Name: "billing", Consecutive: 3})})
		default:
			stack = append(stack, timeout.Limit(time.Duration(1+random.IntN(20))*time.Second))
		}
	}
	return stack
}

// later is an error that asks for a wait.
type later time.Duration

func (l later) Error() string                     { return "later" }
func (l later) RetryAfter() (time.Duration, bool) { return time.Duration(l), true }

// A layer that is made of layers shows them.
func TestExplain_Layers(t *testing.T) {
	report := redoubt.Explain(redoubt.Stack{bundle{timeout.Limit(time.Second), timeout.Limit(2 * time.Second)}})
	if len(report.Layers) != 2 || report.Layers[1].Where != "stack[0][1]" || report.Err() == nil {
		t.Errorf("report:\n%v", report)
	}
}

type bundle redoubt.Stack

func (b bundle) Layers() redoubt.Stack { return redoubt.Stack(b) }

func (b bundle) Do(ctx context.Context, call func(context.Context) error) error {
	return redoubt.Stack(b).Do(ctx, call)
}

// A client's own limits and its base are part of the report.
func TestTransport_Explain(t *testing.T) {
	client := redoubt.NewClient("billing", func(c *redoubt.ClientConfig) {
		c.Transport.Base = &foreign{redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1, Delay: 50 * time.Millisecond}}
	})
	report := client.Transport.(*redoubt.Transport).Explain()
	const want = `timeout.Limit 30s bounds the whole call: all attempts, and the waits between
retry.Policy 3 attempts, waits of at most 3s repeats attempts, until the breaker inside refuses
on a budget
breaker.Group billing opens at 50 % failures of 20 or more calls in 30s judges each attempt
for 5s to 10s, then 10 probes once open, it ends the call
one for each key
HeaderTimeout 10s bounds each attempt: to connect, to send, and to wait for headers, each
redoubt_test.foreign 1 hedge after 50ms sends another attempt beside one that takes long
StallTimeout 2m0s bounds each silence in the response's body, after the call

longest call 30s
most attempts 6

notes
stack[2]: breaker "billing" is inside of the retry: it sees every attempt, and once it is open the call fails at once instead of trying on
stack[0]: layers that repeat multiply: one call may become 6 attempts, and so may the load of an outage
`
	if got := squeeze(report.String()); got != squeeze(want) {
		t.Errorf("String():\n%s\nwant\n%s", got, want)
	}
	if err := report.Err(); err != nil {
		t.Errorf("Err() = %v", err)
	}
}

func TestTransport_ExplainMistakes(t *testing.T) {
	const s = time.Second
	slow := &foreign{redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1, Delay: 2 * s}}
	tests := []struct {
		name      string
		transport *redoubt.Transport
		want      string
	}{
		{"nil", nil, "redoubt: Transport is nil"},
		{"zero", &redoubt.Transport{}, ""},
		{"a field", &redoubt.Transport{MaxDrain: -5}, "redoubt: Transport: MaxDrain is -5, must be NoDrain or not negative"},
		{
			"attempts as long as the call", &redoubt.Transport{Layer: redoubt.Stack{timeout.Limit(s), retry.Policy{}}, HeaderTimeout: s},
			"redoubt: HeaderTimeout 1s inside of timeout.Limit(1s) can never expire first",
		},
		{
			"attempts as long as the call, by the base",
			&redoubt.Transport{Layer: timeout.Limit(s), Base: &http.Transport{ResponseHeaderTimeout: s}},
			"redoubt: ResponseHeaderTimeout 1s inside of timeout.Limit(1s) can never expire first",
		},
		{
			"a hedge that is never sent", &redoubt.Transport{HeaderTimeout: s, Base: slow},
			"redoubt: redoubt_test.foreign waits 2s before it sends a second attempt, and HeaderTimeout 1s around it is over by then",
		},
		{"a base that is wrong", &redoubt.Transport{Base: wrongBase{}}, "hedge: wrong"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			if err := tt.transport.Check(); err != nil {
				got = err.Error()
			}
			if got != tt.want {
				t.Errorf("Check() = %s, want %s", got, tt.want)
			}
		})
	}
}

type wrongBase struct{ http.RoundTripper }

func (wrongBase) Check() error { return errors.New("hedge: wrong") }

// A base may be in another, and so on; a ring is not followed for ever.
func TestTransport_Explain_Bases(t *testing.T) {
	inner := &foreign{redoubt.Facts{Kind: redoubt.KindFailover, Name: "replicas", Endpoints: 3}}
	report := (&redoubt.Transport{Base: &wrapping{inner}, StallTimeout: redoubt.NoStallTimeout}).Explain()
	if len(report.Layers) != 3 || report.Layers[1].Where != "Transport.Base.Base" || report.MaxAttempts != 6 {
		t.Errorf("report:\n%v", report)
	}
	if f := report.Findings[0]; f.Rule != "no-stall-timeout" {
		t.Errorf("first finding %v", f)
	}
	ring := &wrapping{}
	ring.RoundTripper = ring
	if rows := len((&redoubt.Transport{Base: ring}).Explain().Layers); rows != 17 {
		t.Errorf("%d rows for a ring", rows)
	}
}

// What is between two Transports is judged as part of one call.
func TestTransport_Explain_RealBases(t *testing.T) {
	guarded := &redoubt.Transport{Layer: redoubt.Stack{breaker.New(breaker.Config{Name: "billing"}), timeout.Limit(time.Second)}}
	hedged := &hedge.Transport{Base: guarded, Hedger: hedge.New(hedge.Config{Name: "reads", Delay: 50 * time.Millisecond})}
	list := failover.New(failover.Config{Name: "mirrors", Endpoints: []string{"http://a.test", "http://b.test"}})
	if got := list.Name(); got != "mirrors" {
		t.Errorf("Name() = %q, want mirrors", got)
	}
	tests := []struct {
		name  string
		base  http.RoundTripper
		rows  []string
		rules []string // of mistakes
	}{
		{
			"a hedge outside of a breaker", hedged,
			[]string{
				"Transport.Base hedge.Transport", "Transport.Base.Base.Layer[0] breaker.Breaker",
				"Transport.Base.Base.Layer[1] timeout.Limit",
			},
			[]string{"spans-twice", "hedge-outside-breaker"},
		},
		{
			"a Transport that leaves spans to its Base", &redoubt.Transport{SpansByBase: true},
			nil, nil,
		},
		{
			"another Transport", &redoubt.Transport{Base: &redoubt.Transport{SpansByBase: true}},
			nil,
			[]string{"spans-twice"},
		},
		{
			"a failover", &failover.Transport{Failover: list, SpansByBase: true},
			[]string{"Transport.Base failover.Transport"},
			nil,
		},
		{
			"a failover with spans below a hedge",
			&hedge.Transport{Base: &failover.Transport{Failover: list}},
			[]string{"Transport.Base hedge.Transport", "Transport.Base.Base failover.Transport"},
			[]string{"spans-twice"},
		},
		{"a Transport that is nil", (*redoubt.Transport)(nil), nil, []string{"misconfigured"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			report := (&redoubt.Transport{Base: tt.base}).Explain()
			var rows, rules []string
			for _, l := range report.Layers {
				if l.Type != "StallTimeout" {
					rows = append(rows, l.Where+" "+l.Type)
				}
			}
			for _, f := range report.Findings {
				if f.Severity == redoubt.Mistake {
					rules = append(rules, f.Rule)
				}
			}
			if !slices.Equal(rows, tt.rows) || !slices.Equal(rules, tt.rules) {
				t.Errorf("rows %q, mistakes %q, want %q, %q", rows, rules, tt.rows, tt.rules)
			}
		})
	}
	silent := &redoubt.Transport{Base: &failover.Transport{Failover: list}, SpansByBase: true}
	if err := silent.Check(); err != nil {
		t.Errorf("Check() = %v, want nil with SpansByBase", err)
	}
	silent.Base = guarded
	if err := silent.Check(); err != nil {
		t.Errorf("Check() = %v, want nil with SpansByBase", err)
	}
}

type wrapping struct{ http.RoundTripper }

func (w *wrapping) Unwrap() http.RoundTripper { return w.RoundTripper }
func (*wrapping) Explain() redoubt.Facts      { return redoubt.Facts{Kind: redoubt.KindHedge, Hedges: 1} }

// The kinds are named as the packages are.
func TestKinds(t *testing.T) {
	for kind, want := range map[redoubt.Kind]string{
		redoubt.KindOther: "opaque", redoubt.KindTimeout: "timeout", redoubt.KindRetry: "retry", redoubt.KindBreaker: "breaker",
		redoubt.KindLimit: "limit", redoubt.KindHedge: "hedge", redoubt.KindFailover: "failover",
	} {
		if got := kind.String(); got != want {
			t.Errorf("String() = %s, want %s", got, want)
		}
	}
}
