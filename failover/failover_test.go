package failover_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/redoubt-go/redoubt"
	"github.com/redoubt-go/redoubt/breaker"
	"github.com/redoubt-go/redoubt/failover"
	"github.com/redoubt-go/redoubt/redoubttest"
	"github.com/redoubt-go/redoubt/retry"
	"github.com/redoubt-go/redoubt/timeout"
)

func TestFailover_Law(t *testing.T) {
	for name, config := range map[string]failover.Config{
		"one":     {Endpoints: []string{"a"}},
		"three":   {Endpoints: []string{"a", "b", "c"}},
		"guarded": {Endpoints: []string{"a", "b", "c"}, Guard: breakers},
		"open":    {Endpoints: []string{"a", "b", "c"}, Guard: breakers, FailOpen: true},
	} {
		t.Run(name, func(t *testing.T) {
			config.Name = name
			redoubttest.CheckLayer(t, func() redoubt.Layer { return failover.New(config) })
		})
	}
}

// breakers makes breakers that open at the first failure, for exactly cooldown.
func breakers(endpoint string) failover.Layer { return newBreaker(endpoint) }

func newBreaker(endpoint string) *breaker.Breaker {
	return breaker.New(breaker.Config{Name: endpoint, Consecutive: 1, Cooldown: cooldown, MaxCooldown: cooldown, Jitter: breaker.NoJitter})
}

const cooldown = 5 * time.Second

var errDown = errors.New("down")

// A service has endpoints that are well unless they are said to be sick.
type service struct {
	sick  map[string]error
	asked []string
	takes time.Duration
}

func (s *service) call(ctx context.Context, endpoint string) (string, error) {
	s.asked = append(s.asked, endpoint)
	if s.takes > 0 {
		select {
		case <-time.After(s.takes):
		case <-ctx.Done():
			return "", context.Cause(ctx)
		}
	}
	if err := s.sick[endpoint]; err != nil {
		return "", err
	}
	return "from " + endpoint, nil
}

// do makes a call and returns its result or error, and who was asked.
func (s *service) do(ctx context.Context, f *failover.Failover) (result, asked string, err error) {
	s.asked = nil
	result, err = failover.Do(ctx, f, s.call)
	return result, strings.Join(s.asked, ""), err
}

func abc(c failover.Config) *failover.Failover {
	c.Name, c.Endpoints = "abc", []string{"a", "b", "c"}
	return failover.New(c)
}

// permanent is an error that no other endpoint could do better about.
func permanent(err error) error { return retry.Permanent(err) }

func TestDo(t *testing.T) {
	empty := retry.NewBudget(retry.BudgetConfig{Burst: 1, MinPerSecond: retry.NoFloor})
	empty.Withdraw()
	tests := []struct {
		name      string
		config    failover.Config
		sick      map[string]error
		wantAsked string
		want      string // or
		wantErr   string
	}{
		{
			name:      "all well",
			wantAsked: "a",
			want:      "from a",
		},
		{
			name:      "first sick",
			sick:      map[string]error{"a": errDown},
			wantAsked: "ab",
			want:      "from b",
		},
		{
			name:      "only the last is well",
			sick:      map[string]error{"a": errDown, "b": errDown},
			wantAsked: "abc",
			want:      "from c",
		},
		{
			name:      "all sick",
			sick:      map[string]error{"a": errDown, "b": errDown, "c": errDown},
			wantAsked: "abc",
			wantErr:   "failover: abc: every endpoint failed: a: down; b: down; c: down",
		},
		{
			name:      "permanent",
			sick:      map[string]error{"a": permanent(errors.New("no such thing"))},
			wantAsked: "a",
			wantErr:   "no such thing",
		},
		{
			name:      "permanent at the second",
			sick:      map[string]error{"a": errDown, "b": permanent(errors.New("no such thing"))},
			wantAsked: "ab",
			wantErr:   "failover: abc: no other endpoint could do better: a: down; b: no such thing",
		},
		{
			name:      "permanent, but not everywhere",
			config:    failover.Config{TryNext: func(error) bool { return true }},
			sick:      map[string]error{"a": permanent(errors.New("stale"))},
			wantAsked: "ab",
			want:      "from b",
		},
		{
			name:      "transient, and the same everywhere",
			config:    failover.Config{TryNext: func(error) bool { return false }},
			sick:      map[string]error{"a": errDown},
			wantAsked: "a",
			wantErr:   "down",
		},
		{
			name:      "refused further in",
			sick:      map[string]error{"a": &breaker.OpenError{Name: "inner"}},
			wantAsked: "ab",
			want:      "from b",
		},
		{
			name:      "forced open",
			sick:      map[string]error{"a": &breaker.OpenError{Name: "inner", Reason: breaker.ReasonForced}},
			wantAsked: "ab",
			want:      "from b",
		},
		{
			name:      "no budget",
			config:    failover.Config{Budget: empty},
			sick:      map[string]error{"a": errDown},
			wantAsked: "a",
			wantErr:   "failover: abc: budget is empty: a: down; b: skipped: budget is empty",
		},
		{
			name:      "no budget needed",
			config:    failover.Config{Budget: empty, Guard: shut("a")},
			wantAsked: "b",
			want:      "from b",
		},
		{
			name:      "budget needed after a refusal",
			config:    failover.Config{Budget: empty, Guard: shut("a")},
			sick:      map[string]error{"b": errDown},
			wantAsked: "b",
			wantErr:   "failover: abc: budget is empty: a: skipped: breaker: a is open (forced); b: down; c: skipped: budget is empty",
		},
		{
			name:    "all forced open",
			config:  failover.Config{Guard: shut("abc"), FailOpen: true},
			wantErr: "failover: abc: no endpoint takes calls: a: skipped: breaker: a is open (forced); b: skipped: breaker: b is open (forced); c: skipped: breaker: c is open (forced)",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &service{sick: tt.sick}
			got, asked, err := s.do(t.Context(), abc(tt.config))
			if got != tt.want || asked != tt.wantAsked {
				t.Errorf("got %q having asked %q, want %q having asked %q", got, asked, tt.want, tt.wantAsked)
			}
			if text := fmt.Sprint(err); tt.wantErr == "" && err != nil || tt.wantErr != "" && text != tt.wantErr {
				t.Errorf("error %q, want %q", text, tt.wantErr)
			}
			for _, cause := range tt.sick {
				if err != nil && slices.Contains(strings.Split(asked, ""), "a") && !errors.Is(err, cause) {
					t.Errorf("%v does not wrap %v", err, cause)
				}
			}
		})
	}
}

// shut makes breakers, of which those of some endpoints are forced open.
func shut(which string) func(string) failover.Layer {
	return func(endpoint string) failover.Layer {
		b := newBreaker(endpoint)
		if strings.Contains(which, endpoint) {
			b.ForceOpen()
		}
		return b
	}
}

// TestFailover_ComesHome: an endpoint that failed is left alone for its cooldown,
// to the nanosecond, and asked first again by the call after it.
func TestFailover_ComesHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := abc(failover.Config{Guard: breakers})
		s := &service{sick: map[string]error{"a": errDown}}
		step := func(when, wantAsked, want string) {
			t.Helper()
			if got, asked, err := s.do(t.Context(), f); got != want || asked != wantAsked || err != nil {
				t.Errorf("%s: got %q, %v having asked %q, want %q having asked %q", when, got, err, asked, want, wantAsked)
			}
		}
		step("sick", "ab", "from b")
		step("left alone", "b", "from b")
		time.Sleep(cooldown - 1)
		step("a moment before the cooldown ends", "b", "from b")
		time.Sleep(time.Nanosecond)
		step("still sick", "ab", "from b")
		s.sick = nil
		time.Sleep(cooldown - 1)
		step("well, but nobody knows", "b", "from b")
		time.Sleep(time.Nanosecond)
		step("probe", "a", "from a")
		step("home", "a", "from a")
	})
}

// TestFailover_ProbeUnderWay: while one call probes the first endpoint the others
// go on with the next.
func TestFailover_ProbeUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := abc(failover.Config{Guard: breakers})
		sick := &service{sick: map[string]error{"a": errDown}}
		sick.do(t.Context(), f)
		time.Sleep(cooldown)
		probe := &service{takes: time.Second}
		done := make(chan string)
		go func() {
			got, _, _ := probe.do(t.Context(), f)
			done <- got
		}()
		synctest.Wait()
		others := new(service)
		for range 3 {
			if got, asked, err := others.do(t.Context(), f); got != "from b" || asked != "b" || err != nil {
				t.Errorf("while the probe is under way: %q, %v having asked %q, want b", got, err, asked)
			}
		}
		if got := <-done; got != "from a" {
			t.Errorf("the probe: %q, want a", got)
		}
		if got, _, _ := others.do(t.Context(), f); got != "from a" {
			t.Errorf("after the probe: %q, want a", got)
		}
	})
}

// TestFailover_FailOpen: if every circuit is open, the one that half-opens first
// is asked all the same.
func TestFailover_FailOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := abc(failover.Config{Guard: breakers, FailOpen: true})
		s := &service{sick: map[string]error{"a": errDown, "b": errDown, "c": errDown}}
		_, asked, err := s.do(t.Context(), f)
		if err == nil || asked != "abc" {
			t.Fatalf("%v having asked %q, want an error of all", err, asked)
		}
		s.sick = nil
		if got, asked, err := s.do(t.Context(), f); got != "from a" || err != nil || asked != "a" {
			t.Errorf("%q, %v having asked %q, want a past its guard", got, err, asked)
		}
		s.sick = map[string]error{"a": errDown}
		_, asked, err = s.do(t.Context(), f)
		want := "failover: abc: every endpoint failed: a: down; b: skipped for another 5s: breaker: b is open (1 failure), last: down;" +
			" c: skipped for another 5s: breaker: c is open (1 failure), last: down"
		if fmt.Sprint(err) != want || asked != "a" {
			t.Errorf("%v having asked %q, want %s", err, asked, want)
		}
	})
}

// TestFailover_FailOpen_Not: an endpoint that was asked is not asked again, and
// nobody is asked for a caller who is gone.
func TestFailover_FailOpen_Not(t *testing.T) {
	refuse := redoubt.LayerFunc(func(context.Context, func(context.Context) error) error {
		return &breaker.OpenError{Name: "b", State: breaker.HalfOpen}
	})
	pass := redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error { return call(ctx) })
	f := abc(failover.Config{FailOpen: true, Guard: func(endpoint string) failover.Layer {
		if endpoint == "a" {
			return pass
		}
		return refuse
	}})
	s := &service{sick: map[string]error{"a": errDown}}
	if _, asked, err := s.do(t.Context(), f); !errors.Is(err, errDown) || asked != "a" {
		t.Errorf("%v having asked %q, want the error of a, asked once", err, asked)
	}
	ctx, cancel := context.WithCancel(t.Context())
	f = abc(failover.Config{FailOpen: true, Guard: func(string) failover.Layer {
		return redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
			cancel()
			return refuse(ctx, call)
		})
	}})
	if _, asked, err := new(service).do(ctx, f); !errors.Is(err, context.Canceled) || asked != "" {
		t.Errorf("%v having asked %q, want that the caller is gone", err, asked)
	}
}

// TestFailover_FailOpen_Pays: a success past the guard pays for retries as any
// other does.
func TestFailover_FailOpen_Pays(t *testing.T) {
	budget := retry.NewBudget(retry.BudgetConfig{Ratio: 1, Burst: 2, MinPerSecond: retry.NoFloor})
	budget.Withdraw()
	f := abc(failover.Config{FailOpen: true, Budget: budget, Guard: func(string) failover.Layer {
		return redoubt.LayerFunc(func(context.Context, func(context.Context) error) error {
			return &breaker.OpenError{Name: "b", State: breaker.HalfOpen}
		})
	}})
	if got, _, err := new(service).do(t.Context(), f); err != nil || budget.Balance() != 2 {
		t.Errorf("%q, %v with a balance of %v, want a success and 2", got, err, budget.Balance())
	}
}

// TestFailover_RefusedAfterTheCall: a guard that refuses once the endpoint was asked
// does not make it one that was not, or else a call that may have been carried out
// would pass for one that can safely be made again. A refusal from further in does.
func TestFailover_RefusedAfterTheCall(t *testing.T) {
	open := &breaker.OpenError{Name: "inside"}
	for name, tt := range map[string]struct {
		call error
		want bool
	}{"asked": {errDown, false}, "refused further in": {open, true}} {
		f := abc(failover.Config{Guard: func(string) failover.Layer {
			return redoubt.LayerFunc(func(ctx context.Context, call func(context.Context) error) error {
				_ = call(ctx)
				return open
			})
		}})
		_, err := failover.Do(t.Context(), f, func(context.Context, string) (int, error) { return 0, tt.call })
		failed, ok := errors.AsType[*failover.Error](err)
		if !ok || failed.Rejected() != tt.want || failed.Fates[0].Refused != tt.want {
			t.Errorf("%s: %v, want refused %v", name, err, tt.want)
		}
	}
}

func TestFailover_Cancelled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := abc(failover.Config{})
		ctx, cancel := context.WithCancelCause(t.Context())
		reason := errors.New("user closed the tab")
		s := &service{takes: time.Second}
		time.AfterFunc(500*time.Millisecond, func() { cancel(reason) })
		start := time.Now()
		_, asked, err := s.do(ctx, f)
		if took := time.Since(start); took != 500*time.Millisecond || asked != "a" {
			t.Errorf("%v having asked %q, want 500ms and only a", took, asked)
		}
		if !errors.Is(err, reason) || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, want the cause and context.Canceled", err)
		}
		failed, ok := errors.AsType[*failover.Error](err)
		if !ok || failed.Stop != failover.StopCancelled || failed.Retryable() || failed.Timeout() {
			t.Errorf("%#v", failed)
		}
		_, asked, err = s.do(ctx, f)
		if !errors.Is(err, reason) || asked != "" {
			t.Errorf("cancelled before: %v having asked %q, want nobody asked", err, asked)
		}
	})
}

// TestFailover_Deadline: an endpoint that would be asked too late is not.
func TestFailover_Deadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for left, wantAsked := range map[time.Duration]string{3 * time.Second: "a", 3*time.Second + 1: "ab"} {
			f := abc(failover.Config{MinTime: 2 * time.Second})
			ctx, cancel := context.WithTimeout(t.Context(), left)
			s := &service{takes: time.Second, sick: map[string]error{"a": errDown}}
			_, asked, err := s.do(ctx, f)
			if asked != wantAsked {
				t.Errorf("with %v: asked %q, want %q", left, asked, wantAsked)
			}
			failed, ok := errors.AsType[*failover.Error](err)
			if wantAsked == "a" && (!ok || failed.Stop != failover.StopDeadline || !errors.Is(err, errDown)) {
				t.Errorf("with %v: %v, want StopDeadline", left, err)
			}
			cancel()
		}
	})
}

// TestFailover_TimeLimits: the limit around the call is the caller's patience, the
// one in the guard is about the endpoint.
func TestFailover_TimeLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := abc(failover.Config{Guard: func(endpoint string) failover.Layer {
			return redoubt.Stack{newBreaker(endpoint), timeout.Limit(2 * time.Second)}
		}})
		stack := redoubt.Stack{timeout.Limit(3 * time.Second), f}
		s := &service{takes: time.Minute}
		start := time.Now()
		err := stack.Do(t.Context(), func(ctx context.Context) error {
			_, err := s.call(ctx, failover.Endpoint(ctx))
			return err
		})
		if took := time.Since(start); took != 3*time.Second || strings.Join(s.asked, "") != "ab" {
			t.Errorf("%v having asked %v, want 3s, a and b", took, s.asked)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want context.DeadlineExceeded", err)
		}
	})
}

// TestFailover_InStack: layers after the list run at each endpoint, and can tell
// them apart.
func TestFailover_InStack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stack := redoubt.Stack{
			abc(failover.Config{}),
			breaker.NewGroup(breaker.GroupConfig{
				Breaker: breaker.Config{Name: "each", Consecutive: 1, Cooldown: cooldown, Jitter: breaker.NoJitter}, Key: failover.Endpoint,
			}),
		}
		if err := redoubt.Check(stack); err != nil {
			t.Fatal(err)
		}
		s := &service{sick: map[string]error{"a": errDown}}
		for _, want := range []string{"ab", "b", "b"} {
			s.asked = nil
			got, err := redoubt.Do(t.Context(), stack, func(ctx context.Context) (string, error) { return s.call(ctx, failover.Endpoint(ctx)) })
			if asked := strings.Join(s.asked, ""); got != "from b" || err != nil || asked != want {
				t.Errorf("%q, %v having asked %q, want %q", got, err, asked, want)
			}
		}
	})
}

// TestFailover_RetryInGuard: a guard may ask its endpoint more than once, which
// costs one withdrawal.
func TestFailover_RetryInGuard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := retry.NewBudget(retry.BudgetConfig{Burst: 2, MinPerSecond: retry.NoFloor})
		f := abc(failover.Config{Budget: budget, Guard: func(string) failover.Layer { return retry.Policy{MaxAttempts: 2} }})
		s := &service{sick: map[string]error{"a": errDown, "b": errDown}}
		if got, asked, err := s.do(t.Context(), f); got != "from c" || err != nil || asked != "aabbc" {
			t.Errorf("%q, %v having asked %q, want aabbc", got, err, asked)
		}
		if got, want := budget.Balance(), 0.2; got != want {
			t.Errorf("the budget has %v left of 2, want %v: two endpoints and a success", got, want)
		}
	})
}

func TestEndpoint(t *testing.T) {
	f := failover.New(failover.Config{Name: "x", Endpoints: []string{"https://user:secret@host.test/base?token=1", "plain"}})
	if got, want := fmt.Sprint(f.Endpoints()), "[https://host.test/base plain]"; got != want {
		t.Errorf("Endpoints() = %v, want %v", got, want)
	}
	_, err := failover.Do(t.Context(), f, func(ctx context.Context, endpoint string) (int, error) {
		if endpoint != "plain" && (endpoint != "https://user:secret@host.test/base?token=1" || failover.Endpoint(ctx) != "https://host.test/base") {
			t.Errorf("endpoint %q, name %q", endpoint, failover.Endpoint(ctx))
		}
		return 0, fmt.Errorf("get %s: refused", endpoint)
	})
	want := "failover: x: every endpoint failed: https://host.test/base: get https://host.test/base: refused; plain: get plain: refused"
	if fmt.Sprint(err) != want {
		t.Errorf("%v, want %s", err, want)
	}
	if got := failover.Endpoint(t.Context()); got != "" {
		t.Errorf("outside of any call: %q", got)
	}
}

func TestFailover_Check(t *testing.T) {
	var zero failover.Failover
	var none *failover.Failover
	well := []string{"a", "b"}
	tests := []struct {
		name string
		f    *failover.Failover
		want string
	}{
		{"nil", none, "failover: Failover is nil or zero, must be made with New"},
		{"zero", &zero, "failover: Failover is nil or zero, must be made with New"},
		{"no name", failover.New(failover.Config{Endpoints: well}), "failover: Name is empty, must name the list of endpoints"},
		{"no endpoints", failover.New(failover.Config{Name: "x"}), "failover: x: Endpoints is empty, must name at least one"},
		{"empty endpoint", failover.New(failover.Config{Name: "x", Endpoints: []string{"a", ""}}), "failover: x: Endpoints[1] is empty, must be a name or a URL"},
		{"twice", failover.New(failover.Config{Name: "x", Endpoints: []string{"a", "b", "a"}}), "failover: x: Endpoints[2] is a, as Endpoints[0] is, must be there once"},
		{"twice, but for the user", failover.New(failover.Config{Name: "x", Endpoints: []string{"http://u:p@a", "http://a"}}), "failover: x: Endpoints[1] is http://a, as Endpoints[0] is, must be there once"},
		{"negative time", failover.New(failover.Config{Name: "x", Endpoints: well, MinTime: -1}), "failover: x: MinTime is -1ns, must not be negative"},
		{"nil guard", failover.New(failover.Config{Name: "x", Endpoints: well, Guard: func(string) failover.Layer { return nil }}), "failover: x: Guard is nil for a, must return a layer"},
		{
			"guard that is not well",
			failover.New(failover.Config{Name: "x", Endpoints: well, Guard: func(string) failover.Layer { return breaker.New(breaker.Config{}) }}),
			"breaker: Name is empty, must name the breaker",
		},
		{
			"typed nil guard",
			failover.New(failover.Config{Name: "x", Endpoints: well, Guard: func(string) failover.Layer { return (*breaker.Breaker)(nil) }}),
			"breaker: Breaker is nil or zero, must be made with New",
		},
		{"bad budget", failover.New(failover.Config{Name: "x", Endpoints: well, Budget: new(retry.Budget)}), "retry: Budget is zero, must be made with NewBudget"},
		{"nil budget", failover.New(failover.Config{Name: "x", Endpoints: well, Budget: (*retry.Budget)(nil)}), "<nil>"},
		{"well", failover.New(failover.Config{Name: "x", Endpoints: well, Guard: breakers}), "<nil>"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := fmt.Sprint(tt.f.Check()); got != tt.want {
				t.Errorf("Check() = %s, want %s", got, tt.want)
			}
			_, err := failover.Do(t.Context(), tt.f, new(service).call)
			if got := fmt.Sprint(err); got != tt.want {
				t.Errorf("Do = %s, want %s", got, tt.want)
			}
		})
	}
	if _, err := failover.Do[int](t.Context(), abc(failover.Config{}), nil); fmt.Sprint(err) != "redoubt: call is nil" {
		t.Errorf("Do of nil: %v", err)
	}
}

func TestFailover_Explain(t *testing.T) {
	facts := abc(failover.Config{}).Explain()
	if facts.Kind.String() != "failover" || facts.Name != "abc" || facts.Endpoints != 3 {
		t.Errorf("%+v", facts)
	}
}
